"""What the candidates see of a set of images: one forward pass, reduced as the shipped detector does it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.ood_free.sets import Pixels
from fssd_core.detectors.ood_free import reduced
from fssd_core.detectors.reading import pooled
from fssd_core.extractor import FeatureExtractor
from fssd_core.runtime import generator
from fssd_core.singularity import estimate_fss, uniform_noise

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Features:
    """N images seen through K layers.

    Attributes:
        distance: (N, K) ||F_k - F*_k||.
        reduced: {layer: (N, R_k)} 4 x 4 fields a channel, at most 512 numbers.
        pooled: {layer: (N, C_k)} means over space.
        logits: (N, C).
    """

    distance: Array
    reduced: Mapping[str, npt.NDArray[np.float32]]
    pooled: Mapping[str, npt.NDArray[np.float32]]
    logits: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.distance)

    @property
    def predicted(self) -> Rows:
        """(N,) class of the largest logit."""
        return self.logits.argmax(1)

    def rows(self, rows: Rows) -> Features:
        """Some of the images."""
        reduced_, pooled_ = ({k: v[rows] for k, v in d.items()} for d in (self.reduced, self.pooled))
        return Features(self.distance[rows], reduced_, pooled_, self.logits[rows])


@dataclass(frozen=True, eq=False)
class Singularity:
    """F* of a network: {layer: (D_k,)} and the same reduced, {layer: (R_k,)}."""

    fss: Mapping[str, torch.Tensor]
    poles: Mapping[str, Array]


def singularity(extractor: FeatureExtractor, shape: tuple[int, int, int]) -> Singularity:
    """F* of 100 noise images, seed 0."""
    noise = uniform_noise(shape, 100, generator=generator(0))
    fss = estimate_fss(extractor, noise)
    with torch.no_grad():
        shapes = {k: v.shape[1:] for k, v in extractor.maps(noise[:1]).items()}
    return Singularity(fss, {k: reduced(v.view(1, *shapes[k]))[0].double().numpy() for k, v in fss.items()})


def read(extractor: FeatureExtractor, images: Pixels, star: Singularity, batch: int = 500) -> Features:
    """Features of uint8 images (N, H, W) or (N, H, W, 3)."""
    parts: list[Features] = []
    for start in range(0, len(images), batch):
        x = torch.from_numpy(images[start : start + batch].astype(np.float32) / 255)
        x = x.unsqueeze(1) if x.ndim == 3 else x.permute(0, 3, 1, 2).contiguous()
        with torch.no_grad():
            maps, logits = extractor.maps_and_logits(x)
            distance = torch.stack([(maps[k].flatten(1) - star.fss[k]).norm(dim=1) for k in extractor.layers], 1)
            parts.append(
                Features(
                    distance.double().numpy(),
                    {k: reduced(maps[k]).numpy() for k in extractor.layers},
                    {k: pooled(maps[k]).numpy() for k in extractor.layers},
                    logits.numpy(),
                )
            )
    whole = [{k: np.concatenate([getattr(p, name)[k] for p in parts]) for k in extractor.layers} for name in _BY_LAYER]
    return Features(np.concatenate([p.distance for p in parts]), *whole, np.concatenate([p.logits for p in parts]))


_BY_LAYER = ("reduced", "pooled")
