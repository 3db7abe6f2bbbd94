"""What the network says of one image: distances, perturbation steps layer by layer, nearest ind images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fssd_core.data import ImageSet
from fssd_core.extractor import FeatureExtractor
from fssd_core.runtime import Progress, in_batches, silent
from fssd_core.singularity import _direction, _distance

NEIGHBOURS = 8
BATCH = 256
Array = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The ind images whose features lie nearest to a sample's, nearest first.

    Attributes:
        layer: whose features were compared.
        rows: (k,) rows in the full ind set.
        distances: (k,) Euclidean distances in feature space, in the layer's own units.
        labels: (k,) classes, -1 where the set has none.
        searched: how many ind images were compared, all of them exactly.
    """

    layer: str
    rows: npt.NDArray[np.int64]
    distances: Array
    labels: npt.NDArray[np.int64]
    searched: int


@dataclass(frozen=True, eq=False)
class Measurement:
    """What the network says of one image, before any alpha or threshold.

    Attributes:
        image: (C, H, W) in [0, 1].
        layers: K names.
        epsilon: in pixels, signed.
        gradient: rule of the perturbation.
        plain: (K,) distances to F*_k of the image itself.
        distances: (K,) distances to F*_k of the image perturbed for layer k; `plain` at epsilon 0.
        directions: (K, C, H, W) steps of length one epsilon; for 'sign' each pixel is -1, 0 or +1.
        logits: (C,) the network's own output.
        neighbours: nearest ind images in one layer.
    """

    image: Array
    layers: tuple[str, ...]
    epsilon: float
    gradient: str
    plain: Array
    distances: Array
    directions: Array
    logits: Array
    neighbours: Neighbours

    @property
    def perturbed(self) -> Array:
        """(K, C, H, W) x~_k = x + epsilon * direction_k, not clipped to [0, 1]."""
        moved: Array = self.image[None] + np.float32(self.epsilon) * self.directions
        return moved

    @property
    def probabilities(self) -> npt.NDArray[np.float64]:
        """(C,) softmax of the logits."""
        raised = np.exp(self.logits.astype(np.float64) - float(self.logits.max()))
        shares: npt.NDArray[np.float64] = raised / raised.sum()
        return shares


def nearest(
    extractor: FeatureExtractor,
    features: Tensor,
    layer: str,
    references: ImageSet,
    *,
    exclude: int | None = None,
    count: int = NEIGHBOURS,
    batch_size: int = BATCH,
    progress: Progress = silent,
) -> Neighbours:
    """The `count` references nearest in one layer, by comparing with all; equal distances keep the order of rows.

    Features are made and dropped batch by batch, so memory holds one batch whatever the layer's width.

    Args:
        extractor: reads the layer.
        features: (D_k,) of the sample.
        layer: one of the extractor's.
        references: ind images, fitted to the network.
        exclude: a row never to give back: the sample itself.
        count: how many; fewer if there are no more.
        batch_size: references at once.
        progress: told after each batch.
    """
    far = np.empty(len(references), dtype=np.float32)

    def one(rows: slice) -> Array:
        with torch.no_grad():
            pixels = references.tensor(np.arange(rows.start, rows.stop))
            return to_array(_distance(extractor.taps(pixels, [layer])[layer], features))

    def told(done: int, total: int, what: str) -> None:
        progress(done, total, f"{what} of {references.name} compared")

    for rows, part in in_batches(len(references), one, batch_size=batch_size, progress=told):
        far[rows] = part
    order = np.argsort(far, kind="stable")
    order = order[references.rows[order] != (-1 if exclude is None else exclude)][:count]
    labels = np.full(len(order), -1) if references.labels is None else references.labels[order]
    return Neighbours(layer, references.rows[order], far[order], labels.astype(np.int64), len(references))


def perturbations(
    extractor: FeatureExtractor, pixels: Tensor, fss: Mapping[str, Tensor], epsilon: float, gradient: str
) -> tuple[Array, Array, Array]:
    """(plain (K,), perturbed (K,), directions (K, C, H, W)): Algorithm 1, steps 2 and 3, with the steps kept."""
    plain, distances, directions = [], [], []
    for layer in extractor.layers:
        x = pixels.to(extractor.device).detach().requires_grad_(True)
        with torch.enable_grad():
            distance = _distance(extractor.taps(x, [layer])[layer], fss[layer])
            (grad,) = torch.autograd.grad(distance.sum(), x)
        with torch.no_grad():
            direction = _direction(grad, extractor, gradient)
            moved = extractor.taps(x.detach() + epsilon * direction, [layer])[layer] if epsilon else None
            plain.append(distance.detach())
            distances.append(distance.detach() if moved is None else _distance(moved, fss[layer]))
            directions.append(direction)
    return to_array(torch.cat(plain)), to_array(torch.cat(distances)), to_array(torch.cat(directions))


def to_array(values: Tensor) -> Array:
    """float32 on the CPU, without graph."""
    array: Array = values.detach().float().cpu().numpy()
    return array
