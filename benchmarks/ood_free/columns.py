"""Statistics of one image, a column each, learnt from ind training images alone: radii, densities, neighbours, logits.

A column is a function of `Features`; larger means more outlying, but for `radius`, where both sides do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.special import logsumexp

from benchmarks.ood_free.features import Array, Features, Rows, Singularity
from fssd_core.detectors.ood_free import References, nearest

Column = Callable[[Features], Array]
NEIGHBOURS = 10
RIDGE = 1e-3
TINY = 1e-9


class Gaussians:
    """log Mahalanobis distance to the nearest class mean, one covariance for all, its correlation matrix + RIDGE."""

    def __init__(self, points: Array, labels: Rows, ridge: float = RIDGE) -> None:
        classes = np.unique(labels)
        self.means = np.stack([points[labels == c].mean(0) for c in classes])
        centred = points - self.means[np.searchsorted(classes, labels)]
        covariance = centred.T @ centred / len(points)
        scale = np.sqrt(np.diag(covariance))
        scale = np.maximum(scale, 1e-6 * scale.max())
        correlation = covariance / np.outer(scale, scale) + ridge * np.eye(len(scale))
        self.whiten = np.linalg.cholesky(np.linalg.inv(correlation)) / scale[:, None]

    def __call__(self, points: Array) -> Array:
        x, means = points @ self.whiten, self.means @ self.whiten
        squares = (x**2).sum(1)[:, None] - 2 * x @ means.T + (means**2).sum(1)
        return np.log(np.maximum(squares.min(1), TINY)) / 2


def unit(points: Array, pole: Array | float = 0.0) -> Array:
    """(N, R) directions from the pole."""
    moved = points.astype(np.float64) - pole
    return moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), TINY)


def neighbours(points: Array, classes: Rows, references: References, k: int = NEIGHBOURS) -> Array:
    """log distance to the k-th nearest reference of one's class."""
    tensors = [torch.from_numpy(np.ascontiguousarray(a)) for a in (points, classes)]
    return np.log(np.maximum(nearest(*tensors, references, k).numpy(), TINY))


def columns(fit: Features, labels: Rows, star: Singularity, layers: Sequence[str]) -> dict[str, Column]:
    """All columns, 'family: layer'; those of the logits have no layer."""
    out: dict[str, Column] = {}
    for number, layer in enumerate(layers):
        out.update(_of_layer(number, layer, fit, labels, star))
    out["energy: "] = lambda f: -logsumexp(f.logits.astype(np.float64), axis=1)
    out["msp: "] = lambda f: logsumexp(f.logits.astype(np.float64), axis=1) - f.logits.max(1)
    return out


def _of_layer(number: int, layer: str, fit: Features, labels: Rows, star: Singularity) -> dict[str, Column]:
    pole = star.poles[layer]
    views: dict[str, Callable[[Features], Array]] = {
        "": lambda f: f.reduced[layer].astype(np.float64),
        " of directions from 0": lambda f: unit(f.reduced[layer]),
        " of directions from F*": lambda f: unit(f.reduced[layer], pole),
    }
    out: dict[str, Column] = {"radius": lambda f: np.log(np.maximum(f.distance[:, number], TINY))}
    pooled = Gaussians(fit.pooled[layer].astype(np.float64), labels)
    out["Mahalanobis, pooled"] = lambda f: pooled(f.pooled[layer].astype(np.float64))
    for name, view in views.items():
        out.update(_of_view(name, view, view(fit), labels))
    return {f"{family}: {layer}": column for family, column in out.items()}


def _of_view(name: str, view: Callable[[Features], Array], references: Array, labels: Rows) -> dict[str, Column]:
    gaussians = Gaussians(references, labels)
    points, classes = (torch.from_numpy(np.ascontiguousarray(a)) for a in (references, labels))
    everyone, own = References.of(points, torch.zeros_like(classes)), References.of(points, classes)
    return {
        f"Mahalanobis{name}": lambda f: gaussians(view(f)),
        f"neighbours{name}": lambda f: neighbours(view(f), np.zeros_like(f.predicted), everyone),
        f"class neighbours{name}": lambda f: neighbours(view(f), f.predicted, own),
    }
