"""A console in a process of its own, a ledger to write to, and Chromium to look with."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from gateway.ledger import migrate
from gateway.ledger.engine import Ledger
from gateway.settings import Settings
from gateway.up import runfile
from gateway.web.accounts import add_user
from tests.browser.filling import Filling
from tests.conftest import find_program

START_S = 60.0
STOP_S = 10.0
WAIT_MS = 20_000
OWN_PASSWORD = "a password of my own"
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
    environ: dict[str, str]
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "web"],
            env={
                **self.environ,
                "CAPSULE_HOME": str(self.home),
                "CAPSULE_WEB_PORT": str(self.port),
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
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(Settings(home=tmp_path).ledger_url)
    migrate.upgrade(ledger)
    yield ledger
    ledger.dispose()


@pytest.fixture
def filling(ledger: Ledger, tmp_path: Path) -> Filling:
    return Filling(ledger, tmp_path)


@pytest.fixture
def console(tmp_path: Path, ledger: Ledger, project_environ: dict[str, str]) -> Iterator[Console]:
    console = Console(tmp_path, project_environ)
    console.start()
    yield console
    if console.process is not None and console.process.poll() is None:
        console.stop()


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(WAIT_MS)
    expect.set_options(timeout=WAIT_MS)
    yield context
    context.close()


@pytest.fixture
def complaints() -> Complaints:
    return Complaints()


@pytest.fixture
def page(context: BrowserContext, console: Console, ledger: Ledger, complaints: Complaints) -> Page:
    """A page signed in as an admin, who came with a one-time password and has changed it."""
    password = add_user(ledger, "anna", role="admin")
    page = context.new_page()
    complaints.listen(page, console.address)
    page.goto(console.address)
    page.get_by_label("Name").fill("anna")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Password now").fill(password)
    page.get_by_label("New password", exact=False).nth(0).fill(OWN_PASSWORD)
    page.get_by_label("New password again").fill(OWN_PASSWORD)
    page.get_by_role("button", name="Change it").click()
    expect(page.get_by_role("heading", name="Studies")).to_be_visible()
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    return page
