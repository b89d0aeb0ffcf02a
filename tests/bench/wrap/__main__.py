"""Wrap sealed packs, in turns with `cp` of the same bytes. Run by hand on a quiet machine:

python -m tests.bench.wrap [--frames 1000 10000 60000] [--rounds 3] [--directory DIR] [--json F]

"write" is what `cp` does, of the same bytes: every part written and synced. "wrap" is the whole
step: all that is decided, written, synced, read again, compared with what was received frame by
frame, hashed and recorded. "pydicom" is the way of its manual, for one part.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from gateway.simulator.capsule import SyntheticFrame
from gateway.simulator.study import SyntheticStudy, part10_bytes
from tests.kept_studies import keep_study

FRAME_BYTES = 25_000
WAYS = ("wrap", "write", "pydicom")
"""Of tests.bench.wrap.child."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--frames", type=int, nargs="+", default=[1_000, 10_000, 60_000])
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--directory", type=Path, default=None)
    options.add_argument("--json", type=Path, default=None)
    given = options.parse_args()
    lines = [
        line for count in given.frames for line in _compare(count, given.rounds, given.directory)
    ]
    _show(lines)
    if given.json:
        given.json.write_text(json.dumps(lines, indent=1))


def _compare(frame_count: int, rounds: int, directory: Path | None) -> list[dict[str, float]]:
    """Return a line for each way: medians of the rounds, which take turns."""
    with tempfile.TemporaryDirectory(dir=directory) as name:
        scratch = Path(name)
        home = scratch / "home"
        study = keep_study(home, [_files(frame_count)])
        study.ledger.dispose()
        shutil.copy(home / "ledger.sqlite", scratch / "settled.sqlite")
        packs = list(study.settings.packs_dir.rglob("*.tar"))
        size_mb = sum(pack.stat().st_size for pack in packs) / 1e6
        results: dict[str, list[dict[str, float]]] = {}
        for number in range(rounds):
            for way in WAYS:
                if way == "pydicom" and number:
                    continue  # it is far away from all others, and slow
                shutil.copy(scratch / "settled.sqlite", home / "ledger.sqlite")
                results.setdefault(way, []).append(_in_child(way, home))
                shutil.rmtree(study.settings.derived_dir, ignore_errors=True)
            for way, sync in (("cp", False), ("cp and sync", True)):
                seconds = _timed(lambda sync=sync: _copy(packs, scratch / "copy", sync=sync))
                results.setdefault(way, []).append({"seconds": seconds})
                shutil.rmtree(scratch / "copy")
        synced = statistics.median(one["seconds"] for one in results["cp and sync"])
        return [
            _line(way, frame_count, size_mb, told, synced) for way, told in sorted(results.items())
        ]


def _line(
    way: str, frames: int, size_mb: float, told: list[dict[str, float]], synced_s: float
) -> dict[str, float]:
    frames, size_mb = int(told[0].get("frames", frames)), size_mb * told[0].get("share", 1)
    seconds = statistics.median(one["seconds"] for one in told)
    line: dict[str, Any] = {"way": way, "frames": frames, "seconds": round(seconds, 3)}
    line["frames/s"] = round(frames / seconds)
    line["MB/s"] = round(size_mb / seconds)
    line["times cp and sync"] = round(synced_s * told[0].get("share", 1) / seconds, 2)
    if "cpu_s" in told[0]:
        cpu = statistics.median(one["cpu_s"] for one in told)
        line["frames per CPU s"] = round(frames / cpu)
        line["peak RSS MB"] = max(one["rss_peak_mb"] for one in told)
    return line


def _show(lines: list[dict[str, float]]) -> None:
    names = list(dict.fromkeys(name for line in lines for name in line))
    rows = [names, *([str(line.get(name, "")) for name in names] for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(names))]
    for number, row in enumerate(rows):
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        print(f"| {' | '.join(cells)} |")
        if not number:
            print(f"|{'|'.join('-' * (width + 1) + ':' for width in widths)}|")


def _in_child(way: str, home: Path) -> dict[str, float]:
    child = [sys.executable, "-m", "tests.bench.wrap.child", way, str(home)]
    done = subprocess.run(child, stdout=subprocess.PIPE, text=True, check=True)
    told: dict[str, float] = json.loads(done.stdout)
    return told


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
