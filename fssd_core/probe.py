"""A small fixed set of images through which a network is watched while it learns: distances to F*, AUROC, accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from fssd_core.data import ImageSet
from fssd_core.errors import InputError
from fssd_core.extractor import FeatureExtractor
from fssd_core.metrics import auroc
from fssd_core.projection_centred import (
    circle_order,
    class_directions,
    on_circles,
    positive_median,
    pseudo_classes,
    spoke_angles,
)
from fssd_core.projection_embed import Offsets
from fssd_core.projection_faithful import ind_mask
from fssd_core.runtime import generator
from fssd_core.singularity import uniform_noise
from fssd_core.types import Faithfulness, FloatArray, IntArray, PointGroup, Projection

IND_POINTS, OOD_POINTS, NOISE_POINTS = 600, 150, 100
Numbers = dict[str, dict[str, dict[str, float]]]  # layer -> group -> 'mean', 'ratio', 'auroc'


@dataclass(frozen=True, eq=False)
class Probe:
    """The images and how they are drawn.

    Attributes:
        images: (M, C, H, W) float32 in [0, 1]: ind, the ood groups, noise.
        groups: of those rows.
        labels: (M,) class of the ind points, -1 elsewhere; k-means clusters of their pixels where no class is known.
        order: classes round the circle, similar ones side by side as their mean pixels are; the same for every frame.
        labelled: whether the classes are the set's own.
    """

    images: Tensor
    groups: tuple[PointGroup, ...]
    labels: npt.NDArray[np.int16]
    order: tuple[int, ...]
    labelled: bool

    @property
    def ind(self) -> slice:
        """Rows of the ind points."""
        return slice(self.groups[0].start, self.groups[0].stop)

    @property
    def noise(self) -> slice:
        """Rows of the noise behind F*."""
        return slice(self.groups[-1].start, self.groups[-1].stop)


@dataclass(frozen=True, eq=False)
class Frame:
    """What the probe sees of a network.

    Attributes:
        layers: K names.
        distance: (K, M) ||F_k(x) - F*_k||, F*_k the mean feature of the probe's noise.
        angle: (K, M) in radians, from class spokes.
        logits: (N, classes) of the ind points.
    """

    layers: tuple[str, ...]
    distance: npt.NDArray[np.float32]
    angle: npt.NDArray[np.float32]
    logits: Tensor


def make_probe(
    ind: ImageSet,
    ood: Mapping[str, ImageSet],
    *,
    seed: int,
    ind_points: int = IND_POINTS,
    ood_points: int = OOD_POINTS,
    noise_points: int = NOISE_POINTS,
) -> Probe:
    """Draws the points by seed; all sets must have one shape.

    Raises:
        InputError: fewer than 4 ind images, or an ood set of another shape.
    """
    if len(ind) < 4:
        raise InputError(f"{ind.name!r} has {len(ind)} images to measure on; at least 4 are needed")
    for name, images in ood.items():
        if images.shape != ind.shape:
            raise InputError(
                f"{name!r} has images of shape {images.shape}, {ind.name!r} of {ind.shape}; fit them first"
            )
    drawn = [ind.sample(ind_points, seed=seed), *(s.sample(ood_points, seed=seed) for s in ood.values())]
    noise = uniform_noise(ind.shape, noise_points, generator=generator(seed))
    groups, start = [], 0
    for name, kind, rows in [
        (ind.name, "ind", drawn[0].rows),
        *((name, "ood", images.rows) for name, images in zip(ood, drawn[1:], strict=True)),
        ("noise", "noise", np.arange(noise_points, dtype=np.int64)),
    ]:
        groups.append(PointGroup(name, kind, start, start + len(rows), rows))
        start += len(rows)
    stacked = torch.cat([*(s.tensor() for s in drawn), noise])
    pixels = stacked.flatten(1).numpy()
    labels = np.full(len(stacked), -1, np.int16)
    known = drawn[0].labels
    labelled = known is not None and len(np.unique(known)) >= 3
    if labelled and known is not None:
        labels[: len(known)] = known
    else:
        labels = pseudo_classes(pixels, pixels.mean(0), ind_mask(groups), seed=seed)
    classes = [int(c) for c in np.unique(labels) if c >= 0]
    directions = class_directions(Offsets(pixels, pixels.mean(0)), labels, classes)
    order = tuple(classes[i] for i in circle_order(directions @ directions.T))
    return Probe(stacked, tuple(groups), labels, order, labelled)


def look(probe: Probe, extractor: FeatureExtractor) -> Frame:
    """Measures the network as it is; its mode, flags and random streams stay as they were.

    Raises:
        ModelError: weights or features that are not finite.
    """
    features, logits = extractor.features_and_logits(probe.images)
    spokes = 2 * np.pi * np.arange(len(probe.order)) / len(probe.order)
    distance, angle = [], []
    for layer in extractor.layers:
        values = features.pop(layer)
        fss = values[probe.noise].double().mean(0).float()
        offsets = Offsets(values.numpy(), fss.numpy())
        directions = class_directions(offsets, probe.labels, probe.order)
        distance.append(offsets.distances)
        angle.append(spoke_angles(offsets, directions, spokes))
    return Frame(extractor.layers, np.array(distance, np.float32), np.array(angle, np.float32), logits[probe.ind])


def numbers(frame_layers: tuple[str, ...], distance: FloatArray, groups: tuple[PointGroup, ...]) -> Numbers:
    """{layer: {group: mean distance, its ratio to the ind mean, AUROC with ind positive (None of ind)}}."""
    out: Numbers = {}
    for layer, row in zip(frame_layers, np.asarray(distance, np.float64), strict=True):
        ind = row[groups[0].start : groups[0].stop]
        out[layer] = {}
        for group in groups:
            values = row[group.start : group.stop]
            said = {"mean": float(values.mean()), "ratio": float(values.mean() / ind.mean()) if ind.any() else np.nan}
            if group.kind != "ind":
                said["auroc"] = auroc(ind, values)
            out[layer][group.name] = said
    return out


def as_projection(
    layer: str,
    distance: FloatArray,
    angle: FloatArray,
    *,
    groups: tuple[PointGroup, ...],
    labels: IntArray,
    order: tuple[int, ...],
    labelled: bool,
) -> Projection:
    """One layer of a frame as the view 'centred-spokes': the radius is the true distance, so it is drawn exactly.

    Trustworthiness is not measured on a live frame (NaN).

    Raises:
        InputError: more than half of ind lies exactly on F*.
    """
    ind = distance[groups[0].start : groups[0].stop]
    median = positive_median(float(np.median(ind)), layer)
    separations = {g.name: auroc(ind, distance[g.start : g.stop]) for g in groups if g.kind == "ood"}
    notes: dict[str, Any] = {
        "spokes": {c: 2 * np.pi * place / len(order) for place, c in enumerate(order)},
        "spoke_order": list(order),
        "classes": "labels" if labelled else "k-means",
    }
    return Projection(
        view="centred-spokes",
        layer=layer,
        xy=on_circles(distance / median, angle),
        fss=np.zeros(2, np.float32),
        distance=np.asarray(distance, np.float32),
        groups=groups,
        labels=np.asarray(labels, np.int16),
        faithfulness=Faithfulness(1.0, 1.0, float("nan"), separations, separations),
        notes=notes,
    )


def logit_accuracy(logits: Tensor, labels: Tensor) -> float:
    """Share of (N, C) logits whose largest is their label's."""
    return float((logits.argmax(1) == labels).double().mean())


def class_mean_accuracy(points: Tensor, labels: Tensor, tested: Tensor, truth: Tensor) -> float:
    """Share of tested points whose most similar class mean is their own, all on the unit sphere.

    Args:
        points: (n, D) features that the means are made of.
        labels: (n,) their classes.
        tested: (N, D).
        truth: (N,).
    """
    classes = torch.unique(labels)
    unit = functional.normalize(points, dim=1)
    means = functional.normalize(torch.stack([unit[labels == c].mean(0) for c in classes]), dim=1)  # (C, D)
    nearest = classes[(functional.normalize(tested, dim=1) @ means.T).argmax(1)]
    return float((nearest == truth).double().mean())
