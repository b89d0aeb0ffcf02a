"""Pure: DIMSE status codes as one table of data.

The table decides what a status means for us, is printed in the conformance statement
(PS3.2 N.7.3.2.5) and gives the words on the screen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class StatusClass(StrEnum):
    SUCCESS = "success"
    WARNING = "warning"
    FAILURE = "failure"
    PENDING = "pending"
    CANCEL = "cancel"


@dataclass(frozen=True)
class StatusRange:
    """A run of codes, first to last inclusive, with one meaning. retry: trying again can help."""

    first: int
    last: int
    name: str
    status_class: StatusClass
    meaning: str
    retry: bool = False


SUCCESS = 0x0000
SOP_CLASS_NOT_SUPPORTED = 0x0122
OUT_OF_RESOURCES = 0xA700
CANNOT_UNDERSTAND = 0xC000
DUPLICATE_SOP_INSTANCE = 0x0111
NO_SUCH_INSTANCE = 0x0112
PROCESSING_FAILURE = 0x0110

_F, _W = StatusClass.FAILURE, StatusClass.WARNING

STORE_STATUSES: tuple[StatusRange, ...] = (
    StatusRange(0x0000, 0x0000, "Success", StatusClass.SUCCESS, "stored"),
    StatusRange(0x0105, 0x0107, "Attribute error", _F, "an attribute is missing or wrong"),
    StatusRange(
        0x0110, 0x0110, "Processing failure", _F, "the peer failed while storing", retry=True
    ),
    StatusRange(0x0111, 0x0111, "Duplicate SOP Instance", _W, "the peer already has it"),
    StatusRange(0x0117, 0x0117, "Invalid SOP Instance", _F, "the SOP Instance UID is not a UID"),
    StatusRange(0x0122, 0x0122, "SOP Class not supported", _F, "the peer takes no such objects"),
    StatusRange(0x0124, 0x0124, "Not authorised", _F, "the peer does not allow us to store"),
    StatusRange(
        0x0210, 0x0210, "Duplicate invocation", _F, "the Message ID was in use", retry=True
    ),
    StatusRange(0x0211, 0x0212, "Unrecognised request", _F, "the peer did not understand C-STORE"),
    StatusRange(
        0x0213, 0x0213, "Resource limitation", _F, "the peer is short of resources", retry=True
    ),
    StatusRange(
        0xA700, 0xA7FF, "Out of resources", _F, "no room, or the storage is unavailable", retry=True
    ),
    StatusRange(
        0xA900,
        0xA900,
        "Data set does not match SOP Class",
        _F,
        "an identifying UID is missing or contradicts the request",
    ),
    StatusRange(
        0xA901,
        0xA901,
        "Data set does not match SOP Class",
        _F,
        "this SOP Instance UID is already stored with other contents",
    ),
    StatusRange(
        0xA902,
        0xA9FF,
        "Data set does not match SOP Class",
        _F,
        "the peer finds the object does not fit its class",
    ),
    StatusRange(0xB000, 0xB000, "Coercion of data elements", _W, "stored, with changes"),
    StatusRange(0xB006, 0xB006, "Elements discarded", _W, "stored, without some elements"),
    StatusRange(
        0xB007, 0xB007, "Data set does not match SOP Class", _W, "stored, with a complaint"
    ),
    StatusRange(0xC000, 0xCFFF, "Cannot understand", _F, "the data set could not be read"),
)
"""C-STORE-RSP statuses, PS3.4 B.2.3 and PS3.7 9.1.1.1.9. 0xA901 is ours, inside the A9xx class."""

ACTION_STATUSES: tuple[StatusRange, ...] = (
    StatusRange(0x0000, 0x0000, "Success", StatusClass.SUCCESS, "accepted"),
    StatusRange(
        0x0110, 0x0110, "Processing failure", _F, "the peer failed over the request", retry=True
    ),
    StatusRange(0x0112, 0x0112, "No such SOP Instance", _F, "the peer offers no such service"),
    StatusRange(0x0114, 0x0115, "Bad argument", _F, "the peer did not like the request"),
    StatusRange(0x0117, 0x0119, "Wrong instance or class", _F, "the peer offers no such service"),
    StatusRange(0x0122, 0x0123, "No such action", _F, "the peer offers no such service"),
    StatusRange(0x0124, 0x0124, "Not authorised", _F, "the peer does not allow us to ask"),
    StatusRange(
        0x0210, 0x0210, "Duplicate invocation", _F, "the Message ID was in use", retry=True
    ),
    StatusRange(0x0211, 0x0212, "Unrecognised request", _F, "the peer did not understand it"),
    StatusRange(
        0x0213, 0x0213, "Resource limitation", _F, "the peer is short of resources", retry=True
    ),
)
"""N-ACTION-RSP statuses, PS3.7 10.1.4.1.10, as a Storage Commitment request gets them."""

_UNKNOWN = StatusRange(0x0000, 0xFFFF, "Unknown status", _F, "a status the standard does not list")


def describe(status: int, table: Sequence[StatusRange] = STORE_STATUSES) -> StatusRange:
    """Return the row for a status of C-STORE, or of another table; unlisted is a failure."""
    for row in table:
        if row.first <= status <= row.last:
            return row
    return _UNKNOWN


def is_stored(status: int) -> bool:
    """Tell whether the peer keeps the instance: Success, or a Warning."""
    return describe(status).status_class in (StatusClass.SUCCESS, StatusClass.WARNING)


def in_words(status: int, table: Sequence[StatusRange] = STORE_STATUSES) -> str:
    """Return for instance 'A700 Out of resources: no room, or the storage is unavailable'."""
    row = describe(status, table)
    return f"{status:04X} {row.name}: {row.meaning}"


COMMITMENT_FAILURE_REASONS = {
    0x0110: "processing failure",
    0x0112: "no such object instance",
    0x0119: "class and instance conflict",
    0x0122: "SOP Class not supported",
    0x0131: "duplicate transaction UID",
    0x0213: "resource limitation",
}
"""Failure Reason (0008,1197) in a Storage Commitment result, PS3.3 C.14.1.1."""
