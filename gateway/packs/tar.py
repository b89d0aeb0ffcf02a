"""Pure: the tar format (POSIX ustar) of one pack member.

The link name, which tar programs ignore for regular files, carries the SHA-256 of the
content: a torn write is recognised without any index.
"""

import hashlib
import zlib
from dataclasses import dataclass

BLOCK = 512
END_MARK = bytes(2 * BLOCK)
"""Two zero blocks end an archive; a pack that is extended ahead with zeros always ends legally."""
SIZE_MAX = 8**11 - 1
"""Octal digits in the size field: 8 GiB - 1."""

_DIGEST_PREFIX = b"sha256:"
_MODE = b"0000644\x000000000\x000000000\0"
_TYPE = b"0" + _DIGEST_PREFIX
_OWNER = b"capsule".ljust(32, b"\0")
_REST = (bytes(29) + b"ustar\x0000" + _OWNER + _OWNER).ljust(BLOCK - 228, b"\0")
_FIXED_SUM = sum(_MODE) + 8 * 0x20 + sum(_TYPE) + sum(_REST)


@dataclass(frozen=True, slots=True)
class Member:
    name: str
    size: int
    digest: bytes
    """SHA-256 of the content, 32 bytes."""


def padded(size: int) -> int:
    """Return a content size rounded up to whole blocks."""
    return -(-size // BLOCK) * BLOCK


def encode_header(name: str, *, size: int, digest: bytes, modified_at: int) -> bytes:
    """Return the header block of a regular file. modified_at: seconds since 1970."""
    encoded = name.encode("ascii")
    assert len(encoded) <= 100
    assert 0 <= size <= SIZE_MAX
    assert len(digest) == 32
    name_field = encoded.ljust(100, b"\0")
    numbers = b"%011o\0%011o\0" % (size, modified_at)
    link = digest.hex().encode()
    # The low half of an Adler-32 is 1 plus the sum of the bytes, here far below its modulus:
    # 20 times as fast as adding them up in Python.
    varying = zlib.adler32(b"".join((encoded, numbers, link))) & 0xFFFF
    checksum = _FIXED_SUM + varying - 1
    return b"".join((name_field, _MODE, numbers, b"%06o\0 " % checksum, _TYPE, link, _REST))


def decode_header(block: bytes | memoryview) -> Member | None:
    """Return the member a header block of ours announces; None at the end mark or if damaged."""
    block = bytes(block)
    if len(block) != BLOCK or block[257:262] != b"ustar" or block[156:157] != b"0":
        return None
    try:
        if int(block[148:154], 8) != _checksum(block):
            return None
        size = int(block[124:135], 8)
        digest = bytes.fromhex(block[164:228].decode("ascii"))
        name = block[0:100].rstrip(b"\0").decode("ascii")
    except ValueError:
        return None
    return Member(name, size, digest) if block[157:164] == _DIGEST_PREFIX else None


def content_digest(*parts: bytes | bytearray | memoryview) -> bytes:
    """Return the SHA-256 of the parts one after another."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.digest()


def _checksum(block: bytes) -> int:
    return sum(block) - sum(block[148:156]) + 8 * 0x20
