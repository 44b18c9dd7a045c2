"""Documents and files that are written through the kernel, under both bindings."""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.mounting import BINDINGS, tool
from tests.support.sandbox import Sandbox
from tests.support.system import until
from tests.support.written import (
    CLASS,
    NDI_ID,
    OTHER_ID,
    SESSION_ID,
    SharedMount,
    Written,
    body,
    written,
)


@pytest.fixture
def lab(shared: SharedMount) -> Iterator[Written]:
    with shared.dataset() as made:
        yield made


@pytest.fixture(params=BINDINGS)
def alone(request: pytest.FixtureRequest, sandbox: Sandbox, tmp_path: Path) -> Iterator[Written]:
    """On a mount of its own, for what concerns the mount as a whole."""
    with written(sandbox, tmp_path / "home", binding=request.param) as made:
        yield made


# Seconds until the kernel asks again: libfuse 2 cannot tell it to.
SOON = {"mfusepy": 0.0, "fusepy": 3.0}


def failing(number: int) -> pytest.RaisesExc[OSError]:
    """The block ends with this errno."""
    return pytest.RaisesExc(OSError, check=lambda error: error.errno == number)


def write_and_close(path: Path, data: bytes) -> None:
    """As programs do that look at what close says."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


# Documents


def test_a_new_document_is_seen_at_once_and_reaches_the_server(lab: Written) -> None:
    path = lab.documents / "mine.json"
    path.write_text(json.dumps({"recording": {"channels": 4}}))
    assert "mine.json" in [item.name for item in lab.documents.iterdir()]
    assert lab.state(path) in ("pending", "uploading")
    seen = json.loads(path.read_text())
    assert path.stat().st_size == len(path.read_bytes())
    assert seen["recording"] == {"channels": 4}
    assert seen["document_class"] == {"class_name": CLASS}
    assert set(seen["base"]) == {"id", "session_id", "datestamp"}
    lab.settle()
    assert lab.on_server()[seen["base"]["id"]] == seen
    ndi_name = f"{seen['base']['id']}.json"
    assert ndi_name in [item.name for item in lab.documents.iterdir()]
    assert json.loads(path.read_text()) == seen  # under the name it was written with, too
    assert lab.state(path) == "clean"


def test_what_was_refused_is_gone_also_for_who_looked_before_it_ended(alone: Written) -> None:
    path = alone.documents / "odd.json"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    os.write(descriptor, b"no document")
    # Python's own mapping would close the file once more when it ends.
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    page = ctypes.c_size_t(mmap.PAGESIZE)
    mapped = libc.mmap(None, page, mmap.PROT_READ, mmap.MAP_PRIVATE, descriptor, ctypes.c_long(0))
    with failing(errno.EINVAL):
        os.close(descriptor)
    assert path.exists()  # it is still mapped
    assert libc.munmap(ctypes.c_void_p(mapped), page) == 0
    until(lambda: not path.exists(), 5)


def test_a_listing_while_a_document_is_written_does_not_take_its_size_back(lab: Written) -> None:
    path = lab.documents / f"{NDI_ID}.json"
    path.read_bytes()
    before = path.stat().st_size
    with path.open("ab", buffering=0) as file:
        file.write(b" " * 100)
        list(os.scandir(lab.documents))
        assert path.stat().st_size == before + 100
        assert os.fstat(file.fileno()).st_size == before + 100


def test_what_was_closed_is_there_after_a_remount(alone: Written) -> None:
    alone.sandbox.fault("POST /datasets/{id}/documents", "status", -1, status=503)
    (alone.documents / "kept.json").write_text("{}")
    (alone.files / "kept.bin").write_bytes(b"kept")
    before = (alone.documents / "kept.json").read_bytes()
    alone.sandbox.clear_faults()
    alone.remount()
    assert (alone.documents / "kept.json").read_bytes() == before
    assert (alone.files / "kept.bin").read_bytes() == b"kept"
    alone.settle()
    assert alone.files_on_server()["kept.bin"] == b"kept"
    assert json.loads(before)["base"]["id"] in alone.on_server()


def test_what_a_document_says_is_kept_and_not_filled_in(lab: Written) -> None:
    given = body("41269430c7aed022_40dc5489899dc92a", "given")
    (lab.documents / "given.json").write_text(json.dumps(given))
    assert json.loads((lab.documents / "given.json").read_text()) == given
    lab.settle()
    assert lab.on_server()[given["base"]["id"]] == given


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{broken", "not JSON"),
        ("[1, 2]", "not a JSON object"),
        ('{"a": NaN}', "NaN"),
        ('{"a": 1, "a": 2}', "twice"),
        ('{"document_class": {"class_name": "subject"}}', "'subject'"),
        (json.dumps(body(OTHER_ID, "a clash")), "already"),
    ],
)
def test_what_is_no_document_fails_at_close_and_is_kept(
    alone: Written, text: str, reason: str
) -> None:
    with failing(errno.EINVAL):
        write_and_close(alone.documents / "odd.json", text.encode())
    until(lambda: not (alone.documents / "odd.json").exists(), 3)
    assert sorted(item.name for item in (alone.mount / ".ndicloudfs" / "rejected").iterdir()) == [
        "odd.json",
        "odd.json.reason.txt",
    ]
    assert alone.control("rejected/odd.json") == text
    assert reason in alone.control("rejected/odd.json.reason.txt")
    assert len(alone.on_server()) == 2
    assert alone.queue() == []


def test_a_document_is_changed_in_place(lab: Written) -> None:
    changed = json.loads(lab.json.read_text())
    changed["base"]["name"] = "changed"
    lab.json.write_text(json.dumps(changed))
    assert json.loads(lab.json.read_text()) == changed
    assert lab.state(lab.json) in ("pending", "uploading")
    lab.settle()
    assert lab.on_server()[NDI_ID]["base"]["name"] == "changed"
    assert lab.files_on_server() == {"a.bin": lab.content}


def test_writing_what_is_there_already_changes_nothing(lab: Written) -> None:
    lab.json.write_text(json.dumps(json.loads(lab.json.read_text())))
    assert lab.queue() == []
    assert lab.state(lab.json) == "clean"


def test_the_id_of_a_document_never_changes(alone: Written) -> None:
    before = alone.json.read_bytes()
    changed = json.loads(before)
    changed["base"]["id"] = "41269430c7aed099_40dc5489899dc92a"
    with failing(errno.EINVAL):
        write_and_close(alone.json, json.dumps(changed).encode())
    assert alone.json.read_bytes() == before
    with failing(errno.EPERM):
        alone.json.rename(alone.documents / "other.json")


def test_what_close_has_refused_is_seen_by_nobody_else(alone: Written) -> None:
    """Also while the file stays open, as that of a shell whose first program has ended."""
    before = alone.json.read_bytes()
    changed = json.dumps(body(text="changed")).encode()
    kept = os.open(alone.json, os.O_RDWR | os.O_TRUNC)
    try:
        assert os.write(kept, changed[:-1]) == len(changed) - 1
        assert alone.json.stat().st_size == len(changed) - 1
        with failing(errno.EINVAL):
            os.close(os.dup(kept))
        assert alone.json.read_bytes() == before
        until(lambda: alone.json.stat().st_size == len(before), SOON[alone.user.binding])
        with alone.json.open("r+b") as file:
            assert file.read() == before
        assert os.pwrite(kept, changed[-1:], len(changed) - 1) == 1
    finally:
        os.close(kept)
    assert json.loads(alone.json.read_bytes()) == body(text="changed")
    assert list((alone.mount / ".ndicloudfs" / "rejected").iterdir()) == []


def test_what_was_refused_is_as_long_as_it_is_now(alone: Written) -> None:
    """The kernel believes a size for 20 s, unless it is told."""
    parked = alone.mount / ".ndicloudfs" / "rejected" / "odd.json"
    odd = os.open(alone.documents / "odd.json", os.O_WRONLY | os.O_CREAT, 0o644)
    os.write(odd, b"{")
    with failing(errno.EINVAL):
        os.close(os.dup(odd))
    until(lambda: parked.stat().st_size == 1, 5)
    os.write(odd, b"\n")
    with failing(errno.EINVAL):
        os.close(os.dup(odd))
    until(lambda: parked.stat().st_size == 2, 5)
    os.write(odd, b"}")
    os.close(odd)
    until(lambda: not parked.exists(), 5)


def test_a_removed_document_is_gone_here_and_there(lab: Written) -> None:
    lab.json.unlink()
    assert not lab.json.exists()
    assert [item.name for item in lab.documents.iterdir()] == [f"{OTHER_ID}.json"]
    assert not lab.files.exists()
    lab.settle()
    assert set(lab.on_server()) == {OTHER_ID}


def test_an_empty_file_waits_for_its_content(alone: Written) -> None:
    path = alone.documents / "later.json"
    path.touch()
    assert path.stat().st_size == 0
    assert alone.queue() == []
    alone.remount()
    assert path.stat().st_size == 0
    tool("sh", "-c", f"echo '{{}}' > '{path}'")
    alone.settle()
    assert len(alone.on_server()) == 3
    assert list((alone.mount / ".ndicloudfs" / "rejected").iterdir()) == []


def test_a_document_written_by_several_programs_counts_when_all_are_done(alone: Written) -> None:
    path = alone.documents / "parts.json"
    script = f"{{ echo '{{\"a\":'; printf 1 | cat; /bin/echo '}}'; }} > '{path}'"
    subprocess.run(["sh", "-c", script], check=False, capture_output=True)
    assert json.loads(path.read_text())["a"] == 1
    assert list((alone.mount / ".ndicloudfs" / "rejected").iterdir()) == []
    alone.settle()
    assert len(alone.on_server()) == 3


def test_an_emptied_document_is_empty_until_it_is_written(lab: Written) -> None:
    os.truncate(lab.json, 0)
    assert lab.json.stat().st_size == 0
    assert lab.queue() == []
    changed = body(text="anew")
    with lab.json.open("r+") as file:
        json.dump(changed, file)
    assert json.loads(lab.json.read_text()) == changed
    lab.settle()
    assert lab.on_server()[NDI_ID] == changed


def test_a_pending_document_is_renamed(lab: Written) -> None:
    lab.sandbox.fault("POST /datasets/{id}/documents", "status", -1, status=503)
    (lab.documents / "one.json").write_text('{"x": 1}')
    (lab.documents / "one.json").rename(lab.documents / "two.json")
    names = {item.name for item in lab.documents.iterdir()}
    assert "two.json" in names
    assert "one.json" not in names
    assert json.loads((lab.documents / "two.json").read_text())["x"] == 1
    lab.sandbox.clear_faults()
    lab.settle()
    assert len(lab.on_server()) == 3
    assert json.loads((lab.documents / "two.json").read_text())["x"] == 1


def test_a_file_renamed_while_it_is_written_keeps_its_new_name(lab: Written) -> None:
    first, second = lab.documents / "first.json", lab.documents / "second.json"
    with first.open("w") as file:
        file.write('{"x": ')
        file.flush()
        first.rename(second)
        file.write("1}")
    assert not first.exists()
    assert json.loads(second.read_text())["x"] == 1
    lab.settle()
    assert len(lab.on_server()) == 3


def test_a_scratch_file_renamed_onto_a_document_is_a_write_of_it(lab: Written) -> None:
    scratch = lab.documents / f".{NDI_ID}.json.Qz81"
    scratch.write_text(json.dumps(body(text="replaced")))
    assert lab.queue() == []
    scratch.rename(lab.json)
    assert not scratch.exists()
    assert json.loads(lab.json.read_text())["base"]["name"] == "replaced"
    lab.settle()
    assert lab.on_server()[NDI_ID]["base"]["name"] == "replaced"


def test_a_document_moved_aside_and_written_anew_is_one_change(lab: Written) -> None:
    backup = lab.documents / f"{NDI_ID}.json~"
    lab.json.rename(backup)
    assert not lab.json.exists()
    assert json.loads(backup.read_text())["base"]["id"] == NDI_ID
    lab.json.write_text(json.dumps(body(text="saved")))
    backup.unlink()
    lab.settle()
    assert lab.on_server()[NDI_ID]["base"]["name"] == "saved"
    assert len(lab.on_server()) == 2


# Files


def test_a_new_file_is_attached(lab: Written) -> None:
    data = os.urandom(1_000_000)
    path = lab.files / "new.bin"
    path.write_bytes(data)
    assert path.read_bytes() == data
    assert path.stat().st_size == len(data)
    assert sorted(item.name for item in lab.files.iterdir()) == ["a.bin", "new.bin"]
    lab.settle()
    assert lab.files_on_server() == {"a.bin": lab.content, "new.bin": data}
    assert path.read_bytes() == data
    assert lab.state(path) == "clean"


def test_a_file_is_reached_by_its_uid_before_and_after_it_is_sent(lab: Written) -> None:
    lab.sandbox.fault("GET /datasets/{orgId}/{id}/files/{uid}", "status", -1, status=503)
    path = lab.files / "new.bin"
    path.write_bytes(b"a recording")
    by_uid = lab.tree / "files" / ".uid" / os.getxattr(path, "user.ndi.uid").decode()
    assert by_uid.read_bytes() == b"a recording"
    assert by_uid.stat().st_size == len(b"a recording")
    assert lab.state(by_uid) in ("pending", "uploading")
    with failing(errno.EROFS):
        by_uid.write_bytes(b"something else")
    number = by_uid.stat().st_ino
    lab.sandbox.clear_faults()
    lab.settle()
    assert by_uid.read_bytes() == b"a recording"
    assert lab.state(by_uid) == "clean"
    assert by_uid.stat().st_ino == number
    path.unlink()
    lab.settle()


def test_a_document_without_files_takes_one(lab: Written) -> None:
    folder = lab.tree / "files" / CLASS / OTHER_ID
    (folder / "first.bin").write_bytes(b"first")
    assert OTHER_ID in [item.name for item in folder.parent.iterdir()]
    lab.settle()
    assert lab.files_on_server(OTHER_ID) == {"first.bin": b"first"}


def test_a_new_document_takes_files_before_the_server_has_it(lab: Written) -> None:
    lab.sandbox.fault("POST /datasets/{id}/documents", "status", -1, status=503)
    (lab.documents / "new.json").write_text("{}")
    ndi_id = json.loads((lab.documents / "new.json").read_text())["base"]["id"]
    for name in ("new", ndi_id):
        (lab.tree / "files" / CLASS / name / f"{name}.bin").write_bytes(name.encode())
    lab.sandbox.clear_faults()
    lab.settle()
    expected = {f"{name}.bin": name.encode() for name in ("new", ndi_id)}
    assert lab.files_on_server(ndi_id) == expected


def test_a_file_on_the_server_is_changed_at_random_places(lab: Written, tmp_path: Path) -> None:
    local = tmp_path / "a.bin"
    local.write_bytes(lab.content)
    for path in (local, lab.files / "a.bin"):
        with path.open("r+b") as file:
            file.seek(100_000)
            file.write(b"in the middle")
            file.seek(0)
            file.write(b"at the start")
            file.seek(50_000)
            assert file.read(10) == lab.content[50_000:50_010]
            file.seek(1_000_000)
            file.write(b"behind a hole")
            file.truncate(1_000_005)
        with path.open("ab") as file:
            file.write(b"at the end")
    assert (lab.files / "a.bin").read_bytes() == local.read_bytes()
    lab.settle()
    assert lab.files_on_server() == {"a.bin": local.read_bytes()}


def test_a_file_is_cut_and_grows_by_path(lab: Written) -> None:
    path = lab.files / "a.bin"
    os.truncate(path, 1000)
    assert path.read_bytes() == lab.content[:1000]
    os.truncate(path, 2000)
    assert path.read_bytes() == lab.content[:1000] + bytes(1000)
    lab.settle()
    assert lab.files_on_server() == {"a.bin": lab.content[:1000] + bytes(1000)}


def test_several_writers_and_a_reader_see_each_other(lab: Written) -> None:
    path = lab.files / "a.bin"
    with path.open("rb") as reader, path.open("r+b") as one, path.open("r+b") as other:
        one.write(b"one")
        one.flush()
        other.seek(3)
        other.write(b"other")
        other.flush()
        one.seek(0)
        assert one.read(8) == b"oneother"
        assert reader.read(8) == b"oneother"
    assert path.read_bytes() == b"oneother" + lab.content[8:]


def test_an_open_file_that_is_removed_goes_on_by_its_handle(lab: Written) -> None:
    path = lab.files / "gone.bin"
    with path.open("w+b", buffering=0) as file:
        file.write(b"something")
        path.unlink()
        assert not path.exists()
        file.write(b" more")
        file.seek(0)
        assert file.read() == b"something more"
        file.truncate(4)
        file.seek(0)
        assert file.read() == b"some"
    with tempfile.TemporaryFile(dir=lab.files) as unnamed:
        unnamed.write(b"for a moment")
        unnamed.seek(0)
        assert unnamed.read() == b"for a moment"
    assert not path.exists()
    assert [item.name for item in lab.files.iterdir()] == ["a.bin"]
    lab.settle()
    assert lab.files_on_server() == {"a.bin": lab.content}


def test_what_replaces_an_open_file_under_another_name_of_it_is_read_as_it_is(lab: Written) -> None:
    (lab.documents / "two.json").write_text(json.dumps(body("41269430c7aed0ff_40dc5489899dc92a")))
    one, other = (lab.files.parent / name for name in ("two", "41269430c7aed0ff_40dc5489899dc92a"))
    new = b"what is here now"
    with (one / "b.bin").open("w+b", buffering=0) as file:
        file.write(b"old")
        (other / ".b.tmp").write_bytes(new)
        (other / ".b.tmp").rename(other / "b.bin")
        for again in (b"old", b"OLD"):
            assert (one / "b.bin").read_bytes() == new
            assert (other / "b.bin").read_bytes() == new
            file.seek(0)
            assert file.read() == b"old"
            file.seek(0)
            file.write(again)  # which the kernel keeps as bytes of the path
    assert (one / "b.bin").read_bytes() == new
    lab.settle()
    assert (one / "b.bin").read_bytes() == new


def test_exclusive_creation_and_removal(lab: Written) -> None:
    path = lab.files / "a.bin"
    with failing(errno.EEXIST):
        path.open("xb")
    path.unlink()
    assert list(lab.files.iterdir()) == []
    with path.open("xb") as file:
        file.write(b"again")
    assert path.read_bytes() == b"again"
    lab.settle()
    assert lab.files_on_server() == {"a.bin": b"again"}


def test_files_are_renamed_in_their_folder(lab: Written) -> None:
    (lab.files / "a.bin").rename(lab.files / "b.bin")
    assert [item.name for item in lab.files.iterdir()] == ["b.bin"]
    (lab.files / "c.bin").write_bytes(b"c")
    (lab.files / "c.bin").rename(lab.files / "d.bin")
    assert (lab.files / "d.bin").read_bytes() == b"c"
    lab.settle()
    assert lab.files_on_server() == {"b.bin": lab.content, "d.bin": b"c"}


def test_two_files_are_not_exchanged_and_none_is_lost(lab: Written) -> None:
    (lab.files / "b.bin").write_bytes(b"b")
    names = [os.fsencode(lab.files / name) for name in ("a.bin", "b.bin")]
    libc = ctypes.CDLL(None, use_errno=True)
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    assert libc.renameat2(here, names[0], here, names[1], exchange) == -1
    assert ctypes.get_errno() == errno.EINVAL
    assert (lab.files / "a.bin").read_bytes() == lab.content
    assert (lab.files / "b.bin").read_bytes() == b"b"


def test_a_file_saved_through_a_temporary_name_replaces_the_old_one(lab: Written) -> None:
    (lab.files / ".a.bin.x7Qz").write_bytes(b"new")
    assert lab.queue() == []
    (lab.files / ".a.bin.x7Qz").rename(lab.files / "a.bin")
    assert (lab.files / "a.bin").read_bytes() == b"new"
    assert [item.name for item in lab.files.iterdir()] == ["a.bin"]
    lab.settle()
    assert lab.files_on_server() == {"a.bin": b"new"}


def test_a_file_of_more_than_5_gib_fails_at_the_write_that_crosses_it(lab: Written) -> None:
    with (lab.files / "huge.bin").open("wb", buffering=0) as file:
        file.seek((5 << 30) - 3)
        assert file.write(b"fit") == 3
        with failing(errno.EFBIG):
            file.write(b"!")
        (lab.files / "huge.bin").unlink()


# Datasets and classes


def test_the_metadata_of_a_dataset_are_edited(alone: Written) -> None:
    path = alone.tree / "dataset.json"
    fields = json.loads(path.read_text())
    path.write_text(json.dumps({**fields, "abstract": "What we did."}))
    assert json.loads(path.read_text())["abstract"] == "What we did."
    alone.settle()
    assert alone.api.detail(alone.dataset)["abstract"] == "What we did."
    with failing(errno.EINVAL):
        write_and_close(path, json.dumps({**fields, "isPublished": True}).encode())
    assert "isPublished" in alone.control("rejected/dataset.json.reason.txt")


def test_a_dataset_is_made_and_filled(lab: Written) -> None:
    organization = lab.mount / "Sandbox Lab"
    made = organization / "Made here"
    made.mkdir()
    (made / "documents" / "subject").mkdir()
    (made / "documents" / "subject" / "rat.json").write_text('{"subject": {"name": "rat"}}')
    (made / "files" / "subject" / "rat" / "trace.bin").write_bytes(b"trace")
    assert [item.name for item in (made / "documents").iterdir()] == ["subject"]
    lab.settle()
    dataset = lab.dataset_named("Made here")
    (ndi_id,) = lab.on_server(dataset)
    assert lab.files_on_server(ndi_id, dataset) == {"trace.bin": b"trace"}
    assert (made / "files" / "subject" / ndi_id / "trace.bin").read_bytes() == b"trace"
    with failing(errno.EPERM):
        made.rmdir()


def test_a_class_folder_is_kept_and_removed(alone: Written) -> None:
    folder = alone.tree / "documents" / "subject"
    folder.mkdir()
    alone.remount()
    assert folder.is_dir()
    folder.rmdir()
    assert not folder.exists()
    with failing(errno.ENOTEMPTY):
        alone.documents.rmdir()


def test_what_there_can_be_none_of_is_refused(lab: Written) -> None:
    with failing(errno.EPERM):
        (lab.json.parent / "link.json").symlink_to(lab.json)
    with failing(errno.EPERM):
        os.link(lab.json, lab.json.parent / "link.json")
    with failing(errno.EPERM):
        os.mkfifo(lab.documents / "pipe")
    with failing(errno.EPERM):
        os.chown(lab.json, 12345, 12345)
    with failing(errno.ENOTSUP):
        os.setxattr(lab.json, "user.note", b"x")
    with failing(errno.EPERM):
        (lab.tree / "notes.txt").write_text("x")
    with failing(errno.EPERM):
        (lab.tree / "more").mkdir()
    with failing(errno.EXDEV):
        (lab.files / "a.bin").rename(lab.tree / "files" / CLASS / OTHER_ID / "a.bin")
    lab.json.chmod(0o600)
    os.utime(lab.json, (1, 1))
    assert lab.json.stat().st_mode & 0o777 == 0o644
    assert lab.queue() == []


def test_session_of_documents_without_one_is_the_same_in_a_dataset(lab: Written) -> None:
    sessions = set()
    for number in range(3):
        path = lab.documents / f"{number}.json"
        path.write_text("{}")
        sessions.add(json.loads(path.read_text())["base"]["session_id"])
    assert len(sessions) == 1
    assert SESSION_ID not in sessions


def test_the_size_is_right_as_soon_as_a_document_is_closed(lab: Written) -> None:
    """Also where somebody has asked for it before, and the kernel remembers the answer."""
    path = lab.documents / "asked.json"
    with path.open("w") as file:
        file.write('{"a":1}')
        file.flush()
        assert path.stat().st_size == 7
    until(lambda: path.stat().st_size > 7, SOON[lab.user.binding])
    assert path.stat().st_size == len(path.read_bytes())
    scratch = lab.documents / ".scratch"
    scratch.write_text('{"b":1}')
    assert scratch.stat().st_size == 7
    scratch.rename(lab.documents / "renamed.json")
    renamed = lab.documents / "renamed.json"
    until(lambda: renamed.stat().st_size > 7, SOON[lab.user.binding])
    assert renamed.stat().st_size == len(renamed.read_bytes())


def test_the_bytes_of_a_file_that_never_arrived_are_given_later(alone: Written) -> None:
    given = body("41269430c7aed022_40dc5489899dc92a", "without bytes", "no such object")
    alone.api.document(alone.dataset, given)
    alone.remount()
    path = alone.tree / "files" / CLASS / given["base"]["id"] / "a.bin"
    until(path.exists)
    assert alone.state(path) == "missing"
    with path.open("r+b") as file:
        file.write(b"here they are")
    assert path.read_bytes() == b"here they are"
    alone.settle()
    assert alone.files_on_server(given["base"]["id"]) == {"a.bin": b"here they are"}
