"""`source`, `destination`, `route`: who may send, who receives, which way studies go."""

from typing import Annotated

import typer

from gateway.cli import opening
from gateway.cli.tables import AsJson, show
from gateway.dicom import charsets
from gateway.ledger.queries import registry as queries
from gateway.ledger.transitions import registry

source_app = typer.Typer(help="Who may send to this gateway.", no_args_is_help=True)
destination_app = typer.Typer(help="Who receives studies.", no_args_is_help=True)
route_app = typer.Typer(help="Which way studies go.", no_args_is_help=True)

ACTOR = opening.ACTOR

CHARSET_HELP = "Read its text as this, whatever it declares: GB18030, EUC-KR, ISO_IR 100, ..."
Charset = Annotated[str, typer.Option(help=CHARSET_HELP)]


@source_app.command("add")
def add_source(
    ae_title: str,
    host: Annotated[str, typer.Option(help="Its address; empty: any.")] = "",
    description: str = "",
    associations_max: Annotated[
        int | None,
        typer.Option(min=1, help="At once; default: CAPSULE_SOURCE_ASSOCIATIONS_MAX."),
    ] = None,
    charset: Charset = "",
) -> None:
    """Let an AE send to us."""
    term = charsets.normal_term(charset)
    with opening.current_ledger().transaction() as session:
        registry.add_source(
            session, ae_title, host=host, description=description,
            associations_max=associations_max, charset=term, now=opening.now(), actor=ACTOR,
        )  # fmt: skip
    typer.echo(f"{ae_title} may send.")


@source_app.command("edit")
def edit_source(
    ae_title: str,
    host: Annotated[str | None, typer.Option(help="Its address; empty: any.")] = None,
    description: Annotated[str | None, typer.Option()] = None,
    charset: Annotated[str | None, typer.Option(help=CHARSET_HELP)] = None,
    enabled: Annotated[bool | None, typer.Option()] = None,
) -> None:
    """Change a source."""
    term = None if charset is None else charsets.normal_term(charset)
    with opening.current_ledger().transaction() as session:
        registry.edit_source(
            session, ae_title, host=host, description=description, charset=term,
            enabled=enabled, now=opening.now(), actor=ACTOR,
        )  # fmt: skip
    typer.echo(f"{ae_title} changed.")


@source_app.command("list")
def list_sources(as_json: AsJson = False) -> None:
    """List the sources."""
    with opening.current_ledger().reading() as session:
        rows = [
            {
                "ae_title": one.ae_title,
                "host": one.host or "any",
                "enabled": one.enabled,
                "description": one.description,
                "associations_max": one.associations_max,
                "charset": one.charset or "as declared",
            }
            for one in queries.sources(session)
        ]
    show(rows, as_json=as_json, empty="No source yet: only this machine itself may send.")


@source_app.command("remove")
def remove_source(ae_title: str) -> None:
    """Refuse an AE from now on."""
    with opening.current_ledger().transaction() as session:
        registry.remove_source(session, ae_title, now=opening.now(), actor=ACTOR)
    typer.echo(f"{ae_title} may no longer send.")


@destination_app.command("add")
def add_destination(
    name: str,
    ae_title: Annotated[str, typer.Option()],
    host: Annotated[str, typer.Option()],
    port: Annotated[int, typer.Option()],
    commitment: Annotated[bool, typer.Option(help="Ask for Storage Commitment.")] = True,
    route_all: Annotated[bool, typer.Option(help="Send it the studies of every source.")] = True,
) -> None:
    """Add a remote AE we deliver to."""
    with opening.current_ledger().transaction() as session:
        registry.add_destination(
            session, name, ae_title=ae_title, host=host, port=port, commitment=commitment,
            route_all=route_all, now=opening.now(), actor=ACTOR,
        )  # fmt: skip
    typer.echo(f"{name} added.")


@destination_app.command("list")
def list_destinations(as_json: AsJson = False) -> None:
    """List the destinations."""
    with opening.current_ledger().reading() as session:
        rows = [
            {
                "name": one.name,
                "ae_title": one.ae_title,
                "host": one.host,
                "port": one.port,
                "commitment": one.commitment,
                "enabled": one.enabled,
                "last_echo": one.echo_detail,
            }
            for one in queries.destinations(session)
        ]
    show(rows, as_json=as_json, empty="No destination yet: `capsule-gateway destination add`.")


@destination_app.command("edit")
def edit_destination(
    name: str,
    ae_title: Annotated[str | None, typer.Option()] = None,
    host: Annotated[str | None, typer.Option()] = None,
    port: Annotated[int | None, typer.Option()] = None,
    commitment: Annotated[bool | None, typer.Option()] = None,
    enabled: Annotated[bool | None, typer.Option()] = None,
) -> None:
    """Change a destination."""
    with opening.current_ledger().transaction() as session:
        registry.edit_destination(
            session, name, ae_title=ae_title, host=host, port=port, commitment=commitment,
            enabled=enabled, now=opening.now(), actor=ACTOR,
        )  # fmt: skip
    typer.echo(f"{name} changed.")


@destination_app.command("remove")
def remove_destination(name: str) -> None:
    """Remove a destination that was never delivered to."""
    with opening.current_ledger().transaction() as session:
        registry.remove_destination(session, name, now=opening.now(), actor=ACTOR)
    typer.echo(f"{name} removed.")


@destination_app.command("echo")
def echo_destination(name: str) -> None:
    """Ask a destination for a C-ECHO; exit code 1 if it does not answer with Success."""
    settings = opening.settings()
    ledger = opening.ledger(settings)
    with ledger.reading() as session:
        row = queries.destination(session, name)
    from gateway.web import echo  # pynetdicom, which only this needs

    result = echo.echo(calling=settings.ae_title, called=row.ae_title, host=row.host, port=row.port)
    with ledger.transaction() as session:
        registry.record_echo(session, name, ok=result.ok, detail=result.detail, now=opening.now())
    typer.echo(f"{name}: {result.detail}")
    if not result.ok:
        raise typer.Exit(1)


@route_app.command("add")
def add_route(
    destination: str,
    source: Annotated[str | None, typer.Option(help="Its AE title; default: every source.")] = None,
) -> None:
    """Send studies of a source to a destination."""
    with opening.current_ledger().transaction() as session:
        registry.add_route(
            session, destination, source_ae_title=source, now=opening.now(), actor=ACTOR
        )
    typer.echo(f"{source or 'Every source'} goes to {destination}.")


@route_app.command("list")
def list_routes(as_json: AsJson = False) -> None:
    """List the routes."""
    with opening.current_ledger().reading() as session:
        rows = [
            {"source": one.source_ae_title or "every source", "destination": one.destination_name}
            for one in queries.routes(session)
        ]
    show(rows, as_json=as_json, empty="No route yet: studies are kept, and sent nowhere.")


@route_app.command("remove")
def remove_route(
    destination: str,
    source: Annotated[str | None, typer.Option(help="Its AE title; default: every source.")] = None,
) -> None:
    """Stop sending studies of a source to a destination."""
    with opening.current_ledger().transaction() as session:
        registry.remove_route(
            session, destination, source_ae_title=source, now=opening.now(), actor=ACTOR
        )
    typer.echo("Removed.")
