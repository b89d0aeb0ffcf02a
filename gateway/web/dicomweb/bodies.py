"""Bodies of answers: multipart, and ranges of files the server sends without reading them."""

import os
import secrets
from collections.abc import Iterable
from typing import BinaryIO

from flask import Response, request
from werkzeug.wsgi import wrap_file

from gateway.errors import ObjectMissing
from gateway.holdings.frames import Span
from gateway.web.dicomweb import parts


def multipart(media_type: str, content: Iterable[tuple[str, str, Iterable[bytes]]]) -> Response:
    """Answer with several parts. content: Content-Type, address and pieces of each."""
    boundary = secrets.token_hex(16)
    body = parts.written(
        boundary,
        ((parts.opening(boundary, kind, address), pieces) for kind, address, pieces in content),
    )
    return Response(
        body, content_type=f'multipart/related; type="{media_type}"; boundary={boundary}'
    )


def range_of_file(span: Span, content_type: str) -> Response:
    """Answer with a range of a file: gunicorn sends it by sendfile(2). Raises ObjectMissing."""
    try:
        file = _Range(span)
    except OSError as error:
        raise ObjectMissing(f"{span.path.name} is missing from the storage.") from error
    response = Response(
        wrap_file(request.environ, file),  # type: ignore[arg-type]
        content_type=content_type,
        direct_passthrough=True,
    )
    response.content_length = span.size_bytes
    return response


class _Range:
    """A file that begins and ends where a range does."""

    def __init__(self, span: Span) -> None:
        self._file: BinaryIO = span.path.open("rb", buffering=0)
        self._file.seek(span.offset_bytes)  # where sendfile begins
        self._remaining = span.size_bytes

    def fileno(self) -> int:
        return self._file.fileno()

    def read(self, size: int = -1) -> bytes:
        """Read on, for servers that cannot send a file by themselves."""
        wanted = self._remaining if size < 0 else min(size, self._remaining)
        data = os.read(self._file.fileno(), wanted) if wanted else b""
        self._remaining -= len(data)
        return data

    def close(self) -> None:
        self._file.close()
