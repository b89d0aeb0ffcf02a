"""Imports judged by others: DCMTK's worklist, other makers' validators, and the whole path."""

import hashlib
import os
import subprocess
from contextlib import contextmanager
from pathlib import Path

import cv2
import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from gateway.errors import AssociationRejected, OrderIncomplete, PeerUnreachable
from gateway.importing import run, worklist
from gateway.importing.options import Options
from gateway.importing.order import Order
from gateway.model import SettleRule
from tests.conftest import ROOT
from tests.peer.validators import assert_valid, entity_errors
from tests.recordings import Kept, avi_of, folder_of, frames, picture
from tests.running import eventually, frame_digests, free_port, gateway_on, running, settings_for
from tests.storescp import listens

WORKLIST_AE = "WORKLIST"
REAL_VIDEOS = ROOT.parent / "shared" / "data" / "wce-real" / "video"


def scheduled(accession_number, patient_id, **changes):
    """A worklist file as wlmscpfs wants it: every attribute it requires, text in GB18030."""
    ds = Dataset()
    ds.SpecificCharacterSet = "GB18030"
    ds.AccessionNumber, ds.PatientID = accession_number, patient_id
    ds.PatientName = "Wang^XiaoDong=王^小东"
    ds.PatientBirthDate, ds.PatientSex = "19700101", "M"
    ds.ReferringPhysicianName = "Li^Wei"
    ds.StudyInstanceUID = f"1.2.826.0.1.3680043.9.7433.8.{patient_id[1:]}"
    ds.RequestedProcedureID, ds.RequestedProcedureDescription = "RP1", "Capsule endoscopy"
    step = Dataset()
    step.ScheduledStationAETitle, step.Modality = "CAPSULE", "ES"
    step.ScheduledProcedureStepStartDate = "20260131"
    step.ScheduledProcedureStepStartTime = "081500"
    step.ScheduledPerformingPhysicianName = ""
    step.ScheduledProcedureStepDescription, step.ScheduledProcedureStepID = "Capsule", "SPS1"
    ds.ScheduledProcedureStepSequence = [step]
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = "1.2.276.0.7230010.3.1.0.1"
    ds.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    return ds


@contextmanager
def worklist_server(program, folder: Path, items):
    """Run wlmscpfs over worklist files; yields its peer."""
    area = folder / WORKLIST_AE
    area.mkdir(parents=True)
    (area / "lockfile").touch()
    for number, item in enumerate(items):
        item.save_as(area / f"{number}.wl", enforce_file_format=True)
    port = free_port()
    process = subprocess.Popen(
        [program, "-csk", "-s", "-dfp", str(folder), str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "TCP_NODELAY": "1"},
    )  # fmt: skip
    try:
        assert listens(process, port)
        yield worklist.peer_of(f"127.0.0.1:{port}:{WORKLIST_AE}", calling_ae_title="CAPSULEGW")
    finally:
        process.kill()
        process.wait()


@pytest.mark.peer("wlmscpfs")
def test_a_real_worklist_gives_the_order_of_an_accession_number(tmp_path, program):
    items = [scheduled("ACC1", "P1"), scheduled("ACC2", "P2"), scheduled("ACC2", "P3")]
    with worklist_server(program("wlmscpfs"), tmp_path / "wl", items) as peer:
        found = worklist.look_up(peer, "ACC1")
        with pytest.raises(OrderIncomplete, match="no order"):
            worklist.look_up(peer, "ACC9")
        with pytest.raises(OrderIncomplete, match="several"):
            worklist.look_up(peer, "ACC2")
        with pytest.raises(OrderIncomplete):
            worklist.look_up(peer, "ACC*")
    assert found == Order(
        patient_id="P1", patient_name="Wang^XiaoDong=王^小东", patient_birth_date="19700101",
        patient_sex="M", accession_number="ACC1", study_date="20260131", study_time="081500",
        study_instance_uid="1.2.826.0.1.3680043.9.7433.8.1", referring_physician_name="Li^Wei",
        study_description="Capsule endoscopy", requested_procedure_id="RP1",
        requested_procedure_description="Capsule endoscopy", scheduled_procedure_step_id="SPS1",
        scheduled_procedure_step_description="Capsule",
    )  # fmt: skip


