"""Sending a transfer to a peer on loopback: what arrives, and what the ledger says of it."""

import threading
import time

import pytest
from pynetdicom import evt

from gateway.dicom.storage_classes import (
    EXPLICIT_LITTLE,
    JPEG_BASELINE,
    KEY_OBJECT_SELECTION,
    SECONDARY_CAPTURE,
    VIDEO_ENDOSCOPIC,
    VL_ENDOSCOPIC,
)
from gateway.errors import (
    AssociationRejected,
    ContextNotAccepted,
    InstancesRefused,
    OutcomeUnknown,
    PeerUnreachable,
    StaleTransition,
    StorageUnavailable,
    StoreRefused,
)
from gateway.ledger.schema import Derived
from gateway.ledger.transitions import registry, transfers
from gateway.model import DerivedRole, ItemState, TransferState
from tests.deliveries import Made, clock, make_delivery
from tests.listening import eventually
from tests.loopback_pacs import running_pacs
from workers.deliver.send import send

BOTH = ((VL_ENDOSCOPIC, JPEG_BASELINE), (SECONDARY_CAPTURE, JPEG_BASELINE))
BIG = bytes(range(256)) * 4096  # 1 MiB: several writes


@pytest.fixture
def pacs():
    with running_pacs() as running:
        yield running


@pytest.fixture
def deliver(tmp_path):
    made = []

    def make(instances, port, **settings):
        delivery = make_delivery(tmp_path, instances, port=port, **settings)
        made.append(delivery)
        return delivery

    yield make
    for delivery in made:
        delivery.ledger.dispose()


def run(delivery, attempt=None):
    attempt = attempt or delivery.claim()
    send(delivery.settings, delivery.ledger, delivery.transfer_id, attempt, now=clock)


def test_what_arrives_is_what_was_stored_byte_for_byte(deliver, pacs):
    instances = [Made(number) for number in range(1, 6)]
    delivery = deliver(instances, pacs.port)
    run(delivery)
    assert dict(pacs.stored) == {one.sop_instance_uid: one.content for one in instances}
    assert delivery.transfer.state is TransferState.SENT
    assert set(delivery.item_states().values()) == {ItemState.ACKNOWLEDGED}
    eventually(lambda: pacs.ended == ["released"])


def test_the_summary_is_sent_before_the_frames(deliver):
    instances = [
        Made(1, DerivedRole.ORIGINAL),
        Made(2, DerivedRole.FRAMES, VIDEO_ENDOSCOPIC),
        Made(3, DerivedRole.FRAMES, VIDEO_ENDOSCOPIC),
        Made(4, DerivedRole.CONTACT_SHEET, SECONDARY_CAPTURE),
        Made(5, DerivedRole.KEY_FRAME),
        Made(6, DerivedRole.KEY_FRAME),
        Made(7, DerivedRole.KEY_OBJECTS, KEY_OBJECT_SELECTION, EXPLICIT_LITTLE),
    ]
    kinds = [(one.sop_class_uid, one.transfer_syntax_uid) for one in instances]
    with running_pacs(kinds) as pacs:
        run(deliver(instances, pacs.port))
        assert [uid.rsplit(".", 1)[1] for uid in pacs.stored_uids] == list("7456231")


def test_exactly_the_contexts_the_instances_need_are_proposed(deliver, pacs):
    instances = [Made(1), Made(2), Made(3, DerivedRole.CONTACT_SHEET, SECONDARY_CAPTURE)]
    delivery = deliver(instances, pacs.port)
    with pytest.raises(InstancesRefused):
        run(delivery)
    assert pacs.requested == [[(SECONDARY_CAPTURE, JPEG_BASELINE), (VL_ENDOSCOPIC, JPEG_BASELINE)]]


