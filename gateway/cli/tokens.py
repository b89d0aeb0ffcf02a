"""`token`: what programs show instead of signing in."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from gateway.cli import opening
from gateway.cli.tables import AsJson, show
from gateway.ledger.queries import tokens as queries
from gateway.ledger.transitions import tokens

app = typer.Typer(help="Tokens for programs that use DICOMweb.", no_args_is_help=True)
AE_TITLE = "STOWRS"


@app.command("add")
def add_token(
    name: str,
    scope: Annotated[list[str], typer.Option(help="read, store; may be given twice.")] = ["read"],  # noqa: B006 - typer's way
    days: Annotated[int, typer.Option(min=0, help="How long it holds; 0: until revoked.")] = 0,
    ae_title: Annotated[
        str, typer.Option(help="What it stores counts as received from this AE title.")
    ] = AE_TITLE,
) -> None:
    """Add a token; prints its secret, which is shown only now."""
    now = datetime.now(UTC)
    with opening.current_ledger().transaction() as session:
        secret = tokens.add(
            session, name, scopes=scope, ae_title=ae_title,
            expires_at=now + timedelta(days=days) if days else None,
            now=now, actor=opening.ACTOR,
        )  # fmt: skip
    typer.echo(secret)


@app.command("list")
def list_tokens(as_json: AsJson = False) -> None:
    """List the tokens, also those that hold no longer."""
    with opening.current_ledger().reading() as session:
        rows = [
            {
                "name": one.name,
                "scopes": one.scopes,
                "ae_title": one.ae_title,
                "created_at": one.created_at,
                "expires_at": one.expires_at,
                "last_used_at": one.last_used_at,
                "revoked_at": one.revoked_at,
            }
            for one in queries.every(session)
        ]
    show(rows, as_json=as_json, empty="No token yet: `capsule-gateway token add NAME`.")


@app.command("revoke")
def revoke_token(name: str) -> None:
    """End a token for good."""
    with opening.current_ledger().transaction() as session:
        tokens.revoke(session, name, now=datetime.now(UTC), actor=opening.ACTOR)
    typer.echo(f"{name} is refused from now on.")
