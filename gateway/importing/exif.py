"""Pure: when a picture says it was taken (EXIF 2.3: DateTimeOriginal, SubSecTimeOriginal)."""

import re
import struct
from datetime import datetime

from gateway.dicom import times
from gateway.importing import pictures
from gateway.importing.kinds import Kind

_DATE_TIME = re.compile(rb"(\d{4}):(\d\d):(\d\d) (\d\d):(\d\d):(\d\d)")
_EXIF = b"Exif\0\0"


def taken_us(kind: Kind, data: bytes) -> int:
    """Return the time in microseconds (gateway.dicom.times); times.UNKNOWN if it says none.

    data: the file, or its first 64 KB.
    """
    block = _tiff_block(kind, data)
    if block is None:
        return times.UNKNOWN
    try:
        (offset,) = struct.unpack_from("<L" if block[:2] == b"II" else ">L", block, 4)
        main, _ = pictures.tiff_directory(block, offset)
        more: dict[int, int | bytes] = {}
        at = main.get(pictures.EXIF_DIRECTORY)
        if isinstance(at, int):
            more, _ = pictures.tiff_directory(block, at)
    except (struct.error, OverflowError):
        return times.UNKNOWN
    text = more.get(pictures.DATE_TIME_ORIGINAL) or main.get(pictures.DATE_TIME)
    return _microseconds(text, more.get(pictures.SUB_SECOND_ORIGINAL))


def _tiff_block(kind: Kind, data: bytes) -> bytes | None:
    if kind is Kind.TIFF:
        return data
    if kind is Kind.PNG:
        at = data.find(b"eXIf")
        return data[at + 4 :] if at > 0 else None
    if kind is not Kind.JPEG:
        return None
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker, length = data[position + 1], int.from_bytes(data[position + 2 : position + 4])
        body = data[position + 4 : position + 2 + length]
        if marker == 0xE1 and body.startswith(_EXIF):
            return body[len(_EXIF) :]
        if marker in (0xDA, 0xD9) or length < 2:
            return None
        position += 2 + length
    return None


def _microseconds(text: object, fraction: object) -> int:
    match = _DATE_TIME.match(text) if isinstance(text, bytes) else None
    if match is None:
        return times.UNKNOWN
    try:
        moment = datetime(*map(int, match.groups()))  # type: ignore[arg-type]  # noqa: DTZ001
    except ValueError:
        return times.UNKNOWN
    digits = fraction.decode("ascii", "replace") if isinstance(fraction, bytes) else ""
    if not re.fullmatch(r"[0-9]+", digits):
        digits = "0"
    return times.from_datetime(moment) + int(digits.ljust(6, "0")[:6])
