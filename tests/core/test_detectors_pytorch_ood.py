"""FSSD as a detector of the package pytorch-ood: its API, a plain evaluation loop, equal to our fssd and combine."""

from __future__ import annotations

import copy
import importlib.util
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch.utils.data import DataLoader, TensorDataset

if importlib.util.find_spec("pytorch_ood") is None:
    pytest.skip("pytorch-ood is not installed", allow_module_level=True)

from fssd_core import ensemble
from fssd_core.detectors import DETECTORS
from fssd_core.detectors.adapter import pytorch_ood
from fssd_core.errors import InputError, ModelError
from fssd_core.extractor import FeatureExtractor
from fssd_core.metrics import auroc
from fssd_core.runtime import generator, threads
from fssd_core.singularity import estimate_fss, fssd, uniform_noise
from fssd_core.types import LayerScores, Weights
from tests import reference

LAYERS, MEAN, STD = reference.LAYERS, reference.MEAN, reference.STD
ALPHA = (-0.4, -0.35, 0.1, 0.3)
api = pytorch_ood("api")


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny networks: more threads only wait for each other."""
    with threads(1):
        yield


def detector_class():
    from fssd_core.detectors.pytorch_ood_fssd import FSSD

    return FSSD


def make(**options):
    return detector_class()(reference.tiny_lenet(), LAYERS, **({"mean": MEAN, "std": STD} | options))


def normalised(group: str) -> torch.Tensor:
    return (reference.pixels(group) - MEAN[0]) / STD[0]


def loader(groups=("ind", "ood"), batch_size=20) -> DataLoader:
    """As pytorch-ood's data sets: normalised inputs, labels below 0 for ood."""
    labels = {"ind": torch.from_numpy(reference.vectors()["ind_label"]), "ood": torch.full((96,), -1)}
    x, y = (torch.cat([part(g) for g in groups]) for part in (normalised, labels.get))
    return DataLoader(TensorDataset(x, y), batch_size=batch_size, generator=torch.Generator())


def ours(group: str, **options) -> LayerScores:
    net = FeatureExtractor(reference.tiny_lenet(), LAYERS, mean=MEAN, std=STD, device="cpu")
    fss = estimate_fss(net, uniform_noise((1, 28, 28), 100, generator=generator(0)))
    return fssd(net, reference.pixels(group), fss, **options)


def run(detector, data) -> tuple[np.ndarray, np.ndarray]:
    """The evaluation loop of pytorch-ood's documentation, with the scores kept instead of OODMetrics."""
    scores, truth = [], []
    for x, y in data:
        scores.append(detector(x))
        truth.append(y)
    return torch.cat(scores).numpy(), torch.cat(truth).numpy()


def test_it_is_one_of_their_detectors():
    detector = make()
    assert isinstance(detector, api.Detector)
    assert isinstance(detector, api.StructuredDetector)
    assert detector.requires_fit
    assert detector.info.paper.year == 2021
    assert detector.device == torch.device("cpu")
    assert detector.get_hyperparameters() == {"epsilon": 0.0}
    assert detector.set_hyperparameters(epsilon=0.02).epsilon == 0.02
    assert detector.fit(loader()) is detector
    assert detector.to("cpu") is detector


@pytest.mark.parametrize("options", [{}, {"epsilon": 0.01}, {"epsilon": -0.01}])
def test_evaluation_loop_gives_our_own_scores_with_the_sign_turned(options):
    detector = make(alpha=ALPHA, **options).fit(loader(["ind"]))
    scores, truth = run(detector, loader())
    weights = ensemble.manual(LAYERS, ALPHA)
    expected = {group: ensemble.combine(ours(group, **options), weights) for group in ("ind", "ood")}
    both = -np.concatenate([expected["ind"], expected["ood"]])
    assert scores.dtype == np.float32
    if options:  # normalising and turning back rounds a pixel, so a few gradients near 0 change their sign
        error = np.abs(scores - both) / np.abs(both).mean()
        assert np.quantile(error, 0.95) < 2e-3
        assert error.max() < 2e-2
        assert np.abs(both + np.concatenate([ensemble.combine(ours(g), weights) for g in ("ind", "ood")])).max() > 0.1
    else:
        np.testing.assert_allclose(scores, both, rtol=1e-4, atol=1e-4)
    found = roc_auc_score(truth < 0, scores)  # there, ood is the positive class
    assert found == pytest.approx(auroc(expected["ind"], expected["ood"]), abs=2e-3)
    assert found > 0.99


