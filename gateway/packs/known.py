"""Which instances of a Series are kept already: the same again is no error, other bytes are."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from gateway.packs import index as pack_index


class Place(NamedTuple):
    """Where an instance lies: a Part 10 file at a range of a pack."""

    pack: Path
    offset: int
    size: int


class KnownInstances:
    """SOP Instance UIDs of a Series and where each was kept first.

    What sealed packs hold lies in sorted arrays (84 bytes an instance); what this association
    adds, in a dict that the pack's roll-over keeps small.
    """

    def __init__(self, directory: Path) -> None:
        """Load what the sealed packs in a Series' directory hold."""
        self._packs = sorted(directory.glob("*.npy")) if directory.is_dir() else []
        self._packs = [path.with_suffix(".tar") for path in self._packs]
        indexes = [pack_index.load(path) for path in self._packs]
        empty = np.zeros(0, pack_index.RECORD)
        uids = np.concatenate(
            [empty["sop_instance_uid"], *(i["sop_instance_uid"] for i in indexes)]
        )
        order = np.argsort(uids, kind="stable")  # of two with one UID, the one kept first
        self._uids = uids[order]
        self._offsets = np.concatenate([empty["offset"], *(i["offset"] for i in indexes)])[order]
        self._sizes = np.concatenate([empty["size"], *(i["size"] for i in indexes)])[order]
        numbers = np.repeat(np.arange(len(indexes)), [len(i) for i in indexes])
        self._pack_numbers = numbers[order].astype("u4")
        self._fresh: dict[str, Place] = {}

    def place(self, sop_instance_uid: str) -> Place | None:
        """Return where an instance was kept first, or None if it is new."""
        fresh = self._fresh.get(sop_instance_uid)
        if fresh is not None:
            return fresh
        if not self._packs:
            return None
        wanted = sop_instance_uid.encode()
        at = int(np.searchsorted(self._uids, wanted))
        if at == len(self._uids) or self._uids[at] != wanted:
            return None
        pack = self._packs[int(self._pack_numbers[at])]
        return Place(pack, int(self._offsets[at]), int(self._sizes[at]))

    def add(self, sop_instance_uid: str, place: Place) -> None:
        self._fresh[sop_instance_uid] = place

    def forget(self, sop_instance_uid: str) -> None:
        """Take back an `add` whose bytes did not become durable."""
        del self._fresh[sop_instance_uid]
