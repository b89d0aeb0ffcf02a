"""DCMTK storescp as a receiver that says plainly what it got."""

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.running import free_port

START_TIMEOUT_S = 20
ATTEMPTS = 5
"""It cannot bind port 0, and a free port may be taken before it binds it."""


@dataclass(frozen=True)
class Storescp:
    process: subprocess.Popen[bytes]
    port: int
    folder: Path

    def files(self) -> list[bytes]:
        """Return what it received, in the order of the files' names."""
        return [path.read_bytes() for path in sorted(self.folder.iterdir())]


@contextlib.contextmanager
def storescp(program: str, folder: Path, *options: str) -> Iterator[Storescp]:
    """Run storescp; it writes each data set bit for bit as it came (+B)."""
    folder.mkdir(parents=True)
    environ = {**os.environ, "TCP_NODELAY": "1"}  # else 40 ms an answer, its own doing
    for _ in range(ATTEMPTS):
        port = free_port()
        process = subprocess.Popen(
            [program, "+B", *options, "-od", str(folder), str(port)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environ,
        )  # fmt: skip
        try:
            if listens(process, port):
                yield Storescp(process, port, folder)
                return
        finally:
            process.kill()
            process.wait()
    raise AssertionError(f"{program} did not start")


def listens(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return process.poll() is None
        time.sleep(0.02)
    return False
