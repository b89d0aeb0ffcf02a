"""Pure: reading the Identifier of a request, and whether the model allows to ask it."""

from collections.abc import Sequence
from io import BytesIO

from pydicom import Dataset
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.multival import MultiValue
from pynetdicom.dsutils import decode
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    PatientRootQueryRetrieveInformationModelFind,
    PatientRootQueryRetrieveInformationModelGet,
    PatientRootQueryRetrieveInformationModelMove,
)

from gateway.dicom import identity, matching, text
from gateway.errors import QueryInvalid
from gateway.holdings import keys
from gateway.holdings.identifier import Identifier
from gateway.holdings.keys import Level

PATIENT_ROOT = frozenset(
    str(uid)
    for uid in (
        PatientRootQueryRetrieveInformationModelFind,
        PatientRootQueryRetrieveInformationModelGet,
        PatientRootQueryRetrieveInformationModelMove,
    )
)
KEYS_MAX = 1000
"""Elements of an Identifier; PS3.6 knows some 5,000, no query uses a hundred."""


def read(
    encoded: bytes, sop_class_uid: str, *, implicit: bool, relational: bool, retrieving: bool
) -> Identifier:
    """Read an Identifier in Little Endian and check it against the model.

    relational: whether that was negotiated; else every level above must be named by one unique
    key (PS3.4 C.4.1.2.1). retrieving: whether the level itself must be named, too.

    Raises QueryInvalid.
    """
    try:
        ds = decode(BytesIO(encoded), implicit, True)
        declared = _texts(ds, keys.CHARACTER_SET)
        text.decode_all(ds)
        identifier = _identifier(ds, declared)
    except identity.UNREADABLE as error:
        raise QueryInvalid(f"The Identifier cannot be read: {error}.") from error
    top = Level.PATIENT if sop_class_uid in PATIENT_ROOT else Level.STUDY
    _check(identifier, top, relational=relational, retrieving=retrieving)
    return identifier


def _identifier(ds: Dataset, declared: Sequence[str]) -> Identifier:
    if len(ds) > KEYS_MAX:
        raise QueryInvalid(f"The Identifier has more than {KEYS_MAX} elements.")
    named = "".join(_texts(ds, keys.LEVEL_TAG)).strip(" \0")
    try:
        level = Level[named]
    except KeyError as error:
        raise QueryInvalid(f"There is no Query/Retrieve Level {named[:16]!r}.") from error
    found: dict[str, str] = {}
    unsupported = False
    for tag in sorted(ds.keys()):
        if tag in keys.ALWAYS_ANSWERED or tag & 0xFFFF == 0:
            continue
        key = keys.BY_TAG.get(int(tag))
        if key is None or key.level > level:
            unsupported = True
        else:
            found[key.keyword] = "\\".join(_texts(ds, tag)).strip(" \0")
    return Identifier(level, found, unsupported, declared)


def _check(identifier: Identifier, top: Level, *, relational: bool, retrieving: bool) -> None:
    level = identifier.level
    if level < top:
        raise QueryInvalid(f"Study Root knows no level {level.name}.")
    for above in Level:
        unique = keys.UNIQUE[above]
        values = identifier.values(unique)
        if above < top or above > level or (above == level and not retrieving):
            continue
        if not values and (above == level or not relational):
            raise QueryInvalid(f"{level.name} level needs {unique}.")
        if above < level and not relational and len(values) != 1:
            raise QueryInvalid(f"{level.name} level needs one {unique}, not {len(values)}.")
        if retrieving and any(matching.has_wildcards(one) for one in values):
            raise QueryInvalid(f"{unique} has wildcards; retrieving needs the value itself.")


def _texts(ds: Dataset, tag: int) -> list[str]:
    """Return the values of an element as text, whatever it is encoded as."""
    element = ds.get_item(tag) if tag in ds else None
    if element is None or element.value is None or _vr(tag) == "SQ":
        return []
    value = element.value
    if isinstance(element, RawDataElement) and isinstance(value, bytes):
        if _vr(tag) == "US":
            pairs = range(0, len(value) - 1, 2)
            return [str(int.from_bytes(value[at : at + 2], "little")) for at in pairs]
        return value.decode("ascii", "replace").rstrip(" \0").split("\\")
    return [str(one) for one in value] if isinstance(value, MultiValue) else [str(value)]


def _vr(tag: int) -> str:
    vr = dictionary_VR(tag) if dictionary_has_tag(tag) else "UN"
    return "US" if vr.startswith("US") else vr
