"""Paired differences against resampled metrics, and what pairing buys."""

from __future__ import annotations

import numpy as np
import pytest

from fssd_core.errors import FssdError, InputError
from fssd_core.metrics import metrics
from fssd_core.paired import COMPARED, Difference, paired_differences


def settings(seed: int = 0) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    ind, ood = rng.normal(1.3, 1, 120), rng.normal(0, 1, 90)
    return (ind, ood), (ind + rng.normal(0, 0.4, 120), np.round(ood + rng.normal(0, 0.4, 90), 1))


def test_the_interval_is_that_of_metrics_on_the_same_draws() -> None:
    first, second = settings()
    found = paired_differences(first, second, samples=80, generator=np.random.default_rng(4))
    rng = np.random.default_rng(4)
    drawn: dict[str, list[float]] = {name: [] for name in COMPARED}
    for _ in range(80):
        i, j = rng.integers(0, 120, 120), rng.integers(0, 90, 90)
        a, b = (metrics(ind[i], ood[j]) for ind, ood in (first, second))
        for name, values in drawn.items():
            values.append(getattr(a, name) - getattr(b, name))
    for name, difference in found.items():
        assert (difference.first, difference.second) == (
            getattr(metrics(*first), name),
            getattr(metrics(*second), name),
        )
        np.testing.assert_allclose((difference.low, difference.high), np.quantile(drawn[name], [0.025, 0.975]))


def test_equal_settings_differ_by_nothing_in_every_draw() -> None:
    first, _ = settings(1)
    scaled = tuple(3 * side + 2 for side in first)  # the same ranking
    for difference in paired_differences(first, scaled, samples=50, generator=np.random.default_rng(0)).values():
        assert (difference.value, difference.low, difference.high, difference.decided) == (0, 0, 0, False)


def test_swapping_the_settings_turns_the_sign() -> None:
    first, second = settings(2)
    there, back = (
        paired_differences(*pair, samples=60, generator=np.random.default_rng(7))
        for pair in ((first, second), (second, first))
    )
    for name in COMPARED:
        assert there[name].value == -back[name].value
        assert there[name].low == pytest.approx(-back[name].high)


def test_pairing_decides_what_two_separate_intervals_cannot() -> None:
    from fssd_core.metrics import bootstrap

    rng = np.random.default_rng(3)
    ind, ood = rng.normal(1.0, 1, 400), rng.normal(0, 1, 400)
    worse = ind - 0.15, ood  # every ind image a little lower: surely worse, by less than either interval's width
    found = paired_differences((ind, ood), worse, names=["auroc"], samples=300, generator=rng)["auroc"]
    assert found.decided
    apart = [bootstrap(*pair, samples=300, generator=np.random.default_rng(1)) for pair in ((ind, ood), worse)]
    assert apart[0][0] < apart[1][1], "the separate intervals overlap"


def test_decided_means_without_zero() -> None:
    assert Difference(0.9, 0.8, 0.05, 0.15).decided
    assert Difference(0.8, 0.9, -0.15, -0.05).decided
    assert not Difference(0.9, 0.89, -0.01, 0.03).decided


def test_other_images_and_unknown_numbers_are_refused() -> None:
    first, second = settings()
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="same images"):
        paired_differences(first, (second[0][:5], second[1]), generator=rng)
    with pytest.raises(FssdError, match="auroc"):
        paired_differences(first, second, names=["aurok"], generator=rng)
    with pytest.raises(InputError, match="0 samples"):
        paired_differences(first, second, samples=0, generator=rng)
