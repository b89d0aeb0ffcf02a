"""Pure: what must be true of an instance before it is kept."""

from functools import lru_cache

from gateway.dicom import header, uids
from gateway.dicom.header import Header
from gateway.errors import IdentityMissing, InvalidInstanceUid
from gateway.scp.wire.command import StoreRequest


def checked_identity(found: Header, request: StoreRequest) -> tuple[str, str]:
    """Return (Study, Series Instance UID) of an instance whose identity is complete and legal.

    Raises InvalidInstanceUid or IdentityMissing.
    """
    if not uids.is_valid(request.sop_instance_uid):
        raise InvalidInstanceUid("The Affected SOP Instance UID is not a UID.")
    values = found.values
    uid = header.text(values.get(header.SOP_INSTANCE_UID, b""))
    if uid != request.sop_instance_uid:
        _checked("SOP Instance UID", uid)
        raise IdentityMissing("The SOP Instance UID is not the one the request named.")
    return _belonging(
        values.get(header.STUDY_INSTANCE_UID, b""),
        values.get(header.SERIES_INSTANCE_UID, b""),
        values.get(header.SOP_CLASS_UID, b""),
        request.sop_class_uid,
    )


@lru_cache(maxsize=256)
def _belonging(
    study: bytes, series: bytes, sop_class: bytes, sop_class_uid: str
) -> tuple[str, str]:
    """Check what all instances of a series share: once for all of them."""
    belongs = (
        _checked("Study Instance UID", header.text(study)),
        _checked("Series Instance UID", header.text(series)),
    )
    if header.text(sop_class) != sop_class_uid:
        raise IdentityMissing("The SOP Class UID is not the one the request named.")
    return belongs


def _checked(name: str, uid: str) -> str:
    if not uid:
        raise IdentityMissing(f"The data set has no {name}.")
    if not uids.is_valid(uid):
        raise IdentityMissing(f"The {name} is not a UID.")
    return uid
