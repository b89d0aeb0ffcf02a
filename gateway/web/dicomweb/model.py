"""Pure: the DICOM JSON Model (PS3.18 F.2), of matches and of whole data sets."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement

from gateway.dicom import identity, text
from gateway.holdings import keys

BULK_BYTES = 4096
"""Longer binary values, and longer texts nobody reads, are given by their address."""
_BULK_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN", "UT", "UC"})
_INTEGERS = frozenset({"IS", "US", "UL", "SS", "SL"})
_NAME_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
Json = dict[str, Any]


def match(value: Callable[[str], Sequence[str]], fields: Iterable[str], address: str) -> Json:
    """Return one match of a query. address: where it can be had (Retrieve URL)."""
    found: Json = {
        "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
        "00080056": {"vr": "CS", "Value": ["ONLINE"]},
        "00081190": {"vr": "UR", "Value": [address]},
    }
    for keyword in fields:
        vr = keys.BY_KEYWORD[keyword].vr
        values = [_typed(vr, one) for one in value(keyword)]
        tag = tag_for_keyword(keyword)
        found[f"{tag:08X}"] = {"vr": vr, "Value": values} if values else {"vr": vr}
    return dict(sorted(found.items()))


def data_set(ds: Dataset, bulk_address: Callable[[int], str]) -> Json:
    """Return a data set without its pixel data; long values as addresses.

    bulk_address: of a top-level element, by its tag.
    """
    bulk: Json = {}
    for tag in list(ds.keys()):
        element = ds.get_item(tag)
        if _is_bulk(element):
            vr = str(element.VR or "UN")
            bulk[f"{int(tag):08X}"] = {"vr": vr, "BulkDataURI": bulk_address(int(tag))}
            del ds[tag]
    text.decode_all(ds)
    found: Json = {}
    for tag in sorted(ds.keys()):
        if int(tag) & 0xFFFF == 0 or int(tag) == 0x00080005:
            continue
        try:
            found[f"{int(tag):08X}"] = ds[tag].to_json_dict(None, 1 << 30)
        except identity.UNREADABLE:  # a value its VR does not allow: said to be there, no more
            found[f"{int(tag):08X}"] = {"vr": str(ds.get_item(tag).VR or "UN")}
    found["00080005"] = {"vr": "CS", "Value": ["ISO_IR 192"]}
    return dict(sorted({**found, **bulk}.items()))


def _is_bulk(element: DataElement | RawDataElement) -> bool:
    value = element.value
    return element.VR in _BULK_VRS and isinstance(value, bytes | str) and len(value) > BULK_BYTES


def _typed(vr: str, value: str) -> Any:
    if vr == "PN":
        groups = zip(_NAME_GROUPS, value.split("="), strict=False)
        return {name: group for name, group in groups if group}
    try:
        if vr in _INTEGERS:
            return int(value)
        if vr == "DS":
            return float(value)
    except ValueError:
        return None
    return value
