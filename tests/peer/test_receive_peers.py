"""DCMTK sends to us, with its defaults, as the tools of a hospital do."""

import os
import subprocess
from datetime import datetime, timedelta

import cv2
import pytest

from gateway.dicom import part10
from gateway.model import AssociationOutcome
from gateway.simulator.capsule import SyntheticFrame, synthetic_frames
from gateway.simulator.study import SyntheticStudy, instance_bytes, part10_bytes
from tests.conftest import ROOT

REAL = ROOT.parent / "shared" / "data" / "wce-real" / "kvasir-capsule"
pytestmark = pytest.mark.peer("storescu", "echoscu", "dcmdump")


def storescu(program, port: int, folder, *options: str, **environ: str) -> str:
    """Send a folder of JPEG Baseline files; returns what storescu says."""
    profile = folder.parent / "storescu.cfg"
    profile.write_text(
        "[[TransferSyntaxes]]\n[JPEGBaseline]\nTransferSyntax1 = JPEGBaseline\n"
        "[[PresentationContexts]]\n[Endoscopy]\n"
        "PresentationContext1 = VLEndoscopicImageStorage\\JPEGBaseline\n"
        "[[Profiles]]\n[Capsule]\nPresentationContexts = Endoscopy\n"
    )
    done = subprocess.run(
        [program("storescu"), "-v", "-xf", profile, "Capsule", "+sd", *options,
         "-aet", "WORKSTATION", "-aec", "CAPSULEGW", "127.0.0.1", str(port), folder],
        capture_output=True, text=True, timeout=100, env={**os.environ, **environ},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stderr


def write_study(folder, frames: list[SyntheticFrame], size: int) -> dict[str, bytes]:
    """Write one Part 10 file a frame; returns the data sets by SOP Instance UID."""
    folder.mkdir()
    study = SyntheticStudy.from_seed(11, declared_count=len(frames), rows=size, columns=size)
    for frame in frames:
        (folder / f"{frame.frame_number:05d}.dcm").write_bytes(part10_bytes(study, frame))
    return {
        study.sop_instance_uid(frame.frame_number): instance_bytes(study, frame) for frame in frames
    }


def real_frames() -> list[SyntheticFrame]:
    """Return the real sequence beside the project, its bytes untouched."""
    paths = sorted((REAL / "polyp_seq_131368cc17e44240").glob("*.jpg"))
    start = datetime(2021, 1, 1, 8)
    return [
        SyntheticFrame(number, start + timedelta(milliseconds=500 * number), path.read_bytes())
        for number, path in enumerate(paths, start=1)
    ]


def pixels(data_set: bytes) -> bytes:
    """Return what makes two encodings of one instance the same: the JPEG stream."""
    start = data_set.index(b"\xff\xd8")
    return data_set[start : data_set.rindex(b"\xff\xd9") + 2]


@pytest.mark.parametrize("environ", [{}, {"TCP_NODELAY": "1"}], ids=["nagle", "nodelay"])
@pytest.mark.parametrize("options", [(), ("--max-pdu", "4096")], ids=["16k", "4k"])
def test_storescu_sends_a_synthetic_study(listener, program, tmp_path, environ, options):
    frames = list(synthetic_frames(60, seed=11, rows=96, columns=96))
    sent = write_study(tmp_path / "study", frames, 96)
    said = storescu(program, listener.port, tmp_path / "study", *options, **environ)
    assert said.count("Received Store Response (Success)") == len(sent)
    assert listener.wait_until_closed() == [AssociationOutcome.RELEASED]
    kept = listener.kept()
    assert kept.keys() == sent.keys()
    assert all(pixels(kept[uid]) == pixels(data) for uid, data in sent.items())


@pytest.mark.skipif(not REAL.is_dir(), reason="the real frames are not beside the project")
def test_storescu_sends_a_study_of_real_frames(listener, program, tmp_path):
    frames = real_frames()
    sent = write_study(tmp_path / "study", frames, 336)
    storescu(program, listener.port, tmp_path / "study")
    listener.wait_until_closed()
    kept = listener.kept()
    assert len(kept) == len(frames) == 55
    for frame, uid in zip(frames, sent, strict=True):
        assert pixels(kept[uid]) == frame.jpeg
        assert cv2.imdecode(__import__("numpy").frombuffer(frame.jpeg, "u1"), 1) is not None


@pytest.mark.parametrize("option", ["--max-pdu", "--max-send-pdu"])
@pytest.mark.parametrize("size", ["4096", "32768", "131072"])
def test_storescu_cuts_its_messages_into_pdus_of_many_sizes(
    make_listener, program, tmp_path, option, size
):
    """What it sends is bounded by what we offer, too: here as much as DICOM's tools know."""
    listener = make_listener(pdu_bytes_max=131_072)
    frames = list(synthetic_frames(12, seed=12, rows=320, columns=320))
    sent = write_study(tmp_path / "study", frames, 320)
    said = storescu(program, listener.port, tmp_path / "study", option, size, TCP_NODELAY="1")
    assert said.count("Received Store Response (Success)") == len(sent)
    listener.wait_until_closed()
    kept = listener.kept()
    assert {uid: pixels(data) for uid, data in kept.items()} == {
        uid: pixels(data) for uid, data in sent.items()
    }


def test_dcmdump_reads_what_lies_in_a_pack(listener, program, tmp_path):
    sent = write_study(
        tmp_path / "study", list(synthetic_frames(3, seed=2, rows=96, columns=96)), 96
    )
    storescu(program, listener.port, tmp_path / "study")
    listener.wait_until_closed()
    (pack,) = listener.settings.packs_dir.glob("*/*/*.tar")
    subprocess.run(["tar", "xf", pack, "-C", tmp_path], check=True)
    for uid in sent:
        dump = subprocess.run(
            [program("dcmdump"), tmp_path / f"{uid}.dcm"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "CAPSULEGW" in dump.stdout
        assert (
            part10.parse_file_meta((tmp_path / f"{uid}.dcm").read_bytes()).sop_instance_uid == uid
        )


def test_echoscu_is_answered(listener, program):
    subprocess.run(
        [program("echoscu"), "-aec", "CAPSULEGW", "127.0.0.1", str(listener.port)], check=True
    )
