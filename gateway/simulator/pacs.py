"""A simulated hospital PACS: stores durably, takes commitment, can be asked what it has."""

from pathlib import Path
from typing import Self

from pydicom.uid import (
    UID,
    BasicTextSRStorage,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EnhancedSRStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    KeyObjectSelectionDocumentStorage,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    MultiFrameSingleBitSecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
    VideoEndoscopicImageStorage,
    VLEndoscopicImageStorage,
)
from pynetdicom import AE, evt

from gateway.network import tune_association
from gateway.simulator.pacs_commitment import PUSH_MODEL, CommitmentScp, ReportAddress
from gateway.simulator.pacs_query import find_instances
from gateway.simulator.pacs_store import IncomingDataSet, InstanceFolder, SpoolingDimse
from gateway.status import CANNOT_UNDERSTAND

STORAGE_CLASSES = (
    VideoEndoscopicImageStorage,
    VLEndoscopicImageStorage,
    SecondaryCaptureImageStorage,
    MultiFrameSingleBitSecondaryCaptureImageStorage,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    KeyObjectSelectionDocumentStorage,
    BasicTextSRStorage,
    EnhancedSRStorage,
    ComprehensiveSRStorage,
    Comprehensive3DSRStorage,
)
_VERIFICATION = UID("1.2.840.10008.1.1")
_STUDY_ROOT_FIND = UID("1.2.840.10008.5.1.4.1.2.2.1")
_NATIVE = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
_PDU_BYTES_MAX = 131_072
_ASSOCIATIONS_MAX = 8
"""With one PDU in flight each, what the PACS holds in memory stays around a megabyte."""


class SimulatedPacs:
    """An application entity in threads of this process; instances lie in `folder`.

    port 0 takes a free one, which `port` then tells; a PACS stopped and started again keeps
    it. Without report_to the PACS offers no Storage Commitment, as many do not. Called by
    another AE title than its own it rejects the association.
    """

    def __init__(
        self,
        folder: Path,
        *,
        ae_title: str,
        host: str = "127.0.0.1",
        port: int = 0,
        report_to: tuple[str, int, str] | None = None,
    ) -> None:
        self.ae_title, self.host, self.port = ae_title, host, port
        self.report_to = report_to
        self.instances = InstanceFolder(folder)
        self._ae: AE | None = None
        self._commitment: CommitmentScp | None = None

    def start(self) -> None:
        """Listen. Raises OSError if the port is taken."""
        ae = AE(ae_title=self.ae_title)
        ae.require_called_aet = True
        ae.maximum_pdu_size = _PDU_BYTES_MAX
        ae.maximum_associations = _ASSOCIATIONS_MAX
        for sop_class_uid in STORAGE_CLASSES:
            ae.add_supported_context(sop_class_uid, [JPEGBaseline8Bit, *_NATIVE])
        ae.add_supported_context(_VERIFICATION, _NATIVE)
        ae.add_supported_context(_STUDY_ROOT_FIND, _NATIVE)
        handlers: list[evt.EventHandlerType] = [
            (evt.EVT_CONN_OPEN, self._on_open),
            (evt.EVT_CONN_CLOSE, _on_close),
            (evt.EVT_C_STORE, _on_store),
            (evt.EVT_C_FIND, find_instances, [self.instances]),
        ]
        if self.report_to is not None:
            ae.add_supported_context(PUSH_MODEL, _NATIVE)
            address = ReportAddress(*self.report_to)
            self._commitment = CommitmentScp(self.instances, self.ae_title, address)
            handlers.append((evt.EVT_N_ACTION, self._commitment.on_action))
        server = ae.start_server((self.host, self.port), block=False, evt_handlers=handlers)
        assert server is not None  # block=False returns it
        self.port = server.server_address[1]
        self._ae = ae
        if self._commitment is not None:
            self._commitment.start()

    def stop(self) -> None:
        """Abort what is open and stop listening; the instances stay."""
        if self._ae is not None:
            self._ae.shutdown()
            self._ae = None
        if self._commitment is not None:
            self._commitment.stop()
            self._commitment = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _on_open(self, event: evt.Event) -> None:
        tune_association(event)
        event.assoc.dimse = SpoolingDimse(event.assoc, self.instances)


def _on_close(event: evt.Event) -> None:
    if isinstance(event.assoc.dimse, SpoolingDimse):
        event.assoc.dimse.discard()


def _on_store(event: evt.Event) -> int:
    data_set = getattr(event.request, "DataSet", None)
    return data_set.keep() if isinstance(data_set, IncomingDataSet) else CANNOT_UNDERSTAND
