"""The film alone in a real Chromium: playing, scrubbing, keys, legend, trails, charts, saving, both ways of drawing."""

from __future__ import annotations

import io
import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.e2e.conftest import open_page, serve
from tests.film_maker import STEPS, made_dynamics, made_film

pytestmark = pytest.mark.e2e
HARNESS = Path(__file__).with_name("harness_film.py")
POINTS, PHOTOS = 160, 30
FILM = "window.__fssdFilm?.harness"
LAST = len(STEPS) - 1
BADGE = "[...document.querySelectorAll('*')].map((e) => e.shadowRoot?.querySelector('.badge')).find(Boolean)"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serve(HARNESS, str(POINTS)) as address:
        yield address


@pytest.fixture(scope="module")
def page(browser: Any, url: str) -> Iterator[Any]:
    """One wide page for the tests that leave the film as they found it: at rest, nothing hidden or pinned."""
    with open_page(browser, url, color_scheme="light") as opened:
        ready(opened)
        yield opened


def ready(page: Any) -> None:
    page.wait_for_function(f"{FILM}?.frames > 0 && window.__fssdAtlas?.size > 0", timeout=60_000)
    page.wait_for_function(f"{FILM}.playing || {FILM}.resting")


def film(page: Any, what: str) -> Any:
    return page.evaluate(f"{FILM}.{what}")


def told(page: Any) -> dict[str, Any]:
    """What Python last heard."""
    return json.loads(page.locator("[data-testid=stCode] code").inner_text())


def heard(page: Any, step: float, radius: str = "median") -> None:
    words = json.dumps({"step": float(step), "radius": radius, "by_user": True})[:-1]
    page.locator("[data-testid=stCode] code", has_text=words).wait_for(timeout=15_000)


def value(page: Any, name: str) -> str:
    return page.locator(f"[data-value={name}]").inner_text()


def go(page: Any, place: int) -> None:
    """To a checkpoint by keys, from the first on."""
    page.locator(".stage").focus()
    page.keyboard.press("Home")
    for _ in range(place):
        page.keyboard.press("ArrowRight")
    page.wait_for_function(f"{FILM}.position === {place} && {FILM}.resting")


def test_play_goes_on_pause_stops_and_python_hears_of_the_rest(page):
    go(page, 0)
    page.get_by_role("button", name="Play", exact=True).click()
    page.wait_for_function(f"{FILM}.playing && {FILM}.position > 0.5")
    page.get_by_role("button", name="Pause").click()
    page.wait_for_function(f"{FILM}.resting")
    stopped = film(page, "position")
    page.wait_for_timeout(400)
    assert film(page, "position") == stopped
    assert 0.5 < stopped < LAST
    k = int(stopped)
    step = STEPS[k] + (STEPS[k + 1] - STEPS[k]) * (stopped - k)
    heard(page, round(step, 3))
    assert told(page)["step"] == pytest.approx(step, abs=1e-3)
    assert page.locator(".next").inner_text() == f"between {STEPS[k]:,} and {STEPS[k + 1]:,}"


def test_the_end_stops_and_play_begins_again(page):
    page.get_by_role("button", name="4×").click()
    page.locator(".scrubber").evaluate("(e, at) => { e.value = at; e.dispatchEvent(new Event('input')); }", LAST - 0.3)
    page.keyboard.press("k")
    page.wait_for_function(f"{FILM}.resting && {FILM}.position === {LAST}")
    heard(page, STEPS[-1])
    page.locator(".stage").focus()
    page.keyboard.press("Space")
    page.wait_for_function(f"{FILM}.playing && {FILM}.position > 0.1 && {FILM}.position < {LAST - 1}")
    page.keyboard.press("Space")
    page.wait_for_function(f"{FILM}.resting")
    page.get_by_role("button", name="1×").click()


def test_loop_goes_round(page):
    page.get_by_role("button", name="4×").click()
    loop = page.get_by_role("button", name="Loop")
    loop.click()
    assert loop.get_attribute("aria-pressed") == "true"
    page.locator(".scrubber").evaluate("(e, at) => { e.value = at; e.dispatchEvent(new Event('input')); }", LAST - 0.3)
    page.get_by_role("button", name="Play", exact=True).click()
    page.wait_for_function(f"{FILM}.playing && {FILM}.position < 2")
    loop.click()
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="1×").click()
    page.wait_for_function(f"{FILM}.resting")


