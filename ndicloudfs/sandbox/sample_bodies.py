"""How a document of the sample dataset is put together: ids, dates and the blocks of a body."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]

# How the server writes numbers that JSON does not have (section 7.5).
NAN = "__NDI__NaN__"
INFINITY = "__NDI__Infinity__"

# 2025-09-04T16:21:36Z, the morning most documents of the published sets were written.
_START = datetime(2025, 9, 4, 16, 21, 36, tzinfo=timezone.utc)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_DATENUM_OF_EPOCH = 719_529
_MS_PER_DAY = 86_400_000
_STEP = timedelta(milliseconds=1_037)


class Ids:
    """The ids and dates of one sample: position ``n`` gives the same ones for the same seed.

    An ndi id is two IEEE-754 doubles in hex, the date number of its creation and a random number
    (section 7.2), so ids of later positions sort later.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def at(self, position: int) -> str:
        """The ndi id of a position >= 0."""
        created = (_START + position * _STEP - _EPOCH) // timedelta(milliseconds=1)
        day = struct.pack(">d", _DATENUM_OF_EPOCH + created / _MS_PER_DAY).hex()
        digest = hashlib.blake2b(f"{self._seed}/{position}".encode(), digest_size=8).hexdigest()
        sign = "40" if digest[0] < "8" else "c0"
        exponent = "abcd"[int(digest[1], 16) % 4]
        return f"{day}_{sign}{exponent}{digest[3:]}"

    def date(self, position: int) -> str:
        """The ``datestamp`` of a position: ISO, milliseconds, ``Z``."""
        when = _START + position * _STEP
        return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def one_or_list(values: Sequence[Any], *, bare: bool) -> Any:
    """``values`` as a list, or, as MATLAB writes it, a single one without its list."""
    return values[0] if bare and len(values) == 1 else list(values)


def document_class(path: str, supers: Sequence[str], *, bare: bool = False) -> Json:
    """The ``document_class`` block of the class at ``path``, e.g. ``data/generic_file``."""
    name = path.rpartition("/")[2]
    # The openMINDS classes name a schema without the usual suffix; the real documents do too.
    schema = path if "openminds" in name else f"{path}_schema"
    parents = [{"definition": f"$NDIDOCUMENTPATH/{parent}.json"} for parent in ("base", *supers)]
    return {
        "class_name": name,
        "class_version": 1,
        "definition": f"$NDIDOCUMENTPATH/{path}.json",
        "property_list_name": name,
        "superclasses": one_or_list(parents, bare=bare),
        "validation": f"$NDISCHEMAPATH/{schema}.json",
    }


def base(ids: Ids, position: int, session_id: str, name: str = "") -> Json:
    """The ``base`` block of the document at ``position``."""
    return {
        "datestamp": ids.date(position),
        "id": ids.at(position),
        "name": name,
        "session_id": session_id,
    }


def dependencies(values: Sequence[tuple[str, str]], *, bare: bool = False) -> Any:
    """The ``depends_on`` block: ``values`` are (role, ndi id)."""
    return one_or_list([{"name": role, "value": value} for role, value in values], bare=bare)


def files(
    named: Sequence[tuple[str, str]], allowed: Sequence[str] | None = None, *, bare: bool = False
) -> Json:
    """The ``files`` block: ``named`` are (name, uid), ``allowed`` the names the class allows."""
    info = []
    for name, uid in named:
        location = {
            "delete_original": 0,
            "ingest": 1,
            "location": "",
            "location_type": "file",
            "parameters": "",
            "uid": uid,
        }
        info.append({"name": name, "locations": one_or_list([location], bare=bare)})
    names = list(allowed or [name for name, _ in named])
    return {
        "file_info": one_or_list(info, bare=bare),
        "file_list": one_or_list(names, bare=bare),
    }


def openminds(kind: str, matlab: str, fields: Json, identity: str = "") -> Json:
    """The ``openminds`` block of a document that describes one openMINDS node."""
    return {
        "fields": fields,
        "matlab_type": f"openminds.{matlab}.{kind}",
        "openminds_id": identity,
        "openminds_type": f"https://openminds.om-i.org/types/{kind}",
    }


def term(name: str, identifier: str, definition: str = "", synonym: str = "") -> Json:
    """The fields of a term of a controlled vocabulary."""
    return {
        "definition": definition,
        "description": "",
        "interlexIdentifier": "",
        "knowledgeSpaceLink": "",
        "name": name,
        "preferredOntologyIdentifier": identifier,
        "synonym": synonym,
    }


def table_row(*cells: tuple[str, str, str, object]) -> Json:
    """The ``ontologyTableRow`` block: ``cells`` are (name, variable, ontology node, value)."""
    return {
        "ontologyTableRow": {
            "data": {variable: value for _, variable, _, value in cells},
            "names": ",".join(name for name, _, _, _ in cells),
            "ontologyNodes": ",".join(node for _, _, node, _ in cells),
            "variableNames": ",".join(variable for _, variable, _, _ in cells),
        }
    }
