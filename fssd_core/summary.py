"""What a projection's groups say in numbers: distances to F* by group, their density, and the sentence for the page."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import gaussian_kde

from fssd_core.metrics import auroc
from fssd_core.types import FloatArray, Projection

INVERTED = 0.45
UNINFORMATIVE = 0.55


@dataclass(frozen=True)
class GroupSummary:
    """One group's true distances to F* in one layer.

    Attributes:
        name: data reference, or 'noise'.
        kind: 'ind', 'ood' or 'noise'.
        count: how many points.
        mean: mean ||F - F*||, in the layer's own units.
        median: median of the same.
        ratio: mean over the ind median, the unit of the pictures; below 1: nearer to F* than most of ind.
        auroc: of the distance alone, ind positive (larger = ind); None for ind itself.
    """

    name: str
    kind: str
    count: int
    mean: float
    median: float
    ratio: float
    auroc: float | None


def summarise(projection: Projection) -> list[GroupSummary]:
    """A summary a group, in the projection's order; measured on the drawn points."""
    ind = np.concatenate([projection.distance[g.start : g.stop] for g in projection.members("ind")])
    out = []
    for group in projection.groups:
        distance = projection.distance[group.start : group.stop].astype(np.float64)
        out.append(
            GroupSummary(
                name=group.name,
                kind=group.kind,
                count=len(distance),
                mean=float(distance.mean()),
                median=float(np.median(distance)),
                ratio=float(distance.mean() / np.median(ind)) if np.median(ind) > 0 else float("nan"),
                auroc=None if group.kind == "ind" else auroc(ind, distance),
            )
        )
    return out


def density(
    values: FloatArray, *, low: float, high: float, points: int = 200
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(grid, density) of a Gaussian kernel estimate (Scott's bandwidth); a constant sample gives a narrow spike.

    Args:
        values: (n,) sample.
        low: start of the grid.
        high: end of the grid.
        points: grid size.
    """
    grid = np.linspace(low, high, points)
    sample = np.asarray(values, dtype=np.float64)
    spread = (high - low) / points
    if len(sample) < 2 or np.ptp(sample) < 1e-9 * max(1.0, abs(float(sample.mean()))):
        return grid, np.exp(-0.5 * ((grid - sample.mean()) / spread) ** 2) / (spread * np.sqrt(2 * np.pi))
    return grid, gaussian_kde(sample)(grid)


def verdict(auroc_value: float) -> str:
    """What a single distance's AUROC means, in plain words."""
    if auroc_value < INVERTED:
        return "theory fails: farther from F* than ind"
    if auroc_value < UNINFORMATIVE:
        return "theory fails: no better than chance"
    if auroc_value < 0.8:
        return "weakly separated"
    return "well separated" if auroc_value < 0.95 else "nearly all nearer to F* than ind"