@pytest.mark.parametrize("place", [0, 4, LAST])
def test_the_numbers_of_a_checkpoint_are_those_of_the_core(page, place):
    go(page, place)
    numbers = made_dynamics(made_film(POINTS))
    assert value(page, "step") == f"{STEPS[place]:,}"
    assert value(page, "accuracy") == f"{100 * numbers.accuracy[place]:.1f} %"
    for g, (name, kind) in enumerate(numbers.groups):
        row = page.locator(f"[data-group={name}]")
        mean, median = numbers.mean[place, 1, g], numbers.ind_median[place, 1]
        assert float(row.locator("[data-number=distance]").inner_text()) == pytest.approx(mean, rel=5e-3)
        assert float(row.locator("[data-number=ratio]").inner_text()) == pytest.approx(mean / median, abs=5.1e-3)
        auroc = row.locator("[data-number=auroc]").inner_text()
        assert auroc == "–" if kind == "ind" else float(auroc) == pytest.approx(numbers.auroc[place, 1, g], abs=5.1e-4)
    opacity = "1" if place == 0 else "0"
    page.wait_for_function(f"{BADGE} && getComputedStyle({BADGE}).opacity === '{opacity}'")  # it fades
    heard(page, STEPS[place])


def test_points_lie_where_the_film_says_and_move_straight(page):
    made = made_film(POINTS)
    go(page, 3)
    scale = np.hypot(*np.subtract(film(page, "pixelOf(0)"), center(page))) / (made.distance[3, 0] / made.ind_median[3])
    for i in (0, 70, 159):
        radius, angle = made.distance[3, i] / made.ind_median[3], made.angle[3, i]
        want = np.add(center(page), [scale * radius * np.cos(angle), -scale * radius * np.sin(angle)])
        np.testing.assert_allclose(film(page, f"pixelOf({i})"), want, atol=0.6)
    places = []
    for at in (3, 3.25, 4):
        film(page, f"seek({at})")
        places.append(film(page, "pixelOf(70)"))
    np.testing.assert_allclose(places[1], np.add(np.multiply(places[0], 0.75), np.multiply(places[2], 0.25)), atol=1e-3)


def center(page: Any) -> list[float]:
    box = page.locator(".stage").bounding_box()
    return [box["width"] / 2, box["height"] / 2]


def test_the_absolute_radius_shows_that_every_group_moves_outward(page):
    go(page, 0)
    page.locator("[data-mode=absolute]").click()
    page.wait_for_function(f"{FILM}.mode === 'absolute' && {FILM}.resting")
    heard(page, 0, "absolute")
    before = {c["name"]: c["radius"] for c in film(page, "circles()")}
    go(page, LAST)
    after = {c["name"]: c["radius"] for c in film(page, "circles()")}
    assert all(after[name] > before[name] for name in before)
    made = made_film(POINTS)
    for group in made.groups:
        mean = made.distance[-1, group.start : group.stop].mean(dtype=np.float64) / made.ind_median[-1]
        assert after[group.name] == pytest.approx(mean, rel=1e-5)
    title = page.locator("[data-chart=distance] .chart-unit").inner_text()
    assert title == "‖F − F*‖"
    page.locator("[data-mode=median]").click()
    page.wait_for_function(f"{FILM}.mode === 'median' && {FILM}.resting")


def test_the_legend_hides_shows_and_isolates(page):
    all_inked = film(page, "inked()")
    photos = page.locator("[data-group=photos]")
    photos.click()
    page.wait_for_function(f"{FILM}.shown === {POINTS - PHOTOS}")
    assert photos.get_attribute("aria-pressed") == "false"
    assert film(page, "inked()") < all_inked
    photos.press("i")
    page.wait_for_function(f"{FILM}.shown === {PHOTOS}")
    page.get_by_role("button", name="Show all").click()
    page.wait_for_function(f"{FILM}.shown === {POINTS}")
    assert film(page, "inked()") == all_inked


