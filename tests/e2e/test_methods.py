"""The Methods page in a real browser: at once from what ships, protocols, highlights, curves, narrow and dark."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.conftest import SHOTS, open_page

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def url(dashboard) -> str:
    return f"{dashboard}/methods?against=mnist"


def ready(page: Any, charts: int) -> None:
    page.get_by_role("heading", name="When each method fails").wait_for(timeout=90_000)
    page.wait_for_function(f"document.querySelectorAll('.js-plotly-plot .bglayer').length >= {charts}", timeout=60_000)


def names_of(page: Any, number: int) -> list[str]:
    """Names of the traces of a figure that stand in its legend."""
    return page.evaluate(
        "n => document.querySelectorAll('.js-plotly-plot')[n].data.filter(t => t.showlegend).map(t => t.name)", number
    )


def test_all_methods_stand_at_once_and_follow_protocol_and_choice(browser, url):
    with open_page(browser, url, height=1500) as page:
        ready(page, 4)
        page.get_by_text("Best here:").wait_for()
        assert page.get_by_role("button", name="Compute them").count() == 0
        assert set(names_of(page, 1)) == {
            *("fssd", "msp", "odin", "mahalanobis", "deep-ensemble", "mc-dropout", "outlier-exposure")
        }
        page.get_by_text("Only the good corner").click()
        page.wait_for_function("document.querySelectorAll('.js-plotly-plot')[1].layout.yaxis.range[0] === 0.7")
        page.get_by_role("radio", name="PR", exact=True).click()
        page.wait_for_function(
            "document.querySelectorAll('.js-plotly-plot')[1].layout.xaxis.title.text.startsWith('recall')"
        )
        page.screenshot(path=str(SHOTS / "methods.png"), full_page=True)
        page.get_by_role("radiogroup", name="Protocol", exact=True).get_by_text("no-ood-labels").click()
        page.get_by_text("parameters at their defaults, no ood image seen before the test").wait_for()
        page.wait_for_function("location.search.includes('protocol=no-ood-labels')")
        page.get_by_text("All 36 methods: when each fails").click()
        page.wait_for_function("document.querySelectorAll('[data-testid=stDataFrame] canvas').length >= 2")


def test_a_narrow_dark_page_has_no_sideways_scroll(browser, url):
    with open_page(browser, url, width=390, height=844, color_scheme="dark", has_touch=True) as page:
        ready(page, 4)
        main = page.locator("[data-testid=stMain]")
        assert main.evaluate("e => e.scrollWidth - e.clientWidth") <= 1
