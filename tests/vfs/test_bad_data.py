"""Odd rows and bodies, as the server may hold them: the core and a real mount show them alike."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from tests.sandbox.raw import Api, Json, body, login, ndi_id, upload
from tests.support.mounting import machine
from tests.support.sandbox import Sandbox
from tests.support.views import CoreView, MountView, View, core

EMAIL, PASSWORD = "strange@example.org", "Passw0rd!"
ORGANIZATIONS = ["Same Lab", "Same Lab", "", "published", "Empty/Lab", "Rows", "Bodies"]
ID_LIKE = "0123456789abcdef01234567"
RAT = "\N{RAT}"
DATA = bytes(range(256)) * 20


def dataset_id(number: int) -> str:
    return f"65f0c0ffee00000000000d{number:02x}"


# The name in the row of each dataset, by number, and the name that the tree gives it.
NAMES: dict[int, tuple[object, str]] = {
    0x00: ("plain", "plain"),
    0x01: (None, "[{id}]"),
    0x02: ("", "[{id}]"),
    0x03: ("in vivo/in vitro", "in vivo_in vitro"),
    0x04: ("two\nlines\r\n", "two_lines__"),
    0x05: ("\u00e9" * 150, "\u00e9" * 127),
    0x06: ("Twin", "Twin"),
    0x07: ("Twin", "Twin [{id}]"),
    0x08: ("nul\0and\x07bell", "nul_and_bell"),
    0x09: (".", ". [{id}]"),
    0x0A: ("..", ".. [{id}]"),
    0x0B: (ID_LIKE, ID_LIKE + " [{id}]"),
    0x0C: ("published", "published"),
    0x0D: (f"100%_of 'all' \"rats\" \\ {RAT} %2F%00", f"100%_of 'all' \"rats\" \\ {RAT} %2F%00"),
    0x0E: ("e\u0301tude", "\u00e9tude"),
    0x0F: ("//\n\0", "____ [{id}]"),
    0x10: (["no", "text"], "[{id}]"),
    0x11: ("half \ud800 pair", "half ? pair"),
    0x12: ("\u00e9" * 150, "\u00e9" * 114 + " [{id}]"),
    0x13: (".hidden", ".hidden"),
    0x14: (f"Pair [{dataset_id(0x16)}]", f"Pair [{dataset_id(0x16)}] [{{id}}]"),
    0x15: ("Pair", "Pair"),
    0x16: ("Pair", "Pair [{id}]"),
    0x17: (f"Twin [{dataset_id(7)}]", f"Twin [{dataset_id(7)}] [{{id}}]"),
}
SHOWN = {number: name.format(id=dataset_id(number)) for number, (_, name) in NAMES.items()}


@dataclass(frozen=True)
class Lab:
    """A sandbox with odd data and the account that sees them."""

    sandbox: Sandbox
    organization_ids: list[str]
    dataset: str  # with odd documents and files
    document_ids: dict[str, str]

    @property
    def account(self) -> dict[str, str]:
        return {
            "NDI_CLOUD_URL": self.sandbox.url,
            "NDI_CLOUD_USERNAME": EMAIL,
            "NDI_CLOUD_PASSWORD": PASSWORD,
        }

    def document(self, what: str) -> str:
        return self.document_ids[what]


def named_files(number: int, *files: Json) -> Json:
    return body(number, "filed", files={"file_list": [], "file_info": list(files)})


def one_file(name: str, uid: str) -> Json:
    return {"name": name, "locations": [{"uid": uid, "location_type": "file"}]}


# Bodies, some with the row that lists show of them, by what is odd about them.
DOCUMENTS: dict[str, Json] = {
    "plain": {"body": body(1)},
    "without base": {"body": {"document_class": {"class_name": "subject"}, "subject": {"n": 1}}},
    "without ndi id": {"body": {**body(2), "base": {"name": "nameless"}}},
    "twice": {"body": body(3)},
    "twice too": {"body": body(3)},
    "in another class": {"body": body(3, "treatment")},
    "empty class": {"body": body(4, "")},
    "no class": {"body": {"base": {"id": ndi_id(5)}}},
    "class with slash": {"body": body(6, "a/b")},
    "class with newline": {"body": body(7, "a\nb")},
    "class of dots": {"body": body(8, "..")},
    "odd class": {"body": body(9, f"100%_'\"\\{RAT}")},
    "surrogate": {"body": body(10, note="half \ud800 pair")},
    "sentinels": {"body": body(11, values=["__NDI__NaN__", "__NDI__-Infinity__", 1.5])},
    "odd ndi id": {"body": {**body(12), "base": {"id": "../up/and away"}}},
    "id-like ndi id": {"body": {**body(13), "base": {"id": ID_LIKE}}},
    "long ndi id": {"body": {**body(14), "base": {"id": "x" * 300}}},
    "marked ndi id": {"body": {**body(15), "base": {"id": f"x [{ID_LIKE}]"}}},
    "like ndi id": {"body": {**body(16), "base": {"id": "100%_"}}},
    "bare row": {"body": body(17, "poor"), "summary": {}},
    "bad time": {"body": {**body(18), "base": {"id": ndi_id(18), "datestamp": "yesterday"}}},
    "files": {
        "body": named_files(
            20,
            one_file("ok.bin", "uid-ok"),
            one_file("a/b.bin", "uid-slash"),
            one_file("", "uid-nameless"),
            one_file("..", "uid-dots"),
            one_file("again.bin", "uid-again-1"),
            one_file("again.bin", "uid-again-2"),
            one_file("again.bin", "uid-again-2"),
            {"name": "no-uid.bin", "locations": []},
            {"name": "no-locations.bin"},
            {"locations": {}},
            "not an object",  # type: ignore[arg-type]
            one_file(f"100%_ #'\"\\{RAT}.bin", "uid/with %2F and #?"),
            {"name": "single.bin", "locations": {"uid": "uid-single"}},
        )
    },
    "legacy files": {
        "body": body(
            21,
            "filed",
            files=[
                {"filename": "old.bin", "url": "https://example.org/old", "mimeType": "x/y"},
                {"name": "older.bin", "signedUrl": "https://example.org/older"},
            ],
        )
    },
    "single file": {
        "body": body(
            22, "filed", files={"file_list": "ok.bin", "file_info": one_file("ok.bin", "uid-ok")}
        )
    },
    "no files": {"body": body(23, "filed", files="")},
}
UIDS = ["uid-ok", "uid-slash", "uid-nameless", "uid-dots", "uid-again-1", "uid-again-2"]
UIDS += ["uid/with %2F and #?", "uid-single"]


def fill(sandbox: Sandbox) -> Lab:
    made = sandbox.add_user(EMAIL, PASSWORD, ORGANIZATIONS, name="Strange")
    rows, bodies = made["organization_ids"][5:]
    for number, (name, _) in NAMES.items():
        fields = {} if name is None else {"name": name}
        new = {"organization_id": rows, "id": dataset_id(number), "fields": fields}
        sandbox.control("POST", "/datasets", new)
    with login(sandbox, EMAIL, PASSWORD) as api:
        dataset = api.dataset(bodies, name="Odd")
        for uid in UIDS:
            upload(sandbox, api, dataset, uid, content(uid))
    ids = sandbox.plant(dataset, documents=list(DOCUMENTS.values()))
    sandbox.plant(
        dataset,
        files=[
            {"uid": "uid-slash"},
            {"size": 5, "uploaded": True},
            {"uid": "uid-dots", "size": None, "uploaded": True},
            {"uid": "uid-single", "size": "5120"},
            "nonsense",
            None,
        ],
    )
    return Lab(sandbox, made["organization_ids"], dataset, dict(zip(DOCUMENTS, ids, strict=True)))


def content(uid: str) -> bytes:
    return uid.encode() + DATA


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Sandbox(tmp_path_factory.mktemp("lab")) as sandbox:
        yield fill(sandbox)


@pytest.fixture(scope="module", params=["core", "mount"])
def view(
    request: pytest.FixtureRequest, lab: Lab, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[View]:
    folder = tmp_path_factory.mktemp("tree")
    if request.param == "core":
        with core(lab.account, folder) as filesystem:
            yield CoreView(filesystem)
    else:
        with machine(folder, lab.account) as user:
            yield MountView(user.mount())


@pytest.fixture
def api(lab: Lab) -> Iterator[Api]:
    with login(lab.sandbox, EMAIL, PASSWORD) as user:
        yield user


def fails_with(view: View, path: str) -> int | None:
    """The errno of reading ``path``."""
    with pytest.raises(OSError) as raised:  # noqa: PT011 (the caller looks at the errno)
        view.read(path)
    return raised.value.errno


# Organizations and datasets


def test_organizations_with_odd_names_are_told_apart(view: View, lab: Lab) -> None:
    ids = lab.organization_ids
    expected = {
        "Same Lab": ids[0],
        f"Same Lab [{ids[1]}]": ids[1],
        f"[{ids[2]}]": ids[2],
        f"published [{ids[3]}]": ids[3],
        "Empty_Lab": ids[4],
        "Rows": ids[5],
        "Bodies": ids[6],
    }
    assert view.ls() == sorted([*expected, "published", ".ndicloudfs"])
    for name, cloud_id in expected.items():
        assert view.xattrs(name)["user.ndi.cloud_id"] == cloud_id
        assert view.stat(cloud_id).ino == view.stat(name).ino


def test_an_organization_without_datasets_is_an_empty_folder(view: View) -> None:
    assert view.ls("Empty_Lab") == []
    assert view.ls("published") == []
    assert fails_with(view, "Empty_Lab/anything") == errno.ENOENT


def test_every_dataset_is_listed_under_the_name_that_is_promised(view: View) -> None:
    assert view.ls("Rows") == sorted(SHOWN.values())


@pytest.mark.parametrize("number", NAMES)
def test_every_name_leads_to_its_own_dataset(view: View, number: int) -> None:
    path = f"Rows/{SHOWN[number]}"
    attributes = view.xattrs(path)
    assert attributes["user.ndi.cloud_id"] == dataset_id(number)
    assert json.loads(view.read(f"{path}/dataset.json"))["id"] == dataset_id(number)
    assert view.ls(path) == ["dataset.json", "documents", "files"]
    assert view.ls(f"{path}/documents") == []
    assert view.xattrs(f"Rows/{dataset_id(number)}") == attributes
    assert view.xattrs(dataset_id(number)) == attributes


def test_names_that_are_not_there_are_not_found(view: View) -> None:
    for name in ("Twi", "%", "_lain", "Twin ", "twin", "[]", "Twin []", "x" * 255, ID_LIKE):
        assert fails_with(view, f"Rows/{name}") == errno.ENOENT


@pytest.mark.parametrize(
    "variant", [{"dataset_order": "reversed"}, {"max_dataset_page_size": 2}, {}]
)
def test_names_do_not_depend_on_the_order_or_the_pages_of_a_list(
    lab: Lab, tmp_path: Path, variant: dict[str, object]
) -> None:
    lab.sandbox.set(**variant)
    with core(lab.account, tmp_path) as filesystem:
        assert CoreView(filesystem).ls("Rows") == sorted(SHOWN.values())
    lab.sandbox.set(dataset_order="insertion", max_dataset_page_size=1000)


def test_names_and_inode_numbers_are_the_same_after_a_remount(lab: Lab, tmp_path: Path) -> None:
    def seen(root: Path) -> dict[str, int]:
        found = MountView(root)
        return {
            f"{folder}/{name}": found.stat(f"{folder}/{name}").ino
            for folder in ("Rows", "Bodies/Odd/documents/subject", "Bodies/Odd/files/filed")
            for name in found.ls(folder)
        }

    with machine(tmp_path, lab.account) as user:
        root = user.mount()
        before = seen(root)
        user.umount(root)
        assert seen(user.mount()) == before
        lab.sandbox.set(document_order="reversed", dataset_order="reversed")
        user.umount(root)
        user.arguments = ("--cache-dir", str(tmp_path / "another cache"))
        assert seen(user.mount()) == before
        lab.sandbox.set(document_order="insertion", dataset_order="insertion")


# Documents

DOCUMENTS_FOLDER = "Bodies/Odd/documents"


def class_folder(class_name: str, shown: str) -> str:
    return f"{shown} [{sha256(class_name.encode()).hexdigest()[:8]}]"


def test_every_class_has_a_folder(view: View) -> None:
    assert view.ls(DOCUMENTS_FOLDER) == sorted(
        [
            "subject",
            "treatment",
            "unknown",
            class_folder("a/b", "a_b"),
            class_folder("a\nb", "a_b"),
            class_folder("..", ".."),
            f"100%_'\"\\{RAT}",
            "filed",
            "poor",  # counted by the server, and listed without a class
        ]
    )


@pytest.mark.parametrize("ttl", [60.0, 0.0])
def test_a_row_without_class_stays_where_it_is_however_often_it_is_listed(
    lab: Lab, tmp_path: Path, ttl: float
) -> None:
    with core(lab.account, tmp_path, ttl) as filesystem:
        look = CoreView(filesystem)
        for _ in range(5):
            classes = look.ls(DOCUMENTS_FOLDER)
            assert {"poor", "unknown"} <= set(classes)
            assert look.ls(f"{DOCUMENTS_FOLDER}/poor") == []
            assert len(look.ls(f"{DOCUMENTS_FOLDER}/unknown")) == 3


def where(lab: Lab) -> dict[str, str]:
    """Where each odd document is to be found."""
    marked = {what: f"[{lab.document(what)}]" for what in DOCUMENTS}
    return {
        "plain": f"subject/{ndi_id(1)}",
        "without base": f"subject/{marked['without base']}",
        "without ndi id": f"subject/{marked['without ndi id']}",
        "twice": f"subject/{ndi_id(3)}",
        "twice too": f"subject/{ndi_id(3)} {marked['twice too']}",
        "in another class": f"treatment/{ndi_id(3)}",
        "empty class": f"unknown/{ndi_id(4)}",
        "no class": f"unknown/{ndi_id(5)}",
        "class with slash": f"{class_folder('a/b', 'a_b')}/{ndi_id(6)}",
        "class with newline": f"{class_folder('a' + chr(10) + 'b', 'a_b')}/{ndi_id(7)}",
        "class of dots": f"{class_folder('..', '..')}/{ndi_id(8)}",
        "odd class": f"100%_'\"\\{RAT}/{ndi_id(9)}",
        "surrogate": f"subject/{ndi_id(10)}",
        "sentinels": f"subject/{ndi_id(11)}",
        "odd ndi id": f"subject/.._up_and away {marked['odd ndi id']}",
        "id-like ndi id": f"subject/{ID_LIKE} {marked['id-like ndi id']}",
        "long ndi id": f"subject/{'x' * 223} {marked['long ndi id']}",
        "marked ndi id": f"subject/x [{ID_LIKE}] {marked['marked ndi id']}",
        "like ndi id": "subject/100%_",
        "bare row": f"unknown/{marked['bare row']}",
        "bad time": f"subject/{ndi_id(18)}",
        "files": f"filed/{ndi_id(20)}",
        "legacy files": f"filed/{ndi_id(21)}",
        "single file": f"filed/{ndi_id(22)}",
        "no files": f"filed/{ndi_id(23)}",
    }


def test_every_document_is_listed_where_it_is_expected(view: View, lab: Lab) -> None:
    places = where(lab)
    assert set(places) == set(DOCUMENTS)
    listed = {
        f"{name}/{document.removesuffix('.json')}"
        for name in view.ls(DOCUMENTS_FOLDER)
        for document in view.ls(f"{DOCUMENTS_FOLDER}/{name}")
    }
    assert listed == set(places.values())


@pytest.mark.parametrize("what", DOCUMENTS)
def test_every_document_can_be_read(view: View, lab: Lab, what: str) -> None:
    path = f"{DOCUMENTS_FOLDER}/{where(lab)[what]}.json"
    data = view.read(path)
    assert view.stat(path).size == len(data)
    assert json.loads(data) == as_shown(DOCUMENTS[what]["body"], lab)
    assert view.xattrs(path)["user.ndi.cloud_id"] == lab.document(what)
    folder = Path(path).parent
    assert view.stat(f"{folder}/{lab.document(what)}.json").ino == view.stat(path).ino


def as_shown(document: Json, lab: Lab) -> Json:
    """A body as the tree shows it: presigned locations as ndic:// ones, half pairs as ``?``."""
    text = json.dumps(document).replace("\\ud800", "?")
    shown: Json = json.loads(text)
    files = shown.get("files")
    infos = files.get("file_info", []) if isinstance(files, dict) else []
    for info in infos if isinstance(infos, list) else [infos]:
        places = info.get("locations", []) if isinstance(info, dict) else []
        for place in places if isinstance(places, list) else [places]:
            if place.get("uid") in UIDS:
                place["location"] = f"ndic://{lab.dataset}/{place['uid']}"
    return shown


