"""Pure: the text of a data set decoded in place, and what is doubtful about it."""

import re
from collections.abc import Iterator, Sequence

from pydicom import Dataset, config
from pydicom.datadict import dictionary_has_tag, dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.tag import Tag

from gateway.dicom import charsets
from gateway.dicom.charsets import CharacterSets
from gateway.model import TextOrigin

TEXT_VRS = frozenset({"PN", "LO", "SH", "ST", "LT", "UC", "UT"})
IDENTIFYING = ("PatientName", "PatientID", "AccessionNumber")
GROUP_LENGTH, GROUPS_MAX, COMPONENTS_MAX = 64, 3, 5
"""Of a Person Name (PS3.5 6.2.1)."""
_SPECIFIC_CHARACTER_SET = Tag(0x0008, 0x0005)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_PRIVATE_USE = re.compile(r"[\ue000-\uf8ff\U000f0000-\U0010ffff]")


def decode(ds: Dataset, keywords: Sequence[str], *, override: str = "") -> TextOrigin:
    """Decode text elements of a data set that was just read, items of sequences too.

    ds: changed in place. keywords: of the elements to decode.
    """
    tags = [Tag(keyword) for keyword in keywords if Tag(keyword) in ds]
    declared = _declared(ds)
    raws = {tag: raw for tag in tags if (raw := _raw(ds, tag)) is not None}
    samples = [*raws.values(), *_inner_samples(ds, tags)]
    sets = charsets.choose(samples, declared, override)
    doubts, originals = {}, {}
    for tag in tags:
        doubt = _decode_element(ds, tag, sets, override)
        keyword = keyword_for_tag(tag)
        if doubt:
            doubts[keyword] = doubt
        if keyword in IDENTIFYING and tag in raws and (doubt or not raws[tag].isascii()):
            originals[keyword] = raws[tag].hex()
    return TextOrigin(
        declared="\\".join(declared),
        read_as=str(sets),
        because=str(sets.reason),
        originals=originals,
        doubts=doubts,
    )


def decode_all(ds: Dataset, *, override: str = "") -> None:
    """Decode every text element; the data set is in ISO_IR 192 from then on."""
    tags = list(ds.keys())
    samples = [raw for tag in tags if (raw := _raw(ds, tag)) is not None]
    sets = charsets.choose([*samples, *_inner_samples(ds, tags)], _declared(ds), override)
    _decode_item(ds, sets, override)
    ds.SpecificCharacterSet = charsets.UTF_8


def doubt_of(keyword: str, vr: str, text: str) -> str:
    """Say what may be wrong with a decoded value; empty if nothing.

    vr: PN has rules of its own.
    """
    if "\ufffd" in text:
        return "Some of its bytes are no characters of any set that fits."
    if _PRIVATE_USE.search(text):
        return "It holds characters of a private area, which other systems show differently."
    if _CONTROL.search(text):
        return "It holds control characters, which are left out."
    if keyword in IDENTIFYING and _lost(text):
        return "It holds question marks where the source seems to have lost characters."
    return _doubt_of_name(text) if vr == "PN" else ""


def _doubt_of_name(text: str) -> str:
    for name in text.split("\\"):
        groups = name.split("=")
        if len(groups) > GROUPS_MAX:
            return "It has more than three component groups; the first three are sent."
        if any(len(group) > GROUP_LENGTH for group in groups):
            return "A component group is longer than 64 characters and is cut to them."
        if any(group.count("^") >= COMPONENTS_MAX for group in groups):
            return "A component group has more than five components."
    return ""


def _lost(text: str) -> bool:
    groups = text.split("=")
    return "??" in text or any("?" in group for group in groups[1:])


def _decode_item(ds: Dataset, sets: CharacterSets, override: str) -> None:
    for tag in list(ds.keys()):
        _decode_element(ds, tag, sets, override)
    if _SPECIFIC_CHARACTER_SET in ds:
        del ds[_SPECIFIC_CHARACTER_SET]  # an item is written in the set of the whole from now on


def _decode_element(ds: Dataset, tag: int, sets: CharacterSets, override: str) -> str:
    """Decode one element; returns what is doubtful about it."""
    raw = _raw(ds, tag)
    if raw is None:
        if _vr(ds, tag) == "SQ":
            for item in ds[tag].value:
                own = _declared(item)
                inner = sets if not own else charsets.choose(_samples(item), own, override)
                _decode_item(item, inner, override)
        return ""
    doubt, vr = "", _vr(ds, tag)
    try:
        value = sets.decode(raw)
        if sets.doubtful and not raw.isascii():
            doubt = f"Read as {sets} by its bytes, which may mean something else."
    except UnicodeDecodeError:
        value, doubt = _alone(raw, sets)
    ds[tag] = DataElement(tag, vr, value, validation_mode=config.IGNORE)
    return doubt_of(keyword_for_tag(tag), vr, value) or doubt


def _alone(raw: bytes, sets: CharacterSets) -> tuple[str, str]:
    """Decode a value that is not in the set of the others."""
    own = charsets.choose([raw], ())
    try:
        return own.decode(raw), f"Read as {own} by its bytes, other than the rest ({sets})."
    except UnicodeDecodeError:
        return charsets.decode_damaged(raw, sets.terms), ""


def _declared(ds: Dataset) -> list[str]:
    element = ds.get_item(_SPECIFIC_CHARACTER_SET) if _SPECIFIC_CHARACTER_SET in ds else None
    if element is None or element.value is None:
        return []
    value = element.value
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace").strip("\0 ").split("\\")
    return [value] if isinstance(value, str) else [str(one) for one in value]


def _vr(ds: Dataset, tag: int) -> str:
    found = ds.get_item(tag).VR
    if found in (None, "UN"):
        return dictionary_VR(tag) if dictionary_has_tag(tag) else "UN"
    return str(found)


def _raw(ds: Dataset, tag: int) -> bytes | None:
    """Return the bytes of a text element nobody has decoded yet; None if it is not one."""
    element = ds.get_item(tag)
    if not isinstance(element, RawDataElement) or not isinstance(element.value, bytes):
        return None
    return element.value if _vr(ds, tag) in TEXT_VRS else None


def _inner_samples(ds: Dataset, tags: Sequence[int]) -> Iterator[bytes]:
    """Yield raw text of items that declare no set of their own."""
    for tag in tags:
        if _vr(ds, tag) == "SQ":
            for item in ds[tag].value:
                if not _declared(item):
                    yield from _samples(item)


def _samples(ds: Dataset) -> list[bytes]:
    tags = list(ds.keys())  # iterating over the data set itself would decode all of it
    own = [raw for tag in tags if (raw := _raw(ds, tag)) is not None]
    return [*own, *_inner_samples(ds, tags)]
