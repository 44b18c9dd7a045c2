"""The bytes of files: what was closed stays as it was closed."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from ndicloudfs.writeback import Draft, WriteBack
from ndicloudfs.writeback.staging import LARGEST_OBJECT, Staging
from tests.support.system import tiny_disk
from tests.writeback.worlds import body_of, opened, place


def test_writing_goes_on_in_a_copy(writeback: WriteBack) -> None:
    draft = writeback.stage()
    draft.pwrite(b"0123456789", 0)
    kept = writeback.commit_file(place(), "a.bin", draft)
    draft.pwrite(b"abc", 4)
    draft.truncate(8)
    assert draft.pread(0, 100) == b"0123abc7"
    path = writeback.staged(kept.uid)
    assert path is not None
    assert path.read_bytes() == b"0123456789"
    draft.discard()
    assert path.read_bytes() == b"0123456789"


def test_a_draft_that_is_discarded_leaves_nothing(writeback: WriteBack) -> None:
    draft = writeback.stage()
    draft.pwrite(b"bytes", 0)
    draft.discard()
    draft.discard()
    assert [path for path in (writeback.folder / "staging").rglob("*") if path.is_file()] == []
    with pytest.raises(OSError, match="Bad file descriptor"):
        draft.pwrite(b"more", 0)


def test_a_copy_keeps_holes(writeback: WriteBack, tmp_path: Path) -> None:
    source = tmp_path / "source"
    with source.open("wb") as file:
        file.truncate(64 * 2**20)
        file.seek(32 * 2**20)
        file.write(b"in the middle")
    draft = writeback.stage()
    with source.open("rb") as file:
        draft.copy_from(file.fileno())
    entry = writeback.commit_file(place(), "a.bin", draft)
    draft.discard()
    path = writeback.staged(entry.uid)
    assert path is not None
    assert path.read_bytes() == source.read_bytes()
    assert path.stat().st_blocks * 512 < 2**20


def test_more_than_the_server_takes_is_too_big(writeback: WriteBack) -> None:
    draft = writeback.stage()
    draft.pwrite(b"x", LARGEST_OBJECT - 1)
    for write in (lambda: draft.pwrite(b"x", LARGEST_OBJECT), lambda: draft.truncate(2**40)):
        with pytest.raises(OSError, match="File too large") as caught:
            write()
        assert caught.value.errno == errno.EFBIG
    draft.discard()


def test_a_full_disk_is_told_at_the_write_and_what_was_kept_is_safe(tmp_path: Path) -> None:
    with tiny_disk(tmp_path / "disk", 8 * 2**20) as disk:
        back = opened(disk)
        draft = back.stage()
        draft.pwrite(b"safe" * 1000, 0)
        safe = back.commit_file(place(), "safe.bin", draft)
        draft.discard()
        document = place()
        back.commit_document(document, b'{"a": 1}', "")

        full = back.stage()
        with pytest.raises(OSError, match="No space left") as caught:
            _fill(full)
        assert caught.value.errno == errno.ENOSPC
        with pytest.raises(OSError, match="No space left"):
            back.commit_document(place(), b'{"a": 1}' * 100_000, "")
        full.discard()

        back.commit_document(place(), b'{"a": 2}', "")  # there is room again
        back.close()
        again = opened(disk)
        assert [entry.size for entry in again.queue()] == [4000, 8, 8]
        path = again.staged(safe.uid)
        assert path is not None
        assert path.read_bytes() == b"safe" * 1000
        again.close()


def test_what_a_killed_process_left_is_cleaned_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "staging"
    staging = Staging(folder)
    draft = staging.draft()
    draft.pwrite(b"half", 0)
    kept, orphan = staging.draft(), staging.draft()
    staging.freeze(kept, "kept")
    staging.settled("kept")
    staging.freeze(orphan, "orphan")
    staging.settled("orphan")
    committing = staging.draft()
    staging.freeze(committing, "committing")

    assert staging.sweep(lambda uid: uid == "kept") == 1
    assert _names(folder / "objects") == ["committing", "kept"]
    staging.settled("committing")
    Staging(folder)
    assert _names(folder / "drafts") == []
    for one in (draft, kept, orphan, committing):
        one.discard()


def test_rejected_bytes_are_kept_with_their_reason(writeback: WriteBack) -> None:
    first = writeback.reject("odd/name.json", b"{broken", "it is no JSON")
    second = writeback.reject("odd/name.json", b"{also", "it is no JSON either")
    assert first != second
    kept = {parked.path.read_bytes(): parked.reason for parked in writeback.rejected()}
    assert kept == {b"{broken": "it is no JSON", b"{also": "it is no JSON either"}
    assert body_of(place())["base"]["id"]


def _fill(draft: Draft) -> None:
    for number in range(100):
        draft.pwrite(b"x" * 2**20, number * 2**20)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