def test_standardised_perturbation_depends_on_the_batch_as_ours():
    detector = make(alpha=ALPHA, epsilon=0.01, gradient="standardised").fit(loader(["ind"]))
    scores = detector(normalised("ood")).numpy()
    expected = ours("ood", epsilon=0.01, gradient="standardised")
    np.testing.assert_allclose(
        scores, -ensemble.combine(expected, ensemble.manual(LAYERS, ALPHA)), rtol=1e-3, atol=1e-3
    )


def test_alpha_rules_are_fitted_on_the_loader():
    ind, ood = ours("ind"), ours("ood")
    plain = make().fit(loader(["ind"])).weights
    assert plain == ensemble.uniform(LAYERS)
    # ood images in the loader are no business of the unsupervised rules
    for groups in (["ind"], ["ind", "ood"], ["ood", "ind"]):
        made = make(alpha="standardised").fit(loader(groups)).weights
        np.testing.assert_allclose(made.alpha, ensemble.standardised(ind).alpha, rtol=1e-5)
        assert made.labels == "none (ind images only, for the spread)"
    detector = make(alpha="logistic").fit(loader())
    expected = ensemble.logistic(ind, ood, seed=0, labels="mnist")
    np.testing.assert_allclose(detector.weights.alpha, expected.alpha, rtol=1e-3)
    assert detector.weights.labels == "96 ind + 96 ood images of the fit loader"
    scores, truth = run(detector, loader())
    assert roc_auc_score(truth < 0, scores) > 0.99
    with pytest.raises(InputError, match="96 ind and 0 ood images were given to fit alpha on"):
        make(alpha="logistic").fit(loader(["ind"]))


