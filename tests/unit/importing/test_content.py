"""What becomes of a picture's bytes, and what its header may claim."""

import contextlib
import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gateway.dicom import times
from gateway.dicom.storage_classes import EXPLICIT_LITTLE, JPEG_BASELINE
from gateway.errors import FileRefused
from gateway.importing import content, exif
from gateway.importing.kinds import Kind
from tests.instances import jpeg
from tests.recordings import picture, standard_jpeg, without_tables

RGB = cv2.cvtColor(picture(), cv2.COLOR_BGR2RGB)


def saved(kind, mode="RGB", **options):
    buffer = io.BytesIO()
    Image.fromarray(RGB).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def test_jpeg_baseline_is_kept_byte_for_byte():
    made = content.from_file(jpeg(3))
    assert made.pixel_data == jpeg(3)
    assert (made.transfer_syntax_uid, made.rows, made.columns) == (JPEG_BASELINE, 64, 64)
    assert (made.photometric_interpretation, made.derivation, made.damaged) == (
        "YBR_FULL_422", "", "",
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_lossless_pictures_keep_every_pixel(kind):
    made = content.from_file(saved(kind))
    assert made.transfer_syntax_uid == EXPLICIT_LITTLE
    assert made.photometric_interpretation == "RGB"
    assert made.losses == ()
    pixels = np.frombuffer(made.pixel_data, "u1").reshape(made.rows, made.columns, 3)
    assert (pixels == RGB).all()


def test_a_palette_or_transparency_changes_no_colour():
    few = Image.fromarray(RGB).quantize(16)
    buffer = io.BytesIO()
    few.save(buffer, "PNG")
    made = content.from_file(buffer.getvalue())
    assert made.pixel_data == few.convert("RGB").tobytes()
    assert content.from_file(saved("PNG", "RGBA")).pixel_data == RGB.tobytes()


def test_sixteen_bits_a_sample_become_a_jpeg_that_says_so():
    deep = cv2.imencode(".png", picture().astype("u2") * 257)[1].tobytes()
    made = content.from_file(deep)
    assert made.transfer_syntax_uid == JPEG_BASELINE
    assert "16-bit PNG" in made.derivation
    assert [loss.method for loss in made.losses] == ["ISO_10918_1"]
    shown = cv2.imdecode(np.frombuffer(made.pixel_data, "u1"), cv2.IMREAD_COLOR)
    assert cv2.PSNR(shown, picture()) > 40


def test_a_progressive_jpeg_becomes_baseline_with_the_same_pixels():
    progressive = saved("JPEG", progressive=True)
    made = content.from_file(progressive)
    assert made.derivation == ""
    assert made.pixel_data != progressive
    before, after = (
        np.asarray(Image.open(io.BytesIO(one)), "i2") for one in (progressive, made.pixel_data)
    )
    assert (before == after).all()


def test_a_stream_without_huffman_tables_gets_the_standard_ones():
    whole = standard_jpeg()
    made = content.from_jpeg(without_tables(whole))
    assert made.damaged == made.derivation == ""
    shown, wanted = (cv2.imdecode(np.frombuffer(s, "u1"), 1) for s in (made.pixel_data, whole))
    assert (shown == wanted).all()


def test_zeros_that_a_container_puts_behind_a_picture_go():
    assert content.from_jpeg(jpeg(1) + bytes(9)).pixel_data == jpeg(1)


def test_a_cmyk_jpeg_is_decoded_and_encoded_once_and_says_what_was_lost():
    made = content.from_file(saved("JPEG", "CMYK"))
    assert made.transfer_syntax_uid == JPEG_BASELINE
    assert len(made.losses) == 2
    assert made.derivation


def test_a_grey_jpeg_is_kept_and_called_grey():
    grey = saved("JPEG", "L")
    made = content.from_file(grey)
    assert (made.pixel_data, made.photometric_interpretation) == (grey, "MONOCHROME2")


def test_a_cut_jpeg_is_kept_and_called_damaged():
    made = content.from_file(jpeg(1)[:-40])
    assert (made.pixel_data, made.damaged) == (jpeg(1)[:-40], "The JPEG stream is cut off.")


def bitmap(columns, rows):
    head = struct.pack("<LllHHLLllLL", 40, columns, rows, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<LLL", 54, 0, 54) + head


def png(columns, rows):
    body = b"IHDR" + struct.pack(">LLBBBBB", columns, rows, 8, 2, 0, 0, 0)
    whole = (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">L", 13) + body + struct.pack(">L", zlib.crc32(body))
    )
    return whole + bytes(4) + b"IEND\xae\x42\x60\x82"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"hello", "not a JPEG"),
        (b"\xff\xd8\xff", "corrupt"),
        (jpeg(1)[:20], "corrupt"),
        (png(60_000, 60_000), "no size"),
        (png(16_000, 16_000), "more than"),
        (bitmap(0, 5), "no size"),
        (bitmap(20_000, -20_000), "no size"),
        (bitmap(64, 64), "cannot be decoded"),
        (saved("PNG")[:-30], "cut off"),
        (saved("TIFF")[:20], "damaged"),
        (saved("TIFF", save_all=True, append_images=[Image.fromarray(RGB)]), "several"),
        (b"\x89PNG\r\n\x1a\n" + b"junk" * 10, "does not begin"),
    ],
)
def test_what_is_no_frame_is_refused_in_words(data, words):
    with pytest.raises(FileRefused, match=words):
        content.from_file(data)


@given(st.sampled_from(["PNG", "BMP", "TIFF", "JPEG"]), st.data())
@settings(max_examples=120, deadline=None)
def test_any_damage_of_a_picture_is_refused_or_decoded(kind, data):
    picture = bytearray(saved(kind))
    where = data.draw(st.integers(0, min(300, len(picture))))
    picture[where : where + 4] = data.draw(st.binary(max_size=6))
    with contextlib.suppress(FileRefused):
        content.from_file(bytes(picture[: len(picture) - data.draw(st.integers(0, 60))]))


def with_exif(name, tags):
    image = Image.fromarray(RGB)
    said = image.getexif()
    for tag, text in tags.items():
        (said.get_ifd(0x8769) if tag > 0x9000 else said)[tag] = text
    buffer = io.BytesIO()
    image.save(buffer, name, exif=said)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "tags", "expected"),
    [
        (Kind.JPEG, {0x0131: "x", 0x9003: "2026:01:31 08:15:30", 0x9291: "25"}, "08:15:30.250000"),
        (Kind.PNG, {0x0131: "x", 0x9003: "2026:01:31 08:15:30", 0x9291: "25"}, "08:15:30.250000"),
        (Kind.TIFF, {0x0132: "2026:01:31 08:15:30"}, "08:15:30"),
    ],
)
def test_the_time_a_picture_was_taken_is_read_from_its_exif(kind, tags, expected):
    taken_us = exif.taken_us(kind, with_exif(str(kind), tags))
    assert times.to_datetime(taken_us).isoformat() == f"2026-01-31T{expected}"


@pytest.mark.parametrize("kind", list(Kind))
def test_a_picture_without_a_time_has_none(kind):
    for data in (jpeg(1), b"", b"II*\0\xff\xff\xff\xff", b"\xff\xd8\xff\xe1\0\x10Exif\0\0MM\0*"):
        assert exif.taken_us(kind, data) == times.UNKNOWN
