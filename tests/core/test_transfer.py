"""The transfer matrix against direct calculation, and its sentence."""

from __future__ import annotations

import numpy as np
import pytest

from fssd_core import ensemble
from fssd_core.metrics import auroc
from fssd_core.study import Study, compare
from fssd_core.transfer import in_words, transfer
from fssd_core.types import LayerScores


def scores(mean: tuple[float, float], seed: int, count: int = 400) -> LayerScores:
    return LayerScores(np.random.default_rng(seed).normal(mean, 1, (count, 2)), ("a", "b"))


@pytest.fixture
def comparisons():
    study = Study(ood=("low", "high"))
    ind = scores((5, 5), 0)
    return {name: compare(study, name, ind, scores(mean, i), fit=100) for i, (name, mean) in
            enumerate([("low", (2, 5)), ("high", (8, 5))], 1)}  # fmt: skip


def test_every_cell_is_the_auroc_of_its_weights_on_its_sets_test_rows(comparisons):
    result = transfer(comparisons)
    assert result.rules == ("uniform", "standardised", "logistic on low", "logistic on high")
    assert result.tested == ("low", "high")
    for r, weights in enumerate(result.weights):
        for t, c in enumerate(comparisons.values()):
            assert result.auroc[r, t] == auroc(
                ensemble.combine(c.test_ind, weights), ensemble.combine(c.test_ood, weights)
            )
    assert result.own.tolist() == [[False, False], [False, False], [True, False], [False, True]]


def test_opposite_sets_are_told_not_to_transfer(comparisons):
    result = transfer(comparisons)
    assert result.auroc[2, 0] > 0.95
    assert result.auroc[2, 1] < 0.1
    assert "do not transfer" in in_words(result)
    assert f"{result.auroc[2:][~result.own[2:]].min():.3f}" in in_words(result)


def test_equal_sets_transfer_and_one_set_says_nothing(comparisons):
    low = comparisons["low"]
    assert "Weights transfer on these sets" in in_words(transfer({"low": low, "again": low}))
    assert "choose a second one" in in_words(transfer({"low": low}))
