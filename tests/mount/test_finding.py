"""From questions and ids to paths in a mount, and back."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from ndicloudfs.cli.finding import parse
from tests.mount.conftest import ORGANIZATION, Study
from tests.support.mounting import Machine, account_of, machine


@pytest.fixture(scope="module")
def user(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with machine(tmp_path_factory.mktemp("home"), account_of(study.sandbox)) as made:
        made.mount()
        yield made


@pytest.fixture(scope="module")
def root(user: Machine) -> Path:
    return user.mounts[0]


def found(user: Machine, *arguments: str | Path) -> list[str]:
    result = user.run("find", *arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def documents(folder: Path, *classes: str) -> list[str]:
    return sorted(str(p) for name in classes for p in folder.glob(f"documents/{name}/*.json"))


def test_find_prints_the_paths_that_the_mount_lists(user: Machine, root: Path) -> None:
    sample = root / ORGANIZATION / "Sample"
    assert sorted(found(user, sample, "--isa", "subject")) == documents(sample, "subject")
    assert sorted(found(user, sample)) == documents(sample, "*")
    assert found(user, sample / "documents/subject") == found(user, sample, "--isa", "subject")
    for path in found(user, root, "--isa", "subject"):
        assert json.loads(Path(path).read_text())["document_class"]["class_name"]


def test_conditions_are_all_met(user: Machine, root: Path) -> None:
    sample = root / ORGANIZATION / "Sample"
    bodies = {path: json.loads(Path(path).read_text()) for path in documents(sample, "element")}
    name = next(body["base"]["name"] for body in bodies.values() if body["base"]["name"])
    expected = [path for path, body in bodies.items() if body["base"]["name"] == name]
    assert found(user, sample, "--isa", "element", "--field", f"base.name={name}") == expected
    assert found(user, sample, "--isa", "subject", "--field", f"base.name={name}x") == []
    ids = [body["base"]["id"] for body in bodies.values()]
    assert found(user, sample, "--field", f"base.id={ids[0]}") == [
        path for path in bodies if ids[0] in path
    ]


def test_output_for_programs(user: Machine, root: Path) -> None:
    sample = root / ORGANIZATION / "Sample"
    lines = found(user, sample, "--isa", "subject")
    result = user.run("find", sample, "--isa", "subject", "-0")
    assert result.stdout.split("\0") == [*lines, ""]
    rows = json.loads(user.run("find", sample, "--isa", "subject", "--json").stdout)
    assert [row["path"] for row in rows] == lines
    for row in rows:
        assert os.getxattr(row["path"], "user.ndi.cloud_id").decode() == row["cloud_id"]


def test_ids_and_uris_have_a_path(user: Machine, root: Path) -> None:
    sample = root / ORGANIZATION / "Sample"
    document = Path(documents(sample, "subject")[0])
    file = next(sample.glob("files/generic_file/*/*.wav"))
    attributes = {
        name: os.getxattr(document, f"user.ndi.{name}").decode()
        for name in ("id", "cloud_id", "dataset_id")
    }
    for name in ("id", "cloud_id"):
        result = user.run("path", attributes[name], "--mount", root)
        assert result.stdout == f"{document}\n", result.stderr
    assert user.run("path", attributes["dataset_id"], "--mount", root).stdout == f"{sample}\n"
    facts = json.loads(user.run("info", file, "--json").stdout)
    assert facts["uri"] == f"ndic://{attributes['dataset_id']}/{facts['uid']}"
    there = user.run("path", facts["uri"], "--mount", root).stdout.strip()
    assert Path(there).read_bytes() == file.read_bytes()
    for text in ("0" * 24, "f" * 16 + "_" + "f" * 16, f"ndic://{'0' * 24}/x"):
        result = user.run("path", text, "--mount", root)
        assert result.returncode == 1
        assert "Traceback" not in result.stderr


def test_info_shows_what_the_cloud_calls_it(user: Machine, root: Path) -> None:
    sample = root / ORGANIZATION / "Sample"
    shown = user.run("info", documents(sample, "subject")[0]).stdout
    for words in ("class       subject", "kind        file", "state       clean"):
        assert words in shown
    assert "name        Sample" in user.run("info", sample).stdout
    assert user.run("info", root / "nothing").returncode == 1


def test_a_question_of_nobody_is_answered_with_what_to_do(study: Study, tmp_path: Path) -> None:
    with machine(tmp_path / "home", {"NDI_CLOUD_URL": study.sandbox.url}) as anonymous:
        result = anonymous.run("find", anonymous.mount() / "published/Sample")
        assert result.returncode == 3
        assert "run: ndicloudfs login" in result.stderr


@pytest.mark.parametrize(
    ("text", "operation", "value"),
    [
        ("a.b=c=d", "exact_string", "c=d"),
        ("a.b!=c", "~exact_string", "c"),
        ("a.b~=V1 x", "contains_string", "V1 x"),
        ("a.b!~=V1", "~contains_string", "V1"),
        ("a.b=~^V\\d", "regexp", "^V\\d"),
        ("a.b<=1.5", "lessthaneq", 1.5),
        ("a.b > 2", "greaterthan", 2),
        ("a.b==3", "exact_number", 3),
    ],
)
def test_conditions_are_read_as_they_are_written(text: str, operation: str, value: object) -> None:
    condition = parse(text)
    assert condition["field"] == "a.b"
    assert (condition["operation"], condition["param1"]) == (operation, value)


@pytest.mark.parametrize("text", ["a.b", "=x", "a.b<many"])
def test_what_is_no_condition_says_why(text: str) -> None:
    with pytest.raises(click.UsageError, match="--field"):
        parse(text)
