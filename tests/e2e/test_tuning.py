"""The Tuning page on the demo in a real Chromium: rules in the address, pins over pages, exact epsilon, examples."""

from __future__ import annotations

import re
from typing import Any

import pytest

from fssd_core.data import load_data
from tests.e2e.conftest import open_page

pytestmark = pytest.mark.e2e
COCKPIT = "window.__fssdCockpit?.['tuning-cockpit']"


@pytest.fixture(scope="module")
def url(dashboard: str) -> str:
    return f"{dashboard}/tuning"


def tuned(page: Any) -> None:
    page.wait_for_function(f"{COCKPIT}?.metrics?.auroc > 0", timeout=60_000)
    at_rest(page)


def at_rest(page: Any) -> None:
    """Waits until no run of the page goes on, nor begins within a moment."""
    page.wait_for_timeout(300)
    page.wait_for_function("!document.querySelector('[data-testid=stStatusWidget]')", timeout=60_000)


def probe(page: Any, what: str) -> Any:
    return page.evaluate(f"{COCKPIT}.{what}")


def test_the_rule_is_in_the_address_and_starts_the_page(browser: Any, url: str) -> None:
    with open_page(browser, f"{url}?choose=cost:40:1&prevalence=0.1") as page:
        tuned(page)
        choice = probe(page, "state.choice")
        assert (choice["by"], choice["miss"], choice["alarm"], choice["prevalence"]) == ("cost", 40, 1, 0.1)
        page.get_by_role("button", name="FPR", exact=True).click()
        page.wait_for_function("location.search.includes('choose=fpr%3A0.05') || location.search.includes('fpr:0.05')")
        threshold = probe(page, "state.threshold")
        page.reload()
        tuned(page)
        assert probe(page, "state.threshold") == threshold
    with open_page(browser, f"{url}?choose=tarot:3") as page:
        tuned(page)
        page.get_by_text("The rule 'tarot:3' in the address is not one of tpr:tpr, fpr:fpr").wait_for()


def test_the_exact_value_is_computed_once_an_epsilon_between_the_knots_is_let_go(browser: Any, url: str) -> None:
    with open_page(browser, url) as page:
        tuned(page)
        field = page.get_by_label("Epsilon, as a number")
        field.fill("0.0137")
        field.press("Enter")
        panel = page.locator("section.epsilon", has_text="Computed exactly at this ε")
        panel.wait_for(timeout=180_000)
        words = panel.inner_text()
        exact = float(re.search(r"AUROC (\d\.\d+), FPR95", words).group(1))
        assert exact == pytest.approx(probe(page, "metrics.auroc"), abs=2e-3)
        assert re.search(
            r"err by 0\.\d+ % \(median\), at most [\d.]+ % \((conv1|conv2|fc1|logits)\), over 3,000", words
        )
        page.get_by_role("button", name="logistic on mnist, ε 0.0137").click()
        page.get_by_text("500 ind + 500 ood images of mnist, fitted at ε 0.0137").first.wait_for()
        field.fill("0.02")
        field.press("Enter")
        page.get_by_role("button", name="logistic on mnist, ε 0.02").wait_for()
        assert "Computed at this value." in page.locator("section.epsilon").inner_text()
        origin = page.locator(".labels")
        assert "logistic on mnist, ε 0.0137, labels: 500 ind + 500 ood images of mnist" in origin.inner_text()


def test_back_leads_to_the_page_before_however_often_alpha_was_changed(browser: Any, dashboard: str) -> None:
    with open_page(browser, dashboard) as page:
        page.wait_for_function("window.__fssdScatter?.['features-scatter']", timeout=60_000)
        for visit in range(2):
            page.get_by_role("link", name="Tuning").click()
            tuned(page)
            page.get_by_role("button", name="logistic on mnist").click()
            page.wait_for_function("/alpha=(?!uniform)/.test(location.search)")
            at_rest(page)
            steps = page.evaluate("history.length")
            page.get_by_role("button", name="uniform").click()
            page.wait_for_function("location.search.includes('alpha=uniform')")
            page.get_by_role("button", name="FPR", exact=True).click()
            page.wait_for_function("location.search.includes('choose=')")
            assert page.evaluate("history.length") == steps, visit
            page.go_back()
            page.wait_for_function("location.pathname === '/'")
            page.get_by_role("heading", name="Features").first.wait_for(timeout=60_000)
            page.wait_for_function("window.__fssdScatter?.['features-scatter']", timeout=60_000)
            at_rest(page)
        page.go_forward()
        tuned(page)
        assert probe(page, "state.preset") == "uniform", "what was tuned is kept"


def test_the_page_starts_without_ood_labels_and_says_so(browser: Any, url: str) -> None:
    with open_page(browser, url) as page:
        tuned(page)
        assert probe(page, "state.preset") == "pseudo-ood"
        assert "no ood labels (pseudo-ood made from ind images)" in page.locator(".labels").inner_text()
        assert "alpha" not in page.evaluate("location.search")
        page.get_by_role("radio", name="mnist", exact=True).check()
        page.wait_for_function(f"{COCKPIT}.state.ood === 'mnist'")
        assert probe(page, "metrics.auroc") > 0.85, "uniform weights score 0.08 here"


def test_an_example_opens_its_page_and_pins_are_there_on_the_way_back(browser: Any, url: str) -> None:
    with open_page(browser, url) as page:
        tuned(page)
        page.get_by_role("button", name="Pin this setting").click()
        page.get_by_label("Name of pin 1").fill("before")
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Unpin before").wait_for()
        thumb = page.locator(".thumbs.ood button").first
        thumb.click()
        row = int(re.search(r"row (\d+)", thumb.get_attribute("aria-label")).group(1))
        assert row in load_data("photo-patches").rows
        page.get_by_role("link", name="Inspect this image").click()
        page.wait_for_url(re.compile(rf"/inspect\?.*set=photo-patches.*row={row}\b|/inspect\?.*row={row}\b"))
        page.get_by_role("heading", name="Inspect one sample").wait_for(timeout=60_000)
        page.get_by_role("link", name="Tuning").click()
        tuned(page)
        page.get_by_role("button", name="Unpin before").wait_for()
        assert page.get_by_label("Name of pin 1").input_value() == "before"