def test_a_class_the_peer_does_not_take_does_not_stop_the_others(deliver, pacs):
    instances = [Made(1, DerivedRole.CONTACT_SHEET, SECONDARY_CAPTURE), Made(2), Made(3)]
    delivery = deliver(instances, pacs.port)
    with pytest.raises(InstancesRefused, match=r"^1 instances .*Secondary Capture Image in JPEG"):
        run(delivery)
    assert sorted(pacs.stored_uids) == [one.sop_instance_uid for one in instances[1:]]
    states = delivery.item_states()
    assert [states[one.sop_instance_uid] for one in instances] == [
        ItemState.FAILED,
        ItemState.ACKNOWLEDGED,
        ItemState.ACKNOWLEDGED,
    ]


def test_a_peer_that_takes_nothing_is_told_so_and_released(deliver):
    with running_pacs([(VIDEO_ENDOSCOPIC, JPEG_BASELINE)]) as pacs:
        delivery = deliver([Made(1)], pacs.port)
        with pytest.raises(InstancesRefused) as caught:
            run(delivery)
        assert caught.value.remedy == ContextNotAccepted.remedy
        eventually(lambda: pacs.ended == ["released"])


@pytest.mark.parametrize("status", [0x0000, 0x0111, 0xB000, 0xB006, 0xB007])
def test_success_and_warnings_acknowledge_an_instance(deliver, pacs, status):
    pacs.answer = lambda _event: status
    delivery = deliver([Made(1)], pacs.port)
    run(delivery)
    (item,) = delivery.items().values()
    assert (item.state, item.status) == (ItemState.ACKNOWLEDGED, status)
    assert delivery.transfer.state is TransferState.SENT


@pytest.mark.parametrize("status", [0xA700, 0xA7FF, 0x0110, 0x0210, 0x0213])
def test_a_transient_refusal_ends_the_attempt_and_the_rest_waits(deliver, pacs, status):
    pacs.answer = lambda _event: 0x0000 if len(pacs.stored) < 2 else status
    delivery = deliver([Made(1), Made(2), Made(3)], pacs.port)
    with pytest.raises(StoreRefused) as caught:
        run(delivery)
    assert (caught.value.permanent, caught.value.status) == (False, status)
    assert f"{status:04X}" in str(caught.value)
    states = [delivery.item_states()[Made(number).sop_instance_uid] for number in (1, 2, 3)]
    assert states == [ItemState.ACKNOWLEDGED, ItemState.PENDING, ItemState.PENDING]
    eventually(lambda: pacs.ended == ["released"])


@pytest.mark.parametrize("status", [0x0122, 0x0124, 0xA900, 0xA9FF, 0xC000, 0xCFFF, 0xFE00])
def test_a_permanent_refusal_is_noted_and_the_others_go_on(deliver, pacs, status):
    pacs.answer = lambda _event: 0x0000 if len(pacs.stored) != 2 else status
    delivery = deliver([Made(1), Made(2), Made(3)], pacs.port)
    with pytest.raises(InstancesRefused, match=f"{status:04X}") as caught:
        run(delivery)
    assert caught.value.permanent
    items = [delivery.items()[Made(number).sop_instance_uid] for number in (1, 2, 3)]
    assert [item.state for item in items] == [
        ItemState.ACKNOWLEDGED,
        ItemState.FAILED,
        ItemState.ACKNOWLEDGED,
    ]
    assert items[1].status == status
    assert items[1].reason.startswith("PACS at 127.0.0.1:")


def test_what_was_acknowledged_is_not_sent_again(deliver, pacs):
    pacs.answer = lambda _event: 0x0000 if len(pacs.stored) != 2 else 0xA700
    delivery = deliver([Made(1), Made(2), Made(3)], pacs.port)
    with pytest.raises(StoreRefused):
        run(delivery)
    with delivery.ledger.transaction() as session:  # what the task's outermost frame does
        transfers.send_failed(
            session, delivery.transfer_id, delivery.transfer.attempt, StoreRefused(
                "again", status=0xA700, permanent=False
            ), attempts_max=8, retry_after_s=0, now=clock(),
        )  # fmt: skip
    run(delivery)
    assert [uid.rsplit(".", 1)[1] for uid in pacs.stored_uids] == ["1", "2", "2", "3"]
    assert delivery.transfer.state is TransferState.SENT


