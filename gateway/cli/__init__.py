"""The command line, and with it the composition root: here settings meet ledger and servers."""

import sys

import typer

from gateway import __version__
from gateway.cli import demo, registry, services, simulate, studies, transfers, users
from gateway.errors import GatewayError

app = typer.Typer(
    name="capsule-gateway",
    help="A DICOM gateway for capsule endoscopy.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for command in services.COMMANDS:
    app.command()(command)
app.command()(demo.demo)
app.add_typer(registry.source_app, name="source")
app.add_typer(registry.destination_app, name="destination")
app.add_typer(registry.route_app, name="route")
app.add_typer(studies.app, name="study")
app.add_typer(transfers.app, name="transfer")
app.add_typer(users.app, name="user")
app.add_typer(simulate.app, name="simulate")


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """Run the command line; an error of ours is one sentence and what to do, exit code 2."""
    try:
        app()
    except GatewayError as error:
        typer.secho(f"{error}", fg="red", err=True)
        typer.echo(f"  {error.remedy}", err=True)
        sys.exit(2)
