"""Data sets inside messages: pydicom and pynetdicom read and write them, and only here."""

import struct
import zlib
from io import BytesIO

from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pydicom.uid import UID
from pynetdicom.dsutils import decode, encode

_UNREADABLE = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    NotImplementedError,
    OSError,
    struct.error,
    zlib.error,
    BytesLengthException,
)
"""What pydicom raises for bytes that are no data set."""


def read(data: bytes, transfer_syntax_uid: str) -> Dataset:
    """Return a data set, its text decoded. Raises ValueError if the bytes are none."""
    syntax = UID(transfer_syntax_uid)
    try:
        ds: Dataset = decode(
            BytesIO(data),
            syntax.is_implicit_VR,
            syntax.is_little_endian,
            deflated=syntax.is_deflated,
        )
        ds.decode()  # pydicom reads values when they are first asked for: here, not later
        for _ in ds.iterall():
            pass
    except _UNREADABLE as error:
        raise ValueError("the data set is not readable") from error
    return ds


def write(ds: Dataset, transfer_syntax_uid: str) -> bytes:
    """Return a data set of ours in one of the little endian transfer syntaxes."""
    data = encode(ds, UID(transfer_syntax_uid).is_implicit_VR, True)
    assert data is not None, "a data set of ours can always be written"
    return bytes(data)
