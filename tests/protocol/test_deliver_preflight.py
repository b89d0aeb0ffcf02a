"""What fails the preflight never reaches a destination, and an operator reads why."""

import pytest

from gateway.dicom import part10
from gateway.dicom.storage_classes import JPEG_BASELINE, VIDEO_ENDOSCOPIC
from gateway.errors import InstancesRefused
from gateway.ledger.queries import studies as study_queries
from gateway.model import DerivedRole, ItemState
from tests.deliveries import Made, clock, make_delivery
from tests.instances import jpeg
from tests.loopback_pacs import running_pacs
from tests.unit.preflight.objects import part, write
from workers.deliver.send import send

FRAMES = [jpeg(number) for number in range(1, 5)]


@pytest.fixture
def pacs():
    with running_pacs([(VIDEO_ENDOSCOPIC, JPEG_BASELINE)]) as pacs:
        yield pacs


def made(folder, number, frames=FRAMES, **changes) -> Made:
    blank = Made(number, DerivedRole.FRAMES, VIDEO_ENDOSCOPIC)
    ds = part(SOPInstanceUID=blank.sop_instance_uid, **changes)
    content = write(folder, ds, frames).read_bytes()
    data_set = content[part10.parse_file_meta(content).data_set_offset :]
    return Made(number, DerivedRole.FRAMES, VIDEO_ENDOSCOPIC, data_set=data_set)


def test_a_broken_instance_is_never_sent_and_the_transfer_says_which_frame(tmp_path, pacs):
    broken = made(tmp_path, 2, [*FRAMES[:2], FRAMES[2][:-100], FRAMES[3]])
    sound = made(tmp_path, 3)
    delivery = make_delivery(tmp_path / "home", [broken, sound], port=pacs.port, checked=False)
    with pytest.raises(InstancesRefused, match=r"Frame 3: the JPEG stream is cut off"):
        send(delivery.settings, delivery.ledger, delivery.transfer_id, delivery.claim(), now=clock)
    assert pacs.stored_uids == [sound.sop_instance_uid]
    item = delivery.items()[broken.sop_instance_uid]
    assert item.state is ItemState.FAILED
    assert "Frame 3" in item.reason
    assert delivery.item_states()[sound.sop_instance_uid] is ItemState.ACKNOWLEDGED


def test_an_instance_is_checked_once_however_often_it_is_sent(tmp_path, pacs):
    sound = made(tmp_path, 1)
    delivery = make_delivery(tmp_path / "home", [sound], port=pacs.port, checked=False)
    send(delivery.settings, delivery.ledger, delivery.transfer_id, delivery.claim(), now=clock)
    with delivery.ledger.reading() as session:
        (row,) = study_queries.derived(session, 1)
    assert row.checked_at is not None
    assert pacs.stored_uids == [sound.sop_instance_uid]


def test_a_received_instance_is_sent_as_it_came_whatever_it_is(tmp_path, pacs):
    odd = made(tmp_path, 1, FrameTimeVector=["7"] * 4)
    original = Made(1, DerivedRole.ORIGINAL, VIDEO_ENDOSCOPIC, data_set=odd.data_set)
    delivery = make_delivery(tmp_path / "home", [original], port=pacs.port, checked=False)
    send(delivery.settings, delivery.ledger, delivery.transfer_id, delivery.claim(), now=clock)
    assert pacs.stored_uids == [original.sop_instance_uid]
