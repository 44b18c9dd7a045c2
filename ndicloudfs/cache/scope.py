"""What of the cloud lies at a place of the tree and below it, to refresh or prefetch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Part(Enum):
    """What of a dataset is meant."""

    ALL = "all"
    METADATA = "metadata"
    DOCUMENTS = "documents"
    FILES = "files"


@dataclass(frozen=True, slots=True)
class Everything:
    """All that the account may see."""


@dataclass(frozen=True, slots=True)
class DatasetList:
    """A list of datasets with its datasets: of an organization, or the published ones."""

    organization_id: str = ""  # the published ones


@dataclass(frozen=True, slots=True)
class DatasetScope:
    """A dataset, or some of it; each further field that is not empty narrows it down."""

    dataset_id: str
    part: Part = Part.ALL
    class_name: str = ""
    document_id: str = ""
    uid: str = ""


Scope = Everything | DatasetList | DatasetScope
