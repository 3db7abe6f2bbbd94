"""Fast half of the corruption study, in NumPy: a number for every type and severity, means and spreads over the types.

T types, S severities, N clean images, M images in a cell, K layers, B bootstrap draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from fssd_core import ensemble
from fssd_core._counts import NUMBERS, checked, steps
from fssd_core.errors import InputError, lookup
from fssd_core.types import LayerScores, Weights

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CorruptionScores:
    """Scores of one detector, larger = more in-distribution.

    Attributes:
        label: of the detector.
        title: of the detector, for people.
        layers: K column names.
        clean: (N, K) float32.
        cells: (T, S, M, K) float32.
    """

    label: str
    title: str
    layers: tuple[str, ...]
    clean: npt.NDArray[np.float32]
    cells: npt.NDArray[np.float32]

    def combined(self, weights: Weights | None = None) -> tuple[Floats, Floats]:
        """(clean (N,), cells (T, S, M)): sum_k alpha_k of the columns, added layer by layer; alpha = 1 if None.

        Raises:
            InputError: weights of other layers.
        """
        chosen = ensemble.uniform(self.layers) if weights is None else weights
        clean = ensemble.combine(LayerScores(self.clean, self.layers), chosen)
        alpha = dict(zip(chosen.layers, chosen.alpha, strict=True))
        cells = np.zeros(self.cells.shape[:3])
        for column, layer in enumerate(self.layers):
            cells += alpha[layer] * self.cells[..., column].astype(np.float64)
        return clean, cells


@dataclass(frozen=True, eq=False)
class CorruptionResult:
    """All detectors on all cells.

    Attributes:
        types: T names.
        severities: S levels, rising.
        rows: (N,) rows of the clean images in their set.
        labels: (N,) their classes, None where not known or not the network's.
        cell_labels: (M,) classes of a cell's images.
        paired: whether image i of every cell is clean image i corrupted (then N = M).
        detectors: scores by label.
        predicted: (N,) class that the network gives each clean image.
        cell_predicted: (T, S, M) the same of the corrupted images.
        unchanged: {(type, severity): images that the type could not be applied to}.
        notes: what must be said.
        computed: results (a column in a cell) that were computed now.
        stored: results that the store had.
    """

    types: tuple[str, ...]
    severities: tuple[int, ...]
    rows: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64] | None
    cell_labels: npt.NDArray[np.int64] | None
    paired: bool
    detectors: dict[str, CorruptionScores]
    predicted: npt.NDArray[np.int32]
    cell_predicted: npt.NDArray[np.int32]
    unchanged: dict[tuple[str, int], int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    computed: int = 0
    stored: int = 0

    def take(self, positions: npt.NDArray[np.int64]) -> CorruptionResult:
        """Only the images at these positions, clean and corrupted.

        Raises:
            InputError: clean and corrupted images are not the same.
        """
        if not self.paired:
            raise InputError("clean and corrupted images are different ones here, so none can be taken out of both")
        detectors = {
            label: replace(s, clean=s.clean[positions], cells=s.cells[:, :, positions])
            for label, s in self.detectors.items()
        }
        labels = None if self.labels is None else self.labels[positions]
        return replace(
            self,
            rows=self.rows[positions],
            labels=labels,
            cell_labels=labels,
            detectors=detectors,
            predicted=self.predicted[positions],
            cell_predicted=self.cell_predicted[:, :, positions],
        )

    def of_types(self, types: Sequence[str]) -> CorruptionResult:
        """Only these types, in this result's order.

        Raises:
            InputError: none of them is in it.
        """
        places = [i for i, kind in enumerate(self.types) if kind in types]
        if not places:
            raise InputError(f"none of the types {', '.join(types)} is here; there are {', '.join(self.types)}")
        detectors = {label: replace(s, cells=s.cells[places]) for label, s in self.detectors.items()}
        kept = tuple(self.types[i] for i in places)
        return replace(self, types=kept, detectors=detectors, cell_predicted=self.cell_predicted[places])

    def accuracy(self) -> tuple[float, Floats] | None:
        """(share of clean images classified right, (T, S) the same of the cells), None without labels."""
        if self.labels is None or self.cell_labels is None:
            return None
        right = self.cell_predicted == self.cell_labels
        return float(np.mean(self.predicted == self.labels)), right.mean(axis=2)


def metric_table(clean: npt.ArrayLike, cells: Floats, metric: str = "auroc") -> Floats:
    """(T, S) one number of `Metrics` for every cell, clean images against corrupted ones, exact on ties.

    Args:
        clean: (N,) scores of clean images, the positive class.
        cells: (T, S, M) scores of corrupted images.
        metric: 'auroc', 'aupr_in', 'aupr_out', 'fpr80', 'fpr95' or 'detection_error'.

    Raises:
        InputError: unknown metric, or scores that are not finite.
    """
    rule = lookup(NUMBERS, metric, "metric")
    ind = checked(clean, "clean")
    checked(cells.reshape(-1), "corrupted")
    out = np.empty(cells.shape[:2])
    for place in np.ndindex(out.shape):
        _, tp, fp = steps(ind, cells[place])
        out[place] = rule(tp, fp)
    return out


def rejected_table(cells: Floats, threshold: float) -> Floats:
    """(T, S) share of a cell's images that the threshold rejects."""
    share: Floats = (cells < threshold).mean(axis=2)
    return share


