"""Pure: what a file is, by its first bytes. Names are only a hint: they are wrong in the field."""

import struct
from enum import StrEnum

HEAD_BYTES = 512
"""Enough of a file to tell what it is."""


class Kind(StrEnum):
    JPEG = "JPEG"
    PNG = "PNG"
    BMP = "BMP"
    TIFF = "TIFF"
    DICOM = "DICOM"
    ZIP = "ZIP"
    AVI = "AVI"
    QUICKTIME = "MOV or MP4"
    OTHER_VIDEO = "video"
    UNKNOWN = "unknown"


PICTURES = frozenset({Kind.JPEG, Kind.PNG, Kind.BMP, Kind.TIFF})
VIDEOS = frozenset({Kind.AVI, Kind.QUICKTIME, Kind.OTHER_VIDEO})

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".dib", ".tif", ".tiff"})

_BY_MAGIC = (
    (b"\xff\xd8\xff", Kind.JPEG),
    (b"\x89PNG\r\n\x1a\n", Kind.PNG),
    (b"II*\0", Kind.TIFF),
    (b"MM\0*", Kind.TIFF),
    (b"PK\x03\x04", Kind.ZIP),
    (b"PK\x05\x06", Kind.ZIP),  # an empty one
    (b"\x1a\x45\xdf\xa3", Kind.OTHER_VIDEO),  # Matroska, WebM
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", Kind.OTHER_VIDEO),  # ASF: WMV
    (b"\x00\x00\x01\xba", Kind.OTHER_VIDEO),  # MPEG program stream
    (b"\x00\x00\x01\xb3", Kind.OTHER_VIDEO),  # MPEG video elementary stream
)
_TOP_ATOMS = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"})
_TRANSPORT_PACKET_BYTES = 188
_BITMAP_HEADER_BYTES = frozenset({12, 40, 52, 56, 64, 108, 124})


def of(head: bytes) -> Kind:
    """Tell what a file is. head: its first HEAD_BYTES, or all of it.

    Only containers that cannot name other files or addresses count as video: a playlist, which
    a decoder would follow, does not.
    """
    if head[128:132] == b"DICM":
        return Kind.DICOM
    for magic, kind in _BY_MAGIC:
        if head.startswith(magic):
            return kind
    if head[:4] in (b"RIFF", b"RIFX") and head[8:12] == b"AVI ":
        return Kind.AVI
    if head[4:8] in _TOP_ATOMS:
        return Kind.QUICKTIME
    if head[:2] == b"BM" and _is_bitmap(head):
        return Kind.BMP
    is_transport = head[:1] == b"G" and len(head) > 2 * _TRANSPORT_PACKET_BYTES
    if is_transport and head[_TRANSPORT_PACKET_BYTES::_TRANSPORT_PACKET_BYTES][:2] == b"GG":
        return Kind.OTHER_VIDEO
    return Kind.UNKNOWN


def _is_bitmap(head: bytes) -> bool:
    return len(head) >= 18 and struct.unpack_from("<L", head, 14)[0] in _BITMAP_HEADER_BYTES
