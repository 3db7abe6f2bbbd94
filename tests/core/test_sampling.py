"""Deep ensembles, Monte Carlo dropout and the loss of outlier exposure: exact numbers, pytorch-ood as an oracle."""

from __future__ import annotations

import importlib.util
import math

import numpy as np
import pytest
import torch
from torch import nn

from fssd_core.detectors import DETECTORS, make_detector
from fssd_core.detectors.outlier_exposure import outlier_exposure
from fssd_core.detectors.sampling import ensemble_of
from fssd_core.errors import InputError, ModelError
from fssd_core.extractor import FeatureExtractor
from fssd_core.models import load_model
from fssd_core.models.nets import LeNet
from fssd_core.runtime import generator, threads
from fssd_core.training import build


@pytest.fixture(autouse=True)
def one_thread():
    with threads(1):
        yield


class Fixed(nn.Module):
    """Logits that do not depend on the image."""

    def __init__(self, *logits: float):
        super().__init__()
        self.fc = nn.Linear(16, len(logits))
        nn.init.zeros_(self.fc.weight)
        self.fc.bias = nn.Parameter(torch.tensor(logits))

    def forward(self, x):
        return self.fc(x.flatten(1))


def fixed(*probabilities: float) -> FeatureExtractor:
    return FeatureExtractor(Fixed(*(math.log(p) for p in probabilities)), ["fc"], device="cpu")


IMAGES = torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def test_an_ensemble_averages_the_largest_probabilities():
    """Members that are sure of different classes stay sure: (0.7 + 0.6 + 0.5) / 3, not the largest of the mean."""
    detector = ensemble_of([fixed(0.2, 0.6, 0.2), fixed(0.25, 0.25, 0.5)]).fit(fixed(0.7, 0.1, 0.2))
    np.testing.assert_allclose(detector.scores(IMAGES).values, np.full((5, 1), 0.6), rtol=1e-6)
    assert detector.passes() == (3, 0)


def test_members_are_given_by_reference_and_checked():
    demo = load_model("demo/lenet")
    images = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    same = make_detector("deep-ensemble", members="demo/lenet@900, demo/lenet@938").fit(demo.extractor(device="cpu"))
    assert same.passes() == (3, 0)
    alone = [
        make_detector("msp").fit(load_model(ref).extractor(device="cpu")).scores(images).values
        for ref in ("demo/lenet", "demo/lenet@900", "demo/lenet@938")
    ]
    np.testing.assert_allclose(same.scores(images).values, np.mean(alone, axis=0), rtol=1e-5)
    with pytest.raises(InputError, match=r"needs members besides the network itself: members=demo/lenet-member1"):
        make_detector("deep-ensemble").fit(demo.extractor(device="cpu"))
    with pytest.raises(InputError, match="0 other members were given"):
        ensemble_of([])
    with pytest.raises(ModelError, match="no model 'demo/lenett'; did you mean 'demo/lenet"):
        make_detector("deep-ensemble", members="demo/lenett").fit(demo.extractor(device="cpu"))


class OneDrop(nn.Module):
    """Two classes; the logit of the first is 4 where its unit is kept (p = 0.5 doubles it), else 0."""

    def __init__(self, p: float = 0.5, kind: type[nn.Module] = nn.Dropout):
        super().__init__()
        self.drop = kind(p)
        self.norm = nn.BatchNorm1d(1)
        self.fc = nn.Linear(1, 2, bias=False)
        self.fc.weight = nn.Parameter(torch.tensor([[1.0], [0.0]]))

    def forward(self, x):
        ones = torch.full((len(x), 1), 2.0) + 0 * x.flatten(1)[:, :1]
        return self.fc(self.norm(self.drop(ones)) * (1 + self.norm.eps) ** 0.5)


def test_dropout_averages_the_softmax_over_the_masks():
    net = FeatureExtractor(OneDrop(), ["fc"], device="cpu")
    detector = make_detector("mc-dropout", passes=4000).fit(net)
    sure = 1 / (1 + math.exp(-4))
    found = detector.scores(IMAGES).values
    np.testing.assert_allclose(found, np.full((5, 1), (sure + 0.5) / 2), atol=0.015)
    assert np.ptp(found) == 0, "one mask a pass for all images: equal images have equal scores"


