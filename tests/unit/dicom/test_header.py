"""The header walk reads what pydicom reads, in every transfer syntax, and never crashes."""

import contextlib
import struct
import zlib
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from gateway.dicom import header, part10
from gateway.errors import Undecodable
from tests.conftest import ROOT
from tests.instances import data_set, encoded, frame, jpeg

EXPLICIT = "1.2.840.10008.1.2.1"
SAMPLES = ROOT.parent / "shared" / "data" / "dicom-samples"


def written(ds: Dataset, *, implicit: bool, little: bool) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = little, implicit
    write_dataset(buffer, ds)
    return buffer.getvalue()


@pytest.fixture
def plain() -> Dataset:
    ds = data_set(7)
    del ds.PixelData
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator = "122865005", "SCT"
    ds.AnatomicRegionSequence = [item]
    ds["AnatomicRegionSequence"].is_undefined_length = True
    item.is_undefined_length_sequence_item = True
    return ds


@pytest.mark.parametrize(
    ("syntax", "implicit", "little"),
    [
        ("1.2.840.10008.1.2", True, True),
        (EXPLICIT, False, True),
        ("1.2.840.10008.1.2.2", False, False),
    ],
)
def test_the_same_values_come_out_of_every_uncompressed_syntax(plain, syntax, implicit, little):
    found = header.read(written(plain, implicit=implicit, little=little), syntax)
    assert found.text(header.STUDY_INSTANCE_UID) == plain.StudyInstanceUID
    assert found.integer(header.INSTANCE_NUMBER) == 7
    assert found.unsigned(header.ROWS) == 64


def test_a_deflated_data_set_is_read_without_unpacking_a_bomb(plain):
    packer = zlib.compressobj(wbits=-15)
    bomb = written(plain, implicit=False, little=True)
    bomb += struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, 64 << 20) + bytes(64 << 20)
    data = packer.compress(bomb) + packer.flush()
    assert header.read(data, header.DEFLATED).text(header.SOP_INSTANCE_UID) == plain.SOPInstanceUID


def test_the_fragment_of_a_frame_is_found_where_it_lies():
    data = frame(3)
    found = header.read(data, EXPLICIT)
    stream = data[found.fragment.offset : found.fragment.offset + found.fragment.size]
    assert stream.rstrip(b"\0") == jpeg(3).rstrip(b"\0")


@pytest.mark.parametrize("keep", [10, 100, 300])
def test_a_data_set_that_ends_too_early_is_undecodable(keep):
    with pytest.raises(Undecodable):
        header.read(frame(1)[: keep + 1], EXPLICIT)


def test_elements_out_of_order_are_undecodable():
    # (0008,0018) before (0008,0016), PS3.5 7.1
    data = b"\x08\x00\x18\x00UI\x02\x001\0" + b"\x08\x00\x16\x00UI\x02\x001\0"
    with pytest.raises(Undecodable):
        header.read(data, EXPLICIT)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.sampled_from([EXPLICIT, "1.2.840.10008.1.2", header.DEFLATED]))
def test_arbitrary_bytes_never_raise_anything_but_undecodable(data, syntax):
    with contextlib.suppress(Undecodable):
        header.read(data, syntax)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 1200), st.integers(0, 255))
def test_a_damaged_frame_never_raises_anything_but_undecodable(position, value):
    data = bytearray(frame(1))
    data[position % len(data)] = value
    with contextlib.suppress(Undecodable):
        header.read(bytes(data), EXPLICIT)


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the sample files are not beside the project")
def test_every_sample_is_read_as_pydicom_reads_it_or_refused():
    agreed = 0
    for path in sorted(SAMPLES.rglob("*.dcm")):
        data = path.read_bytes()
        try:
            meta = part10.parse_file_meta(data)
            found = header.read(data[meta.data_set_offset :], meta.transfer_syntax_uid)
            ds = dcmread(BytesIO(data), stop_before_pixels=True)
        except Exception:  # pydicom may raise anything here
            continue
        for tag in (header.STUDY_INSTANCE_UID, header.SOP_INSTANCE_UID, header.INSTANCE_NUMBER):
            element = ds.get(tag)
            expected = "" if element is None or element.value is None else str(element.value)
            assert found.text(tag) == expected.strip("\0 "), path.name
        agreed += 1
    assert agreed >= 50


def test_file_meta_survives_the_round_trip():
    encoded_meta = part10.encode_file_meta(
        sop_class_uid="1.2.3", sop_instance_uid="1.2.3.4", transfer_syntax_uid=EXPLICIT,
        source_ae_title="WORKSTATION",
    )  # fmt: skip
    ds = dcmread(BytesIO(encoded_meta + encoded(data_set(1))))
    assert ds.file_meta.SourceApplicationEntityTitle == "WORKSTATION"
    meta = part10.parse_file_meta(encoded_meta)
    assert (meta.sop_instance_uid, meta.transfer_syntax_uid) == ("1.2.3.4", EXPLICIT)
    assert meta.data_set_offset == len(encoded_meta)
