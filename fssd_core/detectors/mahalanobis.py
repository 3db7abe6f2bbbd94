"""The Mahalanobis detector of Lee et al. 2018 in full: every layer, perturbed inputs, one column a layer.

Each layer's features, averaged over space, are taken for Gaussians: a mean a class, one covariance for all. pytorch-ood
has the distance on one layer without the 1/N and without a perturbation that goes with several layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fssd_core.detectors.base import Detector, DetectorSpec, Given
from fssd_core.detectors.parameters import Parameter, Values
from fssd_core.detectors.reading import pooled
from fssd_core.errors import InputError
from fssd_core.extractor import FeatureExtractor
from fssd_core.runtime import Progress, in_batches, silent
from fssd_core.types import LayerScores


@dataclass(frozen=True, eq=False)
class Gaussians:
    """Class-conditional Gaussians with tied covariance, whitened: distances become plain squared lengths.

    Attributes:
        whiten: (D, R) with whiten whiten^T = the (pseudo-)inverse of the covariance; R its rank.
        means: (C, R) class means, whitened.
    """

    whiten: Tensor
    means: Tensor

    def distances(self, features: Tensor) -> Tensor:
        """(N, D) -> (N, C): (f - mu_c)^T Sigma^-1 (f - mu_c) of every class."""
        points = features @ self.whiten.to(features)
        # by differences, not by |p|^2 - 2 p m + |m|^2, which cancels in float32
        lengths: Tensor = torch.cdist(
            points, self.means.to(features), compute_mode="donot_use_mm_for_euclid_dist"
        ).square()
        return lengths


def fit_gaussians(features: Tensor, labels: Tensor) -> Gaussians:
    """mu_c = mean of class c; Sigma = 1/N sum_n (f_n - mu_{y_n})(f_n - mu_{y_n})^T  (Lee et al. 2018, eq. 1).

    In float64, by the symmetric eigenvalue decomposition: directions whose variance is rounding alone (units that are
    never on) are left out, as the pseudo-inverse of the authors' code does, so nothing is divided by almost nothing.

    Args:
        features: (N, D).
        labels: (N,) classes; only those that occur get a mean.

    Raises:
        InputError: features that do not vary within the classes.
    """
    x = features.double()
    classes, place = torch.unique(labels.to(x.device), return_inverse=True)
    counts = torch.bincount(place, minlength=len(classes)).double()
    sums = torch.zeros(len(classes), x.shape[1], dtype=x.dtype, device=x.device).index_add_(0, place, x)
    means = sums / counts[:, None]
    centred = x - means[place]
    covariance = centred.T @ centred / len(x)
    values, vectors = torch.linalg.eigh(covariance)
    # the rounding of the features themselves (float32) sets what can be told from 0
    kept = values > values[-1] * max(x.shape) * torch.finfo(torch.float64).eps
    kept &= values > (torch.finfo(torch.float32).eps * x.abs().max()) ** 2
    if not kept.any():
        raise InputError("the features do not vary within the classes, so they have no covariance; check the images")
    whiten = vectors[:, kept] / values[kept].sqrt()
    return Gaussians(whiten.float(), (means @ whiten).float())


class Mahalanobis(Detector):
    """K columns M_k(x~) = -min_c (f - mu_c)^T Sigma^-1 (f - mu_c); `ensemble.combine` makes them one score.

    With epsilon, x~ = x + epsilon sign(grad M_k(x)) in pixels, for each layer its own (Lee et al. 2018, Algorithm 1).
    """

    gaussians: dict[str, Gaussians]

    def _learn(self, given: Given) -> None:
        extractor, ind, labels = given.extractor, given.ind, given.labels
        assert ind is not None
        assert labels is not None
        if labels.shape != (len(ind),) or len(ind) < 2:
            raise InputError(
                f"{len(ind)} ind images and labels of shape {tuple(labels.shape)}; give one label an image"
            )
        parts: dict[str, list[Tensor]] = {layer: [] for layer in extractor.layers}

        def one(rows: slice) -> None:
            with torch.no_grad():
                for layer, value in extractor.maps(ind[rows]).items():
                    parts[layer].append(pooled(value).cpu())

        for _ in in_batches(len(ind), one, batch_size=given.batch_size, progress=given.progress):
            pass
        self.gaussians = {layer: fit_gaussians(torch.cat(parts[layer]), labels) for layer in extractor.layers}

    def _score(
        self, extractor: FeatureExtractor, images: Tensor, batch_size: int | None, progress: Progress
    ) -> LayerScores:
        epsilon = float(self.values["epsilon"])
        return self.sweep(images, [epsilon], batch_size=batch_size, progress=progress)[epsilon]

    def sweep(
        self, images: Tensor, epsilons: Sequence[float], *, batch_size: int | None = None, progress: Progress = silent
    ) -> dict[float, LayerScores]:
        """Scores at several epsilons: one forward graph and K gradients, shared by all of them."""
        extractor = self._fitted()
        layers = extractor.layers

        def one(batch: Tensor) -> Tensor:  # (n, C, H, W) -> (n, E * K)
            return torch.cat(self._batch(extractor, batch, epsilons), 1)

        names = tuple(f"{epsilon}:{layer}" for epsilon in epsilons for layer in layers)
        table = self._columns(images, one, names, batch_size, progress).values
        count = len(layers)
        return {e: LayerScores(table[:, i * count : (i + 1) * count], layers) for i, e in enumerate(epsilons)}

    def _batch(self, extractor: FeatureExtractor, images: Tensor, epsilons: Sequence[float]) -> list[Tensor]:
        """For each epsilon (n, K)."""
        layers = extractor.layers
        x = images.to(extractor.device).detach()
        if all(epsilon == 0 for epsilon in epsilons):
            with torch.no_grad():
                maps = extractor.maps(x)
                return [torch.stack([self._column_of(maps[k], k) for k in layers], 1)] * len(epsilons)
        x.requires_grad_(True)
        with torch.enable_grad():
            maps = extractor.maps(x)
            plain = [self._column_of(maps[k], k) for k in layers]
        out = [torch.empty((len(x), len(layers)), device=x.device) for _ in epsilons]
        for column, layer in enumerate(layers):
            with torch.enable_grad():
                (grad,) = torch.autograd.grad(plain[column].sum(), x, retain_graph=column < len(layers) - 1)
            with torch.no_grad():
                for i, epsilon in enumerate(epsilons):
                    moved = x.detach() + epsilon * grad.sign()
                    out[i][:, column] = (
                        self._column_of(extractor.maps(moved, [layer])[layer], layer)
                        if epsilon
                        else plain[column].detach()
                    )
        return out

    def _column_of(self, maps: Tensor, layer: str) -> Tensor:
        score: Tensor = -self.gaussians[layer].distances(pooled(maps)).min(1).values
        return score


def _passes(values: Values, layers: int) -> tuple[int, int]:
    return (1 + layers, layers) if values["epsilon"] else (1, 0)


MAHALANOBIS = DetectorSpec(
    name="mahalanobis",
    title="Mahalanobis distance on every layer",
    reference="Lee et al. 2018, A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial "
    "Attacks, arXiv:1807.03888",
    cost="1 forward pass; with epsilon 1 + K forward and K backward passes, K layers",
    columns="one a layer",
    uses=("ind", "labels"),
    parameters=(
        Parameter(
            "epsilon", "float", 0.0, "perturbation in pixels toward the nearest class; 0 for none", low=-1.0, high=1.0,
            grid=(0.0, 0.0005, 0.001, 0.0014, 0.002, 0.005, 0.01),
        ),
    ),
    build=Mahalanobis,
    passes=_passes,
    late=("epsilon",),
    fails="Where features are far from Gaussian, and where averaging over space hides the difference.",
)  # fmt: skip
