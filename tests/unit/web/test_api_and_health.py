"""What programs ask."""

import pytest

from gateway.ledger.engine import Ledger
from gateway.ledger.transitions import registry
from gateway.settings import Settings
from gateway.web.application import create_app


@pytest.fixture
def pacs(ledger, filling):
    with ledger.transaction() as session:
        registry.add_destination(
            session,
            "PACS",
            ae_title="PACS",
            host="x",
            port=1,
            now=filling.now,
            actor="test",
            route_all=True,
        )


def test_studies_are_listed_with_their_counts(admin, filling, pacs):
    filling.ready("1.2.3", 30, patient_id="LQ-1", source="WS1")
    answer = admin.get("/api/v1/studies").json
    assert answer["total"] == 1
    (study,) = answer["studies"]
    assert study["study_instance_uid"] == "1.2.3"
    assert (study["state"], study["frame_count"], study["key_frame_count"]) == ("ready", 30, 12)
    assert (study["patient_id"], study["source_ae_title"]) == ("LQ-1", "WS1")


def test_a_study_carries_its_report_instances_and_transfers(admin, filling, pacs):
    study_id = filling.ready("1.2.3", 30)
    study = admin.get(f"/api/v1/studies/{study_id}").json
    assert study["report"]["frame_count"] == 30
    assert {one["role"] for one in study["derived"]} == {
        "frames",
        "key-frame",
        "contact-sheet",
        "key-objects",
    }
    assert [one["destination"] for one in study["transfers"]] == ["PACS"]


def test_transfers_are_listed_by_state(admin, filling, pacs):
    filling.ready("1.2.3", 30)
    assert admin.get("/api/v1/transfers?state=pending").json["total"] == 1
    assert admin.get("/api/v1/transfers?state=failed").json == {"total": 0, "transfers": []}


def test_the_window_of_a_list_is_bounded(admin, filling):
    for number in range(3):
        filling.receive(f"1.2.{number}", 1)
    assert len(admin.get("/api/v1/studies?limit=2").json["studies"]) == 2
    assert len(admin.get("/api/v1/studies?limit=2&offset=2").json["studies"]) == 1
    assert len(admin.get("/api/v1/studies?limit=-5&offset=-1").json["studies"]) == 1


def test_an_error_is_json_too(admin, stranger):
    answer = admin.get("/api/v1/studies/77")
    assert answer.status_code == 404
    assert answer.json["error"] == "There is no study 77."
    assert stranger.get("/api/v1/studies").json["error"] == "Sign in first."


def test_the_process_is_healthy_and_ready(stranger):
    assert stranger.get("/healthz").json == {"status": "ok"}
    assert stranger.get("/readyz").json == {"status": "ok"}


def test_a_ledger_without_its_tables_is_not_ready(tmp_path):
    settings = Settings(home=tmp_path, secret_key="x")
    client = create_app(settings, Ledger(settings.ledger_url)).test_client()
    assert client.get("/healthz").status_code == 200
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert "migrate" in answer.json["status"]


def test_a_ledger_that_cannot_be_reached_is_not_ready(tmp_path):
    settings = Settings(
        home=tmp_path,
        secret_key="x",
        database_url="postgresql+psycopg://nobody@127.0.0.1:1/none?connect_timeout=1",
    )
    client = create_app(settings, Ledger(settings.ledger_url)).test_client()
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 503
