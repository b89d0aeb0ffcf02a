"""Imports and the inbox killed at any moment: what is run again ends as if nothing had happened."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.importing.inbox import Inbox
from gateway.importing.order import Order
from gateway.ledger import events
from gateway.ledger.queries import associations, due
from gateway.model import AssociationOutcome
from tests import recordings
from tests.instances import jpeg
from tests.recordings import avi_of, folder_of, frames
from tests.running import eventually

pytestmark = pytest.mark.timeout(240)

FRAMES = 600
kept = recordings.kept
ORDER = json.dumps({"patient_id": "P1", "study_date": "20260131", "fps": 2})


def start(kept, *words, environ, **more):
    return subprocess.Popen(
        [sys.executable, "-m", "gateway", *map(str, words)],
        env={**environ, "CAPSULE_HOME": str(kept.settings.home), **more},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def packed_bytes(kept):
    return sum(path.stat().st_blocks for path in kept.settings.packs_dir.glob("*/*/*.tar"))


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGINT])
def test_an_import_that_is_ended_half_way_is_made_whole_by_the_next(
    kept, tmp_path, project_environ, signal_number
):
    wanted = [jpeg(n % 40) + b"" for n in range(FRAMES)]
    folder = folder_of(tmp_path / "in", wanted)
    (folder / "capsule.json").write_text(ORDER)
    process = start(kept, "import", folder, environ=project_environ)
    eventually(lambda: packed_bytes(kept) or process.poll() is not None, "the first frames")
    process.send_signal(signal_number)
    process.wait(30)
    report = kept.import_from(folder, Order())
    assert report.imported_count + report.already_there_count == FRAMES
    assert kept.streams() == wanted
    assert len({row["sop_instance_uid"] for row, _ in kept.members()}) == FRAMES
    assert kept.import_from(folder, Order()).already_there_count == FRAMES
    with kept.ledger.reading() as session:
        assert events.first_broken(session) is None
        outcomes = [row.outcome for row in associations.latest(session)]
        (facts,) = due.receiving(session)
    assert AssociationOutcome.OPEN not in outcomes
    assert (facts.instance_count, facts.declared_count, facts.open_pack_count) == (
        FRAMES,
        FRAMES,
        0,
    )


def test_a_second_import_waits_for_the_first_and_adds_nothing(kept, tmp_path, project_environ):
    folder = folder_of(tmp_path / "in", [jpeg(n % 40) for n in range(FRAMES)])
    (folder / "capsule.json").write_text(ORDER)
    both = [start(kept, "import", folder, environ=project_environ) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert len(kept.members()) == FRAMES


@contextmanager
def watched(kept, **changes):
    """The inbox of a gateway, watched by a thread of ours; its imports are real processes."""
    values = {"inbox": str(kept.settings.home / "inbox"), "inbox_quiet_s": 0.5, **changes}
    settings = kept.settings.model_copy(update=values)
    stop = threading.Event()
    inbox = Inbox(settings, now=lambda: datetime.now(UTC))
    thread = threading.Thread(target=inbox.watch, args=(stop,))
    thread.start()
    try:
        yield Path(settings.inbox)
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def home_in_environment(kept, monkeypatch, project_environ):
    """The imports of an inbox read their settings where every role reads them."""
    monkeypatch.setenv("CAPSULE_HOME", str(kept.settings.home))
    monkeypatch.setenv("PYTHONPATH", project_environ["PYTHONPATH"])


def report_of(inbox, where, name):
    path = inbox / where / f"{name}.report.json"
    return json.loads(path.read_text()) if path.exists() else None


@pytest.mark.usefixtures("home_in_environment")
def test_what_is_dropped_is_imported_when_it_is_complete_and_put_away(kept):
    with watched(kept) as inbox:
        folder = folder_of(inbox / "case1", frames(3))
        (folder / "capsule.json").write_text(ORDER)
        (inbox / "case2.avi").write_bytes(avi_of(frames(4)))
        (inbox / "case2.json").write_text(json.dumps({"patient_id": "P2"}))
        (inbox / "junk.zip").write_bytes(b"PK\x03\x04junk")
        (inbox / "growing.zip.part").write_bytes(b"PK")
        eventually(lambda: report_of(inbox, "failed", "junk.zip"), "junk is put away")
        eventually(lambda: report_of(inbox, "done", "case1"), "a folder is put away")
        eventually(lambda: report_of(inbox, "done", "case2.avi"), "a video is put away")
    assert report_of(inbox, "done", "case1")["imported"] == 3
    assert report_of(inbox, "done", "case2.avi")["imported"] == 4
    assert report_of(inbox, "failed", "junk.zip")["error"] == "import.unsafe"
    left = sorted(path.name for path in inbox.iterdir())
    assert left == ["done", "failed", "growing.zip.part"]
    assert (inbox / "done" / "case2.json").exists()
    assert {line.study.patient_id for line in kept.studies()} == {"P1", "P2"}


@pytest.mark.usefixtures("home_in_environment")
def test_what_still_grows_is_left_alone_until_it_is_marked(kept):
    with watched(kept, inbox_quiet_s=3600) as inbox:
        folder = folder_of(inbox / "case", frames(2))
        (folder / "capsule.json").write_text(ORDER)
        other = folder_of(inbox / "later", frames(2))
        (other / "capsule.json").write_text(json.dumps({"patient_id": "P2"}))
        (folder / ".complete").touch()
        eventually(lambda: report_of(inbox, "done", "case"), "the marked one is put away")
        assert other.exists()
        (inbox / "later.ready").touch()
        eventually(lambda: report_of(inbox, "done", "later"), "the other one is put away")


@pytest.mark.usefixtures("home_in_environment")
def test_links_in_the_inbox_are_put_aside_unread(kept, tmp_path):
    secret = folder_of(tmp_path / "elsewhere", frames(2))
    (secret / "capsule.json").write_text(ORDER)
    with watched(kept) as inbox:
        (inbox / "case").symlink_to(secret)
        eventually(lambda: report_of(inbox, "failed", "case"), "the link is put away")
    assert len(list(secret.iterdir())) == 3
    assert kept.studies() == []


def test_an_inbox_killed_during_an_import_does_it_again_and_stores_nothing_twice(
    kept, project_environ
):
    inbox = kept.settings.home / "inbox"
    wanted = [jpeg(n % 40) for n in range(FRAMES)]
    folder = folder_of(inbox / "case", wanted)
    (folder / "capsule.json").write_text(ORDER)
    (folder / ".complete").touch()
    changes = {"CAPSULE_INBOX": str(inbox)}
    first = start(kept, "inbox", environ=project_environ, **changes)
    eventually(lambda: packed_bytes(kept), "the first frames")
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    second = start(kept, "inbox", environ=project_environ, **changes)
    try:
        eventually(lambda: report_of(inbox, "done", "case"), "the folder is put away")
    finally:
        second.send_signal(signal.SIGTERM)
        assert second.wait(30) == 0
    said = report_of(inbox, "done", "case")
    assert said["imported"] + said["already_there"] == FRAMES
    assert kept.streams() == wanted


@pytest.mark.usefixtures("home_in_environment")
def test_an_import_waits_in_the_inbox_while_the_disk_is_full(kept, monkeypatch):
    monkeypatch.setenv("CAPSULE_DISK_REFUSE_BYTES", str(1 << 60))
    with watched(kept) as inbox:
        folder = folder_of(inbox / "case", frames(2))
        (folder / "capsule.json").write_text(ORDER)
        deadline = time.monotonic() + 60
        outcome = None
        while outcome is not AssociationOutcome.ABORTED and time.monotonic() < deadline:
            with kept.ledger.reading() as session:
                outcome = next((one.outcome for one in associations.latest(session)), None)
        assert outcome is AssociationOutcome.ABORTED
    assert folder.exists()
    assert report_of(inbox, "failed", "case") is None
