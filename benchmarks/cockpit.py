"""Updates a second of the tuning cockpit in a real Chromium, at 10,000 + 10,000 images and 5 layers.

`python -m benchmarks.cockpit` moves a weight, and then the threshold, in every animation frame for some seconds each,
as a dragging hand does, on the page of tests/e2e/harness_cockpit.py; nothing is let go, so nothing goes to the server.
"""

from __future__ import annotations

import statistics
from typing import Any

from playwright.sync_api import sync_playwright

from benchmarks.serving import chromium
from tests.e2e.conftest import CHROMIUM_FLAGS, ROOT, serve

SECONDS = 5
COCKPIT = "globalThis.__fssdCockpit?.harness"
DRAG = """([name, seconds]) => new Promise((done) => {
  const root = [...document.querySelectorAll('*')].map((e) => e.shadowRoot).find((r) => r?.querySelector('.cockpit'));
  const slider = root.querySelector(`[aria-label="${name}"]`);
  const from = root.querySelector('canvas.wide').getBoundingClientRect();
  const cockpit = globalThis.__fssdCockpit.harness;
  const compute = [], draw = [];
  const begun = performance.now(), updates = cockpit.updates;
  let frames = 0;
  const at = (x) => ({ bubbles: true, pointerId: 1, button: 0, clientX: x, clientY: from.y + 90 });
  const press = (kind, x) => slider.dispatchEvent(new PointerEvent(kind, at(x)));
  if (!slider.matches('input')) {
    slider.setPointerCapture = () => {};
    press('pointerdown', from.x + from.width / 2);
  }
  const step = () => {
    const seen = (performance.now() - begun) / 1000;
    if (frames) { compute.push(cockpit.computeMs); draw.push(cockpit.drawMs); }
    if (seen > seconds) {
      done({ seconds: seen, frames, updates: cockpit.updates - updates, compute, draw });
      return;
    }
    frames++;
    const part = 0.5 + 0.45 * Math.sin(2 * seen);
    if (slider.matches('input')) {
      slider.value = 2 * part - 1;
      slider.dispatchEvent(new Event('input', { bubbles: true }));
    } else press('pointermove', from.x + from.width * part);
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
})"""


def measure(page: Any, name: str) -> str:
    """One line: updates a second, and the milliseconds of an update."""
    got = page.evaluate(DRAG, [name, SECONDS])
    median, slow = statistics.median, lambda v: statistics.quantiles(v, n=20)[-1]
    both = [c + d for c, d in zip(got["compute"], got["draw"], strict=True)]
    return (
        f"{name}: {got['updates'] / got['seconds']:.0f} updates a second; compute {median(got['compute']):.2f} ms, "
        f"draw {median(got['draw']):.2f} ms, together {median(both):.2f} (95 % of updates within {slow(both):.1f})"
    )


def main() -> None:
    """Prints the figures."""
    found = chromium()
    with serve(ROOT / "tests" / "e2e" / "harness_cockpit.py") as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(CHROMIUM_FLAGS))
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        page.goto(f"{url}/?case=large")
        page.wait_for_function(f"{COCKPIT}?.updates > 0", timeout=60_000)
        page.locator("button.thumb").first.wait_for()
        page.wait_for_timeout(1000)
        for name in ("Weight of conv1", "Threshold on the score"):
            print(measure(page, name), flush=True)
        browser.close()


if __name__ == "__main__":
    main()
