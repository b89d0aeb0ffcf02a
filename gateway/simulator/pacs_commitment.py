"""Storage Commitment Push Model as SCP (PS3.4 Annex J): check, then report on an association
of our own to the requesting side, where we keep the role of SCP."""

import queue
import threading
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, build_role, evt

from gateway import log
from gateway.network import tune_association
from gateway.simulator.pacs_store import InstanceFolder
from gateway.status import NO_SUCH_INSTANCE, SUCCESS

PUSH_MODEL = UID("1.2.840.10008.1.20.1")
PUSH_MODEL_INSTANCE = UID("1.2.840.10008.1.20.1.1")
"""The well-known SOP Instance of the SOP Class (PS3.4 J.3.5)."""
REQUEST_COMMITMENT = 1
"""Action Type ID (PS3.4 J.3.2)."""
ALL_COMMITTED, FAILURES_EXIST = 1, 2
"""Event Type IDs (PS3.4 J.3.3)."""
RETRY_DELAYS_S = (0.2, 0.5, 1, 2, 5, 10)
"""Waits between attempts to reach the other side: some 20 s, a restart's length."""

_NO_SUCH_ACTION, _MISSING_ATTRIBUTE, _RESOURCE_LIMITATION = 0x0123, 0x0120, 0x0213
_CLASS_INSTANCE_CONFLICT = 0x0119
_PENDING_MAX = 64
_logger = log.get(__name__)


@dataclass(frozen=True)
class ReportAddress:
    """Where commitment results go: the requesting AE as the PACS has it registered."""

    host: str
    port: int
    ae_title: str


class CommitmentScp(threading.Thread):
    """Takes requests from any association; reports one after the other from a thread."""

    def __init__(self, folder: InstanceFolder, ae_title: str, report_to: ReportAddress) -> None:
        super().__init__(name="commitment-reports", daemon=True)
        self._folder, self._ae_title, self._report_to = folder, ae_title, report_to
        self._requests: queue.Queue[Dataset] = queue.Queue(_PENDING_MAX)
        self._stopping = threading.Event()

    def on_action(self, event: evt.Event) -> tuple[int, Dataset | None]:
        """Handle N-ACTION-RQ: take the request on, to be answered by N-EVENT-REPORT."""
        if event.action_type != REQUEST_COMMITMENT:
            return _NO_SUCH_ACTION, None
        request = event.action_information
        if not request.get("TransactionUID") or not request.get("ReferencedSOPSequence"):
            return _MISSING_ATTRIBUTE, None
        try:
            self._requests.put_nowait(request)
        except queue.Full:
            return _RESOURCE_LIMITATION, None
        return SUCCESS, None

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                request = self._requests.get(timeout=0.1)
            except queue.Empty:
                continue
            self._report_until_taken(commitment_result(self._folder, request))

    def stop(self) -> None:
        """End the thread. Requests not reported yet are forgotten: the other side asks again."""
        self._stopping.set()
        self.join()

    def _report_until_taken(self, result: Dataset) -> None:
        for delay_s in (*RETRY_DELAYS_S, None):
            if self._report(result):
                return
            if delay_s is None or self._stopping.wait(delay_s):
                break
        _logger.warning("commitment.not-reported", transaction_uid=result.TransactionUID)

    def _report(self, result: Dataset) -> bool:
        """Send N-EVENT-REPORT on a new association; tell whether it was answered Success."""
        ae = AE(ae_title=self._ae_title)
        ae.connection_timeout = ae.acse_timeout = ae.dimse_timeout = 10
        syntaxes = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
        ae.add_requested_context(PUSH_MODEL, syntaxes)
        assoc = ae.associate(
            self._report_to.host,
            self._report_to.port,
            ae_title=self._report_to.ae_title,
            ext_neg=[build_role(PUSH_MODEL, scp_role=True)],
            evt_handlers=[(evt.EVT_CONN_OPEN, tune_association)],
        )
        if not assoc.is_established:
            return False
        failed = "FailedSOPSequence" in result
        try:
            status, _ = assoc.send_n_event_report(
                result,
                FAILURES_EXIST if failed else ALL_COMMITTED,
                PUSH_MODEL,
                PUSH_MODEL_INSTANCE,
            )
        except (RuntimeError, ValueError):  # aborted meanwhile; or the context went unaccepted
            return False
        finally:
            assoc.release()
        return bool(status.get("Status", None) == SUCCESS)


def commitment_result(folder: InstanceFolder, request: Dataset) -> Dataset:
    """Return the Event Information for a request (PS3.4 Table J.3-2)."""
    committed, failed = [], []
    for reference in request.ReferencedSOPSequence:
        item = Dataset()
        item.ReferencedSOPClassUID = reference.ReferencedSOPClassUID
        item.ReferencedSOPInstanceUID = reference.ReferencedSOPInstanceUID
        reason = _failure_reason(folder.path_of(item.ReferencedSOPInstanceUID), item)
        if reason is None:
            committed.append(item)
        else:
            item.FailureReason = reason
            failed.append(item)
    result = Dataset()
    result.TransactionUID = request.TransactionUID
    if committed:
        result.ReferencedSOPSequence = committed
    if failed:
        result.FailedSOPSequence = failed
    return result


def _failure_reason(path: Path | None, reference: Dataset) -> int | None:
    """Return the Failure Reason (PS3.3 C.14.1.1), None for an instance that lies here."""
    if path is None:
        return NO_SUCH_INSTANCE
    stored = read_file_meta_info(path).MediaStorageSOPClassUID
    return None if stored == reference.ReferencedSOPClassUID else _CLASS_INSTANCE_CONFLICT
