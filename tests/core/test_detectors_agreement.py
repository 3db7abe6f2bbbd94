"""Each detector taken from pytorch-ood against pytorch-ood called directly, by hand, on the tiny network."""

from __future__ import annotations

import importlib.util
from functools import cache

import numpy as np
import pytest
import torch

if importlib.util.find_spec("pytorch_ood") is None:
    pytest.skip("pytorch-ood is not installed", allow_module_level=True)

from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from fssd_core.detectors import DETECTORS, make_detector
from fssd_core.detectors.adapter import pytorch_ood
from fssd_core.errors import InputError
from fssd_core.extractor import FeatureExtractor
from fssd_core.models import load_model
from fssd_core.models.nets import MLP, CifarResNet
from fssd_core.runtime import threads
from tests import reference

ood = pytorch_ood()
# a detector that is not compared here, and why
ELSEWHERE = {
    *("fssd", "fssd-ood-free", "feature-norm", "mahalanobis", "deep-ensemble", "mc-dropout"),  # our own: elsewhere
}


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny networks: more threads only wait for each other."""
    with threads(1):
        yield


def normalised(group: str) -> torch.Tensor:
    return (reference.pixels(group) - reference.MEAN[0]) / reference.STD[0]


@cache
def by_hand(group: str) -> tuple[torch.Tensor, torch.Tensor]:
    """(features before the last layer (96, 64), logits (96, 10)), without our code."""
    net = reference.tiny_lenet().eval()
    with torch.no_grad():
        x = net.pool2(net.relu2(net.conv2(net.pool1(net.relu1(net.conv1(normalised(group)))))))
        features = net.relu3(net.fc1(x.flatten(1)))
        return features, net.fc2(features)


def labels() -> torch.Tensor:
    return torch.from_numpy(reference.vectors()["ind_label"])


def head() -> nn.Linear:
    return reference.tiny_lenet().eval().fc2


def maps(group: str) -> torch.Tensor:
    return by_hand(group)[0][:, :, None, None]


def flat_head() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), head())


def loader() -> DataLoader:
    return DataLoader(TensorDataset(normalised("ind"), labels()), batch_size=96, generator=torch.Generator())


def from_logits(detector, *, fit: bool = False):
    if fit:
        detector.fit_logits(by_hand("ind")[1], labels())
    return detector.predict_logits(by_hand("ood")[1])


def from_features(detector, *, fit: bool = True):
    if fit:
        detector.fit_features(by_hand("ind")[0], labels())
    return detector.predict_features(by_hand("ood")[0])


def from_maps(detector, *, fit: bool = True):
    if fit:
        detector.fit_feature_maps(maps("ind"), labels())
    return detector.predict_feature_maps(maps("ood"))


def openmax():
    """With a row of every predicted class among the scored ones: without, the package's scores depend on the batch."""
    detector = ood.OpenMax(None).fit_logits(by_hand("ind")[1], labels())
    return detector.predict_logits(torch.cat([by_hand("ood")[1], torch.eye(10)]))[:96]


def odin():
    class Pixels(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = reference.tiny_lenet().eval()

        def forward(self, x):
            return self.net((x - reference.MEAN[0]) / reference.STD[0])

    return ood.ODIN(Pixels(), eps=0.0014, temperature=1000.0).predict(reference.pixels("ood"))


def gram():
    net = reference.tiny_lenet().eval()
    first = nn.Sequential(net.conv1, net.relu1, net.pool1)
    second = nn.Sequential(net.conv2, net.relu2, net.pool2)
    chain = [first, second, nn.Sequential(nn.Flatten(), net.fc1, net.relu3), net.fc2]
    detector = ood.Gram(nn.Identity(), chain, 10, num_poles_list=[1, 2, 3, 4, 5])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        detector.to("cpu").fit(loader())
    return detector.predict(normalised("ood"))


def rankfeat():
    net = reference.tiny_lenet().eval()
    back = nn.Sequential(net.conv1, net.relu1, net.pool1, net.conv2, net.relu2, net.pool2)
    front = nn.Sequential(nn.Flatten(), net.fc1, net.relu3, net.fc2)
    return ood.RankFeat(back, front).predict(normalised("ood"))


def nac():
    net = reference.tiny_lenet().eval()
    detector = ood.NACUE(net, [net.pool1, net.pool2, net.relu3]).fit(loader())
    return detector.predict(normalised("ood"))


def only_weights(name: str) -> bool:
    return name == "weight"


DIRECT = {
    "msp": lambda: from_logits(ood.MaxSoftmax(None)),
    "outlier-exposure": lambda: from_logits(ood.MaxSoftmax(None)),
    "odin": odin,
    "energy": lambda: from_logits(ood.EnergyBased(None)),
    "max-logit": lambda: from_logits(ood.MaxLogit(None)),
    "gen": lambda: from_logits(ood.GEN(None)),
    "entropy": lambda: from_logits(ood.Entropy(None)),
    "kl-matching": lambda: from_logits(ood.KLMatching(None), fit=True),
    "openmax": openmax,
    "knn": lambda: from_features(ood.KNN(None, k=50)),
    "vim": lambda: from_features(ood.ViM(None, d=32, w=head().weight, b=head().bias)),
    "react": lambda: from_maps(ood.ReAct(None, flat_head())),
    "ash": lambda: from_maps(ood.ASH(None, flat_head()), fit=False),
    "scale": lambda: from_maps(ood.SCALE(None, flat_head()), fit=False),
    "lts": lambda: from_features(ood.LTS(None, head()), fit=False),
    "vra": lambda: from_maps(ood.VRA(None, flat_head())),
    "she": lambda: from_features(ood.SHE(None, head())),
    "fdbd": lambda: from_features(ood.fDBD(None, head())),
    "nnguide": lambda: from_features(ood.NNGuide(None, head())),
    "rmd": lambda: from_features(ood.RMD(None)),
    "mahalanobis-plain": lambda: from_features(ood.Mahalanobis(None)),
    "gmm": lambda: from_features(ood.GMM(None, reg=1e-3)),
    "dice": lambda: from_features(ood.DICE(None, w=head().weight, b=head().bias, p=0.5)),
    "nci": lambda: from_features(ood.NCI(None, head())),
    "pnml": lambda: from_features(ood.PNML(None, head())),
    "gradnorm": lambda: ood.GradNorm(head(), param_filter=only_weights).predict(by_hand("ood")[0]),
    "grad-uncertainty": lambda: ood.GradUncertainty(head(), param_filter=only_weights).predict(by_hand("ood")[0]),
    "gram": gram,
    "rankfeat": rankfeat,
    "nac": nac,
}


def test_every_detector_of_the_table_is_compared():
    assert set(DIRECT) | ELSEWHERE == set(DETECTORS)
    assert all(DETECTORS[name].package == "pytorch-ood" for name in DIRECT)


@pytest.mark.parametrize("name", DIRECT)
def test_scores_are_pytorch_oods_with_the_sign_turned(name):
    net = FeatureExtractor(
        reference.tiny_lenet(), ("pool1", "pool2", "relu3", "fc2"), mean=reference.MEAN, std=reference.STD, device="cpu"
    )
    detector = make_detector(name).fit(net, reference.pixels("ind"), labels())
    found = detector.scores(reference.pixels("ood")).values[:, 0]
    with torch.enable_grad():
        expected = -DIRECT[name]().detach().numpy().astype(np.float64)
    assert np.ptp(expected) > 0
    if name in ("odin", "nac"):  # a gradient of almost 0 has a sign, and a state a bin, that are rounding alone
        assert (np.abs(found - expected) < 1e-4 * np.abs(expected)).mean() > 0.95
    else:
        scale = np.abs(expected).max()
        np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-5 * scale)


