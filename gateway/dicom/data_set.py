"""Pure: reading an encoded data set with pydicom, up to its pixel data or less."""

from typing import BinaryIO

from pydicom import Dataset
from pydicom.filereader import read_dataset

from gateway.dicom.header import PIXEL_DATA
from gateway.dicom.storage_classes import EXPLICIT_BIG, IMPLICIT_LITTLE


def read(
    stream: BinaryIO,
    transfer_syntax_uid: str,
    *,
    until: int = PIXEL_DATA,
    defer_size: str | int | None = None,
) -> Dataset:
    """Return the elements before the tag `until`; the stream stands behind them then.

    stream: stands at the data set, which is not deflated. defer_size: longer values are left in
    the file. Raises what identity.UNREADABLE lists.
    """
    return read_dataset(
        stream,
        is_implicit_VR=transfer_syntax_uid == IMPLICIT_LITTLE,
        is_little_endian=transfer_syntax_uid != EXPLICIT_BIG,
        stop_when=lambda tag, _vr, _length: tag >= until,
        defer_size=defer_size,
    )
