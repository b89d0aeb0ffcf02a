"""Which instances of a Series are kept already: the same again is no error, other bytes are."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gateway.packs import index as pack_index


class KnownInstances:
    """SOP Instance UIDs of a Series with the digests of their contents.

    What sealed packs hold lies in two sorted arrays (96 bytes an instance); what this
    association adds, in a dict that the pack's roll-over keeps small.
    """

    def __init__(self, directory: Path) -> None:
        """Load what the sealed packs in a Series' directory hold."""
        uids: list[NDArray[np.bytes_]] = []
        digests: list[NDArray[np.uint8]] = []
        for path in sorted(directory.glob("*.npy")) if directory.is_dir() else ():
            index = pack_index.load(path.with_suffix(".tar"))
            uids.append(np.asarray(index["sop_instance_uid"]))
            digests.append(np.asarray(index["digest"]))
        every = np.concatenate(uids) if uids else np.zeros(0, "S64")
        order = np.argsort(every, kind="stable")
        self._uids = every[order]
        self._digests = np.concatenate(digests)[order] if digests else np.zeros((0, 32), "u1")
        self._fresh: dict[str, bytes] = {}

    def digest(self, sop_instance_uid: str) -> bytes | None:
        """Return the digest an instance was first kept with, or None if it is new."""
        fresh = self._fresh.get(sop_instance_uid)
        if fresh is not None:
            return fresh
        wanted = sop_instance_uid.encode()
        at = int(np.searchsorted(self._uids, wanted))
        if at < len(self._uids) and self._uids[at] == wanted:
            return bytes(self._digests[at])
        return None

    def add(self, sop_instance_uid: str, digest: bytes) -> None:
        self._fresh[sop_instance_uid] = digest
