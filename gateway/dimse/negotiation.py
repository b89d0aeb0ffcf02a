"""A-ASSOCIATE: what we propose, and what the peer made of it (PS3.8 9.3.2 to 9.3.4).

pynetdicom writes and reads these PDUs; nothing else of it is used here.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
)
from pynetdicom.presentation import PresentationContext, build_context

from gateway.dicom.storage_classes import STORAGE_CLASSES, TRANSFER_SYNTAXES
from gateway.dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from gateway.errors import AssociationRejected

CONTEXTS_MAX = 128
"""Presentation Context IDs are the odd numbers of one byte (PS3.8 9.3.2.2)."""
APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
STORAGE_COMMITMENT_PUSH = "1.2.840.10008.1.20.1"

_REJECTED_PERMANENT = 1
_REJECTION_REASONS = {
    (1, 1): "no reason given",
    (1, 2): "the application context is not supported",
    (1, 3): "our AE title is not known there",
    (1, 7): "the AE title we called is not its own",
    (2, 1): "no reason given",
    (2, 2): "the protocol version is not supported",
    (3, 1): "it is congested just now",
    (3, 2): "it has reached its limit of associations",
}
"""By source and reason (PS3.8 Table 9-21)."""
_CONTEXT_RESULTS = {
    1: "it refuses to",
    2: "it gives no reason",
    3: "it does not know the SOP class",
    4: "it does not take the transfer syntax",
}
"""PS3.8 Table 9-18."""
_MALFORMED = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    NotImplementedError,
    AssertionError,
    struct.error,
)
"""What pynetdicom's decoders raise for bytes that are no A-ASSOCIATE-AC."""


@dataclass(frozen=True)
class Peer:
    """A remote AE, and how we introduce ourselves to it."""

    ae_title: str
    host: str
    port: int
    calling_ae_title: str

    def __str__(self) -> str:
        return f"{self.ae_title} at {self.host}:{self.port}"


@dataclass(frozen=True)
class Proposal:
    """A presentation context: the peer chooses one of the transfer syntaxes, or none."""

    sop_class_uid: str
    transfer_syntax_uids: tuple[str, ...]


@dataclass(frozen=True)
class AcceptedContext:
    context_id: int
    transfer_syntax_uid: str


@dataclass(frozen=True)
class Agreement:
    """accepted: per proposal; refused: per proposal, why not, in words.

    pdu_bytes_max: what the peer takes; 0 is no limit.
    """

    accepted: Mapping[Proposal, AcceptedContext]
    refused: Mapping[Proposal, str]
    pdu_bytes_max: int


def request_pdu(peer: Peer, proposals: Sequence[Proposal], *, pdu_bytes_max: int) -> bytes:
    """Return the A-ASSOCIATE-RQ; pdu_bytes_max: the longest PDU we take."""
    assert 0 < len(proposals) <= CONTEXTS_MAX
    request = A_ASSOCIATE()
    request.application_context_name = APPLICATION_CONTEXT
    request.calling_ae_title = peer.calling_ae_title
    request.called_ae_title = peer.ae_title
    request.presentation_context_definition_list = [
        _context(2 * index + 1, proposal) for index, proposal in enumerate(proposals)
    ]
    length = MaximumLengthNotification()
    length.maximum_length_received = pdu_bytes_max
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    version = ImplementationVersionNameNotification()
    version.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    request.user_information = [length, implementation, version]
    return bytes(A_ASSOCIATE_RQ(request).encode())


def read_acceptance(pdu: bytes, proposals: Sequence[Proposal]) -> Agreement:
    """Read an A-ASSOCIATE-AC, its six-byte header included. Raises ValueError if it is none."""
    try:
        decoded = A_ASSOCIATE_AC()
        decoded.decode(pdu)
        answer = decoded.to_primitive()
        results = {
            context.context_id: (context.result, [str(uid) for uid in context.transfer_syntax])
            for context in answer.presentation_context_definition_results_list
        }
        pdu_bytes_max = int(answer.maximum_length_received or 0)
    except _MALFORMED as error:
        raise ValueError("the answer to the association request is not readable") from error
    if not results:
        raise ValueError("the answer to the association request has no presentation contexts")
    accepted: dict[Proposal, AcceptedContext] = {}
    refused: dict[Proposal, str] = {}
    for index, proposal in enumerate(proposals):
        context_id = 2 * index + 1
        result, chosen = results.get(context_id, (None, []))
        if result == 0 and len(chosen) == 1 and chosen[0] in proposal.transfer_syntax_uids:
            accepted[proposal] = AcceptedContext(context_id, chosen[0])
        else:
            refused[proposal] = _CONTEXT_RESULTS.get(result or 0, "it answers none of ours")
    return Agreement(accepted, refused, pdu_bytes_max)


def read_rejection(pdu: bytes, peer: Peer) -> AssociationRejected:
    """Read an A-ASSOCIATE-RJ (PS3.8 9.3.4)."""
    result, source, reason = pdu[7:10]
    words = _REJECTION_REASONS.get((source, reason), f"reason {reason} of source {source}")
    permanent = result == _REJECTED_PERMANENT
    kind = "for good" if permanent else "for now"
    return AssociationRejected(
        f"{peer} rejects the association {kind}: {words}.", permanent=permanent
    )


def name_of(proposal: Proposal) -> str:
    """Return for instance 'Video Endoscopic Image in JPEG Baseline (Process 1)'."""
    known = {**STORAGE_CLASSES, STORAGE_COMMITMENT_PUSH: "Storage Commitment"}
    syntaxes = (TRANSFER_SYNTAXES.get(uid, uid) for uid in proposal.transfer_syntax_uids)
    sop_class_uid = proposal.sop_class_uid
    return f"{known.get(sop_class_uid, sop_class_uid)} in {' or '.join(syntaxes)}"


def _context(context_id: int, proposal: Proposal) -> PresentationContext:
    context = build_context(proposal.sop_class_uid, list(proposal.transfer_syntax_uids))
    context.context_id = context_id
    return context
