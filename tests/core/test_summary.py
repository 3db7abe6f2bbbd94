from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import trapezoid
from sklearn.metrics import roc_auc_score

from fssd_core.summary import density, summarise, verdict
from fssd_core.types import Faithfulness, PointGroup, Projection


def projection_of(**groups: list[float]) -> Projection:
    members, start = [], 0
    for name, values in groups.items():
        kind = name if name in ("ind", "noise") else "ood"
        members.append(PointGroup(name, kind, start, start + len(values), np.arange(len(values))))
        start += len(values)
    distance = np.concatenate([np.asarray(v, np.float32) for v in groups.values()])
    return Projection(
        "pca", "fc1", np.zeros((start, 2), np.float32), np.zeros(2, np.float32), distance, tuple(members),
        np.full(start, -1, np.int16), Faithfulness(1.0, 1.0, 1.0),
    )  # fmt: skip


def test_summary_of_hand_set_distances():
    ind, near, noise = summarise(projection_of(ind=[2, 4, 6], near=[1, 1, 4], noise=[0.5]))
    assert (ind.name, ind.kind, ind.count, ind.mean, ind.median, ind.ratio, ind.auroc) == (
        "ind", "ind", 3, 4.0, 4.0, 1.0, None,
    )  # fmt: skip
    assert near.ratio == pytest.approx(0.5)
    assert near.auroc == roc_auc_score([1, 1, 1, 0, 0, 0], [2, 4, 6, 1, 1, 4])
    assert noise.auroc == 1.0


def test_density_integrates_to_one_and_peaks_where_the_sample_is():
    values = np.random.default_rng(0).normal(3, 0.5, 2000)
    grid, height = density(values, low=0, high=6)
    assert trapezoid(height, grid) == pytest.approx(1, abs=1e-3)
    assert grid[height.argmax()] == pytest.approx(3, abs=0.2)


@pytest.mark.parametrize("values", [[2.0], [2.0, 2.0, 2.0]])
def test_density_of_a_constant_sample_is_a_spike(values):
    grid, height = density(np.array(values), low=0, high=4)
    assert np.isfinite(height).all()
    assert grid[height.argmax()] == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.1, "theory fails: farther"),
        (0.5, "theory fails: no better than chance"),
        (0.7, "weakly"),
        (0.9, "well"),
        (0.99, "nearly all"),
    ],
)
def test_verdict_names_the_case(value, words):
    assert words in verdict(value)
