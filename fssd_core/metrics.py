"""How well one score tells ind from ood: numbers, curves, thresholds and confidence intervals on raw scores.

Scores are larger for ind, the positive class. `metrics` counts on one tie-aware sort in NumPy (fast enough for a
slider, equal to scikit-learn to rounding, its oracle in the tests); the curves are scikit-learn's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from sklearn.metrics import precision_recall_curve, roc_curve

from fssd_core._counts import NUMBERS, PRECISIONS, Scores, auroc_of, checked, redrawn, steps
from fssd_core.errors import InputError, lookup
from fssd_core.types import Curve, LayerScores, Metrics

Positive = Literal["ind", "ood"]


@dataclass(frozen=True)
class Confusion:
    """Counts at one threshold: accepted as ind where score >= threshold.

    Attributes:
        threshold: in the score's own unit.
        tp: ind accepted.
        fn: ind rejected.
        fp: ood accepted.
        tn: ood rejected.
    """

    threshold: float
    tp: int
    fn: int
    fp: int
    tn: int

    @property
    def tpr(self) -> float:
        """Share of ind accepted."""
        return self.tp / (self.tp + self.fn)

    @property
    def fnr(self) -> float:
        """Share of ind rejected."""
        return self.fn / (self.tp + self.fn)

    @property
    def fpr(self) -> float:
        """Share of ood accepted."""
        return self.fp / (self.fp + self.tn)

    @property
    def tnr(self) -> float:
        """Share of ood rejected."""
        return self.tn / (self.fp + self.tn)

    @property
    def accuracy(self) -> float:
        """Share of all images on the right side, at the sets' own ratio."""
        return (self.tp + self.tn) / (self.tp + self.fn + self.fp + self.tn)

    @property
    def precision(self) -> float:
        """Share of ind among the accepted, at the sets' own ratio; 1 where nothing is accepted, as the PR curve."""
        return self.tp / (self.tp + self.fp) if self.tp + self.fp else 1.0

    def precision_at(self, prevalence: float) -> float:
        """`precision_at_prevalence` of this threshold's rates: what to expect where a share `prevalence` is ind."""
        return precision_at_prevalence(self.tpr, self.fpr, prevalence)


def metrics(ind: npt.ArrayLike, ood: npt.ArrayLike) -> Metrics:
    """All numbers of one comparison, exact on ties.

    Args:
        ind: (P,) raw scores of ind images, larger = ind.
        ood: (N,) raw scores of ood images.

    Raises:
        InputError: a side is empty or not 1-d, or has NaN or infinite scores (the message says how many).
    """
    a, b = checked(ind, "ind"), checked(ood, "ood")
    _, tp, fp = steps(a, b)
    return Metrics(**{name: rule(tp, fp) for name, rule in NUMBERS.items()}, n_ind=len(a), n_ood=len(b))


def layer_metrics(ind: LayerScores, ood: LayerScores) -> dict[str, Metrics]:
    """`metrics` of each layer's distances alone, in the layers' order."""
    return {layer: metrics(ind.column(layer), ood.column(layer)) for layer in ind.layers}


def auroc(ind: npt.ArrayLike, ood: npt.ArrayLike) -> float:
    """P(ind score > ood score) + P(equal) / 2 over all pairs: the area under the ROC curve."""
    _, tp, fp = steps(checked(ind, "ind"), checked(ood, "ood"))
    return auroc_of(tp, fp)


def aupr(
    ind: npt.ArrayLike, ood: npt.ArrayLike, *, positive: Positive = "ind", prevalence: float | None = None
) -> float:
    """Average precision sum_t (R_t - R_{t-1}) P_t, of either side, at the sets' own ratio or a stated one.

    Args:
        ind: (P,) raw scores.
        ood: (N,) raw scores.
        positive: 'ind' (AUPR-IN) or 'ood' (AUPR-OUT, the score's sign turned).
        prevalence: share of the positive class, 0 to 1 exclusive; None for the sets' own ratio.
    """
    share = _prevalence(prevalence)
    _, tp, fp = steps(checked(ind, "ind"), checked(ood, "ood"))
    return lookup(PRECISIONS, positive, "positive class")(tp, fp, share)


def fpr_at_tpr(ind: npt.ArrayLike, ood: npt.ArrayLike, tpr: float) -> float:
    """Share of ood accepted at `threshold_at_tpr(ind, tpr)`: read off the step curve, never interpolated."""
    return float(np.mean(checked(ood, "ood") >= threshold_at_tpr(ind, tpr)))


def threshold_at_tpr(ind: npt.ArrayLike, tpr: float) -> float:
    """The largest threshold that accepts at least the share `tpr` of ind; inf (accept nothing) for 0.

    Raises:
        InputError: tpr outside 0..1, or ind scores that cannot be used.
    """
    scores = checked(ind, "ind")
    if not 0 <= tpr <= 1:
        raise InputError(f"a true positive rate of {tpr} was asked for; it is a share, 0 to 1 (0.95 for 95 %)")
    count = len(scores)
    need = int(np.searchsorted(np.arange(count + 1) / count, tpr))  # fewest images with need / count >= tpr
    return float(np.partition(scores, count - need)[count - need]) if need else float("inf")


