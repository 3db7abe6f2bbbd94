"""The lesson in a real browser: presenter mode stays on from step to step, by buttons and by address."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.e2e.conftest import open_page

pytestmark = pytest.mark.e2e
LARGE = "() => parseFloat(getComputedStyle(document.documentElement).fontSize) > 20"


def step(page: Any, number: int) -> None:
    page.get_by_text(re.compile(rf"step {number} of \d+")).wait_for(timeout=60_000)
    assert page.locator("[data-testid=stException]").count() == 0


def test_presenter_mode_stays_on_through_the_lesson(browser, dashboard):
    with open_page(browser, f"{dashboard}/lesson") as page:
        page.get_by_role("button", name="Start").wait_for(timeout=60_000)
        page.locator("label", has_text="Presenter mode").click()
        page.wait_for_function(LARGE)
        page.get_by_role("button", name="Start").click()
        step(page, 1)
        page.wait_for_function(LARGE)
        page.get_by_role("button", name="Just show me").click()
        page.get_by_role("button", name="Next").click()
        step(page, 2)
        page.wait_for_function(LARGE)
        page.wait_for_function("location.search.includes('lesson=2') && location.search.includes('present=true')")
        address = page.url
        page.get_by_role("button", name="Leave the lesson").click()
        page.get_by_text(re.compile(r"step 2 of \d+")).wait_for(state="detached")
        page.wait_for_function(LARGE)
        page.goto(address)
        step(page, 2)
        page.wait_for_function(LARGE)
        page.locator("label", has_text="Presenter mode").click()
        page.wait_for_function("() => parseFloat(getComputedStyle(document.documentElement).fontSize) < 18")
        step(page, 2)
