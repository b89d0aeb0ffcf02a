"""Frames go in, a file comes out, and every reader finds the same frames in it."""

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.encaps import generate_frames, parse_basic_offsets

from gateway.dicom.storage_classes import JPEG_BASELINE, VIDEO_ENDOSCOPIC
from gateway.errors import LimitExceeded
from gateway.packs.multiframe import MultiFrameFile
from workers import dicom_objects
from workers.wrap import encapsulate


def head(frame_count):
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = VIDEO_ENDOSCOPIC, "1.2.3"
    ds.NumberOfFrames = frame_count
    return dicom_objects.encode_head(ds, JPEG_BASELINE)


def wrapped(fragments):
    sizes = np.array([len(fragment) for fragment in fragments], np.int64)
    beginning = encapsulate.before_frames(head(len(fragments)), sizes)
    whole = b"".join(encapsulate.pieces(beginning, iter(fragments)))
    assert len(whole) == encapsulate.size_bytes(beginning, sizes)
    return whole


FRAGMENTS = st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=40)


@given(FRAGMENTS)
def test_pydicom_finds_every_frame_untouched(fragments):
    ds = dcmread(BytesIO(wrapped(fragments)))
    found = list(generate_frames(ds.PixelData, number_of_frames=len(fragments)))
    assert [frame[: len(one)] for frame, one in zip(found, fragments, strict=True)] == fragments
    for frame, one in zip(found, fragments, strict=True):
        assert frame[len(one) :] == b"\0" * (len(one) % 2)
    assert len(parse_basic_offsets(ds.PixelData)) == len(fragments)
    assert "ExtendedOffsetTable" not in ds


@given(FRAGMENTS)
def test_our_own_reader_finds_every_frame_by_the_offset_table(tmp_path_factory, fragments):
    path = tmp_path_factory.getbasetemp() / "one.dcm"
    path.write_bytes(wrapped(fragments))
    file = MultiFrameFile(path)
    try:
        assert file.frame_count == len(fragments)
        found = [file.read_frame(index) for index in range(len(fragments))]
    finally:
        file.close()
    assert [one.ljust(len(one) + len(one) % 2, b"\0") for one in fragments] == found


def test_frames_are_taken_one_at_a_time():
    taken = []

    def fragments():
        for number in range(3):
            taken.append(number)
            yield b"\xff\xd8"

    beginning = encapsulate.before_frames(head(3), np.full(3, 2, np.int64))
    stream = encapsulate.pieces(beginning, fragments())
    assert next(stream) == beginning
    assert taken == []
    next(stream)
    assert taken == [0]


def test_what_a_32_bit_offset_cannot_reach_is_refused():
    sizes = np.full(3, 1 << 31, np.int64)
    with pytest.raises(LimitExceeded):
        encapsulate.before_frames(b"", sizes)
