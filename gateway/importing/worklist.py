"""Asking a Modality Worklist for the order behind an accession number (PS3.4 Annex K)."""

import re

from pydicom import Dataset

from gateway.dimse import find_scu
from gateway.dimse.association import open_association
from gateway.dimse.connection import Timeouts
from gateway.dimse.negotiation import Peer
from gateway.errors import ConfigurationError, OrderIncomplete
from gateway.importing import order
from gateway.importing.order import Order

MATCHES_MAX = 100
"""Of one accession number: a handful of procedure steps."""
TIMEOUTS = Timeouts(connect_s=10, associate_s=15, message_s=30)
_ADDRESS = re.compile(r"([^:\s]+):(\d{1,5}):([^:\\]{1,16})")


def peer_of(address: str, *, calling_ae_title: str) -> Peer:
    """Read HOST:PORT:AE_TITLE. Raises ConfigurationError."""
    match = _ADDRESS.fullmatch(address)
    if match is None or not 0 < int(match[2]) < 65536:
        raise ConfigurationError("A worklist is named HOST:PORT:AE_TITLE.")
    return Peer(match[3], match[1], int(match[2]), calling_ae_title)


def look_up(peer: Peer, accession_number: str) -> Order:
    """Return the one order of this accession number.

    Raises OrderIncomplete if there is none, or more than one; SendError if the worklist cannot
    be asked.
    """
    if re.search(r"[*?\\]", accession_number):
        raise OrderIncomplete("An accession number with * or ? would match many orders.")
    proposal = find_scu.proposal(find_scu.MODALITY_WORKLIST)
    with open_association(peer, [proposal], timeouts=TIMEOUTS) as association:
        found = find_scu.find(
            association, find_scu.MODALITY_WORKLIST, _identifier(accession_number),
            matches_max=MATCHES_MAX,
        )  # fmt: skip
    # A worklist that ignores the key answers with everything it has.
    items = [
        one for one in found if str(one.get("AccessionNumber", "")).strip() == accession_number
    ]
    orders = [order.from_worklist(one) for one in items]
    if not orders:
        raise OrderIncomplete(f"{peer} has no order with this accession number.")
    named = {(one.patient_id, one.study_instance_uid) for one in orders}
    if len(named) > 1:
        raise OrderIncomplete(f"{peer} has several orders with this accession number.")
    return orders[0]


def _identifier(accession_number: str) -> Dataset:
    """Return the matching key, and as empty ones what is asked for (PS3.4 Table K.6-1)."""
    step = Dataset()
    for keyword in (
        "Modality", "ScheduledStationAETitle", "ScheduledProcedureStepStartDate",
        "ScheduledProcedureStepStartTime", "ScheduledProcedureStepDescription",
        "ScheduledProcedureStepID",
    ):  # fmt: skip
        setattr(step, keyword, "")
    query = Dataset()
    query.SpecificCharacterSet = "ISO_IR 192"
    query.AccessionNumber = accession_number
    for keyword in (
        "ReferringPhysicianName", "PatientName", "PatientID", "PatientBirthDate", "PatientSex",
        "StudyInstanceUID", "RequestedProcedureDescription", "RequestedProcedureID",
    ):  # fmt: skip
        setattr(query, keyword, "")
    query.ScheduledProcedureStepSequence = [step]
    return query
