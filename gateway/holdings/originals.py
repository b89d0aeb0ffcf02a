"""Received instances by the indexes of their packs: listed and found without reading the packs."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np

from gateway.dicom import times
from gateway.dimse.store_scu import SopInstance
from gateway.holdings.headers import Headers, Place
from gateway.holdings.records import ReceivedRecord
from gateway.packs import index as pack_index
from gateway.packs.index import Index


class ReceivedMembers:
    """The members of one sealed pack, or some of them. Raises IntegrityError if its index is gone.

    The index is mapped, not read: what is not looked at costs no memory.
    """

    def __init__(self, home: Path, storage_key: str, uids: Collection[str] | None = None) -> None:
        """uids: SOP Instance UIDs wanted; None for all."""
        self.storage_key = storage_key
        index = pack_index.load(home / storage_key)
        if uids is not None:
            wanted = np.array([uid.encode() for uid in uids], "S64")
            index = index[np.isin(index["sop_instance_uid"], wanted)]
        self.index: Index = index

    def __len__(self) -> int:
        return len(self.index)

    def kinds(self) -> set[tuple[str, str]]:
        """Return each (SOP Class UID, Transfer Syntax UID) among them."""
        both = np.unique(self.index[["sop_class_uid", "transfer_syntax_uid"]])
        return {(bytes(one[0]).decode(), bytes(one[1]).decode()) for one in both}

    def uids(self) -> Iterator[str]:
        return (bytes(one).decode() for one in self.index["sop_instance_uid"])

    def each(self) -> Iterator[tuple[SopInstance, Place, str]]:
        """Yield each member, its place and its digest, in the order it was received."""
        for row in self.index:
            instance = SopInstance(
                bytes(row["sop_class_uid"]).decode(),
                bytes(row["sop_instance_uid"]).decode(),
                bytes(row["transfer_syntax_uid"]).decode(),
            )
            yield instance, self._place(row), row["digest"].tobytes().hex()

    def records(self, headers: Headers) -> Iterator[ReceivedRecord]:
        for row in self.index:
            number, acquired = int(row["instance_number"]), int(row["acquired_us"])
            known = {
                "SOPInstanceUID": bytes(row["sop_instance_uid"]).decode(),
                "SOPClassUID": bytes(row["sop_class_uid"]).decode(),
                "AvailableTransferSyntaxUID": bytes(row["transfer_syntax_uid"]).decode(),
                "InstanceNumber": str(number) if number >= 0 else "",
                "Rows": str(row["rows"]) if row["rows"] else "",
                "Columns": str(row["columns"]) if row["columns"] else "",
            }
            if acquired != times.UNKNOWN:
                moment = times.to_datetime(acquired)
                known["AcquisitionDateTime"] = moment.strftime("%Y%m%d%H%M%S.%f")
            yield ReceivedRecord(known, self._place(row), headers)

    def _place(self, row: np.void) -> Place:
        return Place(self.storage_key, int(row["offset"]), int(row["size"]))


def members(
    home: Path, storage_keys: Sequence[str], uids: Collection[str] | None = None
) -> list[ReceivedMembers]:
    """Return what packs hold of the instances wanted; packs that hold none are left out."""
    found = (ReceivedMembers(home, key, uids) for key in storage_keys)
    return [one for one in found if len(one)]
