"""Many people: sessions that move sliders and ask for computing at the same time, in browsers and on bare websockets.

Of every five sessions four step through training on the Features page (stored pictures; in browsers one of them moves
alpha on the Tuning page instead), and one asks for UMAPs nobody has computed, and sometimes closes its tab meanwhile.
A browser session is measured from the key press to the new picture; one on a websocket until the page's script is over.
"""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Error, Page, async_playwright
from websockets.exceptions import ConnectionClosed

from benchmarks.serving import Serving, chromium, serving
from benchmarks.socket_session import SocketSession
from fssd_core.models import list_models

FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage")
STEPS = 23  # checkpoints of demo/lenet
SCATTER = "window.__fssdScatter?.['features-scatter']"
COCKPIT = "window.__fssdCockpit?.['tuning-cockpit']"
PICTURE = f"{SCATTER} && {SCATTER}.drawn > 0 ? {SCATTER}.version : null"
AUROC = f"{COCKPIT}?.metrics?.auroc"
THINK = (1.5, 4.5)  # seconds between one answer and the next move
LIMIT = 60_000  # milliseconds after which an answer counts as lost
WATCH = """(look) => {
  const now = () => (0, eval)(look), before = now();
  window.__soak = null;
  addEventListener('keydown', () => {
    const begun = performance.now();
    const timer = setInterval(() => {
      const value = now();
      if (value == null || value === before) return;
      clearInterval(timer);
      requestAnimationFrame(() => { window.__soak = performance.now() - begun; });
    }, 20);
  }, { capture: true, once: true });
}"""


@dataclass
class Seen:
    """What the sessions met."""

    slider: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    alpha: list[float] = field(default_factory=list)
    computed: list[float] = field(default_factory=list)
    opened: list[float] = field(default_factory=list)
    lines: set[str] = field(default_factory=set)
    closed: int = 0
    failed: int = 0
    errors: list[str] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    load: list[float] = field(default_factory=list)


async def _open(browser: Browser, url: str, ready: str, seen: Seen) -> Page:
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    page = await context.new_page()
    page.on("pageerror", lambda error: seen.errors.append(f"page: {error}"))
    begun = time.monotonic()
    await page.goto(url, timeout=LIMIT)
    await page.wait_for_function(ready, timeout=LIMIT, polling=100)
    seen.opened.append(time.monotonic() - begun)
    return page


async def _move(page: Page, slider: str, key: str, look: str) -> float:
    """Seconds from the key press until the page shows what follows from it."""
    handle = page.get_by_role("slider", name=slider).first
    await handle.focus()
    await page.evaluate(WATCH, look)
    await page.keyboard.press(key)
    await page.wait_for_function("window.__soak !== null", timeout=LIMIT, polling=50)
    return float(await page.evaluate("window.__soak")) / 1000


class _Walk:
    """Keys that walk up and down between two ends without ever pressing against one."""

    def __init__(self, draw: random.Random, at: int, last: int, keys: tuple[str, str] = ("ArrowLeft", "ArrowRight")):
        self.draw, self.at, self.last, self.keys = draw, at, last, keys

    def step(self) -> str:
        down = self.at == self.last or (self.at > 0 and self.draw.random() < 0.5)
        self.at += -1 if down else 1
        return self.keys[0] if down else self.keys[1]


async def _slides(browser: Browser, url: str, draw: random.Random, over: Callable[[], bool], seen: Seen) -> None:
    page = await _open(browser, url, PICTURE, seen)
    walk = _Walk(draw, STEPS - 1, STEPS - 1)
    while not over():
        await asyncio.sleep(draw.uniform(*THINK))
        seen.slider.append(await _move(page, "Training step", walk.step(), PICTURE))
        await _check(page, seen)


async def _tunes(browser: Browser, url: str, draw: random.Random, over: Callable[[], bool], seen: Seen) -> None:
    page = await _open(browser, f"{url}/tuning", AUROC, seen)
    walk = _Walk(draw, 2, 4)
    while not over():
        await asyncio.sleep(draw.uniform(*THINK))
        seen.alpha.append(await _move(page, "conv1", walk.step(), AUROC))
        await _check(page, seen)


async def _computes(
    browser: Browser, url: str, draw: random.Random, over: Callable[[], bool], seen: Seen, number: int
) -> None:
    address = f"{url}/?{_address(number)}"
    page = await _open(browser, address, PICTURE, seen)
    walk = _Walk(draw, STEPS - 1, STEPS - 1)
    while not over():
        await asyncio.sleep(draw.uniform(*THINK))
        if draw.random() < 0.2:  # ask, and close the tab in the middle of it
            await page.get_by_role("slider", name="Training step").first.focus()
            await page.keyboard.press(walk.step())
            await asyncio.sleep(draw.uniform(0.5, 2))
            await page.context.close()
            seen.closed += 1
            page = await _open(browser, address, PICTURE, seen)
            walk = _Walk(draw, STEPS - 1, STEPS - 1)
            continue
        wait = asyncio.create_task(_move(page, "Training step", walk.step(), PICTURE))
        while not wait.done():
            words = await page.get_by_text("in line").all_inner_texts()
            seen.lines |= {w.split("·")[1].strip() for w in words if "·" in w}
            await asyncio.sleep(0.5)
        seen.computed.append(wait.result())
        await _check(page, seen)


