"""The process behind the console: the first sign-in, a restart under open pages, a quick stop."""

import pytest
from playwright.sync_api import expect

from gateway.web.accounts import add_user
from tests import ledgers
from tests.browser.conftest import Console
from tests.browser.filling import Filling
from tests.browser.people import OWN_PASSWORD

ledger = ledgers.ledger


@pytest.fixture
def console(tmp_path, ledger):
    console = Console(tmp_path)
    console.start()
    yield console
    console.stop()


def test_a_newcomer_signs_in_watches_the_server_restart_and_stop(
    context, console, ledger, tmp_path
):
    """One test, because each start of a process costs seconds."""
    # A stranger is told how to become a user.
    page = context.new_page()
    page.goto(console.address)
    expect(page.get_by_text("capsule-gateway user add admin")).to_be_visible()
    password = add_user(ledger, "admin", role="admin")

    # The one-time password has to be changed, then the empty console says what to do.
    page.get_by_label("Name").fill("admin")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Password now").fill(password)
    page.locator("[name=new_password]").fill(OWN_PASSWORD)
    page.get_by_label("New password again").fill(OWN_PASSWORD)
    page.get_by_role("button", name="Change it").click()
    expect(page.get_by_role("heading", name="No study has arrived yet")).to_be_visible()
    lamp = page.locator("#live")
    expect(lamp).to_have_text("Live")

    # A page that lost its server says so, and catches up when it is back.
    assert console.stop() == 0
    expect(lamp).to_have_text("Reconnecting")
    Filling(ledger, tmp_path).receive("1.2.3", 5, name="Meanwhile^Mia")
    console.start()
    expect(lamp).to_have_text("Live")
    expect(page.get_by_role("link", name="Meanwhile, Mia")).to_be_visible()

    # Open pages do not keep the server from stopping.
    for _ in range(3):
        another = context.new_page()
        another.goto(console.address)
        expect(another.locator("#live")).to_have_text("Live")
    assert (
        console.stop() == 0
    )  # within STOP_S of conftest.py; gunicorn by itself would wait for half a minute
