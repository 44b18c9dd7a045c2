"""The documents every sample dataset starts with: a small study with one of everything.

Composed by us in the shapes of real documents: what is odd here (bare objects for one-element
lists, sentinels, a repeated ndi id, a file series, awkward names) is odd on NDI Cloud too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from ndicloudfs.sandbox import sample_payloads as payloads
from ndicloudfs.sandbox.sample_bodies import NAN, Ids, Json, openminds, table_row, term
from ndicloudfs.sandbox.sample_recordings import recordings, rig, stimuli
from ndicloudfs.sandbox.sample_writer import FIRST_SUBJECT, SESSION, SUBJECTS, Entry, Writer

PROTOCOL = (
    "Messprotokoll Käfig 3\n\nTier: rat1\nElektrode: Tetrode, 0,5 MΩ, Tiefe 640 µm\n"
    "Reiz: Gitter, 0°/45°/90°, Kontrast 50 %\nBemerkung: ruhig, läuft gern\n"
)
AWKWARD_NAMES = (
    'a/b\\c: "quoted" <tag> | 100 % *?',
    "..",
    " leading and trailing ",
    "line\nbreak\tand tab",
    "日本語の名前 🐀",
    "e\u0301 decomposed",
    "long " + "x" * 295,
)


def study(ids: Ids, *, with_missing: bool) -> Iterator[Entry]:
    """Every document, the session first, in an order in which every reference points back."""
    writer = Writer(ids)
    yield from _structure(writer)
    yield from _subject_metadata(writer)
    daqreader, probe = yield from rig(writer)
    yield from recordings(writer, daqreader, probe)
    yield from stimuli(writer, probe)
    yield from _attachments(writer)
    yield from _tables(writer)
    yield from _oddities(writer, probe, with_missing=with_missing)


def _structure(writer: Writer) -> Iterator[Entry]:
    yield writer.document("session", {"session": {"reference": "V1 pilot"}}, position=SESSION)
    for index, identifier in enumerate(SUBJECTS):
        description = "" if index else "Long-Evans, 12 weeks"
        subject = {"local_identifier": identifier, "description": description}
        yield writer.document("subject", {"subject": subject}, position=FIRST_SUBJECT + index)
    yield writer.document(
        "dataset_session_info",
        {
            "dataset_session_info": {
                "dataset_session_info": {
                    "is_linked": 0,
                    "session_creator": "ndi.session.dir",
                    "session_id": writer.session,
                    "session_reference": "V1 pilot",
                }
            }
        },
    )
    yield writer.document(
        "session_in_a_dataset",
        {"session_in_a_dataset": {"session_id": writer.session, "is_linked": 0}},
        bare=True,
    )
    members = [(f"subject_id_{n}", uid) for n, uid in enumerate(writer.subjects[:2], 1)]
    group = {"subject_group": {"name": "control / sham"}}
    yield writer.document("subject_group", group, members, name="control / sham")
    yield writer.document(
        "treatment",
        {
            "treatment": {
                "name": "eye opening",
                "ontologyName": "empty:Treatment: eyes opened",
                "numeric_value": [],
                "string_value": "2025-08-21",
            }
        },
        [("subject_id", writer.subjects[0])],
        bare=True,
    )


def _subject_metadata(writer: Writer) -> Iterator[Entry]:
    for index, subject in enumerate(writer.subjects):
        species = _openminds_subject(
            writer,
            subject,
            openminds(
                "Species",
                "controlledterms",
                term("Rattus norvegicus", "NCBITaxon:10116", "", "brown rat"),
            ),
        )
        yield species
        sex, code = ("male", "PATO:0000384") if index else ("female", "PATO:0000383")
        yield _openminds_subject(
            writer, subject, openminds("BiologicalSex", "controlledterms", term(sex, code))
        )
        species_id = species.body["base"]["id"]
        strain = {
            "alternateIdentifier": "",
            "backgroundStrain": [],
            "breedingType": [],
            "description": "Outbred, “hooded”; Zürich colony.",
            "digitalIdentifier": [],
            "geneticStrainType": [],
            "laboratoryCode": "",
            "name": "Long-Evans",
            "ontologyIdentifier": "RRID:RGD_68073",
            "phenotype": "",
            "species": [f"ndi://{species_id}"],
            "stockNumber": [],
            "synonym": "",
        }
        yield _openminds_subject(
            writer,
            subject,
            openminds("Strain", "core.research", strain, f"Strain/sample-{index}"),
            references=[("openminds_1", species_id)],
        )


def _openminds_subject(
    writer: Writer,
    subject: str,
    block: Json,
    references: Sequence[tuple[str, str]] = (("openminds", ""),),
) -> Entry:
    return writer.document(
        "metadata/openminds_subject",
        {"openminds": block, "openminds_subject": {}},
        [("subject_id", subject), *references],
        supers=("metadata/openminds",),
    )


def _attachments(writer: Writer) -> Iterator[Entry]:
    tone = partial(_tone, 100, 44_100)
    for name, ontology, make, bare in (
        ("Messprotokoll Käfig 3.txt", "format:3462", PROTOCOL.encode, True),
        ("running_speed.csv", "format:3752", _running_speed, False),
        ("microphone 441 Hz.wav", "NCIT:C172213", tone, True),
    ):
        yield writer.document(
            "data/generic_file",
            {
                "generic_file": {
                    "checksum": "",
                    "dateCreated": "2025-09-04",
                    "dateUpdated": "",
                    "filename": name,
                    "formatOntology": ontology,
                }
            },
            [("document_id", writer.subjects[0])],
            named=[("generic_file.ext", make)],
            bare=bare,
        )
    image = {"formatOntology": "format:3603", "label": "cranial window, day 1"}
    shape = {
        "clocktype": "",
        "data_limits": [0, 255],
        "data_type": "uint8",
        "dimension_labels": "height,width",
        "dimension_order": "YX",
        "dimension_scale": [1.3, 1.3],
        "dimension_scale_units": ["micrometer", "micrometer"],
        "dimension_size": [72, 96],
        "timestamp": [],
    }
    yield writer.document(
        "data/imageStack",
        {"imageStack": image, "imageStack_parameters": shape},
        [("subject_id", writer.subjects[0]), ("document_id", "")],
        supers=("data/imageStack_parameters",),
        named=[("imageStack", partial(payloads.png, 96, 72, "window"))],
        bare=True,
    )
    yield writer.document(
        "data/ontologyLabel",
        {"ontologyLabel": {"label": "cranial window", "ontologyNode": "NCIT:C63539"}},
        [("document_id", writer.subjects[0])],
        bare=True,
    )


def _tables(writer: Writer) -> Iterator[Entry]:
    for day in range(1, 9):
        subject = writer.subjects[day % len(SUBJECTS)]
        weight: object = NAN if day == 5 else 250 + 3 * day
        yield writer.document(
            "data/ontologyTableRow",
            table_row(
                ("Day of experiment", "ExperimentDay", "EMPTY:0000201", day),
                ("Body weight (g)", "BodyWeight", "EMPTY:0000202", weight),
                ("Remark", "Remark", "EMPTY:0000203", "" if day % 3 else "≥ 5 µl reward"),
            ),
            [("document_id", subject)],
            bare=day % 2 == 0,
        )


def _oddities(writer: Writer, probe: str, *, with_missing: bool) -> Iterator[Entry]:
    members = [writer.ids.at(writer.take()) for _ in range(3)]
    manifest = "".join(f"{uid}\n" for uid in members)
    series = writer.document(
        "demoNDISeries",
        {"demoNDISeries": {"value": 5}},
        named=[("chunkdata.bin", manifest.encode)],
        name="series",
    )
    info = {"count": len(members), "n_present": len(members), "name": "chunkdata.bin"}
    series.body["files"].update(file_series=["chunkdata.bin"], series_info=info)
    chunks = tuple(
        (uid, partial(payloads.noise, f"chunk {number}", 4_096 * number))
        for number, uid in enumerate(members, 1)
    )
    yield replace(series, objects=series.objects + chunks)
    twice = writer.take()
    for label in ("left hemisphere", "left hemisphere (corrected)"):
        yield writer.document(
            "data/ontologyLabel",
            {"ontologyLabel": {"label": label, "ontologyNode": "UBERON:0002812"}},
            [("document_id", probe)],
            position=twice,
            bare=True,
        )
    for name in AWKWARD_NAMES:
        editor = {"metadata_structure": {"Title": name, "Keywords": "V1, 視覚野, зрение"}}
        yield writer.document("metadata_editor", {"metadata_editor": editor}, name=name)
    if with_missing:
        yield writer.document(
            "data/imageStack",
            {"imageStack": {"formatOntology": "format:3591", "label": "never uploaded"}},
            [("subject_id", writer.subjects[1]), ("document_id", "")],
            named=[("imageStack", None)],
        )


def _tone(period: int, rate: int) -> bytes:
    return payloads.wav(payloads.wave_samples(period, 20_000, 2 * rate), rate)


def _running_speed() -> bytes:
    speeds = payloads.wave_samples(120, 180, 600)
    rows = (f"{n / 10:.1f},{abs(speed) / 10:.1f}\n" for n, speed in enumerate(speeds))
    return ("time_s,speed_cm_per_s\n" + "".join(rows)).encode()
