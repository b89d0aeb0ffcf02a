"""Recordings as files, made for tests: folders of frames, ZIPs, AVI and MOV files."""

import struct
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from gateway.dicom.jpeg_tables import STANDARD_SEGMENTS
from gateway.dicom.part10 import first_fragment
from gateway.importing import run
from gateway.importing.options import Options
from gateway.importing.order import Order
from gateway.importing.report import Report
from gateway.ledger.queries import studies
from gateway.ledger.queries.studies import StudyLine
from gateway.packs import index as pack_index
from gateway.packs import reading
from gateway.settings import Settings
from tests import ledgers
from tests.instances import jpeg


def frames(count: int) -> list[bytes]:
    return [jpeg(seed) for seed in range(count)]


def folder_of(folder: Path, content: Sequence[bytes], pattern: str = "frame{}.jpg") -> Path:
    """Write frames numbered from 1."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(content, start=1):
        (folder / pattern.format(number)).write_bytes(data)
    return folder


def zip_of(path: Path, content: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 31, 8, 0, 0)), data)
    return path


def picture(seed: int = 1, rows: int = 48, columns: int = 64) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), "u1")
    return cv2.resize(noise, (columns, rows), interpolation=cv2.INTER_CUBIC)


def without_tables(stream: bytes) -> bytes:
    """Return a JPEG without its DHT segments, the way many MJPEG recorders write it."""
    out, position = bytearray(stream[:2]), 2
    while True:
        marker, length = stream[position + 1], int.from_bytes(stream[position + 2 : position + 4])
        if marker == 0xDA:
            return bytes(out + stream[position:])
        if marker != 0xC4:
            out += stream[position : position + 2 + length]
        position += 2 + length


def standard_jpeg(seed: int = 1) -> bytes:
    """Return a JPEG whose Huffman tables are the standard ones."""
    stream = cv2.imencode(".jpg", picture(seed), [cv2.IMWRITE_JPEG_OPTIMIZE, 0])[1].tobytes()
    assert all(len(part) == 0 or part in stream for part in (STANDARD_SEGMENTS[-100:],))
    return stream


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<L", len(body)) + body + b"\0" * (len(body) % 2)


def avi_of(samples: Sequence[bytes], *, fps: int = 5, rows: int = 64, columns: int = 64) -> bytes:
    """Return an AVI of JPEG streams; an empty sample repeats the one before it."""
    avih = struct.pack("<14L", 1_000_000 // fps, 0, 0, 0, len(samples), 0, 1, 0, columns, rows,
                       0, 0, 0, 0)  # fmt: skip
    strh = b"vids" + b"MJPG" + struct.pack("<LHHLLLLLLLL", 0, 0, 0, 0, 1, fps, 0, len(samples),
                                           0, 0, 0) + bytes(8)  # fmt: skip
    strf = struct.pack("<LllHH4sLllLL", 40, columns, rows, 1, 24, b"MJPG", 0, 0, 0, 0, 0)
    strl = chunk(b"LIST", b"strl" + chunk(b"strh", strh) + chunk(b"strf", strf))
    hdrl = chunk(b"LIST", b"hdrl" + chunk(b"avih", avih) + strl)
    movi = chunk(b"LIST", b"movi" + b"".join(chunk(b"00dc", one) for one in samples))
    return chunk(b"RIFF", b"AVI " + hdrl + movi)


def box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">L4s", len(body) + 8, name) + body


def mov_of(samples: Sequence[bytes], *, delta: int = 100, per_chunk: int = 2) -> bytes:
    """Return a MOV of JPEG streams, 500 ticks a second; the tables follow the pictures."""
    mdat = box(b"mdat", b"".join(samples))
    ftyp = box(b"ftyp", b"qt  " + bytes(4))
    at, offsets = len(ftyp) + 8, []
    for index, one in enumerate(samples):
        if index % per_chunk == 0:
            offsets.append(at)
        at += len(one)
    count, rest = len(samples), len(samples) % per_chunk
    runs = [(1, per_chunk, 1), (len(offsets), rest, 1)] if rest else [(1, per_chunk, 1)]
    if rest and len(offsets) == 1:
        runs = [(1, rest, 1)]
    entry = box(b"jpeg", bytes(6) + struct.pack(">H", 1) + bytes(16)
                + struct.pack(">HH", 64, 64) + bytes(50))  # fmt: skip
    stbl = box(b"stbl", b"".join((
        box(b"stsd", struct.pack(">LL", 0, 1) + entry),
        box(b"stts", struct.pack(">LLLL", 0, 1, count, delta)),
        box(b"stsc", struct.pack(">LL", 0, len(runs)) + b"".join(
            struct.pack(">LLL", *one) for one in runs)),
        box(b"stsz", struct.pack(">LLL", 0, 0, count) + struct.pack(
            f">{count}L", *map(len, samples))),
        box(b"stco", struct.pack(">LL", 0, len(offsets)) + struct.pack(
            f">{len(offsets)}L", *offsets)),
    )))  # fmt: skip
    mdhd = box(b"mdhd", struct.pack(">LLLLLHH", 0, 0, 0, 500, count * delta, 0, 0))
    hdlr = box(b"hdlr", bytes(8) + b"vide" + bytes(12))
    trak = box(b"trak", box(b"mdia", mdhd + hdlr + box(b"minf", stbl)))
    return ftyp + mdat + box(b"moov", trak)


class Kept:
    """A ledger and a data directory without any process, and what imports leave in them."""

    def __init__(self, home: Path, **changes: object) -> None:
        self.settings = Settings(home=home, **changes)
        self.ledger = ledgers.in_home(home)

    def members(self) -> list[tuple[np.void, bytes]]:
        """Return (index record, Part 10 file) of everything in sealed packs, in order."""
        found = []
        for path in sorted(self.settings.packs_dir.glob("*/*/*.tar")):
            for row in pack_index.load(path):
                content = reading.read_range(path, int(row["offset"]), int(row["size"]))
                found.append((row, content))
        return sorted(found, key=lambda one: int(one[0]["instance_number"]))

    def studies(self) -> list[StudyLine]:
        with self.ledger.reading() as session:
            return studies.lines(session)

    def streams(self) -> list[bytes]:
        """Return the JPEG streams of everything in sealed packs, in order, without padding."""
        found = [first_fragment(content) for _, content in self.members()]
        return [one[:-1] if one.endswith(b"\xff\xd9\0") else one for one in found]

    def import_from(self, path: Path, order: Order, **options: object) -> Report:
        gateway = run.Gateway(self.settings, self.ledger)
        return run.import_path(gateway, path, Options(order=order, **options))


@pytest.fixture
def kept(tmp_path) -> Iterator[Kept]:
    made = Kept(tmp_path / "home")
    yield made
    made.ledger.dispose()
