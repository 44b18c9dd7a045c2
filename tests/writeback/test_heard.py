"""What the journal says without a look of a name that it has never heard of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ndicloudfs.writeback import WriteBack
from ndicloudfs.writeback.heard import Heard
from tests.writeback.worlds import DATASET, data_of, opened, place


def test_too_many_names_rule_out_none() -> None:
    heard = Heard(["a", "b"], most=3)
    assert heard.never("c")
    heard.note("c")
    assert not heard.never("c")
    assert heard.never("d")
    heard.note("d")
    assert not heard.never("e")
    assert not Heard("abcd", most=3).never("e")


def test_a_document_is_found_by_each_of_its_names(state: Path) -> None:
    writeback = opened(state)
    where = replace(place(), name="first")
    entry = writeback.commit_document(where, data_of(where), "")
    _is_found(writeback, where.ndi_id, "first")
    writeback.commit_document_name(entry.generation, "second")
    _is_found(writeback, where.ndi_id, "second")
    assert writeback.named(DATASET, where.class_name, "first") is None
    writeback.close()
    again = opened(state)
    _is_found(again, where.ndi_id, "second")
    assert again.named(DATASET, where.class_name, "third") is None
    again.commit_deletion(replace(place(), ndi_id="41_42", document_id="1" * 24), "")
    assert again.named(DATASET, where.class_name, "41_42") is not None
    again.close()


def _is_found(back: WriteBack, ndi_id: str, name: str) -> None:
    for known in (ndi_id, name):
        entry = back.named(DATASET, "subject", known)
        assert entry is not None
        assert entry.ndi_id == ndi_id
