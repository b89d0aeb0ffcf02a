"""What an import will do: which files form which recording, in which order; what is set aside."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from gateway.errors import FileRefused
from gateway.importing import kinds, natural
from gateway.importing.kinds import Kind
from gateway.importing.source import Item, Source

ORDER_NAMES = frozenset({"capsule.json", "order.json"})
LIST_NAMES = frozenset({"times.csv", "timestamps.csv", "frames.csv"})
DIRECTORY_NAME = "dicomdir"
_VIDEO_SUFFIXES = frozenset(
    {".avi", ".mov", ".mp4", ".m4v", ".mpg", ".mpeg", ".mkv", ".webm", ".wmv", ".asf", ".ts"}
)


@dataclass(frozen=True)
class Recording:
    """The frames of one camera in order, or one video. name: its folder or file, '' for all."""

    name: str
    items: list[Item]
    video: Kind | None = None


@dataclass
class Plan:
    """ignored: names of files that do not even look like something to import."""

    recordings: list[Recording] = field(default_factory=list)
    dicom: list[Item] = field(default_factory=list)
    directories: list[Item] = field(default_factory=list)  # DICOMDIR files
    order: Item | None = None
    times: Item | None = None
    refused: list[tuple[str, str]] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)


def make(source: Source) -> Plan:
    """Sort what was found.

    Frames of one folder form a recording; folders that are only numbered are parts of one. Files
    are read by name where the name is plain, and by their first bytes where it is not.
    """
    plan = Plan(refused=list(source.refused))
    frames: list[Item] = []
    for item in source.items:
        path = PurePosixPath(item.name)
        suffix = path.suffix.casefold()
        if path.name.casefold() in ORDER_NAMES:
            plan.order = plan.order or item
        elif path.name.casefold() in LIST_NAMES:
            plan.times = plan.times or item
        elif suffix in kinds.PICTURE_SUFFIXES:
            frames.append(item)
        else:
            _by_content(plan, frames, source, item)
    plan.recordings = [*_recordings(frames), *plan.recordings]
    plan.recordings.sort(key=lambda one: natural.key(one.name))
    return plan


def _by_content(plan: Plan, frames: list[Item], source: Source, item: Item) -> None:
    path = PurePosixPath(item.name)
    try:
        kind = kinds.of(source.head(item))
    except FileRefused as error:
        plan.refused.append((item.name, str(error)))
        return
    if kind is Kind.DICOM:
        is_directory = path.name.casefold() == DIRECTORY_NAME
        (plan.directories if is_directory else plan.dicom).append(item)
    elif kind in kinds.PICTURES:
        frames.append(item)
    elif kind in kinds.VIDEOS:
        plan.recordings.append(Recording(item.name, [item], kind))
    elif kind is Kind.ZIP:
        plan.refused.append((item.name, "An archive inside what is imported is not opened."))
    elif path.suffix.casefold() in (_VIDEO_SUFFIXES | {".dcm"}):
        plan.refused.append((item.name, "Its content is not what its name says."))
    else:
        plan.ignored.append(item.name)


def _recordings(frames: Iterable[Item]) -> list[Recording]:
    groups: dict[str, list[Item]] = {}
    for item in frames:
        groups.setdefault(_camera(item.name), []).append(item)
    shared = _shared_prefix(list(groups))
    return [
        Recording(name[len(shared) :], sorted(items, key=lambda item: natural.key(item.name)))
        for name, items in groups.items()
    ]


def _camera(name: str) -> str:
    """Return the folder of a frame without the numbered folders it may be split into."""
    folders = name.split("/")[:-1]
    while folders and re.fullmatch(r"[0-9]+", folders[-1]):
        folders.pop()
    return "/".join(folders)


def _shared_prefix(names: list[str]) -> str:
    """Return what all names begin with, whole folders only: a ZIP often wraps all in one."""
    if len(names) < 2:
        return "".join(names)
    split = [name.split("/") for name in names]
    count = 0
    while all(len(one) > count + 1 and one[count] == split[0][count] for one in split):
        count += 1
    return "/".join(split[0][:count]) + "/" if count else ""
