"""The listener is several processes: any of them may die, the rest goes on."""

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.ledger.queries import associations
from gateway.model import AssociationOutcome
from gateway.up import roles, runfile
from tests.instances import JPEG_BASELINE, VL_ENDOSCOPIC, frame
from tests.listening import eventually
from tests.requestor import Broken, Refused, Requestor, associate_request
from tests.running import free_port
from tests.scp_process import ScpProcess, scp_process

pytestmark = pytest.mark.timeout(240)
SUCCESS = 0x0000
SERIES = "1.2.826.0.1.3680043.9.7433.2"


class Sender(threading.Thread):
    """Stores one frame after another in a Series of its own, then releases."""

    def __init__(self, listener: ScpProcess, number: int, frame_count: int) -> None:
        super().__init__(daemon=True)
        self.series_uid = f"{SERIES}.{number}.1"
        self.calling = f"SENDER{number}"
        self.assoc = listener.associate(calling=self.calling)
        self.data = {
            f"{self.series_uid}.{index}": frame(
                1, StudyInstanceUID=f"{SERIES}.{number}", SeriesInstanceUID=self.series_uid,
                SOPInstanceUID=f"{self.series_uid}.{index}", InstanceNumber=index,
            )
            for index in range(1, frame_count + 1)
        }  # fmt: skip
        self.acknowledged: list[str] = []
        self.statuses: set[int] = set()
        self.go_on = threading.Event()
        self.broken = self.released = False

    def run(self) -> None:
        """Send the first half, wait until told to go on, send the second."""
        try:
            for index, (uid, data) in enumerate(self.data.items()):
                if index == len(self.data) // 2:
                    self.go_on.wait(60)
                status = self.assoc.store(uid, data, message_id=index % 60_000 + 1)
                self.statuses.add(status)
                if status == SUCCESS:
                    self.acknowledged.append(uid)
            self.assoc.release()
            self.released = True
        except (Broken, OSError):
            self.broken = True

    @property
    def is_half_way(self) -> bool:
        return len(self.acknowledged) >= len(self.data) // 2


def started(listener: ScpProcess, count: int, frame_count: int) -> list[Sender]:
    """Return senders that have all sent the first half of their frames."""
    senders = [Sender(listener, number, frame_count) for number in range(1, count + 1)]
    for sender in senders:
        sender.start()
    eventually(lambda: all(sender.is_half_way for sender in senders), 60)
    return senders


def receivers(listener: ScpProcess) -> dict[str, int]:
    """Return the process ids of the receiving processes by the name each has in the ledger."""
    node = (listener.settings.home / "node-id").read_text()
    found = {}
    for pid in listener.family[1:]:
        with contextlib.suppress(OSError):
            for entry in Path(f"/proc/{pid}/fd").iterdir():
                target = entry.readlink()
                if target.parent == listener.settings.run_dir / "listeners" and is_written(entry):
                    found[f"{node}/{target.stem}"] = pid
    return found


def is_written(entry: Path) -> bool:
    """Tell whether a descriptor is open for writing: who only looks at a lock may not write."""
    words = (entry.parent.parent / "fdinfo" / entry.name).read_text().split()
    return int(words[words.index("flags:") + 1], 8) & os.O_ACCMODE == os.O_RDWR


def rows(listener: ScpProcess) -> dict[str, associations.Association]:
    """Return the latest association of each calling AE title."""
    with listener.ledger.reading() as session:
        return {row.calling_ae_title: row for row in reversed(associations.latest(session))}


