"""The scatter in a real Chromium: legend, zoom over new data, hover, keyboard, touch, themes, saving."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sklearn.datasets import load_digits

from tests.e2e.conftest import open_page, serve

pytestmark = pytest.mark.e2e
HARNESS = Path(__file__).with_name("harness_scatter.py")
COUNT = 300  # points a group: ind, three ood groups; 100 noise points besides
ALL = 4 * COUNT + 100
PROBE = "window.__fssdScatter?.demo"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serve(HARNESS, str(COUNT)) as address:
        yield address


@pytest.fixture(scope="module")
def page(browser: Any, url: str) -> Iterator[Any]:
    """One wide page for the tests that leave the picture as they found it."""
    with open_page(browser, url, color_scheme="light") as opened:
        ready(opened)
        yield opened


def ready(page: Any) -> None:
    page.wait_for_function(f"{PROBE}?.drawn > 0 && !{PROBE}.moving && window.__fssdAtlas?.size > 0")


def probe(page: Any, what: str) -> Any:
    return page.evaluate(f"{PROBE}.{what}")


def wait_drawn(page: Any, count: int) -> None:
    page.wait_for_function(f"{PROBE}.drawn + {PROBE}.outside === {count}")


def hover(page: Any, index: int) -> None:
    x, y = probe(page, f"pixelOf({index})")
    box = page.locator(".stage").bounding_box()
    page.mouse.move(box["x"] + x, box["y"] + y)


def choose_step(page: Any, step: int) -> None:
    """Moves the harness's checkpoint slider there and waits until its data have come and rest."""
    thumb = page.get_by_role("slider")
    thumb.focus()
    presses = step - int(thumb.evaluate("e => e.getAttribute('aria-valuenow') ?? e.value"))
    for _ in range(abs(presses)):
        page.keyboard.press("ArrowRight" if presses > 0 else "ArrowLeft")
    page.locator(".title", has_text=f"step {step}").wait_for()
    page.wait_for_function(f"!{PROBE}.moving")


def test_legend_toggles_isolates_and_tells_python(page):
    wait_drawn(page, ALL)
    inverted = page.locator("[data-group=inverted]")
    assert inverted.get_attribute("aria-pressed") == "true"
    inverted.click()
    wait_drawn(page, ALL - COUNT)
    assert inverted.get_attribute("aria-pressed") == "false"
    page.get_by_text("hidden: inverted;").wait_for()
    inverted.dblclick()
    wait_drawn(page, COUNT)
    page.locator("[data-group=noise]").click()
    wait_drawn(page, COUNT + 100)
    page.get_by_role("button", name="Show all").click()
    wait_drawn(page, ALL)
    page.get_by_text("hidden: nothing;").wait_for()


def test_ind_classes_toggle_one_by_one(page):
    chip = page.locator("[data-group='class:3']")
    chip.focus()
    page.keyboard.press("Space")
    page.wait_for_function(f"{PROBE}.shown < {ALL}")
    hidden = ALL - probe(page, "shown")
    assert chip.get_attribute("aria-label") == f"ind class three: {hidden} points"
    page.keyboard.press("Enter")
    wait_drawn(page, ALL)


def test_zoom_and_hidden_groups_survive_new_data(page):
    whole = probe(page, "box")
    box = page.locator(".stage").bounding_box()
    page.locator("[data-group=noise]").click()
    page.mouse.move(box["x"] + 500, box["y"] + 250)
    page.mouse.wheel(0, -300)
    page.wait_for_function(f"{PROBE}.box.half < {0.7 * whole['half']}")
    page.mouse.down()
    page.mouse.move(box["x"] + 540, box["y"] + 270, steps=3)
    page.mouse.up()
    zoomed = probe(page, "box")
    assert zoomed["cx"] != pytest.approx(whole["cx"], abs=1e-3)
    places = f"Array.from({{length: 60}}, (_, i) => {PROBE}.pixelOf(i * 20))"
    before = page.evaluate(places)
    choose_step(page, 5)
    assert probe(page, "box") == pytest.approx(zoomed)
    moved = [abs(x - u) + abs(y - v) for (x, y), (u, v) in zip(before, page.evaluate(places), strict=True)]
    assert sorted(moved)[30] > 2
    assert probe(page, "shown") == ALL - 100
    page.locator(".stage").dblclick(position={"x": 5, "y": 300})
    page.wait_for_function(f"{PROBE}.outside < 40")
    page.locator("[data-group=noise]").click()
    choose_step(page, 8)
    assert probe(page, "box")["half"] == pytest.approx(whole["half"])


def test_hover_shows_the_points_own_image_and_true_distance(page):
    page.locator("[data-group=inverted]").click(modifiers=["Alt"])
    wait_drawn(page, COUNT)
    hover(page, COUNT + 5)
    tip = page.locator(".tooltip")
    tip.wait_for()
    row = probe(page, "hovered") - COUNT
    words = tip.inner_text()
    assert words.startswith("digits inverted")
    for part in (f"row {row}", "from F*", "× the ind median", "% of ind"):
        assert part in words
    image = tip.locator("canvas.tip-image")
    shape = image.evaluate("c => [c.width, c.height, c.clientWidth, getComputedStyle(c).imageRendering]")
    assert shape == [8, 8, 96, "pixelated"]
    red = image.evaluate("c => [...c.getContext('2d').getImageData(0, 0, 8, 8).data].filter((_, k) => k % 4 === 0)")
    digit = load_digits().images[row] * 16
    assert red == (255 - digit.clip(max=255)).astype(int).ravel().tolist()
    page.mouse.move(5, 5)
    tip.wait_for(state="hidden")
    page.get_by_role("button", name="Show all").click()
    wait_drawn(page, ALL)


