"""What other people's programs make of the synthetic instances and of the simulated peers."""

import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom import dcmread

from gateway.simulator import (
    SimulatedPacs,
    SyntheticFrame,
    SyntheticStudy,
    part10_bytes,
    send_study,
    synthetic_frames,
)
from tests.peer.validators import assert_valid

COUNT = 12
STUDY = SyntheticStudy.from_seed(9, declared_count=COUNT)
Program = Callable[[str], str]


@pytest.fixture(scope="module")
def frames() -> list[SyntheticFrame]:
    return list(synthetic_frames(COUNT, seed=9))


@pytest.mark.peer("dciodvfy", "dcmftest", "dcmdump", "dcmj2pnm", "gdcminfo", "gdcmconv")
@pytest.mark.parametrize("index", [0, 5, 11])
def test_every_validator_accepts_an_instance(
    tmp_path: Path, frames: list[SyntheticFrame], index: int
) -> None:
    path = tmp_path / "instance.dcm"
    path.write_bytes(part10_bytes(STUDY, frames[index]))
    assert_valid(path)


@pytest.mark.peer("dcentvfy")
def test_the_instances_of_a_study_agree_about_patient_study_and_series(
    tmp_path: Path, frames: list[SyntheticFrame], program: Program
) -> None:
    for frame in frames:
        (tmp_path / f"{frame.frame_number}.dcm").write_bytes(part10_bytes(STUDY, frame))
    done = subprocess.run(
        [program("dcentvfy"), *sorted(map(str, tmp_path.iterdir()))],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "Error" not in done.stdout + done.stderr


@pytest.mark.peer("storescp")
@pytest.mark.parametrize("pdu_bytes_max", [4096, 131_072])
def test_dcmtk_receives_the_study_as_the_workstation_wrote_it(
    tmp_path: Path, frames: list[SyntheticFrame], program: Program, pdu_bytes_max: int
) -> None:
    with storescp(program("storescp"), tmp_path, pdu_bytes_max) as port:
        report = send_study(
            STUDY, frames, host="127.0.0.1", port=port,
            calling_ae_title="CAPSULE1", called_ae_title="STORESCP",
        )  # fmt: skip
    assert report.acknowledged_count == COUNT
    received = {str(ds.SOPInstanceUID): ds for ds in map(dcmread, tmp_path.glob("*.dcm"))}
    assert list(report.digests) == sorted(
        received, key=lambda uid: int(received[uid].InstanceNumber)
    )
    for frame in frames:
        ds = received[STUDY.sop_instance_uid(frame.frame_number)]
        assert frame.jpeg in ds.PixelData
        assert str(ds.PatientName) == "Synthetic^Patient=合成^患者"


@pytest.mark.peer("storescu", "echoscu", "findscu")
def test_dcmtk_stores_echoes_and_asks_at_the_simulated_pacs(
    tmp_path: Path, frames: list[SyntheticFrame], program: Program
) -> None:
    source = tmp_path / "source.dcm"
    source.write_bytes(part10_bytes(STUDY, frames[0]))
    uid = STUDY.sop_instance_uid(1)
    with SimulatedPacs(tmp_path / "pacs", ae_title="PACS") as pacs:
        called = ["-aec", "PACS", "127.0.0.1", str(pacs.port)]
        run(program("echoscu"), *called)
        # -xy proposes JPEG Baseline; -R proposes only what the file needs.
        run(program("storescu"), "-xy", "-R", *called, str(source))
        query = ["-S", "-k", "QueryRetrieveLevel=IMAGE", "-k", f"SOPInstanceUID={uid}"]
        found = run(program("findscu"), *query, "-k", "InstanceNumber", *called)
        stored = pacs.instances.path_of(uid)
    assert stored is not None
    assert dcmread(stored).PixelData == dcmread(source).PixelData
    assert uid in found
    assert "(0020,0013) IS [1 ]" in found


def run(*command: str) -> str:
    # Without Nagle's algorithm, DCMTK does not wait 40 ms for every acknowledgement.
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "TCP_NODELAY": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@contextmanager
def storescp(program: str, folder: Path, pdu_bytes_max: int) -> Iterator[int]:
    """DCMTK's receiver behind a port of ours: it serves the one connection it inherits."""
    # +xa: it accepts compressed transfer syntaxes; by default it does not.
    options = ["--inetd", "-od", str(folder), "-fe", ".dcm", "+xa", "-pdu", str(pdu_bytes_max)]
    done = []

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            done.append(subprocess.run([program, *options], stdin=connection, timeout=60))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(timeout=60)
    assert [process.returncode for process in done] == [0]
