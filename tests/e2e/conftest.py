"""What every browser test needs: a Streamlit server on a free port, one Chromium, pages that tell their errors."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from app.__main__ import answers
from benchmarks.serving import chromium, free_port

ROOT = Path(__file__).resolve().parents[2]
SHOTS = Path(__file__).with_name("shots")
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def serve(script: str | Path, *args: str, env: dict[str, str] | None = None, timeout: float = 60.0) -> Iterator[str]:
    """Runs `streamlit run script -- args` on a free port from the repository's root; gives its URL, ends it after."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "streamlit", "run", str(script)),
        *("--server.port", str(port), "--server.address", "127.0.0.1", "--server.headless", "true"),
        *("--browser.gatherUsageStats", "false", "--server.fileWatcherType", "none"),
        *("--", *args),
    ]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    log = (Path(os.environ.get("TMPDIR", "/tmp")) / f"fssd-e2e-{port}.log").open("w+")
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path, **(env or {})}, stdout=log, stderr=subprocess.STDOUT
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_up(url, process, log, timeout)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()
        Path(log.name).unlink(missing_ok=True)


def _wait_until_up(url: str, process: subprocess.Popen[bytes], log: Any, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        if answers(url):
            return
        time.sleep(0.1)
    log.seek(0)
    raise RuntimeError(f"the server at {url} did not start; its output:\n{log.read()}")


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The dashboard itself, with an empty home and no data root: its URL."""
    home = tmp_path_factory.mktemp("home")
    with serve(ROOT / "app" / "main.py", env={"FSSD_HOME": str(home), "FSSD_DATA_ROOT": ""}) as address:
        yield address


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One Chromium for all tests: the system's, or Playwright's own; skips with the reason where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = chromium()
    with sync_api.sync_playwright() as playwright:
        if found is None and not Path(playwright.chromium.executable_path).exists():
            pytest.skip("no Chromium: install the package 'chromium' or run `playwright install chromium`")
        instance = playwright.chromium.launch(executable_path=found, args=list(CHROMIUM_FLAGS))
        yield instance
        instance.close()


@contextmanager
def open_page(browser: Any, url: str, *, width: int = 1440, height: int = 900, **options: Any) -> Iterator[Any]:
    """A fresh page at that size; fails the test at its end if the page logged an uncaught error.

    `options` go to `browser.new_context` (color_scheme='dark', has_touch=True, reduced_motion='reduce' ...).
    """
    context = browser.new_context(viewport={"width": width, "height": height}, **options)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    try:
        page.goto(url)
        yield page
        assert not errors, f"uncaught errors in the page: {errors}"
    finally:
        context.close()


def has_count(locator: Any, expected: int, timeout: float = 60_000) -> None:
    """Wait until the page shows just so many of a thing: Streamlit draws a page bit by bit."""
    from playwright.sync_api import expect

    expect(locator).to_have_count(expected, timeout=timeout)


def choose(page: Any, box: Any, option: str) -> None:
    """Takes an option of a select box; a page still being drawn may close its list: it is opened up to four times."""
    from playwright.sync_api import TimeoutError as LateError

    for last in (False, False, False, True):
        box.click()
        try:
            page.get_by_role("option", name=option).click(timeout=10_000)
        except LateError:
            if last:
                raise
        else:
            return