def test_inputs_without_mean_and_std_are_pixels():
    class Plain(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = reference.tiny_lenet()

        def forward(self, x):
            return self.net((x - MEAN[0]) / STD[0])

    detector = detector_class()(Plain(), [f"net.{name}" for name in LAYERS], alpha=ALPHA)
    data = DataLoader(TensorDataset(reference.pixels("ind"), torch.zeros(96)), batch_size=50)
    scores = detector.fit(data)(reference.pixels("ood")).numpy()
    np.testing.assert_allclose(
        scores, -ensemble.combine(ours("ood"), ensemble.manual(LAYERS, ALPHA)), rtol=1e-4, atol=1e-4
    )


def test_features_at_hand_give_the_same_scores():
    net = FeatureExtractor(reference.tiny_lenet(), LAYERS, mean=MEAN, std=STD, device="cpu")
    noise = net.features(uniform_noise((1, 28, 28), 100, generator=generator(0)))
    images = net.features(reference.pixels("ood"))
    expected = make(alpha=ALPHA).fit(loader(["ind"]))(normalised("ood")).numpy()
    bare = detector_class()(None, LAYERS, alpha=ALPHA).fit_structured(noise)
    np.testing.assert_allclose(bare.predict_structured(images).numpy(), expected, rtol=1e-4, atol=1e-4)
    listed = detector_class()(None, LAYERS, alpha=ALPHA).fit_structured([noise[k] for k in LAYERS])
    turned = {k: images[k] for k in reversed(LAYERS)}  # names decide, not their order
    np.testing.assert_allclose(listed.predict_structured(turned).numpy(), expected, rtol=1e-4, atol=1e-4)
    unnamed = detector_class()(None).fit_structured({"fc2": noise["fc2"]})
    logits = unnamed.predict_structured([images["fc2"]]).numpy()
    np.testing.assert_allclose(logits, -ours("ood").column("fc2"), rtol=1e-4)


def test_gradients_are_found_in_every_mode_and_the_model_is_left_alone():
    detector = make(epsilon=0.02, alpha=ALPHA)
    model = detector.model
    model.train()
    state = torch.get_rng_state()
    detector.fit(loader(["ind"]))
    x = normalised("ood")
    plain = detector(x)
    assert not plain.requires_grad
    with torch.no_grad():
        assert torch.equal(detector(x), plain)
    with torch.inference_mode():
        assert torch.equal(detector(x + 0), plain)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(m.training for m in model.modules())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert not any(m._forward_hooks for m in model.modules())


def test_noise_is_seeded():
    first, again, other = (make(seed=seed).fit(loader(["ind"])).fss["fc2"] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    net = FeatureExtractor(reference.tiny_lenet(), LAYERS, mean=MEAN, std=STD, device="cpu")
    direct = estimate_fss(net, uniform_noise((1, 28, 28), 100, generator=generator(0)))["fc2"]
    torch.testing.assert_close(first, direct)


def test_it_can_be_copied_and_pickled():
    detector = make(alpha=ALPHA).fit(loader(["ind"]))
    expected = detector(normalised("ood"))
    for other in (copy.deepcopy(detector), pickle.loads(pickle.dumps(detector))):
        assert type(other) is type(detector)
        assert torch.equal(other(normalised("ood")), expected)


class RawAuroc:
    """What GridSearch asks of a metric, on raw scores (its default passes them through a sigmoid)."""

    def reset(self) -> None:
        self.scores, self.labels = [], []

    def update(self, scores, labels) -> None:
        self.scores.append(scores)
        self.labels.append(labels)

    def compute(self):
        return {"AUROC": roc_auc_score(torch.cat(self.labels) < 0, torch.cat(self.scores))}


def test_grid_search_of_the_package_tunes_epsilon():
    from pytorch_ood.utils import GridSearch

    detector = make()
    search = GridSearch(detector, loader(["ind"]), loader(), {"epsilon": [0.0, 0.1, -0.1]}, metric=RawAuroc())
    best = search.run()
    expected = {}
    for epsilon in (0.0, 0.1, -0.1):
        ind, ood = (ensemble.combine(ours(g, epsilon=epsilon), ensemble.uniform(LAYERS)) for g in ("ind", "ood"))
        expected[epsilon] = auroc(ind, ood)
    found = {result["params"]["epsilon"]: result["score"] for result in search.results_}
    assert found == pytest.approx(expected, abs=2e-3)
    assert best["epsilon"] == detector.epsilon == max(expected, key=expected.get)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: make()(normalised("ind")), api.RequiresFittingException, "fit"),
        (lambda: detector_class()(None, LAYERS).fit(loader()), api.ModelNotSetException, "model"),
        (lambda: make(alpha="logistik"), InputError, "did you mean 'logistic'"),
        (lambda: make(alpha=[1, 2]).fit(loader()), InputError, "2 alpha values for 4 layers"),
        (lambda: make(gradient="sing"), InputError, "did you mean 'sign'"),
        (lambda: make(epsilon=float("nan")), InputError, "epsilon nan"),
        (lambda: make(noise_samples=0).fit(loader()), InputError, "0 noise images"),
        (lambda: make().fit([]), InputError, "the loader has no batch"),
        (lambda: detector_class()(reference.tiny_lenet(), ["fc3"]), ModelError, "did you mean 'fc"),
        (lambda: make(alpha="standardised").fit_structured([torch.ones(2, 2)] * 4), InputError, "fitted on images"),
        (lambda: make().fit_structured([torch.ones(2, 2)]), InputError, "features of 1 layers"),
        (
            lambda: make(epsilon=0.1).fit(loader()).predict_structured([torch.ones(2, 2)] * 4),
            InputError,
            r"call predict\(x\)",
        ),
    ],
)
def test_bad_use_says_what_to_do(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_weights_are_kept_for_reading():
    assert isinstance(make().fit(loader(["ind"])).weights, Weights)


def test_a_detector_fitted_again_with_another_value_reads_the_network_once_and_scores_the_same():
    net = FeatureExtractor(reference.tiny_lenet(), LAYERS, mean=MEAN, std=STD, device="cpu")
    ind, test = reference.pixels("ind"), reference.pixels("ood")
    seen = []
    net.module.register_forward_hook(lambda _module, inputs, _output: seen.append(len(inputs[0])))

    def scores(images, k, extractor=net):
        return DETECTORS["knn"].make(k=k).fit(extractor, images).scores(test).values

    first = scores(ind, 1)
    read = sum(seen)
    other = scores(ind, 5)
    assert sum(seen) - read < read, "the second time only the test images, and one to find the head"
    fresh = FeatureExtractor(reference.tiny_lenet(), LAYERS, mean=MEAN, std=STD, device="cpu")
    assert np.array_equal(scores(ind.clone(), 5, fresh), other)
    assert not np.array_equal(first, other)
    ind[:] = ind.flip(0) * 0.5
    changed = scores(ind, 5)
    assert not np.array_equal(changed, other), "images that were written to are read again"
    assert np.array_equal(scores(ind.clone(), 5), changed)
    with torch.no_grad():
        net.module.fc1.weight *= -1
    assert not np.array_equal(scores(ind, 5), changed), "so are those of a network that was trained on"
    with torch.inference_mode():
        uncounted = ind.clone()
    assert np.array_equal(scores(uncounted, 5), scores(ind, 5))


def test_importing_our_detectors_does_not_import_the_package():
    code = (
        "import sys, fssd_core.detectors, fssd_core.detectors.pytorch_ood_fssd\n"
        "assert not [m for m in sys.modules if m.split('.')[0] in ('pytorch_ood', 'torchvision', 'streamlit')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
