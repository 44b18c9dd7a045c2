"""Writes the documents of the sample dataset one after another: what all of them share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ndicloudfs.sandbox.sample_bodies import Ids, Json, base, dependencies, document_class, files

SUBJECTS = ("rat1@lab.example.org", "rat2@lab.example.org", "rat 3 (naïve)@lab.example.org")
SESSION = 0
FIRST_SUBJECT = 1

Payload: TypeAlias = Callable[[], bytes]
Named: TypeAlias = "tuple[str, Payload | None]"


@dataclass(frozen=True, slots=True)
class Entry:
    """A document and what makes the bytes of its objects, by uid."""

    body: Json
    objects: tuple[tuple[str, Payload], ...] = ()


class Writer:
    """Gives each document the next ids. ``session`` and ``subjects`` are ndi ids."""

    def __init__(self, ids: Ids) -> None:
        self.ids = ids
        self.session = ids.at(SESSION)
        self.subjects = [ids.at(FIRST_SUBJECT + index) for index in range(len(SUBJECTS))]
        self._next = FIRST_SUBJECT + len(SUBJECTS)

    def take(self) -> int:
        """The next position that no document and no object has."""
        self._next += 1
        return self._next - 1

    def document(
        self,
        path: str,
        blocks: Json,
        depends: Sequence[tuple[str, str]] = (),
        *,
        supers: Sequence[str] = (),
        named: Sequence[Named] = (),
        allowed: Sequence[str] | None = None,
        name: str = "",
        position: int | None = None,
        bare: bool = False,
    ) -> Entry:
        """A document of class ``path``; a file in ``named`` with payload None is never there."""
        if position is None:
            position = self.take()
        body: Json = {"base": base(self.ids, position, self.session, name)}
        body["depends_on"] = dependencies(depends, bare=bare)
        body["document_class"] = document_class(path, supers, bare=bare)
        uids = [self.ids.at(self.take()) for _ in named]
        if named:
            pairs = [(file, uid) for (file, _), uid in zip(named, uids, strict=True)]
            body["files"] = files(pairs, allowed, bare=bare)
        body.update(blocks)
        made = [(uid, make) for (_, make), uid in zip(named, uids, strict=True) if make]
        return Entry(body, tuple(made))

    def element(self, name: str, kind: str, *, direct: int, underlying: str = "") -> Entry:
        """An element of the first subject; ``underlying`` is the ndi id of what it is read from."""
        return self.document(
            "element",
            {
                "element": {
                    "direct": direct,
                    "name": name,
                    "ndi_element_class": "ndi.probe.timeseries.mfdaq"
                    if not underlying
                    else "ndi.neuron",
                    "reference": 1,
                    "type": kind,
                }
            },
            [("subject_id", self.subjects[0]), ("underlying_element_id", underlying)],
            name=name,
        )


def id_of(entry: Entry) -> str:
    """The ndi id of a document."""
    return str(entry.body["base"]["id"])
