"""C-GET as an SCP (PS3.4 C.4.3): C-STORE requests on the association they were asked for on."""

from typing import NamedTuple

from gateway import log
from gateway.dimse import pdu
from gateway.dimse.store_scu import request_command
from gateway.dimse.stored import StoredInstance
from gateway.errors import (
    GatewayError,
    IntegrityError,
    NotConvertible,
    RequestorGone,
    StorageError,
)
from gateway.holdings.held import Holdings
from gateway.holdings.rewritten import Rewritten
from gateway.holdings.selection import Item
from gateway.scp.services.negotiated import Negotiated
from gateway.scp.services.operation import Operation
from gateway.scp.services.retrieve import FALLBACKS, Progress, chosen, refuse, stream

_MESSAGE_ID_MAX = 65_535
_logger = log.get(__name__)


def serve(operation: Operation, encoded: bytes, held: Holdings, negotiated: Negotiated) -> None:
    """Answer a C-GET request. Raises RequestorGone."""
    try:
        selection = chosen(operation, encoded, held, negotiated)
    except RequestorGone:
        raise
    except GatewayError as error:
        refuse(operation, error)
        return
    progress = Progress(operation, len(selection))
    contexts = operation.storage_contexts()
    for number, item in enumerate(selection, start=1):
        if operation.is_cancelled:
            break
        instance = item.instance
        syntaxes = (instance.transfer_syntax_uid, *FALLBACKS)
        syntax = next((one for one in syntaxes if (instance.sop_class_uid, one) in contexts), None)
        if syntax is None:
            progress.not_sent(instance.sop_instance_uid)
            continue
        try:
            message_id = (operation.message_id + number) % _MESSAGE_ID_MAX + 1
            context = _Context(contexts[instance.sop_class_uid, syntax], syntax)
            _send(operation, held, item, context, message_id)
        except (StorageError, NotConvertible) as error:  # nothing of it has left yet
            _logger.error(
                "retrieve.not-sent",
                instance=instance.sop_instance_uid,
                code=error.code,
                error=str(error),
            )
            progress.not_sent(instance.sop_instance_uid)
            continue
        progress.sent(instance.sop_instance_uid, operation.stored(message_id))
    progress.finish()
    _logger.info(
        "retrieve.got",
        calling=operation.calling_ae_title,
        completed=progress.completed,
        failed=len(progress.failed),
    )


class _Context(NamedTuple):
    context_id: int
    transfer_syntax_uid: str


def _send(
    operation: Operation, held: Holdings, item: Item, context: _Context, message_id: int
) -> None:
    """Send one C-STORE request, read from disk as it goes.

    Raises StorageError or NotConvertible before anything of it left; RequestorGone after that:
    half an instance cannot be taken back, so the association on which it stopped is aborted.
    """
    with stream(held, item, context.transfer_syntax_uid) as data_set:
        command = request_command(item.instance, message_id)
        operation.say(context.context_id, pdu.COMMAND, command)
        remaining = data_set.size_bytes
        while remaining:
            data = _read(operation, data_set, min(remaining, operation.room))
            remaining -= len(data)
            if not remaining:
                _verify(operation, data_set)
            operation.say_fragment(context.context_id, 0 if remaining else pdu.LAST, data)
        operation.flush(is_answered=True)


def _read(operation: Operation, stored: StoredInstance | Rewritten, count: int) -> bytes:
    buffer = bytearray(count)
    view = memoryview(buffer)
    while view:
        try:
            read = stored.readinto(view)
            if not read:
                raise IntegrityError("The data set ends before its recorded length.")
        except StorageError as error:
            _give_up(operation, error)
        view = view[read:]
    return bytes(buffer)


def _verify(operation: Operation, stored: StoredInstance | Rewritten) -> None:
    try:
        stored.verify()
    except IntegrityError as error:
        _give_up(operation, error)


def _give_up(operation: Operation, error: StorageError) -> None:
    _logger.error("retrieve.damaged", code=error.code, error=str(error))
    operation.abort()
    raise RequestorGone("The association was aborted: an instance is damaged.") from error
