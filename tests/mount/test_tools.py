"""Tools that know nothing of NDI, on a real mount, under both bindings."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from pathlib import Path

import pytest

from ndicloudfs.sandbox.sample import sample
from tests.mount.conftest import ORGANIZATION, Study
from tests.support.mounting import Machine, tool


def checksums(folder: Path) -> dict[str, str]:
    """SHA-256 by file name, worked out by ``sha256sum``."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = tool("sha256sum", *files).splitlines()
    return {Path(line[66:]).name: line[:64] for line in lines}


def test_ls_shows_the_organizations_and_what_is_published(lab: Machine, tree: Path) -> None:
    assert tool("ls", "-A", tree.parent).split("\n") == [
        ".ndicloudfs",
        ORGANIZATION,
        "published",
        "",
    ]
    assert tool("ls", tree).split() == ["Documents", "Recordings", "Sample"]
    assert tool("ls", tree / "Sample").split() == ["dataset.json", "documents", "files"]
    assert tool("ls", tree.parent / "published").split() == ["Sample"]


def test_each_recording_has_the_checksum_of_its_source(tree: Path, study: Study) -> None:
    assert checksums(tree / "Recordings" / "files") == checksums(study.recordings)


def test_every_object_of_the_sample_has_the_checksum_of_its_source(tree: Path) -> None:
    uids = tree / "Sample" / "files" / ".uid"
    for source in sample(with_missing=True).objects():
        with source.open() as opened:
            expected = hashlib.sha256(opened.read()).hexdigest()
        assert hashlib.sha256((uids / source.uid).read_bytes()).hexdigest() == expected


def test_copies_by_cp_rsync_and_tar_agree_with_the_mount(tree: Path, tmp_path: Path) -> None:
    source = tree / "Recordings"
    by_cp, by_rsync, by_tar = (tmp_path / name for name in ("cp", "rsync", "tar"))
    tool("cp", "-r", source, by_cp)
    tool("cp", "-rp", source, tmp_path / "cp-p")
    tool("rsync", "-a", f"{source}/", by_rsync)
    by_tar.mkdir()
    tool("tar", "-cf", tmp_path / "archive.tar", "-C", source, ".")
    tool("tar", "-xf", tmp_path / "archive.tar", "-C", by_tar)
    for copy in (by_cp, tmp_path / "cp-p", by_rsync, by_tar):
        assert tool("diff", "-r", source, copy) == ""
    assert tool("rsync", "-a", "--itemize-changes", "--dry-run", f"{source}/", by_rsync) == ""


