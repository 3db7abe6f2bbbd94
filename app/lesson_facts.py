"""The demo's measured numbers that the lesson asks about: read from the store when a step is shown."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from fssd_core.dynamics import Dynamics, dynamics
from fssd_core.ensemble import combine
from fssd_core.metrics import metrics
from fssd_core.store import Store
from fssd_core.study import Comparison, Study, compare, layer_scores, weights_by_rule
from fssd_core.types import Metrics


class Facts:
    """Numbers of the demo network on the demo's sets.

    Args:
        store: where the demo's results lie; what it lacks is computed.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.study = Study()

    @cached_property
    def series(self) -> Dynamics:
        """Distances, AUROC and speed over all checkpoints."""
        return dynamics(self.study, store=self.store)

    def at(self, step: int | None) -> int:
        """Index of a training step, the last where it is None."""
        return len(self.series.steps) - 1 if step is None else self.series.steps.index(step)

    def group(self, name: str) -> int:
        """Index of a group by its name; '' for ind."""
        return [g for g, _ in self.series.groups].index(name or self.study.ind)

    def distance(self, name: str, *, layer: str = "logits", step: int | None = None) -> float:
        """Mean distance to F* in the layer's own unit."""
        return float(self.series.mean[self.at(step), self.series.layers.index(layer), self.group(name)])

    def ratio(self, name: str, *, layer: str = "logits", step: int | None = None) -> float:
        """Mean distance over the ind median of the same checkpoint."""
        t, k = self.at(step), self.series.layers.index(layer)
        return float(self.series.mean[t, k, self.group(name)] / self.series.ind_median[t, k])

    def auroc(self, name: str, *, layer: str = "logits", step: int | None = None) -> float:
        """Of one layer's distance alone, ind positive."""
        return float(self.series.auroc[self.at(step), self.series.layers.index(layer), self.group(name)])

    def settled(self, name: str, *, layer: str = "logits", share: float = 0.8) -> int:
        """First step by which that share of the whole fall of the ratio has happened."""
        k = self.series.layers.index(layer)
        ratio = self.series.mean[:, k, self.group(name)] / self.series.ind_median[:, k]
        return self.series.steps[int(np.flatnonzero(ratio <= ratio[0] - share * (ratio[0] - ratio[-1]))[0])]

    def speed(self, name: str, *, layer: str = "logits", first: int = 10, last: int = 900) -> float:
        """Movement a step between two checkpoints, averaged over the steps, over that of ind."""
        steps = np.asarray(self.series.steps)
        spans = np.diff(steps).astype(float)
        inside = (steps[:-1] >= first) & (steps[1:] <= last)
        speed = self.series.speed[:, self.series.layers.index(layer)]
        way = (speed[inside] * spans[inside, None]).sum(0)
        return float(way[self.group(name)] / way[self.group("")])

    @cached_property
    def comparisons(self) -> dict[str, Comparison]:
        """Scores at epsilon 0 of each demo ood set beside ind, split into rows to fit and rows to test."""
        tables = {
            ref: layer_scores(self.study, ref, epsilons=[0.0], store=self.store)[0.0]
            for ref in (self.study.ind, *self.study.ood)
        }
        return {ref: compare(self.study, ref, tables[self.study.ind], tables[ref]) for ref in self.study.ood}

    def detector(self, rule: str, *, on: str, fitted_on: str | None = None) -> Metrics:
        """Held-out numbers of alpha by a rule, tested on one set, fitted with labels of another where it needs some."""
        weights = weights_by_rule(rule, self.comparisons[fitted_on or on], seed=self.study.seed)
        tested = self.comparisons[on]
        return metrics(combine(tested.test_ind, weights), combine(tested.test_ood, weights))


def nearest(value: float, edges: tuple[float, ...]) -> int:
    """Which interval between ascending edges holds the value: 0 below the first, len(edges) above the last."""
    return int(np.searchsorted(edges, value))
