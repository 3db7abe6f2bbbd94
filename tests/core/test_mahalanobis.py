"""The paper's Mahalanobis detector: exact numbers, NumPy and scikit-learn as oracles, finite differences, pooling."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.covariance import EmpiricalCovariance
from torch import nn

from fssd_core.detectors import make_detector
from fssd_core.detectors.mahalanobis import fit_gaussians
from fssd_core.detectors.reading import pooled
from fssd_core.errors import InputError
from fssd_core.extractor import FeatureExtractor
from fssd_core.runtime import threads
from tests import reference


@pytest.fixture(autouse=True)
def one_thread():
    with threads(1):
        yield


def net() -> FeatureExtractor:
    return FeatureExtractor(
        reference.tiny_lenet(), reference.LAYERS, mean=reference.MEAN, std=reference.STD, device="cpu"
    )


def labels() -> torch.Tensor:
    return torch.from_numpy(reference.vectors()["ind_label"])


def fitted(**values):
    return make_detector("mahalanobis", **values).fit(net(), reference.pixels("ind"), labels())


def test_two_classes_by_hand():
    """Means (0, 0) and (4, 0), tied covariance diag(1, 4) with 1/N: distances are (dx)^2 + (dy)^2 / 4."""
    cross = torch.tensor([[1.0, 2.0], [-1.0, 2.0], [1.0, -2.0], [-1.0, -2.0]])
    found = fit_gaussians(torch.cat([cross, cross + torch.tensor([4.0, 0.0])]), torch.tensor([0, 0, 0, 0, 1, 1, 1, 1]))
    distances = found.distances(torch.tensor([[0.0, 0.0], [4.0, 2.0], [1.0, 6.0]]))
    torch.testing.assert_close(distances, torch.tensor([[0.0, 16.0], [17.0, 1.0], [10.0, 18.0]]), rtol=1e-5, atol=1e-5)


def pooled_by_hand(group: str) -> dict[str, np.ndarray]:
    with torch.no_grad():
        maps = net().maps(reference.pixels(group))
    return {
        layer: value.double().numpy().mean(axis=(2, 3)) if value.ndim == 4 else value.double().numpy()
        for layer, value in maps.items()
    }


def test_every_layer_agrees_with_scikit_learns_covariance():
    found = fitted().scores(reference.pixels("ood"))
    assert found.layers == reference.LAYERS
    y = labels().numpy()
    ind, other = pooled_by_hand("ind"), pooled_by_hand("ood")
    for layer in reference.LAYERS:
        means = np.stack([ind[layer][y == c].mean(axis=0) for c in np.unique(y)])
        tied = EmpiricalCovariance(assume_centered=True).fit(ind[layer] - means[np.searchsorted(np.unique(y), y)])
        expected = -np.min([tied.mahalanobis(other[layer] - mean) for mean in means], axis=0)
        np.testing.assert_allclose(found.column(layer), expected, rtol=2e-3)


def test_units_that_are_never_on_are_left_out():
    """Singular covariances: zero columns and copied columns change nothing, where an inverse would be noise."""
    draws = np.random.default_rng(0)
    x = torch.tensor(draws.normal(size=(200, 3)), dtype=torch.float32)
    y = torch.arange(200) % 4
    more = torch.cat([x, torch.zeros(200, 2), x[:, :1] * 2], 1)
    points = torch.tensor(draws.normal(size=(50, 3)), dtype=torch.float32)
    wide = torch.cat([points, torch.zeros(50, 2), points[:, :1] * 2], 1)
    torch.testing.assert_close(
        fit_gaussians(more, y).distances(wide), fit_gaussians(x, y).distances(points), rtol=1e-3, atol=1e-3
    )


def test_wide_features_with_few_images_stay_finite():
    draws = torch.Generator().manual_seed(0)
    x = torch.rand(64, 512, generator=draws)
    found = fit_gaussians(x, torch.arange(64) % 8)
    assert found.whiten.shape[1] <= 64 - 8 + 1
    distances = found.distances(torch.rand(10, 512, generator=draws))
    assert torch.isfinite(distances).all()
    assert (distances >= 0).all()


def test_epsilon_moves_toward_the_nearest_class_by_the_sign_of_the_gradient():
    epsilon = 0.01
    plain, moved = fitted().scores(reference.pixels("ood")[:12]), fitted(epsilon=epsilon)
    found = moved.scores(reference.pixels("ood")[:12]).values
    detector = fitted()
    for column, layer in enumerate(reference.LAYERS):
        x = reference.pixels("ood")[:12].requires_grad_()
        score = -detector.gaussians[layer].distances(pooled(net().maps(x, [layer])[layer])).min(1).values
        (gradient,) = torch.autograd.grad(score.sum(), x)
        with torch.no_grad():
            there = x + epsilon * gradient.sign()
            expected = -detector.gaussians[layer].distances(pooled(net().maps(there, [layer])[layer])).min(1).values
        np.testing.assert_allclose(found[:, column], expected, rtol=1e-3)
    assert (found > plain.values).mean() > 0.9, "the perturbation makes images look more familiar"


def test_the_gradient_is_right_by_finite_differences():
    detector = fitted()
    draws = torch.Generator().manual_seed(1)
    # flat regions lie on the edges of max-pooling, where there is no gradient to compare with
    x = reference.pixels("ood")[:1].double() + 0.1 * torch.rand((1, 1, 28, 28), generator=draws).double()
    module = reference.tiny_lenet().double().eval()
    wide = FeatureExtractor(module, ["relu3"], mean=reference.MEAN, std=reference.STD, device="cpu")
    gaussian = detector.gaussians["relu3"]

    def score(pixels: torch.Tensor) -> torch.Tensor:
        return gaussian.distances(pooled(wide.maps(pixels, ["relu3"])["relu3"])).min(1).values

    x.requires_grad_()
    (gradient,) = torch.autograd.grad(score(x).sum(), x)
    direction = torch.rand(x.shape, generator=draws).double()
    with torch.no_grad():
        slope = (score(x + 1e-6 * direction) - score(x - 1e-6 * direction)) / 2e-6
    torch.testing.assert_close(slope.sum(), (gradient * direction).sum(), rtol=1e-4, atol=1e-6)


def test_a_sweep_is_the_single_runs():
    detector = fitted()
    swept = detector.sweep(reference.pixels("ood")[:20], [0.0, 0.005, 0.02])
    for epsilon, scores in swept.items():
        alone = detector.retuned(epsilon=epsilon).scores(reference.pixels("ood")[:20])
        np.testing.assert_allclose(scores.values, alone.values, rtol=1e-5)
    assert detector.values["epsilon"] == 0
    assert detector.passes() == (1, 0)
    assert detector.retuned(epsilon=0.02).passes() == (5, 4)


@pytest.mark.parametrize(
    ("shape", "expected"), [((2, 3), (2, 3)), ((2, 5, 3), (2, 3)), ((2, 3, 4, 5), (2, 3)), ((2, 3, 4, 5, 6), (2, 3))]
)
def test_pooling_keeps_the_channels(shape, expected):
    features = torch.arange(float(np.prod(shape))).reshape(shape)
    assert pooled(features).shape == expected
    if len(shape) == 4:
        torch.testing.assert_close(pooled(features), features.mean((2, 3)))
    if len(shape) == 3:  # tokens: averaged over them, the features stay
        torch.testing.assert_close(pooled(features), features.mean(1))


def test_bad_input_says_what_to_do():
    with pytest.raises(InputError, match=r"labels of shape \(3,\); give one label an image"):
        make_detector("mahalanobis").fit(net(), reference.pixels("ind"), labels()[:3])
    with pytest.raises(InputError, match="do not vary within the classes"):
        fit_gaussians(torch.ones(10, 4), torch.arange(10) % 2)
    with pytest.raises(InputError, match="must be fitted again to change layer"):
        make_detector("mahalanobis-plain").fit(net(), reference.pixels("ind"), labels()).retuned(layer="fc2")


def test_tokens_of_a_transformer_are_pooled(monkeypatch):
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.mix = nn.Linear(8, 6)
            self.head = nn.Linear(6, 3)

        def forward(self, x):
            return self.head(self.mix(x.flatten(2)[:, 0].unflatten(1, (2, 8))).mean(1))

    extractor = FeatureExtractor(Tokens(), ["mix", "head"], device="cpu")
    images = torch.rand(30, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    found = make_detector("mahalanobis").fit(extractor, images, torch.arange(30) % 3).scores(images)
    assert found.values.shape == (30, 2)
