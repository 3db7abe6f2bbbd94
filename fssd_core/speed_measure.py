"""What one direction in weight space does to the images of one checkpoint, group by group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fssd_core.study import BATCH
from fssd_core.tangent import Direction, Tangent

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Moved:
    """Of K layers and G groups; a rate is per unit of the direction's length.

    Attributes:
        mean: (K, G) mean ||J_k(x) v||.
        sd: (K, G) its standard deviation over the images.
        relative: (K, G) mean ||J_k(x) v - dF*_k||: motion as F* sees it.
        relative_sd: (K, G) its standard deviation.
        outward: (K, G) mean change of ||F_k(x) - F*_k||: positive moves away from F*.
        outward_sd: (K, G) its standard deviation.
        fss: (K,) ||dF*_k||.
    """

    mean: Floats
    sd: Floats
    relative: Floats
    relative_sd: Floats
    outward: Floats
    outward_sd: Floats
    fss: Floats


def moved_along(
    tangent: Tangent, direction: Direction, pixels: Tensor, parts: list[slice], fss: Mapping[str, Tensor]
) -> Moved:
    """How fast the images' features move when the weights move along the direction.

    Args:
        tangent: the network.
        direction: {parameter: tensor}.
        pixels: (N, C, H, W), the noise behind F* last.
        parts: rows of each group; the last is the noise.
        fss: {layer: (D_k,)} F*_k.
    """
    layers = tangent.extractor.layers
    stars = _star(tangent, direction, pixels[parts[-1]])  # dF*: F* is the mean over the noise
    values = np.empty((3, len(layers), len(pixels)))
    for start in range(0, len(pixels), BATCH):
        rows = slice(start, start + BATCH)
        features, pushed = tangent.push(pixels[rows], direction)
        for k, layer in enumerate(layers):
            apart = pushed[layer] - stars[layer]  # (n, D_k) = J_k(x) v - dF*_k
            offset = torch.nn.functional.normalize(features[layer] - fss[layer].to(apart.device), dim=1, eps=1e-30)
            kinds = (_length(pushed[layer]), _length(apart), (apart * offset).sum(1))
            values[:, k, rows] = torch.stack(kinds).cpu().double().numpy()
    means, sds = (
        np.stack([f(values[..., p], axis=-1) for p in parts], axis=-1) for f in (np.mean, np.std)
    )  # (3, K, G)
    lengths = np.array([float(_length(stars[layer][None])) for layer in layers])
    return Moved(means[0], sds[0], means[1], sds[1], means[2], sds[2], lengths)


def _star(tangent: Tangent, direction: Direction, noise: Tensor) -> dict[str, Tensor]:
    """{layer: (D_k,)} motion of F*."""
    total = {layer: torch.zeros(1) for layer in tangent.extractor.layers}
    for part in torch.split(noise, BATCH):
        for layer, pushed in tangent.push(part, direction)[1].items():
            total[layer] = total[layer].to(pushed.device) + pushed.sum(0) / len(noise)
    return total


def _length(rows: Tensor) -> Tensor:
    """(n, D) -> (n,)."""
    length: Tensor = torch.linalg.vector_norm(rows, dim=1)
    return length
