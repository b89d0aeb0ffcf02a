"""Make the pictures in docs/pictures: a demonstration ledger, a real server, Chromium.

python docs/screenshots.py [directory]

Nothing in them comes from a patient: the frames are the simulator's, the names say so.
"""

import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from playwright.sync_api import Page, expect, sync_playwright

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from gateway.ledger.engine import Ledger  # noqa: E402 - after the path is set
from gateway.settings import Settings  # noqa: E402
from gateway.simulator.capsule import synthetic_frames  # noqa: E402
from tests.browser import demo_ledger  # noqa: E402
from tests.browser.conftest import FLAGS, Complaints, Console, open_page  # noqa: E402
from tests.browser.filling import Filling  # noqa: E402
from tests.browser.people import ADMIN, SECRET_KEY, prepare  # noqa: E402
from tests.conftest import find_program  # noqa: E402

SIZE_BYTES_MAX = 250_000
VIEWPORT = {"width": 1440, "height": 840}
FRAMES_DRAWN, EVERY = 720, 30


def main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "pictures"
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        settings = Settings(home=home, secret_key=SECRET_KEY)
        cookies = prepare(settings)
        filling = Filling(Ledger(settings.ledger_url), home, pictures=drawn())
        found = demo_ledger.fill(filling)
        filling.ledger.dispose()
        console = Console(home)
        console.start()
        try:
            take(console, cookies[ADMIN], found, target)
        finally:
            console.stop()


def drawn() -> list[bytes]:
    """Return some frames of a synthetic recording, in order."""
    frames = synthetic_frames(FRAMES_DRAWN, seed=11)
    return [frame.jpeg for frame in frames if frame.frame_number % EVERY == 0]


def take(console: Console, cookie: str, found: dict[str, int], target: Path) -> None:
    pages = {
        "studies": "/",
        "study": f"/studies/{found['gaps']}",
        "transfers": "/transfers/",
        "destinations": "/destinations/",
    }
    with sync_playwright() as playwright:
        path = find_program("chromium")
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        for scheme, names in (("light", list(pages)), ("dark", ["studies", "study"])):
            context = browser.new_context(viewport=VIEWPORT, color_scheme=scheme)
            page = open_page(context, console, cookie, Complaints())
            for name in names:
                page.goto(console.address + pages[name])
                settle(page)
                file = target / (f"{name}.png" if scheme == "light" else f"{name}-{scheme}.png")
                size_bytes = save(page.screenshot(), file)
                sys.stdout.write(f"{file}  {size_bytes / 1000:.0f} kB\n")
        browser.close()


def settle(page: Page) -> None:
    """Wait until the page is live, its parts came once more, and its pictures are there."""
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    page.wait_for_load_state("load")
    expect(page.locator(".htmx-request:not(#live)")).to_have_count(0)
    page.wait_for_function("[...document.images].slice(0, 18).every((one) => one.complete)")
    page.evaluate("document.fonts.ready")


def save(png: bytes, file: Path) -> int:
    """Write a picture with as many bits a colour as fit into SIZE_BYTES_MAX; returns its size.

    Only the colours of photographs lose bits: those of the page itself are few and stay exact.
    """
    pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    colours = pixels.astype(np.uint32) @ np.uint32((1 << 16, 1 << 8, 1))
    found, counts = np.unique(colours, return_counts=True)
    own = np.isin(colours, found[counts > pixels.shape[0]])[..., None]
    for dropped in range(5):
        step = 1 << dropped
        coarse = np.where(own, pixels, pixels // step * step + step // 2)
        data = cv2.imencode(".png", coarse.astype(np.uint8), [cv2.IMWRITE_PNG_COMPRESSION, 9])[1]
        if data.size <= SIZE_BYTES_MAX:
            file.write_bytes(data.tobytes())
            return int(data.size)
    raise SystemExit(f"{file} stays larger than {SIZE_BYTES_MAX} bytes")


if __name__ == "__main__":
    main()
