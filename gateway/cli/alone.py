"""A command that has no subcommands."""

from collections.abc import Callable
from typing import Any

import typer


def alone(command: Callable[..., Any]) -> typer.Typer:
    """Return the application of one command."""
    application = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    application.command()(command)
    return application
