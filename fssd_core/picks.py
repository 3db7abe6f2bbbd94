"""Images worth a look under a setting: accepted ood images, borderline ones, rejected ind images."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Column = npt.NDArray[np.float64]
PICKS = ("false accepts", "borderline", "rejected ind")


def picks(
    ind: Column, oods: Mapping[str, Column], threshold: float, *, count: int = 20
) -> dict[str, list[tuple[str, int]]]:
    """Images worth a look: {kind: [(ood name or '' for ind, position in its scores)]}, the most telling first.

    'false accepts': ood images of the highest scores that are accepted; 'borderline': all images by the distance of
    their score from the threshold; 'rejected ind': ind images of the lowest scores that are rejected.
    """
    names = ["", *oods]
    sides = [np.asarray(ind, dtype=np.float64), *(np.asarray(o, dtype=np.float64) for o in oods.values())]
    scores = np.concatenate(sides)
    places = [(name, position) for name, side in zip(names, sides, strict=True) for position in range(len(side))]
    is_ind = np.arange(len(scores)) < len(sides[0])
    accepted = scores >= threshold
    orders = {
        "false accepts": (-scores, ~is_ind & accepted),
        "borderline": (np.abs(scores - threshold), np.isfinite(scores)),
        "rejected ind": (scores, is_ind & ~accepted & np.isfinite(scores)),
    }
    out = {}
    for kind, (by, allowed) in orders.items():
        rows = np.flatnonzero(allowed)
        out[kind] = [places[i] for i in rows[np.argsort(by[rows], kind="stable")][:count]]
    return out
