"""Live training in a real Chromium: to its end, found again after a reload, two at once, stopped, opened elsewhere."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.e2e.conftest import has_count, open_page

pytestmark = pytest.mark.e2e
POINTS = 600 + 3 * 150 + 100


@pytest.fixture(scope="module")
def url(dashboard: str) -> str:
    return f"{dashboard}/train"


def choose(page: Any, label: str, option: str) -> None:
    box = page.get_by_role("combobox", name=label, exact=False).first
    box.click()
    page.get_by_role("option", name=option, exact=True).click()


def start(page: Any, *, epochs: int) -> str:
    """Trains an MLP for that many epochs from the page's own form; gives the run's id once it draws."""
    page.get_by_role("heading", name="Train a network and watch").wait_for(timeout=60_000)
    before = known(page)
    choose(page, "Architecture", "MLP, two hidden layers")
    page.get_by_label("Epochs", exact=True).fill(str(epochs))
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Train", exact=True).click()
    fresh = "before => Object.keys(window.__fssdScatter ?? {}).find(k => k.startsWith('live-') && !before.includes(k))"
    name = page.wait_for_function(fresh, arg=before, timeout=120_000).json_value()
    page.wait_for_function(f"{probe(name)}?.drawn + {probe(name)}?.outside === {POINTS}", timeout=60_000)
    return name.removeprefix("live-")


def known(page: Any) -> list[str]:
    return page.evaluate("Object.keys(window.__fssdScatter ?? {}).filter(k => k.startsWith('live-'))")


def probe(name: str) -> str:
    return f"window.__fssdScatter?.['{name}']"


def step(page: Any, which: int = 0) -> int:
    words = page.get_by_text(re.compile(r"step [\d,]+ of [\d,]+ · epoch")).nth(which).inner_text()
    return int(re.search(r"step ([\d,]+)", words).group(1).replace(",", ""))


def moves_on(page: Any, which: int = 0) -> None:
    """Waits until the page itself shows a later step."""
    now = step(page, which)
    for _ in range(300):
        page.wait_for_timeout(200)
        if step(page, which) > now:
            return
    raise AssertionError(f"the page still shows step {now}")


def stop(page: Any, *, left: int) -> None:
    """Stops the first active run and waits until the page shows that many others."""
    buttons = page.get_by_role("button", name="Stop run", exact=True)
    buttons.nth(left).wait_for(timeout=60_000)
    buttons.first.click()
    buttons.nth(left).wait_for(state="detached", timeout=60_000)


def test_a_tiny_run_ends_and_opens_on_the_features_page(browser: Any, url: str) -> None:
    with open_page(browser, url, height=1400) as page:
        run = start(page, epochs=1)
        page.get_by_text("done", exact=True).first.wait_for(timeout=120_000)
        assert step(page) == 157
        page.get_by_role("button", name="Features", exact=True).first.click()
        page.get_by_role("heading", name="Features around F*").wait_for(timeout=60_000)
        page.wait_for_function("window.__fssdScatter?.['features-scatter']?.drawn > 0", timeout=120_000)
        page.get_by_text("layer logits · step 157").first.wait_for(timeout=60_000)
        assert page.get_by_role("combobox", name="Model").input_value() == f"run/{run}"
        page.get_by_role("link", name="Train", exact=True).click()
        page.get_by_role("heading", name="Runs").wait_for(timeout=60_000)
        row = page.locator("[data-testid=stVerticalBlock]", has_text=f"run/{run}").last
        row.get_by_role("button", name="Delete").first.click()
        page.get_by_role("button", name="Delete for good").click()
        page.get_by_text(f"run/{run}").first.wait_for(state="detached", timeout=60_000)


def test_a_run_trains_before_ones_eyes_is_found_after_a_reload_and_stops(browser: Any, url: str) -> None:
    with open_page(browser, url, height=1400) as page:
        run = start(page, epochs=200)
        name = f"live-{run}"
        moves_on(page)
        stage = page.locator("[data-group=mnist]").first
        stage.click()
        page.wait_for_function(f"{probe(name)}?.drawn + {probe(name)}?.outside === {POINTS - 150}")
        moves_on(page)
        assert page.evaluate(f"{probe(name)}?.drawn + {probe(name)}?.outside") == POINTS - 150, (
            "what was hidden stays so"
        )
        has_count(page.locator(".stPlotlyChart:visible"), 3)
        assert re.search(r"photo-patches \d\.\d\d → \d\.\d\d · AUROC", page.locator("body").inner_text())
        page.goto(url)  # nothing in the address says which run
        page.get_by_role("button", name="Stop run", exact=True).wait_for(timeout=60_000)
        moves_on(page)
        with open_page(browser, url, height=1400) as other:  # a second session trains beside the first
            other.get_by_role("button", name="Stop run", exact=True).wait_for(timeout=60_000)
            other.wait_for_function(f"{probe(name)}?.drawn > 0", timeout=60_000)
            start(other, epochs=200)
            moves_on(other, 0)
            moves_on(other, 1)
            other.get_by_role("button", name="Train", exact=True).click()
            other.get_by_text("2 runs are active already").wait_for(timeout=30_000)
            other.reload()
            stop(other, left=1)
            stop(other, left=0)
        page.get_by_role("button", name="Continue", exact=True).first.wait_for(timeout=60_000)
