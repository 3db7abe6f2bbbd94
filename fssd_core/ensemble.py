"""alpha of Algorithm 1: rules for one signed weight a layer, and the split that keeps fitting and testing apart.

The score is sum_k alpha_k FSSD_k. Every rule says in `Weights.labels` which labels it saw.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import StratifiedKFold

from fssd_core.errors import InputError
from fssd_core.types import LayerScores, Weights

RULES = ("uniform", "standardised", "pseudo-ood", "logistic", "manual")
PSEUDO_LABELS = "none (pseudo-ood made from ind images)"
FOLDS = 5
SMALLEST = 4  # images a side, so that two can be fitted on and two tested on


@dataclass(frozen=True, eq=False)
class Split:
    """Disjoint rows of each side, each rising: fit alpha (and epsilon) on `fit_*`, report numbers on `test_*`.

    Attributes:
        fit_ind: (n,) rows of ind.
        fit_ood: (m,) rows of ood.
        test_ind: (N,) all other rows of ind.
        test_ood: (M,) all other rows of ood.
    """

    fit_ind: npt.NDArray[np.int64]
    fit_ood: npt.NDArray[np.int64]
    test_ind: npt.NDArray[np.int64]
    test_ood: npt.NDArray[np.int64]


def combine(scores: LayerScores, weights: Weights) -> npt.NDArray[np.float64]:
    """sum_k alpha_k FSSD_k: (N,), larger = more in-distribution (Algorithm 1, step 3).

    Columns and weights are matched by layer name, so their orders may differ. The sum runs over the scores' layers in
    order, as in the page, so that ties stay ties.

    Raises:
        InputError: the weights are of other layers.
    """
    if len(set(weights.layers)) != len(weights.layers) or set(weights.layers) != set(scores.layers):
        raise InputError(
            f"the weights are of layers {', '.join(weights.layers)}, the scores of {', '.join(scores.layers)}; "
            "take weights made for the same layers"
        )
    alpha = dict(zip(weights.layers, weights.alpha, strict=True))
    total = np.zeros(len(scores), dtype=np.float64)
    for layer, column in zip(scores.layers, scores.values.T, strict=True):
        total += alpha[layer] * column.astype(np.float64)  # layer by layer, so that equal rows give equal scores
    return total


def uniform(layers: Sequence[str]) -> Weights:
    """alpha_k = 1: the paper's plain sum, no labels. The layer with the largest distances has the most to say."""
    return Weights((1.0,) * len(layers), tuple(layers), "uniform", "none")


def standardised(ind: LayerScores) -> Weights:
    """alpha_k = 1 / std_k of the ind distances: every layer has the same say, no ood labels.

    A layer whose ind distances are all equal gets 0.

    Args:
        ind: (n, K) scores of ind images kept apart from the test.

    Raises:
        InputError: fewer than 2 images, scores that are not finite, or no layer with a spread.
    """
    values = _finite(ind, "ind")
    if len(values) < 2:
        raise InputError(f"{len(values)} ind image(s) were given to standardise on; a spread needs at least 2")
    return Weights(tuple(_inverse_std(values)), ind.layers, "standardised", "none (ind images only, for the spread)")


def logistic(ind: LayerScores, ood: LayerScores, *, seed: int, labels: str) -> Weights:
    """alpha from a logistic regression of ind against ood, its strength by cross-validation, as the authors do.

    scikit-learn's LogisticRegressionCV (10 values of C, at most 5 folds, l2) on standardised columns, classes weighted
    to balance; the scale is folded back, so alpha applies to raw distances. A positive value says that larger distances
    are ind. A column that is constant over both sides gets 0.

    Args:
        ind: (n, K) scores of labelled ind images kept apart from the test.
        ood: (m, K) scores of labelled ood images kept apart from the test.
        seed: of the shuffle into folds; the fit itself is deterministic.
        labels: the name of the ood images, for `Weights.labels`.

    Raises:
        InputError: sides of different layers, fewer than 2 images on a side, scores that are not finite, or no layer
            with a spread.
    """
    columns, truth, scale = _against(ind, ood, "ood")
    model = _regression(min(FOLDS, len(ind), len(ood)), seed)
    with warnings.catch_warnings():
        # the loss is convex, so a fit stopped early is only a little less exact: not worth a line on the user's screen
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(columns, truth)
    told = f"{len(ind)} ind + {len(ood)} ood images of {labels}"
    return Weights(tuple(model.coef_.ravel() * scale), ind.layers, "logistic", told)


