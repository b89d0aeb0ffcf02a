"""Telling open pages what changed: the ledger is asked once a second, however many watch.

A page holds one Server-Sent Events stream. It carries only names of what is old by now
("studies", "study-12", "transfers"); the page then asks for those parts as it asks for any
page. Nothing but numbers goes over the stream, and nothing is lost if an event is: a page
that was away, or finds no stream free, asks for everything now and then.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import TypeVar

from gateway import log
from gateway.errors import LedgerUnavailable
from gateway.ledger.engine import Ledger
from gateway.ledger.queries import changes

POLL_S = 1.0
HEARTBEAT_S = 15.0
"""Proxies close a connection that is silent for 30 to 60 s."""
STREAMS_MAX = 40
"""Each stream holds one of the server's 64 threads; the rest must be left for pages."""
LISTEN_S = 0.5
"""How soon a stream notices that the server wants to stop."""
BACKLOG_MAX = 256
"""Rounds of changes remembered; who is further behind is told to ask for everything."""

EVERYTHING = "poll"

_log = log.get(__name__)
_Key = TypeVar("_Key")


class Watcher:
    """Asks the ledger what changed while anybody listens, and tells all who do."""

    def __init__(self, ledger: Ledger, *, poll_s: float = POLL_S) -> None:
        self._ledger = ledger
        self._poll_s = poll_s
        self._changed = threading.Condition()
        self._serial = 0
        self._rounds: deque[tuple[int, frozenset[str]]] = deque(maxlen=BACKLOG_MAX)
        self._listeners = 0
        self._thread: threading.Thread | None = None
        self.running: Callable[[], bool] = lambda: True
        """Asked again and again; streams end when it says False."""

    def admit(self) -> bool:
        """Take one of the streams; False if none is left. Pair it with `leave`.

        Raises LedgerUnavailable. What happens from now on is in the stream.
        """
        look = _Look(self._ledger)
        with self._changed:
            if self._listeners >= STREAMS_MAX:
                return False
            self._listeners += 1
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._watch, args=(look,), name="watcher", daemon=True
                )
                self._thread.start()
            return True

    def leave(self) -> None:
        with self._changed:
            self._listeners -= 1

    def stream(self, is_gone: Callable[[], bool] = lambda: False) -> Iterator[str]:
        """Yield Server-Sent Events from now on, and a comment as heartbeat when all is quiet.

        is_gone: asked every half second; the stream ends when nobody reads it any more.
        """
        seen = self._serial
        silent_s = 0.0
        yield f"retry: 2000\nevent: {EVERYTHING}\ndata:\n\n"  # the page is older than the stream
        while self.running() and not is_gone():
            topics, seen = self._next(seen)
            if topics:
                silent_s = 0.0
                yield "".join(f"event: {topic}\ndata:\n\n" for topic in sorted(topics))
            elif (silent_s := silent_s + LISTEN_S) >= HEARTBEAT_S:
                silent_s = 0.0
                yield ":\n\n"

    def _next(self, seen: int) -> tuple[frozenset[str], int]:
        """Return what changed after round `seen`, waiting a little, and the latest round."""
        with self._changed:
            if self._serial == seen:
                self._changed.wait(LISTEN_S)
            if self._serial == seen:
                return frozenset(), seen
            if not self._rounds or self._rounds[0][0] > seen + 1:
                return frozenset({EVERYTHING}), self._serial
            news = (topics for serial, topics in self._rounds if serial > seen)
            return frozenset().union(*news), self._serial

    def _publish(self, topics: frozenset[str]) -> None:
        with self._changed:
            self._serial += 1
            self._rounds.append((self._serial, topics))
            self._changed.notify_all()

    def _watch(self, look: "_Look") -> None:
        pause = threading.Event()
        while True:
            with self._changed:
                if self._listeners == 0 or not self.running():
                    self._thread = None
                    return
            try:
                topics = look.again()
            except LedgerUnavailable as error:
                _log.warning("the ledger cannot be watched", reason=str(error))
            else:
                if topics:
                    self._publish(topics)
            pause.wait(self._poll_s)


class _Look:
    """What the ledger said last time, to compare with."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        with ledger.reading() as session:
            self._event_id = changes.latest_event_id(session)
        self._receiving: dict[int, int] = {}
        self._sending: dict[tuple[int, int], int] = {}

    def again(self) -> frozenset[str]:
        """Return the topics that changed since the last look. Raises LedgerUnavailable."""
        topics: set[str] = set()
        with self._ledger.reading() as session:
            for change in changes.since(session, self._event_id):
                self._event_id = change.event_id
                topics |= _topics(change)
            receiving = changes.receiving_progress(session)
            sending = changes.sending_progress(session)
        for study_id in _different(receiving, self._receiving):
            topics |= {"studies", f"study-{study_id}-progress"}
        for transfer_id, study_id in _different(sending, self._sending):
            topics |= {"studies", f"study-{study_id}-progress"}
            topics |= {"transfers", f"transfer-{transfer_id}"}
        self._receiving, self._sending = receiving, sending
        return frozenset(topics)


def _topics(change: changes.Change) -> set[str]:
    """Return which parts of which pages an event makes old."""
    if change.subject in ("source", "destination", "route", "association"):
        return {"registry"}
    topics = {"studies"}
    if change.study_id is not None:
        topics.add(f"study-{change.study_id}")
    if change.subject == "transfer":
        topics |= {"transfers", f"transfer-{change.subject_id}"}
    if change.subject == "quarantine":
        topics.add("quarantine")
    return topics if change.subject != "user" else set()


def _different(new: dict[_Key, int], old: dict[_Key, int]) -> list[_Key]:
    return [key for key, value in new.items() if old.get(key) != value]
