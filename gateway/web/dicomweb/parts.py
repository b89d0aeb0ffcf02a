"""Pure: multipart/related (RFC 2387, RFC 2046 5.1), written and read piece by piece."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from gateway.errors import QueryInvalid

BOUNDARY_MAX = 70
HEADERS_BYTES_MAX = 16 << 10
PIECE_BYTES = 256 << 10


def opening(boundary: str, content_type: str, location: str = "") -> bytes:
    """Return what stands before one part."""
    lines = [f"--{boundary}", f"Content-Type: {content_type}"]
    if location:
        lines.append(f"Content-Location: {location}")
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def written(boundary: str, parts: Iterable[tuple[bytes, Iterable[bytes]]]) -> Iterator[bytes]:
    """Yield a whole body. parts: what `opening` returned, and the pieces of the content."""
    for head, pieces in parts:
        yield head
        yield from pieces
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode("ascii")


@dataclass
class Part:
    """One part of a body that is read. pieces: its content, to be read before the next part."""

    content_type: str
    pieces: Iterator[bytes]


class PartReader:
    """Reads the parts of a body one after the other, in constant memory."""

    def __init__(self, read: Callable[[int], bytes], boundary: str) -> None:
        """read: of a stream, at most so many bytes, none at the end. Raises QueryInvalid."""
        if not 0 < len(boundary) <= BOUNDARY_MAX or not boundary.isascii():
            raise QueryInvalid("The boundary of the multipart body is missing or too long.")
        self._read = read
        self._mark = b"\r\n--" + boundary.encode("ascii")
        self._buffer = bytearray(b"\r\n")  # so that the first boundary looks like the others
        self._open = False

    def parts(self) -> Iterator[Part]:
        """Yield the parts. Raises QueryInvalid where the body is no multipart body, or cut off."""
        for _ in self._content():  # what stands before the first boundary means nothing
            pass
        while not self._is_last():
            content_type = self._headers()
            self._open = True
            yield Part(content_type, self._content())
            if self._open:
                for _ in self._content():
                    pass

    def _content(self) -> Iterator[bytes]:
        """Yield everything up to the next boundary, which is taken out."""
        keep = len(self._mark) - 1
        while True:
            at = self._buffer.find(self._mark)
            if at >= 0:
                self._open = False
                found = bytes(self._buffer[:at])
                del self._buffer[: at + len(self._mark)]
                if found:
                    yield found
                return
            if len(self._buffer) > keep:
                piece = bytes(self._buffer[:-keep])
                del self._buffer[:-keep]
                yield piece
            self._fill()

    def _is_last(self) -> bool:
        while len(self._buffer) < 2:
            self._fill()
        return self._buffer[:2] == b"--"

    def _headers(self) -> str:
        """Return the Content-Type of the part that begins."""
        while b"\r\n\r\n" not in self._buffer[: HEADERS_BYTES_MAX + 4]:
            if len(self._buffer) > HEADERS_BYTES_MAX:
                raise QueryInvalid("The header of a part is too long.")
            self._fill()
        end = self._buffer.index(b"\r\n\r\n")
        lines = bytes(self._buffer[:end]).decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        for line in lines:
            name, _, value = line.partition(":")
            if name.strip().lower() == "content-type":
                return value.strip()
        return ""

    def _fill(self) -> None:
        more = self._read(PIECE_BYTES)
        if not more:
            raise QueryInvalid("The multipart body ends before its last boundary.")
        self._buffer += more
