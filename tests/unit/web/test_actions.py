"""What an admin can do, and that it happens in the ledger, under the admin's name."""

import pytest
from pynetdicom import AE, evt

from gateway.errors import NoFrames, PeerUnreachable
from gateway.ledger.queries import associations, registry, studies, transfers
from gateway.ledger.transitions import reception
from gateway.ledger.transitions import registry as registry_transitions
from gateway.model import StudyState, TransferState

VERIFICATION = "1.2.840.10008.1.1"


@pytest.fixture
def pacs(ledger, filling):
    add_destination(ledger, filling)


def add_destination(ledger, filling, port=104, *, route_all=True, ae_title="PACS"):
    with ledger.transaction() as session:
        return registry_transitions.add_destination(
            session,
            "Main PACS",
            ae_title=ae_title,
            host="127.0.0.1",
            port=port,
            now=filling.now,
            actor="test",
            route_all=route_all,
        )


def study_of(ledger, study_id):
    with ledger.reading() as session:
        return studies.get(session, study_id)


def transfer_of(ledger, transfer_id):
    with ledger.reading() as session:
        return transfers.line(session, transfer_id).transfer


def latest_event(ledger, study_id):
    with ledger.reading() as session:
        return studies.events(session, study_id)[0]


def destinations(ledger):
    with ledger.reading() as session:
        return registry.destinations(session)


def test_closing_a_study_settles_it_under_the_admin_s_name(admin, ledger, filling):
    study_id = filling.receive("1.2.3", 10)
    answer = admin.post(f"/studies/{study_id}/close")
    assert answer.status_code == 303
    assert study_of(ledger, study_id).state is StudyState.SETTLING
    event = latest_event(ledger, study_id)
    assert (event.kind, event.actor) == ("settled", "admin")


def test_a_study_that_is_still_arriving_cannot_be_closed_and_says_so(admin, ledger, filling):
    study_id = filling.receive("1.2.3", 10, finished=False)
    answer = admin.post(f"/studies/{study_id}/close")
    assert answer.status_code == 409
    assert "arriving right now" in answer.text
    assert study_of(ledger, study_id).state is StudyState.RECEIVING


def test_an_error_on_an_open_page_is_a_toast_beside_it(admin, filling):
    study_id = filling.receive("1.2.3", 10, finished=False)
    answer = admin.post(f"/studies/{study_id}/close", live=True)
    assert answer.status_code == 409
    assert answer.headers["HX-Retarget"] == "#toasts"
    assert "arriving right now" in answer.text
    assert "Reload the page" in answer.text
    assert "<html" not in answer.text


def test_an_action_on_an_open_page_refreshes_it_at_once(admin, filling):
    study_id = filling.receive("1.2.3", 10)
    answer = admin.post(f"/studies/{study_id}/close", live=True)
    assert answer.status_code == 200
    assert answer.headers["HX-Trigger"] == "poll"
    assert 'class="toast is-success"' in answer.text


def test_a_failed_study_can_be_tried_again(admin, ledger, filling):
    study_id = filling.receive("1.2.3", 10)
    filling.settle(study_id)
    filling.fail(study_id, NoFrames("Nothing in it."))
    admin.post(f"/studies/{study_id}/retry")
    assert study_of(ledger, study_id).state is StudyState.SETTLING


def test_retry_makes_a_failed_transfer_due(admin, ledger, filling, pacs):
    (transfer_id,) = filling.transfers_of(filling.ready("1.2.3", 30))
    failure = PeerUnreachable("Main PACS does not answer.")
    failure.permanent = True
    filling.fail_transfer(transfer_id, failure)
    assert transfer_of(ledger, transfer_id).state is TransferState.FAILED
    answer = admin.post(f"/transfers/{transfer_id}/retry")
    assert answer.location.endswith(f"/transfers/{transfer_id}")
    assert transfer_of(ledger, transfer_id).state is TransferState.PENDING


