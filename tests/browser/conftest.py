"""A console in a process of its own, a ledger to write to, and Chromium to look with."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from gateway.ledger.engine import Ledger
from gateway.settings import Settings
from gateway.up import runfile
from tests.browser.filling import Filling
from tests.browser.people import ADMIN, COOKIE, SECRET_KEY, prepare
from tests.conftest import ROOT, find_program

START_S = 60.0
STOP_S = 10.0
WAIT_MS = 20_000
FLAGS = [
    "--no-sandbox",  # CI runs as root
    "--no-first-run",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
]


@dataclass
class Console:
    """`capsule-gateway web` as a process. It is given a free port, and keeps it when restarted."""

    home: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "web"],
            env={
                **{name: text for name, text in os.environ.items() if name[:8] != "CAPSULE_"},
                "PYTHONPATH": str(ROOT),
                "CAPSULE_HOME": str(self.home),
                "CAPSULE_WEB_PORT": str(self.port),
                "CAPSULE_SECRET_KEY": SECRET_KEY,
            },
        )
        self.port = runfile.wait_for(self.home / "run", "web", timeout_s=START_S).port

    def stop(self) -> int:
        """Ask it to stop and return its exit code. Raises TimeoutExpired if it takes too long."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_S)
        finally:
            self.process.kill()


@dataclass
class Complaints:
    """What a page said that it should not: errors, refused resources, foreign addresses."""

    heard: list[str] = field(default_factory=list)

    def listen(self, page: Page, own_address: str) -> None:
        page.on("console", lambda one: self._add(one.text) if one.type == "error" else None)
        page.on("pageerror", lambda error: self._add(str(error)))
        page.on("dialog", lambda dialog: self._add(f"dialog: {dialog.message}"))
        page.on(
            "request",
            lambda one: None if one.url.startswith(own_address) else self._add(one.url),
        )

    def _add(self, text: str) -> None:
        self.heard.append(text)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The installed Chromium; the marker of this folder skips, or fails CI, where it is missing."""
    path = find_program("chromium")
    assert path is not None
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of the shared console: each test looks for studies of its own in it."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def cookies(home: Path) -> dict[str, str]:
    return prepare(Settings(home=home, secret_key=SECRET_KEY))


@pytest.fixture(scope="module")
def ledger(home: Path, cookies: dict[str, str]) -> Iterator[Ledger]:
    ledger = Ledger(Settings(home=home).ledger_url)
    yield ledger
    ledger.dispose()


@pytest.fixture(scope="module")
def filling(ledger: Ledger, home: Path) -> Filling:
    return Filling(ledger, home)


@pytest.fixture(scope="module")
def console(home: Path, ledger: Ledger) -> Iterator[Console]:
    console = Console(home)
    console.start()
    yield console
    console.stop()


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(WAIT_MS)
    yield context
    context.close()


@pytest.fixture
def complaints() -> Complaints:
    return Complaints()


@pytest.fixture
def page(
    context: BrowserContext, console: Console, cookies: dict[str, str], complaints: Complaints
) -> Page:
    """A live page of the shared console, of somebody who signed in as an admin before."""
    return open_page(context, console, cookies[ADMIN], complaints)


def open_page(
    context: BrowserContext, console: Console, cookie: str, complaints: Complaints
) -> Page:
    context.add_cookies([{"name": COOKIE, "value": cookie, "url": console.address}])
    page = context.new_page()
    complaints.listen(page, console.address)
    page.goto(console.address)
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    return page
