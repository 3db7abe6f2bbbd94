"""Distances and scores of whole sets at the setting's epsilon, every image in its place, also one that has no score."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from app.components.cockpit import Setting
from app.components.scores_packing import columns_at, pack
from app.names import title_of
from fssd_core.ensemble import combine
from fssd_core.study import Study, open_data
from fssd_core.types import LayerScores

Sweep = Mapping[float, LayerScores]


def distances_at(sweep: Sweep, epsilon: float) -> LayerScores:
    """(N, K) distances: as computed at a knot, else interpolated; NaN where an image has none."""
    if epsilon in sweep:
        return sweep[epsilon]
    block = pack("", sweep)
    values = np.full((len(block) + block.dropped, len(block.layers)), np.nan)
    values[block.kept] = columns_at(block, epsilon)
    return LayerScores(values, block.layers)


def score_columns(
    study: Study, setting: Setting, sweeps: Mapping[str, Sweep], root: Path | None
) -> dict[str, list[Any]]:
    """One row an image of every set: data, row, a distance a layer, score, accepted; what has no score is rejected."""
    layers = setting.weights.layers
    columns: dict[str, list[Any]] = {
        name: [] for name in ("data", "row", *(f"fssd_{layer}" for layer in layers), "score", "accepted")
    }
    for ref, sweep in sweeps.items():
        distances = distances_at(sweep, setting.epsilon)
        scores = combine(distances, setting.weights)
        columns["data"] += [title_of(ref)] * len(scores)
        columns["row"] += open_data(study, ref, root=root).rows.tolist()
        for layer in layers:
            columns[f"fssd_{layer}"] += distances.column(layer).astype(np.float64).tolist()
        columns["score"] += scores.tolist()
        columns["accepted"] += (scores >= setting.threshold).tolist()
    return columns
