"""Lists on the terminal: a table for people, `--json` for programs."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]

console = Console()


def show(rows: Sequence[Mapping[str, Any]], *, as_json: bool, empty: str) -> None:
    """Print rows that all have the same keys; `empty` says what to do when there are none."""
    if as_json:
        typer.echo(json.dumps([dict(row) for row in rows], default=_plain, ensure_ascii=False))
        return
    if not rows:
        typer.echo(empty)
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for key in rows[0]:
        table.add_column(key.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(escape(_text(value)) for value in row.values()))
    console.print(table)


def show_one(row: Mapping[str, Any], *, as_json: bool) -> None:
    """Print one thing, a line per field."""
    if as_json:
        typer.echo(json.dumps(dict(row), default=_plain, ensure_ascii=False))
        return
    width = max(len(key) for key in row)
    for key, value in row.items():
        console.print(f"[dim]{key.replace('_', ' '):<{width}}[/dim]  {escape(_text(value))}")


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return str(value)


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
