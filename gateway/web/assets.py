"""Addresses of the console's own files: they change when the file does, so browsers keep them."""

import hashlib
from functools import cache
from pathlib import Path

from flask import url_for

STATIC = Path(__file__).with_name("static")


def asset(name: str) -> str:
    """Return the address of a file under static/."""
    return url_for("static", filename=name, v=_version(name))


@cache
def _version(name: str) -> str:
    return hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:10]