def test_a_transfer_with_nothing_left_to_send_opens_no_association(deliver, pacs):
    delivery = deliver([Made(1)], pacs.port)
    run(delivery)
    run(delivery)
    assert len(pacs.requested) == 1
    assert delivery.transfer.state is TransferState.SENT


@pytest.mark.parametrize(
    ("result", "source", "reason"),
    [
        (1, 1, 1), (1, 1, 2), (1, 1, 3), (1, 1, 7),
        (1, 2, 1), (1, 2, 2), (2, 3, 1), (2, 3, 2),
    ],
)  # fmt: skip
def test_a_rejected_association_is_as_permanent_as_the_peer_says(deliver, result, source, reason):
    def reject(event):
        event.assoc.acse.send_reject(result, source, reason)
        event.assoc.kill()

    with running_pacs(handlers=[(evt.EVT_REQUESTED, reject)]) as pacs:
        delivery = deliver([Made(1)], pacs.port)
        with pytest.raises(AssociationRejected) as caught:
            run(delivery)
    assert caught.value.permanent is (result == 1)
    assert delivery.item_states() == {Made(1).sop_instance_uid: ItemState.PENDING}


def test_a_port_nobody_listens_on_is_unreachable(deliver, pacs):
    with running_pacs() as gone:
        port = gone.port
    delivery = deliver([Made(1)], port)
    with pytest.raises(PeerUnreachable, match=rf"127.0.0.1:{port}.*refused"):
        run(delivery)


def test_a_host_name_without_address_is_unreachable(deliver, pacs):
    delivery = deliver([Made(1)], pacs.port)
    with delivery.ledger.transaction() as session:
        registry.edit_destination(
            session, "pacs", host="no-such-host.invalid", now=clock(), actor="test"
        )
    with pytest.raises(PeerUnreachable, match=r"no-such-host\.invalid"):
        run(delivery)


def test_a_peer_that_aborts_after_the_data_leaves_the_outcome_unknown(deliver, pacs):
    def answer(event):
        if len(pacs.stored) == 2:
            event.assoc.abort()
        return 0x0000

    pacs.answer = answer
    delivery = deliver([Made(1), Made(2), Made(3)], pacs.port)
    with pytest.raises(OutcomeUnknown):
        run(delivery)
    states = [delivery.item_states()[Made(number).sop_instance_uid] for number in (1, 2, 3)]
    assert states == [ItemState.ACKNOWLEDGED, ItemState.PENDING, ItemState.PENDING]


def test_a_peer_that_stalls_is_given_up_after_the_timeout(deliver, pacs):
    done = threading.Event()
    pacs.answer = lambda _event: int(done.wait(10)) and 0
    delivery = deliver([Made(1)], pacs.port, dimse_timeout_s=0.3)
    began = time.monotonic()
    with pytest.raises(OutcomeUnknown, match=r"nothing moved for 0\.3 s"):
        run(delivery)
    assert time.monotonic() - began < 5
    done.set()


def test_the_lease_is_renewed_while_a_slow_peer_is_waited_for(deliver, pacs):
    renewals = []

    def answer(_event):
        first = delivery.transfer.lease_until
        eventually(lambda: delivery.transfer.lease_until > first)
        second = delivery.transfer.lease_until
        eventually(lambda: delivery.transfer.lease_until > second)
        renewals.append(True)
        return 0x0000

    pacs.answer = answer
    delivery = deliver([Made(1)], pacs.port, lease_s=0.3)
    run(delivery)
    assert renewals == [True]
    assert delivery.transfer.state is TransferState.SENT


def test_a_lost_claim_ends_the_attempt_and_the_association(deliver, pacs):
    delivery = deliver([Made(1), Made(2)], pacs.port, lease_s=0.3)
    waiting = threading.Event()

    def answer(_event):
        with delivery.ledger.transaction() as session:
            transfers.cancel(session, delivery.transfer_id, now=clock(), actor="operator")
        waiting.wait(1.5)
        return 0x0000

    pacs.answer = answer
    with pytest.raises(StaleTransition):
        run(delivery)
    waiting.set()
    assert delivery.transfer.state is TransferState.CANCELLED
    assert len(pacs.stored) == 1
    eventually(lambda: pacs.ended == ["aborted"])


