"""What an operator does, in a real browser, while the gateway works."""

import pytest
from playwright.sync_api import Page, expect

from gateway.errors import InstancesRefused
from gateway.ledger.queries import transfers as transfer_queries
from gateway.ledger.transitions import registry
from gateway.model import TransferState
from tests.browser.conftest import Complaints, open_page
from tests.browser.people import VIEWER

EVIL = "<script>alert(1)</script>^<b>Bobby</b>"


@pytest.fixture(scope="module")
def pacs(ledger, filling):
    with ledger.transaction() as session:
        registry.add_destination(
            session,
            "Main PACS",
            ae_title="PACS",
            host="pacs.example",
            port=104,
            now=filling.now,
            actor="test",
            route_all=True,
        )


def stay(page: Page) -> None:
    """Mark the page: a reload would lose the mark."""
    page.evaluate("window.stayed = true")


def has_stayed(page: Page) -> bool:
    return bool(page.evaluate("window.stayed === true"))


def test_an_operator_watches_a_study_arrive(page, filling, complaints):
    stay(page)
    filling.receive("1.2.101", 400, name="Testcase^Alpha", declared=1000, finished=False)
    row = page.locator("tr", has_text="Testcase, Alpha")
    expect(row).to_contain_text("arriving, 40 %")
    expect(row.get_by_role("progressbar", name="received")).to_have_attribute("value", "40")
    filling.more(filling.pack_id, 801)
    expect(row).to_contain_text("arriving, 80 %")
    expect(row.get_by_role("progressbar", name="received")).to_have_attribute("value", "80")
    assert has_stayed(page)
    assert complaints.heard == []


def test_an_operator_watches_a_study_take_every_step(page, filling, pacs, complaints):
    study_id = filling.receive("1.2.102", 3000, name="Stepwise^Alpha")
    page.get_by_role("link", name="Stepwise, Alpha").click()
    expect(page.get_by_role("heading", name="Stepwise, Alpha")).to_be_visible()
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    stay(page)
    steps = page.locator(".step")
    filling.settle(study_id)
    expect(steps.nth(1)).to_have_class("step is-now")
    filling.wrap(study_id, 3000)
    expect(steps.nth(2)).to_contain_text("3,000 frames")
    filling.summarise(study_id, 3000, 6)
    expect(page.locator(".picture img")).to_have_count(6)
    expect(
        page.get_by_text("3,000 of 3,000 received frames, 0 gaps, 0 duplicates.")
    ).to_be_visible()
    (transfer_id,) = filling.transfers_of(study_id)
    attempt = filling.claim_transfer(transfer_id)
    filling.acknowledge(transfer_id, attempt, 4)
    expect(steps.nth(4)).to_contain_text("4 of 10 instances")
    assert has_stayed(page)
    assert complaints.heard == []


