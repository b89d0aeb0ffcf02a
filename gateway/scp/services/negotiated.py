"""Pure: SOP Class Extended Negotiation of Query/Retrieve (PS3.4 C.5.1.1, C.5.2.1, C.5.3.1)."""

from collections.abc import Mapping
from dataclasses import dataclass

from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    PatientRootQueryRetrieveInformationModelFind,
    PatientRootQueryRetrieveInformationModelGet,
    PatientRootQueryRetrieveInformationModelMove,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

FIND = tuple(
    str(uid)
    for uid in (
        PatientRootQueryRetrieveInformationModelFind,
        StudyRootQueryRetrieveInformationModelFind,
    )
)
MOVE = tuple(
    str(uid)
    for uid in (
        PatientRootQueryRetrieveInformationModelMove,
        StudyRootQueryRetrieveInformationModelMove,
    )
)
GET = tuple(
    str(uid)
    for uid in (
        PatientRootQueryRetrieveInformationModelGet,
        StudyRootQueryRetrieveInformationModelGet,
    )
)

_FIND_OFFER = (1, 1)
"""Relational queries, combined date-time matching; not fuzzy matching, not time zones."""
_RETRIEVE_OFFER = (1,)
"""Relational retrieval; no conversion of enhanced multi-frame instances."""


@dataclass(frozen=True)
class Negotiated:
    relational: bool = False
    combined: bool = False

    @classmethod
    def of(cls, sop_class_uid: str, requested: Mapping[str, bytes]) -> "Negotiated":
        """Return what holds for a SOP class. requested: by SOP class, as the requestor said it."""
        agreed = answer({sop_class_uid: requested.get(sop_class_uid, b"")}).get(sop_class_uid, b"")
        return cls(relational=agreed[:1] == b"\1", combined=agreed[1:2] == b"\1")


def answer(requested: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return what we agree to, for the SOP classes of ours that were asked about."""
    agreed = {}
    for uid, wanted in requested.items():
        offer = _FIND_OFFER if uid in FIND else _RETRIEVE_OFFER if uid in (*MOVE, *GET) else ()
        if offer and wanted:
            padded = (*offer, *[0] * len(wanted))
            agreed[str(uid)] = bytes(
                int(one == 1 and ours) for one, ours in zip(wanted, padded, strict=False)
            )
    return agreed
