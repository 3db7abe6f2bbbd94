"""Ways to make one score of several columns, fitted on held-back ind training images. Scores: larger = ind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr

from benchmarks.ood_free.features import Array, Rows

Score = Callable[[Array, Rows], Array]


@dataclass(frozen=True, eq=False)
class Held:
    """Held-back ind training images.

    Attributes:
        table: (n, J) columns.
        predicted: (n,) classes.
        two_sided: (J,) where both tails are outlying.
    """

    table: Array
    predicted: Rows
    two_sided: npt.NDArray[np.bool_]


def standard(held: Held, by_class: bool = False) -> Score:
    """(N, J) z values, two-sided ones as |z|; by the mean and spread of all images, or of those predicted alike."""
    mean, std = held.table.mean(0)[None], held.table.std(0)[None]
    if by_class:
        classes = 1 + int(held.predicted.max())
        mean, std = np.repeat(mean, classes, 0), np.repeat(std, classes, 0)
        for c in np.unique(held.predicted):
            if (rows := held.predicted == c).sum() >= 10:
                mean[c], std[c] = held.table[rows].mean(0), held.table[rows].std(0)

    def z(table: Array, predicted: Rows) -> Array:
        at = np.minimum(predicted, len(mean) - 1) if by_class else np.zeros_like(predicted)
        values = (table - mean[at]) / std[at]
        return np.where(held.two_sided, np.abs(values), values)

    return z


def sum_of_z(held: Held) -> Score:
    """-sum z."""
    z = standard(held)
    return lambda table, predicted: -z(table, predicted).sum(1)


def sum_of_z_by_class(held: Held) -> Score:
    """-sum z, standardised among images predicted alike."""
    z = standard(held, by_class=True)
    return lambda table, predicted: -z(table, predicted).sum(1)


def sum_of_squares(held: Held) -> Score:
    """-sum max(z, 0)^2."""
    z = standard(held)
    return lambda table, predicted: -(np.maximum(z(table, predicted), 0) ** 2).sum(1)


def largest_z(held: Held) -> Score:
    """-max z."""
    z = standard(held)
    return lambda table, predicted: -z(table, predicted).max(1)


def fisher(held: Held) -> Score:
    """sum log p, p the normal tail beyond z (both tails where two-sided): Fisher's combination."""
    z = standard(held)
    doubled = np.log(2) * held.two_sided
    return lambda table, predicted: (log_ndtr(-z(table, predicted)) + doubled).sum(1)


def ranks(held: Held) -> Score:
    """sum log p, p the share of held-back images at least as outlying (twice the smaller tail where two-sided)."""
    sorted_ = np.sort(held.table, 0)
    count = len(sorted_)

    def score(table: Array, _predicted: Rows) -> Array:
        total = np.zeros(len(table))
        for column in range(table.shape[1]):
            known, values = sorted_[:, column], table[:, column]
            tail = (count - np.searchsorted(known, values, "left") + 1) / (count + 1)
            if held.two_sided[column]:
                below = (np.searchsorted(known, values, "right") + 1) / (count + 1)
                tail = np.minimum(1, 2 * np.minimum(tail, below))
            total += np.log(tail)
        return total

    return score


def gaussian(held: Held) -> Score:
    """-(t - mu)' Sigma^-1 (t - mu)."""
    return _gaussian(held, np.zeros_like(held.predicted))


def gaussian_by_class(held: Held) -> Score:
    """-(t - mu_c)' Sigma^-1 (t - mu_c), c the predicted class, one Sigma."""
    return _gaussian(held, held.predicted)


def nearest_in_columns(held: Held, k: int = 10) -> Score:
    """-distance to the k-th nearest held-back image, columns whitened: a density without a shape."""
    mean = held.table.mean(0)
    whiten = _whitening(held.table - mean)
    known = (held.table - mean) @ whiten

    def score(table: Array, _predicted: Rows) -> Array:
        x = (table - mean) @ whiten
        parts = [
            np.partition(((part[:, None] - known) ** 2).sum(2), k - 1, axis=1)[:, k - 1]
            for part in np.array_split(x, max(1, len(x) // 200))
        ]
        return -np.concatenate(parts)

    return score


def _gaussian(held: Held, classes: Rows) -> Score:
    found = np.unique(classes)
    means = np.repeat(held.table.mean(0)[None], 1 + int(found.max()), 0)
    for c in found:
        means[c] = held.table[classes == c].mean(0)
    whiten = _whitening(held.table - means[classes])
    single = len(found) == 1

    def score(table: Array, predicted: Rows) -> Array:
        at = np.zeros_like(predicted) if single else np.minimum(predicted, len(means) - 1)
        return -(((table - means[at]) @ whiten) ** 2).sum(1)

    return score


def _whitening(centred: Array) -> Array:
    covariance = centred.T @ centred / len(centred)
    scale = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(scale, scale) + 1e-3 * np.eye(len(scale))
    return np.linalg.cholesky(np.linalg.inv(correlation)) / scale[:, None]
