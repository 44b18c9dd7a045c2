"""The NDI Cloud client: session and retries, sign-in, datasets, documents, files, objects.

Knows nothing of caches, names and FUSE. Errors are in ``ndicloudfs.cloud.errors``, what the
server answers in ``ndicloudfs.cloud.values``; the sections that docstrings name are those of the
API contract.
"""

from ndicloudfs.cloud.account import Account
from ndicloudfs.cloud.client import NdiCloud
from ndicloudfs.cloud.config import CloudConfig
from ndicloudfs.cloud.datasets import Datasets
from ndicloudfs.cloud.documents import Documents
from ndicloudfs.cloud.files import Files
from ndicloudfs.cloud.objects import Objects

__all__ = [
    "Account",
    "CloudConfig",
    "Datasets",
    "Documents",
    "Files",
    "NdiCloud",
    "Objects",
]
