"""Connections that are not associations yet: held until their A-ASSOCIATE-RQ is whole.

One selector and one thread hold them all, without pynetdicom and without the ledger: a load
balancer that only connects and closes, a peer that never says anything, and one that says it a
byte at a time cost a file descriptor while they last and nothing after. In the words of PS3.8
9.2.1 these connections are in state Sta2, and how long they may be there is the ARTIM timer.

There is room for so many. When it is used up, the connection that has kept us waiting longest
makes place for the new one: whoever means it sends its request at once and has gone through.

TLS, when it comes, has its handshake here, in `_advance`, before the first byte is read: a
connection is wrapped when it is taken in, and what is passed on is the wrapped socket.
"""

import contextlib
import selectors
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol

from gateway import log
from gateway.scp.channel import Channel, Kind, Message
from gateway.scp.wire import pdu

REQUEST_BYTES_MAX = 256 << 10
"""Of an A-ASSOCIATE-RQ: 128 contexts of 40 transfer syntaxes of 26 bytes are 133 KB."""
PIECE_BYTES = 64 << 10
LEAVING_S = 2.0
"""How long a connection we ended may take to close: what it still sends is read and dropped,
or the reset that closing would cause could overtake our last word."""
TELL_INTERVAL_S = 10.0

_CONGESTION, _LOCAL_LIMIT = pdu.encode_reject(2, 3, 1), pdu.encode_reject(2, 3, 2)
"""PS3.8 9.3.4: transient, service provider (presentation), temporary congestion or local limit."""
_VERSION_1, _VERSION = 0x0001, pdu.encode_reject(1, 2, 2)
"""Permanent, service provider (ACSE), protocol version not supported."""

_logger = log.get(__name__)


class Bounds(NamedTuple):
    """connections_max: held at once. per_address_max: of them, from one address.
    request_timeout_s: from the connection to the last byte of its A-ASSOCIATE-RQ.
    """

    connections_max: int
    per_address_max: int
    request_timeout_s: float


class Request(NamedTuple):
    """A connection whose A-ASSOCIATE-RQ is whole and for which there is a place."""

    number: int
    connection: socket.socket
    address: str
    encoded: bytes


class Associate(Protocol):
    """Takes a request on; tells the acceptor with Kind.GONE when the connection is over."""

    def __call__(self, request: Request) -> None: ...


class _Visitor:
    def __init__(self, message: Message, until_s: float) -> None:
        assert message.connection is not None
        self.number, self.connection, self.until_s = message.number, message.connection, until_s
        self.address: str = self.connection.getpeername()[0]
        self.connection.setblocking(False)
        self.received = bytearray()
        self.asking = self.watched = False


