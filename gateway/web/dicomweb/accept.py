"""Pure: what a client wants back: the Accept header of PS3.18 8.3.3 and 8.7."""

from collections.abc import Sequence
from dataclasses import dataclass

from werkzeug.http import parse_list_header, parse_options_header

from gateway.dicom.storage_classes import EXPLICIT_LITTLE, IMPLICIT_LITTLE

CHOICES_MAX = 64
DICOM, OCTETS, JSON, JPEG, PNG = (
    "application/dicom",
    "application/octet-stream",
    "application/dicom+json",
    "image/jpeg",
    "image/png",
)
ANY = "*/*"
LOSSY = frozenset(f"1.2.840.10008.1.2.4.{suffix}" for suffix in ("50", "51", "81", "91", "203"))
NATIVE = frozenset({EXPLICIT_LITTLE, IMPLICIT_LITTLE})
_IMAGES = {
    "image/jpeg": ("50", "51", "57", "70"),
    "image/jls": ("80", "81"),
    "image/jp2": ("90", "91"),
    "image/jphc": ("201", "202", "203"),
}
IMAGE_TYPES = {
    **{
        f"1.2.840.10008.1.2.4.{suffix}": media_type
        for media_type, suffixes in _IMAGES.items()
        for suffix in suffixes
    },
    "1.2.840.10008.1.2.5": "image/dicom-rle",
}
"""Media type of one frame by its transfer syntax (PS3.18 8.7.3.3.2)."""


@dataclass(frozen=True)
class Choice:
    """One acceptable form. transfer_syntax: a UID, * for any, empty where it was not said."""

    media_type: str
    transfer_syntax: str = ""
    multipart: bool = False

    @property
    def is_any(self) -> bool:
        return self.media_type == ANY


@dataclass(frozen=True)
class Form:
    """How an instance, or a frame, is given. stored: as its bytes lie in the file."""

    media_type: str
    transfer_syntax: str
    stored: bool
    multipart: bool


def choices(headers: Sequence[str]) -> list[Choice]:
    """Read Accept headers, best first; anything is acceptable where there is none.

    What cannot be read is left out.
    """
    found: list[tuple[float, Choice]] = []
    for text in headers:
        for one in parse_list_header(text)[:CHOICES_MAX]:
            media_type, options = parse_options_header(one)
            quality = _quality(options.get("q", "1"))
            if media_type and quality > 0:
                found.append((quality, _choice(media_type.lower(), options)))
    if not found:
        return [] if any(text.strip() for text in headers) else [Choice(ANY, multipart=True)]
    return [choice for _, choice in sorted(found, key=lambda one: -one[0])]


def frame_form(wanted: Sequence[Choice], stored: str, *, convertible: bool) -> Form | None:
    """Choose how frames are given; None if no choice fits.

    stored: their transfer syntax. convertible: whether they can be decoded for the client.
    """
    native = stored in NATIVE
    media_type = OCTETS if native else IMAGE_TYPES.get(stored, OCTETS)
    for one in wanted:
        fits = one.transfer_syntax in ("", "*", stored)
        if one.is_any or (one.media_type == media_type and not native and fits):
            return Form(media_type, stored, stored=True, multipart=one.multipart)
        if one.media_type != OCTETS:
            continue
        if one.transfer_syntax in ("*", stored) or (
            native and one.transfer_syntax in ("", *NATIVE)
        ):
            return Form(media_type, stored, stored=True, multipart=one.multipart)
        if convertible and one.transfer_syntax in ("", EXPLICIT_LITTLE, IMPLICIT_LITTLE):
            return Form(OCTETS, EXPLICIT_LITTLE, stored=False, multipart=one.multipart)
    return None


def instance_form(wanted: Sequence[Choice], stored: str) -> Form | None:
    """Choose how an instance is given as DICOM; None if no choice fits.

    Where no transfer syntax is asked for, it is Explicit VR Little Endian, unless only a lossy
    form is there (PS3.18 8.7.3.5.2).
    """
    for one in wanted:
        if not one.is_any and one.media_type != DICOM:
            continue
        if one.is_any or one.transfer_syntax in ("*", stored):
            return Form(DICOM, stored, stored=True, multipart=one.multipart)
        syntax = one.transfer_syntax
        if not syntax:
            syntax = stored if stored in LOSSY or stored in NATIVE else EXPLICIT_LITTLE
        if syntax == stored or syntax in NATIVE:
            return Form(DICOM, syntax, stored=syntax == stored, multipart=one.multipart)
    return None


def picture_type(wanted: Sequence[Choice]) -> str | None:
    """Choose the media type of a rendered frame; None if no choice fits."""
    for one in wanted:
        if one.is_any or one.media_type in (JPEG, "image/*"):
            return JPEG
        if one.media_type == PNG:
            return PNG
    return None


def takes_json(wanted: Sequence[Choice]) -> bool:
    return any(one.is_any or one.media_type in (JSON, "application/json") for one in wanted)


def _choice(media_type: str, options: dict[str, str]) -> Choice:
    syntax = options.get("transfer-syntax", "")
    if media_type in (ANY, "multipart/*"):
        return Choice(ANY, multipart=True)
    if media_type == "multipart/related":
        part = options.get("type", "").lower()
        return Choice(part or ANY, syntax, multipart=True)
    return Choice(media_type, syntax)


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
