"""The Corruptions page in a real browser: at once, moved by a slider, with the Tuning page's alpha, narrow and dark."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from tests.e2e.conftest import SHOTS, open_page

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def url(dashboard) -> str:
    return f"{dashboard}/corruptions"


def ready(page: Any) -> None:
    page.get_by_role("heading", name="Curves of one cell").wait_for(timeout=90_000)
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot .cartesianlayer').length >= 7", timeout=60_000)
    page.wait_for_function("document.querySelectorAll('.fssd-strip li').length === 96", timeout=60_000)


def drawn(page: Any, figure: str, trace: str = "FSSD") -> list[Any]:
    """The y (or z) of the last trace of that name in a figure; of a heatmap `trace` is ''."""
    return page.evaluate(
        "([f, name]) => { const all = document.querySelector(`.st-key-corruption-${f} .js-plotly-plot`)._fullData;"
        "const t = name ? all.filter(t => t.name.startsWith(name)).at(-1) : all[0];"
        "return [...(t.z ?? t.y)].flatMap(v => v.length ? [...v] : v); }", [figure, trace],
    )  # fmt: skip


def wait_until_drawn(page: Any, figure: str, before: list[Any], *, same: bool = False, trace: str = "FSSD") -> None:
    """Waits until a figure shows other numbers than before, or the same again."""
    end = time.monotonic() + 60
    while (drawn(page, figure, trace) == before) is not same:
        assert time.monotonic() < end, f"{figure} does not follow"
        page.wait_for_timeout(100)


FOLLOWING = {"lines": "FSSD", "boxes": "FSSD", "heat": "", "difference": "", "accuracy": "rejected", "roc": "FSSD"}


def test_the_page_stands_and_all_of_it_follows_alpha_the_cell_and_the_image(browser, url):
    with open_page(browser, url, height=1400) as page:
        ready(page)
        start = drawn(page, "lines")
        assert len(start) == 5
        assert start[0] < start[-1]
        rejected = page.locator(".fssd-strip li.rejected").count()
        assert 0 < rejected < 96
        sprite = page.locator(".fssd-strip i").first.evaluate("e => getComputedStyle(e).backgroundImage")
        assert sprite.startswith('url("data:image/png'), "the pictures are there"
        assert page.locator(".fssd-strip i").first.evaluate("e => e.getBoundingClientRect().height") > 20
        assert page.get_by_role("button", name=re.compile("^Save")).count() == 7
        shown = {figure: drawn(page, figure, trace) for figure, trace in FOLLOWING.items()}
        others, scores = drawn(page, "lines", "ODIN"), page.locator(".fssd-strip").inner_text()
        slider = page.get_by_role("slider", name="fc1")
        slider.focus()
        slider.press("Home")
        for figure, trace in FOLLOWING.items():
            wait_until_drawn(page, figure, shown[figure], trace=trace)
        assert drawn(page, "lines", "ODIN") == others, "alpha is FSSD's alone"
        assert page.locator(".fssd-strip").inner_text() != scores
        page.get_by_role("button", name="logistic on mnist", exact=True).click()
        page.get_by_text(re.compile("Labels used for alpha: .*mnist")).wait_for()
        page.get_by_role("button", name="pseudo-ood", exact=True).click()
        wait_until_drawn(page, "lines", start, same=True)
        page.get_by_text("Every comparison, with intervals").click()
        page.locator("[data-testid=stExpander] [data-testid=stDataFrame]").wait_for()
        page.screenshot(path=str(SHOTS / "corruptions.png"), full_page=True)
        cell = drawn(page, "roc")
        page.get_by_role("slider", name="Severity").focus()
        page.keyboard.press("End")
        wait_until_drawn(page, "roc", cell)
        assert drawn(page, "lines") == start
        picture = page.locator(".fssd-strip i").first.evaluate("e => getComputedStyle(e).backgroundImage")
        page.get_by_role("combobox", name=re.compile("Image$")).click()
        page.keyboard.type("Sandal")
        page.keyboard.press("Enter")
        page.wait_for_function(
            "before => getComputedStyle(document.querySelector('.fssd-strip i')).backgroundImage !== before",
            arg=picture, timeout=60_000,
        )  # fmt: skip
        page.get_by_text("It is labelled Sandal").wait_for()


def test_what_was_tuned_by_hand_is_in_force_here(browser, url):
    with open_page(browser, url.replace("/corruptions", "/tuning")) as page:
        page.wait_for_function("window.__fssdCockpit?.['tuning-cockpit']?.metrics?.auroc > 0", timeout=60_000)
        page.get_by_role("slider", name=re.compile("conv1")).first.focus()
        page.keyboard.press("Home")
        page.wait_for_function("location.search.includes('alpha=-1')")
        page.get_by_role("link", name="Corruptions").click()
        ready(page)
        slider = page.get_by_role("slider", name="conv1")
        assert float(slider.evaluate("e => e.value ?? e.getAttribute('aria-valuenow')")) == -1
        page.get_by_text(re.compile("by the Tuning page's rule")).wait_for()


def test_a_narrow_dark_page_has_no_sideways_scroll(browser, url):
    with open_page(browser, url, width=390, height=844, color_scheme="dark", has_touch=True) as page:
        ready(page)
        main = page.locator("[data-testid=stMain]")
        assert main.evaluate("e => e.scrollWidth - e.clientWidth") <= 1
        box = page.locator(".fssd-strip").bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
