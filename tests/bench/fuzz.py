"""Bent inputs by the hundred thousand: into every parser, and into a running listener.

    python -m tests.bench.fuzz [--inputs 100000] [--associations 5000] [--seed 1] [--only NAME]

A parser must raise only what it promises, in bounded time and memory. The listener must neither
die nor hang, serve the next association after each batch, and hold no more threads, files and
memory at the end than after the first batch.
"""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from tests import fuzzing
from tests.instances import frame
from tests.listening import eventually
from tests.running import free_port
from tests.scp_process import ScpProcess, scp_process

SECONDS_MAX = 5.0
PEAK_BYTES_MAX = 16 << 20
BATCH = 250
RSS_GROWTH_MIB_MAX = 40


def fuzz_parsers(args: argparse.Namespace) -> bool:
    chosen = {name: one for name, one in fuzzing.parsers().items() if args.only in name}
    each, good = -(-args.inputs // len(chosen)), True
    print(f"{'parser':24} {'inputs':>8} {'refused':>8} {'slowest ms':>11} {'peak MB':>8}")
    for name, parser in chosen.items():
        found = fuzzing.run_parser(parser, f"{args.seed}/{name}", each)
        print(
            f"{name:24} {found.count:8,} {found.refused:8,} {found.slowest_s * 1e3:11.1f}"
            f" {found.peak_bytes / 1e6:8.2f}",
            flush=True,
        )
        good &= found.slowest_s < SECONDS_MAX and found.peak_bytes < PEAK_BYTES_MAX
    return good


def resources(listener: ScpProcess) -> dict[str, float]:
    """Return what the processes of the listener hold, all together."""
    threads = files = 0
    rss = 0.0
    for pid in listener.family:
        status = Path(f"/proc/{pid}/status").read_text()
        threads += int(status.partition("Threads:")[2].split()[0])
        rss += int(status.partition("VmRSS:")[2].split()[0]) / 1024
        files += len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return {"threads": threads, "files": files, "RSS MiB": rss}


def assert_it_serves(listener: ScpProcess, number: int) -> None:
    listener.assert_alive()
    uid = f"1.2.826.0.1.3680043.9.7433.1.1.{number}"
    with listener.associate() as assoc:
        status = assoc.store(uid, frame(number))
    said = listener.said()
    assert status == 0, f"a good instance was answered {status:04X}: {said[-3000:]}"
    assert "Traceback" not in said, said[said.index("Traceback") - 300 :][:4000]


def fuzz_listener(args: argparse.Namespace) -> bool:
    rng, valid = random.Random(f"{args.seed}/listener"), fuzzing.conversations()
    processes: list[int] = []
    with (
        tempfile.TemporaryDirectory(prefix="fuzz-") as home,
        scp_process(Path(home), free_port()) as listener,
    ):
        port, began, calm = listener.settings.dicom_port, time.monotonic(), None
        for number in range(1, args.associations + 1):
            stream = fuzzing.bent_conversation(rng, valid)
            try:
                fuzzing.converse(port, stream)
            except fuzzing.Hang as hang:
                Path("/tmp/hang.bin").write_bytes(b"".join(stream))
                print(f"association {number}: {hang}; its bytes are in /tmp/hang.bin")
                return False
            if number % BATCH == 0 or number == args.associations:
                assert_it_serves(listener, 1_000_000 + number)
                listener.wait_until_sealed(60)
                processes = processes or listener.family
                assert listener.family == processes, "a process of the listener was replaced"
                held = resources(listener)
                calm = calm or held
                words = ", ".join(f"{value:.0f} {what}" for what, value in held.items())
                print(f"{number:6,} associations: {words}", flush=True)
        eventually(lambda: resources(listener)["threads"] <= calm["threads"] + 2, 30)
        held = resources(listener)
        print(f"{args.associations / (time.monotonic() - began):.0f} associations/s")
        listener.assert_the_ledger_agrees()
        return (
            held["files"] <= calm["files"] + 8
            and held["RSS MiB"] <= calm["RSS MiB"] + RSS_GROWTH_MIB_MAX
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--associations", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="part of a parser's name")
    args = parser.parse_args()
    good = fuzz_parsers(args) if args.inputs else True
    good &= fuzz_listener(args) if args.associations else True
    print("nothing found" if good else "FOUND SOMETHING, see above")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
