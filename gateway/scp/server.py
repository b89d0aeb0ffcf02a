"""The listener: presentation contexts, admission, and the life of each association."""

import contextlib
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from weakref import WeakKeyDictionary

from pynetdicom import AE, evt
from pynetdicom.pdu_primitives import AsynchronousOperationsWindowNegotiation
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification  # type: ignore[attr-defined]

from gateway import log
from gateway.dicom.storage_classes import STORAGE_CLASSES, TRANSFER_SYNTAXES
from gateway.dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from gateway.errors import ConfigurationError, LedgerError
from gateway.ledger.engine import Ledger
from gateway.ledger.queries import registry
from gateway.ledger.transitions import reception as record
from gateway.model import AssociationOutcome
from gateway.network import tune_association
from gateway.scp import admission, commitment
from gateway.scp.context import Context, Peer
from gateway.scp.reception import Reception, new_association_id
from gateway.scp.wire.reader import StoreReader
from gateway.settings import Settings

HOUSEKEEPING_INTERVAL_S = 0.1
OPERATIONS_MAX = 64
"""C-STOREs a peer may have under way on one association."""
_TRANSIENT, _SERVICE_USER, _PERMANENT = 0x02, 0x01, 0x01
_NO_REASON = 0x01

_logger = log.get(__name__)


