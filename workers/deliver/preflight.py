"""The gate before the first send: what our own check refuses never reaches a destination."""

from pathlib import Path

from gateway.errors import PreflightFailed
from gateway.preflight.check import check


def require(path: Path, sop_instance_uid: str) -> None:
    """Raise PreflightFailed, naming frame and cause, unless the file passes.

    A file that cannot be read is left to who sends it, who tells that better.
    """
    try:
        report = check(path)
    except OSError:
        return
    if not report.passed:
        raise PreflightFailed(f"{sop_instance_uid} is not sent. {report.in_words}")
