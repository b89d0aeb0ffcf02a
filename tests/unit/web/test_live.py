"""The stream tells what changed, within a moment, to everybody who listens."""

import threading
import time

import pytest

from gateway.ledger.transitions import registry
from gateway.web.live import EVERYTHING, STREAMS_MAX, Watcher

WITHIN_S = 20.0


class Listener:
    """Reads a stream in a thread and keeps the names of its events."""

    def __init__(self, watcher):
        self._heard = []
        self._more = threading.Condition()
        self._stop = False
        assert watcher.admit()
        self._watcher = watcher
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        self.wait_for(EVERYTHING)

    def _listen(self):
        for text in self._watcher.stream(lambda: self._stop):
            with self._more:
                names = [line[7:] for line in text.splitlines() if line.startswith("event: ")]
                self._heard += names
                self._more.notify_all()
        self._watcher.leave()

    def wait_for(self, name):
        """Return all names heard up to this one, and forget them."""
        with self._more:
            assert self._more.wait_for(lambda: name in self._heard, WITHIN_S), self._heard
            heard, self._heard = set(self._heard), []
            return heard

    def close(self):
        self._stop = True
        self._thread.join(WITHIN_S)
        assert not self._thread.is_alive()


@pytest.fixture
def watcher(ledger):
    watcher = Watcher(ledger, poll_s=0.02)
    yield watcher
    watcher.running = lambda: False


@pytest.fixture
def listener(watcher):
    listener = Listener(watcher)
    yield listener
    listener.close()


def test_a_new_study_is_told(listener, filling):
    study_id = filling.receive("1.2.3", 5)
    assert "studies" in listener.wait_for(f"study-{study_id}")


def test_frames_that_arrive_are_told_although_they_leave_no_event(listener, filling):
    study_id = filling.receive("1.2.3", 5, finished=False)
    listener.wait_for(f"study-{study_id}-progress")
    filling.more(filling.pack_id, 9)
    assert "studies" in listener.wait_for(f"study-{study_id}-progress")


def test_instances_that_are_sent_are_told_although_they_leave_no_event(listener, filling):
    with filling.ledger.transaction() as session:
        registry.add_destination(
            session,
            "PACS",
            ae_title="PACS",
            host="x",
            port=1,
            now=filling.now,
            actor="test",
            route_all=True,
        )
    study_id = filling.ready("1.2.3", 20)
    (transfer_id,) = filling.transfers_of(study_id)
    attempt = filling.claim_transfer(transfer_id)
    listener.wait_for(f"transfer-{transfer_id}")
    filling.acknowledge(transfer_id, attempt, 3)
    assert "transfers" in listener.wait_for(f"study-{study_id}-progress")


def test_a_change_of_the_registry_is_told(listener, filling):
    with filling.ledger.transaction() as session:
        registry.add_source(session, "WS1", now=filling.now, actor="test")
    assert listener.wait_for("registry") == {"registry"}


def test_everybody_who_listens_is_told(watcher, listener, filling):
    other = Listener(watcher)
    study_id = filling.receive("1.2.3", 5)
    listener.wait_for(f"study-{study_id}")
    other.wait_for(f"study-{study_id}")
    other.close()


def test_who_comes_after_everybody_left_is_told_again(watcher, filling):
    Listener(watcher).close()
    again = Listener(watcher)
    study_id = filling.receive("1.2.3", 5)
    again.wait_for(f"study-{study_id}")
    again.close()


def test_the_ledger_is_left_alone_when_nobody_listens(watcher):
    Listener(watcher).close()
    deadline = time.monotonic() + WITHIN_S
    while any(thread.name == "watcher" and thread.is_alive() for thread in threading.enumerate()):
        assert time.monotonic() < deadline


def test_streams_are_limited_and_a_page_without_one_is_told_to_poll(app, admin, ledger):
    watcher = app.extensions["capsule-gateway"].watcher
    taken = sum(watcher.admit() for _ in range(STREAMS_MAX + 5))
    assert taken == STREAMS_MAX
    assert admin.get("/live").status_code == 204
    watcher.leave()
    with admin.get("/live") as answer:
        assert answer.status_code == 200
        assert answer.mimetype == "text/event-stream"
    for _ in range(STREAMS_MAX - 1):
        watcher.leave()


def test_a_stream_that_is_closed_gives_its_place_back(app, admin):
    watcher = app.extensions["capsule-gateway"].watcher
    for _ in range(STREAMS_MAX + 5):
        with admin.get("/live") as answer:
            assert answer.status_code == 200
    assert watcher.admit()
    watcher.leave()
