"""`check`: what public validators let pass, found before somebody's viewer stumbles over it."""

import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.tables import AsJson, show
from gateway.preflight import check as preflight
from gateway.preflight.report import Report, Severity

app = typer.Typer(add_completion=False)


@app.command()
def check(
    files: Annotated[list[Path], typer.Argument(exists=True, help="DICOM files, or folders.")],
    every: Annotated[
        int, typer.Option(min=1, help="One frame in so many is decoded by two decoders.")
    ] = preflight.EVERY,
    as_json: AsJson = False,
) -> None:
    """Check DICOM files as every derived instance is checked before it is sent.

    Exit code 1 if any of them has an error.
    """
    # The library would quote the values it finds odd, names among them.
    warnings.filterwarnings("ignore", module="pydicom")
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    reports = []
    for path in _files(files):
        report = preflight.check(path, every=every)
        reports.append((path, report))
        if not as_json:
            _print(path, report)
    if as_json:
        rows = [{"file": str(path), **report.as_json()} for path, report in reports]
        show(rows, as_json=True, empty="")
    if not all(report.passed for _, report in reports):
        raise typer.Exit(1)


def _files(given: list[Path]) -> Iterator[Path]:
    for path in given:
        if path.is_dir():
            yield from sorted(one for one in path.rglob("*") if one.is_file())
        else:
            yield path


def _print(path: Path, report: Report) -> None:
    if report.passed:
        typer.echo(f"{path}: {report.in_words}")
    for finding in report.findings:
        kind = "error" if finding.severity is Severity.ERROR else "warning"
        typer.echo(f"{path}: {kind}: {finding.in_words}")
    listed = sum(one.severity is Severity.ERROR for one in report.findings)
    if report.error_count > listed:
        typer.echo(f"{path}: and {report.error_count - listed} more errors of these kinds.")