def test_key_frames_are_looked_through_with_the_keyboard(page, filling, console):
    study_id = filling.ready("1.2.103", 3000, key_frame_count=3)
    page.goto(f"{console.address}/studies/{study_id}")
    page.locator(".picture").first.click()
    viewer = page.locator("#viewer")
    expect(viewer.get_by_text("1 of 3")).to_be_visible()
    large = viewer.get_by_role("img")
    expect(large).to_have_js_property("naturalWidth", 96)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(viewer.get_by_text("3 of 3")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(viewer.get_by_text("1 of 3")).to_be_visible()
    page.keyboard.press("Escape")
    expect(viewer).not_to_be_visible()


def test_what_somebody_folded_away_stays_folded_while_the_page_goes_on(page, filling, console):
    study_id = filling.receive("1.2.120", 10, finished=False)
    page.goto(f"{console.address}/studies/{study_id}")
    packs = page.locator("details", has_text="Packs")
    packs.locator("summary").click()
    expect(packs).not_to_have_attribute("open", "")
    before = page.locator("#contents").evaluate("one => one.parentNode.childNodes.length")
    for count in (11, 12, 13):
        filling.more(filling.pack_id, count)
        expect(page.locator(".step").first).to_contain_text(f"{count} instances")
        expect(packs.locator("tbody tr")).to_contain_text(f"{count}")
    expect(packs).not_to_have_attribute("open", "")
    after = page.locator("#contents").evaluate("one => one.parentNode.childNodes.length")
    assert after == before, "each refresh leaves something behind"


def test_an_operator_finds_the_failed_transfer_reads_why_and_retries_it(
    page, filling, ledger, pacs, complaints
):
    (transfer_id,) = filling.transfers_of(filling.ready("1.2.104", 30, name="Refused^Rita"))
    refused = InstancesRefused("Main PACS refused 1 of 15 instances.", remedy="Ask its admin.")
    filling.fail_transfer(transfer_id, refused, refused=0xA900, after=4)
    nav = page.get_by_role("navigation", name="Console")
    expect(nav.get_by_role("link", name="Transfers 1")).to_be_visible()
    nav.get_by_role("link", name="Transfers").click()
    row = page.locator(f"#transfer-row-{transfer_id}")
    expect(row).to_contain_text("Main PACS refused 1 of 15 instances.")
    expect(row).to_contain_text("Ask its admin.")
    expect(row).to_contain_text("4 of 15")
    row.get_by_role("button", name="Retry").click()
    expect(page.locator(".toast")).to_contain_text("It is tried again now.")
    expect(row.locator(".pill")).to_have_text("pending")
    with ledger.reading() as session:
        assert transfer_queries.line(session, transfer_id).transfer.state is TransferState.PENDING
    filling.deliver(transfer_id)
    expect(row.locator(".pill")).to_have_text("sent")
    expect(nav.get_by_role("link", name="Transfers 1")).to_have_count(0)
    assert complaints.heard == []


def test_what_cannot_be_undone_is_asked_for_first(page, filling, pacs, console):
    (transfer_id,) = filling.transfers_of(filling.ready("1.2.105", 30))
    page.goto(f"{console.address}/transfers/{transfer_id}")
    cancel = page.get_by_role("button", name="Cancel")
    cancel.click()
    page.get_by_role("button", name="Leave it").click()
    expect(page.locator("#ask")).not_to_be_visible()
    expect(page.locator("h1 .pill")).to_have_text("pending")
    cancel.click()
    page.get_by_role("button", name="Yes, do it").click()
    expect(page.locator("h1 .pill")).to_have_text("cancelled")


def test_a_search_narrows_the_list_while_typing_and_stays_out_of_the_address(page, filling):
    filling.receive("1.2.106", 1, name="Testcase^Bravo")
    filling.receive("1.2.107", 1, name="Specimen^Deltas")
    address = page.url
    expect(page.get_by_role("link", name="Specimen, Deltas")).to_be_visible()
    page.get_by_role("searchbox").press_sequentially("brav")
    expect(page.locator("tbody tr")).to_have_count(1)
    filling.receive("1.2.108", 1, name="Bravour^Late")  # what arrives later is searched, too
    expect(page.locator("tbody tr")).to_have_count(2)
    expect(page.get_by_role("searchbox")).to_be_focused()
    assert page.url == address


def test_a_name_that_is_markup_is_shown_as_text(page, filling, pacs, console, complaints):
    study_id = filling.ready("1.2.109", 30, name=EVIL, patient_id="<u>1</u>")
    (transfer_id,) = filling.transfers_of(study_id)
    addresses = ("/", f"/studies/{study_id}", "/transfers/", f"/transfers/{transfer_id}")
    for address in addresses:
        page.goto(console.address + address)
        expect(page.get_by_text("<script>alert(1)</script>").first).to_be_visible()
    assert complaints.heard == []


def test_no_page_breaks_its_own_content_security_policy(page, filling, pacs, console, complaints):
    study_id = filling.ready("1.2.110", 3000)
    addresses = [
        "/",
        f"/studies/{study_id}",
        "/transfers/",
        "/transfers/1",
        "/destinations/",
        "/destinations/new",
        "/sources/",
        "/quarantine/",
        "/password",
    ]
    for address in addresses:
        page.goto(console.address + address)
        expect(page.locator("h1").first).to_be_visible()
    page.goto(console.address)
    page.get_by_role("button", name="Light or dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert complaints.heard == []


def test_a_viewer_sees_everything_and_no_button(context, console, cookies, filling, pacs):
    filling.ready("1.2.130", 30, name="Visible^Vera")
    own = open_page(context, console, cookies[VIEWER], Complaints())
    own.goto(f"{console.address}/transfers/")
    expect(own.locator("tbody tr").first).to_contain_text("Visible, Vera")
    expect(own.locator("main button")).to_have_count(0)


def test_the_console_fits_a_phone(page, filling, pacs, console):
    filling.ready("1.2.113", 3000, name="Testcase^Alpha", source="A_LONG_AE_TITLE_")
    page.set_viewport_size({"width": 390, "height": 844})
    for address in (
        "/",
        "/studies/1",
        "/transfers/",
        "/destinations/",
        "/sources/",
        "/quarantine/",
    ):
        page.goto(console.address + address)
        expect(page.locator("h1").first).to_be_visible()
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 390, f"{address} is {wide} pixels wide"
