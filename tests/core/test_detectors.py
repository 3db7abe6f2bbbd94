"""Contract of every detector in the table, the baselines against pytorch-ood called directly, declared parameters."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys

import numpy as np
import pytest
import torch

from fssd_core.detectors import DETECTORS, DetectorSpec, Parameter, make_detector
from fssd_core.detectors.adapter import PixelNetwork, adapted, pytorch_ood
from fssd_core.errors import CancelledError, FssdError, InputError, ModelError
from fssd_core.extractor import FeatureExtractor
from fssd_core.metrics import auroc
from fssd_core.runtime import threads
from fssd_core.singularity import estimate_fss, fssd
from tests import reference

HAS_PYTORCH_OOD = importlib.util.find_spec("pytorch_ood") is not None
needs_pytorch_ood = pytest.mark.skipif(not HAS_PYTORCH_OOD, reason="pytorch-ood is not installed")


every_detector = pytest.mark.parametrize(
    "spec",
    [
        pytest.param(spec, id=name, marks=[needs_pytorch_ood] if spec.package == "pytorch-ood" else [])
        for name, spec in DETECTORS.items()
    ],
)


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny networks: more threads only wait for each other."""
    with threads(1):
        yield


def extractor(layers=reference.LAYERS, *, dropout: bool = False) -> FeatureExtractor:
    module = reference.tiny_lenet()
    if dropout:
        module.relu3 = torch.nn.Sequential(module.relu3, torch.nn.Dropout(0.2))
    return FeatureExtractor(module, layers, mean=reference.MEAN, std=reference.STD, device="cpu")


# what has no default, or a default for more than 96 training images
NEEDED = {"deep-ensemble": {"members": "demo/lenet"}, "knn": {"k": 5}}


def extractor_for(spec: DetectorSpec) -> FeatureExtractor:
    """A network with what the detector asks of it."""
    return extractor(dropout=spec.network == "dropout layers")


def labels() -> torch.Tensor:
    return torch.from_numpy(reference.vectors()["ind_label"])


def fitted(spec: DetectorSpec, net: FeatureExtractor | None = None, **values):
    return spec.make(**NEEDED.get(spec.name, {}), **values).fit(
        net or extractor_for(spec), reference.pixels("ind"), labels(), noise=reference.noise("uniform")
    )


def direct_logits(group: str) -> torch.Tensor:
    """The network called by hand on normalised inputs."""
    with torch.no_grad():
        return reference.tiny_lenet().eval()((reference.pixels(group) - reference.MEAN[0]) / reference.STD[0])


def test_the_table_names_its_entries():
    assert {"fssd", "msp", "energy", "feature-norm"} <= set(DETECTORS)
    for name, spec in DETECTORS.items():
        assert spec.name == name
        assert all([spec.title, spec.reference, spec.cost, spec.columns])
        assert set(spec.uses) <= {"ind", "labels", "noise"}
        for parameter in spec.parameters:
            assert parameter.check(parameter.default) == parameter.default
            assert parameter.parse(str(parameter.default)) == parameter.default
            assert parameter.help


@every_detector
def test_scores_are_finite_float32_columns(spec):
    net = extractor_for(spec)
    detector = spec.make(**NEEDED.get(spec.name, {}))
    assert detector.fit(net, reference.pixels("ind"), labels(), noise=reference.noise("uniform")) is detector
    scores = detector.scores(reference.pixels("ind"))
    assert scores.values.dtype == np.float32
    assert np.isfinite(scores.values).all()
    assert scores.layers == (net.layers if spec.columns == "one a layer" else (spec.name,))
    assert scores.values.shape == (96, len(scores.layers))
    assert np.ptp(scores.values, axis=0).min() > 0


