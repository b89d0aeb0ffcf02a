"""Pure: the DICOM file format around a data set (PS3.10 section 7)."""

import struct
from functools import lru_cache
from typing import NamedTuple

from gateway.dicom import header
from gateway.dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from gateway.errors import Undecodable

PREAMBLE = bytes(128) + b"DICM"


class FileMeta(NamedTuple):
    """File meta information (PS3.10 7.1). data_set_offset counts from the preamble."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    source_ae_title: str = ""
    data_set_offset: int = 0

    def encode(self) -> bytes:
        """Return preamble, prefix and elements (always Explicit VR Little Endian)."""
        before, after = _around_uid(
            self.sop_class_uid, len(self.sop_instance_uid), self.transfer_syntax_uid,
            self.source_ae_title,
        )  # fmt: skip
        uid = self.sop_instance_uid.encode("ascii")
        return before + uid + after


@lru_cache(maxsize=256)
def _around_uid(
    sop_class_uid: str, uid_length: int, transfer_syntax_uid: str, source_ae_title: str
) -> tuple[bytes, bytes]:
    """Return what stands before and behind the SOP Instance UID: the same for a whole series."""
    element = struct.pack("<HH2sH", 0x0002, 0x0003, b"UI", uid_length + uid_length % 2)
    before = _FIRST + _element(0x0002, b"UI", sop_class_uid) + element
    after = b"".join(
        (
            bytes(uid_length % 2),
            _element(0x0010, b"UI", transfer_syntax_uid),
            _IMPLEMENTATION,
            _element(0x0016, b"AE", source_ae_title) if source_ae_title else b"",
        )
    )
    length = len(before) + uid_length + len(after)
    group = struct.pack("<HH2sHL", 0x0002, 0x0000, b"UL", 4, length)
    return PREAMBLE + group + before, after


def encode_file_meta(
    *,
    sop_class_uid: str,
    sop_instance_uid: str,
    transfer_syntax_uid: str,
    source_ae_title: str = "",
) -> bytes:
    """Return preamble, prefix and file meta information of an instance."""
    meta = FileMeta(sop_class_uid, sop_instance_uid, transfer_syntax_uid, source_ae_title)
    return meta.encode()


def parse_file_meta(data: bytes | memoryview) -> FileMeta:
    """Read the file meta information at the start of `data`. Raises Undecodable."""
    view = memoryview(data)
    if bytes(view[128:132]) != b"DICM":
        raise Undecodable("This is not a DICOM file: the prefix DICM is missing.")
    values: dict[int, str] = {}
    position = 132
    while position + 8 <= len(view):
        group, element = struct.unpack_from("<HH", view, position)
        if group != 0x0002:
            break
        if bytes(view[position + 4 : position + 6]) == b"OB":
            if position + 12 > len(view):
                raise Undecodable("The file meta information is cut off.")
            (length,) = struct.unpack_from("<L", view, position + 8)
            start = position + 12
        else:
            (length,) = struct.unpack_from("<H", view, position + 6)
            start = position + 8
        if start + length > len(view):
            raise Undecodable("The file meta information is cut off.")
        values[element] = bytes(view[start : start + length]).decode("ascii", "replace")
        position = start + length
    return FileMeta(
        sop_class_uid=values.get(0x0002, "").strip("\0 "),
        sop_instance_uid=values.get(0x0003, "").strip("\0 "),
        transfer_syntax_uid=values.get(0x0010, "").strip("\0 "),
        source_ae_title=values.get(0x0016, "").strip("\0 "),
        data_set_offset=position,
    )


def first_fragment(data: bytes | memoryview) -> bytes:
    """Return the pixel data fragment of a single-frame encapsulated file, padding included.

    data: a whole Part 10 file. Raises Undecodable if its pixel data is not one fragment.
    """
    meta = parse_file_meta(data)
    view = memoryview(data)[meta.data_set_offset :]
    fragment = header.read(view, meta.transfer_syntax_uid).fragment
    if fragment is None:
        raise Undecodable("The pixel data is not one encapsulated fragment.")
    return bytes(view[fragment.offset : fragment.offset + fragment.size])


def _element(element: int, vr: bytes, text: str) -> bytes:
    value = text.encode("ascii")
    if len(value) % 2:
        value += b" " if vr != b"UI" else b"\0"
    return struct.pack("<HH2sH", 0x0002, element, vr, len(value)) + value


_FIRST = struct.pack("<HH2s2xL", 0x0002, 0x0001, b"OB", 2) + b"\x00\x01"
_IMPLEMENTATION = _element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID) + _element(
    0x0013, b"SH", IMPLEMENTATION_VERSION_NAME
)
