"""Senders nobody here wrote: DCMTK storescu and Orthanc, as a hospital has them."""

import json
import os
import subprocess
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.ingest import receivers
from tests.bench.ingest.figures import Run
from tests.bench.ingest.messages import Template
from tests.bench.ingest.senders import CALLED, CALLING, Replay
from tests.conftest import find_program
from tests.requestor import Requestor
from tests.running import free_port

START_TIMEOUT_S = 60
SEND_TIMEOUT_S = 600

PROFILE = """[[TransferSyntaxes]]
[JPEGBaseline]
TransferSyntax1 = JPEGBaseline
[[PresentationContexts]]
[Endoscopy]
PresentationContext1 = VLEndoscopicImageStorage\\JPEGBaseline
[[Profiles]]
[Capsule]
PresentationContexts = Endoscopy
"""


@dataclass(frozen=True)
class StudyFiles:
    """The first instances of a template as files, in folders of as many as are wanted."""

    folder: Path
    template: Template

    def first(self, count: int) -> Path:
        """Return a folder with this many files, made when it is first asked for."""
        wanted = self.folder / str(count)
        if not wanted.exists():
            wanted.mkdir(parents=True)
            for number, content in enumerate(self.template.files(count)):
                (wanted / f"{number:06}.dcm").write_bytes(content)
        return wanted


@dataclass(frozen=True)
class Storescu:
    """Sends a folder of files on one association; its start-up is inside the measured time."""

    files: StudyFiles
    count: int
    nodelay: bool

    def digests(self) -> dict[str, str]:
        return self.files.template.digests(self.count)

    def send(self, port: int) -> Run:
        folder = self.files.first(self.count)
        profile = self.files.folder / "storescu.cfg"
        profile.write_text(PROFILE)
        command = [
            find_program("storescu") or "storescu", "-xf", str(profile), "Capsule", "+sd",
            "-aet", CALLING, "-aec", CALLED, "127.0.0.1", str(port), str(folder),
        ]  # fmt: skip
        started = time.perf_counter()
        subprocess.run(
            command, env={**os.environ, "TCP_NODELAY": "1" if self.nodelay else "0"},
            stdout=subprocess.DEVNULL, check=True, timeout=SEND_TIMEOUT_S,
        )  # fmt: skip
        seconds = time.perf_counter() - started
        return Run(self.count, self.count * len(self.files.template.data), seconds)


@dataclass(frozen=True)
class OrthancSource:
    """An Orthanc that is filled once; `sender` sends the first so many of what it holds."""

    folder: Path
    template: Template
    count: int

    def sender(self, count: int, *, nodelay: bool) -> "OrthancSender":
        return OrthancSender(self, count, nodelay)

    def fill(self) -> None:
        """Give it its instances, unless it has them."""
        filled = self.folder / "filled"
        if filled.exists():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with _Orthanc(self.folder, modality_port=free_port(), nodelay=True) as server:
            Replay(self.template, self.count).send(server.dicom_port)
            held = len(server.ask("/instances"))
        assert held == self.count, f"Orthanc holds {held} of {self.count}"
        filled.touch()


@dataclass(frozen=True)
class OrthancSender:
    source: OrthancSource
    count: int
    nodelay: bool

    def digests(self) -> dict[str, str]:
        return self.source.template.digests(self.source.count)

    def send(self, port: int) -> Run:
        """Store instances at a modality by REST; measured is the request, not its start."""
        self.source.fill()
        with _Orthanc(self.source.folder, modality_port=port, nodelay=self.nodelay) as server:
            chosen = server.ask("/instances")[: self.count]
            assert len(chosen) == self.count, f"Orthanc holds {len(chosen)} instances"
            started = time.perf_counter()
            answer = server.ask(
                "/modalities/receiver/store", {"Resources": chosen, "Synchronous": True}
            )
            seconds = time.perf_counter() - started
        assert answer["FailedInstancesCount"] == 0, answer
        assert answer["InstancesCount"] == self.count, answer
        return Run(self.count, self.count * len(self.source.template.data), seconds)


class _Orthanc:
    """A running Orthanc over a folder that outlives it. Usable as a context manager."""

    def __init__(self, folder: Path, *, modality_port: int, nodelay: bool) -> None:
        self.dicom_port, self._http_port = free_port(), free_port()
        settings: dict[str, Any] = {
            "DicomAet": CALLING, "HttpServerEnabled": True, "HttpPort": self._http_port,
            "RemoteAccessAllowed": False, "AuthenticationEnabled": False,
            "DicomModalities": {"receiver": [CALLED, "127.0.0.1", modality_port]},
        }  # fmt: skip
        self._process = receivers.orthanc(
            folder, self.dicom_port, settings, TCP_NODELAY="1" if nodelay else "0"
        )

    def __enter__(self) -> "_Orthanc":
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                self.ask("/system")
                with Requestor(self.dicom_port, calling=CALLING, called=CALLING):
                    return self
            except OSError:
                assert self._process.poll() is None, "Orthanc ended"
                assert time.monotonic() < deadline, "Orthanc did not start"
                time.sleep(0.1)

    def __exit__(self, *_exception: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=60)

    def ask(self, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        url = f"http://127.0.0.1:{self._http_port}{path}"
        with urllib.request.urlopen(url, data, timeout=SEND_TIMEOUT_S) as answer:
            return json.loads(answer.read())
