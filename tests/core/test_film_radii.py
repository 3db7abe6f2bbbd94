"""The radii of the centred films, and the motion measured on each of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from fssd_core.film import film_radii, make_film
from fssd_core.series import Reel
from tests.core.series import short_series


def test_the_radii_are_over_each_median_over_the_last_and_its_logarithm():
    distance = np.array([[1.0, 2.0], [4.0, 16.0]], np.float32)
    radii = film_radii(distance, np.array([2.0, 8.0], np.float32))
    np.testing.assert_allclose(radii["median"], [[0.5, 1.0], [0.5, 2.0]])
    np.testing.assert_allclose(radii["absolute"], [[0.125, 0.25], [0.5, 2.0]])
    np.testing.assert_allclose(radii["log"], np.log2([[1.5, 2.0], [3.0, 9.0]]), rtol=1e-6)
    deep = film_radii(np.array([[1.0], [1.0]], np.float32), np.array([1e-6, 1024.0], np.float32))
    np.testing.assert_allclose(deep["log"], [[1.0], [1.0]])  # the floor is a 1024th of the last median


def test_motion_is_measured_on_every_radius(tmp_path):
    reel = Reel(short_series(tmp_path), "fc1")
    made = make_film(reel, "spokes")
    assert made.angle is not None
    true = [np.linalg.norm(reel.frame(t + 1)[0] - reel.frame(t)[0], axis=1) for t in range(len(made.steps) - 1)]
    assert set(made.notes["motion_by_radius"]) == {"median", "absolute", "log"}
    for mode, radius in film_radii(made.distance, made.ind_median).items():
        drawn = radius * np.exp(1j * made.angle)
        want = [spearmanr(np.abs(b - a), moved).statistic for a, b, moved in zip(drawn, drawn[1:], true, strict=False)]
        assert made.notes["motion_by_radius"][mode] == pytest.approx(want, abs=1e-3)
    assert made.notes["motion_by_radius"]["median"] == pytest.approx(made.motion.tolist())
    assert "motion_by_radius" not in make_film(reel, "pca").notes
