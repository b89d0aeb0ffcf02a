"""What the pages show, over a ledger that was filled through its transitions."""

import re

import pytest

from gateway.errors import InstancesRefused, NoFrames, PeerUnreachable
from gateway.ledger.transitions import reception, registry, studies
from gateway.model import AssociationOutcome, Disposition, QuarantineNote, SettleRule

EVIL = '<script>alert("x")</script>^Bobby"\'>'


def words(page):
    """Return the text of a page as a reader gets it: without tags, with single spaces."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def part(page, element_id):
    """Return the page from the start of an element on."""
    return page[page.index(f'id="{element_id}"') :]


@pytest.fixture
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


def test_an_empty_console_says_how_to_send_a_first_study(admin, settings):
    page = words(admin.page("/"))
    assert "No study has arrived yet" in page
    assert f"-aec {settings.ae_title} localhost {settings.dicom_port}" in page


@pytest.mark.parametrize("address", ["/transfers/", "/destinations/", "/sources/", "/quarantine/"])
def test_an_empty_page_says_what_belongs_there(admin, address):
    assert 'class="panel empty"' in admin.page(address)


def test_the_list_shows_where_each_study_stands(admin, filling, pacs):
    filling.receive("1.2.1", 400, name="Arriving^Ann", declared=1000, finished=False)
    filling.ready("1.2.2", 3000, name="Ready^Rob")
    page = words(admin.page("/"))
    assert "Arriving, Ann" in page
    assert "400 of 1,000" in page
    assert "arriving, 40 %" in page
    assert "0 of 16 instances sent" in page


def test_studies_without_a_destination_are_pointed_out(admin, filling):
    filling.ready("1.2.2", 30)
    assert "there is no destination" in words(admin.page("/"))


def test_a_patient_s_name_cannot_become_markup(admin, filling, pacs):
    study_id = filling.ready("1.2.3", 30, name=EVIL, patient_id="<b>7</b>", source="<I>WS</I>")
    for address in ("/", f"/studies/{study_id}", "/transfers/", "/transfers/1"):
        page = admin.page(address)
        assert "<script>alert" not in page, address
        assert "&lt;script&gt;alert" in page, address
        assert "<b>7" not in page, address
        assert "<I>WS" not in page, address


def test_a_search_finds_by_part_of_a_name_and_stays_out_of_the_address(admin, filling):
    filling.receive("1.2.1", 1, name="Testcase^Alpha")
    filling.receive("1.2.2", 1, name="Specimen^Delta")
    found = admin.post("/", search="alph").text
    assert "Testcase, Alpha" in found
    assert "Specimen" not in found
    assert "alph" not in "".join(re.findall(r'(?:href|action|hx-get|hx-post)="([^"]*)"', found))


def test_a_viewer_may_search_although_a_search_is_posted(viewer, filling):
    filling.receive("1.2.1", 1, name="Testcase^Alpha")
    assert "Testcase" in viewer.post("/", search="testc").text


def test_a_state_filters_the_list(admin, filling):
    filling.receive("1.2.1", 1, name="Arriving^Ann", finished=False)
    filling.ready("1.2.2", 30, name="Ready^Rob")
    page = admin.page("/?state=ready")
    assert "Ready, Rob" in page
    assert "Arriving" not in page


def test_the_list_has_pages(admin, filling):
    for number in range(53):
        filling.receive(f"1.2.{number}", 1, name=f"P{number:02}^X")
    first, second = words(admin.page("/")), words(admin.page("/?page=2"))
    assert "1–50 of 53" in first
    assert "51–53 of 53" in second
    assert "P00, X" in second
    assert "P00, X" not in first


def test_a_live_part_is_sent_alone_when_htmx_asks_for_it(admin, filling):
    filling.receive("1.2.1", 5)
    headers = {"HX-Request": "true", "HX-Target": "section#studies"}
    answer = admin.get("/", headers=headers).text
    assert answer.startswith('<section id="studies"')
    assert answer.endswith("</section>")


def test_a_study_tells_its_frames_gaps_and_duplicates_in_words(admin, filling):
    study_id = filling.ready(
        "1.2.3",
        3000,
        report={
            "received_count": 3012,
            "gap_count": 2,
            "gaps": [
                {"after_frame_number": 18, "missing_count": 31, "duration_ms": 8200},
                {"after_frame_number": 2999, "missing_count": 1, "duration_ms": 0},
            ],
            "duplicate_count": 12,
            "excluded_count": 3,
        },
    )
    page = words(admin.page(f"/studies/{study_id}"))
    assert "3,000 of 3,012 received frames, 2 gaps, 12 duplicates." in page
    assert "31 frames are missing after frame 18 (8.2 s)." in page
    assert "1 frame is missing after frame 2,999." in page
    assert "3 frames cannot be shown" in page


def test_a_study_whose_report_says_little_is_still_shown(admin, filling):
    study_id = filling.receive("1.2.3", 10)
    filling.settle(study_id)
    attempt = filling.claim(study_id)
    with filling.ledger.transaction() as session:
        studies.finish_wrap(
            session, study_id, attempt, [], report={"frame_count": 10}, now=filling.now
        )
    assert "10 of 10 received frames, 0 gaps" in words(admin.page(f"/studies/{study_id}"))


def test_a_failed_study_says_why_and_what_to_do(admin, filling):
    study_id = filling.receive("1.2.3", 10, outcome=AssociationOutcome.ABORTED)
    filling.settle(study_id, SettleRule.QUIET_AFTER_ABORT)
    filling.fail(study_id, NoFrames("None of the 10 instances holds a picture."))
    page = words(admin.page(f"/studies/{study_id}"))
    assert "None of the 10 instances holds a picture." in page
    assert NoFrames.remedy in page
    assert "an association broke off, then it stayed quiet" in page
    assert 'class="step is-failed"' in admin.page(f"/studies/{study_id}")


def test_events_are_shown_the_latest_first(admin, filling):
    study_id = filling.ready("1.2.3", 30)
    events = part(admin.page(f"/studies/{study_id}"), "events")
    assert events.index("study summarised") < events.index("study wrapped")
    assert events.index("study wrapped") < events.index("study created")


def test_every_key_frame_is_a_picture_with_its_time_and_number(admin, filling):
    study_id = filling.ready("1.2.3", 3000, key_frame_count=3)
    page = admin.page(f"/studies/{study_id}")
    assert page.count('class="picture"') == 3
    assert "0:14:29" in words(page)  # frame 1500 of 3000, one every 0.58 s
    assert "1,500" in words(page)


def test_a_transfer_tells_its_reason_and_remedy(admin, filling, pacs):
    study_id = filling.ready("1.2.3", 30)
    (transfer_id,) = filling.transfers_of(study_id)
    refused = InstancesRefused("Main PACS refused 1 of 15 instances.", remedy="Ask its admin.")
    filling.fail_transfer(transfer_id, refused, refused=0xA900, after=4)
    page = words(admin.page("/transfers/"))
    assert "Main PACS refused 1 of 15 instances." in page
    assert "Ask its admin." in page
    assert "4 of 15" in page
    assert "A900 Data set does not match SOP Class" in words(
        admin.page(f"/transfers/{transfer_id}")
    )


def test_a_waiting_transfer_says_when_it_is_tried_again(admin, filling, pacs):
    (transfer_id,) = filling.transfers_of(filling.ready("1.2.3", 30))
    filling.fail_transfer(transfer_id, PeerUnreachable("Main PACS does not answer."))
    due = part(admin.page("/transfers/"), f"transfer-row-{transfer_id}")
    assert 'data-form="due"' in due
    assert "Retry now" in due


def test_refused_associations_of_one_ae_are_one_line(admin, ledger, filling):
    with ledger.transaction() as session:
        for number in range(3):
            reception.reject_association(
                session,
                f"{number:032x}",
                calling="NEWCOMER",
                called="CAPSULEGW",
                peer="192.0.2.1:4000",
                reason="it is not a source",
                now=filling.now,
            )
    page = admin.page("/sources/")
    assert page.count("Admit this AE") == 1
    assert "NEWCOMER" in page


def test_quarantine_gives_the_reason_and_leads_to_the_study(admin, ledger, filling):
    study_id = filling.receive("1.2.3", 10)
    with ledger.transaction() as session:
        for uid, disposition, status in (
            ("1.2.3.4", Disposition.REFUSED, 0xA901),
            ("", Disposition.EXCLUDED, 0),
        ):
            note = QuarantineNote(
                code="x",
                reason=f"Instance {uid or 'without a UID'} is broken.",
                disposition=disposition,
                status=status,
                study_instance_uid="1.2.3",
                sop_instance_uid=uid,
            )
            reception.quarantine(session, note, now=filling.now)
    page = admin.page("/quarantine/")
    assert "Instance 1.2.3.4 is broken." in page
    assert "answered A901" in page
    assert f'href="/studies/{study_id}"' in page
    assert "Instance 1.2.3.4 is broken." in admin.page(f"/studies/{study_id}")


@pytest.mark.parametrize("address", ["/studies/77", "/transfers/77", "/destinations/77/edit"])
def test_what_is_not_there_is_a_404_with_a_way_back(admin, address):
    answer = admin.get(address)
    assert answer.status_code == 404
    assert "Back to the studies" in answer.text


@pytest.mark.parametrize(
    ("address", "status"),
    [
        (f"/studies/{1 << 31}", 404),
        (f"/studies/{10**30}", 404),
        (f"/?page={10**30}", 200),
        ("/?page=-3", 200),
        ("/?page=x&state=y", 200),
        ("/transfers/?state=%00&page=0", 200),
        (f"/api/v1/studies?offset={10**30}&limit={10**30}", 200),
    ],
)
def test_nonsense_in_an_address_does_no_harm(admin, address, status):
    assert admin.get(address).status_code == status


@pytest.mark.parametrize("search", ["%", "_", "\\", "'", '"', "\x00", "\u202e", "x" * 5000, "*?["])
def test_nonsense_in_a_search_finds_nothing(admin, filling, search):
    filling.receive("1.2.1", 1, name="Testcase^Alpha")
    found = admin.post("/", search=search)
    assert found.status_code == 200
    assert ("Testcase" in found.text) == (search in ("\x00", "\u202e"))  # as good as empty


def test_a_ledger_that_does_not_answer_is_a_503_in_words(admin, ledger):
    with ledger.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE study RENAME TO elsewhere")
    answer = admin.get("/")
    assert answer.status_code == 503
    assert "Check the database" in answer.text


@pytest.mark.parametrize("address", ["/", "/sign-in", "/studies/77", "/static/console.css"])
def test_every_answer_carries_the_security_headers(admin, address):
    headers = admin.get(address).headers
    assert headers["Content-Security-Policy"].startswith("default-src 'self';")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"


def test_pages_with_patient_data_are_kept_by_nobody(admin, filling):
    study_id = filling.receive("1.2.3", 10)
    for address in ("/", f"/studies/{study_id}", "/api/v1/studies"):
        assert admin.get(address).headers["Cache-Control"] == "private, no-store"


def test_no_page_needs_an_inline_script_or_style(admin, filling, pacs):
    study_id = filling.ready("1.2.3", 30)
    for address in ("/", f"/studies/{study_id}", "/transfers/1", "/destinations/", "/sources/"):
        page = admin.page(address)
        assert not re.findall(r"<script(?![^>]*\bsrc=)", page), address
        assert not re.findall(r"<style|\sstyle=|\son\w+=", page), address


def test_every_file_of_a_page_comes_from_the_gateway_itself(admin):
    page = admin.page("/")
    for address in re.findall(r'<(?:script|link|img|use)[^>]+(?:src|href)="([^"]+)"', page):
        assert address.startswith("/static/"), address
        assert admin.get(address.partition("#")[0]).status_code == 200
