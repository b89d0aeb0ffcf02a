"""Querying us and retrieving from us with programs nobody here wrote."""

import hashlib
import json
import subprocess
import urllib.error
import urllib.request
from io import BytesIO

import pytest
from pydicom import dcmread

from tests.archives import add_destination
from tests.instances import SERIES_UID, STUDY_UID
from tests.listening import eventually
from tests.orthanc import orthanc
from tests.protocol.test_query import add_many
from tests.protocol.test_retrieve import data_sets, without_meta
from tests.storescp import storescp

TITLES = ("-aet", "WORKSTATION", "-aec", "CAPSULEGW")


def run(*command: object) -> str:
    """Run a DCMTK program; returns what it says."""
    result = subprocess.run(
        [str(one) for one in command], capture_output=True, text=True, timeout=120
    )
    return result.stdout + result.stderr


def asking(**keys: str) -> list[str]:
    return [one for keyword, value in keys.items() for one in ("-k", f"{keyword}={value}")]


def files(folder) -> dict[str, bytes]:
    """Return the data sets in a folder by SOP Instance UID, whatever the files are called."""
    found = {}
    for path in folder.iterdir():
        content = path.read_bytes()
        found[dcmread(BytesIO(content), specific_tags=["SOPInstanceUID"]).SOPInstanceUID] = (
            without_meta(content)
        )
    return found


@pytest.mark.peer("findscu")
def test_findscu_finds_a_study_and_its_series(tmp_path, program, archive):
    listener, _ = archive()
    keys = asking(
        QueryRetrieveLevel="STUDY", PatientName="WANG*", StudyDate="20260101-20261231",
        StudyInstanceUID="", NumberOfStudyRelatedInstances="", ModalitiesInStudy="",
    )  # fmt: skip
    said = run(program("findscu"), "-v", "-S", *TITLES, *keys, "127.0.0.1", listener.port)
    assert STUDY_UID in said
    assert "ES\\KO" in said
    keys = asking(QueryRetrieveLevel="SERIES", StudyInstanceUID=STUDY_UID, SeriesNumber="901")
    said = run(program("findscu"), "-v", "-S", *TITLES, *keys, "127.0.0.1", listener.port)
    assert f"{STUDY_UID}.901" in said


@pytest.mark.peer("findscu")
def test_findscu_keeps_what_it_was_told_before_the_limit(program, archive):
    listener, _ = archive(query_matches_max=5)
    add_many(listener, 20)
    keys = asking(QueryRetrieveLevel="STUDY", StudyInstanceUID="")
    said = run(program("findscu"), "-v", "-S", *TITLES, *keys, "127.0.0.1", listener.port)
    assert said.count("Pending") == 5
    assert "0xb001" in said.lower() or "Warning" in said


@pytest.mark.peer("findscu")
def test_findscu_cancels_after_some_answers(program, archive):
    listener, _ = archive()
    add_many(listener, 2000)
    keys = asking(QueryRetrieveLevel="STUDY", StudyInstanceUID="")
    said = run(
        program("findscu"), "-v", "-S", "--cancel", "3", *TITLES, *keys, "127.0.0.1", listener.port
    )
    assert "cancel" in said.lower()
    assert said.count("Pending") < 2000


@pytest.mark.peer("movescu", "storescp")
def test_movescu_has_a_study_sent_to_storescp(tmp_path, program, archive):
    listener, study = archive()
    with storescp(program("storescp"), tmp_path / "scp", "+xa") as peer:
        add_destination(listener, "PACS", peer.port)
        keys = asking(QueryRetrieveLevel="STUDY", StudyInstanceUID=STUDY_UID)
        said = run(
            program("movescu"), "-v", "-S", "-aem", "PACS", *TITLES, *keys,
            "127.0.0.1", listener.port,
        )  # fmt: skip
        assert files(peer.folder) == data_sets(study), said


@pytest.mark.peer("getscu")
def test_getscu_gets_received_frames_and_the_study(tmp_path, program, archive):
    listener, study = archive(frames=4)
    for name, keys, wanted in (
        ("study", {"QueryRetrieveLevel": "STUDY"}, data_sets(study)),
        (
            "series",
            {"QueryRetrieveLevel": "SERIES", "SeriesInstanceUID": SERIES_UID},
            {uid: without_meta(content) for uid, content in listener.kept().items()},
        ),
    ):
        folder = tmp_path / name
        folder.mkdir()
        said = run(
            program("getscu"), "-v", "-S", "+xy", "+B", "-od", folder, *TITLES,
            *asking(StudyInstanceUID=STUDY_UID, **keys), "127.0.0.1", listener.port,
        )  # fmt: skip
        assert set(files(folder)) == set(wanted), said


def post(url: str, body: object) -> object:
    request = urllib.request.Request(url, json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


@pytest.mark.peer("Orthanc")
def test_orthanc_queries_us_and_retrieves_what_it_found(tmp_path, program, archive):
    listener, study = archive()
    report_to = ("CAPSULEGW", "127.0.0.1", listener.port)
    with orthanc(program("Orthanc"), tmp_path / "orthanc", report_to=report_to) as peer:
        add_destination(listener, peer.ae_title, peer.dicom_port)
        base = f"http://127.0.0.1:{peer.http_port}"
        query = post(
            f"{base}/modalities/gateway/query",
            {"Level": "Study", "Query": {"PatientName": "WANG*", "StudyDate": "20260301"}},
        )
        answers = peer.get(f"/queries/{query['ID']}/answers")
        assert len(answers) == 1
        content = peer.get(f"/queries/{query['ID']}/answers/0/content")
        assert content["0020,000d"]["Value"] == STUDY_UID
        post(f"{base}/queries/{query['ID']}/answers/0/retrieve", {"Synchronous": True})
        eventually(lambda: len(peer.instances()) == 3, timeout_s=60)
        came = {without_meta(peer.file(one)) for one in peer.instances()}
    digests = {hashlib.sha256(one).hexdigest() for one in came}
    assert digests == {hashlib.sha256(one).hexdigest() for one in data_sets(study).values()}


@pytest.mark.peer("Orthanc")
def test_orthanc_takes_the_limit_for_an_error_and_not_for_the_end(tmp_path, program, archive):
    listener, _ = archive(query_matches_max=5)
    add_many(listener, 20)
    report_to = ("CAPSULEGW", "127.0.0.1", listener.port)
    with orthanc(program("Orthanc"), tmp_path / "orthanc", report_to=report_to) as peer:
        add_destination(listener, peer.ae_title, peer.dicom_port)
        url = f"http://127.0.0.1:{peer.http_port}/modalities/gateway/query"
        with pytest.raises(urllib.error.HTTPError):
            post(url, {"Level": "Study", "Query": {}})
        narrower = post(url, {"Level": "Study", "Query": {"PatientID": "P1"}})
        assert len(peer.get(f"/queries/{narrower['ID']}/answers")) == 1