@every_detector
def test_batches_and_order_change_nothing(spec):
    detector = fitted(spec)
    images = reference.pixels("ood")
    whole = detector.scores(images).values
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(detector.scores(images, batch_size=7).values, whole, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(detector.scores(images[order]).values, whole[order.numpy()], rtol=1e-5, atol=1e-6)


@every_detector
@pytest.mark.parametrize("training", [True, False])
def test_the_network_and_global_state_are_left_alone(spec, training):
    net = extractor_for(spec)
    net.module.train(training)
    for number, parameter in enumerate(net.module.parameters()):
        parameter.requires_grad_(number % 2 == 0)
    weights = {k: v.clone() for k, v in net.module.state_dict().items()}
    images = reference.pixels("ood")[:8]
    before = images.clone()
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    fitted(spec, net).scores(images)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert (np.random.get_state()[1] == numpy_state).all()  # noqa: NPY002
    assert torch.is_grad_enabled()
    assert torch.equal(images, before)
    assert not images.requires_grad
    assert all(module.training is training for module in net.module.modules())
    assert [p.requires_grad for p in net.module.parameters()] == [n % 2 == 0 for n in range(8)]
    assert all(p.grad is None for p in net.module.parameters())
    assert all(torch.equal(value, weights[k]) for k, value in net.module.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.module.modules())


@every_detector
def test_bad_use_says_what_to_do(spec):
    images = reference.pixels("ind")[:4]
    with pytest.raises(InputError, match=rf"{spec.name}.*is not fitted yet; call fit"):
        spec.make().scores(images)
    with pytest.raises(InputError, match=rf"detector '{spec.name}' has no parameter 'epsilom'"):
        spec.make(epsilom=0.1)
    for need in spec.uses:
        given = {"ind": images, "labels": labels()[:4], "noise": images} | {need: None}
        with pytest.raises(InputError, match=rf"is fitted on .*; give {need}="):
            spec.make().fit(extractor(), **given)
    detector = fitted(spec)
    with pytest.raises(InputError, match="0 images were given"):
        detector.scores(images[:0])
    with pytest.raises(ModelError, match=r"do not fit this model|channels"):
        detector.scores(torch.zeros(2, 3, 28, 28))
    with pytest.raises(ModelError, match=r"give float \(N, C, H, W\)"):
        detector.scores(torch.zeros(2, 1, 28, 28, dtype=torch.uint8))
    with pytest.raises(ModelError, match=r"2 of 4 images have .* not finite"):
        detector.scores(torch.cat([images[:2], torch.full((2, 1, 28, 28), torch.nan)]))


@every_detector
def test_progress_is_told_and_can_cancel(spec):
    told: list[tuple[int, int]] = []
    detector = fitted(spec)
    detector.scores(
        reference.pixels("ind"), batch_size=40, progress=lambda done, total, what: told.append((done, total))
    )
    assert told == [(0, 96), (40, 96), (80, 96), (96, 96)]

    def stop(done: int, total: int, what: str) -> None:
        if done:
            raise CancelledError("stopped")

    with pytest.raises(CancelledError):
        detector.scores(reference.pixels("ind"), batch_size=40, progress=stop)


def test_unknown_names_get_a_suggestion():
    with pytest.raises(InputError, match="no detector 'energie'; did you mean 'energy'"):
        make_detector("energie")
    with pytest.raises(InputError, match="no parameter 'epsilom'; did you mean 'epsilon'"):
        make_detector("fssd", epsilom=0.1)
    with pytest.raises(InputError, match="no gradient 'sing'; did you mean 'sign'"):
        make_detector("fssd", gradient="sing")


@pytest.mark.parametrize(
    "values", [{}, {"epsilon": 0.01}, {"epsilon": -0.01}, {"epsilon": 0.01, "gradient": "standardised"}]
)
def test_fssd_respects_its_parameters(values):
    net = extractor()
    found = fitted(DETECTORS["fssd"], net, **values).scores(reference.pixels("ood"))
    expected = fssd(net, reference.pixels("ood"), estimate_fss(net, reference.noise("uniform")), **values)
    assert np.array_equal(found.values, expected.values)
    with torch.no_grad():  # the caller's mode must not matter
        again = fitted(DETECTORS["fssd"], net, **values).scores(reference.pixels("ood"))
    assert np.array_equal(again.values, expected.values)
    if values:
        plain = fitted(DETECTORS["fssd"], net).scores(reference.pixels("ood"))
        assert not np.allclose(found.values, plain.values, rtol=1e-4)


def test_fssd_is_the_authors_distance():
    scores = fitted(DETECTORS["fssd"]).scores(reference.pixels("ind"))
    np.testing.assert_allclose(scores.values, reference.vectors()["distance_uniform_ind_eps0"], rtol=1e-4)


def test_feature_norm_is_the_length_of_the_features():
    scores = fitted(DETECTORS["feature-norm"]).scores(reference.pixels("ind"))
    expected = np.linalg.norm(reference.vectors()["logits_ind"].astype(float), axis=1)
    np.testing.assert_allclose(scores.values[:, 0], expected, rtol=1e-4)
    conv = fitted(DETECTORS["feature-norm"], layer="pool1").scores(reference.pixels("ind"))
    features = extractor().features(reference.pixels("ind"))["pool1"].double().numpy()
    np.testing.assert_allclose(conv.values[:, 0], np.linalg.norm(features, axis=1), rtol=1e-5)
    with pytest.raises(InputError, match="no layer 'pool9' is read; did you mean 'pool"):
        fitted(DETECTORS["feature-norm"], layer="pool9")


@needs_pytorch_ood
@pytest.mark.parametrize("temperature", [1.0, 10.0])
def test_msp_and_energy_are_pytorch_oods_with_the_sign_turned(temperature):
    logits = direct_logits("ind")
    found = {
        name: fitted(DETECTORS[name], temperature=temperature).scores(reference.pixels("ind")).values[:, 0]
        for name in ("msp", "energy")
    }
    for name, direct in (("msp", pytorch_ood().MaxSoftmax), ("energy", pytorch_ood().EnergyBased)):
        np.testing.assert_allclose(found[name], -direct(None, t=temperature).predict_logits(logits).numpy(), rtol=1e-5)
    scaled = logits.double() / temperature
    np.testing.assert_allclose(found["msp"], scaled.softmax(1).max(1).values, rtol=1e-4)
    np.testing.assert_allclose(found["energy"], temperature * scaled.exp().sum(1).log(), rtol=1e-4)


@every_detector
def test_ind_scores_higher_than_blank_images(spec):
    """The sign: trained images against constant grey, which no layer of a trained network takes for clothes."""
    detector = fitted(spec)
    grey = torch.linspace(0.3, 0.7, 32).view(-1, 1, 1, 1).expand(-1, 1, 28, 28).contiguous()
    ind, ood = detector.scores(reference.pixels("ind")), detector.scores(grey)
    assert auroc(ind.values[:, -1], ood.values[:, -1]) > 0.8


# the adapter, on kinds of pytorch-ood detectors that are not in the table


def adapted_spec(reads, make, *, parameters=()):
    return DetectorSpec("x", "t", "r", "c", "one", (), tuple(parameters), adapted(make, reads), "pytorch-ood")


@needs_pytorch_ood
def test_adapter_fits_feature_detectors():
    layer = Parameter("layer", "layer", "", "features")
    spec = adapted_spec("features", lambda ood, network, net, v: ood.KNN(None, k=5), parameters=[layer])
    found = fitted(spec, layer="relu3").scores(reference.pixels("ood"), batch_size=30).values[:, 0]
    features = {group: extractor().features(reference.pixels(group))["relu3"] for group in ("ind", "ood")}
    direct = pytorch_ood().KNN(None, k=5).fit_features(features["ind"], labels())
    np.testing.assert_allclose(found, -direct.predict_features(features["ood"]).numpy(), rtol=1e-4, atol=1e-6)
    with pytest.raises(InputError, match=r"cannot be fitted on these images.*k=500"):
        fitted(adapted_spec("features", lambda ood, network, net, v: ood.KNN(None, k=500)))
    with pytest.raises(InputError, match="fitted on ind and labels"):
        spec.make().fit(extractor())


@needs_pytorch_ood
def test_adapter_fits_logit_detectors():
    spec = adapted_spec("logits", lambda ood, network, net, v: ood.KLMatching(None))
    classes = direct_logits("ind").argmax(1)  # every predicted class must occur
    detector = spec.make().fit(extractor(), reference.pixels("ind"), classes)
    direct = pytorch_ood().KLMatching(None).fit_logits(direct_logits("ind"), classes)
    expected = -direct.predict_logits(direct_logits("ood")).numpy()
    np.testing.assert_allclose(detector.scores(reference.pixels("ood")).values[:, 0], expected, rtol=1e-3, atol=1e-5)


@needs_pytorch_ood
def test_adapter_runs_gradient_detectors_in_pixels_and_leaves_the_network_alone():
    spec = adapted_spec("model", lambda ood, network, net, v: ood.ODIN(network, eps=0.01, temperature=100.0))
    net = extractor()
    net.module.train()
    with torch.no_grad():  # the caller's mode must not matter
        found = fitted(spec, net).scores(reference.pixels("ood"), batch_size=50).values[:, 0]
    assert net.module.training
    x = reference.pixels("ood").requires_grad_()
    whole = reference.tiny_lenet().eval()

    def logits(pixels):
        return whole((pixels - reference.MEAN[0]) / reference.STD[0]) / 100

    plain = logits(x)
    torch.nn.functional.cross_entropy(plain, plain.argmax(1), reduction="sum").backward()
    moved = (x - 0.01 * x.grad.sign()).detach()
    with torch.no_grad():
        expected = logits(moved).softmax(1).max(1).values.numpy()
    # where a gradient is almost 0 its sign is rounding: a few images may differ a little
    np.testing.assert_allclose(found, expected, rtol=1e-3)
    assert (np.abs(found - expected) < 1e-5).mean() > 0.9


@needs_pytorch_ood
def test_adapter_fits_on_a_loader():
    class Loader(pytorch_ood("api").Detector):
        requires_fit = True

        def __init__(self, network):
            self.network = network

        def fit(self, data_loader):
            pairs = list(data_loader)
            self.x, self.y = (torch.cat(part) for part in zip(*pairs, strict=True))
            return self

        def predict(self, x):
            assert torch.is_grad_enabled()
            return self.network(x)[:, 0] + self.y.sum()

    net, state = extractor(), torch.get_rng_state()
    detector = fitted(adapted_spec("model", lambda ood, network, net, v: Loader(network)), net)
    assert torch.equal(torch.get_rng_state(), state)  # a loader without its own generator would draw from it
    assert torch.equal(detector.inner.x, reference.pixels("ind"))
    expected = -(direct_logits("ind")[:, 0] + labels().sum()).numpy()
    np.testing.assert_allclose(detector.scores(reference.pixels("ind")).values[:, 0], expected, rtol=1e-5)


def test_pixel_network_owns_nothing():
    net = extractor()
    network = PixelNetwork(net)
    assert not list(network.parameters())
    network.eval().requires_grad_(False)
    assert net.module.training
    torch.testing.assert_close(network(reference.pixels("ind")), direct_logits("ind"), rtol=1e-5, atol=1e-5)


def test_a_missing_package_is_named(monkeypatch):
    for name in [m for m in sys.modules if m.split(".")[0] == "pytorch_ood"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pytorch_ood", None)
    with pytest.raises(FssdError, match=r'run: pip install "pytorch-ood>=0\.4,<0\.5"'):
        fitted(DETECTORS["msp"])
    fitted(DETECTORS["fssd"]).scores(reference.pixels("ind")[:2])


@pytest.mark.parametrize(
    ("parameter", "good", "bad"),
    [
        (
            Parameter("epsilon", "float", 0.0, "h", low=-1, high=1),
            [(0, 0.0), (np.float32(0.5), 0.5), (-1, -1.0)],
            [(1.5, "a number from -1 to 1"), (float("nan"), "allowed is"), ("0.1", "it is a number"), (True, "number")],
        ),
        (
            Parameter("k", "int", 5, "h", low=1),
            [(3, 3), (np.int64(7), 7)],
            [(0, "a whole number from 1"), (2.5, "a whole number"), (None, "a whole number")],
        ),
        (
            Parameter("gradient", "choice", "sign", "h", choices=("sign", "standardised")),
            [("standardised", "standardised")],
            [("standard", "did you mean 'standardised'"), (1, "it is a name")],
        ),
    ],
)
def test_parameters_check_their_values(parameter, good, bad):
    for given, value in good:
        assert parameter.check(given) == value
        assert type(parameter.check(given)) is type(value)
        assert parameter.parse(str(value)) == value
    for given, message in bad:
        with pytest.raises(InputError, match=message):
            parameter.check(given)
    if parameter.kind != "choice":
        with pytest.raises(InputError, match=rf"{parameter.name} = 'abc' was given; allowed is {parameter.allowed()}"):
            parameter.parse("abc")


def test_specs_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        DETECTORS["fssd"].name = "x"