def test_a_clicked_point_leaves_a_trail_and_leads_to_inspect(page):
    go(page, 4)
    x, y = film(page, "pixelOf(75)")
    box = page.locator(".stage").bounding_box()
    page.mouse.move(box["x"] + x, box["y"] + y)
    tip = page.locator(".tooltip")
    tip.wait_for()
    index = 75
    made = made_film(POINTS)
    text = tip.inner_text()
    assert re.search(rf"photos\s+row {made.groups[1].rows[index - 60]}\s+[\d.]+ from F\*", text), text
    assert float(re.search(r"([\d.]+) from F\*", text)[1]) == pytest.approx(made.distance[4, index], rel=5e-3)
    assert tip.locator("canvas.tip-image").count() == 1
    page.mouse.click(box["x"] + x, box["y"] + y)
    page.wait_for_function(f"{FILM}.pins.length === 1")
    trail = film(page, f"trailOf({index})")
    want = made.distance[:5, index] / made.ind_median[:5]
    np.testing.assert_allclose(np.hypot(*np.transpose(trail)), want, rtol=1e-3)
    page.get_by_role("button", name=re.compile("Inspect photos, row")).click()
    page.locator("[data-testid=stCode] code", has_text='"opened": [["photos", 25]]').wait_for(timeout=15_000)
    assert film(page, "pins") == [index]
    page.get_by_role("button", name=re.compile("Let go of photos, row 25")).click()
    page.wait_for_function(f"{FILM}.pins.length === 0")


def test_points_can_be_reached_and_followed_by_keys(page):
    page.mouse.move(5, 5)
    go(page, LAST)
    page.keyboard.press("n")
    live = page.locator(".unseen")
    made = made_film(POINTS)
    nearest = int(np.argmin(made.distance[-1]))
    assert live.inner_text().startswith(f"noise, row {nearest - made.groups[-1].start + 40}: distance")
    page.keyboard.press("Enter")
    page.wait_for_function(f"{FILM}.pins.length === 1")
    page.keyboard.press("Enter")
    page.wait_for_function(f"{FILM}.pins.length === 0")
    page.keyboard.press("Escape")


def test_a_chart_scrubs_and_compares_layers(page):
    go(page, 0)
    plot = page.locator("[data-chart=auroc] .plot").bounding_box()
    page.mouse.move(plot["x"] + 40, plot["y"] + 40)
    page.mouse.down()
    page.mouse.move(plot["x"] + 36 + (plot["width"] - 36 - 108) * 6.5 / LAST, plot["y"] + 40, steps=4)
    assert film(page, "position") == pytest.approx(6.5, abs=0.1)
    page.mouse.up()
    page.wait_for_function(f"{FILM}.resting")
    page.get_by_label("Compare AUROC").select_option("photos")
    chart = page.locator("[data-chart=auroc]")
    assert "AUROC of each layer, photos" in chart.inner_text()
    assert re.search(r"conv from [\d.]+ to [\d.]+; fc1 from", chart.get_attribute("aria-label"))
    page.get_by_label("Compare AUROC").select_option("")
    assert "AUROC in fc1" in chart.inner_text()


def test_another_view_keeps_the_place(page):
    go(page, 5)
    for name in ("pca", "umap", "spokes"):
        version = film(page, "version")
        page.get_by_role("radio", name=name, exact=True).click()
        page.wait_for_function(f"{FILM}?.version !== '{version}' && {FILM}?.resting", timeout=15_000)
        assert film(page, "position") == 5
    assert "PC 1" not in page.locator(".stage").get_attribute("aria-label")


def test_mounted_again_it_goes_on_where_it_was(page):
    def away_and_back() -> None:
        page.get_by_text("away", exact=True).click()
        page.wait_for_function(f"!{FILM}")
        page.get_by_text("away", exact=True).click()
        page.wait_for_function(f"{FILM}?.frames > 0")

    go(page, 5)
    page.locator("[data-mode=absolute]").click()
    away_and_back()
    page.wait_for_function(f"{FILM}.resting")
    assert film(page, "position") == 5
    heard(page, STEPS[5], "absolute")
    page.locator("[data-mode=median]").click()
    go(page, 0)
    page.get_by_role("button", name="Play", exact=True).click()
    page.wait_for_function(f"{FILM}.position > 1.2")
    away_and_back()
    assert film(page, "playing")
    assert film(page, "position") > 1.2
    page.get_by_role("button", name="Pause").click()
    page.wait_for_function(f"{FILM}.resting")


