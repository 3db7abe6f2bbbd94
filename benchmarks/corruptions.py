"""`python -m benchmarks.corruptions`: seconds of 19 types x 5 severities x 500 images through FSSD, and from the store.

Four layers of the demo LeNet, epsilon 0, one corrupting process a core, an empty store of its own; then once more from
that store, and once more in a fresh process. Prints JSON with the load of the machine before and after. `--page`:
milliseconds of processor time in which the page's numbers, claim and figures follow a new alpha, from what ships.
`--browser`: from the press of an alpha slider's key to the drawn figures, in a real Chromium.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import sync_playwright

from app.corruption_state import Page
from app.figures import corruptions as figures
from benchmarks.serving import chromium, serving
from fssd_core import ensemble
from fssd_core.assets import assets_root
from fssd_core.corruption_claim import Draws
from fssd_core.corruption_demo import demo_corruptions
from fssd_core.corruption_study import CorruptionStudy, corruption_scores, stored_corruption
from fssd_core.corruption_table import metric_table, spread
from fssd_core.data.corruption_pool import cores
from fssd_core.store import Store
from fssd_core.study import Study
from tests.e2e.conftest import CHROMIUM_FLAGS


def timed(study: CorruptionStudy, root: Path) -> dict[str, Any]:
    """Seconds of one run with that store, and what it computed."""
    began = time.perf_counter()
    result = corruption_scores(study, store=Store(root))
    mean = float(metric_table(*result.detectors["fssd"].combined()).mean())
    seconds = round(time.perf_counter() - began, 2)
    return {"seconds": seconds, "computed": result.computed, "stored": result.stored, "mean_auroc": mean}


def follow_alpha(times: int = 20) -> dict[str, Any]:
    """Milliseconds (medians) of what a moved slider computes anew on the demo's page; drawing in the browser not."""
    spec = demo_corruptions()
    result = stored_corruption(spec, store=Store(Path(os.devnull, "none"), [assets_root() / "corruptions"]))
    if result is None:
        raise SystemExit("assets/corruptions lacks the demo's results; python -m fssd_core.assets build")
    count, kinds, levels = len(result.rows), list(result.types), result.severities
    draws = Draws.of(count, count, len(kinds), paired=True, samples=500, generator=np.random.default_rng(0))
    page, layers = Page(spec, "fssd", result, 0, draws), result.detectors["fssd"].layers
    numbers, drawn = [], []
    for alpha in np.random.default_rng(0).uniform(-1, 1, (times + 1, len(layers))):
        began = time.process_time()
        weights = ensemble.manual(layers, alpha.tolist())
        tables = {label: page.table(label, weights, "auroc") for label in page.labels}
        page.claim(weights)
        curves = {w: {lab: page.curve(lab, weights, (0, 0), w) for lab in page.labels} for w in ("roc", "pr")}
        numbers.append(time.process_time() - began)
        began = time.process_time()
        spreads = {label: spread(table) for label, table in tables.items()}
        told: dict[str, Any] = {"metric": "AUROC", "mode": "light"}
        made = [
            figures.severity_lines(levels, spreads, types=len(kinds), **told),
            figures.severity_boxes(levels, kinds, tables, **told),
            figures.cell_heatmap(tables["fssd"], kinds, levels, low_is_good=False, **told),
            figures.difference_heatmap(
                tables["fssd"] - tables["msp"], kinds, levels, first="FSSD", second="MSP", mode="light"
            ),
            *(figures.cell_curves(curves[kind], kind=kind, mode="light") for kind in curves),
        ]
        assert all(len(figure.to_json()) > 100 for figure in made)
        drawn.append(time.process_time() - began)
    middle = {"numbers_ms": numbers[1:], "figures_ms": drawn[1:]}  # the first run fills what alpha does not move
    return {name: round(1000 * statistics.median(values), 1) for name, values in middle.items()}


