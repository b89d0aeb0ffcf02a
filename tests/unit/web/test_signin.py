"""Who gets in, who may do what, and that nothing can be done by a forged request."""

import re

import pytest

from gateway.ledger import events
from gateway.ledger.queries import changes
from gateway.ledger.queries import studies as queries
from gateway.web.accounts import Role, add_user, list_users, set_password
from gateway.web.signin import OPEN_TO_ALL, OPEN_TO_VIEWERS, REFUSED
from gateway.web.throttle import FREE_FAILURES_PER_PAIR
from tests.browser.people import OWN_PASSWORD
from tests.unit.web.conftest import Visitor

EXAMPLES = {
    "study_id": 1, "transfer_id": 1, "destination_id": 1, "rank": 1, "filename": "x",
    "study": "1.2.3", "series": "1.2.3.4", "instance": "1.2.3.4.5", "numbers": "1",
    "tag": "00020010",
}  # fmt: skip
ACTIONS = {"transfers.act": "retry", "destinations.switch": "enable", "destinations.route": "add"}


def addresses(app, method):
    """Return the endpoint and an example address of every route that takes the method."""
    adapter = app.url_map.bind("localhost")
    found = []
    for rule in app.url_map.iter_rules():
        if method in rule.methods:
            values = {**EXAMPLES, "action": ACTIONS.get(rule.endpoint)}
            known = {name: values[name] for name in rule.arguments}
            found.append((rule.endpoint, adapter.build(rule.endpoint, known, method=method)))
    return found


def state_of(ledger, study_id):
    with ledger.reading() as session:
        return queries.get(session, study_id).state


def test_a_stranger_is_led_from_every_page_to_the_sign_in_form(app, stranger):
    for endpoint, address in addresses(app, "GET"):
        if endpoint in OPEN_TO_ALL:
            continue
        answer = stranger.get(address)
        if address.startswith(("/api/", "/dicom-web/")):
            assert answer.status_code == 401, address
        else:
            assert answer.status_code == 302, address
            assert answer.location.startswith("/sign-in"), address


def test_a_stranger_cannot_post_anywhere_but_to_the_sign_in_form(app, stranger):
    posted = dict(addresses(app, "POST"))
    assert "transfers.act" in posted
    token = stranger.token("/sign-in")
    for endpoint, address in posted.items():
        if endpoint != "security.login":
            answer = stranger.client.post(address, data={"csrf_token": token})
            if address.startswith("/dicom-web/"):
                assert answer.status_code == 401, address
            else:
                assert answer.location.startswith("/sign-in"), address


def test_a_stranger_s_live_part_takes_the_whole_page_to_the_form(stranger):
    answer = stranger.get("/transfers/", headers={"HX-Request": "true"})
    assert answer.status_code == 401
    assert answer.headers["HX-Redirect"] == "/sign-in"


def test_after_signing_in_one_sees_the_page_one_wanted(app, ledger, admin):
    visitor = Visitor(app.test_client())
    form = visitor.get(visitor.get("/transfers/").location).text
    wanted = re.search(r'name="next"[^>]*value="([^"]*)"', form)[1]
    answer = visitor.post(
        "/sign-in", start="/sign-in", name="admin", password=OWN_PASSWORD, next=wanted
    )
    assert answer.location.endswith("/transfers/")


def test_nobody_is_sent_to_another_site_after_signing_in(app, admin):
    visitor = Visitor(app.test_client())
    answer = visitor.post(
        "/sign-in?next=https://evil.example/",
        start="/sign-in",
        name="admin",
        password=OWN_PASSWORD,
        next="https://evil.example/",
    )
    assert "evil" not in answer.headers.get("Location", "")


@pytest.mark.parametrize(
    ("name", "password"),
    [("admin", "a wrong password"), ("nobody", OWN_PASSWORD), ("", ""), ("admin", "")],
)
def test_every_failure_gets_the_same_answer(admin, stranger, name, password):
    answer = stranger.post("/sign-in", start="/sign-in", name=name, password=password)
    assert answer.status_code == 200
    assert REFUSED in answer.text
    assert answer.text.count('role="alert"') == 1


def test_who_fails_too_often_has_to_wait_even_with_the_right_password(app, admin):
    visitor = Visitor(app.test_client())
    for _ in range(FREE_FAILURES_PER_PAIR):
        visitor.post("/sign-in", start="/sign-in", name="admin", password="guess after guess")
    answer = visitor.post("/sign-in", start="/sign-in", name="admin", password=OWN_PASSWORD)
    assert REFUSED in answer.text
    assert visitor.get("/").status_code == 302


