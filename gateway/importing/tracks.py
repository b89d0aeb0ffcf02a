"""Pure: a video's pictures as ranges of its file."""

from dataclasses import dataclass
from typing import Protocol

SAMPLES_MAX = 4_000_000
"""A day and a half at 30 pictures a second. Beyond it a table is damaged or hostile."""


class Readable(Protocol):
    """Reads up to `size` bytes at `offset`; fewer at the end of the file."""

    def read_at(self, offset: int, size: int) -> bytes: ...

    @property
    def size_bytes(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture. elapsed_us: since the first one, as the container says."""

    offset: int
    size: int
    elapsed_us: int


@dataclass(frozen=True)
class Track:
    """The first video track of a file, in order.

    rows, columns: as the container says, 0 where it does not. timed: the container says when.
    """

    codec: str
    rows: int
    columns: int
    samples: list[Sample]
    timed: bool
