"""Wrap sealed packs, in turns with `cp` of the same bytes. Run by hand on a quiet machine:

python -m tests.bench.wrap [--frames 10000] [--rounds 3] [--directory DIR]
"""

import argparse
import json
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import cv2
import numpy as np

from gateway.ledger.engine import Ledger
from gateway.settings import Settings
from gateway.simulator.capsule import SyntheticFrame
from gateway.simulator.study import SyntheticStudy, part10_bytes
from tests.kept_studies import KeptStudy, keep_study

FRAME_BYTES = 25_000


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--frames", type=int, default=10_000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--directory", type=Path, default=None)
    options.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.child:
        _wrap_in_this_process(given.child)
        return
    with tempfile.TemporaryDirectory(dir=given.directory) as scratch:
        _compare(Path(scratch), given.frames, given.rounds)


def _compare(scratch: Path, frame_count: int, rounds: int) -> None:
    home = scratch / "home"
    began = time.perf_counter()
    study = keep_study(home, [_files(frame_count)])
    study.ledger.dispose()
    ledger = home / "ledger.sqlite"
    shutil.copy(ledger, scratch / "settled.sqlite")
    packs = list(study.settings.packs_dir.rglob("*.tar"))
    size_mb = sum(pack.stat().st_size for pack in packs) / 1e6
    print(f"kept {frame_count} frames, {size_mb:.0f} MB, {time.perf_counter() - began:.1f} s")
    results: dict[str, list[float]] = {"wrap": [], "cp": [], "cp and sync": []}
    for _ in range(rounds):
        shutil.copy(scratch / "settled.sqlite", ledger)
        child = [sys.executable, "-m", "tests.bench.wrap", "--child", str(home)]
        done = subprocess.run(child, capture_output=True, text=True, check=True)
        told = json.loads(done.stdout)
        results["wrap"].append(told["seconds"])
        print(f"wrap {told}")
        shutil.rmtree(study.settings.derived_dir)
        results["cp"].append(_timed(lambda: _copy(packs, scratch / "copy", sync=False)))
        shutil.rmtree(scratch / "copy")
        results["cp and sync"].append(_timed(lambda: _copy(packs, scratch / "copy", sync=True)))
        shutil.rmtree(scratch / "copy")
    for name, seconds in results.items():
        middle = statistics.median(seconds)
        rate = frame_count / middle
        print(f"{name:12} {middle:6.2f} s  {rate:8.0f} frames/s  {size_mb / middle:6.0f} MB/s")


def _files(frame_count: int) -> Iterator[bytes]:
    """Yield instances with frames of about FRAME_BYTES; the pictures repeat, the UIDs do not."""
    study = SyntheticStudy.from_seed(1, declared_count=frame_count)
    pictures = [_picture(seed) for seed in range(40)]
    for number in range(frame_count):
        at = study.started_at + timedelta(milliseconds=number * 333)
        yield part10_bytes(study, SyntheticFrame(number + 1, at, pictures[number % 40]))


def _picture(seed: int) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 255, (320, 320, 3), "u1")
    soft = cv2.GaussianBlur(noise, (0, 0), 1.2)
    for quality in range(20, 100):
        jpeg = cv2.imencode(".jpg", soft, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        if len(jpeg) >= FRAME_BYTES:
            return jpeg
    return jpeg


def _wrap_in_this_process(home: Path) -> None:
    settings = Settings(home=home)
    study = KeptStudy(settings, Ledger(settings.ledger_url), 1)
    attempt = study.claim()
    # ru_maxrss is inherited from the parent process: start the kernel's high-water mark anew.
    Path("/proc/self/clear_refs").write_text("5")
    rss_before_mib = _peak_mib()
    before = resource.getrusage(resource.RUSAGE_SELF)
    seconds = _timed(lambda: study.wrap(attempt))
    used = resource.getrusage(resource.RUSAGE_SELF)
    told = {
        "seconds": round(seconds, 2),
        "user_s": round(used.ru_utime - before.ru_utime, 2),
        "system_s": round(used.ru_stime - before.ru_stime, 2),
        "rss_before_mib": rss_before_mib,
        "rss_peak_mib": _peak_mib(),
        "parts": study.report["parts"],
    }
    print(json.dumps(told))


def _peak_mib() -> int:
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) // 1024


def _copy(packs: list[Path], target: Path, *, sync: bool) -> None:
    target.mkdir()
    subprocess.run(["cp", *map(str, packs), str(target)], check=True)
    if sync:
        subprocess.run(["sync", *map(str, target.iterdir())], check=True)


def _timed(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
