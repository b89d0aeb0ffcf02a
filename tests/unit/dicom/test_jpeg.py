"""The marker scan tells what a JPEG stream is, whatever its header claims."""

import cv2
import numpy as np
import pytest

from gateway.dicom import jpeg as scanner
from gateway.dicom.jpeg import ColourSpace
from gateway.model import FrameEncoding, FrameFault
from tests.instances import jpeg

PICTURE = np.random.default_rng(1).integers(0, 255, (48, 64, 3), "u1")


def encode(*parameters: int, picture: np.ndarray = PICTURE) -> bytes:
    return cv2.imencode(".jpg", picture, list(parameters))[1].tobytes()


def classify(stream: bytes) -> tuple[FrameEncoding, FrameFault]:
    return scanner.classify(stream, rows=48, columns=64)


def adobe(stream: bytes, transform: int) -> bytes:
    """Return the stream with its JFIF segment replaced by an Adobe one."""
    length = int.from_bytes(stream[4:6], "big")
    segment = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes((transform,))
    return stream[:2] + segment + stream[4 + length :]


def test_a_baseline_frame_is_wrapped_as_ycbcr():
    found = scanner.scan(encode())
    assert (found.rows, found.columns, found.precision) == (48, 64, 8)
    assert found.colour_space is ColourSpace.YCBCR
    assert classify(encode()) == (FrameEncoding.JPEG_YBR, FrameFault.NONE)


@pytest.mark.parametrize(
    ("transform", "encoding"), [(0, FrameEncoding.JPEG_RGB), (1, FrameEncoding.JPEG_YBR)]
)
def test_the_adobe_marker_decides_where_no_jfif_marker_stands(transform, encoding):
    assert classify(adobe(encode(), transform)) == (encoding, FrameFault.NONE)


def test_progressive_and_grey_frames_are_not_wrapped_and_not_faulty():
    progressive = encode(cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    grey = encode(picture=PICTURE[:, :, 0])
    assert classify(progressive) == (FrameEncoding.OTHER, FrameFault.NONE)
    assert classify(grey) == (FrameEncoding.OTHER, FrameFault.NONE)


def test_a_frame_without_huffman_tables_is_not_wrapped():
    stream = encode()
    at = stream.index(b"\xff\xc4")
    while stream[at : at + 2] == b"\xff\xc4":
        stream = stream[:at] + stream[at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big") :]
    assert classify(stream) == (FrameEncoding.OTHER, FrameFault.NONE)


@pytest.mark.parametrize("keep", [0.3, 0.7, 0.99])
def test_a_stream_without_its_end_is_truncated(keep):
    stream = encode()
    assert classify(stream[: int(len(stream) * keep)])[1] is FrameFault.TRUNCATED


def test_a_padding_byte_behind_the_end_is_allowed():
    assert classify(encode() + b"\0")[1] is FrameFault.NONE


def test_bytes_that_are_no_jpeg_are_corrupt():
    assert classify(b"not a picture at all")[1] is FrameFault.CORRUPT
    assert classify(encode()[:40] + b"\0\0" + encode()[42:])[1] in (
        FrameFault.CORRUPT,
        FrameFault.NONE,
        FrameFault.SIZE_DISAGREES,
    )


def test_a_size_other_than_the_header_says_is_a_fault():
    assert scanner.classify(jpeg(), rows=64, columns=63)[1] is FrameFault.SIZE_DISAGREES
