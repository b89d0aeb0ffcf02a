"""`user`: who may sign in to the console."""

from typing import Annotated

import typer

from gateway.cli import opening
from gateway.cli.tables import AsJson, show
from gateway.web import accounts

app = typer.Typer(help="People of the console.", no_args_is_help=True)


@app.command("add")
def add_user(
    name: str, role: Annotated[str, typer.Option(help="admin steers, viewer sees.")] = "viewer"
) -> None:
    """Add a user; prints the one-time password."""
    password = accounts.add_user(opening.current_ledger(), name, role=role, actor=opening.ACTOR)
    typer.echo(f"{name}, one-time password: {password}")


@app.command("list")
def list_users(as_json: AsJson = False) -> None:
    """List the users."""
    rows = [
        {
            "name": one.name,
            "role": one.role,
            "active": one.active,
            "must_change_password": one.must_change_password,
            "last_seen_at": one.last_seen_at,
        }
        for one in accounts.list_users(opening.current_ledger())
    ]
    show(rows, as_json=as_json, empty="No user yet: `capsule-gateway user add NAME --role admin`.")


@app.command("passwd")
def change_password(name: str) -> None:
    """Give a user a new one-time password and end all of that user's sessions."""
    password = accounts.set_password(opening.current_ledger(), name, actor=opening.ACTOR)
    typer.echo(f"{name}, one-time password: {password}")
