"""What is sent: instances of a wanted size, each different, and the messages that carry them."""

import hashlib
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.encaps import encapsulate

from gateway.dicom import part10
from tests.instances import JPEG_BASELINE, VL_ENDOSCOPIC, data_set, encoded, jpeg

UID_ROOT = "1.2.826.0.1.3680043.9.7433.1.1."
MARK = b"the number of the instance: 00000000"
"""Stands in the pixel data, so that no two instances have the same."""


@dataclass(frozen=True)
class Template:
    """An encoded data set; `instance` makes any number of different ones of the same length."""

    data: bytes

    def instance(self, number: int) -> tuple[str, bytes]:
        """Return (SOP Instance UID, data set)."""
        uid = _uid(number)
        data = self.data.replace(_uid(0).encode(), uid.encode(), 1)
        return uid, data.replace(MARK, b"%s%08d" % (MARK[:-8], number), 1)

    def instances(self, first: int, count: int) -> Iterator[tuple[str, bytes]]:
        return (self.instance(number) for number in range(first, first + count))

    def digests(self, count: int) -> dict[str, str]:
        """Return the SHA-256 of the first `count` data sets by SOP Instance UID."""
        return {uid: hashlib.sha256(data).hexdigest() for uid, data in self.instances(0, count)}

    def files(self, count: int) -> Iterator[bytes]:
        """Yield the first `count` instances as Part 10 files."""
        for uid, data in self.instances(0, count):
            yield (
                part10.encode_file_meta(
                    sop_class_uid=VL_ENDOSCOPIC,
                    sop_instance_uid=uid,
                    transfer_syntax_uid=JPEG_BASELINE,
                )
                + data
            )


def template(size: int) -> Template:
    """Return the template of data sets of about `size` bytes: the header of a frame, a JPEG with
    random bytes behind its beginning, which nobody decodes."""
    frame = jpeg(1)
    noise = os.urandom(max(2, size - len(frame) - 900) // 2 * 2).replace(b"\xff", b"\xfe")
    stream = frame[:-2] + MARK + noise + b"\xff\xd9"
    pixel_data = encapsulate([stream + bytes(len(stream) % 2)])
    return Template(encoded(data_set(1, SOPInstanceUID=_uid(0), PixelData=pixel_data)))


def _uid(number: int) -> str:
    return f"{UID_ROOT}{100_000_000 + number}"


@dataclass(frozen=True)
class LargeInstance:
    """One instance whose pixel data is one fragment of `block_count` times the same block."""

    uid: str
    head: bytes
    block: bytes
    block_count: int
    tail: bytes

    @property
    def size(self) -> int:
        return len(self.head) + len(self.block) * self.block_count + len(self.tail)

    def pieces(self) -> Iterator[bytes]:
        """Yield the data set."""
        yield self.head
        for _ in range(self.block_count):
            yield self.block
        yield self.tail

    def digests(self) -> dict[str, str]:
        digest = hashlib.sha256()
        for piece in self.pieces():
            digest.update(piece)
        return {self.uid: digest.hexdigest()}


def large_instance(size: int) -> LargeInstance:
    """Return an instance of about `size` bytes."""
    uid, whole = template(0).instance(1)
    at = whole.rindex(b"\xfe\xff\x00\xe0", 0, whole.index(b"\xff\xd8\xff"))  # item of the fragment
    count = max(1, size >> 20)
    item = b"\xfe\xff\x00\xe0" + struct.pack("<L", count << 20)
    block = b"\xff\xd8\xff" + os.urandom((1 << 20) - 3)
    return LargeInstance(uid, whole[:at] + item, block, count, b"\xfe\xff\xdd\xe0" + bytes(4))
