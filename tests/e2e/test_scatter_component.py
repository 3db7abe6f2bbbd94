"""The scatter in a real Chromium: legend, zoom over new data, hover, keyboard, touch, themes, saving."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sklearn.datasets import load_digits

from tests.e2e.conftest import open_page, serve
from tests.e2e.files import SVG, opened_offline, png_size, saved, svg_of

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


def drag(page: Any, places: list[tuple[float, float]], *, keys: tuple[str, ...] = ()) -> None:
    """Draws through these places of the stage with the mouse, holding the keys."""
    box = page.locator(".stage").bounding_box()
    for key in keys:
        page.keyboard.down(key)
    page.mouse.move(box["x"] + places[0][0], box["y"] + places[0][1])
    page.mouse.down()
    for x, y in places[1:]:
        page.mouse.move(box["x"] + x, box["y"] + y, steps=2)
    page.mouse.up()
    for key in keys:
        page.keyboard.up(key)


def placed(page: Any) -> list[tuple[float, float]]:
    """Where every point stands in the stage, in the payload's order."""
    return page.evaluate(f"Array.from({{length: {ALL}}}, (_, i) => {PROBE}.pixelOf(i))")


def chosen(page: Any) -> set[tuple[str, int]]:
    """Ids of the chosen points, once page and Python agree on them."""
    ids = {(name, row) for name, row in probe(page, "chosen")}
    said = {name: sorted(row for group, row in ids if group == name) for name, _ in ids}
    page.wait_for_function(
        "said => { const told = JSON.parse(document.querySelector('[data-testid=stCode] code').innerText);"
        "return JSON.stringify(Object.entries(told).sort()) === JSON.stringify(Object.entries(said).sort()); }",
        arg=said,
    )
    return ids


GROUPS = [("digits", COUNT), ("inverted", COUNT), ("turned", COUNT), ("shuffled", COUNT), ("noise", 100)]
IDS = [(name, row) for name, count in GROUPS for row in range(count)]


def inside(page: Any, polygon: list[tuple[float, float]]) -> set[tuple[str, int]]:
    """Ids of the points in the polygon, by matplotlib-free even-odd counting (our lassos do not cross themselves)."""
    found = set()
    for place, (x, y) in zip(IDS, placed(page), strict=True):
        odd = False
        for (x0, y0), (x1, y1) in zip(polygon, polygon[1:] + polygon[:1], strict=True):
            if (y0 <= y) != (y1 <= y) and x < x0 + (y - y0) / (y1 - y0) * (x1 - x0):
                odd = not odd
        if odd:
            found.add(place)
    return found


def test_a_lasso_chooses_the_points_inside_by_their_ids_and_they_move_along(page):
    centre = page.locator(".stage").evaluate("e => [e.clientWidth / 2, e.clientHeight / 2]")
    around = [(centre[0] + dx, centre[1] + dy) for dx, dy in ((10, -10), (240, -60), (200, 130), (90, 60), (20, 150))]
    page.locator("[data-group=turned]").click()
    wait_drawn(page, ALL - COUNT)
    page.get_by_role("button", name="Lasso").click()
    drag(page, around)
    wanted = {place for place in inside(page, around) if place[0] != "turned"}
    ids = chosen(page)
    assert ids == wanted
    assert len(ids) > 30
    assert "turned" not in {name for name, _ in ids}
    box = probe(page, "box")
    count = page.get_by_role("button", name="Clear the selection")
    assert count.inner_text() == f"{len(ids)} selected"
    # Shift adds, Alt takes away
    left = [(centre[0] + dx, centre[1] + dy) for dx, dy in ((-200, -100), (-30, -100), (-30, 60), (-200, 60))]
    drag(page, left, keys=("Shift",))
    more = ids | {place for place in inside(page, left) if place[0] != "turned"}
    assert chosen(page) == more > ids
    drag(page, around, keys=("Alt",))
    assert chosen(page) == more - wanted
    drag(page, around)
    assert chosen(page) == ids
    assert probe(page, "box") == box, "drawing a lasso does not move the view"
    # the same images, elsewhere
    at = placed(page)
    choose_step(page, 4)
    assert chosen(page) == ids
    moved = [abs(a[0] - b[0]) + abs(a[1] - b[1]) for a, b in zip(at, placed(page), strict=True)]
    assert sorted(moved)[len(moved) // 2] > 2
    page.get_by_text("pca", exact=True).click()
    page.locator(".modes").wait_for(state="hidden")
    assert chosen(page) == ids
    page.get_by_text("centred-spokes", exact=True).click()
    choose_step(page, 8)
    page.locator("[data-group=inverted]").click()
    hidden = sum(name == "inverted" for name, _ in ids)
    assert count.inner_text() == f"{len(ids)} selected, {hidden} hidden"
    page.get_by_role("button", name="Show all").click()
    page.locator(".stage").focus()
    page.keyboard.press("Escape")
    assert chosen(page) == set()
    assert count.is_hidden()
    page.keyboard.press("Escape")
    assert page.get_by_role("button", name="Move and zoom").get_attribute("aria-pressed") == "true"


def test_escape_drops_a_lasso_that_is_being_drawn(page):
    stage = page.locator(".stage")
    stage.focus()
    page.get_by_role("button", name="Lasso").click()
    box = stage.bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 600, box["y"] + 250, steps=3)
    page.mouse.move(box["x"] + 500, box["y"] + 500, steps=3)
    page.keyboard.press("Escape")
    page.mouse.up()
    assert probe(page, "chosen") == []
    page.get_by_role("button", name="Move and zoom").click()


