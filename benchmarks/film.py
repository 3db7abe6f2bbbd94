"""Frames a second of the film in a real Chromium, and a frame's own milliseconds, at 1,600, 5,000 and 10,000 points.

`python -m benchmarks.film [--json benchmarks/results/film.json]` plays the page of tests/e2e/harness_film.py, charts
and all, over 23 checkpoints; both ways of drawing points are measured, the first is what the page takes by itself here.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from benchmarks.serving import chromium
from tests.e2e.conftest import CHROMIUM_FLAGS, ROOT, serve

POINTS = (1600, 5000, 10000)
SECONDS = 6
FILM = "globalThis.__fssdFilm?.harness"
PLAY = """(seconds) => new Promise((done) => {
  const film = globalThis.__fssdFilm.harness;
  const root = [...document.querySelectorAll('*')].map((e) => e.shadowRoot).find((r) => r?.querySelector('.film'));
  film.seek(0);
  root.querySelector('.play').click();
  const begun = performance.now(), own = [];
  let last = film.frames, first = null;
  const step = () => {
    const now = performance.now();
    if (film.frames !== last) { own.push(film.frameMs); last = film.frames; first ??= [now, last]; }
    if (now - begun < seconds * 1000) return requestAnimationFrame(step);
    const fps = (film.frames - first[1]) / ((now - first[0]) / 1000);
    done({ fps, own, renderer: film.renderer, playing: film.playing });
  };
  requestAnimationFrame(step);
})"""


def measure(page: Any, url: str, points: int, renderer: str) -> dict[str, Any]:
    """Frames a second while playing, and the own time of a frame."""
    page.goto(f"{url}/?points={points}&renderer={renderer}")
    page.wait_for_function(f"{FILM}?.frames > 0", timeout=60_000)
    page.wait_for_timeout(1500)
    got = page.evaluate(PLAY, SECONDS)
    if not got["playing"]:
        raise RuntimeError("the film ended while it was measured")
    own = got["own"]
    return {
        "points": points,
        "asked": renderer,
        "renderer": got["renderer"],
        "frames_a_second": round(got["fps"], 1),
        "own_ms_median": round(statistics.median(own), 2),
        "own_ms_95": round(statistics.quantiles(own, n=20)[-1], 2),
    }


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args()
    found = chromium()
    rows = []
    with serve(ROOT / "tests" / "e2e" / "harness_film.py") as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(CHROMIUM_FLAGS))
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        for renderer in ("auto", "webgl"):
            for points in POINTS:
                row = measure(page, url, points, renderer)
                rows.append(row)
                print(
                    f"{points:6,} points, {row['renderer']:6}: {row['frames_a_second']:5.1f} frames a second; "
                    f"a frame's own work {row['own_ms_median']:.2f} ms (95 % of frames within {row['own_ms_95']:.1f})",
                    flush=True,
                )
        facts = {"chromium": browser.version, "machine": platform.machine(), "cpus": os.cpu_count()}
        facts["load"] = round(os.getloadavg()[0], 1)
        browser.close()
    if options.json:
        options.json.write_text(json.dumps({**facts, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
