"""Sending to programs nobody here wrote, and asking them to answer for it."""

import urllib.request

import pytest

from gateway.dicom.storage_classes import (
    EXPLICIT_LITTLE,
    KEY_OBJECT_SELECTION,
    SECONDARY_CAPTURE,
    VIDEO_ENDOSCOPIC,
)
from gateway.errors import AssociationRejected, InstancesRefused, OutcomeUnknown
from gateway.ledger.transitions import registry
from gateway.model import DerivedRole, ItemState, TransferState
from gateway.scp.server import ScpServer
from tests.deliveries import Made, clock, make_delivery
from tests.listening import eventually, make_settings
from tests.orthanc import orthanc
from tests.storescp import storescp
from workers.deliver.commit import request_commitment
from workers.deliver.send import send

STILLS = [Made(number) for number in range(1, 21)]
BIG = Made(99, data_set=Made(99).content + bytes(5 << 20))


def run(delivery):
    attempt = delivery.claim()
    send(delivery.settings, delivery.ledger, delivery.transfer_id, attempt, now=clock)


def ask(delivery):
    request_commitment(delivery.settings, delivery.ledger, delivery.transfer_id, now=clock)


@pytest.fixture
def deliver(tmp_path):
    made = []

    def make(instances, port, **options):
        made.append(make_delivery(tmp_path / "home", instances, port=port, **options))
        return made[-1]

    yield make
    for delivery in made:
        delivery.ledger.dispose()


@pytest.mark.peer("storescp")
@pytest.mark.parametrize("pdu_bytes", ["4096", "16384", "131072"])
def test_storescp_receives_the_same_bytes_whatever_its_pdu_length(
    tmp_path, program, deliver, pdu_bytes
):
    with storescp(program("storescp"), tmp_path / "scp", "+xa", "-pdu", pdu_bytes) as peer:
        delivery = deliver([*STILLS, BIG], peer.port)
        run(delivery)
        files = peer.files()
    assert delivery.transfer.state is TransferState.SENT
    assert len(files) == len(STILLS) + 1
    for made in [*STILLS, BIG]:
        assert sum(one.endswith(made.content) for one in files) == 1


@pytest.mark.peer("storescp")
def test_storescp_as_installed_takes_no_jpeg_and_the_reason_says_so(tmp_path, program, deliver):
    document = Made(1, DerivedRole.KEY_OBJECTS, KEY_OBJECT_SELECTION, EXPLICIT_LITTLE)
    with storescp(program("storescp"), tmp_path / "scp") as peer:
        delivery = deliver([document, Made(2)], peer.port)
        with pytest.raises(InstancesRefused, match=r"JPEG Baseline.*transfer syntax"):
            run(delivery)
    assert delivery.item_states() == {
        document.sop_instance_uid: ItemState.ACKNOWLEDGED,
        Made(2).sop_instance_uid: ItemState.FAILED,
    }


@pytest.mark.peer("storescp")
def test_storescp_that_refuses_every_association_is_quoted(tmp_path, program, deliver):
    with storescp(program("storescp"), tmp_path / "scp", "--refuse") as peer:
        delivery = deliver([Made(1)], peer.port)
        with pytest.raises(AssociationRejected, match="no reason given") as caught:
            run(delivery)
    assert caught.value.permanent


@pytest.mark.peer("storescp")
@pytest.mark.parametrize("when", ["--abort-after", "--abort-during"])
def test_storescp_that_aborts_leaves_the_outcome_unknown(tmp_path, program, deliver, when):
    with storescp(program("storescp"), tmp_path / "scp", "+xa", when) as peer:
        delivery = deliver([Made(1), Made(2)], peer.port)
        with pytest.raises(OutcomeUnknown):
            run(delivery)
    assert set(delivery.item_states().values()) == {ItemState.PENDING}


@pytest.fixture
def committing(tmp_path, program, deliver):
    """Orthanc, and our listener that it reports to: (delivery, Orthanc, what is delivered)."""
    instances = [
        *STILLS,
        Made(50, DerivedRole.CONTACT_SHEET, SECONDARY_CAPTURE),
        Made(60, DerivedRole.FRAMES, VIDEO_ENDOSCOPIC),
    ]
    delivery = deliver(instances, 104, ae_title="ORTHANC")
    settings = make_settings(delivery.settings.home)
    with ScpServer(settings, delivery.ledger) as server:
        us = (settings.ae_title, "127.0.0.1", server.port)
        with orthanc(program("Orthanc"), tmp_path / "orthanc", report_to=us) as pacs:
            with delivery.ledger.transaction() as session:
                registry.edit_destination(
                    session, "pacs", port=pacs.dicom_port, now=clock(), actor="test"
                )
            yield delivery, pacs, instances


@pytest.mark.peer("Orthanc")
def test_orthanc_stores_and_answers_for_every_instance(committing):
    delivery, pacs, instances = committing
    run(delivery)
    files = [pacs.file(one) for one in pacs.instances()]
    assert len(files) == len(instances)
    for made in instances:
        assert sum(one.endswith(made.content) for one in files) == 1
    ask(delivery)
    eventually(lambda: delivery.transfer.state is TransferState.COMMITTED)
    assert set(delivery.item_states().values()) == {ItemState.COMMITTED}


@pytest.mark.peer("Orthanc")
def test_orthanc_says_which_instance_it_lost_and_gets_it_again(committing):
    delivery, pacs, _ = committing
    run(delivery)
    lost = pacs.instances()[0]
    url = f"http://127.0.0.1:{pacs.http_port}/instances/{lost}"
    urllib.request.urlopen(urllib.request.Request(url, method="DELETE"), timeout=10).close()
    ask(delivery)
    eventually(lambda: delivery.transfer.state is TransferState.PENDING)
    items = list(delivery.items().values())
    assert [one.reason for one in items if one.state is ItemState.PENDING] == [
        "no such object instance"
    ]
    run(delivery)
    assert lost in pacs.instances()
    ask(delivery)
    eventually(lambda: delivery.transfer.state is TransferState.COMMITTED)


@pytest.mark.peer("Orthanc")
def test_orthanc_that_does_not_know_us_refuses_to_commit(committing):
    delivery, _, _ = committing
    run(delivery)
    stranger = delivery.settings.model_copy(update={"ae_title": "STRANGER"})
    request_commitment(stranger, delivery.ledger, delivery.transfer_id, now=clock)
    assert delivery.transfer.state is TransferState.SENT
    assert delivery.transfer.reason.startswith("Not committed: ORTHANC at 127.0.0.1")