def test_documents_that_are_not_there_are_not_found(view: View, lab: Lab) -> None:
    other = lab.document("in another class")
    for name in (ndi_id(99), "100__", "%", f"[{other}]", f"{ndi_id(3)} [{other}]", other, ID_LIKE):
        assert fails_with(view, f"{DOCUMENTS_FOLDER}/subject/{name}.json") == errno.ENOENT
    assert fails_with(view, f"{DOCUMENTS_FOLDER}/subject/{ndi_id(1)}") == errno.ENOENT
    assert fails_with(view, f"{DOCUMENTS_FOLDER}/subjec") == errno.ENOENT


def test_a_document_without_a_time_has_that_of_its_dataset(view: View, lab: Lab) -> None:
    path = f"{DOCUMENTS_FOLDER}/{where(lab)['bad time']}.json"
    assert view.stat(path).mtime_ns == view.stat("Bodies/Odd").mtime_ns


# Files

FILES_FOLDER = "Bodies/Odd/files/filed"
FILES = {
    "ok.bin": "uid-ok",
    "a_b.bin": "uid-slash",
    "[uid-nameless]": "uid-nameless",
    ".. [uid-dots]": "uid-dots",
    "again.bin": "uid-again-1",
    "again.bin [uid-again-2]": "uid-again-2",
    "again.bin [uid-again-2#6]": "uid-again-2",
    f"100%_ #'\"\\{RAT}.bin": "uid/with %2F and #?",
    "single.bin": "uid-single",
}
NAMELESS = ["no-uid.bin", "no-locations.bin"]