FOLLOWED = """(figures) => { globalThis.followed = (async () => {
  const drawn = (figure) => {
    const plot = document.querySelector(`.st-key-corruption-${figure} .js-plotly-plot`);
    const trace = plot?._fullData?.filter((t) => t.type === 'heatmap' || t.name?.startsWith('FSSD')).at(-1);
    return trace && JSON.stringify([trace.z ?? trace.y, trace.x]);
  };
  const before = Object.fromEntries(figures.map((f) => [f, drawn(f)]));
  await new Promise((pressed) => document.addEventListener('keydown', pressed, { once: true, capture: true }));
  const begun = performance.now(), took = {};
  while (figures.some((f) => !(f in took)) && performance.now() - begun < 30000) {
    await new Promise(requestAnimationFrame);
    const moved = figures.filter((f) => !(f in took) && (drawn(f) ?? before[f]) !== before[f]);
    for (const f of moved) took[f] = performance.now() - begun;
  }
  return took;
})(); }"""
FIGURES = ("lines", "boxes", "heat", "roc")


def in_browser(moves: int = 20) -> dict[str, Any]:
    """Milliseconds (medians, and 95 % within) from a pressed key to each figure's new data in Chromium."""
    took: dict[str, list[float]] = {figure: [] for figure in (*FIGURES, "all of them")}
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_FLAGS)
        page = browser.movedpage(viewport={"width": 1440, "height": 1400})
        page.goto(f"{server.url}/corruptions")
        page.get_by_role("heading", name="Curves of one cell").wait_for(timeout=90_000)
        page.wait_for_function("document.querySelectorAll('.js-plotly-plot .cartesianlayer').length >= 7")
        page.wait_for_function("document.querySelectorAll('.fssd-strip li').length === 96")
        for number in range(moves + 1):
            page.wait_for_timeout(1000)
            page.evaluate(FOLLOWED, list(FIGURES))
            page.get_by_role("slider", name="fc1").press("ArrowRight" if number % 2 else "ArrowLeft")
            found = page.evaluate("followed")
            if len(found) < len(FIGURES):
                raise SystemExit(f"after a key only {', '.join(found) or 'no figure'} followed within 30 s")
            if number:
                for figure in FIGURES:
                    took[figure].append(found[figure])
                took["all of them"].append(max(found.values()))
    return {
        figure: {"median_ms": round(statistics.median(v)), "p95_ms": round(statistics.quantiles(v, n=20)[-1])}
        for figure, v in took.items()
    }


def main() -> None:
    """Prints the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--detectors", default="fssd")
    parser.add_argument("--page", action="store_true", help="how fast the page follows alpha")
    parser.add_argument("--browser", action="store_true", help="how fast Chromium shows what follows alpha")
    options = parser.parse_args()
    if options.browser:
        print(json.dumps({"in_browser": in_browser(), "cores": cores(), "load": os.getloadavg()}, indent=1))
        return
    if options.page:
        print(json.dumps({"follow_alpha": follow_alpha(), "cores": cores(), "load": os.getloadavg()}, indent=1))
        return
    study = CorruptionStudy(Study(samples=options.images, ood=()), tuple(options.detectors.split(",")))
    before = os.getloadavg()
    with tempfile.TemporaryDirectory() as folder:
        computed = timed(study, Path(folder, "store"))
        stored = timed(study, Path(folder, "store"))
        command = [
            sys.executable, "-m", "fssd_core.cli", "corruptions", "--model", study.study.model, "--ind",
            study.study.ind, "--detectors", options.detectors, "--limit", str(options.images), "--json",
        ]  # fmt: skip
        began = time.perf_counter()
        done = subprocess.run(command, env={**os.environ, "FSSD_HOME": folder}, capture_output=True, check=True)
        whole = {"seconds": round(time.perf_counter() - began, 2), "computed": json.loads(done.stdout)["computed"]}
    report = {
        "images": options.images,
        "detectors": list(study.detectors),
        "cells": len(study.types) * len(study.severities),
        "cores": cores(),
        "load_before": before,
        "load_after": os.getloadavg(),
        "computed": computed,
        "from_store": stored,
        "whole_command_from_store": whole,
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
