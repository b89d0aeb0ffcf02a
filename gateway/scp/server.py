"""Receiving in one process: every association passed to it, from its request to its end."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from pynetdicom import evt

from gateway import log
from gateway.errors import LedgerError
from gateway.holdings.headers import Headers
from gateway.holdings.held import Holdings
from gateway.ledger.engine import Ledger
from gateway.network import limit_sending, low_latency
from gateway.packs.room import Room
from gateway.scp import admission, commitment, entity
from gateway.scp.acceptor import Acceptor, listen
from gateway.scp.admission import Refusal
from gateway.scp.channel import Channel, Kind
from gateway.scp.context import Context, Peer
from gateway.scp.disk import DiskReport
from gateway.scp.doorstep import Bounds, Doorstep, Request
from gateway.scp.live import LiveAssociation
from gateway.scp.presence import Presence
from gateway.scp.quiet import Quiet
from gateway.scp.reception import Reception, new_association_id
from gateway.scp.services.serving import Serving
from gateway.scp.wire.pdu import ABORT_INVALID_VALUE, MalformedPdu, encode_abort
from gateway.settings import Settings

HOUSEKEEPING_INTERVAL_S, STOPPING_INTERVAL_S = 0.1, 0.01
STOP_TIMEOUT_S = 8.0
"""After that, associations that do not end are left to the recovery (`up` waits for 10 s)."""
STOPPED = "The gateway was stopped."

_NOT_NOW = Refusal(admission.NO_REASON, "The ledger does not answer.", admission.TRANSIENT)

_logger = log.get(__name__)


class Receiver:
    """Serves the connections that come through a channel, until it is stopped."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        channel: Channel,
        *,
        processes: int = 1,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """processes: how many share the limits on connections that have not associated yet."""
        self._settings, self._ledger, self._now = settings, ledger, now
        self._channel = channel
        self._presence = Presence(settings)
        self._room = Room.of(settings)
        self._ae = entity.application_entity(settings)
        self._holdings = Holdings(settings, ledger, Headers(settings.home), now)
        self._live: dict[int, LiveAssociation] = {}  # by number of the connection
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._housekeeper = threading.Thread(target=self._keep_house, name="housekeeping")
        bounds = Bounds(
            -(-settings.negotiating_max // processes),
            -(-settings.negotiating_per_address_max // processes),
            settings.artim_timeout_s,
        )
        self._doorstep = Doorstep(channel, bounds, self._associate)

    def run(self) -> None:
        """Serve until `stop`, or until the acceptor is gone; then abort, seal and record."""
        self._housekeeper.start()
        try:
            self._doorstep.run()
        finally:
            for _, live in self._associations():
                live.abort(STOPPED)
            self._stopping.set()
            self._housekeeper.join()
            self._presence.close()

    def stop(self) -> None:
        """End `run`. May be called from any thread and from a signal handler."""
        self._channel.hang_up()

    def _associate(self, request: Request) -> None:
        """Let pynetdicom negotiate a request, in threads of its own."""
        leave = partial(self._tell_gone, request.number)
        connection = request.connection
        try:
            limit_sending(connection, self._settings.dimse_timeout_s)
            connection = low_latency(connection)
            assoc = entity.new_association(self._ae, connection)
            live = LiveAssociation(assoc, connection, self._settings, leave=leave)
            for event, handler in (
                (evt.EVT_REQUESTED, self._on_requested),
                (evt.EVT_RELEASED, _on_released),
            ):
                assoc.bind(event, handler, [live])
            assoc.bind(evt.EVT_C_ECHO, lambda _event: 0x0000)
            assoc.bind(evt.EVT_N_EVENT_REPORT, self._on_event_report)
            live.serving = Serving(assoc, self._holdings)
            Quiet(assoc)
            live.reader.deliver(request.encoded)
            with self._lock:
                self._live[request.number] = live
            assoc.start()
        except MalformedPdu as error:
            _logger.warning("scp.not-associated", peer=request.address, error=str(error))
            with contextlib.suppress(OSError):
                connection.sendall(encode_abort(ABORT_INVALID_VALUE))
            self._let_go(request.number, connection)
        except (OSError, RuntimeError) as error:  # the peer is gone, or there is no thread left
            _logger.warning("scp.not-associated", peer=request.address, error=str(error))
            self._let_go(request.number, connection)

    def _let_go(self, number: int, connection: socket.socket) -> None:
        with self._lock:
            self._live.pop(number, None)
        connection.close()
        self._tell_gone(number)

    def _on_requested(self, event: Any, live: LiveAssociation) -> None:
        """Decide about an A-ASSOCIATE-RQ before pynetdicom negotiates it.

        pynetdicom goes on whatever is raised here, so nothing but an admission lets it.
        """
        assoc = event.assoc
        request = assoc.requestor.primitive
        peer = Peer(
            association_id=new_association_id(),
            calling_ae_title=str(request.calling_ae_title).strip(),
            called_ae_title=str(request.called_ae_title).strip(),
            address=assoc.requestor.address or "",
        )
        refusal: Refusal | None = _NOT_NOW
        try:
            refusal = admission.admit(
                self._settings, self._ledger, peer, listener=self._presence.name, now=self._now()
            )
        except LedgerError as error:
            _logger.error("scp.admission-failed", code=error.code, error=str(error))
        finally:
            if refusal is not None:
                _logger.warning("scp.refused", calling=peer.calling_ae_title, reason=refusal.words)
                _reject(assoc, refusal)
        if refusal is None:
            context = Context(self._settings, self._ledger, peer, self._now, self._room)
            live.admit(Reception(context))
            entity.answer_window(assoc)

    def _on_event_report(self, event: Any) -> tuple[int, None]:
        answer: tuple[int, None] = commitment.handle_event_report(self._ledger, event, self._now())
        return answer

    def _tell_gone(self, number: int) -> None:
        with contextlib.suppress(OSError):  # the acceptor is gone itself
            self._channel.send(Kind.GONE, number)

    def _keep_house(self) -> None:
        """Look after associations, and close those whose threads have ended, until all are gone."""
        disk = DiskReport(self._room, self._ledger)
        while not self._stopping.wait(HOUSEKEEPING_INTERVAL_S):
            disk.update(self._now())
            self._look_after_each()
        until_s = time.monotonic() + STOP_TIMEOUT_S
        while self._live and time.monotonic() < until_s:
            self._look_after_each()
            time.sleep(STOPPING_INTERVAL_S)
        if self._live:
            _logger.error("scp.left-to-recovery", associations=len(self._live))

    def _look_after_each(self) -> None:
        for number, live in self._associations():
            if not live.is_over:
                live.check()
            elif live.finish():
                with self._lock:
                    del self._live[number]

    def _associations(self) -> list[tuple[int, LiveAssociation]]:
        with self._lock:
            return list(self._live.items())


class ScpServer:
    """The whole listener in this process: an acceptor and one receiver, each in a thread.

    For tests and small tools; `capsule-gateway scp` runs gateway.scp.processes. Usable as a
    context manager.
    """

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings, self._ledger, self._now = settings, ledger, now
        self._stopping = threading.Event()

    @property
    def port(self) -> int:
        """The port we listen on, also where the settings said 0."""
        return self._acceptor.port

    def start(self) -> None:
        """Listen. Raises ConfigurationError if the address cannot be bound."""
        self._acceptor = Acceptor(listen(self._settings), self._settings.associations_max)
        ours, theirs = Channel.pair()
        self._acceptor.add(ours)
        self._receiver = Receiver(self._settings, self._ledger, theirs, now=self._now)
        self._threads = [
            threading.Thread(target=target, name=name)
            for target, name in ((self._accept, "acceptor"), (self._receiver.run, "receiver"))
        ]
        for thread in self._threads:
            thread.start()
        _logger.info("scp.listening", ae_title=self._settings.ae_title, port=self.port)

    def stop(self) -> None:
        """Abort what is under way, seal every pack, stop listening."""
        self._receiver.stop()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while not self._acceptor.turn(None):
            pass
        self._acceptor.close()

    def __enter__(self) -> "ScpServer":
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()


def _on_released(_event: Any, live: LiveAssociation) -> None:
    live.leave()


def _reject(assoc: Any, refusal: Refusal) -> None:
    assoc.acse.send_reject(refusal.result, refusal.source, refusal.reason)
    assoc.is_rejected = True
    assoc.kill()
