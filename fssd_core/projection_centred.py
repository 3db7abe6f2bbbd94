"""Angles of the singularity-centred views, whose radius is the true ||F - F*|| over the ind median.

Angle 'spokes': softmax over the cosines to the centred class means, then the circular mean of the classes' spokes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch

from fssd_core.errors import InputError, lookup
from fssd_core.projection_embed import Offsets, principal
from fssd_core.projection_faithful import ind_mask
from fssd_core.runtime import Progress, silent
from fssd_core.types import FloatArray, IntArray, Projection

TEMPERATURE = 0.12
PSEUDO_CLASSES = 10


def on_circles(radius: FloatArray, angle: FloatArray) -> npt.NDArray[np.float32]:
    """(M, 2) points of the given radius and angle in radians, counter-clockwise from the x axis."""
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).astype(np.float32)


def class_directions(offsets: Offsets, labels: IntArray, classes: Sequence[int]) -> npt.NDArray[np.float64]:
    """(C, D) unit vectors from the mean of the class means to each class mean (zero where they coincide).

    Args:
        offsets: (M, D).
        labels: (M,) class of each point; points of no listed class are left out.
        classes: C classes, each with a point.
    """
    rows = np.flatnonzero(np.isin(labels, classes))
    member = (labels[rows, None] == np.asarray(classes)).astype(np.float64)  # (n, C)
    left = np.zeros((len(offsets), len(classes)), dtype=np.float32)
    left[rows] = member / member.sum(0)
    means = offsets.transposed_times(torch.from_numpy(left)).numpy().astype(np.float64).T  # (C, D)
    centred = means - means.mean(0)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(np.divide(centred, length, out=np.zeros_like(centred), where=length > 1e-9 * length.max()))


def spoke_angles(offsets: Offsets, directions: FloatArray, spokes: FloatArray) -> npt.NDArray[np.float64]:
    """(M,) angle of each point: the circular mean of the spokes, weighted by softmax(cosine / 0.12).

    Args:
        offsets: (M, D); a point at F* itself gets equal weights.
        directions: (C, D) unit vectors of the classes.
        spokes: (C,) angle of each class.
    """
    along = offsets.times(torch.from_numpy(directions.T.astype(np.float32))).numpy().astype(np.float64)  # (M, C)
    length = offsets.distances[:, None]
    cosine = np.divide(along, length, out=np.zeros_like(along), where=length > 0)
    weight = np.exp((cosine - cosine.max(1, keepdims=True)) / TEMPERATURE)
    return np.asarray(np.arctan2(weight @ np.sin(spokes), weight @ np.cos(spokes)))


def circle_order(similarity: FloatArray) -> tuple[int, ...]:
    """The C classes in an order round the circle that puts similar ones side by side.

    The shortest closed tour over 1 - similarity: nearest neighbour from up to 10 starts, each improved by 2-opt.
    Begins with class 0; of the two directions the one whose second class is the smaller.

    Args:
        similarity: (C, C), symmetric.
    """
    cost = 1.0 - np.asarray(similarity, dtype=np.float64)
    tours = [_two_opt(_greedy(cost, start), cost) for start in range(min(len(cost), 10))]
    best = min(tours, key=lambda tour: round(float(cost[tour, np.roll(tour, -1)].sum()), 9))
    best = np.roll(best, -int(np.argmin(best)))
    if len(best) > 2 and best[1] > best[-1]:
        best = np.roll(best[::-1], 1)
    return tuple(int(c) for c in best)


def _greedy(cost: FloatArray, start: int) -> IntArray:
    """(C,) tour that always goes on to the nearest class left."""
    tour = [start]
    left = set(range(len(cost))) - {start}
    while left:
        tour.append(min(left, key=lambda c: (cost[tour[-1], c], c)))
        left.remove(tour[-1])
    return np.array(tour)


def _two_opt(tour: IntArray, cost: FloatArray) -> IntArray:
    """The tour with pieces reversed for as long as that shortens it."""
    tour, improved = tour.copy(), True
    while improved:
        improved = False
        for i in range(len(tour) - 2):
            here, after = tour[i], tour[i + 1]
            last, follow = tour[i + 2 :], np.roll(tour, -1)[i + 2 :]
            gain = cost[here, after] + cost[last, follow] - cost[here, last] - cost[after, follow]
            j = int(np.argmax(gain))
            if gain[j] > 1e-12:
                tour[i + 1 : i + 3 + j] = tour[i + 1 : i + 3 + j][::-1].copy()
                improved = True
    return tour


def spokes_round(given: Sequence[int] | None, classes: Sequence[int], similarity: FloatArray) -> tuple[int, ...]:
    """The classes round the circle: as given, else by similarity.

    Raises:
        InputError: the given order repeats a class or lacks one that is present.
    """
    if given is None:
        return tuple(classes[i] for i in circle_order(similarity))
    order = tuple(int(c) for c in given)
    missing = sorted(set(classes) - set(order))
    if missing or len(set(order)) != len(order):
        raise InputError(
            f"spoke_order {order} "
            + (f"lacks the classes {missing}" if missing else "names a class twice")
            + "; name every class once, or leave it out to have it computed"
        )
    return order


def pseudo_classes(
    features: FloatArray, fss: FloatArray, ind: npt.NDArray[np.bool_], *, count: int = PSEUDO_CLASSES, seed: int = 0
) -> npt.NDArray[np.int16]:
    """(M,) k-means cluster of each ind point's direction from F*, -1 elsewhere: stands in for labels that are missing.

    To keep the clusters over checkpoints, compute them once (at the last one) and pass them to `project` as labels.

    Args:
        features: (M, D).
        fss: (D,).
        ind: (M,) true for ind points.
        count: clusters, at most one for every two ind points.
        seed: of k-means.
    """
    from sklearn.cluster import KMeans

    rows = np.flatnonzero(ind)
    features, fss = np.asarray(features, dtype=np.float32), np.asarray(fss, dtype=np.float32)
    offsets = Offsets(features[rows], fss)
    unit = unit_directions(offsets, seed=seed)
    clusters = KMeans(min(count, max(1, len(rows) // 2)), n_init=4, random_state=seed).fit_predict(unit)
    labels = np.full(len(features), -1, dtype=np.int16)
    labels[rows] = clusters
    return labels


def unit_directions(
    offsets: Offsets, *, seed: int, width: int = 50, progress: Progress = silent
) -> npt.NDArray[np.float32]:
    """(M, min(D, 50)) unit vectors along F - F*, in the leading principal directions where features are wider.

    A point at F* has no direction and stays zero.
    """
    points = principal(offsets, min(width, offsets.width), seed=seed, progress=progress)[0]
    length = np.linalg.norm(points, axis=1, keepdims=True)
    np.divide(points, length, out=points, where=length > 0)
    return points


SCALES: Mapping[str, Callable[[FloatArray, float], FloatArray]] = {
    "median": lambda distance, median: distance / median,
    "absolute": lambda distance, median: distance,
    "log": lambda distance, median: np.log2(1 + distance / median),
}


def ind_median(projection: Projection) -> float:
    """Median true distance of the ind points to F*: the unit of the centred views."""
    ind = ind_mask(projection.groups)
    return positive_median(float(np.median(projection.distance[ind].astype(np.float64))), projection.layer)


def radius(projection: Projection, mode: str = "median", *, distance: FloatArray | None = None) -> FloatArray:
    """Radius of each point in a centred drawing.

    Args:
        projection: of any view.
        mode: 'median' (distance / ind median), 'absolute' (distance) or 'log' (log2(1 + distance / ind median): F* at
            0, the ind median at 1).
        distance: other distances to place on the same scale (rings, means of groups); the points' own if None.

    Raises:
        InputError: no such mode, or more than half of ind lies exactly on F*.
    """
    scale = lookup(SCALES, mode, "radius mode")
    values = projection.distance if distance is None else distance
    return scale(np.asarray(values, dtype=np.float64), ind_median(projection))


def group_circles(projection: Projection) -> dict[str, float]:
    """Each group's mean true distance to F* over the ind median: the dashed circles of the centred views."""
    median = ind_median(projection)
    return {
        g.name: float(projection.distance[g.start : g.stop].mean(dtype=np.float64)) / median for g in projection.groups
    }


def positive_median(median: float, layer: str) -> float:
    """The median, if it can serve as a unit.

    Raises:
        InputError: it is 0.
    """
    if median <= 0:
        raise InputError(
            f"more than half of the ind points of {layer} lie exactly on F*, so distances have no unit; "
            "choose another layer or the view 'pca' or 'umap'"
        )
    return median
