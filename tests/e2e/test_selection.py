"""The dashboard in a real Chromium: a lasso ends in thumbnails and curves; every kind of figure is saved."""

from __future__ import annotations

import csv
import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import has_count, open_page
from tests.e2e.files import SVG, opened_offline, png_size, saved, svg_of

pytestmark = pytest.mark.e2e
PROBE = "window.__fssdScatter?.['features-scatter']"
COCKPIT = "window.__fssdCockpit?.['tuning-cockpit']"
POINTS = 600 + 3 * 300 + 100


def drawn(page: Any) -> None:
    page.set_default_timeout(60_000)
    page.wait_for_function(f"{PROBE}?.drawn + {PROBE}?.outside === {POINTS} && !{PROBE}.moving")


def chosen(page: Any) -> list[tuple[str, int]]:
    return [(name, row) for name, row in page.evaluate(f"{PROBE}.chosen")]


def panel(page: Any) -> None:
    page.get_by_role("button", name="Download selection.csv").wait_for()


def measures(page: Any) -> Any:
    """The two curves' areas, as their legends say them."""
    return page.locator(".st-key-selection-roc-figure .legendtext").all_text_contents()


def lasso(page: Any, radius: float) -> None:
    """Draws a round lasso about F*."""
    page.get_by_role("button", name="Lasso").click()
    stage = page.locator(".stage")
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x + radius, y)
    page.mouse.down()
    for dx, dy in ((0.7, 0.7), (0, 1), (-0.7, 0.7), (-1, 0), (-0.7, -0.7), (0, -1), (0.7, -0.7)):
        page.mouse.move(x + radius * dx, y + radius * dy, steps=2)
    page.mouse.up()


def test_a_lasso_ends_in_thumbnails_curves_a_csv_and_inspect(browser: Any, dashboard: str, tmp_path: Path) -> None:
    with open_page(browser, dashboard) as page:
        drawn(page)
        lasso(page, 130)
        panel(page)
        ids = chosen(page)
        assert len({name for name, _ in ids}) >= 3
        page.get_by_role("heading", name=f"Selection: {len(ids):,} images").wait_for()
        caption = page.get_by_text(re.compile("Scored at ε 0 with α pseudo-ood")).inner_text()
        threshold = float(re.search(r"threshold (-?[\d.]+)\.", caption)[1])
        thumbs = page.locator(".thumb")
        has_count(thumbs, 24)
        labels = [t.get_attribute("aria-label") for t in thumbs.all()]
        scores = [float(re.search(r"score (-?[\d.]+)", label)[1]) for label in labels]
        gaps = [abs(score - threshold) for score in scores]
        assert all(a <= b + 0.011 for a, b in itertools.pairwise(gaps)), "borderline first"
        assert all((", rejected." in label) == (s < threshold) for label, s in zip(labels, scores, strict=True)
                   if abs(s - threshold) > 0.01)  # fmt: skip
        assert [re.search(r"AUROC (\d\.\d{3})", text) is not None for text in measures(page)] == [True, True]
        with page.expect_download() as waiting:
            page.get_by_role("button", name="Download selection.csv").click()
        waiting.value.save_as(tmp_path / "selection.csv")
        rows = list(csv.DictReader((tmp_path / "selection.csv").open()))
        told = {("noise" if r["group"].startswith("noise") else r["group"], int(r["row"])) for r in rows}
        assert told == set(ids)
        page.get_by_role("radio", name="Lowest score").click()
        least = min((r for r in rows if r["score"]), key=lambda r: float(r["score"]))
        first = page.locator(".thumb").first
        page.locator(f"li:first-child .thumb[data-row='{least['row']}']").wait_for()
        assert f"{least['group']}, row {least['row']}: score" in first.get_attribute("aria-label")
        first.click()
        page.get_by_role("heading", name="Inspect one sample").wait_for()
        verdict = page.locator(".fssd-verdict")
        verdict.wait_for()
        shown = float(re.search(r"score (-?[\d.]+)", verdict.inner_text())[1])
        assert shown == pytest.approx(float(least["score"]), abs=0.006)
        page.get_by_role("link", name="Features").click()
        drawn(page)
        panel(page)
        assert chosen(page) == ids
        # another checkpoint: the same images, scored anew in the worker
        slider = page.get_by_role("slider", name="Training step")
        slider.focus()
        page.keyboard.press("ArrowLeft")
        page.locator(".title", has_text=re.compile(r"step (?!13,132)")).wait_for()
        page.wait_for_function(f"!{PROBE}.moving")
        assert chosen(page) == ids
        page.get_by_text("Scores of the drawn images").or_(page.locator(".thumb .score").first).first.wait_for()
        panel(page)
        has_count(page.locator(".thumb .score"), 24)
        page.locator(".stage").focus()
        page.keyboard.press("Escape")
        page.get_by_text("Press the lasso above the picture").wait_for()
        assert page.locator("[data-testid=stException]").count() == 0


