"""A sample dataset, generated: the same bytes for the same seed on every machine.

Documents and objects are made while they are iterated, so a sample of any size needs the memory
of one document. No HTTP here: ``ndicloudfs sandbox sample`` loads what this makes.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import BinaryIO

from ndicloudfs.sandbox.sample_bodies import (
    Ids,
    Json,
    base,
    dependencies,
    document_class,
    files,
    openminds,
    table_row,
    term,
)
from ndicloudfs.sandbox.sample_core import study
from ndicloudfs.sandbox.sample_payloads import Pattern, vhsb_header
from ndicloudfs.sandbox.sample_recordings import RATE
from ndicloudfs.sandbox.sample_writer import FIRST_SUBJECT, SESSION, SUBJECTS, Entry

FILE_SIZE = 64 * 1024
_FIRST_FILLER = 10_000
# The proportions of the three largest classes of the Haley dataset (section 7.7):
# 41 095 ontologyTableRow, 9 032 openminds_subject, 4 156 element_epoch.
_CYCLE = (
    "row", "row", "row", "openminds", "row", "row", "row", "epoch", "row", "row", "openminds",
    "row", "row",
)  # fmt: skip
_COPY_BUFFER = 1 << 20


@dataclass(frozen=True, slots=True)
class SampleObject:
    """An object of the dataset: ``size`` in bytes, ``open`` gives a new file at its start."""

    uid: str
    size: int
    open: Callable[[], BinaryIO]


@dataclass(frozen=True, slots=True)
class Sample:
    """A dataset to load: ``fields`` are what ``POST /organizations/{id}/datasets`` takes.

    The counts are those of ``documents()`` and ``objects()``.
    """

    fields: Json
    document_count: int
    object_count: int
    _seed: int
    _core: int
    _extra_files: int
    _file_size: int
    _with_missing: bool

    def documents(self) -> Iterator[Json]:
        """The NDI bodies, from the first on at every call."""
        for entry in islice(self._core_entries(), self._core):
            yield entry.body
        for number in range(self._fillers):
            yield self._filler(number)

    def objects(self) -> Iterator[SampleObject]:
        """The objects that the documents name, in the order of the documents."""
        for entry in islice(self._core_entries(), self._core):
            for uid, make in entry.objects:
                data = make()
                yield SampleObject(uid, len(data), partial(io.BytesIO, data))
        for number in range(self._fillers):
            if self._has_file(number):
                uid = self._ids.at(_uid_position(number))
                yield SampleObject(uid, self._file_size, partial(_pattern, uid, self._file_size))

    @property
    def _fillers(self) -> int:
        return self.document_count - self._core

    @property
    def _ids(self) -> Ids:
        return Ids(self._seed)

    def _core_entries(self) -> Iterator[Entry]:
        return study(self._ids, with_missing=self._with_missing)

    def _has_file(self, number: int) -> bool:
        """Spread the files evenly over the documents that fill up."""
        share, whole = self._extra_files, self._fillers
        return (number + 1) * share // whole > number * share // whole

    def _filler(self, number: int) -> Json:
        ids = self._ids
        position = _FIRST_FILLER + 2 * number
        kind = "epoch" if self._has_file(number) else _CYCLE[number % len(_CYCLE)]
        body: Json = {"base": base(ids, position, ids.at(SESSION))}
        subject = ids.at(FIRST_SUBJECT + number % len(SUBJECTS))
        if kind == "epoch":
            body["depends_on"] = dependencies([("element_id", "")])
            body["document_class"] = document_class("element_epoch", ("epochid",))
            if self._has_file(number):
                uid = ids.at(_uid_position(number))
                body["files"] = files([("epoch_binary_data.vhsb", uid)])
            body["element_epoch"] = {"epoch_clock": "dev_local_time", "t0_t1": [0, number % 600]}
            body["epochid"] = {"epochid": f"t{number:08d}"}
        elif kind == "row":
            body["depends_on"] = dependencies([("document_id", subject)])
            body["document_class"] = document_class("data/ontologyTableRow", ())
            body.update(
                table_row(
                    ("Trial number", "TrialNumber", "EMPTY:0000210", number),
                    ("Plate: number", "PlateNumber", "EMPTY:0000099", f"{number % 977:04d}"),
                    ("Velocity (µm/s)", "Velocity", "EMPTY:0000211", number * 37 % 4_001 / 8),
                    ("Censored", "Censored", "EMPTY:0000212", number % 11 == 0),
                )
            )
        else:
            body["depends_on"] = dependencies([("subject_id", subject), ("openminds", "")])
            body["document_class"] = document_class(
                "metadata/openminds_subject", ("metadata/openminds",)
            )
            body["openminds"] = openminds(
                "Species",
                "controlledterms",
                term("Rattus norvegicus", "NCBITaxon:10116", "", f"rat {number}"),
            )
            body["openminds_subject"] = {}
        return body


def sample(
    seed: int = 0,
    documents: int | None = None,
    files: int | None = None,
    file_size: int | None = None,
    *,
    with_missing: bool = False,
) -> Sample:
    """A sample dataset of ``documents`` documents, ``files`` of which get an extra object.

    ``documents`` defaults to the small study of ``sample_core`` plus ``files``; fewer give its
    first ones, more are filled up. ``file_size`` is in bytes. ``with_missing`` adds a document
    whose object is never uploaded. Raises ValueError where the numbers contradict each other.
    """
    extra = files or 0
    size = FILE_SIZE if file_size is None else file_size
    core = sum(1 for _ in study(Ids(seed), with_missing=with_missing))
    count = core + extra if documents is None else documents
    if min(count, extra, size) < 0:
        raise ValueError("documents, files and file_size cannot be negative")
    if extra > count:
        raise ValueError(f"{extra} files need as many documents, but there are only {count}")
    core = min(core, count - extra)
    entries = islice(study(Ids(seed), with_missing=with_missing), core)
    objects = sum(len(entry.objects) for entry in entries) + extra
    return Sample(
        fields=_fields(seed),
        document_count=count,
        object_count=objects,
        _seed=seed,
        _core=core,
        _extra_files=extra,
        _file_size=size,
        _with_missing=with_missing,
    )


def _uid_position(number: int) -> int:
    return _FIRST_FILLER + 2 * number + 1


def _pattern(uid: str, size: int) -> BinaryIO:
    return io.BufferedReader(Pattern(uid, size, vhsb_header(RATE)), _COPY_BUFFER)


def _fields(seed: int) -> Json:
    return {
        "name": "Dataset: what do “naïve” rats see? Responses to 0°/45°/90° gratings in V1 "
        f"<pilot #{seed}>",
        "branchName": "original",
        "abstract": "A generated dataset with the shapes of real ones: tetrode recordings from the "
        "primary visual cortex of three rats that look at drifting gratings.\n\nNothing in it was "
        "measured.",
        "contributors": [
            {
                "firstName": "Ada",
                "lastName": "Example",
                "orcid": "0000-0000-0000-0000",
                "contact": "",
            },
            {"firstName": "Jürgen", "lastName": "Muster-Ångström", "orcid": "", "contact": "true"},
        ],
        "correspondingAuthors": [
            {"firstName": "Ada", "lastName": "Example", "orcid": "0000-0000-0000-0000"}
        ],
        "associatedPublications": [],
        "funding": [{"source": "Example Foundation"}],
        "license": "CC-BY-4.0",
        "species": "Rattus norvegicus",
        "brainRegions": "primary visual cortex",
        "numberOfSubjects": len(SUBJECTS),
        "neurons": 1,
        "pubMedId": "",
        "affiliation": "Example University",
    }
