"""Angles of the centred films: class spokes (instant) and one AlignedUMAP of unit directions over all checkpoints."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fssd_core.projection_centred import (
    PSEUDO_CLASSES,
    class_directions,
    pseudo_classes,
    spoke_angles,
    spokes_round,
    unit_directions,
)
from fssd_core.projection_embed import Offsets
from fssd_core.projection_faithful import ind_mask
from fssd_core.projection_umap import aligned_umap
from fssd_core.runtime import Progress, part, silent
from fssd_core.series import Reel

NEIGHBORS, MIN_DIST, ALIGNMENT = 30, 0.3, 0.1
Angles = npt.NDArray[np.float64]


def spoke_film(reel: Reel, *, progress: Progress = silent) -> tuple[Angles, dict[str, Any]]:
    """(T, M) angles leaning to the spokes of the classes most alike, and notes.

    The classes stand round the circle by similarity at the last checkpoint and keep their places; each checkpoint has
    its own class means, so no separation of the end leaks into the beginning.
    """
    ind = ind_mask(reel.groups)
    labels = np.where(ind, reel.labels, -1)
    notes: dict[str, Any] = {"classes": "labels", "remarks": []}
    if len(np.unique(labels[labels >= 0])) < 3:
        labels = pseudo_classes(*reel.frame(-1), ind, seed=reel.study.seed)
        notes["classes"] = "k-means"
        notes["remarks"].append(
            f"Fewer than 3 classes are labelled, so the spokes are k-means clusters (at most {PSEUDO_CLASSES}) of the "
            "ind directions at the last checkpoint."
        )
    classes = [int(c) for c in np.unique(labels) if c >= 0]
    directions = class_directions(Offsets(*reel.frame(-1), reel.scale), labels, classes)
    order = spokes_round(None, classes, directions @ directions.T)
    spokes = {c: 2 * np.pi * place / len(order) for place, c in enumerate(order)}
    places = np.array([spokes[c] for c in classes])
    angles = np.empty((len(reel), reel.points))
    for number in range(len(reel)):
        progress(number, len(reel), "angles")
        offsets = Offsets(*reel.frame(number), reel.scale)
        angles[number] = spoke_angles(offsets, class_directions(offsets, labels, classes), places)
    return angles, {**notes, "spokes": spokes, "spoke_order": list(order)}


def umap_film(reel: Reel, *, progress: Progress = silent) -> tuple[Angles, dict[str, Any]]:
    """(T, M) angles about the median of one AlignedUMAP (McInnes et al. 2018; Dadu et al. 2023) of unit directions.

    Settings as measured: cosine, n_neighbors 30, min_dist 0.3, alignment 0.1. The turning of points between checkpoints
    is that of the alignment, not of the features.
    """
    units = []
    for number in range(len(reel)):
        progress(number * 10, len(reel) * 100, "directions")
        units.append(unit_directions(Offsets(*reel.frame(number), reel.scale), seed=reel.study.seed))
    planes = aligned_umap(
        units, n_neighbors=NEIGHBORS, min_dist=MIN_DIST, alignment=ALIGNMENT, seed=reel.study.seed,
        progress=part(progress, 10, 100),
    )  # fmt: skip
    about = planes - np.median(planes, axis=1, keepdims=True)
    return np.arctan2(about[..., 1], about[..., 0]).astype(np.float64), {
        "n_neighbors": NEIGHBORS, "min_dist": MIN_DIST, "alignment": ALIGNMENT,
    }  # fmt: skip
