"""The binned density against scipy's exact one."""

from __future__ import annotations

import numpy as np
import pytest

from fssd_core.densities import binned_density
from fssd_core.summary import density


@pytest.mark.parametrize("count", [2, 30, 2000])
@pytest.mark.parametrize("kind", ["gamma", "two humps", "outlier"])
def test_it_is_the_exact_density(count, kind):
    rng = np.random.default_rng(count)
    sample = rng.gamma(3, 2, size=count)
    if kind == "two humps":
        sample[: count // 2] += 30
    if kind == "outlier":
        sample[0] = 500
    low, high = sample.min() - 5, sample.max() + 5
    grid, exact = density(sample, low=low, high=high, points=240)
    same, found = binned_density(sample, low=low, high=high, points=240)
    np.testing.assert_array_equal(same, grid)
    if sample.std(ddof=1) * count**-0.2 > (high - low) / 240:  # else both are a spike narrower than the grid
        assert np.abs(found - exact).max() < 0.01 * exact.max()


def test_all_of_it_is_under_the_curve_and_nothing_outside_the_grid_counts():
    sample = np.random.default_rng(0).normal(3, 0.5, size=500)
    grid, found = binned_density(sample, low=0, high=6, points=600)
    assert found.sum() * (grid[1] - grid[0]) == pytest.approx(1, abs=1e-3)
    assert binned_density(sample, low=100, high=200)[1].max() == 0


def test_constant_empty_and_not_finite_samples():
    grid, spike = binned_density(np.full(20, 2.0), low=0, high=4, points=401)
    assert grid[spike.argmax()] == pytest.approx(2, abs=0.02)
    assert spike.sum() * (grid[1] - grid[0]) == pytest.approx(1, abs=0.05)
    assert binned_density(np.array([]), low=0, high=1)[1].max() == 0
    with_nan = binned_density(np.array([1.0, 2, np.nan, 3, np.inf]), low=0, high=4)[1]
    np.testing.assert_array_equal(with_nan, binned_density(np.array([1.0, 2, 3]), low=0, high=4)[1])
