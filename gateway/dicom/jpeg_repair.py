"""Pure: making a JPEG stream Baseline without touching a coefficient, where that is possible.

Whatever comes out has the picture that went in, bit for bit.
"""

from dataclasses import dataclass

import numpy as np

from gateway.dicom import jpeg, jpeg_sequential
from gateway.dicom.jpeg_tables import STANDARD_SEGMENTS
from gateway.model import FrameTreatment

_EOI = b"\xff\xd9"
_BETWEEN_SCANS = b"\xc4\xd9\xda\xdb\xdc\xdd\xfe"
_STRAY = np.ones(256, np.bool_)
"""Codes that no FF in entropy-coded data may stand before; between scans there may be segments."""
_STRAY[[0x00, 0xFF, *range(0xD0, 0xD8), *_BETWEEN_SCANS, *range(0xE0, 0xF0)]] = False
_SOF1_EXTENDED, _SOF2_PROGRESSIVE = 0xC1, 0xC2


@dataclass(frozen=True)
class Repaired:
    """treatment: what was done to the stream; FrameTreatment.NONE if it was Baseline already."""

    stream: bytes
    treatment: FrameTreatment


def repaired(stream: bytes) -> Repaired | None:
    """Return a stream as JPEG Baseline; None if there is no way to do that without loss.

    1. What a container put behind the end of the image goes.
    2. Huffman tables that were left out are the standard ones (T.81 Annex K.3).
    3. Eight bits, Huffman-coded: the frame header is renamed where nothing else is missing,
       otherwise the coefficients are written down again.
    """
    treatment = FrameTreatment.NONE
    whole = trimmed(stream)
    if len(whole) != len(stream) and len(stream) - len(whole) > 1:  # one may be padding
        treatment |= FrameTreatment.TRIMMED
    stream = whole if treatment else stream
    found = jpeg.scan(stream)
    if found is None or not found.complete or found.precision != 8:
        return None
    if found.frame_marker not in (jpeg.SOF0_BASELINE, _SOF1_EXTENDED, _SOF2_PROGRESSIVE):
        return None
    if found.frame_marker != _SOF2_PROGRESSIVE and not found.has_tables:
        stream = with_tables(stream)
        treatment |= FrameTreatment.TABLES_INSERTED
        found = jpeg.scan(stream)
        if found is None or not found.has_tables:
            return None
    if found.frame_marker == _SOF1_EXTENDED:
        renamed = _renamed(stream)
        if renamed is not None:
            return Repaired(renamed, treatment | FrameTreatment.RELABELLED)
    if found.frame_marker != jpeg.SOF0_BASELINE:
        try:
            stream = jpeg_sequential.to_baseline(stream)
        except ValueError:
            return None
        treatment |= FrameTreatment.SEQUENTIAL
    return Repaired(stream, treatment)


def trimmed(stream: bytes) -> bytes:
    """Return the stream without the zeros that may follow its end."""
    bare = stream.rstrip(b"\0")
    return bare if bare.endswith(_EOI) else stream


def with_tables(stream: bytes) -> bytes:
    """Return a stream that has Huffman tables: itself, or with the standard ones in it.

    Many recorders leave out what never changes; decoders of still pictures want it.
    """
    for marker, body, _ in segments(stream):
        if marker == jpeg.DHT:
            return stream
        if marker == jpeg.SOS:
            position = body - 4
            return stream[:position] + STANDARD_SEGMENTS + stream[position:]
    return stream


def segments(stream: bytes) -> list[tuple[int, int, int]]:
    """Return (marker, offset of the body, its length) of all segments up to the first scan."""
    found, position = [], 2
    while position + 4 <= len(stream) and stream[position] == 0xFF:
        marker = stream[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        length = int.from_bytes(stream[position + 2 : position + 4], "big")
        found.append((marker, position + 4, length - 2))
        if marker == jpeg.SOS or length < 2:
            break
        position += 2 + length
    return found


def has_stray_marker(stream: bytes) -> bool:
    """Tell whether the entropy-coded data holds a marker that cannot stand there (T.81 B.1.1.2).

    Bytes that were overwritten nearly always bring one; decoders stop at it, or refuse the rest.
    """
    found = segments(stream)
    if not found or found[-1][0] != jpeg.SOS:
        return True
    data = np.frombuffer(stream, np.uint8)[found[-1][1] + found[-1][2] :]
    following = data[1:][data[:-1] == 0xFF]
    return bool(_STRAY[following].any())


def _renamed(stream: bytes) -> bytes | None:
    """Return an extended sequential stream that uses nothing Baseline lacks, called Baseline.

    Baseline has two Huffman tables of a class, 8-bit quantisation values, and codes for the
    coefficients of eight bits (T.81 Table B.5). None where a stream goes beyond one of them.
    """
    frame_header = -1
    for marker, body, length in segments(stream):
        if marker == _SOF1_EXTENDED:
            frame_header = body - 3
        elif marker == jpeg.DQT and any(stream[at] >> 4 for at in range(body, body + length, 65)):
            return None
        elif marker == jpeg.SOS:
            count = stream[body]
            used = stream[body + 2 : body + 2 + 2 * count : 2]
            one_scan = stream.find(b"\xff\xda", body) < 0 and stream.find(b"\xff\xc4", body) < 0
            if frame_header < 0 or not one_scan or any(one & 0xEE for one in used):
                return None
    if frame_header < 0:
        return None
    return stream[:frame_header] + b"\xc0" + stream[frame_header + 1 :]
