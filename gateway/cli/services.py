"""The commands that run: everything on this machine (`up`), or one role of it."""

import os
from typing import Annotated, NoReturn

import typer

from gateway import log
from gateway.cli import opening
from gateway.cli.alone import alone
from gateway.errors import ConfigurationError
from gateway.settings import Settings
from gateway.up import roles, runfile


def up() -> None:
    """Run the whole gateway on this machine; Ctrl-C stops all of it."""
    from gateway.up.supervisor import Supervisor
    from gateway.web import accounts

    settings = opening.settings()
    log.configure(settings, "up")
    ledger = opening.ledger(settings, create=True)
    first_start = not accounts.list_users(ledger)
    password = accounts.add_user(ledger, "admin", role="admin") if first_start else None
    ledger.dispose()

    def announce() -> None:
        scp_file = runfile.wait_for(settings.run_dir, roles.SCP, timeout_s=30)
        web_file = runfile.wait_for(settings.run_dir, roles.WEB, timeout_s=30)
        typer.echo(f"DICOM    {settings.ae_title} on port {scp_file.port}")
        typer.echo(f"Console  http://{web_file.host}:{web_file.port}/")
        if password is not None:
            typer.echo(f"Sign in  admin, one-time password {password}")

    Supervisor(roles.children(settings), run_dir=settings.run_dir).run(on_ready=announce)


def scp() -> None:
    """Run the DICOM listener."""
    from gateway.scp.processes import ListenerProcesses

    settings = opening.settings()
    log.configure(settings, "scp")
    opening.ledger(settings).dispose()  # a connection must not be open in a process that forks

    def announce(port: int) -> None:
        runfile.announce(settings.run_dir, roles.SCP, host=settings.dicom_host, port=port)

    ListenerProcesses(settings).run(announce)
    runfile.withdraw(settings.run_dir, roles.SCP)


def web() -> None:
    """Run the console."""
    from gateway.web import server

    settings = opening.settings()
    log.configure(settings, "web")
    opening.ledger(settings).dispose()
    server.serve(settings)


def worker(
    queues: Annotated[str, typer.Option(help="Comma-separated: sweep, wrap, summary, send.")] = (
        "sweep,wrap,summary,send"
    ),
) -> None:
    """Run a Celery worker."""
    settings = _with_broker()
    _become(roles.worker_command(settings, tuple(queues.split(","))))


def beat() -> None:
    """Run Celery beat, which makes the sweep happen. Exactly one per gateway."""
    settings = _with_broker()
    _become(roles.beat_command(settings))


def migrate() -> None:
    """Bring the ledger to this version's schema."""
    opening.ledger(opening.settings(), create=True)
    typer.echo("The ledger is up to date.")


def _with_broker() -> Settings:
    settings = opening.settings()
    if not settings.broker_url:
        raise ConfigurationError("CAPSULE_BROKER_URL: a role by itself needs a broker.")
    opening.ledger(settings).dispose()
    return settings


def _become(argv: tuple[str, ...]) -> NoReturn:
    """Replace this process: signals and exit codes are then Celery's own."""
    os.execv(argv[0], argv)  # noqa: S606 - an argument list, no shell


up_app, scp_app, web_app = alone(up), alone(scp), alone(web)
worker_app, beat_app, migrate_app = alone(worker), alone(beat), alone(migrate)