def all_gone(pids: list[int]) -> Callable[[], bool]:
    return lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_a_killed_process_takes_down_its_own_associations_and_no_others(tmp_path):
    with scp_process(tmp_path, free_port(), scp_processes=4) as listener:
        eventually(lambda: len(receivers(listener)) == 4)
        senders = started(listener, 4, 120)
        before = receivers(listener)
        held = {sender.calling: rows(listener)[sender.calling].listener for sender in senders}
        assert len(set(held.values())) == 4, "connections are spread over the processes"
        victim, others = senders[0], senders[1:]
        os.kill(before[held[victim.calling]], signal.SIGKILL)
        # At once: while the others have not even gone on.
        eventually(lambda: rows(listener)[victim.calling].outcome is AssociationOutcome.LOST)
        assert set(victim.acknowledged) <= listener.kept().keys()
        assert rows(listener)[victim.calling].received_count == len(listener.kept())
        assert {rows(listener)[one.calling].outcome for one in others} == {AssociationOutcome.OPEN}
        for sender in senders:
            sender.go_on.set()
        for sender in senders:
            sender.join(60)
        assert victim.broken
        for other in others:
            assert (other.released, other.statuses) == (True, {SUCCESS})
            assert len(other.acknowledged) == 120
        listener.wait_until_sealed()
        kept = listener.kept()
        for sender in senders:
            for uid in sender.acknowledged:
                assert kept[uid] == sender.data[uid]
        for other in others:
            assert rows(listener)[other.calling].outcome is AssociationOutcome.RELEASED
        eventually(lambda: len(receivers(listener)) == 4)
        # It comes back and sends everything again: what was kept is known.
        with listener.associate(calling=victim.calling) as again:
            for uid, data in victim.data.items():
                assert again.store(uid, data) == SUCCESS
        listener.wait_until_sealed()
        assert len(listener.kept()) == 480
        listener.assert_the_ledger_agrees()
        listener.assert_alive()


def test_a_sender_that_is_back_before_the_recovery_finds_its_instances_known(tmp_path):
    with scp_process(tmp_path, free_port(), scp_processes=2) as listener:
        (sender,) = started(listener, 1, 100)
        os.kill(receivers(listener)[rows(listener)[sender.calling].listener], signal.SIGKILL)
        with listener.associate(calling=sender.calling) as again:  # the other process
            for uid in sender.acknowledged:
                assert again.store(uid, sender.data[uid]) == SUCCESS
        sender.go_on.set()
        sender.join(30)
        listener.wait_until_sealed()
        assert listener.kept().keys() == set(sender.acknowledged)  # none is kept twice
        assert rows(listener)[sender.calling].duplicate_count == len(sender.acknowledged)
        listener.assert_the_ledger_agrees()


def test_a_killed_parent_leaves_nobody_and_nothing_open(tmp_path):
    port = free_port()
    with scp_process(tmp_path, port, scp_processes=2) as listener:
        senders = started(listener, 2, 80)
        family = listener.family
        os.kill(listener.process.pid, signal.SIGKILL)
        eventually(all_gone(family[1:]))
        listener.process.wait()
        listener.wait_until_sealed()  # by the children themselves, before they ended
        kept = listener.kept()
        for sender in senders:
            sender.go_on.set()
            sender.join(30)
            assert sender.broken
            assert set(sender.acknowledged) <= kept.keys()
            row = rows(listener)[sender.calling]
            assert row.outcome is AssociationOutcome.ABORTED
            assert row.reason == "The gateway was stopped."
    with scp_process(tmp_path, port, scp_processes=2) as listener:
        with listener.associate(calling="SENDER1") as again:
            for uid, data in senders[0].data.items():
                assert again.store(uid, data) == SUCCESS
        listener.wait_until_sealed()
        listener.assert_the_ledger_agrees()


def test_sigterm_seals_everything_and_ends_in_order(tmp_path):
    with scp_process(tmp_path, free_port(), scp_processes=2) as listener:
        senders = started(listener, 2, 80)
        family = listener.family
        listener.process.send_signal(signal.SIGTERM)
        assert listener.process.wait(timeout=15) == 0
        assert all_gone(family)()
        assert runfile.read(listener.settings.run_dir, roles.SCP) is None
        listener.wait_until_sealed(1)
        for sender in senders:
            assert set(sender.acknowledged) <= listener.kept().keys()
        assert list((listener.settings.run_dir / "listeners").iterdir()) == []


