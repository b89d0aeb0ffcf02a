"""What every test may need: where the project lies, and whether other people's programs do."""

import os
import shutil
import signal
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Debian puts daemons where an ordinary user's PATH does not look.
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])

PROGRAMS = {
    "peer": ("storescu", "storescp", "echoscu", "dcmdump", "Orthanc", "dciodvfy", "gdcmconv"),
    "browser": ("chromium",),
}
"""What a marker without arguments needs. `@pytest.mark.peer("storescu")` needs less."""


def find_program(name: str) -> str | None:
    return shutil.which(name, path=SEARCH_PATH)


def pytest_configure() -> None:
    """Let signals act. Started in the background, or by nohup, we inherit some as ignored, and
    so would every program a test starts and wants to stop."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    _keep_bytecode()


def _keep_bytecode() -> None:
    """Where no bytecode may lie beside the sources, keep it in pytest's cache for the programs
    that tests start: most of them live shorter than compiling what they import takes."""
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
        os.environ.setdefault("PYTHONPYCACHEPREFIX", str(ROOT / ".pytest_cache" / "bytecode"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test after its folder, so that nobody forgets to."""
    for item in items:
        folder = item.path.relative_to(ROOT / "tests").parts[0]
        if folder in ("peer", "fault", "browser"):
            item.add_marker(folder, append=False)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose peer is not installed, saying which; under CI that is a failure."""
    for kind, usual in PROGRAMS.items():
        markers = list(item.iter_markers(kind))
        named = [name for marker in markers for name in marker.args]
        for name in (named or usual) if markers else ():
            if find_program(name) is None:
                missing = f"{name} is not installed (tests/peers.sh installs it)"
                if os.environ.get("CI") == "true":
                    pytest.fail(missing)
                pytest.skip(missing)


@pytest.fixture
def program():
    """Return a function that gives the path of another maker's program by its name."""

    def path_of(name: str) -> str:
        found = find_program(name)
        assert found is not None, f"name {name} in the test's peer marker"
        return found

    return path_of


@pytest.fixture
def project_environ() -> dict[str, str]:
    """The environment for a process that imports the project, without CAPSULE_* variables."""
    environ = {name: text for name, text in os.environ.items() if not name.startswith("CAPSULE_")}
    return {**environ, "PYTHONPATH": str(ROOT)}
