"""Algorithm 1 against the authors' code, finite differences and its own laws."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from fssd_core.extractor import FeatureExtractor
from fssd_core.singularity import estimate_fss, fssd, fssd_sweep, perturb, uniform_noise
from tests import reference

PERTURBED = sorted(k for k in reference.vectors() if re.match(r"distance_.*_(sign|standardised)_", k))


@pytest.fixture(scope="module")
def extractor() -> FeatureExtractor:
    return FeatureExtractor(
        reference.tiny_lenet(), reference.LAYERS, mean=reference.MEAN, std=reference.STD, device="cpu"
    )


@pytest.mark.parametrize("kind", ["reference", "uniform"])
def test_fss_is_the_authors(extractor, kind):
    fss = estimate_fss(extractor, reference.noise(kind), batch_size=33)
    for k, layer in enumerate(reference.LAYERS):
        np.testing.assert_allclose(fss[layer].numpy(), reference.vectors()[f"fss_{kind}_{k}"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["reference", "uniform"])
@pytest.mark.parametrize("group", ["ind", "ood"])
def test_plain_distances_are_the_authors(extractor, kind, group):
    fss = estimate_fss(extractor, reference.noise(kind))
    scores = fssd(extractor, reference.pixels(group), fss)
    np.testing.assert_allclose(scores.values, reference.vectors()[f"distance_{kind}_{group}_eps0"], rtol=1e-4)


def test_there_are_perturbed_reference_vectors():
    assert len(PERTURBED) >= 8


@pytest.mark.parametrize("name", PERTURBED)
def test_perturbed_distances_are_the_references(extractor, name):
    _, kind, group, gradient, epsilon = name.split("_")
    fss = estimate_fss(extractor, reference.noise(kind))
    scores = fssd(extractor, reference.pixels(group), fss, epsilon=float(epsilon), gradient=gradient)
    expected = reference.vectors()[name]
    error = np.abs(scores.values - expected) / expected
    assert (error < 2e-3).mean() > 0.99  # rare sign flips where the gradient is about zero
    assert error.max() < 2e-2


def test_gradient_against_finite_differences(extractor):
    double = FeatureExtractor(
        reference.tiny_lenet().double(), reference.LAYERS, mean=reference.MEAN, std=reference.STD, device="cpu"
    )
    double.mean, double.std = double.mean.double(), double.std.double()
    fss = {k: v.double() for k, v in estimate_fss(double, reference.noise("uniform").double()).items()}
    image = reference.pixels("ind")[:1].double()
    for layer in reference.LAYERS:
        direction = perturb(double, image, fss, layer, epsilon=1.0) - image  # sign of the gradient
        rng = np.random.default_rng(0)
        for pixel in rng.choice(784, 40, replace=False):
            step = torch.zeros(784, dtype=torch.double)
            step[pixel] = 1e-6
            step = step.view(1, 1, 28, 28)

            def distance(x, layer=layer):
                return torch.linalg.vector_norm(double.taps(x, [layer])[layer] - fss[layer], dim=1).item()

            slope = (distance(image + step) - distance(image - step)) / 2e-6
            if abs(slope) > 1e-4:
                assert np.sign(slope) == direction.flatten()[pixel].item()


@pytest.mark.parametrize("epsilon", [0.0, 0.01, -0.03])
def test_rebatching_changes_nothing_under_sign(extractor, epsilon):
    fss = estimate_fss(extractor, reference.noise("uniform"))
    images = reference.pixels("ood")
    whole = fssd(extractor, images, fss, epsilon=epsilon).values
    for size in (1, 7, 50):
        np.testing.assert_allclose(
            fssd(extractor, images, fss, epsilon=epsilon, batch_size=size).values, whole, rtol=1e-4
        )


def test_permuting_images_permutes_scores(extractor):
    fss = estimate_fss(extractor, reference.noise("uniform"))
    images = reference.pixels("ind")
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(3))
    a = fssd(extractor, images, fss, epsilon=0.02).values[order.numpy()]
    np.testing.assert_allclose(fssd(extractor, images[order], fss, epsilon=0.02).values, a, rtol=1e-4)


def test_sweep_equals_single_runs_and_zero_is_unperturbed(extractor):
    fss = estimate_fss(extractor, reference.noise("uniform"))
    images = reference.pixels("ind")[:40]
    for gradient in ("sign", "standardised"):
        sweep = fssd_sweep(extractor, images, fss, epsilons=[0.0, 0.01, -0.01], gradient=gradient)
        assert list(sweep) == [0.0, 0.01, -0.01]
        for epsilon, scores in sweep.items():
            single = fssd(extractor, images, fss, epsilon=epsilon, gradient=gradient)
            np.testing.assert_array_equal(scores.values, single.values)


def test_small_steps_move_the_way_the_rule_says(extractor):
    fss = estimate_fss(extractor, reference.noise("uniform"))
    images = reference.pixels("ind")
    plain = fssd(extractor, images, fss).values
    away = fssd(extractor, images, fss, epsilon=1e-3, gradient="sign").values
    toward = fssd(extractor, images, fss, epsilon=1e-3, gradient="standardised").values
    assert (away > plain).mean() > 0.99
    assert (toward < plain).mean() > 0.99


def test_a_callers_no_grad_changes_nothing(extractor):
    fss = estimate_fss(extractor, reference.noise("uniform"))
    images = reference.pixels("ind")[:20]
    plain = fssd(extractor, images, fss, epsilon=0.01).values
    with torch.no_grad():
        np.testing.assert_array_equal(fssd(extractor, images, fss, epsilon=0.01).values, plain)


def test_noise_is_seeded_and_uniform():
    a = uniform_noise((1, 28, 28), 50, generator=torch.Generator().manual_seed(5))
    b = uniform_noise((1, 28, 28), 50, generator=torch.Generator().manual_seed(5))
    assert torch.equal(a, b)
    assert a.min() >= 0
    assert a.max() <= 1
    assert abs(a.mean() - 0.5) < 0.01


def test_out_of_memory_halves_the_batch_and_changes_nothing(extractor, monkeypatch):
    fss = estimate_fss(extractor, reference.noise("uniform"))
    images = reference.pixels("ind")
    whole = fssd(extractor, images, fss).values
    original, sizes = extractor.taps, []

    def small_card(batch, layers=None):
        sizes.append(len(batch))
        if len(batch) > 20:
            raise torch.OutOfMemoryError("CUDA out of memory (as a card would say)")
        return original(batch, layers)

    monkeypatch.setattr(extractor, "taps", small_card)
    np.testing.assert_allclose(fssd(extractor, images, fss, batch_size=96).values, whole, rtol=1e-5)
    assert sizes[:3] == [96, 48, 24]
    assert max(sizes[3:]) <= 12
