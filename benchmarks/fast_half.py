"""Milliseconds of the fast half: metrics, a sweep over 22 epsilons, a store read."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from fssd_core.detectors.fssd import EPSILONS
from fssd_core.ensemble import combine, manual
from fssd_core.metrics import confusion, metrics
from fssd_core.metrics_sweep import fast_metrics, sweep_metrics
from fssd_core.store import Store, key
from fssd_core.types import LayerScores

LAYERS = ("a", "b", "c", "d", "e")


def fast_half(rounds: int) -> dict[str, float]:
    """{work: median milliseconds of CPU time}."""
    draw = np.random.default_rng(0)
    ind, ood = draw.normal(1, 1, 10_000), draw.normal(0, 1, 10_000)
    works: dict[str, Callable[[], object]] = {
        "all six metrics, 10,000 + 10,000 scores": lambda: metrics(ind, ood),
        "the same by two sorts and a merge": lambda: fast_metrics(ind, ood),
    }
    for count in (2_000, 10_000):
        works[f"alpha, threshold and metrics at 22 epsilons, {count:,} + {count:,}"] = _sweep(count, draw)
    with tempfile.TemporaryDirectory() as folder:
        store, entry = Store(Path(folder)), key("layer_scores", 1, "bench")
        store.put(entry, {"values": draw.random((10_000, 5), dtype=np.float32)})
        works["store read, 10,000 x 5 scores"] = lambda: store.get(entry)
        return {name: _milliseconds(work, rounds) for name, work in works.items()}


def _sweep(count: int, draw: np.random.Generator) -> Callable[[], object]:
    sides = [
        {e: LayerScores(draw.gamma(2 + side, 1, (count, len(LAYERS))), LAYERS) for e in EPSILONS} for side in (1, 0)
    ]
    weights = manual(LAYERS, [-0.1, -0.9, 0.8, 0.2, 0.5])
    threshold = 1.0

    def work() -> object:
        numbers = sweep_metrics(sides[0], sides[1], weights)
        return numbers, confusion(*(combine(side[0.0], weights) for side in sides), threshold)

    return work


def _milliseconds(work: Callable[[], object], rounds: int) -> float:
    seconds = []
    for number in range(rounds + 1):
        start = time.process_time()
        work()
        if number:
            seconds.append(time.process_time() - start)
    return round(1000 * statistics.median(seconds), 3)