def test_openmax_of_the_package_depends_on_the_batch_and_ours_does_not():
    """The fault we work round: distances are measured to the classes predicted in the batch alone."""
    logits = by_hand("ood")[1]
    direct = ood.OpenMax(None).fit_logits(by_hand("ind")[1], labels())
    alone = torch.cat([direct.predict_logits(row[None]) for row in logits[:20]])
    assert not torch.allclose(alone, direct.predict_logits(logits)[:20], atol=1e-3)


# every architecture, every detector


CONV = {"rankfeat"}  # needs feature maps


@pytest.fixture(scope="module")
def small_sets() -> dict[str, tuple[FeatureExtractor, torch.Tensor, torch.Tensor]]:
    """By network: extractor, 40 images, their labels; fresh weights, for what is asked is whether it runs."""
    draws = torch.Generator().manual_seed(0)
    found = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        nets = {
            "lenet": (load_model("demo/lenet").module, (1, 28, 28)),
            "mlp": (MLP(10, (1, 28, 28)), (1, 28, 28)),
            "resnet": (CifarResNet(10, (3, 32, 32), depth=8), (3, 32, 32)),
        }
    for name, (module, shape) in nets.items():
        images = torch.rand((40, *shape), generator=draws)
        found[name] = (FeatureExtractor(module, device="cpu"), images, torch.arange(40) % 10)
    return found


@pytest.mark.parametrize("arch", ["lenet", "mlp", "resnet"])
def test_every_detector_runs_on_every_kind_of_network(arch, small_sets):
    net, images, classes = small_sets[arch]
    for name, spec in DETECTORS.items():
        values = {"knn": {"k": 3}, "deep-ensemble": {"members": "demo/lenet"}}.get(name, {})
        detector = spec.make(**values)
        given = {"noise": images[:5]}
        if name == "mc-dropout" or (arch == "mlp" and name in CONV):
            with pytest.raises(InputError, match=r"needs a (network with dropout|layer of feature maps)"):
                detector.fit(net, images, classes, **given)
            continue
        if name == "deep-ensemble" and arch == "resnet":
            continue  # the member is for other images
        if name == "she":  # every class needs an image that is classified right: only a trained network has them
            with pytest.raises(InputError, match=r"every class must occur|No correct predictions"):
                detector.fit(net, images, classes, **given)
            continue
        scores = detector.fit(net, images, classes, **given).scores(images[:7])
        assert scores.values.shape == (7, len(net.layers) if spec.columns == "one a layer" else 1), name
        assert np.isfinite(scores.values).all(), name
        assert len(detector.passes()) == 2


def test_a_network_that_does_not_end_in_a_linear_layer_is_refused():
    class WithSoftmax(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1 = nn.Linear(16, 8)
            self.fc2 = nn.Linear(8, 3)

        def forward(self, x):
            return self.fc2(torch.relu(self.fc1(x.flatten(1)))).log_softmax(1)

    net = FeatureExtractor(WithSoftmax(), ["fc1"], device="cpu")
    images = torch.rand(12, 1, 4, 4)
    with pytest.raises(InputError, match="reads the features before the last linear layer, and this network does not"):
        make_detector("vim").fit(net, images, torch.arange(12) % 3)
    found = make_detector("mahalanobis-plain", layer="fc1").fit(net, images, torch.arange(12) % 3).scores(images)
    assert found.values.shape == (12, 1)
