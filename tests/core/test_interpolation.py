"""Errors of interpolated distances: exact small numbers, odd input, and the demo's own sweep."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import PchipInterpolator

from fssd_core.data import load_data
from fssd_core.errors import InputError
from fssd_core.interpolation import InterpolationError, interpolation_error
from fssd_core.models import load_model
from fssd_core.runtime import generator
from fssd_core.singularity import estimate_fss, fssd_sweep, uniform_noise
from fssd_core.types import LayerScores

LAYERS = ("a", "b")


def test_worked_numbers() -> None:
    exact = LayerScores(np.array([[1, 2], [4, 8], [10, 20]], np.float32), LAYERS)
    given = [[1.0, 2.0], [4.4, 8.0], [10.0, 15.0]]
    assert interpolation_error(given, exact) == InterpolationError(0.0, 0.25, "b", 3)
    assert interpolation_error([[0.9, 2.4], [4.4, 8.8], [9, 20]], exact).median == pytest.approx(0.1)


def test_zero_distances() -> None:
    exact = LayerScores(np.zeros((2, 2), np.float32), LAYERS)
    assert interpolation_error(np.zeros((2, 2)), exact).worst == 0
    assert interpolation_error([[0, 0], [0, 1e-9]], exact).worst == np.inf


@pytest.mark.parametrize(
    ("given", "words"), [(np.ones((1, 2)), "agree"), (np.full((2, 2), np.nan), "not finite"), (np.ones(4), "agree")]
)
def test_what_does_not_fit_is_refused(given: np.ndarray, words: str) -> None:
    with pytest.raises(InputError, match=words):
        interpolation_error(given, LayerScores(np.ones((2, 2), np.float32), LAYERS))
    with pytest.raises(InputError, match="agree"):
        interpolation_error(np.ones((0, 2)), LayerScores(np.ones((0, 2), np.float32), LAYERS))


def test_the_sweeps_knots_are_close_enough_on_the_demos_network() -> None:
    """Between the knots that the dashboard uses no distance of these images errs by as much as a twentieth."""
    from fssd_core.demo import KNOTS

    model = load_model("demo/lenet")
    extractor = model.extractor(device="cpu")
    fss = estimate_fss(extractor, uniform_noise(model.input_shape, 100, generator=generator(0)))
    images = load_data("fmnist:test").tensor(np.arange(40))
    middles = [0.004, 0.013, 0.03, 0.07, 0.15]
    sweep = fssd_sweep(extractor, images, fss, epsilons=[*KNOTS, *middles])
    between = PchipInterpolator(KNOTS, np.stack([sweep[k].values.astype(np.float64) for k in KNOTS]), axis=0)
    errors = [interpolation_error(between(e), sweep[e]) for e in middles]
    assert max(e.median for e in errors) < 0.005
    assert max(e.worst for e in errors) < 0.05
    assert interpolation_error(between(0.02), sweep[0.02]).worst < 1e-6
