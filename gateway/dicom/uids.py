"""Pure: UIDs that are checked before use, and UIDs that follow from what they name."""

import re
import uuid

IMPLEMENTATION_CLASS_UID = "2.25.190846703459386193386402583219430612482"
IMPLEMENTATION_VERSION_NAME = "CAPSULEGW_0_1"

_UID = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+")
_NAMESPACE = uuid.UUID("8f93c7a2-5b0e-5d0c-9a55-3f6f1f0e7a11")


def is_valid(uid: str) -> bool:
    """Tell whether a text is a UID: digits and dots, no leading zeros, at most 64 (PS3.5 9.1).

    A valid UID is also safe as a file name.
    """
    return len(uid) <= 64 and _UID.fullmatch(uid) is not None


def derived(*names: object) -> str:
    """Return the UID that belongs to these names for ever: '2.25.' and a UUIDv5 (PS3.5 B.2)."""
    joined = "|".join(f"{len(str(name))}:{name}" for name in names)
    return f"2.25.{uuid.uuid5(_NAMESPACE, joined).int}"
