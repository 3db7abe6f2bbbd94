"""Inspect in a real Chromium: rows, buttons, the address, the pad by mouse and by keys, uploads, errors, narrow."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fssd_core.data import load_data
from tests.e2e.conftest import has_count, open_page

pytestmark = pytest.mark.e2e
STATUS = ".fssd-verdict"


@pytest.fixture(scope="module")
def url(dashboard: str) -> str:
    return f"{dashboard}/inspect"


def verdict(page: Any, *, after: str = "") -> str:
    """The sentence of the page, another one than `after`."""
    page.wait_for_function(
        "([where, old]) => { const found = document.querySelector(where);"
        " return found && /distribution/.test(found.innerText) && found.innerText !== old }",
        arg=[STATUS, after],
        timeout=60_000,
    )
    return page.locator(STATUS).first.inner_text()


def drawn(page: Any) -> np.ndarray:
    """(28, 28) pixels on the pad."""
    code = (
        "c => Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).filter((_, i) => i % 4 === 0)"
    )
    return np.array(pad(page).evaluate(code)).reshape(28, 28)


def pad(page: Any) -> Any:
    return page.get_by_role("application", name=re.compile("Drawing pad"))


def tool(page: Any, name: str) -> Any:
    return page.get_by_role("button", name=name, exact=True)


def test_a_row_of_the_address_then_another_then_the_telling_ones(browser, url):
    with open_page(browser, f"{url}?set=mnist&row=17") as page:
        first = verdict(page)
        assert re.match(r"Accepted as in-distribution: score 1\.79 above the threshold 0\.78; 25\.6 %", first)
        page.get_by_role("img", name="Image: mnist, row 17").wait_for()
        page.get_by_label("Row", exact=True).fill("18")
        page.keyboard.press("Enter")
        second = verdict(page, after=first)
        page.wait_for_function("location.search.includes('row=18')")
        tool(page, "Rejected ind").click()
        rejected = verdict(page, after=second)
        assert "Rejected as out-of-distribution" in rejected
        tool(page, "Borderline").click()
        assert re.search(r"score (\S+) equal to the threshold \1", verdict(page, after=rejected))


def test_epsilon_by_keys_perturbs_the_image_in_every_layer(browser, url):
    with open_page(browser, f"{url}?set=mnist&row=17") as page:
        before = verdict(page)
        page.get_by_text("At ε = 0 nothing is perturbed").wait_for()
        plain = page.get_by_role("img", name="Perturbed for logits").get_attribute("src")
        assert plain == page.get_by_role("img", name="Image: mnist, row 17").get_attribute("src")
        page.get_by_role("slider", name="Epsilon").focus()
        for _ in range(3):
            page.keyboard.press("ArrowRight")
        page.get_by_text("moved by 0.02").wait_for(timeout=30_000)
        assert verdict(page, after=before)
        page.wait_for_function("old => document.querySelector('[alt=\"Perturbed for logits\"]').src !== old", arg=plain)


def test_a_drawing_by_mouse_is_judged_and_can_be_taken_back(browser, url):
    with open_page(browser, f"{url}?source=Draw") as page:
        page.get_by_text("Draw something on the pad").wait_for(timeout=60_000)
        box = pad(page).bounding_box()
        place = lambda x, y: (box["x"] + x * box["width"] / 28, box["y"] + y * box["height"] / 28)  # noqa: E731
        page.mouse.move(*place(6, 6))
        page.mouse.down()
        page.mouse.move(*place(22, 6), steps=8)
        page.mouse.move(*place(12, 23), steps=8)
        assert page.locator(STATUS).count() == 0, "nothing is sent before the hand lets go"
        page.mouse.up()
        first = verdict(page)
        pixels = drawn(page)
        assert pixels[6, 7:21].min() > 200
        assert pixels[15:, 20:].max() == 0
        small = page.get_by_role("img", name="Image: your drawing")
        same = "img => img.decode().then(() => { const c = document.createElement('canvas'); c.width = c.height = 28;"
        same += "const g = c.getContext('2d'); g.drawImage(img, 0, 0);"
        same += "return Array.from(g.getImageData(0, 0, 28, 28).data).filter((_, i) => i % 4 === 0) })"
        np.testing.assert_array_equal(np.array(small.evaluate(same)).reshape(28, 28), pixels)
        tool(page, "Invert").click()
        inverted = verdict(page, after=first)
        np.testing.assert_array_equal(drawn(page), 255 - pixels)
        tool(page, "Undo").click()
        assert verdict(page, after=inverted) == first
        tool(page, "Clear").click()
        page.get_by_text("Draw something on the pad").wait_for()
        tool(page, "Undo").click()
        assert verdict(page) == first
        page.get_by_role("link", name="About").click()
        page.get_by_role("heading", name="About FSSD Explorer").wait_for()
        page.get_by_role("link", name="Inspect").click()
        page.get_by_role("radio", name="Draw").click()
        assert verdict(page) == first, "the drawing survives a visit to another page"
        np.testing.assert_array_equal(drawn(page), pixels)


def test_the_pad_by_keys_alone(browser, url):
    with open_page(browser, f"{url}?source=Draw") as page:
        pad(page).focus()
        page.keyboard.press("ArrowUp")
        assert drawn(page).max() == 0, "a lifted pen draws nothing"
        page.keyboard.press(" ")
        for _ in range(6):
            page.keyboard.press("ArrowLeft")
        page.keyboard.press(" ")
        first = verdict(page)
        assert drawn(page)[13, 9:14].min() > 200
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.press("Home")
        assert page.get_by_role("slider", name="Ink").input_value() == "0"
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.get_by_text("Draw something on the pad").wait_for()
        assert drawn(page).max() == 0
        pad(page).focus()
        page.keyboard.press("Control+z")
        assert verdict(page) == first


def test_a_finger_draws_on_a_narrow_dark_page_without_sideways_scroll(browser, url):
    options = {"width": 390, "height": 844, "color_scheme": "dark", "has_touch": True}
    with open_page(browser, f"{url}?source=Draw", **options) as page:
        page.get_by_text("Draw something on the pad").wait_for(timeout=60_000)
        box = pad(page).bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
        page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        verdict(page)
        assert drawn(page)[13:15, 13:15].min() > 100
        page.get_by_text("Nearest in-distribution images").wait_for()
        main = page.locator("[data-testid=stMain]")
        assert main.evaluate("e => e.scrollWidth - e.clientWidth") <= 1


def file(name: str, content: bytes) -> dict[str, Any]:
    return {"name": name, "mimeType": "image/png", "buffer": content}


def test_an_upload_is_converted_with_a_note_and_a_damaged_one_told(browser, url):
    buffer = io.BytesIO()
    colour = np.repeat(load_data("fmnist:test").images[0][:, :, None], 3, axis=2)
    Image.fromarray(colour).resize((84, 56)).save(buffer, "PNG")
    with open_page(browser, f"{url}?source=Upload") as page:
        page.get_by_text("Choose a picture file").wait_for(timeout=60_000)
        chooser = page.locator("[data-testid=stMain] input[type=file]")
        chooser.set_input_files([file("boot.png", buffer.getvalue())])
        first = verdict(page)
        has_count(page.get_by_text("cropped at the centre and resized to 28x28 pixels"), 1)
        has_count(page.get_by_text("turned to grey"), 1)
        page.get_by_text("Exchange black and white").click()
        verdict(page, after=first)
        chooser.set_input_files([file("broken.png", buffer.getvalue()[:300])])
        page.locator("[data-testid=stAlert]").filter(has_text="broken.png cannot be read").wait_for()
        assert page.locator("[data-testid=stException]").count() == 0
        page.get_by_role("radio", name="From a set").click()
        verdict(page)


def test_a_row_outside_is_one_clear_message(browser, url):
    with open_page(browser, f"{url}?set=mnist&row=99999") as page:
        page.locator("[data-testid=stAlert]").filter(has_text="its 5,000 images have rows 0 to 4999").wait_for(
            timeout=60_000
        )
        assert page.locator("[data-testid=stException]").count() == 0


def test_what_was_tuned_by_hand_is_in_force_here(browser, url):
    with open_page(browser, url.replace("/inspect", "/tuning")) as page:
        page.wait_for_function("window.__fssdCockpit?.['tuning-cockpit']?.metrics?.auroc > 0", timeout=60_000)
        page.get_by_role("slider", name=re.compile("conv1")).first.focus()
        page.keyboard.press("Home")
        page.wait_for_function("location.search.includes('alpha=-1')")
        page.get_by_role("link", name="Inspect").click()
        verdict(page)
        page.get_by_text(re.compile(r"α manual .* as on the Tuning page")).wait_for()
        page.get_by_text(re.compile("conv1 [+−]")).first.wait_for()
