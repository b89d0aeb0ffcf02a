"""`transfer`: what is on its way, and why it is not."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from gateway.cli import opening
from gateway.cli.tables import AsJson, show, show_one
from gateway.ledger.queries import transfers as queries
from gateway.ledger.queries.transfers import TransferLine
from gateway.ledger.transitions import transfers as transitions
from gateway.model import TransferState
from gateway.status import in_words

app = typer.Typer(help="Transfers of studies to destinations.", no_args_is_help=True)

TransferId = Annotated[int, typer.Argument(metavar="TRANSFER_ID")]


@app.command("list")
def list_transfers(
    state: TransferState | None = None, limit: int = 50, as_json: AsJson = False
) -> None:
    """List transfers, the latest change first."""
    with opening.current_ledger().reading() as session:
        rows = [_row(line) for line in queries.lines(session, state=state, limit=limit)]
    show(rows, as_json=as_json, empty="No transfer yet.")


@app.command("show")
def show_transfer(transfer_id: TransferId, as_json: AsJson = False) -> None:
    """Show one transfer and the instances that were not taken."""
    with opening.current_ledger().reading() as session:
        line = queries.line(session, transfer_id)
        troubled = [
            {
                "sop_instance_uid": item.derived.sop_instance_uid,
                "role": item.derived.role,
                "state": item.item.state,
                "status": "" if item.item.status is None else in_words(item.item.status),
                "reason": item.item.reason,
            }
            for item in queries.items(session, transfer_id)
            if item.item.reason or item.item.status
        ]
    show_one({**_row(line), "remedy": line.transfer.remedy}, as_json=as_json)
    if troubled and not as_json:
        show(troubled, as_json=False, empty="")


def _operator(verb: str, act: Callable[..., None], done: str) -> None:
    def command(transfer_id: TransferId) -> None:
        with opening.current_ledger().transaction() as session:
            act(session, transfer_id, now=opening.now(), actor=opening.ACTOR)
        typer.echo(done)

    command.__doc__ = act.__doc__ or f"{verb.capitalize()} a transfer."
    app.command(verb)(command)


_operator("retry", transitions.retry, "Due now.")
_operator("resume", transitions.retry, "Due now.")
_operator("pause", transitions.pause, "Paused.")
_operator("cancel", transitions.cancel, "Cancelled.")


def _row(line: TransferLine) -> dict[str, Any]:
    return {
        "id": line.transfer.id,
        "study_instance_uid": line.study.study_instance_uid,
        "destination": line.destination.name,
        "state": line.transfer.state,
        "done": f"{line.done_count} of {line.item_count}",
        "tries": line.transfer.tries,
        "next_attempt_at": line.transfer.next_attempt_at
        if line.transfer.state is TransferState.PENDING
        else None,
        "reason": line.transfer.reason,
    }
