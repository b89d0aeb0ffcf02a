"""Accepts connections, passes each to the process with the fewest, and counts associations.

It takes nothing a peer sends. What it knows of a connection is the process it went to, whether
it became an association, and when that process says it is over. One thread, no waiting but in
`turn`.
"""

import errno
import selectors
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from gateway.errors import ConfigurationError
from gateway.scp.channel import Channel, Kind, Message
from gateway.scp.places import Places, Who
from gateway.settings import Settings

BACKLOG = 512
ACCEPTED_MAX = 64
"""Connections taken in one turn, at most: processes that report must be heard in between."""
PAUSE_S = 0.1
"""After the kernel refused us another file descriptor."""
_SHORT_OF = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


def listen(settings: Settings) -> socket.socket:
    """Return the socket others connect to. Raises ConfigurationError if it cannot be bound."""
    address = (settings.dicom_host, settings.dicom_port)
    family = socket.AF_INET6 if ":" in settings.dicom_host else socket.AF_INET
    try:
        listening = socket.create_server(address, family=family, backlog=BACKLOG)
    except OSError as error:
        raise ConfigurationError(
            f"CAPSULE_DICOM_HOST, CAPSULE_DICOM_PORT: cannot listen on"
            f" {address[0]}:{address[1]}: {error.strerror}"
        ) from error
    listening.setblocking(False)
    return listening


@dataclass(eq=False)
class Member:
    """A process that receives, as the acceptor sees it."""

    number: int
    channel: Channel
    connections: set[int] = field(default_factory=set)


class Acceptor:
    """Owns the listening socket and one end of a channel to each process."""

    def __init__(
        self,
        listening: socket.socket,
        associations_max: int,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._listening, self._clock = listening, clock
        self._places = Places(associations_max)
        self._members: dict[int, Member] = {}
        self._numbers = count(1)
        self._paused_until_s = 0.0
        self._accepting = False
        self._selector = selectors.DefaultSelector()

    @property
    def port(self) -> int:
        return int(self._listening.getsockname()[1])

    @property
    def association_count(self) -> int:
        return self._places.taken_count

    def add(self, channel: Channel) -> Member:
        """Let a process take part; the channel is ours from now on."""
        channel.never_wait()
        member = Member(next(self._numbers), channel)
        self._members[member.number] = member
        self._selector.register(channel, selectors.EVENT_READ, member)
        return member

    def watch(self, source: socket.socket) -> None:
        """End a `turn` whenever this socket can be read; the caller reads it."""
        self._selector.register(source, selectors.EVENT_READ)

    def turn(self, timeout_s: float | None) -> list[Member]:
        """Wait for something to do and do it; returns the processes that are gone."""
        self._accept_if_possible()
        if self._places.is_anybody_waiting or self._paused_until_s:
            timeout_s = PAUSE_S / 2 if timeout_s is None else min(timeout_s, PAUSE_S / 2)
        gone = []
        for key, _ in self._selector.select(timeout_s):
            if key.fileobj is self._listening:
                self._accept()
            elif isinstance(key.data, Member) and not self._hear(key.data):
                gone.append(key.data)
        for who, granted in self._places.decide(self._clock()):
            self._answer(who, Kind.GRANTED if granted else Kind.AT_LIMIT)
        return gone

    def close(self) -> None:
        """Stop listening and end every channel; the processes then end by themselves."""
        self._selector.close()
        self._listening.close()
        for member in self._members.values():
            member.channel.hang_up()
            member.channel.close()

    def abandon(self) -> None:
        """In a forked process: close our copies, without a word to the others."""
        self._selector.close()
        self._listening.close()
        for member in self._members.values():
            member.channel.close()

    def _accept_if_possible(self) -> None:
        if self._paused_until_s and self._clock() >= self._paused_until_s:
            self._paused_until_s = 0.0
        wanted = bool(self._members) and not self._paused_until_s
        if wanted and not self._accepting:
            self._selector.register(self._listening, selectors.EVENT_READ)
        elif self._accepting and not wanted:
            self._selector.unregister(self._listening)
        self._accepting = wanted

    def _accept(self) -> None:
        for _ in range(ACCEPTED_MAX):
            try:
                connection, _address = self._listening.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _SHORT_OF:
                    self._paused_until_s = self._clock() + PAUSE_S
                    return
                continue  # accept(2): what went wrong with that one connection
            with connection:
                if not _is_over(connection):
                    self._pass_on(connection)

    def _pass_on(self, connection: socket.socket) -> None:
        """Give a connection to the process with the fewest; close it if none takes it."""
        number = next(self._numbers)
        for member in sorted(self._members.values(), key=lambda one: len(one.connections)):
            try:
                member.channel.send(Kind.PASSED, number, connection)
            except OSError:  # it is gone, or has not listened for a long time
                continue
            member.connections.add(number)
            return

    def _hear(self, member: Member) -> bool:
        """Take what a process reports; False if it is gone."""
        while True:
            try:
                message = member.channel.receive()
            except BlockingIOError:
                return True
            if message is None:
                self._remove(member)
                return False
            self._note(member, message)

    def _note(self, member: Member, message: Message) -> None:
        who = Who(member.number, message.number)
        if message.kind is Kind.ASKED:
            self._places.ask(who, self._clock())
        elif message.kind is Kind.GONE:
            member.connections.discard(message.number)
            self._places.give_back(who)

    def _answer(self, who: Who, kind: Kind) -> None:
        member = self._members.get(who.process)
        try:
            if member is not None:
                member.channel.send(kind, who.number)
        except OSError:  # it will not hear us, and so the connection runs out of time there
            self._places.give_back(who)

    def _remove(self, member: Member) -> None:
        self._selector.unregister(member.channel)
        del self._members[member.number]
        self._places.give_back_all(member.number)
        member.channel.close()


def _is_over(connection: socket.socket) -> bool:
    """Tell whether the peer has closed already: most health checks of load balancers have."""
    try:
        return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
