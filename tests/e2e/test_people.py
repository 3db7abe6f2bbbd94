"""Several people on one server: own uploads, a visible place in the line, cancelled work, closed tabs."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

from benchmarks.socket_session import SocketSession
from fssd_core.data import load_data
from tests.e2e.conftest import ROOT, SHOTS, open_page, serve
from tests.e2e.test_app import DEMO_POINTS, choose_ood, drawn, packed, upload

pytestmark = pytest.mark.e2e
LONG = "film_view=umap&layer=conv1&ood="  # a film nobody has computed: 23 UMAPs


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def url(home) -> Iterator[str]:
    with serve(ROOT / "app" / "main.py", env={"FSSD_HOME": str(home), "FSSD_DATA_ROOT": "", "FSSD_WORKERS": "1"}) as at:
        yield at


@contextmanager
def somebody(url: str, ood: str, words: str) -> Iterator[None]:
    """Another session that asks for a long film, on a websocket of its own; it says these words meanwhile."""
    over, ready, problem = threading.Event(), threading.Event(), []

    async def live() -> None:
        async with SocketSession(url, page="film", query=LONG + ood) as session:
            await session.until(lambda: session.has(words), seconds=60)
            ready.set()
            while not over.is_set():
                await session.idle(0.2)

    def run() -> None:
        try:
            asyncio.run(live())
        except Exception as error:  # noqa: BLE001 - told by the test's own thread
            problem.append(error)
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(90)
        assert not problem, problem
        yield
    finally:
        over.set()
        thread.join(30)


def test_nobody_sees_what_another_one_uploaded(browser, url, home):
    with open_page(browser, url) as hers:
        drawn(hers)
        own = load_data("fmnist-rotated").take(np.arange(400)).images
        upload(hers, "Images", "secret-set.npz", packed(own))
        hers.get_by_text("Now offered under ind and ood").wait_for(timeout=60_000)
        choose_ood(hers, "secret-set.npz")
        drawn(hers, DEMO_POINTS + 300)
        path = next((home / "uploads").rglob("secret-set.npz"))
        for address in ("/", f"/?ood={quote(str(path))}", f"/inspect?set={quote(str(path))}&row=1"):
            with open_page(browser, url + address) as his:
                his.locator("h1").wait_for(timeout=60_000)
                his.wait_for_timeout(1500)
                assert "secret-set" not in his.locator("body").inner_text()
                box = his.locator("[data-testid=stMultiSelect] input").first
                box.fill("secret")
                assert his.get_by_role("option", name=re.compile("secret")).count() == 0
        assert re.fullmatch(r"[0-9a-f]{16}", path.relative_to(home / "uploads").parts[0])
        drawn(hers, DEMO_POINTS + 300)


def test_the_place_in_the_line_is_seen_the_demo_does_not_wait_and_closed_tabs_leave(browser, url):
    with somebody(url, "digits8x8", "of"), somebody(url, "fmnist-rotated", "1st in line, 1 at work"):
        with open_page(browser, url) as page:
            drawn(page)  # stored results, while others compute
        with open_page(browser, "about:blank") as page:
            page.goto(f"{url}/film?{LONG}fmnist-shuffled", wait_until="commit", timeout=60_000)
            page.get_by_text("2nd in line, 1 at work").wait_for(timeout=60_000)
            shots(browser, page, "line")
            page.get_by_role("button", name="Cancel").click()
            page.get_by_text("stopped").wait_for(timeout=30_000)
            shots(browser, page, "cancelled")
            page.get_by_role("button", name="Try again").click()
            page.get_by_text("2nd in line, 1 at work").wait_for(timeout=60_000)
    with open_page(browser, "about:blank") as page:
        page.goto(f"{url}/film?{LONG}photo-patches&ood=digits8x8", wait_until="commit", timeout=60_000)
        page.get_by_text(re.compile(r"Film of conv1.*( of \d+|starts)")).wait_for(timeout=90_000)  # the others are gone
        assert page.get_by_text("in line").count() == 0
        page.get_by_role("button", name="Cancel").click()
        page.get_by_text("stopped").wait_for(timeout=30_000)


def shots(browser: Any, page: Any, name: str) -> None:
    """Pictures to look at: wide and narrow, in the page's own scheme and the dark one."""
    SHOTS.mkdir(exist_ok=True)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for width in (1440, 390):
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_timeout(400)
            page.screenshot(path=SHOTS / f"people-{name}-{scheme}-{width}.png")
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1440, "height": 900})
