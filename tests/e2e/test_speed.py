"""The page 'Why it concentrates' in a real Chromium: speeds, frame of motion, the kernel and what they say."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.e2e.conftest import choose, has_count, open_page

pytestmark = pytest.mark.e2e


DATA = "document.querySelector('.st-key-{}-figure .js-plotly-plot')?.data"


def curve(page: Any, key: str, group: str) -> list[float]:
    """The heights of one group's curve in a chart, as Plotly holds them."""
    data = DATA.format(key)
    page.wait_for_function(f"{data}?.some(t => t.name === '{group}')", timeout=60_000)
    return page.evaluate(f"Array.from({data}.find(t => t.name === '{group}').y)")


def test_the_speeds_and_the_kernel_say_where_the_explanation_holds_and_where_it_fails(browser: Any, dashboard: str):
    with open_page(browser, f"{dashboard}/speed?layer=logits") as page:
        page.set_default_timeout(60_000)
        page.get_by_role("heading", name="Speed over ind’s speed, layer logits").wait_for()
        assert curve(page, "speed-exact", "fmnist:test") == [1.0] * 23, "every speed is over that of ind"
        fixed = curve(page, "speed-exact", "mnist")
        assert min(fixed) > 0
        assert max(fixed) > 1 > fixed[-1], "MNIST moves faster than ind at first, slower in the end"
        for badge in ("holds", "fails"):
            page.locator("[data-testid=stMarkdown] li", has_text=re.compile(rf"^{badge} ")).first.wait_for()
        page.get_by_role("radio", name="as F* sees it").click()
        same = f"{DATA.format('speed-exact')}?.find(t => t.name === 'mnist')?.y"
        page.wait_for_function(f"old => {{ const y = {same}; return y && y.some((v, i) => v !== old[i]) }}", arg=fixed)
        page.wait_for_function(f"{DATA.format('kernel-block')}?.[0].z.length === 80")
        choose(
            page,
            page.locator("[data-testid=stSidebar] [data-testid=stSelectbox]", has_text="Layer").locator("input"),
            "conv1",
        )
        page.get_by_role("heading", name="Speed over ind’s speed, layer conv1").wait_for()
        page.get_by_text("All layers").click()
        has_count(page.locator("[data-testid=stDataFrame]:visible"), 1)
        has_count(page.locator("[data-testid=stException]"), 0)


def test_a_narrow_dark_page_keeps_its_charts_inside(browser: Any, dashboard: str):
    with open_page(browser, f"{dashboard}/speed", width=390, height=844, color_scheme="dark") as page:
        curve(page, "speed-exact", "mnist")
        main = page.locator("[data-testid=stMain]")
        assert main.evaluate("e => e.scrollWidth - e.clientWidth") <= 1
        for frame in page.locator(".js-plotly-plot").all():
            box = frame.bounding_box()
            assert box is None or box["x"] + box["width"] <= 390