def test_the_keyboard_alone_ends_in_thumbnails_and_curves(browser: Any, dashboard: str) -> None:
    with open_page(browser, dashboard) as page:
        drawn(page)
        page.locator(".stage").focus()
        page.keyboard.press("l")
        for _ in range(6):
            page.keyboard.press("Shift+ArrowRight")
            page.keyboard.press("Shift+ArrowUp")
        page.keyboard.press("Enter")
        panel(page)
        ids = chosen(page)
        page.get_by_role("heading", name=f"Selection: {len(ids):,} image").wait_for()
        has_count(page.locator(".thumb"), 24)
        assert len(measures(page)) == 2
        thumb = page.locator(".thumb").first
        thumb.focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**/inspect?*")


def test_plotly_figures_are_saved_in_three_formats(browser: Any, dashboard: str, tmp_path: Path) -> None:
    with open_page(browser, dashboard) as page:
        drawn(page)
        size = page.locator(".st-key-ridgelines-figure .js-plotly-plot").bounding_box()
        png = saved(page, "the distances", "PNG", tmp_path)
        assert png.name == "fssd-true-distance-to-f-in-logits.png"
        assert png_size(png) == pytest.approx((2 * size["width"], 2 * size["height"]), abs=4)
        svg = svg_of(saved(page, "the distances", "SVG", tmp_path))
        words = {"".join(node.itertext()) for node in svg.iter(f"{SVG}text")}
        assert {"True distance to F* in logits", "mnist", "fmnist:test"} <= words
        assert len([node for node in svg.iter(f"{SVG}path") if "js-line" in node.get("class", "")]) >= 10
        page_file = saved(page, "the distances", "HTML", tmp_path)
        assert 4_000_000 < page_file.stat().st_size < 6_000_000
        again = saved(page, "the distances", "HTML", tmp_path)  # asked for twice, given twice
        assert again.name == page_file.name
        with opened_offline(browser, page_file) as alone:
            alone.locator(".js-plotly-plot .gtitle").wait_for()
            alone.locator(".js-plotly-plot path.js-line").nth(9).wait_for(state="attached")
            assert "True distance to F* in logits" in alone.locator(".gtitle").text_content()


def test_the_cockpits_charts_are_saved_as_they_stand(browser: Any, dashboard: str, tmp_path: Path) -> None:
    with open_page(browser, f"{dashboard}/tuning") as page:
        page.set_default_timeout(60_000)
        page.wait_for_function(f"{COCKPIT}?.metrics?.auroc > 0")
        numbers = page.evaluate(f"{COCKPIT}.metrics")
        for figure, heading, lines in (
            ("the histogram", "Scores", 2),
            ("the ROC curve", f"ROC · AUROC {numbers['auroc']:.4f}", 1),
            ("the precision-recall curve", f"PR · AUPR-IN {numbers['auprIn']:.4f}", 1),
        ):
            panel_size = page.get_by_role("button", name=f"Save {figure}").locator("xpath=ancestor::section")
            canvas = panel_size.locator("canvas").bounding_box()
            width, height = png_size(saved(page, figure, "PNG", tmp_path))
            assert width == pytest.approx(2 * (canvas["width"] + 32), abs=4)
            assert height > 2 * (canvas["height"] + 60)
            svg = svg_of(saved(page, figure, "SVG", tmp_path))
            words = " ".join(node.text for node in svg.iter(f"{SVG}text"))
            assert f"{heading} · fmnist:test against photo-patches" in words
            assert "pseudo-ood" in words, "the setting that the cockpit starts from"
            ood = "#d55e00"
            assert sum(node.get("stroke") == ood for node in svg.iter(f"{SVG}path")) == 1
            assert sum(node.get("stroke") == "#0072b2" for node in svg.iter(f"{SVG}path")) == lines - 1
            with opened_offline(browser, saved(page, figure, "HTML", tmp_path)) as alone:
                assert alone.locator("svg text").first.is_visible()
                if figure != "the histogram":
                    mark = alone.locator("svg .point").first.bounding_box()
                    alone.mouse.move(mark["x"] + mark["width"] / 2, mark["y"] + mark["height"] / 2)
                    assert re.match(
                        r"(threshold -?[\d.]+|nothing accepted): TPR [\d.]+ %, FPR [\d.]+ %",
                        alone.locator("#tip").inner_text(),
                    )
        assert page.evaluate(f"{COCKPIT}.metrics") == numbers
