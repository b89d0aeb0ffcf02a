"""How the simulated PACS takes instances in: to disk as they arrive, then safely into place.

pynetdicom collects a data set in memory, or, by a switch for the whole process, in a file
elsewhere. This does it per association and beside its final place: memory stays at one PDU.
"""

import contextlib
import filecmp
import os
import queue
import tempfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import IO

from pydicom import dcmread
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_STORE_RQ, DIMSEMessage
from pynetdicom.pdu_primitives import P_DATA

from gateway.dicom.part10 import encode_file_meta
from gateway.dicom.uids import is_valid
from gateway.errors import InstanceTooLarge
from gateway.status import OUT_OF_RESOURCES, SUCCESS

INVALID_SOP_INSTANCE = 0x0117
CONTRADICTS_REQUEST = 0xA900
OTHER_BYTES_STORED = 0xA901

_OTHER_MESSAGE_BYTES_MAX = 16 << 20
"""Requests that stay in memory: a commitment of 65,000 references is some 10 MB."""
_PARTIAL = ".partial"


class InstanceFolder:
    """A folder of <SOP Instance UID>.dcm, each complete: none is visible before it is durable."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for torn in folder.glob(f"*{_PARTIAL}"):  # of a process that was killed
            torn.unlink()

    def path_of(self, sop_instance_uid: str) -> Path | None:
        """Return the file of an instance, None if there is none or the UID is not a UID."""
        if not is_valid(sop_instance_uid):
            return None
        path = self.folder / f"{sop_instance_uid}.dcm"
        return path if path.is_file() else None

    def paths(self) -> Iterator[Path]:
        return self.folder.glob("*.dcm")

    def put(self, written: Path, sop_instance_uid: str) -> int:
        """Move a complete, synced file into place and return the DIMSE status.

        The same bytes again are a Success; other bytes under the same UID are refused.
        """
        known = self.path_of(sop_instance_uid)
        if known is not None:
            same = filecmp.cmp(written, known, shallow=False)
            return SUCCESS if same else OTHER_BYTES_STORED
        written.rename(self.folder / f"{sop_instance_uid}.dcm")
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return SUCCESS


class IncomingDataSet(BytesIO):
    """The data set of a message being received; that of a C-STORE-RQ flows to a file."""

    def __init__(self, message: DIMSEMessage, assoc: Association, folder: InstanceFolder) -> None:
        super().__init__()
        self._message, self._assoc, self._folder = message, assoc, folder
        self._file: IO[bytes] | None = None
        self._error: OSError | None = None

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """Take a fragment. The command set comes first, so the kind of message is known.

        A failing disk must not end the association: it is remembered and answered with A700.
        What has no valid UID is not kept at all: pynetdicom might never ask for it.
        """
        if not isinstance(self._message, C_STORE_RQ):
            if self.tell() + len(data) > _OTHER_MESSAGE_BYTES_MAX:
                raise InstanceTooLarge("a request without an instance is longer than 16 MiB")
            return super().write(data)
        if self._error is None and is_valid(self._sop_instance_uid):
            try:
                self._file = self._file or self._begin()
                self._file.write(data)
            except OSError as error:
                self._error = error
        return len(data)

    def keep(self) -> int:
        """Make the received instance durable and visible; return the status to answer.

        Raises whatever pydicom raises for a data set it cannot read; pynetdicom answers C211.
        """
        try:
            if self._error is not None:
                return OUT_OF_RESOURCES
            if self._file is None:
                return INVALID_SOP_INSTANCE
            self._file.flush()
            os.fsync(self._file.fileno())
            return self._check_and_put(Path(self._file.name))
        except OSError:
            return OUT_OF_RESOURCES
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove what was not kept."""
        if self._file is not None:
            self._file.close()
            Path(self._file.name).unlink(missing_ok=True)

    def _check_and_put(self, written: Path) -> int:
        tags = ["SOPClassUID", "SOPInstanceUID"]
        ds = dcmread(written, stop_before_pixels=True, specific_tags=list(tags))
        sop_class_uid = self._message.command_set.get("AffectedSOPClassUID")
        if (ds.get("SOPClassUID"), ds.get("SOPInstanceUID")) != (
            sop_class_uid,
            self._sop_instance_uid,
        ):
            return CONTRADICTS_REQUEST
        return self._folder.put(written, self._sop_instance_uid)

    @property
    def _sop_instance_uid(self) -> str:
        return str(self._message.command_set.get("AffectedSOPInstanceUID", ""))

    def _begin(self) -> IO[bytes]:
        """Open the file and write what goes before a data set (PS3.10 7.1)."""
        accepted = {cx.context_id: cx for cx in self._assoc.accepted_contexts}
        context = accepted[self._message.context_id]
        head = encode_file_meta(
            sop_class_uid=str(context.abstract_syntax),
            sop_instance_uid=self._sop_instance_uid,
            transfer_syntax_uid=context.transfer_syntax[0],
        )
        file = tempfile.NamedTemporaryFile(  # noqa: SIM115 - open until keep or discard
            dir=self._folder.folder, suffix=_PARTIAL, delete=False
        )
        file.write(head)
        return file


class SpoolingDimse(DIMSEServiceProvider):
    """pynetdicom's message level, with IncomingDataSet in place of a buffer in memory."""

    def __init__(self, assoc: Association, folder: InstanceFolder) -> None:
        super().__init__(assoc)
        self._folder = folder

    def receive_primitive(self, primitive: P_DATA) -> None:
        if self.message is None:
            self.message = DIMSEMessage()
            self.message.data_set = IncomingDataSet(self.message, self.assoc, self._folder)
        super().receive_primitive(primitive)

    def discard(self) -> None:
        """Remove what arrived and will not be handled any more: the connection is gone."""
        left = [self.message.data_set] if self.message is not None else []
        with contextlib.suppress(queue.Empty):
            while True:
                left.append(getattr(self.msg_queue.get_nowait()[1], "DataSet", None))
        for data_set in left:
            if isinstance(data_set, IncomingDataSet):
                data_set.discard()
