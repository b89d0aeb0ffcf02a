"""Our application entity in pynetdicom's terms: contexts, time-outs, and one association of it."""

import socket
from collections.abc import Iterable
from typing import Any

from pynetdicom import AE
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import AsynchronousOperationsWindowNegotiation
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    ModalityPerformedProcedureStep,
    StorageCommitmentPushModel,
    Verification,
)
from pynetdicom.transport import AddressInformation, AssociationSocket

from gateway.dicom.storage_classes import (
    DOCUMENT_CLASSES,
    DOCUMENT_TRANSFER_SYNTAXES,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    STORAGE_CLASSES,
    TRANSFER_SYNTAXES,
)
from gateway.dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from gateway.scp.services import negotiated
from gateway.settings import Settings

OPERATIONS_MAX = 64
"""C-STOREs a peer may have under way on one association."""
_COUNTED_ELSEWHERE = 1 << 30


def application_entity(settings: Settings) -> AE:
    """Return what every association of this process is negotiated by."""
    ae = AE(settings.ae_title)
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.maximum_pdu_size = settings.pdu_bytes_max
    ae.maximum_associations = _COUNTED_ELSEWHERE  # gateway.scp.places
    ae.acse_timeout = settings.artim_timeout_s
    ae.dimse_timeout = settings.dimse_timeout_s
    ae.network_timeout = None  # gateway.scp.pace
    ae.add_supported_context(Verification)
    # A destination that reports a commitment is its SCP, so we are the SCU (PS3.4 J.2).
    ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
    for sop_class_uid in (*negotiated.FIND, *negotiated.MOVE, *negotiated.GET):
        ae.add_supported_context(sop_class_uid, [EXPLICIT_LITTLE, IMPLICIT_LITTLE])
    ae.add_supported_context(ModalityPerformedProcedureStep, [EXPLICIT_LITTLE, IMPLICIT_LITTLE])
    for sop_class_uid in STORAGE_CLASSES:
        syntaxes: Iterable[str] = TRANSFER_SYNTAXES
        if sop_class_uid in DOCUMENT_CLASSES:
            syntaxes = DOCUMENT_TRANSFER_SYNTAXES
        # Who retrieves by C-GET asks for the SCP role: then we are the SCU (PS3.4 C.5.3.1).
        ae.add_supported_context(sop_class_uid, list(syntaxes), scu_role=True, scp_role=True)
    return ae


def new_association(ae: AE, connection: socket.socket) -> Any:
    """Return an association on a connection, not started yet. Raises OSError if it is gone.

    It is what pynetdicom's own server would make, without that server: connections come to us
    from another process.
    """
    ours, theirs = connection.getsockname(), connection.getpeername()
    assoc = Association(ae, MODE_ACCEPTOR)
    assoc.name = f"AcceptorThread@{theirs[0]}:{theirs[1]}"
    assoc.set_socket(AssociationSocket(assoc, client_socket=connection))
    acceptor = assoc.acceptor
    acceptor.maximum_length = ae.maximum_pdu_size
    acceptor.ae_title = ae.ae_title
    acceptor.address_info = AddressInformation.from_tuple(ours)
    acceptor.implementation_class_uid = ae.implementation_class_uid
    acceptor.implementation_version_name = ae.implementation_version_name
    acceptor.supported_contexts = ae.supported_contexts  # read only: negotiation makes new ones
    assoc.requestor.address_info = AddressInformation.from_tuple(theirs)
    return assoc


def answer_window(assoc: Any) -> None:
    """Grant an Asynchronous Operations Window (PS3.7 D.3.3.3) if the peer asks for one.

    pynetdicom itself always answers 1: it takes one operation at a time, our reader a group.
    """

    def answer() -> AsynchronousOperationsWindowNegotiation:
        invoked, _performed = assoc.requestor.asynchronous_operations
        item = AsynchronousOperationsWindowNegotiation()
        # 0 asks for no limit (PS3.7 D.3.3.3.1).
        item.maximum_number_operations_invoked = min(invoked or OPERATIONS_MAX, OPERATIONS_MAX)
        item.maximum_number_operations_performed = 1
        return item

    assoc.acse._check_async_ops = answer