def test_the_whole_sample_is_archived_with_the_sizes_that_stat_gave(
    tree: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "sample.tar"
    # The one file that was never uploaded cannot be read, and tar says so.
    tool("tar", "--exclude=*missing*", "--ignore-failed-read", "-cf", archive, "-C", tree, "Sample")
    with tarfile.open(archive) as opened:
        members = {member.name: member.size for member in opened if member.isfile()}
    assert len(members) > 80
    for name, size in members.items():
        assert (tree / name).stat().st_size == size


def test_two_passes_over_everything_agree(tree: Path) -> None:
    assert tool("diff", "-r", tree / "Documents", tree / "Documents") == ""
    first = checksums(tree / "Sample" / "documents")
    assert checksums(tree / "Sample" / "documents") == first


def test_grep_finds_what_documents_say(tree: Path) -> None:
    text = "rat1@lab.example.org"
    found = tool("grep", "-rl", text, tree / "Sample" / "documents").splitlines()
    expected = [
        body["base"]["id"]
        for body in sample(with_missing=True).documents()
        if text in json.dumps(body)
    ]
    assert sorted(Path(path).stem for path in found) == sorted(expected)


def test_find_knows_sizes_types_and_every_folder(tree: Path, study: Study) -> None:
    large = tool("find", tree / "Recordings" / "files", "-type", "f", "-size", "+1M").splitlines()
    expected = [path.name for path in study.recordings.iterdir() if path.stat().st_size > 1 << 20]
    assert sorted(Path(path).name for path in large) == sorted(expected)
    walked = {path for path, _, _ in os.walk(tree)}
    assert set(tool("find", tree, "-type", "d").splitlines()) == walked


def test_du_and_df_say_something_true(tree: Path, study: Study) -> None:
    on_disk = int(tool("du", "-sb", tree / "Recordings" / "files").split()[0])
    assert on_disk == sum(path.stat().st_size for path in study.recordings.iterdir())
    disk = os.statvfs(tree)
    assert disk.f_blocks * disk.f_frsize > 1 << 20
    assert disk.f_namemax == 255


def test_documents_are_strict_json_under_their_class_and_ndi_id(tree: Path, study: Study) -> None:
    for source in study.documents.glob("*.json"):
        answer = json.loads(source.read_text())
        path = tree / "Documents" / "documents" / answer["className"] / f"{answer['ndiId']}.json"
        text = path.read_text()
        assert json.loads(text, parse_constant=pytest.fail) == answer["data"]
        assert text == json.dumps(answer["data"], indent=2, ensure_ascii=False) + "\n"
    shown = (tree / "Documents" / "documents").glob("*/*.json")
    assert len(list(shown)) == len(list(study.documents.glob("*.json")))


def test_extended_attributes_tell_where_a_file_comes_from(tree: Path) -> None:
    (document,) = (tree / "Sample" / "documents" / "stimulus_presentation").iterdir()
    lines = tool("getfattr", "--absolute-names", "-d", document).splitlines()[1:]
    attributes = dict(line.split("=", 1) for line in lines if line)
    assert attributes["user.ndi.id"] == f'"{document.stem}"'
    assert attributes["user.ndi.class"] == '"stimulus_presentation"'
    assert attributes["user.ndi.state"] == '"clean"'
    (file,) = (tree / "Sample" / "files" / "stimulus_presentation" / document.stem).iterdir()
    uid = os.getxattr(file, "user.ndi.uid").decode()
    assert (tree / "Sample" / "files" / ".uid" / uid).read_bytes() == file.read_bytes()
    with pytest.raises(OSError, match="No data available"):
        os.getxattr(file, "user.ndi.other")


def test_ids_resolve_in_place_of_names(tree: Path) -> None:
    dataset_id = os.getxattr(tree / "Sample", "user.ndi.cloud_id").decode()
    organization_id = os.getxattr(tree, "user.ndi.cloud_id").decode()
    (document,) = (tree / "Sample" / "documents" / "stimulus_presentation").iterdir()
    cloud_id = os.getxattr(document, "user.ndi.cloud_id").decode()
    mount = tree.parent
    for dataset in (
        mount / dataset_id,
        mount / organization_id / dataset_id,
        mount / "published" / dataset_id,
    ):
        by_id = dataset / "documents" / "stimulus_presentation" / f"{cloud_id}.json"
        assert by_id.read_bytes() == document.read_bytes()
        assert len(list((dataset / "files" / "stimulus_presentation" / cloud_id).iterdir())) == 1
    assert not (mount / ("0" * 24)).exists()
    assert not (mount / "published" / ("0" * 24)).exists()


def test_a_file_that_was_never_uploaded_says_so(tree: Path) -> None:
    missing = [
        path
        for path in (tree / "Sample" / "files").glob("*/*/*")
        if os.getxattr(path, "user.ndi.state") == b"missing"
    ]
    (path,) = missing
    assert path.stat().st_size == 0
    with pytest.raises(OSError, match="No data available"):
        path.read_bytes()
    log = (tree.parent / ".ndicloudfs" / "errors.log").read_text()
    uid = os.getxattr(path, "user.ndi.uid").decode()
    assert len([line for line in log.splitlines() if uid in line]) == 1


@pytest.mark.parametrize(
    "command",
    [
        ("touch", "{}/new"),
        ("mkdir", "{}/new"),
        ("rm", "{}/dataset.json"),
        ("mv", "{}/dataset.json", "{}/other.json"),
        ("ln", "-s", "x", "{}/link"),
        ("chmod", "0600", "{}/dataset.json"),
        ("truncate", "-s", "0", "{}/dataset.json"),
        ("setfattr", "-n", "user.x", "-v", "y", "{}/dataset.json"),
    ],
)
def test_every_change_is_refused_as_on_a_read_only_disk(
    tree: Path, command: tuple[str, ...]
) -> None:
    words = [word.format(tree / "Sample") for word in command]
    with pytest.raises(AssertionError, match="Read-only file system"):
        tool(*words)


def test_status_says_who_is_signed_in_and_no_secret(tree: Path, study: Study) -> None:
    text = (tree.parent / ".ndicloudfs" / "status.json").read_text()
    status = json.loads(text)
    assert status["account"] == study.sandbox.email
    assert status["online"] is True
    assert status["cache"]["used_bytes"] > 0
    assert study.sandbox.password not in text


def test_inode_numbers_are_unique_and_the_same_after_a_remount(lab: Machine, tree: Path) -> None:
    def numbers(root: Path) -> dict[str, int]:
        return {str(path.relative_to(root)): path.stat().st_ino for path in root.rglob("*")}

    before = numbers(tree)
    assert len(set(before.values())) == len(before)
    again = lab.mount("again", "-o", "ro")
    assert numbers(again / ORGANIZATION) == before
    lab.umount(again)


def test_the_same_bytes_come_from_the_cache_after_a_remount_without_a_call(
    lab: Machine, tree: Path, study: Study
) -> None:
    def everything(root: Path) -> dict[str, str]:
        return {**checksums(root / "Documents"), **checksums(root / "Recordings")}

    before = everything(tree)
    study.sandbox.clear_log()
    again = lab.mount("again", "-o", "ro")
    assert everything(again / ORGANIZATION) == before
    lab.umount(again)
    asked = {entry["route"] for entry in study.sandbox.log()}
    assert asked <= {"POST /auth/login", "GET /users/me"}
