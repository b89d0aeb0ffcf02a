"""A composed study on disk: JPEG streams end to end, and the truth about every frame."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

LANDMARKS = ("z_line", "pylorus", "ileocecal_valve")
USABLE, VEILED = "ok", ("bubbles", "debris")


@dataclass(frozen=True, eq=False)
class Finding:
    """frames: 0-based, where it is in view (all its appearances). real: pasted from a still."""

    number: int
    kind: str
    frames: np.ndarray
    real: bool

    @property
    def is_landmark(self) -> bool:
        return self.kind in LANDMARKS


class ComposedStudy:
    """Reads what compose-study.py wrote with --format pack."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.name = directory, directory.name
        self._offsets = np.load(directory / "frames.idx.npy").astype(np.int64)
        self._streams = np.memmap(directory / "frames.pack", np.uint8, "r")
        about = json.loads((directory / "video.json").read_text())
        self.organs: dict[str, tuple[int, int]] = {
            organ: (first, end) for organ, (first, end) in about["organs"].items()
        }
        self.side = int(about["params"]["size"])
        self._read_truth()

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def read(self, frame_index: int) -> bytes:
        return self._streams[self._offsets[frame_index] : self._offsets[frame_index + 1]].tobytes()

    def streams(self) -> Iterator[bytes]:
        return (self.read(one) for one in range(len(self)))

    def _read_truth(self) -> None:
        count = len(self)
        self.bad, self.veiled = np.zeros(count, bool), np.zeros(count, bool)
        self.finding = np.zeros(count, np.int64)  # 0: none
        self.kind = np.full(count, "", "U20")
        self.circle = np.zeros((count, 3), np.float32)  # column, row, radius in pixels
        with (self.directory / "frames.csv").open() as file:
            for index, row in enumerate(csv.DictReader(file)):
                self.bad[index] = row["quality"] != USABLE
                self.veiled[index] = row["quality"] in VEILED
                if row["finding"]:
                    self.finding[index], self.kind[index] = int(row["finding"]), row["cls"]
                    self.circle[index] = row["cx"], row["cy"], row["r"]
        with (self.directory / "findings.csv").open() as file:
            real = {int(row["finding"]): row["real_still"] == "1" for row in csv.DictReader(file)}
        self.findings = [
            Finding(number, str(self.kind[frames[0]]), frames, real.get(number, False))
            for number in np.unique(self.finding[self.finding > 0]).tolist()
            if len(frames := np.flatnonzero(self.finding == number))
        ]
