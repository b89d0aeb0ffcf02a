"""Pure: what must be true of an instance before it is kept."""

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
    values = {
        "SOP Instance UID": found.text(header.SOP_INSTANCE_UID),
        "Study Instance UID": found.text(header.STUDY_INSTANCE_UID),
        "Series Instance UID": found.text(header.SERIES_INSTANCE_UID),
    }
    for name, uid in values.items():
        if not uid:
            raise IdentityMissing(f"The data set has no {name}.")
        if not uids.is_valid(uid):
            raise IdentityMissing(f"The {name} is not a UID.")
    if values["SOP Instance UID"] != request.sop_instance_uid:
        raise IdentityMissing("The SOP Instance UID is not the one the request named.")
    if found.text(header.SOP_CLASS_UID) != request.sop_class_uid:
        raise IdentityMissing("The SOP Class UID is not the one the request named.")
    return values["Study Instance UID"], values["Series Instance UID"]
