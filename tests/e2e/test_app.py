"""The whole dashboard in a real Chromium: demo, film, address, own files, cancelling, errors, narrow and dark."""

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
PROBE = "window.__fssdScatter?.['features-scatter']"
DEMO_POINTS = 600 + 3 * 300 + 100


@pytest.fixture(scope="module")
def url(dashboard: str) -> str:
    return dashboard


def drawn(page: Any, count: int = DEMO_POINTS, timeout: float = 60_000) -> None:
    """Waits until that many points are drawn and at rest."""
    page.wait_for_function(
        f"{PROBE} && {PROBE}.drawn + {PROBE}.outside === {count} && !{PROBE}.moving", timeout=timeout
    )


def probe(page: Any, what: str) -> Any:
    return page.evaluate(f"{PROBE}.{what}")


def title(page: Any, words: str) -> None:
    page.locator(".title", has_text=words).wait_for(timeout=30_000)


def test_the_first_page_shows_real_features_around_the_singularity(browser, url):
    with open_page(browser, url) as page:
        drawn(page)
        page.get_by_text("Spearman rho 1.00").first.wait_for()
        text = page.locator("body").inner_text()
        assert re.search(r"photo-patches at 0\.\d\d · AUROC 0\.99\d", text)
        assert re.search(r"mnist at 1\.\d\d · AUROC 0\.2\d\d · theory fails: farther", text)
        assert page.locator("[data-testid=stException]").count() == 0


def test_the_film_moves_the_points_and_keeps_zoom_and_hidden_groups(browser, url):
    with open_page(browser, url) as page:
        drawn(page)
        page.locator("[data-group=mnist]").click()
        drawn(page, DEMO_POINTS - 300)
        whole = probe(page, "box")["half"]
        page.locator(".stage").focus()
        for _ in range(3):
            page.keyboard.press("+")
        page.wait_for_function(f"{PROBE}.box.half < {0.7 * whole} && !{PROBE}.moving")
        box = probe(page, "box")
        slider = page.get_by_role("slider", name="Training step")
        slider.focus()
        page.keyboard.press("Home")
        title(page, "step 0")
        page.wait_for_function(f"!{PROBE}.moving")
        assert probe(page, "box") == pytest.approx(box)
        assert page.locator("[data-group=mnist]").get_attribute("aria-pressed") == "false"
        page.wait_for_function("location.search.includes('step=0')")
        assert "Epoch 0" in page.locator("[data-testid=stSidebar]").inner_text()


def test_every_view_and_layer_of_the_demo_is_there_at_once(browser, url):
    with open_page(browser, url) as page:
        drawn(page)
        for name in ("UMAP", "PCA", "Around F* · UMAP"):
            page.get_by_role("radio", name=name, exact=True).click()
            title(page, f"{name} · layer logits")
            drawn(page)
    with open_page(browser, f"{url}/?view=UMAP&layer=conv2") as page:
        title(page, "UMAP · layer conv2")
        drawn(page)
        has_count(page.get_by_text("Drawn distance to F*"), 1)


def test_hover_shows_the_image_and_the_true_distance(browser, url):
    with open_page(browser, url) as page:
        drawn(page)
        page.wait_for_function("window.__fssdAtlas?.size > 0")
        x, y = probe(page, "pixelOf(700)")
        box = page.locator(".stage").bounding_box()
        page.mouse.move(box["x"] + x, box["y"] + y)
        tip = page.locator("[role=tooltip], .tip, .tooltip").first
        tip.wait_for()
        assert re.search(r"row \d+\s+[\d.]+ from F\*\s+[\d.]+× the ind median", tip.inner_text())
        page.mouse.click(box["x"] + x, box["y"] + y)
        page.get_by_role("button", name=re.compile(r"Inspect photo-patches, row \d+")).click()
        page.wait_for_url("**/inspect?*")
        page.locator("h1", has_text="Inspect").wait_for()
        assert "set=photo-patches" in page.url


def tile(page: Any, name: str) -> float:
    return page.evaluate(f"window.__fssdCockpit['tuning-cockpit'].metrics.{name}")


def tuned(page: Any) -> None:
    page.wait_for_function("window.__fssdCockpit?.['tuning-cockpit']?.metrics?.auroc > 0", timeout=60_000)


def test_alpha_changes_the_numbers_in_the_page_and_then_in_python_and_the_address(browser, url):
    with open_page(browser, f"{url}/tuning") as page:
        tuned(page)
        before = tile(page, "auroc")
        assert before > 0.9
        page.get_by_role("slider", name=re.compile("conv1")).first.focus()
        page.keyboard.press("Home")
        page.wait_for_function(f"window.__fssdCockpit['tuning-cockpit'].metrics.auroc !== {before}")
        after = tile(page, "auroc")
        page.wait_for_function("location.search.includes('alpha=-1')")
        page.get_by_text("All ood sets under this setting").click()
        page.reload()
        tuned(page)
        assert tile(page, "auroc") == pytest.approx(after, abs=1e-9)