@pytest.mark.parametrize(
    ("steps", "state"),
    [
        (["pause"], TransferState.PAUSED),
        (["pause", "resume"], TransferState.PENDING),
        (["cancel"], TransferState.CANCELLED),
        (["cancel", "retry"], TransferState.PENDING),
    ],
)
def test_a_transfer_follows_what_the_admin_presses(admin, ledger, filling, pacs, steps, state):
    (transfer_id,) = filling.transfers_of(filling.ready("1.2.3", 30))
    for step in steps:
        assert admin.post(f"/transfers/{transfer_id}/{step}").status_code == 303
    assert transfer_of(ledger, transfer_id).state is state


def test_what_the_state_table_forbids_is_a_409_that_names_the_states(admin, filling, pacs):
    (transfer_id,) = filling.transfers_of(filling.ready("1.2.3", 30))
    filling.deliver(transfer_id)
    answer = admin.post(f"/transfers/{transfer_id}/pause")
    assert answer.status_code == 409
    assert "A transfer that is sent cannot become paused." in answer.text


def test_the_page_offers_only_what_the_state_allows(admin, filling, pacs):
    (transfer_id,) = filling.transfers_of(filling.ready("1.2.3", 30))
    assert "/pause" in admin.page(f"/transfers/{transfer_id}")
    filling.deliver(transfer_id)
    page = admin.page(f"/transfers/{transfer_id}")
    assert "/pause" not in page
    assert "/cancel" not in page


def test_a_study_is_sent_by_hand_where_no_route_leads(admin, ledger, filling):
    add_destination(ledger, filling, route_all=False)
    study_id = filling.ready("1.2.3", 30)
    assert filling.transfers_of(study_id) == []
    admin.post(f"/studies/{study_id}/send", destination="Main PACS")
    (transfer_id,) = filling.transfers_of(study_id)
    assert transfer_of(ledger, transfer_id).state is TransferState.PENDING
    assert latest_event(ledger, study_id).actor == "admin"


def test_sending_by_hand_takes_up_a_cancelled_transfer_again(admin, ledger, filling, pacs):
    study_id = filling.ready("1.2.3", 30)
    (transfer_id,) = filling.transfers_of(study_id)
    admin.post(f"/transfers/{transfer_id}/cancel")
    admin.post(f"/studies/{study_id}/send", destination="Main PACS")
    assert transfer_of(ledger, transfer_id).state is TransferState.PENDING


def test_sending_by_hand_what_was_delivered_says_so(admin, filling, pacs):
    study_id = filling.ready("1.2.3", 30)
    filling.deliver_all(study_id)
    answer = admin.post(f"/studies/{study_id}/send", live=True, destination="Main PACS")
    assert "has this study already" in answer.text


def test_a_destination_is_added_with_a_route_from_everywhere(admin, ledger):
    form = {"name": "Archive", "ae_title": "VNA", "host": "vna.example", "port": "11112"}
    answer = admin.post("/destinations/new", **form, commitment="on", route_all="on")
    assert answer.status_code == 303
    (one,) = destinations(ledger)
    assert (one.name, one.ae_title, one.host, one.port) == ("Archive", "VNA", "vna.example", 11112)
    assert one.commitment
    with ledger.reading() as session:
        assert [route.destination_name for route in registry.routes(session)] == ["Archive"]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("ae_title", "FAR TOO LONG AN AE TITLE", "is not an AE title"),
        ("port", "70000", "port"),
        ("port", "many", "A port is a number"),
        ("host", " ", "host"),
        ("name", "", "name"),
    ],
)
def test_a_wrong_field_comes_back_with_the_form_filled(admin, ledger, field, value, words):
    form = {"name": "Archive", "ae_title": "VNA", "host": "vna.example", "port": "11112"}
    answer = admin.post("/destinations/new", **{**form, field: value})
    assert answer.status_code == 422
    assert words in answer.text
    assert 'value="vna.example"' in answer.text or field == "host"
    assert destinations(ledger) == []