def test_only_documents_with_files_have_a_folder(view: View) -> None:
    assert view.ls(FILES_FOLDER) == [ndi_id(20), ndi_id(21), ndi_id(22)]
    assert view.ls("Bodies/Odd/files/subject") == []


def test_every_file_is_listed_and_holds_its_own_bytes(view: View) -> None:
    folder = f"{FILES_FOLDER}/{ndi_id(20)}"
    assert view.ls(folder) == sorted([*FILES, *NAMELESS])
    for name, uid in FILES.items():
        path = f"{folder}/{name}"
        assert view.stat(path).size == len(content(uid)), name
        assert view.read(path) == content(uid), name
        assert view.xattrs(path)["user.ndi.uid"] == uid
        assert view.xattrs(path)["user.ndi.state"] == "clean"
    assert view.read(f"{FILES_FOLDER}/{ndi_id(22)}/ok.bin") == content("uid-ok")


def test_a_file_without_a_uid_is_missing(view: View) -> None:
    for path in (
        f"{FILES_FOLDER}/{ndi_id(20)}/no-uid.bin",
        f"{FILES_FOLDER}/{ndi_id(20)}/no-locations.bin",
        f"{FILES_FOLDER}/{ndi_id(21)}/old.bin",
        f"{FILES_FOLDER}/{ndi_id(21)}/older.bin",
    ):
        assert view.stat(path).size == 0
        assert view.xattrs(path)["user.ndi.state"] == "missing"
        assert fails_with(view, path) == errno.ENODATA
        if isinstance(view, MountView):  # the core has no place to tell it
            told = view.read(".ndicloudfs/errors.log").decode()
            assert told.count(f"names '{Path(path).name}' without a uid") == 1


@pytest.mark.parametrize("uid", UIDS)
def test_every_object_is_reached_by_its_uid(view: View, lab: Lab, uid: str) -> None:
    name = uid.replace("%", "%25").replace("/", "%2F")
    assert view.read(f"{lab.dataset}/files/.uid/{name}") == content(uid)


def test_a_uid_that_is_not_there_is_not_found(view: View, lab: Lab) -> None:
    for name in ("uid-o", "uid%", "%2E%2E", "%00", "x" * 255, "%"):
        assert fails_with(view, f"{lab.dataset}/files/.uid/{name}") == errno.ENOENT