def confusion(ind: npt.ArrayLike, ood: npt.ArrayLike, threshold: float) -> Confusion:
    """Counts and rates where images with score >= threshold are accepted as ind; an infinite threshold is allowed."""
    a, b = checked(ind, "ind"), checked(ood, "ood")
    if np.isnan(threshold):
        raise InputError("the threshold is NaN; give a number in the score's unit")
    tp, fp = int(np.count_nonzero(a >= threshold)), int(np.count_nonzero(b >= threshold))
    return Confusion(float(threshold), tp, len(a) - tp, fp, len(b) - fp)


def precision_at_prevalence(tpr: float, fpr: float, prevalence: float) -> float:
    """pi TPR / (pi TPR + (1 - pi) FPR), the precision where a share pi is positive; 1 where nothing is accepted."""
    share = _prevalence(prevalence)
    assert share is not None
    accepted = share * tpr + (1 - share) * fpr
    return share * tpr / accepted if accepted else 1.0


def roc(ind: npt.ArrayLike, ood: npt.ArrayLike, *, drop_intermediate: bool = True) -> Curve:
    """ROC curve from (0, 0) at threshold inf to (1, 1), by scikit-learn.

    Args:
        ind: (P,) raw scores.
        ood: (N,) raw scores.
        drop_intermediate: leave out points on straight pieces: the same curve, far fewer points. False for every
            distinct score as a threshold.
    """
    truth, scores = _labelled(ind, ood)
    x, y, thresholds = roc_curve(truth, scores, drop_intermediate=drop_intermediate)
    return Curve(x, y, thresholds)


def pr(ind: npt.ArrayLike, ood: npt.ArrayLike, *, positive: Positive = "ind", prevalence: float | None = None) -> Curve:
    """Precision over recall, recall rising from 0, by scikit-learn.

    Args:
        ind: (P,) raw scores.
        ood: (N,) raw scores.
        positive: 'ind': accepted where score >= threshold, starting at inf. 'ood': flagged where score <= threshold,
            starting at -inf.
        prevalence: share of the positive class that precision is corrected to; None for the sets' own ratio.
    """
    lookup(PRECISIONS, positive, "positive class")
    share = _prevalence(prevalence)
    truth, scores = _labelled(ind, ood)
    sign = 1.0
    if positive == "ood":
        truth, sign = ~truth, -1.0
    weights = None
    if share is not None:
        weights = np.where(truth, share / truth.sum(), (1 - share) / (~truth).sum())
    precision, recall, thresholds = precision_recall_curve(truth, sign * scores, sample_weight=weights)
    thresholds = sign * np.append(thresholds, np.inf)
    return Curve(recall[::-1], precision[::-1], thresholds[::-1])


def bootstrap(
    ind: npt.ArrayLike,
    ood: npt.ArrayLike,
    *,
    metric: str = "auroc",
    samples: int = 1000,
    level: float = 0.95,
    generator: np.random.Generator,
) -> tuple[float, float]:
    """(low, high) percentile interval of one number of `Metrics`; see `intervals`."""
    return intervals(ind, ood, names=[metric], samples=samples, level=level, generator=generator)[metric]


def intervals(
    ind: npt.ArrayLike,
    ood: npt.ArrayLike,
    *,
    names: Sequence[str] | None = None,
    samples: int = 1000,
    level: float = 0.95,
    generator: np.random.Generator,
) -> dict[str, tuple[float, float]]:
    """Percentile bootstrap of several numbers from the same draws; ind and ood are drawn apart (stratified).

    Scores are sorted once; a draw only counts anew how often each distinct score occurs.

    Args:
        ind: (P,) raw scores.
        ood: (N,) raw scores.
        names: numbers of `Metrics` ('auroc', 'fpr95', ...); None for all six.
        samples: bootstrap draws.
        level: coverage, 0 to 1 exclusive.
        generator: where the draws come from.

    Returns:
        {name: (low, high)}.

    Raises:
        InputError: unknown name, samples below 1, or a level outside 0..1.
    """
    rules = {name: lookup(NUMBERS, name, "metric") for name in (names or NUMBERS)}
    if samples < 1 or not 0 < level < 1:
        raise InputError(f"{samples} samples at level {level} were asked for; give at least 1, and 0 < level < 1")
    a, b = checked(ind, "ind"), checked(ood, "ood")
    _, tp, fp = steps(a, b)
    rank_ind = np.repeat(np.arange(len(tp)), np.diff(tp, prepend=0))  # (P,) place of each ind score's threshold
    rank_ood = np.repeat(np.arange(len(fp)), np.diff(fp, prepend=0))
    values = {name: np.empty(samples) for name in rules}
    for i in range(samples):
        drawn_tp, drawn_fp = redrawn(rank_ind, len(tp), generator), redrawn(rank_ood, len(fp), generator)
        for name, rule in rules.items():
            values[name][i] = rule(drawn_tp, drawn_fp)
    tail = (1 - level) / 2
    low_high = {name: np.quantile(v, [tail, 1 - tail]) for name, v in values.items()}
    return {name: (float(low), float(high)) for name, (low, high) in low_high.items()}


def _labelled(ind: npt.ArrayLike, ood: npt.ArrayLike) -> tuple[npt.NDArray[np.bool_], Scores]:
    a, b = checked(ind, "ind"), checked(ood, "ood")
    return np.repeat([True, False], [len(a), len(b)]), np.concatenate([a, b])


def _prevalence(value: float | None) -> float | None:
    if value is not None and not 0 < value < 1:
        raise InputError(f"prevalence {value} was given; it is the share of the positive class, between 0 and 1")
    return value
