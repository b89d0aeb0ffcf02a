"""Several C-STOREs under way: kept as one group, answered in order, never answered too early."""

import struct

from gateway.packs.writer import PackWriter
from tests.instances import SERIES_UID, frame
from tests.requestor import Requestor


def uid(number: int) -> str:
    return f"{SERIES_UID}.{number}"


def test_the_window_is_negotiated_when_it_is_asked_for(listener):
    with Requestor(listener.port, window=16) as assoc:
        # PS3.7 D.3.3.3.2: item 53H, maximum operations invoked and performed
        at = assoc.accepted.index(b"\x53\x00\x00\x04")
        assert struct.unpack_from(">HH", assoc.accepted, at + 4) == (16, 1)
    with Requestor(listener.port) as assoc:
        assert b"\x53\x00\x00\x04" not in assoc.accepted


def test_instances_sent_without_waiting_are_all_kept_and_answered_in_order(listener):
    with Requestor(listener.port, window=64) as assoc:
        stream = b"".join(
            assoc.message(uid(number), frame(number), message_id=number) for number in range(1, 201)
        )
        assoc.send(stream)
        answers = [assoc.read_response() for _ in range(200)]
    assert [one[0x0120] for one in answers] == list(range(1, 201))
    assert {one[0x0900] for one in answers} == {0}
    listener.wait_until_closed()
    assert len(listener.kept()) == 200


def test_a_bad_instance_in_a_group_does_not_spoil_the_others(listener):
    with Requestor(listener.port, window=16) as assoc:
        messages = [assoc.message(uid(number), frame(number)) for number in range(1, 9)]
        messages[3] = assoc.message(uid(4), b"\x08\x00\x16\x00ZZnoise")
        messages[5] = messages[0]  # the same instance again, while the first is under way
        messages[6] = assoc.message(uid(1), frame(1, InstanceNumber=99))
        assoc.send(b"".join(messages))
        statuses = [assoc.read_status() for _ in range(8)]
    assert statuses == [0, 0, 0, 0xC000, 0, 0, 0xA901, 0]
    listener.wait_until_closed()
    assert sorted(listener.kept()) == sorted(uid(number) for number in (1, 2, 3, 5, 8))


def test_a_group_whose_write_fails_is_not_answered_with_success(listener):
    """The pack's descriptor is closed under it: every write fails, as on a dead disk."""
    import gc
    import os

    with Requestor(listener.port, window=16) as assoc:
        assert assoc.store(uid(1), frame(1)) == 0
        (pack,) = (
            one for one in gc.get_objects()
            if isinstance(one, PackWriter) and one.path.is_relative_to(listener.settings.home)
        )  # fmt: skip
        spare = os.open(os.devnull, os.O_RDONLY)
        whole = os.dup(pack._fd)
        os.dup2(spare, pack._fd)  # read-only: EBADF on write
        assoc.send(b"".join(assoc.message(uid(number), frame(number)) for number in (2, 3, 4)))
        assert {assoc.read_status() for _ in range(3)} == {0xA700}
        os.dup2(whole, pack._fd)  # the disk is back: the sender tries again
        assert [assoc.store(uid(number), frame(number)) for number in (2, 3, 4)] == [0, 0, 0]
        os.close(whole)
        os.close(spare)
    listener.wait_until_closed()
    assert len(listener.kept()) == 4
