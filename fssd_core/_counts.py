"""Counting behind `metrics`: one tie-aware sort, and every number of Metrics from the counts it gives.

tp and fp are (T,) ind and ood images accepted at each threshold, thresholds falling; the point where nothing is
accepted is left out. A repeated (tp, fp), as a bootstrap draw has, changes none of the numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from fssd_core.errors import InputError

Scores = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


def steps(ind: Scores, ood: Scores) -> tuple[Scores, Counts, Counts]:
    """(thresholds, tp, fp), each (T,), one step a distinct score."""
    scores = np.concatenate([ind, ood])
    order = np.argsort(scores)[::-1]
    scores = scores[order]
    last = np.append(scores[1:] != scores[:-1], True)  # the last image of each run of ties
    tp = np.cumsum(order < len(ind), dtype=np.int64)[last]
    return scores[last], tp, np.flatnonzero(last) + 1 - tp


def redrawn(rank: Counts, steps: int, generator: np.random.Generator) -> Counts:
    """(T,) accepted counts of one bootstrap draw of a side whose images stand at `rank`."""
    drawn = generator.integers(0, len(rank), len(rank), dtype=np.int32 if len(rank) < 2**31 else np.int64)
    return np.cumsum(np.bincount(rank[drawn], minlength=steps))


def auroc_of(tp: Counts, fp: Counts) -> float:
    """Pairs won plus half the pairs tied, over all pairs."""
    twice = np.dot(np.diff(fp, prepend=0), tp + np.concatenate(([0], tp[:-1])))  # in whole numbers: no rounding
    return int(twice) / (2 * int(tp[-1]) * int(fp[-1]))


def precision_in(tp: Counts, fp: Counts, prevalence: float | None = None) -> float:
    """Average precision with ind positive, at the sets' own ratio or with a share `prevalence` of ind."""
    positive: Any = tp if prevalence is None else prevalence / tp[-1] * tp
    negative: Any = fp if prevalence is None else (1 - prevalence) / fp[-1] * fp
    with np.errstate(invalid="ignore"):
        precision = positive / (positive + negative)
    gained = np.diff(tp, prepend=0)
    return float(np.dot(gained[gained > 0], precision[gained > 0]) / tp[-1])


def precision_out(tp: Counts, fp: Counts, prevalence: float | None = None) -> float:
    """The same with ood positive: the other way up the thresholds, counting what lies at or below each."""
    below_ind, below_ood = (c[-1] - np.concatenate(([0], c[:-1])) for c in (tp, fp))
    return precision_in(below_ood[::-1], below_ind[::-1], prevalence)


def _fpr_at(tpr: float) -> Callable[[Counts, Counts], float]:
    return lambda tp, fp: float(fp[np.searchsorted(tp / tp[-1], tpr)] / fp[-1])


def detection_error(tp: Counts, fp: Counts) -> float:
    """Smallest mean of miss rate and false alarm rate; at most 0.5, which is accepting everything."""
    return float(((1 - tp / tp[-1] + fp / fp[-1]) / 2).min())


PRECISIONS = {"ind": precision_in, "ood": precision_out}
NUMBERS: dict[str, Callable[[Counts, Counts], float]] = {
    "auroc": auroc_of,
    "aupr_in": precision_in,
    "aupr_out": precision_out,
    "fpr80": _fpr_at(0.80),
    "fpr95": _fpr_at(0.95),
    "detection_error": detection_error,
}


def checked(values: npt.ArrayLike, side: str) -> Scores:
    """(N,) float64 scores, at least one, all finite; else an InputError that says how many are not."""
    scores = np.asarray(values)
    if scores.ndim != 1 or scores.dtype.kind not in "biuf":
        raise InputError(
            f"{side} scores of shape {scores.shape} and type {scores.dtype} were given; give one number an image, (N,)"
        )
    if len(scores) == 0:
        raise InputError(f"there are 0 {side} scores; at least 1 is needed on each side")
    scores = scores.astype(np.float64, copy=False)
    if not (finite := np.isfinite(scores)).all():
        nan = int(np.isnan(scores).sum())
        infinite = len(scores) - int(finite.sum()) - nan
        raise InputError(
            f"{nan} of {len(scores)} {side} scores are NaN and {infinite} are infinite; "
            "check the images and the weights, or leave those images out"
        )
    return scores