class ScpServer:
    """Receives studies until it is stopped. Usable as a context manager."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings, self._ledger, self._now = settings, ledger, now
        self._readers: WeakKeyDictionary[Any, StoreReader] = WeakKeyDictionary()
        self._live: dict[Any, Reception] = {}  # by pynetdicom Association
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._server: Any = None
        self._housekeeper = threading.Thread(target=self._keep_house, name="housekeeping")

    @property
    def port(self) -> int:
        """The port we listen on, also where the settings said 0."""
        return int(self._server.socket.getsockname()[1])

    def start(self) -> None:
        """Listen. Raises ConfigurationError if the address cannot be bound."""
        ae = _application_entity(self._settings)
        address = (self._settings.dicom_host, self._settings.dicom_port)
        handlers: list[Any] = [
            (evt.EVT_CONN_OPEN, self._on_connection),
            (evt.EVT_REQUESTED, self._on_requested),
            (evt.EVT_C_ECHO, lambda _event: 0x0000),
            (evt.EVT_N_EVENT_REPORT, self._on_event_report),
        ]
        try:
            self._server = ae.start_server(address, block=False, evt_handlers=handlers)
        except OSError as error:
            raise ConfigurationError(
                f"CAPSULE_DICOM_HOST, CAPSULE_DICOM_PORT: cannot listen on"
                f" {address[0]}:{address[1]}: {error.strerror}"
            ) from error
        self._housekeeper.start()
        _logger.info("scp.listening", ae_title=self._settings.ae_title, port=self.port)

    def stop(self) -> None:
        """Abort what is under way, seal every pack, stop listening."""
        self._stopping.set()
        self._server.shutdown()
        for assoc in self._associations():
            assoc.abort()
        self._housekeeper.join()

    def __enter__(self) -> "ScpServer":
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def _on_connection(self, event: Any) -> None:
        tune_association(event)
        # Before the first byte is read: an absurd A-ASSOCIATE-RQ must not be either.
        self._readers[event.assoc] = StoreReader(
            event.assoc, pdu_bytes_max=self._settings.pdu_bytes_max
        )

    def _on_requested(self, event: Any) -> None:
        """Decide about an A-ASSOCIATE-RQ before pynetdicom negotiates it."""
        assoc = event.assoc
        request = assoc.requestor.primitive
        peer = Peer(
            association_id=new_association_id(),
            calling_ae_title=str(request.calling_ae_title).strip(),
            called_ae_title=str(request.called_ae_title).strip(),
            address=assoc.requestor.address or "",
        )
        try:
            refusal = self._admit(peer)
        except LedgerError as error:
            _logger.error("scp.admission-failed", code=error.code, error=str(error))
            _reject(assoc, _TRANSIENT, _NO_REASON)
            return
        if refusal is not None:
            _logger.warning("scp.refused", calling=peer.calling_ae_title, reason=refusal.words)
            _reject(assoc, _PERMANENT, refusal.reason)
            return
        reception = Reception(Context(self._settings, self._ledger, peer, self._now))
        with self._lock:
            self._live[assoc] = reception
        self._readers[assoc].receiver = reception
        _answer_window(assoc)

    def _admit(self, peer: Peer) -> admission.Refusal | None:
        with self._ledger.reading() as session:
            refusal = admission.decide(
                calling=peer.calling_ae_title,
                called=peer.called_ae_title,
                address=peer.address,
                our_ae_title=self._settings.ae_title,
                sources=registry.sources(session),
                destination_ae_titles=[one.ae_title for one in registry.destinations(session)],
            )
        ends = {
            "calling": peer.calling_ae_title[:16],
            "called": peer.called_ae_title[:16],
            "peer": peer.address,
        }
        with self._ledger.transaction() as session:
            if refusal is None:
                record.open_association(session, peer.association_id, now=self._now(), **ends)
            else:
                record.reject_association(
                    session, peer.association_id, reason=refusal.words, now=self._now(), **ends
                )
        return refusal

    def _on_event_report(self, event: Any) -> tuple[int, None]:
        answer: tuple[int, None] = commitment.handle_event_report(self._ledger, event, self._now())
        return answer

    def _keep_house(self) -> None:
        """Show progress and close associations whose threads have ended, until all are gone."""
        while True:
            stopping = self._stopping.wait(HOUSEKEEPING_INTERVAL_S)
            for assoc in self._associations():
                reception = self._live[assoc]
                if assoc.is_alive() or assoc.dul.is_alive():
                    with contextlib.suppress(LedgerError):  # shown a little later, then
                        reception.report_progress()
                    continue
                if reception.close(_outcome(assoc)) or stopping:
                    with self._lock:
                        del self._live[assoc]
            if stopping and not self._live:
                return

    def _associations(self) -> list[Any]:
        with self._lock:
            return list(self._live)


def _application_entity(settings: Settings) -> AE:
    ae = AE(settings.ae_title)
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.maximum_pdu_size = settings.pdu_bytes_max
    ae.maximum_associations = settings.associations_max
    ae.acse_timeout = min(30.0, settings.dimse_timeout_s)
    ae.dimse_timeout = settings.dimse_timeout_s
    ae.network_timeout = settings.idle_timeout_s
    ae.add_supported_context(Verification)
    # A destination that reports a commitment is its SCP, so we are the SCU (PS3.4 J.2).
    ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
    for sop_class_uid in STORAGE_CLASSES:
        ae.add_supported_context(sop_class_uid, list(TRANSFER_SYNTAXES))
    return ae


def _answer_window(assoc: Any) -> None:
    """Grant an Asynchronous Operations Window (PS3.7 D.3.3.3) if the peer asks for one.

    pynetdicom itself always answers 1: it takes one operation at a time, our reader a group.
    """

    def answer() -> AsynchronousOperationsWindowNegotiation:
        invoked, _performed = assoc.requestor.asynchronous_operations
        item = AsynchronousOperationsWindowNegotiation()
        # 0 asks for no limit (PS3.7 D.3.3.3.1).
        item.maximum_number_operations_invoked = min(invoked or OPERATIONS_MAX, OPERATIONS_MAX)
        item.maximum_number_operations_performed = 1
        return item

    assoc.acse._check_async_ops = answer


def _reject(assoc: Any, result: int, diagnostic: int) -> None:
    assoc.acse.send_reject(result, _SERVICE_USER, diagnostic)
    assoc.is_rejected = True
    assoc.kill()


def _outcome(assoc: Any) -> AssociationOutcome:
    if assoc.is_released:
        return AssociationOutcome.RELEASED
    if assoc.is_aborted:
        return AssociationOutcome.ABORTED
    return AssociationOutcome.LOST