def test_a_frame_is_saved_as_picture_and_as_drawing(page, tmp_path):
    go(page, 2)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save this frame as SVG").click()
    assert download.value.suggested_filename == "fssd-film-fc1-spokes-step-10.svg"
    download.value.save_as(tmp_path / "frame.svg")
    root = ElementTree.parse(tmp_path / "frame.svg").getroot()
    words = [e.text for e in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"F*", "Around F* · layer fc1", "Test accuracy", "untrained: baseline"} <= set(words)
    assert sum(1 for e in root.iter("{http://www.w3.org/2000/svg}path") if e.get("fill") == "#0072b2") >= 60
    with page.expect_download() as download:
        page.get_by_role("button", name="Save this frame as PNG").click()
    download.value.save_as(tmp_path / "frame.png")
    picture = Image.open(tmp_path / "frame.png").convert("RGB")
    colours = {colour for _, colour in picture.getcolors(1 << 24)}
    assert (0, 0x72, 0xB2) in colours
    assert picture.width > 1500


def test_webgl_draws_the_same_and_its_loss_is_survived(browser, url):
    with open_page(browser, f"{url}/?renderer=canvas&step=100") as page:
        ready(page)
        stamped = film(page, "inked()")
    with open_page(browser, f"{url}/?renderer=webgl&step=100") as page:
        ready(page)
        if film(page, "renderer") != "webgl":
            pytest.skip("this Chromium has no WebGL 2")
        assert film(page, "inked()") == pytest.approx(stamped, rel=0.05)
        page.evaluate(
            "[...document.querySelectorAll('*')].map((e) => e.shadowRoot?.querySelector('.stage canvas:nth-child(2)'))"
            ".find(Boolean).getContext('webgl2').getExtension('WEBGL_lose_context').loseContext()"
        )
        page.wait_for_function(f"{FILM}.renderer === 'canvas'")
        assert film(page, "inked()") == pytest.approx(stamped, rel=0.01)


def test_it_plays_by_itself_unless_less_motion_is_wanted(browser, url):
    with open_page(browser, f"{url}/?autoplay=1") as page:
        ready(page)
        page.wait_for_function(f"{FILM}.playing && {FILM}.position > 0.2")
    with open_page(browser, f"{url}/?autoplay=1", reduced_motion="reduce") as page:
        ready(page)
        assert not film(page, "playing")
        assert film(page, "position") == LAST


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_page_fits_and_follows_the_theme(browser, url, scheme):
    with open_page(browser, f"{url}/?large=1", width=390, height=844, color_scheme=scheme) as page:
        ready(page)
        assert film(page, "theme") == scheme
        main = page.locator("[data-testid=stMain]")
        assert main.evaluate("e => e.scrollWidth - e.clientWidth") <= 1
        box = page.locator(".stage").bounding_box()
        assert 280 < box["width"] <= 390
        assert box["height"] < 480
        shade = Image.open(io.BytesIO(page.locator(".stage").screenshot())).convert("L").resize((1, 1)).getpixel((0, 0))
        assert (shade < 110) == (scheme == "dark")


def test_without_numbers_over_training_the_film_stands_alone(browser, url):
    with open_page(browser, f"{url}/?charts=0&step=5") as page:
        ready(page)
        assert page.locator("figure.chart").count() == 0
        assert value(page, "step") == "5"
        assert page.locator("[data-group=photos] [data-number=auroc]").inner_text() == "–"
        made = made_film(POINTS)
        mean = made.distance[1, 60:90].mean(dtype=np.float64) / made.ind_median[1]
        assert page.locator("[data-group=photos] [data-number=ratio]").inner_text() == f"{mean:.2f}"
