"""Hundreds of thousands of instances into a running listener: does anything grow?

    python -m tests.bench.soak [--instances 200000] [--size 25000] [--associations 4]
                               [--per-association 5000] [--delete-sealed] [--folder DIR]

Samples memory, threads and files of every process of the listener, prints a table and fails if
the second half of the run needs more than the first. --delete-sealed removes packs as they are
sealed, where 5 GB of disk are not to be had: what is in one is compared before that.
"""

import argparse
import multiprocessing
import random
import sys
import tempfile
import time
from pathlib import Path

from gateway.dicom import part10
from gateway.packs import index as pack_index
from gateway.packs import reading
from tests.instances import data_set, encoded, jpeg
from tests.requestor import Requestor
from tests.running import free_port
from tests.scp_process import ScpProcess, scp_process

ROOT_UID = "1.2.826.0.1.3680043.9.7433.8"
GROWTH_MIB_MAX = 8.0
SAMPLES = 20


class Recording:
    """What one sender sends: the same bytes whoever asks for an instance of it."""

    def __init__(self, sender: int, args: argparse.Namespace) -> None:
        from pydicom.encaps import encapsulate

        self._sender, self._per_association = sender, args.per_association
        study, uid = self.uids(0)
        frame, rng = jpeg(1), random.Random(sender)
        filling = rng.randbytes(max(2, args.size - len(frame) - 900)).replace(b"\xff", b"\xfe")
        ds = data_set(
            1, StudyInstanceUID=study, SeriesInstanceUID=f"{study}.1", SOPInstanceUID=uid,
            PixelData=encapsulate([frame[:-2] + filling + b"\xff\xd9"]),
        )  # fmt: skip
        self._data, self._study, self._uid = encoded(ds), study.encode(), uid.encode()

    def uids(self, number: int) -> tuple[str, str]:
        """Return the Study and the SOP Instance UID of an instance, of one length for all."""
        study = f"{ROOT_UID}.{self._sender}.1{number // self._per_association:06d}"
        return study, f"{study}.1.1{number:08d}"

    def data(self, number: int) -> bytes:
        study, uid = self.uids(number)
        return self._data.replace(self._uid, uid.encode()).replace(self._study, study.encode())


def send(port: int, sender: int, args: argparse.Namespace, count: int, done) -> None:
    """One sender process: associations one after another, each with a Study of its own."""
    recording = Recording(sender, args)
    for first in range(0, count, args.per_association):
        with Requestor(port, calling=f"SOAK{sender}") as assoc:
            for number in range(first, min(first + args.per_association, count)):
                _, uid = recording.uids(number)
                status = assoc.store(uid, recording.data(number), message_id=number % 60_000 + 1)
                assert status == 0, f"{uid} was answered {status:04X}"
                with done.get_lock():
                    done.value += 1
    print(f"sender {sender}: {count:,} acknowledged", flush=True)


class Packs:
    """Compares what is in sealed packs with what was sent, once each."""

    def __init__(self, folder: Path, args: argparse.Namespace) -> None:
        self._folder, self._delete = folder, args.delete_sealed
        self._sent = {sender: Recording(sender, args) for sender in range(1, args.associations + 1)}
        self._seen: set[Path] = set()
        self.instances = 0

    def look(self) -> None:
        for path in self._folder.glob("*/*/*.npy"):
            if path in self._seen:
                continue
            self._seen.add(path)
            pack = path.with_suffix(".tar")
            for row in pack_index.load(pack):
                content = reading.read_range(pack, int(row["offset"]), int(row["size"]))
                uid = row["sop_instance_uid"].decode()
                sender, number = int(uid.split(".")[-4]), int(uid.split(".")[-1][1:])
                kept = content[part10.parse_file_meta(content).data_set_offset :]
                assert kept == self._sent[sender].data(number), f"{uid}: other bytes"
                self.instances += 1
            if self._delete:
                pack.unlink()


def sample(listener: ScpProcess) -> dict[str, float]:
    """Return what each process of the listener holds, the first is the parent."""
    figures: dict[str, float] = {}
    for place, pid in enumerate(listener.family):
        status = Path(f"/proc/{pid}/status").read_text()
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        figures[f"RSS {place}"] = int(status.partition("VmRSS:")[2].split()[0]) / 1024
        figures[f"own {place}"] = int(rollup.partition("Private_Dirty:")[2].split()[0]) / 1024
        figures[f"fds {place}"] = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return figures


def is_flat(samples: list[dict[str, float]]) -> bool:
    """Compare the largest of the second half with the largest of the second quarter.

    The first quarter warms up: caches, allocator arenas, one of each code path.
    """
    quarter, half = len(samples) // 4, len(samples) // 2
    flat = True
    for name in samples[-1]:
        early = max(one.get(name, 0.0) for one in samples[quarter:half])
        late = max(one.get(name, 0.0) for one in samples[half:])
        if late > early + GROWTH_MIB_MAX:
            print(f"{name} grew from {early:.1f} to {late:.1f}")
            flat = False
    return flat


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instances", type=int, default=200_000)
    parser.add_argument("--size", type=int, default=25_000)
    parser.add_argument("--associations", type=int, default=4, help="at a time")
    parser.add_argument("--per-association", type=int, default=5_000)
    parser.add_argument("--delete-sealed", action="store_true")
    parser.add_argument("--folder", default=None)
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="soak-", dir=args.folder) as home,
        scp_process(Path(home), free_port(), associations_max=200) as listener,
    ):
        good = soak(listener, args)
    print("flat, and all there" if good else "NOT FLAT")
    return 0 if good else 1


def soak(listener: ScpProcess, args: argparse.Namespace) -> bool:
    context = multiprocessing.get_context("fork")
    done = context.Value("q", 0)
    each = args.instances // args.associations
    port = listener.settings.dicom_port
    senders = [
        context.Process(target=send, args=(port, number, args, each, done))
        for number in range(1, args.associations + 1)
    ]
    packs = Packs(listener.settings.packs_dir, args)
    samples = [sample(listener)]
    print(f"{'instances':>10} {'s':>7}  " + "  ".join(f"{one:>7}" for one in samples[0]))
    began = time.monotonic()
    for sender in senders:
        sender.start()
    step = each * args.associations / SAMPLES
    while any(sender.is_alive() for sender in senders):
        if done.value >= step * len(samples):
            samples.append(sample(listener))
            seconds = time.monotonic() - began
            figures = "  ".join(f"{value:7.1f}" for value in samples[-1].values())
            print(f"{done.value:10,} {seconds:7.0f}  {figures}", flush=True)
        packs.look()
        listener.assert_alive()
        senders[0].join(0.2)
    seconds = time.monotonic() - began
    assert not any(sender.exitcode for sender in senders), "a sender failed"
    listener.wait_until_sealed(60)
    packs.look()
    total = each * args.associations
    assert packs.instances == total, f"{packs.instances} kept, {total} acknowledged"
    print(f"{total:,} instances in {seconds:.0f} s, {total / seconds:,.0f}/s")
    return is_flat(samples)


if __name__ == "__main__":
    sys.exit(main())