def test_the_keyboards_rectangle_chooses_what_it_frames_and_says_so(page):
    lasso = page.get_by_role("button", name="Lasso")
    lasso.focus()
    page.keyboard.press("Enter")
    region = page.get_by_role("application", name="Selection rectangle")
    assert region.evaluate("e => e === e.getRootNode().activeElement")
    for key, times in (("ArrowRight", 6), ("ArrowUp", 2), ("Shift+ArrowRight", 3), ("Control+ArrowDown", 5)):
        for _ in range(times):
            page.keyboard.press(key)
    frame = region.evaluate("e => [e.offsetLeft, e.offsetTop, e.offsetWidth, e.offsetHeight]")
    centre = page.locator(".stage").evaluate("e => [e.clientWidth / 2, e.clientHeight / 2]")
    assert frame == pytest.approx([centre[0] - 60 + 60 - 15, centre[1] - 60 - 20 + 5, 150, 120], abs=1)
    x, y, w, h = frame
    wanted = inside(page, [(x, y), (x + w, y), (x + w, y + h), (x, y + h)])
    live = page.locator(".live")
    words = live.inner_text()
    assert words.startswith(f"{len(wanted)} points: ")
    assert f"{sum(name == 'shuffled' for name, _ in wanted)} digits shuffled" in words
    assert "150 by 120 pixels" in words
    assert region.inner_text() == f"{len(wanted)} inside · Enter selects"
    page.keyboard.press("Enter")
    assert chosen(page) == wanted
    assert live.inner_text().startswith(f"{len(wanted)} points: ")
    page.keyboard.press("Alt+Enter")
    assert chosen(page) == set()
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    assert chosen(page) == set()
    assert live.inner_text() == "Selection cleared. Nothing is selected."
    page.keyboard.press("Escape")
    assert region.is_hidden()


def test_a_finger_draws_a_lasso(browser, url):
    with open_page(browser, url, width=390, height=844, has_touch=True) as narrow:
        ready(narrow)
        narrow.get_by_role("button", name="Lasso").click()
        stage = narrow.locator(".stage")
        stage.scroll_into_view_if_needed()
        box = stage.bounding_box()
        touch = narrow.context.new_cdp_session(narrow)
        path = [(150, 100), (250, 110), (240, 220), (160, 200)]

        def send(kind: str, *points: tuple[float, float]) -> None:
            places = [{"x": box["x"] + x, "y": box["y"] + y} for x, y in points]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

        send("touchStart", path[0])
        for place in path[1:]:
            send("touchMove", place)
        send("touchEnd")
        wanted = inside(narrow, path)
        assert chosen(narrow) == wanted
        assert len(wanted) > 10
        assert stage.bounding_box()["y"] == box["y"], "the page did not scroll"


def test_the_picture_is_saved_as_png_svg_and_a_page_of_its_own(browser, page, tmp_path):
    page.get_by_role("button", name="Lasso").click()
    drag(page, [(300, 200), (600, 220), (500, 420)])
    ids = chosen(page)
    png = saved(page, "the picture", "PNG", tmp_path)
    assert png.name.startswith("fssd-around-f-by-class-layer-fc1")
    stage = page.locator(".stage").bounding_box()
    width, height = png_size(png)
    assert width == pytest.approx(2 * (stage["width"] + 32), abs=3)
    assert height > 2 * (stage["height"] + 60)
    drawn = probe(page, "drawn")
    svg = svg_of(saved(page, "the picture", "SVG", tmp_path))
    assert 2 * float(svg.get("width")) == pytest.approx(width, abs=3)
    points = [g for g in svg.iter(f"{SVG}g") if "point" in g.get("class", "").split()]
    assert len(points) == drawn
    marks = Counter(node.tag.removeprefix(SVG) for g in points for node in g if not node.tag.endswith("title"))
    outside = ALL - drawn
    assert COUNT + 100 - outside <= marks["circle"] <= COUNT + 100  # ind and noise are round
    named = [g for g in points if "chosen" in g.get("class").split()]
    assert len(named) == len(ids)
    sentence = points[-1].find(f"{SVG}title").text
    assert re.search(r"row \d+: distance [\d.]+, [\d.]+ of the ind median", sentence)
    words = {node.text for node in svg.iter(f"{SVG}text")}
    assert {"F*", "1×", "digits inverted (300)", f"{len(ids)} selected"} <= words
    with opened_offline(browser, saved(page, "the picture", "HTML", tmp_path)) as alone:
        assert alone.locator("svg .point").count() == drawn
        spot = alone.locator("svg .point").nth(drawn - 1).bounding_box()
        alone.mouse.move(spot["x"] + spot["width"] / 2, spot["y"] + spot["height"] / 2)
        tip = alone.locator("#tip")
        tip.wait_for()
        assert re.search(r"row \d+: distance", tip.inner_text())
        assert tip.locator("i").evaluate("e => getComputedStyle(e).backgroundImage").startswith('url("data:image/png')
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Clear the selection").click()
    page.get_by_role("button", name="Move and zoom").click()


def test_the_save_menu_opens_and_closes_by_keyboard(page):
    button = page.get_by_role("button", name="Save the picture")
    button.focus()
    page.keyboard.press("Enter")
    focused = "e => e.getRootNode().activeElement.textContent.slice(0, 4)"
    assert button.evaluate(focused) == "PNGp"
    page.keyboard.press("ArrowUp")
    assert button.evaluate(focused) == "HTML"
    page.keyboard.press("Escape")
    assert page.get_by_role("menu").count() == 0
    assert button.evaluate("e => e === e.getRootNode().activeElement")


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