def test_dropout_needs_no_batch_statistics_and_restores_everything():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = LeNet(10, (1, 28, 28), dropout=0.5).train()
    net = FeatureExtractor(module, device="cpu")
    images = torch.rand(6, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    state = torch.get_rng_state()
    detector = make_detector("mc-dropout", passes=8, seed=3).fit(net)
    found = detector.scores(images).values
    assert torch.equal(torch.get_rng_state(), state)
    assert all(m.training for m in module.modules())
    assert not any(m._forward_hooks for m in module.modules())
    # to the last digits: the size of a batch changes the order of sums
    np.testing.assert_allclose(detector.scores(images[:2]).values, found[:2], rtol=1e-6)
    other = detector.retuned(seed=4).scores(images).values
    assert not np.allclose(other, found)
    assert detector.retuned(passes=3).passes() == (3, 0)
    plain = make_detector("msp").fit(net).scores(images).values
    assert not np.allclose(plain, found, atol=1e-4)


@pytest.mark.skipif(importlib.util.find_spec("pytorch_ood") is None, reason="pytorch-ood is not installed")
def test_dropout_agrees_with_pytorch_ood_over_many_passes():
    from fssd_core.detectors.adapter import pytorch_ood

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = LeNet(10, (1, 28, 28), dropout=0.5).eval()
        images = torch.rand(4, 1, 28, 28)
        expected = -pytorch_ood().MCD(module, samples=1500, mode="mean").predict(images).numpy()
    found = make_detector("mc-dropout", passes=1500).fit(FeatureExtractor(module, device="cpu")).scores(images)
    np.testing.assert_allclose(found.values[:, 0], expected, atol=0.004)


@pytest.mark.parametrize("kind", [nn.Dropout1d, nn.Dropout2d])
def test_whole_channels_are_dropped_together(kind):
    class Channels(nn.Module):
        def __init__(self):
            super().__init__()
            self.drop = kind(0.5)
            self.fc = nn.Linear(6, 2)

        def forward(self, x):
            maps = x.flatten(1)[:, :6].unflatten(1, (2, 3) if kind is nn.Dropout1d else (2, 3, 1))
            self.seen = self.drop(maps + 1).flatten(2)
            return self.fc(self.seen.flatten(1))

    module = Channels()
    make_detector("mc-dropout", passes=20).fit(FeatureExtractor(module, ["fc"], device="cpu")).scores(IMAGES)
    dropped = module.seen == 0
    assert torch.equal(dropped.all(2), dropped.any(2))


@pytest.mark.parametrize(("arch", "shape"), [("mlp", (1, 28, 28)), ("bilstm", (1, 70, 4))])
def test_a_layer_that_is_called_twice_drops_other_units_each_time(arch, shape):
    module = build(arch, classes=3, input_shape=shape, generator=generator(0), dropout=0.5)
    seen = []
    module.dropout.register_forward_hook(lambda _module, inputs, output: seen.append(inputs[0].shape[1]))
    images = torch.rand(4, *shape, generator=generator(1))
    extractor = FeatureExtractor(module, ["logits"], device="cpu")
    found = make_detector("mc-dropout", passes=2).fit(extractor).scores(images, batch_size=2).values
    whole = make_detector("mc-dropout", passes=2).fit(extractor).scores(images).values
    np.testing.assert_allclose(found, whole, rtol=1e-5)
    assert sorted(set(seen)) == [64 if arch == "bilstm" else 128, 128 if arch == "bilstm" else 256]
    assert found.min() > 1 / 3


def test_a_network_without_dropout_is_refused():
    for module, said in ((Fixed(0.0, 1.0), "this one has none"), (OneDrop(p=0.0), "only such with p = 0")):
        with pytest.raises(InputError, match=rf"needs a network with dropout layers .*{said}; take one"):
            make_detector("mc-dropout").fit(FeatureExtractor(module, ["fc"], device="cpu"))


def test_outlier_exposure_adds_the_cross_entropy_from_uniform():
    """Weight 0.5 times (log sum exp - mean) of the auxiliary logits, beside the cross-entropy of ind."""
    module = nn.Linear(4, 3, bias=False)
    nn.init.zeros_(module.weight)
    module.weight.data[0, 0] = 2.0
    images, auxiliary = torch.eye(4)[[1, 2]], torch.eye(4)[[0]].repeat(7, 1)
    loss = outlier_exposure(auxiliary, generator=generator(0))
    plain = math.log(3)  # all logits 0
    exposed = math.log(math.exp(2) + 2) - 2 / 3
    assert loss(module, images, torch.tensor([0, 1])).item() == pytest.approx(plain + 0.5 * exposed, rel=1e-6)
    uniform = outlier_exposure(torch.eye(4)[[1]], generator=generator(0), weight=1.0)
    assert float(uniform(module, images, torch.tensor([0, 1]))) == pytest.approx(2 * plain, rel=1e-6)
    with pytest.raises(InputError, match=r"0 auxiliary images and weight 0\.5"):
        outlier_exposure(auxiliary[:0], generator=generator(0))


def test_training_with_outlier_exposure_makes_the_auxiliary_uncertain():
    from fssd_core.training import Recipe, train

    draws = torch.Generator().manual_seed(0)
    images = torch.cat([torch.rand(60, 1, 4, 4, generator=draws) * 0.3 + k * 0.4 for k in (0, 1)])
    labels = torch.arange(120) // 60
    other = torch.rand(60, 1, 4, 4, generator=draws) * 0.3 + 2.0
    confidence = {}
    for exposed in (False, True):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            module = nn.Sequential(nn.Flatten(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 2))
        options = {"loss": outlier_exposure(other, generator=generator(0))} if exposed else {}
        recipe = Recipe(epochs=100, batch_size=20, lr=1.0, gamma=1.0)
        list(train(module, images, labels, generator=generator(0), recipe=recipe, device="cpu", **options))
        with torch.no_grad():
            confidence[exposed] = float(module(other).softmax(1).max(1).values.mean())
    assert confidence[False] > 0.9
    assert confidence[True] < 0.65


def test_specs_say_what_network_they_need():
    assert {n for n, s in DETECTORS.items() if "dropout" in s.network} == {"mc-dropout"}
    assert DETECTORS["outlier-exposure"].network == "a network trained by outlier exposure"
    assert DETECTORS["deep-ensemble"].network
    assert all(spec.fails for spec in DETECTORS.values())