class Doorstep:
    """One process's. `run` until the channel to the acceptor ends."""

    def __init__(
        self,
        channel: Channel,
        bounds: Bounds,
        associate: Associate,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._channel, self._bounds, self._associate = channel, bounds, associate
        self._clock = clock
        self._waiting: OrderedDict[int, _Visitor] = OrderedDict()  # the oldest first
        self._by_address: dict[str, OrderedDict[int, _Visitor]] = {}
        self._leaving: OrderedDict[int, _Visitor] = OrderedDict()  # the oldest first
        self._selector = selectors.DefaultSelector()
        self._selector.register(channel, selectors.EVENT_READ)
        self._dropped: dict[str, int] = {}
        self._tell_at_s = 0.0

    def __len__(self) -> int:
        return len(self._waiting) + len(self._leaving)

    def run(self) -> None:
        """Serve until the other end of the channel is gone, then close what is held."""
        try:
            while self._turn():
                self._expire()
                self._tell()
        finally:
            for visitor in [*self._waiting.values(), *self._leaving.values()]:
                self._close(visitor)
            self._selector.close()

    def _turn(self) -> bool:
        for key, _ in self._selector.select(self._patience_s()):
            if isinstance(key.data, _Visitor):
                if key.data.number in self._leaving:
                    self._drain(key.data)
                elif key.data.number in self._waiting:
                    self._advance(key.data)
            else:
                message = self._channel.receive()
                if message is None:
                    return False
                self._hear(message)
        return True

    def _hear(self, message: Message) -> None:
        if message.kind is Kind.PASSED:
            self._take(message)
            return
        visitor = self._waiting.get(message.number)
        if visitor is None:
            return  # it ran out of time
        if message.kind is Kind.GRANTED:
            self._forget(visitor)
            visitor.connection.setblocking(True)
            self._associate(
                Request(
                    visitor.number,
                    visitor.connection,
                    visitor.address,
                    bytes(visitor.received),
                )
            )
        elif message.kind is Kind.AT_LIMIT:
            self._dismiss(visitor, _LOCAL_LIMIT, "as many associations as there may be")

    def _take(self, message: Message) -> None:
        try:
            visitor = _Visitor(message, self._clock() + self._bounds.request_timeout_s)
        except OSError:  # gone again, before we looked
            if message.connection is not None:
                message.connection.close()
            self._say(Kind.GONE, message.number)
            return
        if not self._make_room(visitor.address):
            self._refuse(visitor)
            return
        self._waiting[visitor.number] = visitor
        self._by_address.setdefault(visitor.address, OrderedDict())[visitor.number] = visitor
        self._advance(visitor)

    def _advance(self, visitor: _Visitor) -> None:
        """Read on A-ASSOCIATE-RQ, no further."""
        received, connection = visitor.received, visitor.connection
        try:
            while lacking := pdu.missing(received, bytes_max=REQUEST_BYTES_MAX):
                piece = connection.recv(min(lacking, PIECE_BYTES))
                if not piece:
                    self._close(visitor)
                    return
                received += piece
                if received[0] == pdu.A_ABORT:
                    self._close(visitor)  # PS3.8 9.2.3, AA-2
                    return
                if received[0] != pdu.A_ASSOCIATE_RQ:
                    raise pdu.MalformedPdu("something other than an A-ASSOCIATE-RQ came first")
        except BlockingIOError:
            self._watch(visitor)
        except OSError:
            self._close(visitor)
        except pdu.MalformedPdu as error:
            self._dismiss(visitor, pdu.encode_abort(pdu.ABORT_INVALID_VALUE), str(error))
        else:
            self._ask(visitor)

    def _ask(self, visitor: _Visitor) -> None:
        """The request is whole: ask for a place."""
        versions = pdu.protocol_version(visitor.received)
        if not versions & _VERSION_1:
            self._dismiss(visitor, _VERSION, "a protocol version we do not know")
            return
        # PS3.8 9.3.2: a receiver looks at the bit of its own version only; pynetdicom at all.
        visitor.received[6:8] = _VERSION_1.to_bytes(2, "big")
        visitor.asking = True
        self._unwatch(visitor)
        self._say(Kind.ASKED, visitor.number)

    def _make_room(self, address: str) -> bool:
        """Have room for one more. False if all that are here wait for the acceptor's answer."""
        neighbours = list(self._by_address.get(address, OrderedDict()).values())
        if len(neighbours) >= self._bounds.per_address_max:
            oldest = next(_idle(neighbours), None)
            if oldest is None:
                return False
            self._drop(oldest, "too many connections from one address")
        if len(self) < self._bounds.connections_max:
            return True
        oldest = next(_idle([*self._leaving.values(), *self._waiting.values()]), None)
        if oldest is not None:
            self._drop(oldest, "too many connections that do not associate")
        return oldest is not None

    def _expire(self) -> None:
        now_s = self._clock()
        for held in (self._leaving, self._waiting):
            while held and (oldest := next(iter(held.values()))).until_s <= now_s:
                if oldest.number in self._waiting:
                    self._drop(oldest, "no whole A-ASSOCIATE-RQ in time")
                else:
                    self._close(oldest)

    def _patience_s(self) -> float | None:
        first = [
            next(iter(held.values())).until_s for held in (self._leaving, self._waiting) if held
        ]
        if self._dropped:
            first.append(self._tell_at_s)
        return max(0.0, min(first) - self._clock()) if first else None

    def _dismiss(self, visitor: _Visitor, last_word: bytes, why: str) -> None:
        """Say why, then wait a moment for the peer to close."""
        self._count(why)
        self._forget(visitor)
        visitor.until_s = self._clock() + LEAVING_S
        self._leaving[visitor.number] = visitor
        try:
            visitor.connection.send(last_word)
            visitor.connection.shutdown(socket.SHUT_WR)
            self._watch(visitor)
        except OSError:
            self._close(visitor)

    def _refuse(self, visitor: _Visitor) -> None:
        """Say that we are busy, without waiting for anything."""
        self._count("more requests at once than can be looked at")
        with contextlib.suppress(OSError):
            visitor.connection.send(_CONGESTION)
        self._close(visitor)

    def _drain(self, visitor: _Visitor) -> None:
        try:
            over = not visitor.connection.recv(PIECE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            over = True
        if over:
            self._close(visitor)

    def _drop(self, visitor: _Visitor, why: str) -> None:
        """PS3.8 9.2.3, AA-2: close the connection."""
        if visitor.number in self._waiting:
            self._count(why)
        self._close(visitor)

    def _close(self, visitor: _Visitor) -> None:
        self._forget(visitor)
        self._leaving.pop(visitor.number, None)
        visitor.connection.close()
        self._say(Kind.GONE, visitor.number)

    def _forget(self, visitor: _Visitor) -> None:
        self._unwatch(visitor)
        if self._waiting.pop(visitor.number, None) is not None:
            neighbours = self._by_address[visitor.address]
            del neighbours[visitor.number]
            if not neighbours:
                del self._by_address[visitor.address]

    def _watch(self, visitor: _Visitor) -> None:
        if not visitor.watched:
            self._selector.register(visitor.connection, selectors.EVENT_READ, visitor)
            visitor.watched = True

    def _unwatch(self, visitor: _Visitor) -> None:
        if visitor.watched:
            self._selector.unregister(visitor.connection)
            visitor.watched = False

    def _say(self, kind: Kind, number: int) -> None:
        with contextlib.suppress(OSError):  # the acceptor is gone: its end of file is next
            self._channel.send(kind, number)

    def _count(self, why: str) -> None:
        self._dropped[why] = self._dropped.get(why, 0) + 1

    def _tell(self) -> None:
        """One line for all that were turned away, every so often."""
        now_s = self._clock()
        if self._dropped and now_s >= self._tell_at_s:
            for why, count in self._dropped.items():
                _logger.warning("scp.turned-away", why=why, connections=count)
            self._dropped, self._tell_at_s = {}, now_s + TELL_INTERVAL_S


def _idle(visitors: Iterable[_Visitor]) -> Iterator[_Visitor]:
    """Yield those that may be closed: not those whose request is whole."""
    return (one for one in visitors if not one.asking)
