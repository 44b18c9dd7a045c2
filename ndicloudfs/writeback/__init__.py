"""Writing back: what was closed is safe on this machine and reaches NDI Cloud exactly once.

Staging keeps the bytes, the journal the intention, the uploader turns the queue into few calls.
Knows the cloud and neither names nor FUSE nor the cache, which is told of what arrived.
"""

from ndicloudfs.writeback.entries import Entry, Kind, Place, State
from ndicloudfs.writeback.errors import JournalInUse, WriteBackError
from ndicloudfs.writeback.fingerprints import fingerprint
from ndicloudfs.writeback.ids import new_ndi_id
from ndicloudfs.writeback.staging import Draft
from ndicloudfs.writeback.writeback import WriteBack

__all__ = [
    "Draft",
    "Entry",
    "JournalInUse",
    "Kind",
    "Place",
    "State",
    "WriteBack",
    "WriteBackError",
    "fingerprint",
    "new_ndi_id",
]
