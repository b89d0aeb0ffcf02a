"""Orthanc as a hospital PACS that takes our studies and commits to them."""

import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.running import free_port


@dataclass
class Orthanc:
    """A running server; ae_title and dicom_port to send to, http_port to ask questions."""

    dicom_port: int
    http_port: int
    ae_title: str = "ORTHANC"

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self.http_port}{path}", timeout=10
        ) as answer:
            body = answer.read()
        return json.loads(body) if path.split("/")[-1] != "file" else body

    def instances(self) -> list[str]:
        return self.get("/instances")

    def file(self, instance: str) -> bytes:
        return self.get(f"/instances/{instance}/file")


@contextmanager
def orthanc(program: str, folder: Path, *, report_to: tuple[str, str, int]) -> Iterator[Orthanc]:
    """Run Orthanc. report_to: (AE title, host, port) of the gateway it reports commitments to."""
    folder.mkdir(parents=True)
    server = Orthanc(free_port(), free_port())
    configuration = {
        "Name": "test",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "DicomAet": server.ae_title,
        "DicomPort": server.dicom_port,
        "HttpPort": server.http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomModalities": {"gateway": list(report_to)},
        "Plugins": [],  # the GDCM plugin of Debian crashes while transcoding
        "OverwriteInstances": False,
    }
    path = folder / "orthanc.json"
    path.write_text(json.dumps(configuration))
    with (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen([program, str(path)], stdout=log, stderr=log)
    try:
        _wait_until_up(server, process, folder / "orthanc.log")
        yield server
    finally:
        process.terminate()
        process.wait(timeout=20)


def _wait_until_up(server: Orthanc, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            server.get("/system")
            return
        except OSError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
