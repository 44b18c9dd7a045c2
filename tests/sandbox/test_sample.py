"""The sample dataset: the same bytes everywhere, and every quirk that real data have."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import tarfile
import time
import wave
import zlib
from itertools import islice
from typing import Any

import pytest

from ndicloudfs.sandbox.sample import Sample, sample
from ndicloudfs.sandbox.sample_payloads import Pattern

# Changes with every change of the sample; never with the machine or the version of Python.
DEFAULT_SHA256 = "076fdaca0962cfac66e08fc40ba08f65920bfb2bde4d9f3f79fcebdf685d9590"


def digest(what: Sample) -> str:
    found = hashlib.sha256(json.dumps(what.fields, ensure_ascii=False).encode())
    for body in what.documents():
        found.update(json.dumps(body, ensure_ascii=False, allow_nan=False).encode())
    for item in what.objects():
        found.update(item.uid.encode())
        found.update(item.open().read())
    return found.hexdigest()


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def named_uids(body: dict[str, Any]) -> list[tuple[str, str]]:
    infos = listed(body.get("files", {}).get("file_info", []))
    return [(info["name"], place["uid"]) for info in infos for place in listed(info["locations"])]


def of_class(what: Sample, name: str) -> list[dict[str, Any]]:
    return [body for body in what.documents() if body["document_class"]["class_name"] == name]


def bytes_of(what: Sample, body: dict[str, Any], file: str) -> bytes:
    (uid,) = [uid for name, uid in named_uids(body) if name == file]
    return next(item.open().read() for item in what.objects() if item.uid == uid)


def test_default_sample_is_pinned() -> None:
    assert digest(sample()) == DEFAULT_SHA256


def test_seed_changes_everything_and_is_repeatable() -> None:
    assert digest(sample(seed=1)) == digest(sample(seed=1)) != DEFAULT_SHA256


def test_counts_are_those_of_the_iterators() -> None:
    for what in (sample(), sample(with_missing=True), sample(0, 20), sample(0, 300, 17, 5)):
        assert sum(1 for _ in what.documents()) == what.document_count
        assert sum(1 for _ in what.objects()) == what.object_count


def test_sizes_are_those_of_the_bytes() -> None:
    for item in sample(files=3, file_size=200_001).objects():
        assert len(item.open().read()) == item.size


def test_every_object_is_named_by_a_document_or_a_series() -> None:
    what = sample(files=4)
    named = {uid for body in what.documents() for _, uid in named_uids(body)}
    (series,) = of_class(what, "demoNDISeries")
    members = set(bytes_of(what, series, "chunkdata.bin").decode().split())
    assert {item.uid for item in what.objects()} == named | members
    assert series["files"]["series_info"]["count"] == len(members) == 3


def test_only_the_asked_for_object_is_missing() -> None:
    what = sample(with_missing=True)
    named = {uid for body in what.documents() for _, uid in named_uids(body)}
    assert len(named - {item.uid for item in what.objects()}) == 1
    assert not of_class(sample(), "imageStack")[1:]


def test_ids_have_the_form_of_ndi_ids_and_sort_by_creation() -> None:
    what = sample(documents=500)
    ids = [body["base"]["id"] for body in what.documents()]
    dates = [body["base"]["datestamp"] for body in what.documents()]
    assert all(len(half) == 16 and int(half, 16) for one in ids for half in one.split("_"))
    assert sorted(ids) == [one for _, one in sorted(zip(dates, ids, strict=True))]


def test_an_ndi_id_says_when_it_was_made() -> None:
    body = next(sample().documents())
    days = struct.unpack(">d", bytes.fromhex(body["base"]["id"][:16]))[0] - 719_529
    made = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(round(days * 86_400)))
    assert body["base"]["datestamp"].startswith(made)


def test_two_documents_share_an_ndi_id() -> None:
    ids = [body["base"]["id"] for body in sample().documents()]
    assert len(ids) - len(set(ids)) == 1


def test_references_point_to_documents() -> None:
    bodies = list(sample().documents())
    ids = {body["base"]["id"] for body in bodies}
    for body in bodies:
        for reference in listed(body["depends_on"]):
            assert reference["value"] in {*ids, ""}


@pytest.mark.parametrize("shape", [dict, list])
def test_one_element_lists_come_bare_and_as_lists(shape: type) -> None:
    bodies = [body for body in sample().documents() if "file_info" in body.get("files", {})]
    infos = [body["files"]["file_info"] for body in bodies]
    everywhere = list(sample().documents())
    assert any(isinstance(info, shape) for info in infos)
    assert any(isinstance(one["locations"], shape) for info in infos for one in listed(info))
    assert any(isinstance(body["depends_on"], shape) for body in everywhere)
    assert any(isinstance(body["document_class"]["superclasses"], shape) for body in everywhere)


def test_file_list_comes_as_a_string_and_as_a_list() -> None:
    kinds = {type(body["files"]["file_list"]) for body in sample().documents() if "files" in body}
    assert kinds == {str, list}


def test_numbers_that_json_does_not_have_are_sentinels() -> None:
    text = json.dumps(list(sample().documents()), allow_nan=False)
    assert '"__NDI__NaN__"' in text
    assert '"__NDI__Infinity__"' in text


def test_recording_segments_are_tar_gzip_without_time() -> None:
    what = sample()
    body = of_class(what, "daqreader_mfdaq_epochdata_ingested")[0]
    assert [name for name, _ in named_uids(body)][1:] == [
        f"ai_group1_seg.nbf_{number}" for number in (1, 2, 3)
    ]
    data = bytes_of(what, body, "ai_group1_seg.nbf_2")
    assert data[4:8] == b"\0\0\0\0"
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        (member,) = archive.getmembers()
        assert (member.name, member.size) == ("ai_group1_seg_2.nbf", 80_000)
        content = archive.extractfile(member)
        assert content is not None
        assert len(content.read()) == 80_000


def test_epoch_is_a_vhsb_file() -> None:
    what = sample()
    data = bytes_of(what, of_class(what, "element_epoch")[0], "epoch_binary_data.vhsb")
    assert data.startswith(b"This is a VHSB file, ")
    samples = struct.unpack("<20000f", data[1836:])
    assert max(samples) == pytest.approx(9_000 / 32_768, rel=0.01)


def test_generic_files_open_with_the_standard_library() -> None:
    what = sample()
    files = {
        body["generic_file"]["filename"]: bytes_of(what, body, "generic_file.ext")
        for body in of_class(what, "generic_file")
    }
    text, table, sound = files.values()
    assert "Messprotokoll Käfig 3.txt" in files
    assert "Käfig" in text.decode()
    assert table.decode().splitlines()[0] == "time_s,speed_cm_per_s"
    with wave.open(io.BytesIO(sound)) as recording:
        assert (recording.getframerate(), recording.getnframes()) == (44_100, 88_200)


def test_image_is_a_png() -> None:
    what = sample()
    data = bytes_of(what, of_class(what, "imageStack")[0], "imageStack")
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    start = data.index(b"IDAT")
    (length,) = struct.unpack(">I", data[start - 4 : start])
    assert len(zlib.decompress(data[start + 4 : start + 4 + length])) == 72 * 97


def test_large_sample_fills_up_in_the_proportions_of_real_data() -> None:
    what = sample(documents=2_000, files=100, file_size=10)
    assert len(of_class(what, "ontologyTableRow")) > len(of_class(what, "openminds_subject")) > 100
    with_file = [body for body in of_class(what, "element_epoch") if "files" in body]
    assert len(with_file) == 100 + len(of_class(sample(), "element_epoch"))


def test_a_file_of_its_own_fits_into_few_documents() -> None:
    what = sample(documents=1, files=1, file_size=3_000)
    (body,) = what.documents()
    (item,) = what.objects()
    assert named_uids(body) == [("epoch_binary_data.vhsb", item.uid)]
    assert item.open().read().startswith(b"This is a VHSB file, ")


@pytest.mark.parametrize(
    ("documents", "files", "reason"),
    [(1, 2, "need as many documents"), (-1, 0, "cannot be negative")],
)
def test_contradictory_numbers_are_refused(documents: int, files: int, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        sample(documents=documents, files=files)


def test_huge_samples_are_made_while_they_are_read() -> None:
    what = sample(documents=10_000_000, files=1_000_000, file_size=1 << 40)
    assert len(list(islice(what.documents(), 1_000))) == 1_000
    last = list(islice(what.objects(), 100))[-1]
    assert len(last.open().read(4_096)) == 4_096


def test_pattern_reads_the_same_from_any_position() -> None:
    size = 300_000
    whole = Pattern("key", size, b"head").read()
    assert whole is not None
    assert len(whole) == size
    assert whole.startswith(b"head")
    for start, length in ((0, 1), (65_530, 20), (131_072, 70_000), (size - 3, 10), (size, 5)):
        part = Pattern("key", size, b"head")
        part.seek(start)
        assert part.read(length) == whole[start : start + length]
        assert part.tell() == min(start + length, size)
    assert len({whole[start : start + 32] for start in range(0, size, 65_536)}) == 5
