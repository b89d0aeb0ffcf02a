"""The command line, and with it the composition root: here settings meet ledger and servers.

A command's module is imported when the command is used: a listener does not wait for the
console's libraries, nor `--version` for anybody's.
"""

import importlib
import sys

from gateway import __version__
from gateway.errors import GatewayError

COMMANDS = {
    "up": ("services:up_app", "Run the whole gateway on this machine; Ctrl-C stops all of it."),
    "demo": ("demo:app", "Send a synthetic study through the whole gateway and prove it."),
    "scp": ("services:scp_app", "Run the DICOM listener."),
    "web": ("services:web_app", "Run the console."),
    "worker": ("services:worker_app", "Run a Celery worker."),
    "beat": ("services:beat_app", "Run Celery beat, which makes the sweep happen: exactly one."),
    "migrate": ("services:migrate_app", "Bring the ledger to this version's schema."),
    "source": ("registry:source_app", "Who may send to this gateway."),
    "destination": ("registry:destination_app", "Who receives studies."),
    "route": ("registry:route_app", "Which way studies go."),
    "study": ("studies:app", "What was received and what became of it."),
    "transfer": ("transfers:app", "What is on its way, and why it is not."),
    "user": ("users:app", "Who may sign in to the console."),
    "token": ("tokens:app", "Which programs may use DICOMweb."),
    "import": ("importing:import_app", "Import a folder, ZIP, video or DICOM medium."),
    "inbox": ("importing:inbox_app", "Watch a folder and import what is dropped there."),
    "check": ("check:app", "Check DICOM files for what public validators let pass."),
    "simulate": ("simulate:app", "A capsule workstation and a hospital PACS to try with."),
}
"""Name to (module:Typer application in this package, help)."""


def main() -> None:
    """Run the command line; an error of ours is one sentence and what to do, exit code 2."""
    name, arguments = (sys.argv[1:2] or ["--help"])[0], sys.argv[2:]
    if name == "--version":
        print(__version__)
    elif name in COMMANDS:
        _run(name, arguments)
    else:
        _print_commands()
        sys.exit(0 if name == "--help" else 2)


def _run(name: str, arguments: list[str]) -> None:
    module, _, attribute = COMMANDS[name][0].partition(":")
    application = getattr(importlib.import_module(f"gateway.cli.{module}"), attribute)
    try:
        application(args=arguments, prog_name=f"capsule-gateway {name}")
    except GatewayError as error:
        print(f"{error}\n  {error.remedy}", file=sys.stderr)
        sys.exit(2)


def _print_commands() -> None:
    width = max(map(len, COMMANDS))
    print("A DICOM gateway for capsule endoscopy.\n\nUsage: capsule-gateway COMMAND [--help]\n")
    for name, (_, words) in COMMANDS.items():
        print(f"  {name:<{width}}  {words}")