def test_click_selects_and_tells_python(page):
    box = page.locator(".stage").bounding_box()
    x, y = probe(page, "pixelOf(0)")
    page.mouse.click(box["x"] + x, box["y"] + y)
    page.locator("text=/selected: \\('[a-z]+', [0-9]+\\)/").wait_for()
    page.mouse.click(box["x"] + 4, box["y"] + 4)
    page.get_by_text("selected: None").wait_for()


def test_keyboard_zooms_and_reads_points_from_the_nearest_outward(page):
    stage = page.locator(".stage")
    stage.focus()
    whole = probe(page, "box")
    page.keyboard.press("+")
    assert probe(page, "box")["half"] == pytest.approx(whole["half"] / 1.25)
    page.keyboard.press("ArrowRight")
    assert probe(page, "box")["cx"] > whole["cx"]
    page.keyboard.press("0")
    assert probe(page, "box") == pytest.approx(whole)
    live = page.locator(".live")
    spoken = []
    for key in ("n", "n", "n", "p", "End"):
        page.keyboard.press(key)
        spoken.append(live.inner_text())
    distances = [float(text.split("distance ")[1].split(",")[0]) for text in spoken]
    assert distances[0] <= distances[1] <= distances[2] < distances[4]
    assert spoken[3] == spoken[1]
    assert page.locator(".tooltip").is_visible()
    page.keyboard.press("Escape")
    assert page.locator(".tooltip").is_hidden()
    assert "F* is the gold star" in stage.get_attribute("aria-label")


def test_radius_modes_switch_in_the_page_and_keep_the_order_of_distances(page):
    version = probe(page, "version")
    radii = {}
    for mode in ("absolute", "log", "median"):
        page.locator(f"[data-mode={mode}]").click()
        page.wait_for_function(f"{PROBE}.mode === {mode!r} && !{PROBE}.moving")
        centre = page.locator(".stage").evaluate("e => [e.clientWidth / 2, e.clientHeight / 2]")
        points = page.evaluate(f"Array.from({{length: 50}}, (_, i) => {PROBE}.pixelOf(i * 20))")
        radii[mode] = [((x - centre[0]) ** 2 + (y - centre[1]) ** 2) ** 0.5 for x, y in points]
    assert probe(page, "version") == version
    order = sorted(range(50), key=lambda i: radii["median"][i])
    for mode in ("absolute", "log"):
        along = [radii[mode][i] for i in order]
        assert along == pytest.approx(sorted(along), abs=1e-3)
    scale = radii["absolute"][order[-1]] / radii["median"][order[-1]]
    assert radii["absolute"] == pytest.approx([r * scale for r in radii["median"]], abs=0.01)
    assert radii["log"] != pytest.approx(radii["median"], abs=5)


def test_saved_png_holds_the_whole_figure(page, tmp_path):
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Save PNG").click()
    saved = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(saved)
    assert saved.name.startswith("fssd-around-f-by-class-layer-fc1")
    raw = saved.read_bytes()
    assert raw[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", raw[16:24])
    stage = page.locator(".stage").bounding_box()
    assert width == pytest.approx(2 * (stage["width"] + 32), abs=3)
    assert height > 2 * (stage["height"] + 60)


def test_pca_has_axes_and_equal_aspect(page):
    page.get_by_text("pca", exact=True).click()
    page.wait_for_function(f"document.body.innerText !== '' && {PROBE}.outside === 0 && !{PROBE}.moving")
    page.locator(".modes").wait_for(state="hidden")
    label = page.locator(".stage").get_attribute("aria-label")
    assert "digits inverted 300 points" in label
    page.get_by_text("centred-spokes", exact=True).click()
    page.locator(".modes").wait_for(state="visible")


@pytest.mark.parametrize("width", [360, 1500])
def test_dark_and_any_width_without_overflow(browser, url, width):
    with open_page(browser, url, width=width, color_scheme="dark", has_touch=True) as page:
        ready(page)
        assert probe(page, "theme") == "dark"
        corner = page.locator("canvas.scene").evaluate("c => [...c.getContext('2d').getImageData(2, 2, 1, 1).data]")
        assert max(corner[:3]) < 60
        wide = page.locator(".fssd-scatter").evaluate("e => [e.scrollWidth, e.clientWidth]")
        assert wide[0] <= wide[1]
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        stage, legend = (page.locator(name).bounding_box() for name in (".stage", ".legend"))
        if width < 700:
            assert legend["y"] >= stage["y"] + stage["height"]
        else:
            assert legend["x"] >= stage["x"] + stage["width"]
        page.locator(".stage").scroll_into_view_if_needed()
        stage = page.locator(".stage").bounding_box()
        x, y = probe(page, "pixelOf(40)")
        page.touchscreen.tap(stage["x"] + x, stage["y"] + y)
        tip = page.locator(".tooltip")
        tip.wait_for()
        box = tip.bounding_box()
        assert box["x"] >= stage["x"]
        assert box["x"] + box["width"] <= stage["x"] + stage["width"] + 1
        page.emulate_media(color_scheme="light")
        page.wait_for_function(f"{PROBE}.theme === 'light'")


def test_points_move_to_new_data_unless_motion_is_unwanted(browser, url):
    for reduced, moves in (("no-preference", True), ("reduce", False)):
        with open_page(browser, url, width=900, reduced_motion=reduced) as page:
            ready(page)
            page.evaluate(
                f"""() => {{
                    window.moved = 0;
                    const look = () => {{ window.moved += {PROBE}.moving ? 1 : 0; requestAnimationFrame(look); }};
                    look();
                }}"""
            )
            choose_step(page, 7)
            assert (page.evaluate("window.moved") > 0) is moves
