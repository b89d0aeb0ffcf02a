"""The whole path with programs nobody here wrote at both ends: storescu, the gateway, Orthanc."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.ledger import migrate
from gateway.ledger.engine import Ledger
from gateway.ledger.transitions import registry, studies
from gateway.model import StudyState
from gateway.simulator.capsule import synthetic_frames
from tests.orthanc import orthanc
from tests.peer.test_receive_peers import REAL, real_frames, storescu, write_study
from tests.peer.validators import assert_valid
from tests.running import Gateway, eventually, frame_digests, running, settings_for

pytestmark = [pytest.mark.timeout(240), pytest.mark.peer]


@pytest.mark.parametrize("source", ["synthetic", "real"])
def test_a_study_from_storescu_arrives_at_orthanc_valid_committed_and_bit_for_bit(
    tmp_path, program, source
):
    if source == "real" and not REAL.is_dir():
        pytest.skip("the real frames are not beside the project")
    size = 336 if source == "real" else 96
    frames = (
        real_frames() if source == "real"
        else list(synthetic_frames(120, seed=5, rows=96, columns=96))
    )  # fmt: skip
    write_study(tmp_path / "study", frames, size)
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
        received = tmp_path / "received"
        received.mkdir()
        for instance in pacs.instances():
            (received / f"{instance}.dcm").write_bytes(pacs.file(instance))
    made = sorted(settings.derived_dir.rglob("*.dcm"))
    for path in made:
        assert_valid(path)
    assert len(list(received.iterdir())) == len(made)
    sent = [hashlib.sha256(frame.jpeg).hexdigest() for frame in frames]
    assert frame_digests(settings.derived_dir) == sent
    assert frame_digests(received) == sent
    ledger.dispose()


def test_made_again_from_the_packs_the_files_are_the_same_bytes(tmp_path, program):
    frames = list(synthetic_frames(60, seed=6, rows=96, columns=96))
    write_study(tmp_path / "study", frames, 96)
    settings = settings_for(tmp_path / "home")
    settings.home.mkdir()
    ledger = Ledger(settings.ledger_url)
    migrate.upgrade(ledger)
    gateway = Gateway(settings, ledger, Path())
    with running(settings):
        storescu(program, settings.dicom_port, tmp_path / "study")
        eventually(lambda: gateway.state() is StudyState.READY, "the study is ready", 90)
        first = digests(settings.derived_dir)
        for path in settings.derived_dir.rglob("*.dcm"):
            path.unlink()
        with ledger.transaction() as session:
            studies.retry(session, 1, now=datetime.now(UTC), actor="test")
        eventually(
            lambda: gateway.state() is StudyState.READY and gateway.study().study.revision == 2,
            "the study is ready again", 90,
        )  # fmt: skip
    assert digests(settings.derived_dir) == first
    ledger.dispose()


def digests(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*.dcm")
    }