def _address(number: int) -> str:
    ood = ("mnist", "photo-patches", "fmnist-inverted", "digits8x8")[number % 4]
    return f"ood={ood}&layer={('conv1', 'conv2')[number // 4 % 2]}&view=UMAP"


async def _bare(url: str, draw: random.Random, over: Callable[[], bool], seen: Seen, *, query: str = "") -> None:
    """A session on a bare websocket; with a query it asks for what is not computed yet."""
    steps = next(m.steps for m in list_models() if m.name == "demo/lenet")
    moved = False
    while not (moved and over()):
        begun = time.monotonic()
        async with SocketSession(url, query=query) as session:
            seen.opened.append(time.monotonic() - begun)
            walk = _Walk(draw, STEPS - 1, STEPS - 1)
            while not (moved and over()):
                moved = True  # however slow the machine, everybody moves once
                await session.idle(draw.uniform(*THINK))
                walk.step()
                spent = await session.choose("Training step", f"{steps[walk.at]:,}")
                if not query:
                    seen.bare.append(spent)
                elif draw.random() < 0.2 and session.polls:
                    await asyncio.sleep(draw.uniform(0.5, 2))
                    seen.closed += 1
                    break
                else:
                    seen.lines |= {w.split("·")[1].strip() for w in session.words if "in line" in w}
                    seen.computed.append(spent + await session.until(lambda at=session: not at.polls))
                    seen.failed += sum("computing process ended" in w for w in session.words)
        seen.errors += [f"{url}: {error}" for error in session.errors]


async def _check(page: Page, seen: Seen) -> None:
    if count := await page.locator("[data-testid=stException]").count():
        seen.errors.append(f"{count} exceptions on {page.url}")


async def _watch(server: Serving, over: Callable[[], bool], seen: Seen) -> None:
    while not over():
        seen.memory.append(server.held())
        seen.load.append(os.getloadavg()[0])
        await asyncio.sleep(2)


async def _all(server: Serving, sessions: int, browsers: int, seconds: float, seed: int, seen: Seen) -> str:
    end = time.monotonic() + seconds

    def over() -> bool:
        return time.monotonic() > end

    found = chromium()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=found, args=list(FLAGS)) if browsers else None

        async def one(number: int) -> None:
            draw = random.Random(seed * 1000 + number)
            await asyncio.sleep(number * min(1.0, seconds / 5 / sessions))  # a class does not sit down at once
            try:
                if number >= browsers or browser is None:
                    await _bare(server.url, draw, over, seen, query=_address(number // 5) if number % 5 == 4 else "")
                elif number % 5 == 3:
                    await _tunes(browser, server.url, draw, over, seen)
                elif number % 5 == 4:
                    await _computes(browser, server.url, draw, over, seen, number // 5)
                else:
                    await _slides(browser, server.url, draw, over, seen)
            except (Error, TimeoutError, ConnectionClosed) as error:
                seen.errors.append(f"session {number}: {(str(error) or type(error).__name__).splitlines()[0]}")

        await asyncio.gather(_watch(server, over, seen), *(one(number) for number in range(sessions)))
        version = browser.version if browser is not None else ""
        if browser is not None:
            await browser.close()
    return version


def shares(values: list[float]) -> dict[str, float | int]:
    """{count, median, p95, most, share under one second}."""
    if len(values) < 2:
        return {"count": len(values)}
    return {
        "count": len(values),
        "median_s": round(statistics.median(values), 3),
        "p95_s": round(statistics.quantiles(values, n=20)[-1], 3),
        "most_s": round(max(values), 3),
        "under_1_s": round(sum(v < 1 for v in values) / len(values), 4),
    }


def people(
    home: Path, *, sessions: int = 20, browsers: int = 20, seconds: float = 300, seed: int = 0
) -> dict[str, Any]:
    """Runs the sessions, `browsers` of them in one Chromium, against a server of their own; its figures."""
    seen = Seen()
    with serving(home) as server:
        alone, before = server.held(), server.worked()
        with ThreadPoolExecutor(1) as apart:  # a caller may have an event loop of its own
            version = apart.submit(lambda: asyncio.run(_all(server, sessions, browsers, seconds, seed, seen))).result()
        tracebacks, worked = server.tracebacks(), server.worked() - before
    third = max(1, len(seen.memory) // 3)
    return {
        "sessions": sessions,
        "in browsers": browsers,
        "seconds": seconds,
        "chromium": version,
        "training step in browsers": shares(seen.slider),
        "alpha in browsers": shares(seen.alpha),
        "training step on websockets": shares(seen.bare),
        "all sliders": shares(seen.slider + seen.alpha + seen.bare),
        "computing": shares(seen.computed),
        "opening a page": shares(seen.opened),
        "server's processor seconds a second": round(worked / seconds, 2),
        "places seen": sorted(seen.lines),
        "computing processes that died": seen.failed,
        "tabs closed while computing": seen.closed,
        "errors": seen.errors,
        "wrong": [
            f"{count} {what}"
            for count, what in ((tracebacks, "tracebacks in the log"), (seen.failed, "computing processes died"))
            if count
        ],
        "tracebacks in the server's log": tracebacks,
        "memory_mib": {
            "at start": alone // 2**20,
            "most in the first third": max(seen.memory[:third], default=0) // 2**20,
            "most in the last third": max(seen.memory[-third:], default=0) // 2**20,
            "most": max(seen.memory, default=0) // 2**20,
        },
        "load": {"least": round(min(seen.load, default=0), 1), "most": round(max(seen.load, default=0), 1)},
    }
