"""One layer's points in the plane, F* included, each drawing with its measured faithfulness.

Left out because they mislead (measured on fc1 of FashionMNIST LeNets): UMAP with cosine metric for distances (rho .64,
among ind .30; MNIST's AUROC .37 drawn as .81, an invented concentration) and `UMAP.transform` of other checkpoints (all
points land on F*, rho .07). Joint euclidean UMAP has rho .88/.74, PCA .91/.85; centred views draw the distance itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fssd_core.errors import InputError, lookup
from fssd_core.projection_centred import (
    PSEUDO_CLASSES,
    SCALES,
    class_directions,
    group_circles,
    ind_median,
    on_circles,
    positive_median,
    pseudo_classes,
    radius,
    spoke_angles,
    spokes_round,
    unit_directions,
)
from fssd_core.projection_embed import Offsets, principal, unit_of
from fssd_core.projection_faithful import ind_mask, measure, plain_words, trust_rows
from fssd_core.projection_umap import umap_layout
from fssd_core.runtime import Progress, part, silent
from fssd_core.types import FloatArray, IntArray, PointGroup, Projection

__all__ = ["SCALES", "VIEWS", "group_circles", "ind_median", "plain_words", "project", "pseudo_classes", "radius"]

REDUCED = 50  # UMAP sees this many principal directions where features are wider


@dataclass(frozen=True, eq=False)
class _Scene:
    """What every view draws from.

    Attributes:
        offsets: (M, D), divided by a power of two.
        distance: (M,) float64, in the features' unit.
        ind: (M,) true for ind points.
        labels: (M,) int16.
    """

    offsets: Offsets
    distance: npt.NDArray[np.float64]
    ind: npt.NDArray[np.bool_]
    labels: npt.NDArray[np.int16]
    layer: str
    seed: int
    n_neighbors: int | None
    min_dist: float | None
    spoke_order: Sequence[int] | None

    def radius(self) -> npt.NDArray[np.float64]:
        """(M,) distance over the ind median."""
        return self.distance / positive_median(float(np.median(self.distance[self.ind])), self.layer)


_Drawn = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], dict[str, Any]]  # xy (M, 2), F* (2,), notes


def project(
    view: str,
    features: FloatArray,
    fss: FloatArray,
    *,
    groups: Sequence[PointGroup],
    labels: IntArray,
    layer: str,
    seed: int = 0,
    progress: Progress = silent,
    n_neighbors: int | None = None,
    min_dist: float | None = None,
    spoke_order: Sequence[int] | None = None,
) -> Projection:
    """Draw the points of one layer and measure how far the drawing can be believed.

    Views: 'umap' (joint UMAP of all points and F*), 'pca' (the plane of largest squared distance to F*, F* at the
    origin), 'centred-spokes' and 'centred-umap' (radius = true distance over the ind median, F* at the origin).
    Reproducible by seed on one machine.

    Args:
        view: one of VIEWS.
        features: (M, D) of all groups stacked.
        fss: (D,) F*.
        groups: cover 0..M in order; at least one of kind 'ind', none empty.
        labels: (M,) class of the ind points, -1 elsewhere and where unknown.
        layer: the layer's name.
        seed: of UMAP, k-means, the randomised principal directions and trustworthiness' sample.
        progress: told in percent, after each epoch of a UMAP; may raise CancelledError.
        n_neighbors: of the UMAP views, at least 2; 15 for 'umap' and 30 for 'centred-umap' if None.
        min_dist: of the UMAP views, 0..1; 0.1 and 0.3 if None.
        spoke_order: 'centred-spokes' only: classes round the circle, to keep them in place over checkpoints
            (notes['spoke_order'] of the last one); by similarity if None or where the spokes are k-means clusters.

    Returns:
        The projection. Its notes hold 'trust_points' (how many points trustworthiness was measured on), 'remarks'
        (sentences for the page) and, by view, 'explained' (shares of the squared distance along the two axes),
        'n_neighbors', 'min_dist', 'reduced_to', 'spokes' (class -> angle in radians), 'spoke_order' and 'classes'
        ('labels' or 'k-means').

    Raises:
        InputError: an argument is outside the above, fewer than 3 points, all features the same, NaN or infinity,
            umap-learn missing for a UMAP view, or more than half of ind exactly on F* in a centred view.
        CancelledError: from progress.
    """
    draw = lookup(VIEWS, view, "projection view")
    _check_umap(n_neighbors, min_dist)
    points, origin = np.asarray(features, dtype=np.float32), np.asarray(fss, dtype=np.float32)
    classes = np.asarray(labels, dtype=np.int16)
    _check(points, origin, classes, groups, layer)

    def percent(done: int, total: int, what: str) -> None:
        progress(done, total, f"percent of the projection ({what})")

    percent(0, 100, "distances")
    offsets = Offsets(points, origin, scale=unit_of(points, origin))
    distance = offsets.distances * offsets.scale
    if distance.max() > np.finfo(np.float32).max:
        raise InputError(f"distances to F* in {layer} exceed float32; divide the features and F* by a constant")
    scene = _Scene(offsets, distance, ind_mask(groups), classes, layer, seed, n_neighbors, min_dist, spoke_order)
    xy, centre, notes = draw(scene, part(percent, 5, 85))
    percent(85, 100, "faithfulness")
    drawn = np.linalg.norm(xy.astype(np.float64) - centre, axis=1)
    faithful = measure(drawn, xy, offsets, distance, groups, seed=seed)
    notes = {"trust_points": len(trust_rows(len(xy), seed)), "remarks": [], **notes}
    percent(100, 100, "faithfulness")
    return Projection(
        view=view,
        layer=layer,
        xy=xy,
        fss=centre,
        distance=distance.astype(np.float32),
        groups=tuple(groups),
        labels=classes,
        faithfulness=faithful,
        notes=notes,
    )


def _umap(scene: _Scene, progress: Progress) -> _Drawn:
    """Joint euclidean UMAP of all points and F* (McInnes et al. 2018)."""
    offsets, neighbors, dist = scene.offsets, scene.n_neighbors or 15, _or(scene.min_dist, 0.1)
    notes: dict[str, Any] = {"n_neighbors": neighbors, "min_dist": dist}
    if offsets.width > REDUCED:
        points, share = principal(offsets, REDUCED, seed=scene.seed, progress=part(progress, 0, 25))
        notes |= {"reduced_to": REDUCED, "kept": float(share.sum())}
    else:
        points = offsets.rows(slice(None)).numpy()
    points = np.concatenate([points, np.zeros((1, points.shape[1]), np.float32)])  # the offset of F* from F*
    rest = part(progress, 25, 100)
    xy = umap_layout(points, metric="euclidean", n_neighbors=neighbors, min_dist=dist, seed=scene.seed, progress=rest)
    return xy[:-1], xy[-1], notes


def _pca(scene: _Scene, progress: Progress) -> _Drawn:
    """The plane through F* that holds most of the squared distance to F*."""
    points, share = principal(scene.offsets, 2, seed=scene.seed, progress=progress)
    xy = (points.astype(np.float64) * scene.offsets.scale).astype(np.float32)
    return xy, np.zeros(2, np.float32), {"explained": [float(s) for s in share]}


def _spokes(scene: _Scene, progress: Progress) -> _Drawn:
    """Singularity-centred, angle from class spokes."""
    radius, labels, offsets = scene.radius(), scene.labels, scene.offsets
    notes: dict[str, Any] = {"classes": "labels"}
    wanted = scene.spoke_order
    if len(np.unique(labels[scene.ind & (labels >= 0)])) < 3:
        labels = pseudo_classes(offsets.features, offsets.fss, scene.ind, seed=scene.seed)
        notes["classes"], wanted = "k-means", None  # an order of other clusters means nothing here
        notes["remarks"] = [
            f"Fewer than 3 classes are labelled, so the spokes are k-means clusters (at most {PSEUDO_CLASSES}) of the "
            "ind directions, found anew for each drawing."
        ]
    progress(1, 3, "class means")
    labels = np.where(scene.ind, labels, -1)
    classes = [int(c) for c in np.unique(labels) if c >= 0]
    directions = class_directions(offsets, labels, classes)
    order = spokes_round(wanted, classes, directions @ directions.T)
    spokes = {c: 2 * np.pi * place / len(order) for place, c in enumerate(order)}
    progress(2, 3, "angles")
    angle = spoke_angles(offsets, directions, np.array([spokes[c] for c in classes]))
    notes |= {"spokes": spokes, "spoke_order": list(order)}
    return on_circles(radius, angle), np.zeros(2, np.float32), notes


def _directions(scene: _Scene, progress: Progress) -> _Drawn:
    """Singularity-centred, angle from a UMAP of the unit directions (metric cosine) about its median."""
    radius, neighbors, dist = scene.radius(), scene.n_neighbors or 30, _or(scene.min_dist, 0.3)
    unit = unit_directions(scene.offsets, seed=scene.seed, progress=part(progress, 0, 25))
    away = np.flatnonzero(unit.any(axis=1))  # a point at F* has no direction; its radius is 0
    if len(away) < 3:
        raise InputError(f"only {len(away)} points of {scene.layer} lie away from F*; 'centred-umap' needs at least 3")
    rest = part(progress, 25, 100)
    plane = umap_layout(
        unit[away], metric="cosine", n_neighbors=neighbors, min_dist=dist, seed=scene.seed, progress=rest
    )
    about = plane - np.median(plane, axis=0)
    angle = np.zeros(len(unit))
    angle[away] = np.arctan2(about[:, 1], about[:, 0])
    notes = {"n_neighbors": neighbors, "min_dist": dist}
    return on_circles(radius, angle), np.zeros(2, np.float32), notes


VIEWS: Mapping[str, Callable[[_Scene, Progress], _Drawn]] = {
    "centred-spokes": _spokes,
    "centred-umap": _directions,
    "umap": _umap,
    "pca": _pca,
}


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _check_umap(n_neighbors: int | None, min_dist: float | None) -> None:
    if n_neighbors is not None and n_neighbors < 2:
        raise InputError(f"n_neighbors {n_neighbors} was given; it must be at least 2")
    if min_dist is not None and not 0 <= min_dist <= 1:
        raise InputError(f"min_dist {min_dist} was given; it must lie in 0..1")


def _check(features: FloatArray, fss: FloatArray, labels: IntArray, groups: Sequence[PointGroup], layer: str) -> None:
    """Refuse what does not fit together or cannot be drawn."""
    if (
        features.ndim != 2
        or 0 in features.shape[1:]
        or fss.shape != features.shape[1:]
        or labels.shape != features.shape[:1]
    ):
        raise InputError(
            f"features {features.shape}, F* {fss.shape} and labels {labels.shape} do not fit; "
            "give (M, D), (D,) and (M,), D at least 1"
        )
    if len(features) < 3:
        raise InputError(f"{len(features)} points of {layer} were given; a drawing needs at least 3")
    if not np.isfinite([features.min(), features.max(), fss.min(), fss.max()]).all():
        bad = int((~np.isfinite(features).all(axis=1)).sum())
        where = f"{bad} of {len(features)} feature vectors" if bad else "F*"
        raise InputError(f"{where} of {layer} hold NaN or infinity; check the model's weights and the images")
    if all(np.array_equal(row, features[0]) for row in features):
        raise InputError(f"all {len(features)} feature vectors of {layer} are the same: there is nothing to draw")
    edges = [0, *(g.stop for g in groups)]
    if [g.start for g in groups] != edges[:-1] or edges[-1] != len(features):
        raise InputError(f"the groups cover rows 0..{edges[-1]}, there are {len(features)} points; they must agree")
    empty = [g.name for g in groups if g.stop <= g.start]
    if empty or not any(g.kind == "ind" for g in groups):
        raise InputError(f"group {empty[0]!r} has no points" if empty else "no group of kind 'ind' was given")
