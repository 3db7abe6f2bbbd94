"""FSSD without ood labels: how far from F*, and in which direction, against ind training images alone (ours).

Polar coordinates about the singularity: the radius is FSSD itself, judged on both sides; the direction is compared with
ind training images of the predicted class. docs/ood-free-fssd.md says how the parts were chosen and what they achieve.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from fssd_core.detectors.base import Detector, DetectorSpec, Given
from fssd_core.detectors.parameters import Parameter
from fssd_core.errors import InputError, ModelError
from fssd_core.extractor import FeatureExtractor
from fssd_core.runtime import Progress, generator, in_batches, silent
from fssd_core.singularity import estimate_fss
from fssd_core.types import LayerScores

GRID = 4  # feature maps are averaged over GRID x GRID fields
WIDTH = 512  # numbers a layer that directions are compared in; more are projected
HELD_BACK = 0.3  # share of the ind images that the parts are standardised on
SMALLEST = 20  # ind images
ENOUGH = 10  # held-back images predicted alike; a class of fewer is standardised as all images are
TINY = 1e-9
RADIUS, FROM_FSS, FROM_ZERO = "radius", "direction from F*", "direction from 0"
PARTS: dict[str, tuple[str, ...]] = {
    "all": (RADIUS, FROM_FSS, FROM_ZERO),
    "radius": (RADIUS,),
    "directions": (FROM_FSS, FROM_ZERO),
    "polar": (RADIUS, FROM_FSS),
}


@dataclass(frozen=True, eq=False)
class References:
    """Points that others are compared with, by class: {class: ((m, R) points, (m,) their squared lengths)}, float64."""

    by_class: Mapping[int, tuple[Tensor, Tensor]]

    @classmethod
    def of(cls, points: Tensor, classes: Tensor) -> References:
        """From (n, R) points and their (n,) classes."""
        parts = {int(name): points[classes == name].double() for name in torch.unique(classes)}
        return cls({name: (part, part.square().sum(1)) for name, part in parts.items()})

    def among(self, name: int) -> tuple[Tensor, Tensor]:
        """Points and squared lengths of a class; all points for a class without any."""
        if name in self.by_class:
            return self.by_class[name]
        points, squares = zip(*self.by_class.values(), strict=True)
        return torch.cat(points), torch.cat(squares)


@dataclass(frozen=True, eq=False)
class Known:
    """What was learnt: everything but the network that a score needs.

    Attributes:
        fss: {layer: F*_k (D_k,)}.
        poles: {layer: F*_k reduced (R_k,)}.
        references: {'layer: part': directions of ind training images}, for the parts that are directions.
        centre: (C, J) by predicted class, the mean of each part on held-back ind images, parts in the order of `names`.
        spread: (C, J) their standard deviation.
        names: J parts, 'layer: part'.
    """

    fss: Mapping[str, Tensor]
    poles: Mapping[str, Tensor]
    references: Mapping[str, References]
    centre: Tensor
    spread: Tensor
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Read:
    """Images as the parts see them, on the CPU.

    Attributes:
        distance: (N, K) ||F_k - F*_k||.
        reduced: {layer: (N, R_k)}.
        predicted: (N,) class of the largest logit.
        classes: how many logits there are.
    """

    distance: Tensor
    reduced: Mapping[str, Tensor]
    predicted: Tensor
    classes: int


class FssdOodFree(Detector):
    """One column, S(x) = -sum_k sum_parts t(x): larger = more in-distribution. Its parts by layer: `parts`.

    With z(.) for a value standardised by mean and standard deviation of held-back ind training images, of those
    predicted alike or of all (`scale`):
    radius |z(log ||F_k(x) - F*_k||)|; direction z(log d), d the distance from u_k(x) to its `neighbours`-th nearest
    among ind training images of the predicted class, where u_k = G_k / ||G_k|| (from 0) or
    (G_k - G*_k) / ||G_k - G*_k|| (from F*) and G_k is the layer's output `reduced`.
    """

    known: Known

    def _learn(self, given: Given) -> None:
        extractor, ind, labels, noise = given.extractor, given.ind, given.labels, given.noise
        assert ind is not None
        assert labels is not None
        assert noise is not None
        if labels.shape != (len(ind),) or len(ind) < SMALLEST:
            raise InputError(
                f"{len(ind)} ind images and labels of shape {tuple(labels.shape)}; give one label an image, and at "
                f"least {SMALLEST} images"
            )
        fss = estimate_fss(extractor, noise, batch_size=given.batch_size)
        with torch.no_grad():
            shapes = {layer: value.shape[1:] for layer, value in extractor.maps(noise[:1]).items()}
        poles = {layer: reduced(fss[layer].view(1, *shapes[layer]))[0].cpu() for layer in extractor.layers}
        seen = _read(extractor, ind, fss, given.batch_size, given.progress)
        order = torch.randperm(len(ind), generator=generator(0))
        count = round(HELD_BACK * len(ind))
        held, kept = order[:count], order[count:]
        names = tuple(f"{k}: {part}" for k in extractor.layers for part in PARTS[str(self.values["parts"])])
        references = {
            f"{layer}: {part}": References.of(directions(points[kept], _pole(poles[layer], part)), labels.cpu()[kept])
            for layer, points in seen.reduced.items()
            for part in PARTS[str(self.values["parts"])]
            if part != RADIUS
        }
        start = Known(fss, poles, references, torch.empty(0), torch.empty(0), names)
        rows = _rows(seen, held)
        values = self._raw(start, rows)
        if flat := [name for name, s in zip(names, values.std(0, correction=0).tolist(), strict=True) if s < TINY]:
            raise InputError(f"{', '.join(flat)}: the same for all {len(held)} held-back ind images; give other images")
        centre, spread = scales(values, rows.predicted, seen.classes, by_class=self.values["scale"] == "class")
        self.known = Known(fss, poles, references, centre, spread, names)

    def _score(
        self, extractor: FeatureExtractor, images: Tensor, batch_size: int | None, progress: Progress
    ) -> LayerScores:
        return self._column(images, lambda batch: -self._standard(extractor, batch).sum(1), batch_size, progress)

    def parts(self, images: Tensor, *, batch_size: int | None = None, progress: Progress = silent) -> LayerScores:
        """(N, K) columns that add up to the score, one a layer: minus the sum of its standardised parts."""
        extractor = self._fitted()
        count = len(extractor.layers)

        def one(batch: Tensor) -> Tensor:
            return -self._standard(extractor, batch).view(len(batch), count, -1).sum(2)

        return self._columns(images, one, extractor.layers, batch_size, progress)

    def _standard(self, extractor: FeatureExtractor, batch: Tensor) -> Tensor:
        """(n, J) standardised parts, larger = more outlying."""
        known = self.known
        seen = _read(extractor, batch, known.fss, len(batch))
        z = (self._raw(known, seen) - known.centre[seen.predicted]) / known.spread[seen.predicted]
        two_sided = torch.tensor([name.endswith(RADIUS) for name in known.names])
        return torch.where(two_sided, z.abs(), z)

    def _raw(self, known: Known, seen: Read) -> Tensor:
        """(n, J) parts before they are standardised, float64."""
        columns = []
        k = int(self.values["neighbours"])
        for number, (layer, points) in enumerate(seen.reduced.items()):
            for part in PARTS[str(self.values["parts"])]:
                if part == RADIUS:
                    columns.append(seen.distance[:, number].double().clamp_min(TINY).log())
                    continue
                seen_from = directions(points, _pole(known.poles[layer], part))
                near = nearest(seen_from, seen.predicted, known.references[f"{layer}: {part}"], k)
                columns.append(near.clamp_min(TINY).log())
        return torch.stack(columns, 1)


def reduced(maps: Tensor) -> Tensor:
    """(N, ...) output of a layer -> (N, R), R at most 512: a linear map, the same for every image and run.

    Feature maps (N, C, H, W) are averaged over 4 x 4 fields, tokens (N, T, D) over the tokens; what is still wider than
    512 is multiplied by a seeded Gaussian matrix, which keeps angles and distances to about 1 / sqrt(512).
    """
    values = maps.float()
    if values.ndim == 3:
        values = values.mean(1)
    elif values.ndim > 3:
        values = values.flatten(4).mean(4) if values.ndim > 4 else values
        values = F.adaptive_avg_pool2d(values.cpu() if values.device.type == "mps" else values, GRID)
    values = values.flatten(1)
    width = values.shape[1]
    if width <= WIDTH:
        return values
    matrix: Tensor = torch.randn(width, WIDTH, generator=generator(width)) / WIDTH**0.5
    return torch.mm(values, matrix.to(values))


def directions(points: Tensor, pole: Tensor) -> Tensor:
    """(N, R) unit vectors from the pole to the points, float64; 0 for a point on the pole."""
    return F.normalize(points.double() - pole.double(), dim=1, eps=TINY)


def scales(values: Tensor, predicted: Tensor, classes: int, *, by_class: bool) -> tuple[Tensor, Tensor]:
    """(C, J) means and (C, J) standard deviations of the columns of (n, J) values, a row a predicted class.

    A class of fewer than 10 images, or without a spread, has those of all images; so has every class unless `by_class`.
    """
    centre, spread = values.mean(0).repeat(classes, 1), values.std(0, correction=0).repeat(classes, 1)
    for name in torch.unique(predicted).tolist() if by_class else ():
        own = values[predicted == name]
        if len(own) >= ENOUGH and bool(((own_spread := own.std(0, correction=0)) >= TINY).all()):
            centre[name], spread[name] = own.mean(0), own_spread
    return centre, spread


def nearest(points: Tensor, predicted: Tensor, references: References, k: int) -> Tensor:
    """(N,) distance from each point to its k-th nearest reference of its predicted class.

    A class with fewer than k references gives its farthest; a class without any is replaced by all references.
    """
    out = torch.empty(len(points), dtype=points.dtype)
    for name in torch.unique(predicted).tolist():
        rows = predicted == name
        among, lengths = references.among(name)
        x = points[rows]
        squares = x.square().sum(1, keepdim=True) + lengths - 2 * x @ among.T
        out[rows] = squares.clamp_min(0).kthvalue(min(k, len(among)), dim=1).values.sqrt()
    return out


def _pole(fss: Tensor, part: str) -> Tensor:
    return fss if part == FROM_FSS else torch.zeros_like(fss)


def _read(
    extractor: FeatureExtractor,
    images: Tensor,
    fss: Mapping[str, Tensor],
    batch_size: int | None,
    progress: Progress = silent,
) -> Read:
    distance, points, predicted = [], {layer: list[Tensor]() for layer in extractor.layers}, []
    classes = 0

    def one(rows: slice) -> tuple[dict[str, Tensor], Tensor]:
        with torch.no_grad():
            return extractor.maps_and_logits(images[rows])

    for _, (maps, logits) in in_batches(len(images), one, batch_size=batch_size, progress=progress):
        if any(maps[layer].flatten(1).shape[1:] != fss[layer].shape for layer in extractor.layers):
            raise ModelError("features have another size than F*; give images of the shape of the noise")
        lengths = [torch.linalg.vector_norm(maps[k].flatten(1) - fss[k], dim=1) for k in extractor.layers]
        distance.append(torch.stack(lengths, 1).cpu())
        predicted.append(logits.argmax(1).cpu())
        classes = logits.shape[1]
        for layer in extractor.layers:
            points[layer].append(reduced(maps[layer]).cpu())
    return Read(torch.cat(distance), {k: torch.cat(v) for k, v in points.items()}, torch.cat(predicted), classes)


def _rows(seen: Read, rows: Tensor) -> Read:
    reduced_ = {k: v[rows] for k, v in seen.reduced.items()}
    return Read(seen.distance[rows], reduced_, seen.predicted[rows], seen.classes)


FSSD_OOD_FREE = DetectorSpec(
    name="fssd-ood-free",
    title="FSSD without ood labels: radius and direction about the singularity",
    reference="ours, after Huang et al. 2021 (the radius) and Sun et al. 2022, Out-of-Distribution Detection with Deep "
    "Nearest Neighbors, arXiv:2204.06507 (neighbours of normalised features); docs/ood-free-fssd.md",
    cost="1 forward pass, and nearest neighbours among the ind training images given",
    columns="one",
    uses=("noise", "ind", "labels"),
    parameters=(
        Parameter("parts", "choice", "all", "what is added up on every layer", choices=tuple(PARTS)),
        Parameter(
            "scale",
            "choice",
            "class",
            "ind images that parts are standardised on: those predicted alike, or all",
            choices=("class", "all"),
        ),
        Parameter("neighbours", "int", 10, "k of the k-th nearest ind image of the predicted class", low=1, high=1000),
    ),
    build=FssdOodFree,
    fails="Where familiar images are merely turned, mixed or joined of halves: they keep the usual radius, and lie in "
    "directions that the predicted class knows.",
)
