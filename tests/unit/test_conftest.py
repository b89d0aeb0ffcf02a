"""The suite's own rule: a missing peer is said, and under CI it is a failure."""

import shutil
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

CONFTEST = Path(__file__).parents[1] / "conftest.py"

NEEDS_A_PEER = """
import pytest
@pytest.mark.peer("no-such-program")
def test_with_a_peer_that_is_absent(): pass
@pytest.mark.peer("sh")
def test_with_a_peer_that_is_there(program):
    assert program("sh").endswith("/sh")
"""


@pytest.fixture
def suite(pytester, monkeypatch):
    """A small test suite with our conftest; returns a function that runs it."""
    pytester.makeini(
        "[pytest]\naddopts = --strict-markers --import-mode=importlib\n"
        "markers =\n  peer\n  fault\n  browser\n"
    )
    folder = pytester.mkdir("tests")
    shutil.copy(CONFTEST, folder)
    (folder / "peer").mkdir()
    (folder / "peer" / "test_it.py").write_text(NEEDS_A_PEER)
    (folder / "fault").mkdir()
    (folder / "fault" / "test_it.py").write_text("def test_it(): pass\n")

    def run(*arguments, ci=""):
        monkeypatch.setenv("CI", ci)
        return pytester.runpytest_subprocess("-rs", "-p", "no:xdist", *arguments)

    return run


def test_a_test_without_its_peer_is_skipped_and_says_which(suite):
    result = suite("tests/peer")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["*no-such-program is not installed*"])


def test_under_ci_a_missing_peer_is_a_failure(suite):
    result = suite("tests/peer", ci="true")
    result.assert_outcomes(passed=1, errors=1)


def test_tests_are_marked_after_their_folder(suite):
    suite("-m", "fault").assert_outcomes(passed=1, deselected=2)
