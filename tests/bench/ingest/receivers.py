"""The receivers: how each is started, and how to find out afterwards what it kept."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.dicom import part10
from gateway.packs import index as pack_index
from gateway.packs import reading
from tests.bench.ingest import figures
from tests.bench.ingest.senders import CALLED
from tests.conftest import ROOT, find_program
from tests.instances import JPEG_BASELINE, VL_ENDOSCOPIC

LOG = "log"
"""In the folder of ours: what it says."""
HASHED_AT_ONCE_BYTES = 4 << 20
NODELAY = {"TCP_NODELAY": "1"}
"""What DCMTK, and Orthanc with it, reads from the environment. Without it their answers wait 40 ms
for the acknowledgement of senders that do not hurry it: half of what they reach otherwise."""
Process = subprocess.Popen[bytes]


def nothing_kept(_folder: Path) -> Iterator[tuple[str, str]]:
    return iter(())


@dataclass(frozen=True)
class Receiver:
    """start: with a folder of its own and a port. kept: yields (SOP Instance UID, SHA-256 of the
    data set) of everything in the folder, once the receiver has ended."""

    name: str
    start: Callable[[Path, int], Process]
    kept: Callable[[Path], Iterator[tuple[str, str]]]
    program: str = ""

    @property
    def missing(self) -> bool:
        return bool(self.program) and find_program(self.program) is None


def _python(
    *arguments: str, environ: Mapping[str, str] | None = None, log: Path | None = None
) -> Process:
    """Run this project's Python. log: where standard error goes, if anywhere."""
    clean = {name: text for name, text in os.environ.items() if not name.startswith("CAPSULE_")}
    clean |= {"PYTHONPATH": str(ROOT), **(environ or {})}
    with (log or Path(os.devnull)).open("wb") as errors:
        return subprocess.Popen([sys.executable, *arguments], env=clean, stderr=errors)


def _other(program: str, *arguments: object, **environ: str) -> Process:
    found = find_program(program)
    assert found is not None, program
    return subprocess.Popen(
        [found, *map(str, arguments)], env={**os.environ, **environ},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def ours(folder: Path, port: int, **settings: str) -> Process:
    environ = {
        "CAPSULE_HOME": str(folder), "CAPSULE_AE_TITLE": CALLED,
        "CAPSULE_DICOM_HOST": "127.0.0.1", "CAPSULE_DICOM_PORT": str(port), **settings,
    }  # fmt: skip
    return _python("-m", "gateway", "scp", environ=environ, log=folder / LOG)


def ours_unsynced(folder: Path, port: int) -> Process:
    return ours(folder, port, CAPSULE_SYNC="false")


def kept_in_packs(folder: Path) -> Iterator[tuple[str, str]]:
    for path in folder.glob("packs/*/*/*.tar"):
        for row in pack_index.load(path):
            offset, size = int(row["offset"]), int(row["size"])
            head = reading.read_range(path, offset, min(size, 64 << 10))
            digest = hashlib.sha256()
            position = part10.parse_file_meta(head).data_set_offset
            while position < size:
                piece = reading.read_range(
                    path, offset + position, min(HASHED_AT_ONCE_BYTES, size - position)
                )
                digest.update(piece)
                position += len(piece)
            yield row["sop_instance_uid"].decode(), digest.hexdigest()


def kept_in_files(folder: Path) -> Iterator[tuple[str, str]]:
    """Part 10 files, anywhere below the folder, among other files."""
    for path in folder.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        if content[128:132] == b"DICM":
            meta = part10.parse_file_meta(content)
            yield meta.sop_instance_uid, hashlib.sha256(content[meta.data_set_offset :]).hexdigest()


def storescp(folder: Path, port: int, *options: str, **environ: str) -> Process:
    """As installed, but for +xa, because its defaults refuse every compressed transfer syntax,
    and NODELAY."""
    environ = {**NODELAY, **environ}
    return _other("storescp", *options, "+xa", "-od", folder, "-aet", CALLED, port, **environ)


def storescp_fork(folder: Path, port: int) -> Process:
    return storescp(folder, port, "--fork")


def orthanc(
    folder: Path, port: int, settings: Mapping[str, Any] | None = None, **environ: str
) -> Process:
    configuration = folder / "orthanc.json"
    configuration.write_text(
        json.dumps(
            {
                "StorageDirectory": str(folder / "s"), "IndexDirectory": str(folder / "s"),
                "DicomAet": CALLED, "DicomPort": port, "HttpServerEnabled": False,
                "DicomCheckCalledAet": False, "Plugins": [], "DicomAlwaysAllowStore": True,
                **(settings or {}),
            }
        )
    )  # fmt: skip
    return _other("Orthanc", configuration, **{**NODELAY, **environ})


PYNETDICOM = f"""
import os, sys
from pynetdicom import AE, evt
folder, port = sys.argv[1], int(sys.argv[2])
def store(event):
    with open(os.path.join(folder, event.request.AffectedSOPInstanceUID), "wb") as file:
        file.write(event.encoded_dataset())
        file.flush()
        os.fsync(file.fileno())
    return 0
ae = AE("{CALLED}")
ae.add_supported_context("{VL_ENDOSCOPIC}", "{JPEG_BASELINE}")
ae.start_server(("127.0.0.1", port), evt_handlers=[(evt.EVT_C_STORE, store)])
"""


def stock_pynetdicom(folder: Path, port: int) -> Process:
    return _python("-c", PYNETDICOM, str(folder), str(port))


def sink(_folder: Path, port: int) -> Process:
    return _python("-m", "tests.bench.ingest.sink", str(port))


OURS = Receiver(figures.OURS, ours, kept_in_packs)
OURS_UNSYNCED = Receiver(figures.OURS_UNSYNCED, ours_unsynced, kept_in_packs)
STORESCP = Receiver(figures.STORESCP, storescp, kept_in_files, "storescp")
STORESCP_FORK = Receiver(figures.STORESCP_FORK, storescp_fork, kept_in_files, "storescp")
ORTHANC = Receiver(figures.ORTHANC, orthanc, kept_in_files, "Orthanc")
PYNETDICOM_FSYNC = Receiver(figures.PYNETDICOM, stock_pynetdicom, kept_in_files)
SINK = Receiver(figures.SINK, sink, nothing_kept)
