"""How fast a pack is recovered whose writer was killed, beside what the machine can do at all.

    python -m tests.bench.recovery [--mib 1024] [--size 25000] [--rounds 3] [--folder DIR]

Reading once and hashing once are the least a recovery can do: the digest in each member's
header tells a whole one from a torn one. The file is in the page cache for all three.
"""

import argparse
import hashlib
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pydicom.encaps import encapsulate

from gateway.dicom import part10
from gateway.dicom.storage_classes import JPEG_BASELINE, VL_ENDOSCOPIC
from gateway.packs import index as pack_index
from gateway.packs import reading, tar
from gateway.packs.writer import PackWriter
from tests.instances import data_set, encoded, jpeg


def make(path: Path, args: argparse.Namespace) -> int:
    """Write an open pack of frames; returns how many."""
    frame = jpeg(1, 320, 320)
    filled = frame[:-2] + os.urandom(max(2, args.size - len(frame))).replace(b"\xff", b"\xfe")
    uid = "1.2.826.0.1.3680043.9.7433.1.1.100000000"
    ds = data_set(
        1, SOPInstanceUID=uid, Rows=320, Columns=320, PixelData=encapsulate([filled + b"\xff\xd9"])
    )
    data, pack, count = encoded(ds), PackWriter(path), 0
    while pack.size_bytes < args.mib << 20:
        for _ in range(64):
            count += 1
            one = f"{uid[:-9]}{100_000_000 + count}"
            meta = part10.encode_file_meta(
                sop_class_uid=VL_ENDOSCOPIC, sop_instance_uid=one,
                transfer_syntax_uid=JPEG_BASELINE, source_ae_title="BENCH",
            )  # fmt: skip
            content = meta + data.replace(uid.encode(), one.encode())
            pack.stage(f"{one}.dcm", [content], digest=tar.content_digest(content))
        pack.flush()
    pack.close()
    return count


def read_all(path: Path) -> None:
    with path.open("rb", buffering=0) as file:
        buffer = bytearray(1 << 20)
        while file.readinto(buffer):
            pass


def hash_all(path: Path) -> None:
    with path.open("rb") as file:
        hashlib.file_digest(file, "sha256")


def recover(path: Path) -> None:
    reading.recover(path)


def timed(act: Callable[[Path], None], path: Path) -> tuple[float, float]:
    """Return (seconds, CPU seconds)."""
    began, cpu = time.perf_counter(), time.process_time()
    act(path)
    return time.perf_counter() - began, time.process_time() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--size", type=int, default=25_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", default=None)
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="recovery-", dir=args.folder))
    path = folder / "series" / "one.tar"
    count = make(path, args)
    size = path.stat().st_size
    acts = {"read": read_all, "SHA-256": hash_all, "recover": recover}
    results: dict[str, list[tuple[float, float]]] = {name: [] for name in acts}
    for _ in range(args.rounds):
        for name, act in acts.items():
            results[name].append(timed(act, path))
        index = pack_index.load(path)
        assert len(index) == count, f"{len(index)} of {count} members"
        pack_index.path_beside(path).unlink()
    print(f"{count:,} members, {size / 1e6:,.0f} MB, load {os.getloadavg()[0]:.1f}; medians")
    for name, times in results.items():
        seconds, cpu = (statistics.median(column) for column in zip(*times, strict=True))
        print(
            f"{name:8} {size / 1e6 / seconds:8,.0f} MB/s  {cpu:6.2f} CPU s"
            f"  {count / cpu:10,.0f} members per CPU s"
        )
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
