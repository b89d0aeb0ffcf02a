"""One way to make the parts of a study, in a process that knows what a worker knows, no more."""

import json
import re
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

from pydicom import dcmread
from pydicom.encaps import encapsulate, generate_frames

from gateway.ledger.engine import Ledger
from gateway.ledger.transitions import studies
from gateway.packs import reading
from gateway.settings import Settings
from workers import wrapping
from workers.part_files import PartFiles
from workers.source_study import source_study
from workers.wrap.plan import plan
from workers.wrap.segment import Limits

STUDY_ID = 1


def _wrap(home: Path) -> dict[str, float]:
    settings, ledger = _opened(home)
    now = datetime.now(UTC)
    with ledger.transaction() as session:
        claim = studies.claim(session, STUDY_ID, lease_s=600, attempts_max=9, now=now)
    assert claim is not None
    return _measured(
        lambda: wrapping.wrap(
            settings, ledger, STUDY_ID, claim.attempt, now=lambda: datetime.now(UTC)
        )
    )


def _write(home: Path) -> dict[str, float]:
    """Write and sync every part, and nothing else; what is written is decided before."""
    settings, ledger = _opened(home)
    row, packs = wrapping._gather(settings, ledger, STUDY_ID)
    source = source_study(settings, row)
    limits = Limits(settings.part_frames_max, settings.part_bytes_max)
    planned = plan(source, packs, limits, fallback_us=0)
    with PartFiles(settings, packs, lambda: None) as files:
        parts = [files.plan(one.source, part) for one in planned for part in one.parts]

        def write() -> None:
            with ThreadPoolExecutor(1) as disk:
                drafts, synced = [], []
                for one in parts:
                    drafts.append(files.draft(one))
                    synced.append(disk.submit(drafts[-1].sync))
                for done in synced:
                    done.result()
            for draft in drafts:
                draft.publish()
                draft.close()

        return _measured(write)


def _pydicom(home: Path) -> dict[str, float]:
    """Make one instance of 2,000 frames, all in memory."""
    settings, ledger = _opened(home)
    _, packs = wrapping._gather(settings, ledger, STUDY_ID)
    (pack, *_) = packs
    frames = pack.index[:2000]
    path = settings.home / pack.storage_key
    target = settings.derived_dir / "pydicom.dcm"
    target.parent.mkdir(parents=True, exist_ok=True)

    def make() -> None:
        streams = []
        for row in frames:
            content = reading.read_range(path, int(row["offset"]), int(row["size"]))
            ds = dcmread(BytesIO(content))
            streams.append(next(generate_frames(ds.PixelData, number_of_frames=1)))
        ds.NumberOfFrames = len(streams)
        ds.PixelData = encapsulate(streams)
        ds.save_as(target)

    share = len(frames) / len(pack.index)
    return _measured(make) | {"frames": len(frames), "share": share}


def _opened(home: Path) -> tuple[Settings, Ledger]:
    settings = Settings(home=home)
    return settings, Ledger(settings.ledger_url)


def _measured(action: Callable[[], object]) -> dict[str, float]:
    # ru_maxrss is inherited from the parent process: start the kernel's high-water mark anew.
    Path("/proc/self/clear_refs").write_text("5")
    before = resource.getrusage(resource.RUSAGE_SELF)
    seconds = _timed(action)
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = used.ru_utime - before.ru_utime + used.ru_stime - before.ru_stime
    return {"seconds": seconds, "cpu_s": cpu_s, "rss_peak_mb": _peak_mb()}


def _peak_mb() -> int:
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024 // 1_000_000


def _timed(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


WAYS = {"wrap": _wrap, "write": _write, "pydicom": _pydicom}

if __name__ == "__main__":
    print(json.dumps(WAYS[sys.argv[1]](Path(sys.argv[2]))))
