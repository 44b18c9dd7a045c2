"""How often the server is asked: the table of docs/architecture.md, from the sandbox's own log.

The figures to reach for 10,000 documents follow: a call per 1000 names and per 500 bodies.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.sandbox.raw import body, login
from tests.support.mounting import Machine, account_of, machine, tool
from tests.support.sandbox import Sandbox

SUBJECTS, TREATMENTS = 1200, 1500
QUERY, FETCH = "POST /ndiquery", "POST /datasets/{id}/documents/bulk-fetch"
COUNTS = "GET /datasets/{id}/document-class-counts"


@dataclass(frozen=True)
class Lab:
    """A dataset of two classes, more documents than a page has, and somebody's machine."""

    sandbox: Sandbox
    user: Machine

    def calls(self, work: Callable[[], object]) -> Counter[str]:
        """The calls that the server had while ``work`` ran, by route."""
        self.sandbox.clear_log()
        work()
        return Counter(entry["route"] for entry in self.sandbox.log(port="api"))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("counts")
    with Sandbox(folder / "sandbox") as sandbox, login(sandbox) as api:
        dataset = api.dataset(sandbox.organization_id, name="Many")
        classes = ["subject"] * SUBJECTS + ["treatment"] * TREATMENTS
        sandbox.plant(dataset, documents=[{"body": body(n, c)} for n, c in enumerate(classes)])
        arguments = ("--metadata-ttl", "3600")  # nothing is asked for again behind the test
        with machine(folder / "home", account_of(sandbox), *arguments) as user:
            yield Lab(sandbox, user)


def dataset_of(root: Path) -> Path:
    (organization,) = (name for name in os.listdir(root) if "Lab" in name)  # noqa: PTH208
    return root / organization / "Many"


def test_every_operation_asks_as_often_as_the_table_says(lab: Lab) -> None:
    root = lab.user.home / "ndi"

    def mount_and_list() -> None:
        assert "Many" in os.listdir(dataset_of(lab.user.mount()).parent)  # noqa: PTH208

    assert lab.calls(mount_and_list).total() <= 3
    documents = dataset_of(root) / "documents"
    subjects = documents / "subject"
    assert lab.calls(lambda: tool("ls", documents)) == {COUNTS: 1}
    assert lab.calls(lambda: tool("ls", documents)) == {}

    one = documents / "treatment" / f"{body(SUBJECTS + 7, 'treatment')['base']['id']}.json"
    assert lab.calls(one.read_bytes) == {QUERY: 1, FETCH: 1}

    assert lab.calls(lambda: tool("ls", subjects)) == {QUERY: -(-SUBJECTS // 1000)}
    assert lab.calls(lambda: tool("ls", "-l", subjects)) == {FETCH: 1 + -(-(SUBJECTS - 100) // 500)}
    assert lab.calls(lambda: tool("ls", "-l", subjects)) == {}
    assert lab.calls(lambda: tool("grep", "-rc", "class_name", subjects)) == {}

    lab.user.umount(root)
    signed_in = lab.calls(lab.user.mount)
    assert signed_in.total() <= 2
    asked = lab.calls(lambda: tool("ls", "-l", documents, subjects))
    assert asked == {}
    lab.user.umount(root)
