"""What lies in a watched folder: whether it is complete, and where it goes afterwards."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

from gateway.packs.writer import storage_error

DONE, FAILED = "done", "failed"
MARKERS = (".complete", ".ready")
"""Inside a folder, or behind the name of a folder or file: its sender says that it is whole."""
_UNFINISHED = (".part", ".partial", ".tmp", ".temp", ".filepart", ".crdownload", ".writing")
_SIDECAR = ".json"


@dataclass(frozen=True)
class Fingerprint:
    """Changes whenever something is added to, written in or removed from a dropped thing."""

    file_count: int
    size_bytes: int
    modified_ns: int


def candidates(inbox: Path) -> Iterator[Path]:
    """Yield what may be imported, by name. Raises StorageError if the folder cannot be read."""
    try:
        names = sorted(entry.name for entry in os.scandir(inbox))
    except OSError as error:
        raise storage_error(error, inbox) from error
    for name in names:
        lower = name.casefold()
        if lower.startswith((".", "~")) or lower in (DONE, FAILED):
            continue
        if lower.endswith((*MARKERS, *_UNFINISHED, _SIDECAR)):
            continue
        yield inbox / name


def is_marked(path: Path) -> bool:
    """Tell whether its sender says that it is complete."""
    beside = (path.with_name(path.name + marker) for marker in MARKERS)
    inside = (path / marker for marker in MARKERS)
    return any(one.exists() for one in beside) or (
        path.is_dir() and any(one.exists() for one in inside)
    )


def fingerprint(path: Path) -> Fingerprint | None:
    """Look at every file below a path; None if it is gone, or is changing right now."""
    files = size = newest = 0
    try:
        waiting = [path]
        while waiting:
            one = waiting.pop()
            found = one.stat(follow_symlinks=False)
            newest = max(newest, found.st_mtime_ns, found.st_ctime_ns)
            if one.is_dir() and not one.is_symlink():
                waiting += one.iterdir()
            else:
                files, size = files + 1, size + found.st_size
    except OSError:
        return None
    return Fingerprint(files, size, newest)


def put_away(path: Path, outcome: str, report: dict[str, Any]) -> Path:
    """Move a thing, with what belongs to it, to done or failed, its report beside it.

    Returns where it lies. Raises StorageError; then it is looked at again later.
    """
    folder = path.parent / outcome
    try:
        folder.mkdir(exist_ok=True, mode=0o750)
        target = _free(folder / path.name)
        # The report first: who dies in between writes the same one again.
        draft = folder / f".{target.name}.report.tmp"
        draft.write_text(json.dumps(report, ensure_ascii=False, indent=1) + "\n")
        draft.replace(folder / f"{target.name}.report.json")
        path.rename(target)
        for own in _belongings(path):
            if own.exists():
                own.rename(_free(folder / own.name))
    except OSError as error:
        raise storage_error(error, path) from error
    return target


def _belongings(path: Path) -> list[Path]:
    return [path.with_name(path.name + suffix) for suffix in (*MARKERS, _SIDECAR)] + (
        [] if path.suffix in ("", _SIDECAR) else [path.with_suffix(_SIDECAR)]
    )


def _free(target: Path) -> Path:
    """Return a name nothing has yet: the one wanted, or that with a number."""
    numbered = (target.with_name(f"{target.name}.{number}") for number in count(2))
    return next(name for name in chain([target], numbered) if not os.path.lexists(name))