def test_a_guesser_elsewhere_does_not_lock_somebody_out(app, admin):
    visitor = Visitor(app.test_client())
    for _ in range(FREE_FAILURES_PER_PAIR + 1):
        token = visitor.token("/sign-in")
        visitor.client.post(
            "/sign-in",
            data={"csrf_token": token, "name": "admin", "password": "guess after guess"},
            environ_base={"REMOTE_ADDR": "192.0.2.7"},
        )
    answer = visitor.post("/sign-in", start="/sign-in", name="Admin ", password=OWN_PASSWORD)
    assert answer.status_code == 302


def test_a_one_time_password_opens_only_the_form_to_change_it(app, ledger):
    password = add_user(ledger, "new", role=Role.ADMIN)
    visitor = Visitor(app.test_client())
    visitor.post("/sign-in", start="/sign-in", name="new", password=password)
    for address in ("/", "/transfers/", "/api/v1/studies", "/live"):
        assert visitor.get(address).location == "/password", address
    assert visitor.get("/password").status_code == 200


def test_a_changed_password_opens_the_console_and_is_recorded(ledger, admin):
    assert admin.get("/").status_code == 200
    admin, _ = list_users(ledger)
    assert not admin.must_change_password
    assert admin.last_seen_at is not None


def test_a_short_new_password_is_refused_in_words(app, ledger):
    password = add_user(ledger, "new", role=Role.VIEWER)
    visitor = Visitor(app.test_client())
    visitor.post("/sign-in", start="/sign-in", name="new", password=password)
    answer = visitor.post(
        "/password",
        start="/password",
        password=password,
        new_password="short",
        new_password_confirm="short",
    )
    assert "at least 10 characters" in answer.text
    assert visitor.get("/").location == "/password"


def test_a_password_set_by_an_admin_ends_the_sessions_of_that_user(ledger, admin):
    set_password(ledger, "admin")
    assert admin.get("/").location.startswith("/sign-in")


def test_signing_out_ends_the_session(admin):
    assert admin.post("/sign-out").status_code == 302
    assert admin.get("/").status_code == 302


def test_a_request_without_a_csrf_token_changes_nothing(admin, filling, ledger):
    study_id = filling.receive("1.2.3", 10)
    answer = admin.client.post(f"/studies/{study_id}/close")
    assert answer.status_code == 400
    assert state_of(ledger, study_id) == "receiving"


def test_a_csrf_token_of_somebody_else_changes_nothing(admin, viewer, filling, ledger):
    study_id = filling.receive("1.2.3", 10)
    answer = admin.client.post(f"/studies/{study_id}/close", data={"csrf_token": viewer.token()})
    assert answer.status_code == 400
    assert state_of(ledger, study_id) == "receiving"


def test_a_viewer_may_post_nothing_that_changes_something(app, viewer):
    token = viewer.token()
    for endpoint, address in addresses(app, "POST"):
        if endpoint not in OPEN_TO_ALL | OPEN_TO_VIEWERS:
            answer = viewer.client.post(address, data={"csrf_token": token})
            assert answer.status_code == 403, address


def test_a_viewer_sees_no_button_that_would_change_something(viewer, filling):
    study_id = filling.ready("1.2.3", 30)
    for address in ("/", f"/studies/{study_id}", "/transfers/", "/destinations/", "/sources/"):
        forms = re.findall(r'<form[^>]*action="([^"]+)"', viewer.page(address))
        assert set(forms) <= {"/", "/sign-out"}, address


def test_sign_ins_and_failures_are_in_the_event_chain(app, ledger, admin):
    Visitor(app.test_client()).post(
        "/sign-in", start="/sign-in", name="admin", password="wrong one"
    )
    with ledger.reading() as session:
        assert events.first_broken(session) is None
        subjects = [change.subject for change in changes.since(session, 0)]
    # Two people were added, signed in and changed their passwords; then there is the failure.
    assert subjects.count("user") == 7


def test_the_session_cookie_is_closed_to_scripts_and_other_sites(app, ledger):
    password = add_user(ledger, "new", role=Role.VIEWER)
    visitor = Visitor(app.test_client())
    answer = visitor.post("/sign-in", start="/sign-in", name="new", password=password)
    cookie = next(one for one in answer.headers.getlist("Set-Cookie") if "capsule_session" in one)
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


def test_each_user_has_a_session_of_their_own(admin, viewer):
    assert "admin" in admin.page("/")
    assert "viewer" in viewer.page("/")