def pseudo_ood(ind: LayerScores, pseudo: LayerScores) -> Weights:
    """alpha from a logistic regression of ind against pseudo-ood made from ind images: no ood label.

    The strength is fixed (C = 1 on standardised columns, l2, balanced classes): with hundreds of images and a handful
    of columns it hardly matters, while one chosen by cross-validation jumped between draws (docs/pseudo-ood.md).

    Args:
        ind: (n, K) scores of ind images kept apart from the test.
        pseudo: (m, K) scores of the pseudo-ood made from these images.

    Raises:
        InputError: as `logistic`.
    """
    columns, truth, scale = _against(ind, pseudo, "pseudo-ood")
    model = LogisticRegression(class_weight="balanced", solver="newton-cholesky", tol=1e-8, max_iter=1000)
    model.fit(columns, truth)
    return Weights(tuple(model.coef_.ravel() * scale), ind.layers, "pseudo-ood", PSEUDO_LABELS)


def manual(layers: Sequence[str], alpha: Sequence[float]) -> Weights:
    """alpha as given, one signed number a layer; no labels as far as this program knows.

    Raises:
        InputError: another number of values than of layers, or a value that is not finite.
    """
    return Weights(tuple(alpha), tuple(layers), "manual", "none")


def fit_rows(count: int, *, fit: int = 500, seed: int) -> npt.NDArray[np.int64]:
    """(n,) rows of ind that alpha may be fitted on: those of `split`, whatever ind is compared with.

    Raises:
        InputError: as `split`.
    """
    return split(count, max(count, SMALLEST), fit=fit, seed=seed).fit_ind


def split(count_ind: int, count_ood: int, *, fit: int = 500, seed: int) -> Split:
    """Draws `fit` rows of each side for fitting, at most half of a side; the rest is for testing.

    Each side has its own stream of the seed, so the ind rows do not depend on the ood set they are compared with.

    Args:
        count_ind: ind images there are, at least 4.
        count_ood: ood images there are, at least 4.
        fit: images a side to fit on.
        seed: of the draw, not negative.

    Raises:
        InputError: a side is too small, `fit` below 2, or a negative seed.
    """
    if min(count_ind, count_ood) < SMALLEST:
        raise InputError(
            f"{count_ind} ind and {count_ood} ood images are too few to fit on some and test on others; "
            f"give at least {SMALLEST} of each"
        )
    if fit < 2 or seed < 0:
        raise InputError(f"fit = {fit} images and seed = {seed} were given; fit is at least 2, a seed at least 0")
    parts = []
    for stream, count in enumerate((count_ind, count_ood)):
        order = np.random.default_rng([seed, stream]).permutation(count)
        cut = min(fit, count // 2)
        parts.append((np.sort(order[:cut]), np.sort(order[cut:])))
    (fit_ind, test_ind), (fit_ood, test_ood) = parts
    return Split(fit_ind, fit_ood, test_ind, test_ood)


def _against(
    ind: LayerScores, other: LayerScores, name: str
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """(standardised columns (n + m, K), 1 for ind and 0 for the others, (K,) factor that standardised them)."""
    if ind.layers != other.layers:
        raise InputError(
            f"ind has layers {', '.join(ind.layers)}, {name} has {', '.join(other.layers)}; they must be equal"
        )
    if min(len(ind), len(other)) < 2:
        raise InputError(
            f"{len(ind)} ind and {len(other)} {name} images were given to fit alpha on; "
            "a logistic fit needs at least 2 of each (500 are usual)"
        )
    values = np.concatenate([_finite(ind, "ind"), _finite(other, name)])
    scale = _inverse_std(values)
    return (values - values.mean(axis=0)) * scale, np.repeat([1, 0], [len(ind), len(other)]), scale


def _inverse_std(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(K,) 1 / std of each column, 0 where the column varies by no more than float32 rounding."""
    spread = np.ptp(values, axis=0)
    varies = spread > 4 * np.finfo(np.float32).eps * np.abs(values).max(axis=0)
    if not varies.any():
        raise InputError(
            f"the {len(values)} images have the same score in every layer, so no alpha can be fitted; "
            "check the images, or give alpha by hand"
        )
    inverse = np.zeros(len(spread))
    inverse[varies] = 1 / values.std(axis=0)[varies]
    return inverse


def _regression(folds: int, seed: int) -> Any:
    options: dict[str, Any] = {
        "Cs": 10,
        "cv": StratifiedKFold(folds, shuffle=True, random_state=seed % 2**32),
        "scoring": "balanced_accuracy",  # on sides of equal size this is the authors' accuracy
        "class_weight": "balanced",
        "solver": "newton-cholesky",  # second order: for few columns both closer and faster than lbfgs
        "max_iter": 1000,
        "tol": 1e-6,
    }
    if "use_legacy_attributes" in inspect.signature(LogisticRegressionCV).parameters:  # scikit-learn 1.8 and later
        options |= {"use_legacy_attributes": False, "l1_ratios": (0.0,)}
    return LogisticRegressionCV(**options)


def _finite(scores: LayerScores, side: str) -> npt.NDArray[np.float64]:
    bad = int((~np.isfinite(scores.values).all(axis=1)).sum())
    if bad:
        raise InputError(
            f"{bad} of {len(scores)} {side} images have scores that are NaN or infinite; "
            "check the images and the weights, or leave those images out"
        )
    return scores.values.astype(np.float64)
