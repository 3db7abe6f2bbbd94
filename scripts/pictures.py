"""`make pictures`: the README's screenshots and recording, taken from the running dashboard in a real Chromium."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from app.__main__ import answers
from benchmarks.serving import chromium
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
    drawn = "[...document.querySelectorAll('.stPlotlyChart')].every(e => e.querySelector('.main-svg .trace, .hm'))"
    page.wait_for_function(drawn, timeout=60_000)
    time.sleep(quiet)


MARKERS = {"/inspect": "text=Nearest in-dist", "/corruptions": ".fssd-strip li", "/own_model": "h1"}
"""What stands last on pages without a canvas of their own."""


def still(browser: Browser, name: str, path: str, *, width: int, height: int, dark: bool = False) -> None:
    """One screenshot as a PNG of at most 256 colours."""
    page = browser.new_page(
        viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light", device_scale_factor=1
    )
    page.goto(URL + path)
    settle(page, quiet=3, marker=MARKERS.get(path.split("?")[0], "canvas:visible"))
    picture = Image.open(io.BytesIO(page.screenshot()))
    picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(PICTURES / f"{name}.png", optimize=True)
    page.close()


FILM = "window.__fssdFilm['film-player']"


def open_film(browser: Browser, path: str, *, width: int, height: int, dark: bool = False) -> Page:
    """The film's page at rest, without the sidebar."""
    page = browser.new_page(
        viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light", reduced_motion="reduce"
    )
    page.goto(URL + path)
    settle(page, quiet=2, marker=".film canvas.cursor")
    page.locator("[data-testid=stSidebar]").hover()
    page.locator("[data-testid=stSidebarCollapseButton] button").click()
    time.sleep(1.5)
    return page


def follow(page: Page, indices: Sequence[int]) -> None:
    """Pins the points with these indices where they are drawn now."""
    box = page.locator(".stage").bounding_box()
    for index in indices:
        x, y = page.evaluate(f"{FILM}.pixelOf({index})")
        page.mouse.click(box["x"] + x, box["y"] + y)
    page.mouse.move(2, 2)
    time.sleep(0.5)


def film_still(browser: Browser, name: str, path: str, *, pins: Sequence[int] = (), dark: bool = False) -> None:
    """The film's page at one step, some points followed."""
    page = open_film(browser, path, width=1240, height=1045, dark=dark)
    follow(page, pins)
    shot(page).quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
        PICTURES / f"{name}.png", optimize=True
    )
    page.close()


def film(browser: Browser) -> None:
    """The film as an animated WebP: the page itself, put to every place and photographed."""
    page = open_film(browser, "/film?film_step=0", width=1180, height=905)
    frames, durations = [shot(page)], [1300]
    steps = next(m for m in list_models() if m.name == "demo/lenet").steps
    for k in range(len(steps) - 1):
        parts = 6 if k < 9 else 2
        for part in range(1, parts + 1):
            page.evaluate(f"{FILM}.seek({k + part / parts})")
            page.wait_for_function(f"{FILM}.resting")
            frames.append(shot(page))
            durations.append(90 if part < parts else 240)
    durations[-1] = 3000
    rest = {"append_images": frames[1:], "duration": durations, "loop": 0, "quality": 56, "method": 6}
    frames[0].save(PICTURES / "film.webp", save_all=True, **rest)
    page.close()


def shot(page: Page) -> Image.Image:
    """The page as a picture."""
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def main() -> None:
    """Starts a server with an empty store of its own, takes all pictures, ends it."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    found = chromium()
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        server = subprocess.Popen(
            [sys.executable, "-m", "app", "--no-browser", "--port", str(PORT)], env={**os.environ, "FSSD_HOME": home}
        )
        try:
            wait_until_up()
            browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
            still(browser, "features", "/", width=1440, height=1080)
            still(browser, "features-dark", "/?view=UMAP&layer=fc1", width=1440, height=1080, dark=True)
            still(browser, "tuning", "/tuning", width=1440, height=1250)
            still(browser, "inspect", "/inspect?set=mnist&row=17", width=1440, height=1250)
            still(browser, "methods", "/methods", width=1440, height=1250)
            still(browser, "corruptions", "/corruptions", width=1440, height=1250)
            still(browser, "own-model", "/own_model", width=1440, height=700)
            film_still(browser, "film", "/film?film_step=938", pins=(3, 700, 1300))
            film_still(browser, "film-dark", "/film?film_radius=absolute", dark=True)
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
