"""The film's page in a real Chromium: it plays at once, its numbers are the core's, its address leads back to it."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from app.session import SHIPPED
from fssd_core.dynamics import stored_dynamics
from fssd_core.store import Store
from fssd_core.study import Study
from tests.e2e.conftest import choose, open_page

pytestmark = pytest.mark.e2e
FILM = "window.__fssdFilm?.['film-player']"


@pytest.fixture(scope="module")
def url(dashboard: str) -> str:
    return f"{dashboard}/film"


def ready(page: Any) -> None:
    page.wait_for_function(f"{FILM}?.frames > 0", timeout=60_000)


def film(page: Any, what: str) -> Any:
    return page.evaluate(f"{FILM}.{what}")


def at_rest(page: Any) -> None:
    page.wait_for_function(f"{FILM}.resting")


def value(page: Any, name: str) -> str:
    return page.locator(f"[data-value={name}]").inner_text()


def test_the_first_visit_plays_and_a_paused_place_is_found_again_by_its_address(browser, url):
    with open_page(browser, url) as page:
        ready(page)
        page.wait_for_function(f"{FILM}.playing && {FILM}.position > 1.2")
        page.locator(".stage").focus()
        page.keyboard.press("Space")
        page.wait_for_url(re.compile(r"film_step="))
        at_rest(page)
        place, numbers = film(page, "position"), page.locator(".legend").inner_text()
        picture = film(page, "pixelOf(700)")
        address = page.url
        page.wait_for_timeout(500)
        assert film(page, "position") == place
    with open_page(browser, address) as page:
        ready(page)
        at_rest(page)
        assert film(page, "position") == pytest.approx(place, abs=1e-3)
        assert page.locator(".legend").inner_text() == numbers
        assert film(page, "pixelOf(700)") == pytest.approx(picture, abs=0.2)


def test_the_numbers_of_a_step_are_the_cores(browser, url):
    numbers = stored_dynamics(Study(), store=Store(shipped=SHIPPED))
    assert numbers is not None
    with open_page(browser, f"{url}?film_step=0") as page:
        ready(page)
        assert page.locator(".badge").is_visible()
        page.locator(".stage").focus()
        for t in (0, 5, len(numbers.steps) - 1):
            page.keyboard.press("Home" if t == 0 else "End" if t > 5 else "Home")
            for _ in range(t if t == 5 else 0):
                page.keyboard.press("ArrowRight")
            page.wait_for_function(f"{FILM}.step === {numbers.steps[t]}")
            at_rest(page)
            assert value(page, "step") == f"{numbers.steps[t]:,}"
            assert value(page, "accuracy") == f"{100 * numbers.accuracy[t]:.1f} %"
            k = numbers.layers.index("logits")
            assert float(value(page, "median")) == pytest.approx(numbers.ind_median[t, k], rel=5e-3)
            for g, (name, kind) in enumerate(numbers.groups):
                row = page.locator(f"[data-group='{name}']")
                ratio = float(row.locator("[data-number=ratio]").inner_text())
                assert ratio == pytest.approx(numbers.ratio[t, k, g], abs=5.1e-3)
                if kind != "ind":
                    auroc = float(row.locator("[data-number=auroc]").inner_text())
                    assert auroc == pytest.approx(numbers.auroc[t, k, g], abs=5.1e-4)
        said = page.get_by_text(re.compile("^In logits, from untrained to step")).inner_text()
        g = [name for name, _ in numbers.groups].index("photo-patches")
        first, last = numbers.ratio[0, k, g], numbers.ratio[-1, k, g]
        assert f"photo-patches falls from {first:.2f} to {last:.2f}" in said
        assert "mnist does not" in said
        assert "Every group moves outward" in said


def test_a_link_leads_to_view_radius_layer_and_step(browser, url):
    with open_page(browser, f"{url}?film_view=PCA+around+F*&film_radius=absolute&film_step=669&layer=fc1") as page:
        ready(page)
        at_rest(page)
        assert film(page, "mode") == "absolute"
        assert film(page, "position") == pytest.approx(7.538, abs=1e-3)  # between 400 and 900
        assert page.locator(".next").inner_text() == "between 400 and 900"
        assert "Distance to F* in fc1" in page.locator("[data-chart=distance]").inner_text()
        assert "the plane holds" in page.locator(".faith").inner_text()
        page.locator("[data-mode=log]").click()
        page.wait_for_url(re.compile("film_radius=log"))
        page.get_by_role("radio", name="Around F*", exact=True).click()
        page.locator(".faith", has_text="Distance to F* is drawn exactly").wait_for(timeout=60_000)
        at_rest(page)
        assert film(page, "position") == pytest.approx(7.538, abs=1e-3)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_page_has_no_sideways_scroll(browser, url, scheme):
    with open_page(browser, f"{url}?film_step=938", width=390, height=844, color_scheme=scheme) as page:
        ready(page)
        at_rest(page)
        assert film(page, "theme") == scheme
        assert page.locator("[data-testid=stMain]").evaluate("e => e.scrollWidth - e.clientWidth") <= 1


def test_another_layer_goes_on_where_the_film_is_and_a_point_leads_to_inspect(browser, url):
    asked: list[str] = []
    with open_page(browser, "about:blank") as page:
        page.on("request", lambda request: asked.append(request.url))
        page.goto(url)
        ready(page)
        page.wait_for_function(f"{FILM}.position > 0.5")
        version = film(page, "version")
        page.wait_for_function("!document.querySelector('[data-testid=stStatusWidget]')", timeout=60_000)
        layers = page.locator("[data-testid=stSidebar] [data-testid=stSelectbox]", has_text="Layer")
        choose(page, layers.locator("input"), "fc1")
        page.wait_for_function(f"{FILM}?.version !== '{version}'", timeout=30_000)
        assert film(page, "playing"), "a new layer does not stop the film"
        assert 0.5 < film(page, "position") < 21
        page.get_by_role("button", name="Pause").click()
        at_rest(page)
        x, y = next(p for i in range(600, 700) if np.hypot(*np.subtract(p := film(page, f"pixelOf({i})"), 280)) > 60)
        box = page.locator(".stage").bounding_box()
        page.mouse.click(box["x"] + x, box["y"] + y)
        page.wait_for_function(f"{FILM}.pins.length === 1")
        page.get_by_role("button", name=re.compile("^Inspect .*, row")).click()
        page.wait_for_url("**/inspect?*")
        page.locator("h1", has_text="Inspect").wait_for()
        page.get_by_role("link", name="Film").click()
        ready(page)
        at_rest(page)
        page.wait_for_url(re.compile("film_step="))
    assert [a for a in asked if not a.startswith((url.removesuffix("/film"), "data:", "blob:", "about:"))] == []