@pytest.mark.parametrize("pdu_bytes_max", [64, 4096, 16382, 131072, 0])
def test_no_pdu_is_longer_than_the_peer_takes(deliver, pdu_bytes_max):
    size = 20_000 if pdu_bytes_max == 64 else 3 << 20
    instances = [Made(1), Made(2, data_set=Made(2).content + bytes(size))]
    with running_pacs(pdu_bytes_max=pdu_bytes_max) as pacs:
        run(deliver(instances, pacs.port))
        assert dict(pacs.stored) == {one.sop_instance_uid: one.content for one in instances}
        longest = max(pacs.pdu_lengths[1:])  # the first is the A-ASSOCIATE-RQ
    assert longest <= (pdu_bytes_max or 1 << 20)
    assert longest > (pdu_bytes_max or 1 << 20) - 8


@pytest.mark.parametrize("size", [1 << 10, 10 << 20], ids=["one write", "many writes"])
@pytest.mark.parametrize("where", ["first", "middle", "last"])
def test_wrong_bytes_are_never_completed_and_the_others_go_on(deliver, pacs, size, where):
    number = {"first": 1, "middle": 2, "last": 3}[where]
    damaged = Made(number, data_set=Made(number).content + bytes(size))
    instances = [damaged if one == number else Made(one) for one in (1, 2, 3)]
    delivery = deliver(instances, pacs.port)
    content = bytearray(delivery.path(damaged).read_bytes())
    content[-1] ^= 1
    delivery.path(damaged).write_bytes(content)
    with pytest.raises(InstancesRefused, match=r"^1 instances.*differ from what was recorded"):
        run(delivery)
    sound = {one.sop_instance_uid: one.content for one in instances if one is not damaged}
    assert dict(pacs.stored) == sound
    half_sent = size > 1 << 20 and where != "last"  # that cost the association
    assert len(pacs.requested) == (2 if half_sent else 1)
    assert delivery.items()[damaged.sop_instance_uid].state is ItemState.FAILED


def test_a_missing_file_is_named_and_the_others_go_on(deliver, pacs):
    delivery = deliver([Made(1), Made(2)], pacs.port)
    delivery.path(Made(1)).unlink()
    with pytest.raises(InstancesRefused, match=r"is gone"):
        run(delivery)
    assert pacs.stored_uids == [Made(2).sop_instance_uid]
    assert len(pacs.requested) == 1  # nothing was half sent: one association is enough


def test_a_file_that_cannot_be_read_just_now_ends_the_attempt(deliver, pacs):
    delivery = deliver([Made(1), Made(2)], pacs.port)
    delivery.path(Made(2)).unlink()
    delivery.path(Made(2)).mkdir()
    with pytest.raises(StorageUnavailable):
        run(delivery)
    assert delivery.item_states()[Made(1).sop_instance_uid] is ItemState.ACKNOWLEDGED


def test_a_member_of_a_pack_is_sent_from_its_range(deliver, pacs):
    delivery = deliver([Made(1)], pacs.port)
    content = delivery.path(Made(1)).read_bytes()
    delivery.path(Made(1)).write_bytes(b"\0" * 512 + content + b"\0" * 512)
    with delivery.ledger.transaction() as session:
        session.query(Derived).one().offset_bytes = 512
    run(delivery)
    assert pacs.stored == [(Made(1).sop_instance_uid, Made(1).content)]


def test_more_instances_than_are_recorded_together_are_all_recorded(deliver, pacs):
    count = 150
    instances = [Made(number, data_set=Made(1).content) for number in range(1, count + 1)]
    delivery = deliver(instances, pacs.port)
    run(delivery)
    assert len(pacs.stored) == count
    assert set(delivery.item_states().values()) == {ItemState.ACKNOWLEDGED}
