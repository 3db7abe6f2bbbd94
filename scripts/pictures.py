"""`make pictures`: the README's screenshots and recording, taken from the running dashboard in a real Chromium."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from app.__main__ import answers
from fssd_core.models import list_models

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "pictures"
PORT = 8653
URL = f"http://127.0.0.1:{PORT}"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


def settle(page: Page, *, quiet: float = 1.2, marker: str = "canvas:visible") -> None:
    """Waits until the script has run, what the page is about is there and has come to rest."""
    page.wait_for_selector("h1", timeout=60_000)
    page.locator(marker).first.wait_for(timeout=60_000)
    page.wait_for_function("!document.querySelector('[data-testid=stStatusWidget]')", timeout=60_000)
    time.sleep(quiet)


def still(browser: Browser, name: str, path: str, *, width: int, height: int, dark: bool = False) -> None:
    """One screenshot as a PNG of at most 256 colours."""
    page = browser.new_page(
        viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light", device_scale_factor=1
    )
    page.goto(URL + path)
    settle(page, quiet=3, marker="text=Nearest in-dist" if "inspect" in path else "canvas:visible")
    picture = Image.open(io.BytesIO(page.screenshot()))
    picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(PICTURES / f"{name}.png", optimize=True)
    page.close()


def film(browser: Browser) -> None:
    """The training film as an animated WebP: one shot a checkpoint, the points moving between."""
    page = browser.new_page(viewport={"width": 1200, "height": 860}, color_scheme="light")
    page.goto(f"{URL}/?step=0")
    settle(page, quiet=3)
    slider = page.get_by_role("slider", name="Training step")
    slider.focus()
    frames, durations = [shot(page)], [900]
    steps = next(m for m in list_models() if m.name == "demo/lenet").steps
    for _ in steps[1:]:
        slider.press("ArrowRight")
        settle(page, quiet=0.9)
        frames.append(shot(page))
        durations.append(450)
    durations[-1] = 2500
    frames[0].save(
        PICTURES / "film.webp",
        save_all=True,
        append_images=frames[1:],
        duration=durations,
        loop=0,
        quality=62,
        method=6,
    )
    page.close()


def shot(page: Page) -> Image.Image:
    """The page as a picture."""
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def main() -> None:
    """Starts a server with an empty store of its own, takes all pictures, ends it."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        server = subprocess.Popen(
            [sys.executable, "-m", "app", "--no-browser", "--port", str(PORT)], env={**os.environ, "FSSD_HOME": home}
        )
        try:
            wait_until_up()
            browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
            still(browser, "features", "/", width=1440, height=1080)
            still(browser, "features-dark", "/?view=UMAP&layer=fc1", width=1440, height=1080, dark=True)
            still(browser, "tuning", "/tuning", width=1440, height=1250)
            still(browser, "inspect", "/inspect?set=mnist&row=17", width=1440, height=1250)
            film(browser)
            browser.close()
        finally:
            server.terminate()
            server.wait(10)


def wait_until_up() -> None:
    """Returns once the server answers."""
    for _ in range(300):
        if answers(URL):
            return
        time.sleep(0.2)
    raise RuntimeError("the dashboard did not start")


if __name__ == "__main__":
    main()