def test_a_destination_is_edited_switched_off_and_removed(admin, ledger, filling):
    one = add_destination(ledger, filling)
    admin.post(f"/destinations/{one}/edit", ae_title="NEW", host="new.example", port="2104")
    admin.post(f"/destinations/{one}/disable")
    (row,) = destinations(ledger)
    assert (row.ae_title, row.host, row.port) == ("NEW", "new.example", 2104)
    assert not row.commitment
    assert not row.enabled
    admin.post(f"/destinations/{one}/enable")
    admin.post(f"/destinations/{one}/remove")
    assert destinations(ledger) == []


def test_a_destination_with_a_history_is_not_removed(admin, ledger, filling, pacs):
    filling.ready("1.2.3", 30)
    answer = admin.post("/destinations/1/remove")
    assert answer.status_code == 422
    assert "disable it instead" in answer.text
    assert len(destinations(ledger)) == 1


def test_routes_are_added_and_removed(admin, ledger, filling):
    add_destination(ledger, filling, route_all=False)
    admin.post("/sources/", ae_title="WS1", host="", description="")
    admin.post("/destinations/routes/add", destination="Main PACS", source="WS1")
    with ledger.reading() as session:
        (route,) = registry.routes(session)
        assert (route.source_ae_title, route.destination_name) == ("WS1", "Main PACS")
    admin.post("/destinations/routes/remove", destination="Main PACS", source="WS1")
    with ledger.reading() as session:
        assert registry.routes(session) == []


def test_an_echo_that_is_answered_is_recorded(admin, ledger, filling):
    pacs = AE(ae_title="PACS")
    pacs.add_supported_context(VERIFICATION)
    server = pacs.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_ECHO, lambda _: 0x0000)]
    )
    try:
        one = add_destination(ledger, filling, server.server_address[1])
        answer = admin.post(f"/destinations/{one}/echo", live=True)
    finally:
        server.shutdown()
    assert "Main PACS answers." in answer.text
    (row,) = destinations(ledger)
    assert row.echo_ok
    assert row.echo_at is not None
    assert row.echo_detail in admin.page("/destinations/")


def test_an_echo_that_is_not_answered_is_recorded_with_the_reason(admin, ledger, filling):
    one = add_destination(ledger, filling, port=1)  # nothing listens there
    answer = admin.post(f"/destinations/{one}/echo", live=True)
    assert "does not answer" in answer.text
    (row,) = destinations(ledger)
    assert row.echo_ok is False
    assert "nothing listens on this port" in row.echo_detail


def test_a_source_is_added_and_removed(admin, ledger):
    admin.post("/sources/", ae_title="WS1", host="192.0.2.1", description="room 1")
    with ledger.reading() as session:
        (source,) = registry.sources(session)
        assert (source.ae_title, source.host, source.description) == ("WS1", "192.0.2.1", "room 1")
    admin.post("/sources/remove", ae_title="WS1")
    with ledger.reading() as session:
        assert registry.sources(session) == []


def test_a_source_that_exists_comes_back_with_the_form_filled(admin):
    admin.post("/sources/", ae_title="WS1", host="", description="")
    answer = admin.post("/sources/", ae_title="WS1", host="192.0.2.9", description="")
    assert answer.status_code == 422
    assert "exists already" in answer.text
    assert 'value="192.0.2.9"' in answer.text


def test_a_refused_ae_is_admitted_with_one_click(admin, ledger, filling):
    with ledger.transaction() as session:
        reception.reject_association(
            session,
            "f" * 32,
            calling="NEWCOMER",
            called="CAPSULEGW",
            peer="192.0.2.1:4000",
            reason="it is not a source",
            now=filling.now,
        )
    assert "Admit this AE" in admin.page("/sources/")
    admin.post("/sources/admit", ae_title="NEWCOMER")
    with ledger.reading() as session:
        assert registry.source(session, "NEWCOMER") is not None
        assert len(associations.latest(session)) == 1
    assert "Admit this AE" not in admin.page("/sources/")
