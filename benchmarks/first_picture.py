"""Seconds from starting the dashboard to its first picture, with an empty store of one's own, in a real Chromium.

`python -m benchmarks.first_picture` prints the median of several cold starts.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time

from playwright.sync_api import Browser, sync_playwright

from app.__main__ import answers
from benchmarks.serving import chromium

PORT = 8654
URL = f"http://127.0.0.1:{PORT}"
DRAWN = "window.__fssdScatter?.['features-scatter']?.drawn > 0"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def cold_start(browser: Browser) -> tuple[float, float]:
    """(seconds until the server answers, seconds from there to the first picture)."""
    with tempfile.TemporaryDirectory() as home:
        start = time.perf_counter()
        command = [sys.executable, "-m", "app", "--no-browser", "--port", str(PORT)]
        server = subprocess.Popen(command, env={**os.environ, "FSSD_HOME": home}, stdout=subprocess.DEVNULL)
        try:
            while not answers(URL):
                time.sleep(0.02)
            up = time.perf_counter()
            page = browser.new_page(viewport={"width": 1440, "height": 1000})
            page.goto(URL)
            page.wait_for_function(DRAWN, polling=20, timeout=120_000)
            drawn = time.perf_counter()
            page.close()
        finally:
            server.terminate()
            server.wait(10)
    return up - start, drawn - up


def main(rounds: int = 5) -> None:
    """Prints the medians."""
    found = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        runs = [cold_start(browser) for _ in range(rounds)]
        browser.close()
    for name, values in zip(("server answers after", "first picture after that"), zip(*runs, strict=True), strict=True):
        print(f"{name}: median {statistics.median(values):.2f} s of {', '.join(f'{v:.2f}' for v in values)}")


if __name__ == "__main__":
    main()
