"""Names in Chinese from DCMTK to Orthanc, declared rightly and not; and a patient corrected."""

from datetime import UTC, datetime

import pytest

from gateway.correcting import Warrant, correct_study
from gateway.ledger import migrate
from gateway.ledger.engine import Ledger
from gateway.ledger.transitions import registry
from gateway.preflight.check import check
from tests.instances import data_set
from tests.kept_studies import file_of
from tests.orthanc import orthanc
from tests.peer.test_receive_peers import storescu
from tests.peer.validators import assert_valid
from tests.running import Gateway, eventually, running, settings_for

pytestmark = [pytest.mark.timeout(240), pytest.mark.peer("storescu", "Orthanc", "dciodvfy")]

NAME = "Zhang^Zhihong=张^智宏"
"""In GB18030 the second byte of no character is a delimiter; of the next name, one is."""
TRAP = "Wang^Junmei=乗^俓僜"


def write_study(folder, name: str, declared: str) -> None:
    """Write frames whose name is in GB18030, whatever they declare."""
    folder.mkdir()
    raw, blank = name.encode("gb18030"), b"@" * len(name.encode("gb18030"))
    for number in range(1, 31):
        ds = data_set(number, SpecificCharacterSet=declared, PatientName=blank.decode())
        (folder / f"{number:04}.dcm").write_bytes(file_of(ds).replace(blank, raw))


@pytest.mark.parametrize(
    ("name", "declared"), [(NAME, "GB18030"), (NAME, "ISO_IR 100"), (TRAP, "GB18030")]
)
def test_a_chinese_name_reaches_orthanc_as_it_was_meant_and_a_correction_takes_it_back(
    tmp_path, program, name, declared
):
    write_study(tmp_path / "study", name, declared)
    settings = settings_for(tmp_path / "home")
    settings.home.mkdir()
    ledger = Ledger(settings.ledger_url)
    migrate.upgrade(ledger)
    us = (settings.ae_title, "127.0.0.1", settings.dicom_port)
    with orthanc(program("Orthanc"), tmp_path / "orthanc", report_to=us) as pacs:
        with ledger.transaction() as session:
            registry.add_destination(
                session, "Orthanc", ae_title=pacs.ae_title, host="127.0.0.1",
                port=pacs.dicom_port, route_all=True, now=datetime.now(UTC), actor="test",
            )  # fmt: skip
        gateway = Gateway(settings, ledger, tmp_path / "received")
        with running(settings):
            storescu(program, settings.dicom_port, tmp_path / "study", "-aec", settings.ae_title)
            gateway.wait_until_delivered()
            assert patients(pacs) == {"P1": name}
            first = uids(pacs)
            correct_study(
                ledger, settings.tenant, 1, {"PatientID": "P2", "PatientName": "Li^Ming=李^明"},
                Warrant("admin", "wrong worklist entry", datetime.now(UTC)),
            )  # fmt: skip
            eventually(lambda: note_of(pacs) is not None, "the rejection note is there", 90)
            eventually(lambda: len(uids(pacs)) == 2 * len(first) + 1, "all is there again", 90)
        assert patients(pacs) == {"P1": name, "P2": "Li^Ming=李^明"}
        rejected = pacs.get(f"/instances/{note_of(pacs)}/simplified-tags")
        assert rejected["PatientID"] == "P1"
        (study,) = rejected["CurrentRequestedProcedureEvidenceSequence"]
        named = {
            one["ReferencedSOPInstanceUID"]
            for series in study["ReferencedSeriesSequence"]
            for one in series["ReferencedSOPSequence"]
        }
        assert named == first
    for path in sorted(settings.derived_dir.rglob("*.dcm")):
        assert check(path).passed, check(path).findings
        assert_valid(path)
    ledger.dispose()


def patients(pacs) -> dict[str, str]:
    found = (pacs.get(f"/patients/{one}")["MainDicomTags"] for one in pacs.get("/patients"))
    return {one["PatientID"]: one["PatientName"] for one in found}


def uids(pacs) -> set[str]:
    return {
        pacs.get(f"/instances/{one}")["MainDicomTags"]["SOPInstanceUID"] for one in pacs.instances()
    }


def note_of(pacs) -> str | None:
    for one in pacs.instances():
        tags = pacs.get(f"/instances/{one}/simplified-tags")
        if tags.get("SeriesDescription") == "Rejection notes":
            return one
    return None
