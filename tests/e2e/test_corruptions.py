"""The Corruptions page in a real browser: at once, moved by a slider, with the Tuning page's alpha, narrow and dark."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.e2e.conftest import SHOTS, open_page

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def url(dashboard) -> str:
    return f"{dashboard}/corruptions"


def ready(page: Any) -> None:
    page.get_by_role("heading", name="Curves of one cell").wait_for(timeout=90_000)
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot .plot').length >= 7", timeout=60_000)
    page.wait_for_function("document.querySelectorAll('.fssd-strip li').length === 96", timeout=60_000)


def mean_of_fssd(page: Any) -> list[float]:
    """What the first figure draws for FSSD."""
    return page.evaluate(
        "[...document.querySelector('.js-plotly-plot').data.find(t => t.name === 'FSSD' && "
        "t.mode === 'lines+markers').y]"
    )


def test_the_page_stands_and_follows_alpha(browser, url):
    with open_page(browser, url, height=1400) as page:
        ready(page)
        before = mean_of_fssd(page)
        assert len(before) == 5
        assert before[0] < before[-1]
        rejected = page.locator(".fssd-strip li.rejected").count()
        assert 0 < rejected < 96
        sprite = page.locator(".fssd-strip i").first.evaluate("e => getComputedStyle(e).backgroundImage")
        assert sprite.startswith('url("data:image/png'), "the pictures are there"
        assert page.locator(".fssd-strip i").first.evaluate("e => e.getBoundingClientRect().height") > 20
        slider = page.get_by_role("slider", name="conv1")
        slider.focus()
        slider.press("Home")
        page.wait_for_function(
            "before => document.querySelector('.js-plotly-plot').data.find(t => t.name === 'FSSD' && "
            "t.mode === 'lines+markers').y[0] !== before", arg=before[0],
        )  # fmt: skip
        page.get_by_role("button", name="logistic on mnist", exact=True).click()
        page.get_by_text(re.compile("Labels used for alpha: .*mnist")).wait_for()
        page.get_by_role("button", name="uniform", exact=True).click()
        page.wait_for_function(
            "before => document.querySelector('.js-plotly-plot').data.find(t => t.name === 'FSSD' && "
            "t.mode === 'lines+markers').y[0] === before", arg=before[0],
        )  # fmt: skip
        page.screenshot(path=str(SHOTS / "corruptions.png"), full_page=True)


def test_what_was_tuned_by_hand_is_in_force_here(browser, url):
    with open_page(browser, url.replace("/corruptions", "/tuning")) as page:
        page.wait_for_function("window.__fssdCockpit?.['tuning-cockpit']?.metrics?.auroc > 0", timeout=60_000)
        page.get_by_role("slider", name=re.compile("conv1")).first.focus()
        page.keyboard.press("Home")
        page.wait_for_function("location.search.includes('alpha=-1')")
        page.get_by_role("link", name="Corruptions").click()
        ready(page)
        assert page.get_by_role("slider", name="conv1").get_attribute("aria-valuenow") == "-1"
        page.get_by_text(re.compile("by the Tuning page's rule")).wait_for()


def test_a_narrow_dark_page_has_no_sideways_scroll(browser, url):
    with open_page(browser, url, width=390, height=844, color_scheme="dark", has_touch=True) as page:
        ready(page)
        main = page.locator("[data-testid=stMain]")
        assert main.evaluate("e => e.scrollWidth - e.clientWidth") <= 1
        box = page.locator(".fssd-strip").bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
