"""The demo's stored results: ordinary store entries that ship with the project, and the studies they belong to."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from fssd_core.bench_open import Asked, open_bench
from fssd_core.bench_run import bench_call
from fssd_core.benchmarks import BENCHMARKS
from fssd_core.data import list_data
from fssd_core.detectors import DETECTORS
from fssd_core.dynamics import dynamics
from fssd_core.film import FILM_VIEWS, film
from fssd_core.kernel import kernel
from fssd_core.models import list_models
from fssd_core.protocol import PROTOCOLS
from fssd_core.runtime import Progress, silent
from fssd_core.speed import speed
from fssd_core.store import Store
from fssd_core.study import Study, layer_scores, study_layers
from fssd_core.study_projection import VIEWS, drawn_study, features_projection
from fssd_core.study_pseudo import pseudo_scores

KERNEL_STEPS = (0, 100, 13132)
"""Checkpoints whose kernel blocks ship: untrained, early, the last."""
LAYERED = ("fssd", "mahalanobis", "msp")
"""Detectors whose outcomes ship for every ood set of the first page: two by layers, and the softmax (near or far)."""
KNOTS = (-0.04, -0.02, -0.006, -0.002, 0.0, 0.002, 0.006, 0.02, 0.04, 0.1, 0.2)
"""Epsilons of the sweep, in pixels; between them each distance is interpolated by a monotone cubic."""


def demo_projections() -> Iterator[tuple[Study, str, str]]:
    """(study, layer, view) of every projection that ships: all views at the end, the first view at every checkpoint."""
    study = Study()
    steps = next(m for m in list_models() if m.name == study.model).steps
    for layer in study_layers(study):
        for view in VIEWS:
            yield replace(study, step=steps[-1]), layer, view
        for step in steps[:-1]:
            yield replace(study, step=step), layer, "centred-spokes"


def demo_scores() -> Iterator[tuple[Study, str, tuple[float, ...]]]:
    """(study, data, epsilons) of all scores that ship: the whole sweep for the first page's sets, epsilon 0 for all.

    And epsilon 0 for the images that the first page draws, which are other ones than those of the tuning sample.
    """
    study = Study()
    first = (study.ind, *study.ood)
    for name in first:
        yield drawn_study(study, name), name, (0.0,)
    for entry in list_data():
        if entry.kind in ("bundled", "derived") and entry.name != "fmnist:train":
            yield study, entry.name, KNOTS if entry.name in first else (0.0,)


def demo_pseudo() -> Iterator[tuple[Study, tuple[float, ...]]]:
    """(study, epsilons) of the pseudo-ood scores that ship: the whole sweep of the first page's study."""
    yield Study(), KNOTS


def demo_films() -> Iterator[tuple[Study, str, str]]:
    """(study, layer, view) of every film that ships: all views of all layers."""
    study = Study()
    for layer in study_layers(study):
        for view in FILM_VIEWS:
            yield study, layer, view


def demo_kernels() -> Iterator[tuple[Study, str]]:
    """(study, layer) of every kernel block that ships: all layers at some checkpoints."""
    for step in KERNEL_STEPS:
        study = replace(Study(), step=step)
        for layer in study_layers(study):
            yield study, layer


def demo_benches() -> Iterator[tuple[Asked, tuple[str, ...]]]:
    """(comparison, detectors) that ship: the benchmark's own pair in full, and what shows the layers on other sets."""
    study, row = Study(), BENCHMARKS["fmnist-mnist"]
    for protocol in PROTOCOLS:
        yield Asked(row.name, protocol, seed=study.seed), tuple(DETECTORS)
    for ood in study.ood:
        if ood != row.ood:
            yield Asked(row.name, "paper", ood=ood, limit=study.samples, seed=study.seed), LAYERED


def build_demo_store(root: Path, *, missing: bool = False, progress: Progress = silent) -> None:
    """Computes all of it anew into `root`, which is replaced as a whole once everything is there.

    Args:
        root: the store's folder.
        missing: only add what `root` lacks; nothing that is there is touched.
        progress: told by each step.
    """
    fresh = root.with_name(f".{root.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    store = Store(root if missing else fresh)
    for study, data, epsilons in demo_scores():
        layer_scores(study, data, epsilons=epsilons, store=store, progress=progress)
    for study, epsilons in demo_pseudo():
        pseudo_scores(study, epsilons=epsilons, store=store, progress=progress)
    for study, layer, view in demo_projections():
        features_projection(study, layer, view, store=store, progress=progress)
    dynamics(Study(), store=store, progress=progress)
    speed(Study(), store=store, progress=progress)
    for study, layer in demo_kernels():
        kernel(study, layer, store=store, progress=progress)
    for study, layer, view in demo_films():
        film(study, layer, view, store=store, progress=progress)
    for asked, detectors in demo_benches():
        bench_call(open_bench(asked), detectors, store=store, progress=progress)
    if missing:
        return
    shutil.rmtree(root, ignore_errors=True)
    fresh.replace(root)
