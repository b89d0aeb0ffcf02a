"""Storage Commitment Push Model as SCU (PS3.4 Annex J): the request, and the report."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from gateway.dicom.storage_classes import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from gateway.dimse import data_set as data_sets
from gateway.dimse import pdu
from gateway.dimse.association import Association, Message
from gateway.dimse.negotiation import STORAGE_COMMITMENT_PUSH, Proposal
from gateway.errors import OutcomeUnknown, Undecodable
from gateway.status import COMMITMENT_FAILURE_REASONS

SOP_INSTANCE = "1.2.840.10008.1.20.1.1"
"""The well-known instance that requests and reports are about (PS3.4 J.3.5)."""
PROPOSAL = Proposal(STORAGE_COMMITMENT_PUSH, (EXPLICIT_LITTLE, IMPLICIT_LITTLE))
REFERENCES_MAX = 1000
"""References per request. The standard sets no limit; peers do, and none is known below this."""

_REQUEST_COMMITMENT = 1  # Action Type ID
COMPLETE, FAILURES_EXIST = 1, 2  # Event Type IDs
NO_SUCH_EVENT_TYPE, NO_SUCH_ARGUMENT = 0x0113, 0x0114


@dataclass(frozen=True)
class Reference:
    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True)
class Report:
    """committed: SOP Instance UIDs; failed: SOP Instance UID to the reason in words."""

    transaction_uid: str
    committed: frozenset[str]
    failed: Mapping[str, str]


OnReport = Callable[[Report], int]
"""Takes a report and returns the status it is answered with."""

_UNREADABLE = (ValueError, LookupError, TypeError, AttributeError)
"""What looking into a data set raises that is not the one the standard describes."""


def read_report(data_set: bytes, transfer_syntax_uid: str) -> Report:
    """Read the Event Information of a report (PS3.4 Table J.3-2).

    Raises Undecodable if it cannot be read, or does not say which request it is about.
    """
    try:
        event = data_sets.read(data_set, transfer_syntax_uid)
        transaction_uid = str(event.get("TransactionUID") or "")
        failed = {
            str(item.ReferencedSOPInstanceUID): _reason(item.get("FailureReason"))
            for item in event.get("FailedSOPSequence") or []
        }
        committed = {
            str(item.ReferencedSOPInstanceUID) for item in event.get("ReferencedSOPSequence") or []
        }
    except _UNREADABLE as error:
        raise Undecodable("The Storage Commitment report is not readable.") from error
    if not transaction_uid:
        raise Undecodable("The Storage Commitment report has no Transaction UID.")
    # An instance in both lists is not safe: the failure counts.
    return Report(transaction_uid, frozenset(committed - set(failed)), failed)


def request(
    association: Association,
    transaction_uid: str,
    references: Sequence[Reference],
    on_report: OnReport,
) -> int:
    """Send one N-ACTION request and return its status; reports that come first are taken.

    Raises ContextNotAccepted, naming Storage Commitment; OutcomeUnknown if no answer came.
    """
    context = association.context(PROPOSAL)
    message_id = association.next_message_id()
    command: pdu.Command = {
        pdu.REQUESTED_SOP_CLASS_UID: STORAGE_COMMITMENT_PUSH,
        pdu.COMMAND_FIELD: pdu.N_ACTION_RQ,
        pdu.MESSAGE_ID: message_id,
        pdu.COMMAND_DATA_SET_TYPE: pdu.DATA_SET_PRESENT,
        pdu.REQUESTED_SOP_INSTANCE_UID: SOP_INSTANCE,
        pdu.ACTION_TYPE_ID: _REQUEST_COMMITMENT,
    }
    data_set = data_sets.write(
        _action_information(transaction_uid, references), context.transfer_syntax_uid
    )
    association.send_message(context.context_id, command, data_set)
    while True:
        message = association.receive()
        if message.command.get(pdu.COMMAND_FIELD) == pdu.N_EVENT_REPORT_RQ:
            _take_report(association, message, on_report)
            continue
        status = message.command.get(pdu.STATUS)
        answers = message.command.get(pdu.MESSAGE_ID_BEING_RESPONDED_TO)
        if answers != message_id or not isinstance(status, int):
            raise OutcomeUnknown(f"{association.peer} answered another request than ours.")
        return status


def listen(
    association: Association,
    outstanding: Collection[str],
    on_report: OnReport,
    *,
    timeout_s: float,
) -> bool:
    """Wait for reports on the requesting association; tells whether it can be listened to on.

    outstanding: Transaction UIDs; on_report removes those it takes, and with the last one the
    waiting ends. Most peers report on an association of their own: that nothing comes, or that
    the peer hangs up, is no failure.
    """
    deadline = time.monotonic() + timeout_s
    try:
        while outstanding and association.has_message(deadline - time.monotonic()):
            message = association.receive()
            if message.command.get(pdu.COMMAND_FIELD) != pdu.N_EVENT_REPORT_RQ:
                return False
            _take_report(association, message, on_report)
    except OutcomeUnknown:
        return False
    return True


def _take_report(association: Association, message: Message, on_report: OnReport) -> None:
    """Answer an N-EVENT-REPORT request (PS3.7 10.3.1.2)."""
    command = message.command
    response: dict[int, int | str] = {
        pdu.COMMAND_FIELD: pdu.N_EVENT_REPORT_RSP,
        pdu.MESSAGE_ID_BEING_RESPONDED_TO: command.get(pdu.MESSAGE_ID, 0),
        pdu.COMMAND_DATA_SET_TYPE: pdu.NO_DATA_SET,
        pdu.STATUS: _answer(association, message, on_report),
        pdu.AFFECTED_SOP_CLASS_UID: STORAGE_COMMITMENT_PUSH,
        pdu.AFFECTED_SOP_INSTANCE_UID: SOP_INSTANCE,
    }
    if pdu.EVENT_TYPE_ID in command:
        response[pdu.EVENT_TYPE_ID] = command[pdu.EVENT_TYPE_ID]
    association.send_message(message.context_id, response)


def _answer(association: Association, message: Message, on_report: OnReport) -> int:
    if message.command.get(pdu.EVENT_TYPE_ID) not in (COMPLETE, FAILURES_EXIST):
        return NO_SUCH_EVENT_TYPE
    syntax = association.context(PROPOSAL).transfer_syntax_uid
    try:
        report = read_report(message.data_set, syntax)
    except Undecodable:
        return NO_SUCH_ARGUMENT
    return on_report(report)


def _action_information(transaction_uid: str, references: Sequence[Reference]) -> Dataset:
    assert 0 < len(references) <= REFERENCES_MAX
    information = Dataset()
    information.TransactionUID = transaction_uid
    items = []
    for reference in references:
        item = Dataset()
        item.ReferencedSOPClassUID = reference.sop_class_uid
        item.ReferencedSOPInstanceUID = reference.sop_instance_uid
        items.append(item)
    information.ReferencedSOPSequence = items
    return information


def _reason(value: object) -> str:
    if not isinstance(value, int):
        return "no reason given"
    return COMMITMENT_FAILURE_REASONS.get(value, f"reason {value:04X}")
