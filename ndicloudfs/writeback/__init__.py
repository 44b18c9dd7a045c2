"""Writing back: what was closed is safe on this machine and reaches NDI Cloud exactly once.

Staging keeps the bytes, the journal the intention, the uploader turns the queue into few calls.
Knows the cloud and neither names nor FUSE nor the cache, which is told of what arrived.
"""

from ndicloudfs.writeback.context import Arrivals
from ndicloudfs.writeback.entries import Entry, Kind, Place, Scope, State
from ndicloudfs.writeback.errors import JournalInUse, WriteBackError
from ndicloudfs.writeback.fingerprints import fingerprint
from ndicloudfs.writeback.ids import new_ndi_id
from ndicloudfs.writeback.ledger import LOCAL_PREFIX
from ndicloudfs.writeback.settings import Limits, Timing
from ndicloudfs.writeback.staging import Draft
from ndicloudfs.writeback.uploader import Remaining
from ndicloudfs.writeback.writeback import WriteBack, WriteBackOptions

__all__ = [
    "LOCAL_PREFIX",
    "Arrivals",
    "Draft",
    "Entry",
    "JournalInUse",
    "Kind",
    "Limits",
    "Place",
    "Remaining",
    "Scope",
    "State",
    "Timing",
    "WriteBack",
    "WriteBackError",
    "WriteBackOptions",
    "fingerprint",
    "new_ndi_id",
]
