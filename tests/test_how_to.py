"""The how-to pages: every block of Python and of a shell works, or says why it is not run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ndicloudfs.cloud import CloudConfig, NdiCloud
from ndicloudfs.integrations.loading import Loader
from ndicloudfs.sandbox.sample import sample
from tests.support import data
from tests.support.mounting import Machine, machine
from tests.support.sandbox import Sandbox
from tests.support.system import need
from tests.support.written import PACE, SESSION_ID, body

PAGES = Path(__file__).parents[1] / "docs/how-to"
_BLOCK = re.compile(
    r"^(?:<!-- not run: (\S.*) -->\n)?```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
EMAIL, PASSWORD = "me@example.org", "Passw0rd!"
EPOCH = "41269430c7aed020_40dc5489899dc92a"
# diff says by its exit code that there is a difference, which is why one looks.
PRELUDE = 'set -euo pipefail\ndiff() { command diff "$@" || [ $? = 1 ]; }\n'


@dataclass(frozen=True)
class Lab:
    """The cloud and the machine of the pages: ``My Lab`` with ``Rat V1``, and a published one."""

    cloud: NdiCloud
    user: Machine
    dataset: str

    @property
    def tree(self) -> Path:
        """The dataset, mounted."""
        return self.user.home / "ndi/My Lab/Rat V1"

    def run(self, *command: str, **environment: str) -> str:
        """Run a program as somebody does who reads the page; what it prints."""
        programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        result = subprocess.run(
            command,
            cwd=self.user.home,
            env={**self.user.environment, "PATH": programs, **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def run_page(self, name: str, **replaced: str) -> str:
        """Run the blocks of a page, with the words that stand for something replaced."""
        blocks = [(kind, text) for why, kind, text in blocks_of(PAGES / name) if not why]
        (kind,) = {kind for kind, _ in blocks}
        script = "".join(text for _, text in blocks)
        for word, value in replaced.items():
            assert word in script
            script = script.replace(word, value)
        if kind == "python":
            return self.run(sys.executable, "-c", script)
        return self.run("bash", "-c", PRELUDE + script, TMPDIR=str(self.user.home / "scratch"))


def blocks_of(page: Path) -> list[tuple[str, str, str]]:
    """The blocks of a page that name a language: why one is not run, the language, the text."""
    return [(found[1] or "", found[2], found[3]) for found in _BLOCK.finditer(page.read_text())]


@pytest.fixture
def lab(sandbox: Sandbox, tmp_path: Path) -> Iterator[Lab]:
    who = sandbox.add_user(EMAIL, PASSWORD, "My Lab", is_admin=True, can_upload=True)
    account = {
        "NDI_CLOUD_URL": sandbox.url,
        "NDI_CLOUD_USERNAME": EMAIL,
        "NDI_CLOUD_PASSWORD": PASSWORD,
    }
    (organization,) = who["organization_ids"]
    with (
        NdiCloud(CloudConfig.from_environment(account)) as cloud,
        machine(tmp_path / "home", account, f"--write-pace={PACE}") as user,
    ):
        loaders = {}
        for name in ("Rat V1", "My dataset"):
            dataset = cloud.datasets.create(organization, {"name": name})
            loaders[name] = Loader(cloud, organization, dataset)
            made = sample()
            loaders[name].load(made.documents(), made.objects())
            if name == "Rat V1":
                mine = dataset
        loaders["My dataset"].publish()
        yield Lab(cloud, user, mine)


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.name)
def test_every_block_is_run_or_says_why_not(page: Path) -> None:
    run = {"python.md", "clusters.md", "conflicts.md", "moving-in.md"}
    for why, kind, text in blocks_of(page):
        assert why or (page.name in run and kind in ("python", "sh")), text


def test_python_reads_and_works_without_a_mount(lab: Lab) -> None:
    lab.user.mount()
    folder = next((lab.tree / "files/generic_file").iterdir())
    recordings = data.recordings(lab.user.home / "recordings")
    shutil.copyfile(recordings / "testData.ns2", folder / "session.ns2")
    assert lab.user.run("sync").returncode == 0
    assert lab.run_page("python.md").startswith("b'")


def test_a_batch_job_reads_through_a_mount_of_its_own(lab: Lab) -> None:
    (lab.user.home / "scratch").mkdir()
    (lab.user.home / "analysis.py").write_text(
        "import sys, pathlib\nprint(*pathlib.Path(sys.argv[1]).glob('documents/subject/*.json'))\n"
    )
    shown = lab.run_page("clusters.md")
    assert "scratch/ndi/documents/subject/" in shown
    assert list((lab.user.home / "scratch/ndi").iterdir()) == []


def test_a_conflict_is_looked_at_and_decided(lab: Lab) -> None:
    lab.user.mount()
    path = next((lab.tree / "documents/subject").glob("*.json"))
    mine = json.loads(path.read_text())
    theirs = {**mine, "base": {**mine["base"], "name": "theirs"}}
    lab.cloud.documents.update(lab.dataset, os.getxattr(path, "user.ndi.cloud_id").decode(), theirs)
    path.write_text(json.dumps({**mine, "base": {**mine["base"], "name": "mine"}}))
    assert lab.user.run("sync").returncode == 1
    (entry,) = json.loads(lab.user.run("queue", "list", "--json").stdout)["entries"]
    (kept,) = (lab.user.home / "ndi/.ndicloudfs/conflicts").glob("*.json")
    shown = lab.run_page(
        "conflicts.md",
        **{"conflicts/FILE": f"conflicts/{kept.name}"},
        **{"subject/FILE": f"subject/{path.name}", "17": str(entry["id"])},
    )
    assert "mine" in shown
    assert "theirs" in shown
    assert lab.user.run("sync").returncode == 0
    assert json.loads(path.read_text())["base"]["name"] == "mine"


def test_a_study_is_moved_in(lab: Lab) -> None:
    need(shutil.which("rsync") is not None, "rsync")
    lab.user.mount()
    home = lab.user.home
    (home / "subjects").mkdir()
    for number in range(3):
        made = body(f"41269430c7aed03{number}_40dc5489899dc92a", "a subject")
        made["document_class"] = {"class_name": "subject"}
        (home / f"subjects/{made['base']['id']}.json").write_text(json.dumps(made))
    epoch = {"base": {"session_id": SESSION_ID, "name": "an epoch"}}
    (home / "epochs").mkdir()
    (home / f"epochs/{EPOCH}.json").write_text(json.dumps(epoch))
    (home / "recording.rhd").write_bytes(bytes(range(256)) * 1000)
    assert "the server has everything" in lab.run_page("moving-in.md")
    tree = home / "ndi/My Lab/New study"
    copied = tree / "files/element_epoch" / EPOCH / "recording.rhd"
    assert copied.read_bytes() == (home / "recording.rhd").read_bytes()
    assert len(list((tree / "documents/subject").glob("*.json"))) == 3
