"""What other people's programs say about a file: validators and decoders a receiver might use.

Passing all of them is necessary, not sufficient: none of them notices a wrong colour label, a
Frame Time Vector of another length or a truncated frame in the middle.
"""

import re
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

PIXEL_DATA, CONTENT_SEQUENCE = "(7fe0,0010)", "(0040,a730)"
_NUMBER_OF_FRAMES = re.compile(r"\(0028,0008\) IS \[(\d+)")


def assert_valid(path: Path) -> None:
    """Fail with every complaint unless dicom3tools, DCMTK and GDCM accept and decode the file.

    Of pixel data the first and the last frame are decoded by DCMTK, all of them by GDCM.
    """
    problems = complaints(path)
    assert not problems, f"{path.name}: " + " | ".join(problems)


def complaints(path: Path) -> list[str]:
    """Return what the programs object to; empty if they all accept the file."""
    problems = [f"dciodvfy: {line}" for line in iod_errors(path)]
    if not _run("dcmftest", path).stdout.startswith("yes"):
        problems.append("dcmftest: not a DICOM file")
    dump = _run("dcmdump", "-q", path)
    if dump.returncode != 0:
        problems.append(f"dcmdump: {dump.stderr[:200]}")
    if PIXEL_DATA in dump.stdout:
        found = _NUMBER_OF_FRAMES.search(dump.stdout)
        problems += _pixel_complaints(path, frame_count=int(found[1]) if found else 1)
    elif CONTENT_SEQUENCE in dump.stdout:
        report = _run("dsrdump", "-q", path)
        if report.returncode != 0:
            problems.append(f"dsrdump: {report.stderr[:200]}")
    return problems


def iod_errors(path: Path) -> list[str]:
    """Return the errors, each once, that dciodvfy finds against the object's IOD."""
    done = _run("dciodvfy", "-new", path)
    lines = (done.stdout + done.stderr).splitlines()
    return sorted({line[:200] for line in lines if line.startswith("Error")})


def entity_errors(paths: Iterable[Path]) -> list[str]:
    """Return what dcentvfy finds contradictory between instances of one study."""
    done = _run("dcentvfy", *paths)
    lines = (done.stdout + done.stderr).splitlines()
    return sorted({line[:200] for line in lines if line.startswith("Error")})


def decoded_by_dcmtk(path: Path, frame_number: int, target: Path) -> str:
    """Write a frame (1-based) as a PPM in the colours DCMTK sees; returns its complaints."""
    done = _run("dcmj2pnm", "+op", "+F", str(frame_number), path, target)
    return done.stderr if done.returncode or not target.exists() else ""


def _pixel_complaints(path: Path, *, frame_count: int) -> list[str]:
    problems = []
    with tempfile.TemporaryDirectory() as scratch:
        for frame_number in sorted({1, frame_count}):
            said = decoded_by_dcmtk(path, frame_number, Path(scratch, f"{frame_number}.ppm"))
            if said:
                problems.append(f"dcmj2pnm, frame {frame_number}: {said[:200]}")
        if _run("gdcminfo", path).returncode != 0:
            problems.append("gdcminfo: refused")
        # Its exit code says nothing: what counts is that pixels come out.
        raw = Path(scratch, "raw.dcm")
        _run("gdcmconv", "--raw", path, raw)
        if not raw.exists() or raw.stat().st_size == 0:
            problems.append("gdcmconv: cannot decode")
    return problems


def _run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=300,
        check=False,
    )
