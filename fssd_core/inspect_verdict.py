"""What one image's distances mean beside those of the ind images: percentiles, the deciding layers, the verdict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fssd_core.errors import InputError
from fssd_core.inspect_measure import Measurement
from fssd_core.types import LayerScores, Weights

Column = npt.NDArray[np.float64]
CLOSE = 0.01  # relative: stored and fresh distances of one image may differ by this much (batching, other devices)


@dataclass(frozen=True)
class LayerFinding:
    """One layer's part in the verdict; distances in the layer's own units.

    Attributes:
        layer: its name.
        plain: distance to F* of the image itself.
        distance: the same of the image perturbed for this layer; what the score is made of.
        ind_median: median of the ind images' distances.
        below: share of ind images with a smaller distance, 0..1.
        alpha: the layer's weight.
        term: alpha * distance, its summand in the score.
        contribution: how far the layer moves the score from the ind median score, in units of the score.
    """

    layer: str
    plain: float
    distance: float
    ind_median: float
    below: float
    alpha: float
    term: float
    contribution: float


@dataclass(frozen=True, eq=False)
class Inspection:
    """One image judged.

    Attributes:
        measurement: what the network said.
        layers: K findings; their terms sum to `score`, their contributions to `score - ind_median`.
        score: sum_k alpha_k distance_k, larger = more in-distribution.
        threshold: accepted as ind where score >= threshold.
        accepted: the verdict.
        ind_median: median score of the ind images.
        below: share of ind images with a smaller score, 0..1.
        threshold_below: share of ind images below the threshold, 0..1: those that are rejected.
        spread: standard deviation of the ind scores.
        counted: ind images compared with.
        predicted: class with the largest softmax probability.
        probability: that probability.
        weights: alpha, its rule and the labels behind it.
        notes: what must be known to read the numbers rightly.
    """

    measurement: Measurement
    layers: tuple[LayerFinding, ...]
    score: float
    threshold: float
    accepted: bool
    ind_median: float
    below: float
    threshold_below: float
    spread: float
    counted: int
    predicted: int
    probability: float
    weights: Weights
    notes: tuple[str, ...] = ()

    @property
    def margin(self) -> float:
        """Distance of the score from the threshold in shares of ind images: 0.2 = 20 % of ind lie between."""
        return self.below - self.threshold_below

    def finding(self, layer: str) -> LayerFinding:
        """One layer's finding."""
        return next(f for f in self.layers if f.layer == layer)


def judge(
    measured: Measurement,
    *,
    ind: LayerScores,
    weights: Weights,
    threshold: float,
    stored: npt.ArrayLike | None = None,
) -> Inspection:
    """Compares one image with the ind images under alpha and a threshold; computes nothing slow.

    A layer's contribution is alpha_k (d_k - r_k), where alpha_k r_k is what an ind image of median score gets from that
    layer: the linear regression of alpha_k d_k on the score, read at the median. Such regressions add up, so the
    contributions sum to score - median score, which plain layer medians would not.

    Args:
        measured: the image.
        ind: (N, K) ind scores at the same epsilon, of the same layers in the same order.
        weights: alpha, matched by layer name.
        threshold: on the score.
        stored: (K,) distances of this very image among scores computed before. They replace the fresh ones, which may
            differ in the last digits with the batch: so the verdict is the one that the threshold was set with.

    Raises:
        InputError: layers that do not fit, no finite ind image, a threshold that is NaN, or stored distances that are
            of another image.
    """
    if weights.layers != measured.layers and set(weights.layers) != set(measured.layers):
        raise InputError(
            f"the weights are of layers {weights.layers}, the image of {measured.layers}; take fitting ones"
        )
    if ind.layers != measured.layers:
        raise InputError(
            f"the ind scores are of layers {ind.layers}, the image of {measured.layers}; take fitting ones"
        )
    if np.isnan(threshold):
        raise InputError("the threshold is NaN; give a number in the score's unit")
    finite = np.isfinite(ind.values).all(axis=1)
    if not finite.any():
        raise InputError(f"none of {len(ind)} ind images has finite scores; score the ind set again")
    columns = ind.values[finite].astype(np.float64)
    own = _own(measured, stored)
    alpha = np.array([dict(zip(weights.layers, weights.alpha, strict=True))[k] for k in measured.layers])
    scores, score = total(columns, alpha), float(total(own[None], alpha)[0])
    contributions = alpha * own - typical(columns * alpha, scores)
    findings = tuple(
        LayerFinding(
            layer=layer,
            plain=float(own[k] if measured.epsilon == 0 else measured.plain[k]),
            distance=float(own[k]),
            ind_median=float(np.median(columns[:, k])),
            below=float(np.mean(columns[:, k] < own[k])),
            alpha=float(alpha[k]),
            term=float(alpha[k] * own[k]),
            contribution=float(contributions[k]),
        )
        for k, layer in enumerate(measured.layers)
    )
    chances = measured.probabilities
    return Inspection(
        measurement=measured,
        layers=findings,
        score=score,
        threshold=float(threshold),
        accepted=bool(score >= threshold),
        ind_median=float(np.median(scores)),
        below=float(np.mean(scores < score)),
        threshold_below=float(np.mean(scores < threshold)),
        spread=float(scores.std()),
        counted=len(columns),
        predicted=int(chances.argmax()),
        probability=float(chances.max()),
        weights=weights,
        notes=tuple(_notes(measured, alpha, len(ind) - len(columns), len(ind))),
    )


def total(columns: Column, alpha: Column) -> Column:
    """(N,) sum_k alpha_k d_k, added layer by layer as the cockpit does: equal to its last bit."""
    out = np.zeros(len(columns))
    for k, weight in enumerate(alpha):
        out += weight * columns[:, k]
    return out


def typical(terms: Column, scores: Column) -> Column:
    """(K,) what an ind image of median score has from each layer; sums to that median.

    E[term_k | score = median] by linear regression: mean_k + cov(term_k, score) / var(score) * (median - mean score).

    Args:
        terms: (N, K) alpha_k d_k.
        scores: (N,) their sums.
    """
    away = scores - scores.mean()
    variance = float(away @ away)
    mean: Column = terms.mean(axis=0)
    if variance <= 1e-24 * max(1.0, float(scores @ scores)):
        return mean
    slope: Column = away @ (terms - mean) / variance
    return mean + slope * float(np.median(scores) - scores.mean())


def _own(measured: Measurement, stored: npt.ArrayLike | None) -> Column:
    fresh = measured.distances.astype(np.float64)
    if stored is None:
        return fresh
    known = np.asarray(stored, dtype=np.float64)
    if known.shape != fresh.shape:
        raise InputError(f"stored distances of shape {known.shape} were given; {fresh.shape} are needed")
    if measured.gradient == "sign" and not np.allclose(known, fresh, rtol=CLOSE, atol=CLOSE * float(fresh.max())):
        raise InputError(
            f"the stored distances {known.round(3)} are not those of this image, {fresh.round(3)}; "
            "the scores belong to another image or another network"
        )
    return known


def _notes(measured: Measurement, alpha: Column, dropped: int, total_ind: int) -> list[str]:
    notes = []
    if dropped:
        notes.append(f"{dropped:,} of {total_ind:,} ind images have scores that are not finite and are left out.")
    if not alpha.any():
        notes.append("All alpha are 0: every image has the score 0, and nothing can be told apart.")
    if measured.gradient == "standardised" and measured.epsilon:
        notes.append(
            "The 'standardised' rule depends on the batch: this image was perturbed alone, the ind images in "
            "batches, so the two are only roughly comparable."
        )
    return notes