def accepted_accuracy(result: CorruptionResult, cells: Floats, threshold: float) -> Floats | None:
    """(S,) share classified right among the accepted images of all types; nan where none is accepted."""
    if result.cell_labels is None:
        return None
    accepted = cells >= threshold
    right = (result.cell_predicted == result.cell_labels) & accepted
    with np.errstate(invalid="ignore"):
        share: Floats = right.sum(axis=(0, 2)) / accepted.sum(axis=(0, 2))
    return share


@dataclass(frozen=True, eq=False)
class Spread:
    """A number over the T types, for each severity: (S,) each.

    Attributes:
        mean: over the types.
        sd: standard deviation over the types (divided by T - 1; 0 for one type).
        low: smallest.
        high: largest.
    """

    mean: Floats
    sd: Floats
    low: Floats
    high: Floats


def spread(table: Floats) -> Spread:
    """Mean, standard deviation and range over the types of a (T, S) table."""
    sd = table.std(axis=0, ddof=1) if len(table) > 1 else np.zeros(table.shape[1])
    return Spread(table.mean(axis=0), sd, table.min(axis=0), table.max(axis=0))


def image_draws(count: int, samples: int, generator: np.random.Generator) -> npt.NDArray[np.float64]:
    """(B, count) how often each image is in each bootstrap draw; rows sum to `count`."""
    drawn = generator.integers(0, count, (samples, count))
    flat = (drawn + count * np.arange(samples)[:, None]).reshape(-1)
    return np.bincount(flat, minlength=samples * count).reshape(samples, count).astype(np.float64)


def auroc_draws(clean: Floats, corrupted: Floats, clean_draws: Floats, corrupted_draws: Floats) -> Floats:
    """(B,) exact AUROC of every bootstrap draw of one cell.

    Args:
        clean: (N,) scores.
        corrupted: (M,) scores.
        clean_draws: (B, N) of `image_draws`.
        corrupted_draws: (B, M); for paired images the same draws, so that an image comes with its corrupted twin.
    """
    order = np.argsort(corrupted, kind="stable")
    ranked = corrupted[order]
    below = np.zeros((len(corrupted_draws), len(corrupted) + 1))
    np.cumsum(corrupted_draws[:, order], axis=1, out=below[:, 1:])
    first, last = (np.searchsorted(ranked, clean, side=side) for side in ("left", "right"))
    wins = below[:, first] + below[:, last]  # twice the images below, ties once
    pairs: Floats = (clean_draws * wins).sum(axis=1)
    return pairs / (2 * len(clean) * len(corrupted))


def placements(clean: Floats, cells: Floats) -> tuple[Floats, Floats]:
    """(of clean (T, S, N), of corrupted (T, S, M)): share of the other side that each image is on the right side of.

    Each averages to the AUROC; their images' deviations are its influence function (DeLong et al. 1988).
    """
    ranked = np.sort(clean)
    first, last = (np.searchsorted(ranked, cells, side=side) for side in ("left", "right"))
    of_cells = 1 - (first + last) / (2 * len(clean))
    of_clean = np.empty((*cells.shape[:2], len(clean)))
    for place in np.ndindex(cells.shape[:2]):
        ordered = np.sort(cells[place])
        first, last = (np.searchsorted(ordered, clean, side=side) for side in ("left", "right"))
        of_clean[place] = (first + last) / (2 * cells.shape[2])
    return of_clean, of_cells


def linear_draws(clean: Floats, cells: Floats, clean_draws: Floats, cell_draws: Floats) -> tuple[Floats, Floats]:
    """(AUROC (T, S), of every draw (B, T, S)), the draws linearised: AUROC + mean of the drawn images' influence.

    Exact to order 1/N and a hundred times faster than `auroc_draws`, so that a slider can move it.

    Args:
        clean: (N,) scores.
        cells: (T, S, M) scores.
        clean_draws: (B, N) of `image_draws`.
        cell_draws: (B, M); the same draws for paired images.
    """
    of_clean, of_cells = placements(clean, cells)
    auroc: Floats = of_clean.mean(axis=2)
    moved = (clean_draws / of_clean.shape[2]) @ of_clean.reshape(-1, of_clean.shape[2]).T
    moved += (cell_draws / of_cells.shape[2]) @ of_cells.reshape(-1, of_cells.shape[2]).T
    return auroc, moved.reshape(-1, *auroc.shape) - auroc