def test_one_change_after_another_is_kept_and_undone(browser, url):
    with open_page(browser, f"{url}/tuning") as page:
        tuned(page)
        seen = [tile(page, "auroc")]
        for preset in ("standardised", "logistic on mnist", "logistic on photo-patches"):
            page.get_by_role("button", name=re.compile(f"^{preset}")).click()
            page.wait_for_function(f"window.__fssdCockpit['tuning-cockpit'].metrics.auroc !== {seen[-1]}")
            seen.append(tile(page, "auroc"))
            page.wait_for_timeout(2500)
            assert tile(page, "auroc") == seen[-1], f"{preset} snapped back"
        for before in reversed(seen[:-1]):
            page.get_by_role("button", name=re.compile("[Uu]ndo")).click()
            page.wait_for_timeout(1200)
            assert tile(page, "auroc") == pytest.approx(before, abs=1e-9)


def test_a_preset_that_saw_labels_says_so(browser, url):
    with open_page(browser, f"{url}/tuning") as page:
        tuned(page)
        page.get_by_role("button", name=re.compile("logistic on mnist")).click()
        page.get_by_text(re.compile(r"500 ind \+ 500 ood images of mnist")).first.wait_for()


def upload(page: Any, label: str, name: str, content: bytes) -> None:
    page.get_by_text("Your own files").click()
    uploader = page.locator("[data-testid=stFileUploader]").filter(has_text=label)
    file = {"name": name, "mimeType": "application/octet-stream", "buffer": content}
    uploader.locator("input[type=file]").set_input_files([file])


def choose_ood(page: Any, name: str) -> None:
    box = page.locator("[data-testid=stMultiSelect]")
    box.locator("input").fill(name)
    page.get_by_role("option", name=re.compile(re.escape(name))).first.click()


def packed(images: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, images=images)
    return buffer.getvalue()


def test_own_images_are_scored_with_progress_and_drawn(browser, url):
    with open_page(browser, url) as page:
        drawn(page)
        own = load_data("fmnist-rotated").take(np.arange(400)).images
        upload(page, "Images", "mine.npz", packed(own))
        page.get_by_text("Now offered under ind and ood").wait_for(timeout=30_000)
        choose_ood(page, "mine.npz")
        drawn(page, DEMO_POINTS + 300)
        page.get_by_text("mine.npz").nth(1).wait_for()


def test_a_broken_upload_is_one_clear_message_beside_the_button_and_the_app_goes_on(browser, url):
    with open_page(browser, url) as page:
        drawn(page)
        upload(page, "Images", "broken.npz", packed(np.zeros((5, 28, 28), np.uint8))[:200])
        message = page.locator("[data-testid=stSidebar] [data-testid=stAlert]")
        message.wait_for(timeout=30_000)
        assert message.inner_text().strip().endswith("images=images)")
        assert "broken.npz: this is not a whole .npz file" in message.inner_text()
        assert page.locator("[data-testid=stException]").count() == 0
        drawn(page)
        box = page.locator("[data-testid=stMultiSelect] input")
        box.fill("broken")
        assert page.get_by_role("option", name=re.compile("broken")).count() == 0


def test_long_work_can_be_cancelled(browser, url):
    with open_page(browser, f"{url}/tuning?n=10000&ood=fmnist-rotated&ood=fmnist-shuffled") as page:
        cancel = page.get_by_role("button", name="Cancel")
        cancel.wait_for(timeout=30_000)
        cancel.click()
        page.get_by_text("stopped").wait_for(timeout=60_000)
        page.get_by_role("button", name="Try again").click()
        tuned(page)


@pytest.mark.parametrize("path", ["/", "/tuning", "/about"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_page_has_no_sideways_scroll(browser, url, path, scheme):
    with open_page(browser, url + path, width=390, height=844, color_scheme=scheme) as page:
        page.locator("h1").wait_for(timeout=60_000)
        if path == "/":
            drawn(page)
        elif path == "/tuning":
            tuned(page)
        main = page.locator("[data-testid=stMain]")
        assert main.evaluate("e => e.scrollWidth - e.clientWidth") <= 1
        shade = Image.open(io.BytesIO(page.screenshot())).convert("L").resize((1, 1)).getpixel((0, 0))
        assert (shade < 110) == (scheme == "dark")


def test_the_pages_ask_nothing_of_the_outside(browser, url):
    with open_page(browser, "about:blank") as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(url)
        drawn(page)
        page.goto(f"{url}/tuning")
        tuned(page)
        outside = [a for a in asked if not a.startswith((url, "data:", "blob:", "about:"))]
        assert outside == []
