"""A reader with a memory reads exactly what the walk without one reads."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread

from gateway.dicom import header, part10
from gateway.dicom import jpeg as scanner
from gateway.dicom.layout import LAYOUTS_MAX, HeaderReader
from gateway.errors import Undecodable
from gateway.model import FrameEncoding, FrameFault
from tests.conftest import ROOT
from tests.instances import data_set, encoded, frame, jpeg

EXPLICIT, JPEG_BASELINE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.50"
SAMPLES = ROOT.parent / "shared" / "data" / "dicom-samples"


def read(reader: HeaderReader, data: bytes, syntax: str = JPEG_BASELINE) -> object:
    """Return what a reader makes of a data set, a refusal included."""
    try:
        return reader.read(data, syntax)
    except Undecodable as error:
        return str(error)


def walk(data: bytes, syntax: str = JPEG_BASELINE) -> object:
    try:
        return header.read(data, syntax)
    except Undecodable as error:
        return str(error)


def test_the_frames_of_a_recording_are_read_as_if_each_were_the_first():
    reader = HeaderReader()
    for number in (1, 2, 9, 10, 11, 100, 101, 3, 99_999):
        data = frame(number)
        assert reader.read(data, JPEG_BASELINE) == header.read(data, JPEG_BASELINE)


def test_a_value_that_begins_to_vary_is_learned():
    reader = HeaderReader()
    for number in range(1, 20):
        data = encoded(data_set(number, ImageComments=f"{number:04}", StudyID=f"{number % 3}"))
        assert reader.read(data, JPEG_BASELINE) == header.read(data, JPEG_BASELINE)
    assert len(reader._layouts) <= 2  # learned, not remembered one by one


def test_only_so_many_layouts_are_remembered():
    reader = HeaderReader()
    for length in range(40):
        data = encoded(data_set(1, ImageComments="x" * length))
        assert reader.read(data, JPEG_BASELINE) == header.read(data, JPEG_BASELINE)
    assert len(reader._layouts) == LAYOUTS_MAX


@pytest.mark.parametrize("cut", [1, 8, 9, 16, 600])
def test_a_fragment_that_is_cut_off_is_not_taken_for_a_whole_one(cut):
    reader = HeaderReader()
    reader.read(frame(1), JPEG_BASELINE)
    data = frame(2)[:-cut]
    assert read(reader, data) == walk(data)


values = st.fixed_dictionaries(
    {},
    optional={
        "InstanceNumber": st.integers(0, 100_000),
        "ContentTime": st.sampled_from(["080000", "080000.5", "235959.999999"]),
        "AcquisitionDateTime": st.sampled_from(["20260301080000", "20260301080000.123456+0100"]),
        "ImageComments": st.text("abc ", max_size=12),
        "PatientID": st.sampled_from(["A", "BB"]),
        "NumberOfFrames": st.just("1"),
        "Rows": st.sampled_from([64, 128]),
    },
)


@settings(max_examples=150, deadline=None)
@given(st.lists(values, min_size=2, max_size=12))
def test_any_mixture_of_headers_is_read_as_without_a_memory(mixture):
    reader = HeaderReader()
    for number, given_values in enumerate(mixture, 1):
        data = encoded(data_set(number, **given_values))
        assert reader.read(bytearray(data), JPEG_BASELINE) == header.read(data, JPEG_BASELINE)


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 1200), st.integers(0, 255), st.booleans())
def test_a_damaged_header_after_sound_ones_is_read_as_without_a_memory(position, value, cut):
    reader = HeaderReader()
    for number in (1, 2):
        reader.read(frame(number), JPEG_BASELINE)
    data = bytearray(frame(3))
    data[position % len(data)] = value
    damaged = bytes(data[: position % len(data)]) if cut else bytes(data)
    assert read(reader, damaged) == walk(damaged)
    assert reader.read(frame(4), JPEG_BASELINE) == header.read(frame(4), JPEG_BASELINE)


def test_native_pixel_data_has_a_layout_too():
    reader = HeaderReader()
    for number in (1, 2, 3):
        ds = data_set(number, PixelData=bytes(12), PhotometricInterpretation="RGB")
        ds["PixelData"].VR = "OB"
        ds["PixelData"].is_undefined_length = False
        data = encoded(ds)
        found = reader.read(data, EXPLICIT)
        assert found == header.read(data, EXPLICIT)
        assert found.fragment is None


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the sample files are not beside the project")
def test_every_sample_is_read_as_without_a_memory_also_the_second_time():
    reader, count = HeaderReader(), 0
    for path in sorted(SAMPLES.rglob("*.dcm")):
        data = path.read_bytes()
        try:
            meta = part10.parse_file_meta(data)
        except (Undecodable, ValueError):
            continue
        body = data[meta.data_set_offset :]
        for _ in range(2):
            assert read(reader, body, meta.transfer_syntax_uid) == walk(
                body, meta.transfer_syntax_uid
            ), path.name
        count += 1
    assert count >= 50


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["patient", "number", "time"]), min_size=1, max_size=8))
def test_what_is_read_is_what_pydicom_reads(changes):
    reader = HeaderReader()
    for number, change in enumerate(changes, 1):
        extra = {"PatientID": f"P{number}"} if change == "patient" else {}
        extra |= {"ContentTime": f"0800{number:02}.25"} if change == "time" else {}
        data = encoded(data_set(number, **extra))
        found, ds = reader.read(data, JPEG_BASELINE), parsed(data)
        assert found.integer(header.INSTANCE_NUMBER) == ds.InstanceNumber
        assert found.text(header.SOP_INSTANCE_UID) == ds.SOPInstanceUID
        assert found.text(header.CONTENT_TIME) == ds.get("ContentTime", "")


def parsed(data: bytes) -> Dataset:
    from io import BytesIO

    with contextlib.closing(BytesIO(data)) as file:
        return dcmread(file, force=True)


def test_frames_with_the_same_tables_are_classified_alike_and_cut_ones_are_not():
    memory = scanner.Classifier()
    for number, cut in ((1, 0), (2, 0), (3, 5), (4, 0)):
        stream = jpeg(number)[: len(jpeg(number)) - cut]
        data = b"before" + stream + b"behind"
        expected = scanner.classify(stream, rows=64, columns=64)
        assert memory.classify(data, 6, len(stream), rows=64, columns=64) == expected
    assert memory.classify(jpeg(5), 0, len(jpeg(5)), rows=64, columns=63) == (
        FrameEncoding.OTHER,
        FrameFault.SIZE_DISAGREES,
    )


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 700), st.integers(0, 255), st.integers(0, 900))
def test_a_damaged_stream_after_sound_ones_is_classified_as_without_a_memory(at, value, length):
    memory = scanner.Classifier()
    memory.classify(jpeg(1), 0, len(jpeg(1)), rows=64, columns=64)
    stream = bytearray(jpeg(2))
    stream[at % len(stream)] = value
    damaged = bytes(stream[: length or None])
    assert memory.classify(damaged, 0, len(damaged), rows=64, columns=64) == scanner.classify(
        damaged, rows=64, columns=64
    )
