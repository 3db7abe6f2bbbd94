"""A made-up training for tests and benchmarks: ind spreads along class directions, ood lags behind, one set runs ahead.

Nothing is computed by a network, so films of any size are there at once; the numbers over training are those of the
made-up points themselves.
"""

from __future__ import annotations

import numpy as np

from fssd_core.dynamics import Dynamics
from fssd_core.film import Film, film_radii, on_film_circles
from fssd_core.metrics import auroc
from fssd_core.types import Faithfulness, PointGroup

STEPS = (0, 5, 10, 20, 50, 100, 200, 400, 900, 938, 1876, 2814)
CLASSES = ("zero", "one", "two", "three")
ENDS = {"digits": 1.0, "photos": 0.3, "inverted": 0.6, "turned": 1.4, "noise": 0.1}  # mean over the ind median at last


def sizes(points: int) -> dict[str, int]:
    """Points a group: two fifths are ind, noise is a small part."""
    noise = max(5, points // 16)
    third = (points - noise) // 5
    return {"digits": points - noise - 3 * third, "photos": third, "inverted": third, "turned": third, "noise": noise}


def groups_of(points: int) -> tuple[PointGroup, ...]:
    """ind, three ood groups, noise; rows begin at 10 times the group's number, so that they differ from places."""
    out, start = [], 0
    for number, (name, count) in enumerate(sizes(points).items()):
        kind = "ind" if number == 0 else "noise" if name == "noise" else "ood"
        out.append(PointGroup(name, kind, start, start + count, np.arange(count) + 10 * number))
        start += count
    return tuple(out)


def made_film(points: int = 160, *, view: str = "spokes", layer: str = "fc1", steps: tuple[int, ...] = STEPS) -> Film:
    """A film of `points` points over `steps`."""
    rng = np.random.default_rng(7)
    groups = groups_of(points)
    grown = 0.05 + 20 * (1 - np.exp(-np.arange(len(steps)) / 3))  # (T,) what the ind median grows to
    share = np.linspace(0, 1, len(steps)) ** 0.5
    own = rng.gamma(12, 1 / 12, points)
    wanted = np.concatenate([np.full(g.stop - g.start, ENDS[g.name]) for g in groups])
    distance = (grown[:, None] * own * (1 + (wanted - 1) * share[:, None])).astype(np.float32)
    labels = np.full(points, -1, np.int16)
    ind = groups[0]
    labels[: ind.stop] = np.arange(ind.stop) % len(CLASSES)
    spokes = {k: 2 * np.pi * k / len(CLASSES) for k in range(len(CLASSES))}
    toward = np.where(labels >= 0, labels * 2 * np.pi / len(CLASSES), rng.uniform(0, 2 * np.pi, points))
    scatter = rng.normal(0, 1, points)
    angle = (toward + scatter * (0.25 + 1.2 * (1 - share[:, None]))).astype(np.float32)
    median = np.median(distance[:, : ind.stop], axis=1).astype(np.float32)
    faithful = tuple(Faithfulness(1.0, 1.0, 0.72 + 0.02 * t) for t in range(len(steps)))
    notes: dict[str, object] = {"through_fss": [0.0] * (len(steps) - 1)}
    motion = np.linspace(-0.2, 0.9, len(steps) - 1).astype(np.float32)
    xy = None
    if view == "pca":
        xy = on_film_circles(distance * np.float32(0.8), angle)
        notes["explained"] = [0.6] * len(steps)
    elif view == "spokes":
        notes |= {"spokes": spokes, "classes": "labels"}
    if view != "pca":
        notes["motion_by_radius"] = {mode: motion.tolist() for mode in film_radii(distance, median)}
    turned = None if view == "pca" else angle
    return Film(view, layer, steps, groups, labels, distance, turned, xy, median, faithful, motion, notes)


def made_dynamics(film: Film, *, layers: tuple[str, ...] = ("conv", "fc1")) -> Dynamics:
    """The numbers over training of the film's own points; the other layers are scaled copies."""
    parts = [slice(g.start, g.stop) for g in film.groups]
    steps, count = len(film.steps), len(parts)
    quantiles = (0.05, 0.25, 0.5, 0.75, 0.95)
    distance = np.stack([film.distance * (1 + k) for k in range(len(layers))], axis=1).astype(np.float64)  # (T, K, M)
    aurocs = np.full((steps, len(layers), count), np.nan)
    for t, k, g in np.ndindex(aurocs.shape):
        if g:
            aurocs[t, k, g] = auroc(distance[t, k, parts[0]], distance[t, k, parts[g]])
    mean = np.stack([distance[..., p].mean(-1) for p in parts], axis=-1)
    loss = 2.3 * np.exp(-np.arange(steps) / 4.0)
    loss[0] = np.nan
    return Dynamics(
        steps=film.steps,
        epochs=tuple(s / 938 for s in film.steps),
        layers=layers,
        groups=tuple((g.name, g.kind) for g in film.groups),
        quantiles=quantiles,
        mean=mean,
        bands=np.stack([np.moveaxis(np.quantile(distance[..., p], quantiles, axis=-1), 0, -1) for p in parts], axis=2),
        ind_median=np.median(distance[..., parts[0]], axis=-1),
        norm=1.3 * mean,
        auroc=aurocs,
        speed=np.abs(np.diff(mean, axis=0)),
        fss_speed=np.ones((steps - 1, len(layers))),
        relative_speed=np.abs(np.diff(mean, axis=0)),
        accuracy=0.1 + 0.8 * (1 - np.exp(-np.arange(steps) / 3)),
        loss=loss,
    )


def made_images(film: Film) -> dict[str, np.ndarray]:
    """(n, 8, 8) uint8 images by group: every image is as bright as its row's number says."""
    return {g.name: np.tile((g.rows % 256).astype(np.uint8)[:, None, None], (1, 8, 8)) for g in film.groups}
