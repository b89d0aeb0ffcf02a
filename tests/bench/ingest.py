"""How fast instances are received, side by side with peers, alternating in one run.

    python -m tests.bench.ingest [--instances 5000] [--size 25000] [--rounds 3] [--associations 1,4]

A replay sender with everything encoded beforehand is never the bottleneck. Every round runs each
receiver once, so that a drift of the machine meets all of them; medians are printed. At the end
of every run of ours, every byte is compared.
"""

import argparse
import contextlib
import hashlib
import json
import multiprocessing
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.dicom import part10
from gateway.packs import index as pack_index
from gateway.packs import reading
from tests.conftest import ROOT, find_program
from tests.instances import data_set, encoded
from tests.requestor import Requestor
from tests.running import free_port


@dataclass(frozen=True)
class Run:
    """What one sender process measured: seconds from first to last, and each round trip."""

    seconds: float
    latencies_us: list[float]


@dataclass
class Receiver:
    name: str
    start: Callable[[Path, int], "subprocess.Popen[bytes]"]
    ae_title: str = "RECEIVER"
    check: Callable[[Path, dict[str, str]], None] = lambda _folder, _sent: None


def template(size: int) -> tuple[bytes, str]:
    """Return an encoded data set of about `size` bytes and the UID in it to be replaced."""
    from pydicom.encaps import encapsulate

    from tests.instances import jpeg

    frame = jpeg(1)
    filled = frame[:-2] + os.urandom(max(2, size - len(frame) - 900)).replace(b"\xff", b"\xfe")
    uid = "1.2.826.0.1.3680043.9.7433.1.1.100000000"
    ds = data_set(1, SOPInstanceUID=uid, PixelData=encapsulate([filled + b"\xff\xd9"]))
    return encoded(ds), uid


def instances(data: bytes, uid: str, first: int, count: int) -> Iterator[tuple[str, bytes]]:
    """Yield (SOP Instance UID, data set), each with a UID of its own of the same length."""
    at = data.index(uid.encode())
    for number in range(first, first + count):
        one = f"{uid[:-9]}{100_000_000 + number}"
        yield one, data[:at] + one.encode() + data[at + len(uid) :]


def send(
    port: int, ae_title: str, data: bytes, uid: str, first: int, count: int, go, results
) -> None:
    """One sender process: encode, wait for the others, send, report."""
    with Requestor(port, calling="BENCH", called=ae_title) as assoc:
        messages = [assoc.message(one, body) for one, body in instances(data, uid, first, count)]
        go.wait()
        latencies = []
        started = time.perf_counter()
        for encoded_message in messages:
            begun = time.perf_counter()
            assoc.send(encoded_message)
            status = assoc.read_status()
            latencies.append((time.perf_counter() - begun) * 1e6)
            assert status == 0, f"{status:04X}"
        seconds = time.perf_counter() - started
    results.put(Run(seconds, latencies))


