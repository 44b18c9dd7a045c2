"""Names in the tree: from what people typed to what a file system can show, and back.

The same data give the same names on every mount, whatever order they arrive in. A name is brought
to Unicode NFC, ``/`` and control characters become ``_``, and it is cut to 255 bytes of UTF-8 at a
character boundary. It gets `` [<id>]`` behind it where it is empty, taken, or altered past
recognition. Of several with one name, the one with the smallest id keeps it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from hashlib import sha256

from ndicloudfs.cloud.values import UNKNOWN_CLASS, is_cloud_id, is_ndi_id

MOST_BYTES = 255  # NAME_MAX of Linux and of FUSE
JSON_SUFFIX = ".json"

_REPLACEMENT = "_"
_MARKED = re.compile(r"(?:.* )?\[(?P<mark>[^\[\]]+)\]", re.DOTALL)


def clean(name: str) -> tuple[str, bool]:
    """A name that a file system can show, and whether it still tells what it was.

    It does not where it is empty, made of dots and replacements only, or mostly replaced.
    """
    text = unicodedata.normalize("NFC", name)
    shown = "".join(_REPLACEMENT if _forbidden(char) else char for char in text)
    kept = sum(1 for char in text if not _forbidden(char) and char not in "._ ")
    replaced = sum(1 for char in text if _forbidden(char))
    return shown, kept > 0 and kept >= replaced


def unique_names(rows: Iterable[tuple[str, str]], reserved: Collection[str] = ()) -> dict[str, str]:
    """Give each (id, name) a name of its own: shown name -> id."""
    names: dict[str, str] = {}
    for id_, name in sorted(rows):
        shown, recognizable = clean(name)
        plain = cut(shown)
        if not recognizable or plain in names or plain in reserved or _reads_as_id(plain):
            plain = marked(shown, id_)
        names[plain] = id_
    return names


class FileNames:
    """Gives the files of one document shown names, in its order; repeats get the uid."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._count = 0

    def add(self, name: str, uid: str) -> str:
        """The shown name of the next file; those before it keep theirs."""
        shown, recognizable = clean(name)
        plain = cut(shown)
        if not recognizable or plain in self._taken:
            plain = marked(shown, clean(uid)[0])
        if plain in self._taken:  # the same name and the same uid once more, or no uid at all
            plain = marked(shown, f"{clean(uid)[0]}#{self._count}")
        self._taken.add(plain)
        self._count += 1
        return plain


def unique_file_names(links: Iterable[tuple[str, str]]) -> list[str]:
    """A shown name for each (name, uid) of one document, in its order."""
    names = FileNames()
    return [names.add(name, uid) for name, uid in links]


def class_names(classes: Iterable[str], reserved: Collection[str] = ()) -> dict[str, str]:
    """Give each class a folder name: shown name -> class.

    A class has no id: an altered or taken name gets a hash of the original.
    """
    names = {}
    for class_name in classes:
        shown, recognizable = clean(class_name)
        plain = cut(shown)
        if not recognizable or plain != class_name or plain in reserved:
            plain = marked(shown, sha256(class_name.encode("utf-8", "replace")).hexdigest()[:8])
        names[plain if class_name else UNKNOWN_CLASS] = class_name
    return names


def document_stem(ndi_id: str, document_id: str, *, first: bool) -> str:
    """The name of a document without ``.json``.

    ``first``: no document of its class with the same ndi id has a smaller cloud id.
    """
    if first and is_ndi_id(ndi_id):  # what follows takes 13 us
        return ndi_id
    shown, recognizable = clean(ndi_id)
    if first and recognizable and cut(shown, JSON_SUFFIX) == ndi_id and not _reads_as_id(ndi_id):
        return ndi_id
    return marked(shown, document_id, JSON_SUFFIX)


def document_names(ndi_id: str, document_id: str) -> set[str]:
    """Every file name that a document may have or be asked for by."""
    stems = {document_stem(ndi_id, document_id, first=first) for first in (True, False)}
    return {stem + JSON_SUFFIX for stem in (*stems, document_id)}


def mark_of(name: str) -> str | None:
    """What stands in the brackets at the end of ``name``, if there are any."""
    match = _MARKED.fullmatch(name)
    return match["mark"] if match else None


def _reads_as_id(name: str) -> bool:
    """Whether ``name`` would be taken for a cloud id, or for a name that was marked with one."""
    return is_cloud_id(name) or is_cloud_id(mark_of(name) or "")


def cut(text: str, room_for: str = "") -> str:
    """``text`` cut at a character boundary so that it and ``room_for`` have 255 bytes at most."""
    most = MOST_BYTES - len(room_for.encode())
    data = text.encode("utf-8", "replace")
    return text if len(data) <= most else data[:most].decode("utf-8", "ignore")


def marked(shown: str, id_: str, room_for: str = "") -> str:
    """``shown`` with `` [<id>]`` behind it, within 255 bytes together with ``room_for``."""
    mark = cut(id_, " []" + room_for)
    head = cut(shown, f" [{mark}]{room_for}").strip()
    return f"{head} [{mark}]" if head else f"[{mark}]"


def _forbidden(char: str) -> bool:
    # Cc: control characters. Cs: lone surrogates, which have no UTF-8.
    return char == "/" or unicodedata.category(char) in ("Cc", "Cs")