@pytest.mark.peer("wlmscpfs")
def test_a_worklist_that_knows_no_such_ae_refuses_in_words(tmp_path, program):
    with worklist_server(program("wlmscpfs"), tmp_path / "wl", []) as peer:
        other = worklist.peer_of(f"{peer.host}:{peer.port}:NOBODY", calling_ae_title="CAPSULEGW")
        with pytest.raises(AssociationRejected, match="NOBODY"):
            worklist.look_up(other, "ACC1")
    with pytest.raises(PeerUnreachable):
        worklist.look_up(other, "ACC1")


@pytest.mark.peer("wlmscpfs", "dciodvfy", "dcmftest", "dcmdump", "dcmj2pnm", "gdcmconv")
def test_imported_instances_are_valid_to_others(tmp_path, program):
    kept = Kept(tmp_path / "home")
    folder = folder_of(tmp_path / "in" / "stills", frames(2))
    for name in ("a.png", "b.bmp", "c.tif"):
        cv2.imwrite(str(folder / name), picture())
    writer = cv2.VideoWriter(
        str(tmp_path / "in" / "v.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 4, (64, 48)
    )
    for seed in range(3):
        writer.write(picture(seed))
    writer.release()
    with worklist_server(program("wlmscpfs"), tmp_path / "wl", [scheduled("ACC1", "P1")]) as peer:
        options = Options(
            order=Order(accession_number="ACC1", fps=2, manufacturer="MAKER"),
            listed=lambda number: worklist.look_up(peer, number),
        )
        report = run.import_path(run.Gateway(kept.settings, kept.ledger), tmp_path / "in", options)
    kept.ledger.dispose()
    assert (report.imported_count, report.is_whole) == (8, True)
    written = []
    for number, (_, content) in enumerate(kept.members()):
        written.append(tmp_path / f"{number}.dcm")
        written[-1].write_bytes(content)
        assert_valid(written[-1])
    assert entity_errors(written) == []


@pytest.mark.timeout(240)
@pytest.mark.peer("storescp")
def test_a_recording_dropped_into_the_inbox_is_delivered(tmp_path):
    settings = settings_for(
        tmp_path / "home", inbox=str(tmp_path / "inbox"), inbox_quiet_s=0.5, settle_s=600
    )
    wanted = frames(60)
    with gateway_on(settings) as gateway:
        with running(settings):
            eventually((tmp_path / "inbox").exists, "the inbox is watched")
            (tmp_path / "inbox" / "case.json").write_text('{"patient_id": "P1"}')
            (tmp_path / "case.avi").write_bytes(avi_of(wanted))
            (tmp_path / "case.avi").rename(tmp_path / "inbox" / "case.avi")
            eventually(lambda: gateway.study() is not None, "the study is there")
            gateway.wait_until_delivered()
        line = gateway.study()
        assert (line.study.report["frame_count"], line.study.report["missing_count"]) == (60, 0)
        assert line.study.settle_rule is SettleRule.DECLARED_COUNT
        digests = {hashlib.sha256(one).hexdigest() for one in wanted}
        assert digests <= set(frame_digests(gateway.pacs_folder))
    assert (tmp_path / "inbox" / "done" / "case.avi.report.json").exists()


@pytest.mark.skipif(not REAL_VIDEOS.is_dir(), reason="the real recordings are not here")
def test_real_recordings_of_four_kinds_come_in_whole(tmp_path):
    kept = Kept(tmp_path / "home")
    order = Order(patient_id="P1", study_date="20260131", study_time="080000")
    report = run.import_path(
        run.Gateway(kept.settings, kept.ledger), REAL_VIDEOS, Options(order=order)
    )
    kept.ledger.dispose()
    assert report.imported_count > 500
    assert report.is_whole
    demuxed = [row for row, content in kept.members() if b"ORIGINAL" in content[:1000]]
    assert len(demuxed) == 55  # of the one Motion JPEG among them