def test_one_process_may_be_ended_in_order_and_is_replaced(tmp_path):
    with scp_process(tmp_path, free_port(), scp_processes=2) as listener:
        (sender,) = started(listener, 1, 20)
        name = rows(listener)[sender.calling].listener
        os.kill(receivers(listener)[name], signal.SIGTERM)
        eventually(lambda: rows(listener)[sender.calling].outcome is AssociationOutcome.ABORTED)
        eventually(lambda: len(receivers(listener)) == 2 and name not in receivers(listener))
        assert set(sender.acknowledged) <= listener.kept().keys()
        listener.associate().release()


def test_the_limit_on_associations_is_exact_over_all_processes(tmp_path):
    with scp_process(tmp_path, free_port(), scp_processes=3, associations_max=4) as listener:
        granted: list[Requestor] = []
        refused: list[bytes] = []
        lock = threading.Lock()

        def ask() -> None:
            try:
                assoc = listener.associate()
            except Refused as refusal:
                with lock:
                    refused.append(refusal.args[1])
            else:
                with lock:
                    granted.append(assoc)

        threads = [threading.Thread(target=ask) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(granted), len(refused)) == (4, 8)
        assert {body[1:] for body in refused} == {b"\x02\x03\x02"}
        with listener.ledger.reading() as session:
            held = set(associations.open_by_listener(session).values())
        os.kill(receivers(listener)[held.pop()], signal.SIGKILL)  # its places become free
        broken = 0
        for assoc in granted:
            try:
                assoc.release()
            except (Broken, OSError):
                broken += 1
        assert broken
        again = [listener.associate() for _ in range(4)]
        for assoc in again:
            assoc.release()


def private_kib(pids: list[int]) -> int:
    """Return the memory that processes share with nobody, in KiB."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Private_"):
                total += int(line.split()[1])
    return total


def open_files(pids: list[int]) -> int:
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)


def store_one(listener: ScpProcess, number: int) -> None:
    uid = f"{SERIES}.{number}"
    data = frame(
        1, StudyInstanceUID=SERIES, SeriesInstanceUID=f"{SERIES}.1", SOPInstanceUID=uid
    )  # fmt: skip
    with listener.associate() as assoc:
        assert assoc.store(uid, data) == SUCCESS


def test_five_hundred_half_open_connections_keep_no_sender_out_and_cost_little(tmp_path):
    request = associate_request(
        calling="LORIS", called="CAPSULEGW", contexts=[(VL_ENDOSCOPIC, [JPEG_BASELINE])]
    )
    with scp_process(tmp_path, free_port(), scp_processes=2) as listener:
        for number in range(0, 20, 2):  # what is shared after the fork is copied at its first use
            with listener.associate():
                store_one(listener, number)  # in the other process
            store_one(listener, number + 1)
        listener.wait_until_sealed()
        family = [listener.process.pid, *receivers(listener).values()]
        before = (private_kib(family), open_files(family))
        address = ("127.0.0.1", listener.settings.dicom_port)
        half_open = []
        for number in range(500):
            connection = socket.create_connection(address, timeout=10)
            with contextlib.suppress(OSError):
                connection.send(request[: number % len(request)])
            half_open.append(connection)
            if number % 100 == 99:  # while more and more of them are there
                store_one(listener, 1000 + number)
        listener.wait_until_sealed()
        after = (private_kib(family), open_files(family))
        assert after[0] - before[0] < 8 << 10, "memory stays flat"
        assert after[1] - before[1] <= listener.settings.negotiating_max
        for connection in half_open:
            connection.close()
        eventually(lambda: open_files(family) <= before[1] + 2)
        listener.assert_alive()


def test_a_process_that_dies_at_once_again_and_again_is_started_ever_more_rarely(tmp_path):
    with scp_process(tmp_path, free_port(), scp_processes=1) as listener:
        killed = set()
        began = time.monotonic()
        while len(killed) < 4:
            for pid in receivers(listener).values():
                if pid not in killed:
                    os.kill(pid, signal.SIGKILL)
                    killed.add(pid)
            threading.Event().wait(0.01)
        assert time.monotonic() - began > 1 + 2  # at once, after 1 s, after 2 s
        eventually(lambda: set(receivers(listener).values()) - killed, 30)
        listener.associate().release()  # whoever waited meanwhile is served now
