"""C-FIND as a requestor (PS3.4 C.4.1 and K.4.1, PS3.7 9.3.2)."""

from collections.abc import Iterator

from pydicom.dataset import Dataset

from gateway.dicom.storage_classes import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from gateway.dimse import data_set, pdu
from gateway.dimse.association import Association
from gateway.dimse.negotiation import Proposal
from gateway.errors import OutcomeUnknown, QueryRefused

MODALITY_WORKLIST = "1.2.840.10008.5.1.4.31"
STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
_PENDING = (0xFF00, 0xFF01)
_SUCCESS = 0x0000


def proposal(sop_class_uid: str) -> Proposal:
    return Proposal(sop_class_uid, (EXPLICIT_LITTLE, IMPLICIT_LITTLE))


def find(
    association: Association, sop_class_uid: str, identifier: Dataset, *, matches_max: int
) -> list[Dataset]:
    """Return what matches an identifier, its text decoded by the character set it declares.

    Raises ContextNotAccepted; QueryRefused if the peer says no, or finds more than matches_max:
    the association is fit for nothing but an abort then; OutcomeUnknown if it goes silent.
    """
    return list(matches(association, sop_class_uid, identifier, matches_max=matches_max))


def matches(
    association: Association, sop_class_uid: str, identifier: Dataset, *, matches_max: int
) -> Iterator[Dataset]:
    """Yield what matches as it comes; raises as `find` does."""
    context = association.context(proposal(sop_class_uid))
    message_id = association.next_message_id()
    command: pdu.Command = {
        pdu.AFFECTED_SOP_CLASS_UID: sop_class_uid,
        pdu.COMMAND_FIELD: pdu.C_FIND_RQ,
        pdu.MESSAGE_ID: message_id,
        pdu.PRIORITY: pdu.MEDIUM,
        pdu.COMMAND_DATA_SET_TYPE: pdu.DATA_SET_PRESENT,
    }
    association.is_idle = False
    association.send_message(
        context.context_id, command, data_set.write(identifier, context.transfer_syntax_uid)
    )
    count = 0
    while True:
        message = association.receive()
        status = message.command.get(pdu.STATUS)
        answers = message.command.get(pdu.MESSAGE_ID_BEING_RESPONDED_TO)
        if message.command.get(pdu.COMMAND_FIELD) != pdu.C_FIND_RSP or answers != message_id:
            raise OutcomeUnknown(f"{association.peer} answered another request than ours.")
        if status not in _PENDING:
            break
        if count >= matches_max:
            raise QueryRefused(f"{association.peer} finds more than {matches_max} matches.")
        count += 1
        try:
            yield data_set.read(message.data_set, context.transfer_syntax_uid)
        except ValueError as error:
            raise OutcomeUnknown(f"{association.peer} sent an unreadable match.") from error
    association.is_idle = True
    if status != _SUCCESS:
        words = f"{status:04X}" if isinstance(status, int) else "nothing"
        raise QueryRefused(f"{association.peer} answered the query with status {words}.")