def measure(receiver: Receiver, args: argparse.Namespace, associations: int) -> dict[str, float]:
    """Start a receiver, send to it, return its figures."""
    folder = Path(tempfile.mkdtemp(prefix="ingest-", dir=args.folder))
    port = free_port()
    process = receiver.start(folder, port)
    try:
        wait_for(port, process)
        data, uid = template(args.size)
        per_sender = args.instances // associations
        context = multiprocessing.get_context("fork")
        go, results = context.Barrier(associations), context.Queue()
        senders = [
            context.Process(
                target=send,
                args=(port, receiver.ae_title, data, uid, n * per_sender, per_sender, go, results),
            )
            for n in range(associations)
        ]
        before = cpu_seconds(process.pid)
        for sender in senders:
            sender.start()
        runs = [results.get(timeout=600) for _ in senders]
        for sender in senders:
            sender.join()
        used = cpu_seconds(process.pid) - before
        rss = peak_rss_mib(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
    sent = {
        one: hashlib.sha256(body).hexdigest()
        for one, body in instances(data, uid, 0, per_sender * associations)
    }
    receiver.check(folder, sent)
    shutil.rmtree(folder, ignore_errors=True)
    latencies = sorted(us for run in runs for us in run.latencies_us)
    total = per_sender * associations
    seconds = max(run.seconds for run in runs)
    return {
        "inst/s": total / seconds,
        "MB/s": total * len(data) / seconds / 1e6,
        "CPU s/1000": used / total * 1000,
        "p50 us": latencies[len(latencies) // 2],
        "p99 us": latencies[len(latencies) * 99 // 100],
        "RSS MiB": rss,
    }


def wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            with Requestor(port, calling="BENCH", called="RECEIVER"):
                return
        except Exception:
            assert process.poll() is None, "the receiver ended"
            assert time.monotonic() < deadline, "the receiver did not start"
            time.sleep(0.1)


def family(pid: int) -> list[int]:
    """Return a process and its descendants."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    below = [int(one) for one in children.read_text().split()] if children.exists() else []
    return [pid, *(one for child in below for one in family(child))]


def cpu_seconds(pid: int) -> float:
    ticks = 0
    for one in family(pid):
        with contextlib.suppress(FileNotFoundError):  # a forked child that has ended meanwhile
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(int(fields[index]) for index in (11, 12, 13, 14))
    return ticks / os.sysconf("SC_CLK_TCK")


def peak_rss_mib(pid: int) -> float:
    def of(one: int) -> float:
        try:
            status = Path(f"/proc/{one}/status").read_text()
            return int(status.partition("VmHWM:")[2].split()[0]) / 1024
        except (FileNotFoundError, IndexError):  # a forked child that has ended meanwhile
            return 0.0

    return max(of(one) for one in family(pid))


def ours(folder: Path, port: int) -> "subprocess.Popen[bytes]":
    environ = {k: v for k, v in os.environ.items() if not k.startswith("CAPSULE_")}
    environ |= {
        "CAPSULE_HOME": str(folder), "CAPSULE_DICOM_PORT": str(port),
        "CAPSULE_DICOM_HOST": "127.0.0.1", "CAPSULE_AE_TITLE": "RECEIVER", "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-m", "gateway", "scp"], env=environ, stderr=subprocess.DEVNULL
    )


def compare(folder: Path, sent: dict[str, str]) -> None:
    """Every byte that was acknowledged is in a pack, and nothing else is."""
    kept = {}
    for path in folder.glob("packs/*/*/*.tar"):
        for row in pack_index.load(path):
            content = reading.read_range(path, int(row["offset"]), int(row["size"]))
            data = content[part10.parse_file_meta(content).data_set_offset :]
            kept[row["sop_instance_uid"].decode()] = hashlib.sha256(data).hexdigest()
    assert kept == sent, f"{len(kept)} kept, {len(sent)} sent, or bytes differ"


def storescp(folder: Path, port: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [find_program("storescp"), "--fork", "+xa", "-od", folder, "-aet", "RECEIVER", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def orthanc(folder: Path, port: int) -> "subprocess.Popen[bytes]":
    configuration = folder / "orthanc.json"
    configuration.write_text(
        json.dumps(
            {
                "StorageDirectory": str(folder / "s"), "IndexDirectory": str(folder / "s"),
                "DicomAet": "RECEIVER", "DicomPort": port, "HttpServerEnabled": False,
                "DicomCheckCalledAet": False, "Plugins": [], "DicomAlwaysAllowStore": True,
            }
        )
    )  # fmt: skip
    return subprocess.Popen(
        [find_program("Orthanc"), configuration],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


PYNETDICOM = """
import os, sys
from pynetdicom import AE, evt
folder, port = sys.argv[1], int(sys.argv[2])
def store(event):
    with open(os.path.join(folder, event.request.AffectedSOPInstanceUID), "wb") as file:
        file.write(event.encoded_dataset())
        file.flush()
        os.fsync(file.fileno())
    return 0
ae = AE("RECEIVER")
ae.add_supported_context("1.2.840.10008.5.1.4.1.1.77.1.1", "1.2.840.10008.1.2.4.50")
ae.start_server(("127.0.0.1", port), evt_handlers=[(evt.EVT_C_STORE, store)])
"""


def stock_pynetdicom(folder: Path, port: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", PYNETDICOM, folder, str(port)])


RECEIVERS = [
    Receiver("ours, synced", ours, check=compare),
    Receiver("DCMTK storescp, not synced", storescp),
    Receiver("Orthanc, its default", orthanc),
    Receiver("stock pynetdicom, fsync", stock_pynetdicom),
]


def limits(folder: Path, size: int) -> dict[str, float]:
    """Return what the machine itself can do: a durable append, a loopback round trip."""
    path = folder / "limit"
    block = os.urandom(size)
    with path.open("wb") as file:
        file.write(bytes(2000 * size))
        os.fsync(file.fileno())
    descriptor = os.open(path, os.O_WRONLY | os.O_DSYNC)
    started = time.perf_counter()
    for number in range(2000):
        os.pwrite(descriptor, block, number * size)
    appends = 2000 / (time.perf_counter() - started)
    os.close(descriptor)
    path.unlink()
    return {"durable appends/s": appends, "round trips/s": round_trips(block)}


def round_trips(block: bytes) -> float:
    import socket

    ends = socket.socketpair()
    if os.fork() == 0:
        while ends[1].recv(len(block), socket.MSG_WAITALL):
            ends[1].sendall(bytes(150))
        os._exit(0)
    started = time.perf_counter()
    for _ in range(5000):
        ends[0].sendall(block)
        ends[0].recv(150, socket.MSG_WAITALL)
    rate = 5000 / (time.perf_counter() - started)
    ends[0].shutdown(socket.SHUT_RDWR)
    os.wait()
    return rate


@contextmanager
def machine() -> Iterator[None]:
    print(f"load before: {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores")
    yield
    print(f"load after: {os.getloadavg()[0]:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instances", type=int, default=5000)
    parser.add_argument("--size", type=int, default=25_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--associations", default="1,4")
    parser.add_argument("--only", default="", help="part of a receiver's name")
    parser.add_argument("--folder", default=None)
    args = parser.parse_args()
    chosen = [one for one in RECEIVERS if args.only in one.name]
    with machine():
        measured = limits(Path(args.folder or tempfile.gettempdir()), args.size)
        print("the machine:", ", ".join(f"{rate:,.0f} {what}" for what, rate in measured.items()))
        for associations in (int(one) for one in args.associations.split(",")):
            results: dict[str, list[dict[str, float]]] = {one.name: [] for one in chosen}
            for _ in range(args.rounds):
                for receiver in chosen:
                    results[receiver.name].append(measure(receiver, args, associations))
            report(results, associations)


def report(results: dict[str, list[dict[str, float]]], associations: int) -> None:
    print(f"\n{associations} association(s), medians")
    base = None
    for name, runs in results.items():
        middle = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        base = base or middle["inst/s"]
        columns = "  ".join(f"{key} {value:10,.2f}" for key, value in middle.items())
        print(f"{name:28} {columns}  ours/this {base / middle['inst/s']:.2f}")


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    main()
