"""Looking at the server with few calls: which of many documents are there, and what they say."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from ndicloudfs.cloud import NdiCloud
from ndicloudfs.cloud.documents import MAX_FETCH, PAGE_SIZE
from ndicloudfs.cloud.errors import BadAnswer, Refused, ServerFault, TimedOut
from ndicloudfs.cloud.values import UNKNOWN_CLASS, Document, Json, Summary

log = logging.getLogger(__name__)

T = TypeVar("T")

# Ids in one regular expression: 900 of 33 characters stay below the 32 KiB that databases like
# the server's take, and the answer fits a page.
IDS_PER_QUERY = 900
_MOST_PAGES = 1000
_TOO_MUCH = (ServerFault, BadAnswer, Refused, TimedOut)


def find(cloud: NdiCloud, dataset_id: str, wanted: Mapping[str, str]) -> dict[str, list[Summary]]:
    """The documents with the ndi ids ``wanted`` (ndi id -> class), each with those that have it.

    One call for 900 ids; where the server cannot answer that, the list of the dataset.
    """
    found: dict[str, list[Summary]] = defaultdict(list)
    for ids in parts(sorted(wanted, key=lambda id_: (wanted[id_], id_)), IDS_PER_QUERY):
        asked = set(ids)
        try:
            rows = list(_query(cloud, dataset_id, ids, {wanted[id_] for id_ in ids}))
        except _TOO_MUCH as error:
            log.info("%d ids cannot be asked for, listing the dataset: %s", len(ids), error)
            rows = list(_list(cloud, dataset_id))
            asked = set(wanted)
            found.clear()
        for row in _with_ids(cloud, dataset_id, rows):
            if row.ndi_id in asked and row not in found[row.ndi_id]:
                found[row.ndi_id].append(row)
        if len(asked) > len(ids):
            break
    return {id_: sorted(rows, key=lambda row: row.id) for id_, rows in found.items() if rows}


def fetch(cloud: NdiCloud, dataset_id: str, ids: Iterable[str]) -> dict[str, Document]:
    """The bodies of documents by cloud id; what the server leaves out is asked for once more."""
    found: dict[str, Document] = {}
    for part in parts(list(dict.fromkeys(ids)), MAX_FETCH):
        missing = part
        for _ in range(2):  # what is there may be left out at times (section 12, #916)
            fetched = cloud.documents.fetch(dataset_id, missing)
            found.update((document.summary.id, document) for document in fetched.documents)
            if fetched.hollow:
                raise BadAnswer(
                    f"The server sends {len(fetched.hollow)} documents without their content; "
                    "they are asked for again later"
                )
            missing = [id_ for id_ in missing if id_ not in found]
            if not missing:
                break
    return found


def parts(items: Sequence[T], length: int) -> Iterator[list[T]]:
    """Lists of ``length`` items each, the last may be shorter."""
    for start in range(0, len(items), length):
        yield list(items[start : start + length])


def _query(
    cloud: NdiCloud, dataset_id: str, ids: list[str], classes: set[str]
) -> Iterator[Summary]:
    field: Json = {"field": "base.id", "param2": ""}
    if len(ids) == 1:
        conditions = [{**field, "operation": "exact_string", "param1": ids[0]}]
    else:
        either = "|".join(re.escape(id_) for id_ in ids)
        conditions = [{**field, "operation": "regexp", "param1": f"^({either})$"}]
    if len(classes) == 1 and UNKNOWN_CLASS not in classes:
        # The server has an index for it, and looks at fewer bodies.
        isa = {"field": "", "operation": "isa", "param1": next(iter(classes)), "param2": ""}
        conditions.insert(0, isa)
    for number in range(1, _MOST_PAGES):
        page = cloud.documents.query(dataset_id, conditions, number)
        yield from page.documents
        if page.rows < PAGE_SIZE:
            return


def _with_ids(cloud: NdiCloud, dataset_id: str, rows: list[Summary]) -> list[Summary]:
    """The rows, with the ndi id out of the body where the server's column has none."""
    nameless = [row.id for row in rows if not row.ndi_id]
    if not nameless:
        return rows
    bodies = fetch(cloud, dataset_id, nameless)
    return [bodies[row.id].summary if row.id in bodies else row for row in rows]


def _list(cloud: NdiCloud, dataset_id: str) -> Iterator[Summary]:
    for number in range(1, _MOST_PAGES):
        page = cloud.documents.page(dataset_id, number)
        yield from page.documents
        if not page.rows:
            return
