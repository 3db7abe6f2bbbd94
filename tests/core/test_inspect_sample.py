"""One image under the microscope against direct calculations; the verdict on numbers made by hand."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from sklearn.neighbors import NearestNeighbors

from fssd_core import worker
from fssd_core.assets import assets_root
from fssd_core.ensemble import combine, uniform
from fssd_core.errors import CancelledError, InputError, ModelError
from fssd_core.inspect_measure import Measurement, Neighbours, nearest
from fssd_core.inspect_sample import inspect_sample, measure_sample, stored_measurement, to_request, to_tensor
from fssd_core.inspect_verdict import judge, total, typical
from fssd_core.inspect_words import deciding_words, percent, plain_words
from fssd_core.metrics import threshold_at_tpr
from fssd_core.picks import picks
from fssd_core.runtime import generator
from fssd_core.singularity import estimate_fss, fssd, perturb, uniform_noise
from fssd_core.store import Store
from fssd_core.study import Study, layer_scores, open_data, open_model
from fssd_core.types import LayerScores, Weights

STUDY = Study(samples=80, ood=("mnist",))


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def parts():
    """(extractor, F*, an ood image (1, C, H, W)), made without the module under test."""
    model = open_model(STUDY)
    extractor = model.extractor()
    noise = uniform_noise(model.input_shape, 100, generator=generator(0))
    return extractor, estimate_fss(extractor, noise), open_data(STUDY, "mnist").tensor(np.array([3]))


@pytest.mark.parametrize("gradient", ["sign", "standardised"])
@pytest.mark.parametrize("epsilon", [0.0, 0.02, -0.01])
def test_distances_and_perturbed_images_are_those_of_the_direct_calculation(store, parts, epsilon, gradient):
    extractor, fss, image = parts
    found = measure_sample(STUDY, image, epsilon=epsilon, gradient=gradient, store=store)
    np.testing.assert_allclose(found.plain, fssd(extractor, image, fss).values[0], rtol=1e-6)
    direct = fssd(extractor, image, fss, epsilon=epsilon, gradient=gradient)
    np.testing.assert_allclose(found.distances, direct.values[0], rtol=1e-6)
    assert found.layers == direct.layers
    for k, layer in enumerate(found.layers):
        moved = perturb(extractor, image, fss, layer, epsilon=epsilon, gradient=gradient)
        np.testing.assert_allclose(found.perturbed[k], moved[0].numpy(), atol=1e-7)
    if gradient == "sign":
        assert set(np.unique(found.directions)) <= {-1.0, 0.0, 1.0}
        assert (np.sign(found.distances - found.plain) == np.sign(epsilon)).all(), "positive moves away from F*"


def test_the_direction_is_the_sign_of_finite_differences(store, parts):
    """In float64, at the pixels whose difference quotient is clear of rounding."""
    extractor, fss, image = parts
    found = measure_sample(STUDY, image, epsilon=0.0, store=store)
    module, k = extractor.module, found.layers.index("logits")
    module.double()
    try:

        def distance(x: torch.Tensor) -> float:
            return float(torch.linalg.vector_norm(extractor.taps(x, ["logits"])["logits"] - fss["logits"].double()))

        checked = 0
        for y, x in [(14, 14), (10, 12), (18, 9), (5, 20), (20, 15), (12, 16)]:
            step = torch.zeros_like(image, dtype=torch.float64)
            step[0, 0, y, x] = 1e-5
            slope = (distance(image.double() + step) - distance(image.double() - step)) / 2e-5
            if abs(slope) > 1e-4:
                assert found.directions[k, 0, y, x] == np.sign(slope)
                checked += 1
        assert checked >= 4
    finally:
        module.float()


def test_the_predicted_class_is_the_networks_own(store, parts):
    _, _, image = parts
    found = measure_sample(STUDY, image, store=store)
    module = open_model(STUDY).module.eval()
    with torch.no_grad():
        expected = torch.softmax(module(image).double(), 1)[0].numpy()
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-6)


@pytest.mark.parametrize("layer", ["conv1", "logits"])
def test_neighbours_are_the_nearest_of_all_references(store, parts, layer):
    extractor, _, image = parts
    near = measure_sample(STUDY, image, layer=layer, store=store).neighbours
    references = open_data(STUDY, STUDY.ind, count=1000)
    features = extractor.features(references.tensor())[layer].numpy()
    oracle = NearestNeighbors(n_neighbors=8, algorithm="brute").fit(features.astype(np.float64))
    far, rows = oracle.kneighbors(extractor.features(image)[layer].numpy().astype(np.float64))
    np.testing.assert_array_equal(near.rows, references.rows[rows[0]])
    np.testing.assert_allclose(near.distances, far[0], rtol=1e-5)
    np.testing.assert_array_equal(near.labels, references.labels[rows[0]])
    assert near.searched == 1000


def test_neighbours_do_not_depend_on_the_batches_and_leave_the_sample_out(parts):
    extractor, _, _ = parts
    references = open_data(STUDY, STUDY.ind)
    own = int(references.rows[5])
    features = extractor.features(references.tensor(np.array([5])))["fc1"][0]
    whole = nearest(extractor, features, "fc1", references)
    assert whole.rows[0] == own
    assert whole.distances[0] == pytest.approx(0, abs=1e-3)
    without = [nearest(extractor, features, "fc1", references, exclude=own, batch_size=b) for b in (7, 64)]
    for found in without:
        assert own not in found.rows
        np.testing.assert_array_equal(found.rows[:7], whole.rows[1:])
    few = nearest(extractor, features, "fc1", references.take(np.arange(3)))
    assert len(few.rows) == 3


def test_equal_references_come_in_the_order_of_their_rows(parts):
    extractor, _, _ = parts
    one = open_data(STUDY, STUDY.ind).take(np.array([4, 4, 4, 2]))
    doubled = dataclasses.replace(one, rows=np.array([10, 11, 12, 13]), labels=None)
    features = extractor.features(doubled.tensor())["fc1"][0]
    found = nearest(extractor, features, "fc1", doubled, batch_size=2)
    assert list(found.rows) == [10, 11, 12, 13]
    assert list(found.labels) == [-1] * 4


def made(distances, *, epsilon=0.02, plain=None, logits=(0.0, 1.0986123), gradient="sign") -> Measurement:
    """A measurement with these distances."""
    count = len(distances)
    near = Neighbours("a", np.arange(2), np.ones(2, np.float32), np.zeros(2, np.int64), 2)
    return Measurement(
        image=np.zeros((1, 2, 2), np.float32),
        layers=tuple("abcdefgh"[:count]),
        epsilon=epsilon,
        gradient=gradient,
        plain=np.array(distances if plain is None else plain, np.float32),
        distances=np.array(distances, np.float32),
        directions=np.zeros((count, 1, 2, 2), np.float32),
        logits=np.array(logits, np.float32),
        neighbours=near,
    )


IND = LayerScores(np.array([[1, 10], [2, 30], [3, 20], [4, 40], [5, 50]], np.float32), ("a", "b"))


def test_the_verdict_on_five_ind_images_by_hand():
    found = judge(made([2.5, 25]), ind=IND, weights=Weights((2, 0.1), ("a", "b")), threshold=7.6)
    # ind scores: 2+1=3, 4+3=7, 6+2=8, 8+4=12, 10+5=15; the sample: 5+2.5=7.5
    assert found.score == pytest.approx(7.5)
    assert found.ind_median == pytest.approx(8)
    assert not found.accepted
    assert found.below == pytest.approx(2 / 5)
    assert found.threshold_below == pytest.approx(2 / 5)
    assert found.margin == 0
    assert [f.below for f in found.layers] == [2 / 5, 2 / 5]
    assert [f.ind_median for f in found.layers] == [3, 30]
    assert [f.term for f in found.layers] == pytest.approx([5, 2.5])
    assert (found.predicted, found.probability) == (1, pytest.approx(0.75, abs=1e-6))
    # a: mean term 6, slope cov/var = 61/45/2 .. by the textbook formula over the five images
    scores, terms = np.array([3, 7, 8, 12, 15.0]), np.array([2, 4, 6, 8, 10.0])
    slope = np.cov(terms, scores)[0, 1] / np.var(scores, ddof=1)
    assert found.layers[0].contribution == pytest.approx(5 - (6 + slope * (8 - 9)))
    assert sum(f.contribution for f in found.layers) == pytest.approx(7.5 - 8)


@pytest.mark.parametrize("seed", range(5))
def test_contributions_sum_to_the_distance_from_the_median_score(seed):
    rng = np.random.default_rng(seed)
    ind = LayerScores(rng.gamma(3, [1, 50, 0.01, 7], size=(301, 4)).astype(np.float32), tuple("abcd"))
    weights = Weights(tuple(rng.normal(size=4)), tuple("abcd"))
    sample = rng.gamma(3, [1, 50, 0.01, 7])
    found = judge(made(sample), ind=ind, weights=weights, threshold=0.0)
    scores = combine(ind, weights)
    assert found.score == pytest.approx(float(sample.astype(np.float32) @ np.array(weights.alpha)))
    assert found.ind_median == pytest.approx(np.median(scores))
    assert sum(f.contribution for f in found.layers) == pytest.approx(found.score - np.median(scores), rel=1e-9)
    assert sum(f.term for f in found.layers) == pytest.approx(found.score, rel=1e-12)
    assert found.below == np.mean(scores < found.score)


def test_a_layer_of_weight_nought_contributes_nothing_and_layers_are_matched_by_name():
    found = judge(made([2.5, 25]), ind=IND, weights=Weights((0, 1), ("b", "a")), threshold=0.0)
    assert [f.alpha for f in found.layers] == [1, 0]
    assert found.finding("b").contribution == 0
    assert found.finding("a").contribution == pytest.approx(2.5 - 3)


def test_equal_ind_images_and_alpha_nought_are_explained():
    same = LayerScores(np.ones((4, 2), np.float32), ("a", "b"))
    found = judge(made([2, 1]), ind=same, weights=Weights((1, 1), ("a", "b")), threshold=2.0)
    assert [f.contribution for f in found.layers] == [1, 0]
    assert "all 4 ind images score lower" in plain_words(found)
    nothing = judge(made([2, 1]), ind=IND, weights=Weights((0, 0), ("a", "b")), threshold=0.0)
    assert nothing.accepted
    assert "alpha are 0" in nothing.notes[0]
    assert typical(np.zeros((3, 2)), np.zeros(3)).tolist() == [0, 0]


def test_not_finite_ind_images_are_counted_and_left_out():
    values = np.vstack([IND.values, [[np.nan, 1]], [[1, np.inf]]]).astype(np.float32)
    found = judge(made([2.5, 25]), ind=LayerScores(values, ("a", "b")), weights=uniform(("a", "b")), threshold=0.0)
    assert found.counted == 5
    assert "2 of 7 ind images" in found.notes[0]
    with pytest.raises(InputError, match="none of 2"):
        judge(made([1, 1]), ind=LayerScores(values[5:], ("a", "b")), weights=uniform(("a", "b")), threshold=0.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": Weights((1,), ("a",))}, "weights are of layers"),
        ({"ind": LayerScores(np.ones((3, 1), np.float32), ("a",))}, "ind scores are of layers"),
        ({"threshold": float("nan")}, "threshold is NaN"),
        ({"stored": [2.5]}, "shape"),
        ({"stored": [2.5, 35]}, "not those of this image"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    given = {"ind": IND, "weights": uniform(("a", "b")), "threshold": 0.0, **change}
    with pytest.raises(InputError, match=message):
        judge(made([2.5, 25]), **given)


def test_the_batch_dependent_rule_says_so():
    found = judge(
        made([2.5, 25], gradient="standardised"), ind=IND, weights=uniform(("a", "b")), threshold=0.0, stored=[2, 35]
    )
    assert "depends on the batch" in found.notes[0]
    assert found.score == 37


def test_the_very_image_of_the_threshold_is_accepted(store):
    """Fresh distances differ in the last digits from those of the batch; the stored ones decide."""
    scores = layer_scores(STUDY, STUDY.ind, epsilons=[0.02], store=store)[0.02]
    weights = Weights((1.0, -0.3, 0.77, 2.1), scores.layers)
    images = open_data(STUDY, STUDY.ind)
    totals = total(scores.values.astype(np.float64), np.array(weights.alpha))
    for tpr in (0.5, 0.8, 0.95):
        threshold = threshold_at_tpr(totals, tpr)
        at = int(np.flatnonzero(totals == threshold)[0])
        found = inspect_sample(
            STUDY, images.tensor(np.array([at])), ind=scores, weights=weights, threshold=threshold, epsilon=0.02,
            exclude=int(images.rows[at]), stored=scores.values[at], store=store,
        )  # fmt: skip
        assert found.score == threshold
        assert found.accepted
        assert "equal to the threshold" in plain_words(found)


def test_the_sentence():
    weights = Weights((2, 0.1), ("a", "b"))
    low = judge(made([0.1, 1]), ind=IND, weights=weights, threshold=7.6)
    assert plain_words(low) == (
        "Rejected as out-of-distribution: score 0.30 below the threshold 7.60; none of 5 ind images scores lower."
    )
    high = judge(made([4.4, 45]), ind=IND, weights=weights, threshold=7.6)
    assert plain_words(high) == (
        "Accepted as in-distribution: score 13.30 above the threshold 7.60; 80.0 % of ind images score lower."
    )
    close = judge(made([3.0, 10.0]), ind=IND, weights=weights, threshold=7.00003)
    assert "7.00000 below the threshold 7.00003" in plain_words(close)
    assert [percent(s) for s in (0, 1, 0.013, 0.005, 1e-6, 1 - 1e-6)] == [
        "0.0 %", "100.0 %", "1.3 %", "0.50 %", "under 0.01 %", "over 99.99 %",
    ]  # fmt: skip


def test_a_threshold_that_accepts_nothing():
    found = judge(made([4.4, 45]), ind=IND, weights=Weights((2, 0.1), ("a", "b")), threshold=float("inf"))
    assert "accepts no image at all; score 13.30, 80.0 % of ind images score lower" in plain_words(found)
    assert (found.accepted, found.threshold_below) == (False, 1)


def test_the_deciding_layers_in_words():
    ind = LayerScores(np.array([[1, 1, 1], [2, 1, 1], [3, 1, 1]], np.float32), ("a", "b", "c"))
    weights = Weights((1, -1, 0.5), ("a", "b", "c"))
    found = judge(made([0.5, 5, 2]), ind=ind, weights=weights, threshold=0.0)
    words = "The score is 5.000 below the ind median 1.500: "
    assert deciding_words(found) == words + "b −4.000, a −1.500, c +0.500."
    assert deciding_words(found, most=1) == words + "b −4.000, 2 other layers −1.000."
    assert deciding_words(found, most=2) == words + "b −4.000, a −1.500, 1 other layer +0.500."
    same = judge(made([2, 1, 1]), ind=ind, weights=weights, threshold=0.0)
    assert deciding_words(same) == "The score is the ind median, 1.500; no layer moves it."


def test_picks_by_hand():
    chosen = picks(np.array([5, 1, 3, 2.0]), {"x": np.array([2.5, 9, 0]), "y": np.array([3.5])}, 2.6)
    assert chosen["false accepts"] == [("x", 1), ("y", 0)]
    assert chosen["rejected ind"] == [("", 1), ("", 3)]
    assert chosen["borderline"][:3] == [("x", 0), ("", 2), ("", 3)]
    none = picks(np.array([5.0]), {"x": np.array([1.0])}, 2.0)
    assert none["false accepts"] == none["rejected ind"] == []
    assert len(picks(np.arange(50.0), {}, 99, count=3)["rejected ind"]) == 3


def test_through_the_worker_and_the_store(store, tmp_path):
    pixels = open_data(STUDY, "mnist").images[7]
    args = to_request(pixels, epsilon=0.02, gradient="sign", layer="fc1", exclude=None)
    request = {"id": 1, "call": "inspect", "study": STUDY.to_json(), "args": args, "store": str(tmp_path)}
    events = io.StringIO()
    worker.serve(io.StringIO(json.dumps(request) + "\n"), events)
    last = json.loads(events.getvalue().splitlines()[-1])
    assert last.pop("memory") > 0  # bytes, resident
    assert last == {"id": 1, "ok": True, "warnings": []}
    image = to_tensor(pixels)
    assert torch.equal(image, open_data(STUDY, "mnist").tensor(np.array([7]))[0])
    found = stored_measurement(STUDY, image, epsilon=0.02, layer="fc1", store=Store(tmp_path))
    fresh = measure_sample(STUDY, image, epsilon=0.02, layer="fc1", store=store)
    for name in ("image", "plain", "distances", "directions", "logits", "perturbed"):
        np.testing.assert_allclose(getattr(found, name), getattr(fresh, name), rtol=1e-6, atol=1e-6)
    for name in ("layer", "searched"):
        assert getattr(found.neighbours, name) == getattr(fresh.neighbours, name)
    for name in ("rows", "distances", "labels"):
        np.testing.assert_array_equal(getattr(found.neighbours, name), getattr(fresh.neighbours, name))
    other = {"epsilon": 0.01, "layer": "fc1"}, {"epsilon": 0.02, "layer": "conv1"}
    assert all(stored_measurement(STUDY, image, **o, store=Store(tmp_path)) is None for o in other)
    assert stored_measurement(STUDY, image, epsilon=0.02, layer="fc1", exclude=3, store=Store(tmp_path)) is None
    assert stored_measurement(STUDY, image * 0.5, epsilon=0.02, layer="fc1", store=Store(tmp_path)) is None


def test_colour_pixels_keep_their_channels():
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    assert to_tensor(pixels).shape == (3, 2, 3)
    np.testing.assert_allclose(to_tensor(pixels)[1] * 255, pixels[..., 1], atol=1e-5)
    assert to_request(pixels, epsilon=0, gradient="sign", layer="a", exclude=None)["size"] == [2, 3, 3]


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (torch.zeros(1, 32, 32), {}, r"\(1, 28, 28\)"),
        (torch.zeros(2, 1, 28, 28), {}, "one float image"),
        (torch.zeros(1, 28, 28, dtype=torch.uint8), {}, "uint8"),
        (torch.full((1, 28, 28), torch.nan), {}, "784 values that are NaN"),
        (torch.full((1, 28, 28), 255.0), {}, "255"),
        (torch.zeros(1, 28, 28), {"epsilon": 2.0}, "-1 to 1"),
        (torch.zeros(1, 28, 28), {"gradient": "sgn"}, "did you mean 'sign'"),
        (torch.zeros(1, 28, 28), {"layer": "logit"}, "did you mean 'logits'"),
    ],
)
def test_bad_input_is_refused(store, image, options, message):
    with pytest.raises(InputError, match=message):
        measure_sample(STUDY, image, **options, store=store)


def test_weights_that_are_nan_are_refused_and_cancelling_keeps_nothing(tmp_path):
    image = torch.zeros(1, 28, 28)
    weights = load_file(sorted((assets_root() / "models" / "lenet").glob("*.safetensors"))[-1])
    first = next(iter(weights))
    broken = Path(tmp_path) / "nan.safetensors"
    save_file({**weights, first: np.full_like(weights[first], np.nan)}, broken)
    own = Store(tmp_path / "store")
    with pytest.raises(ModelError, match="NaN"):
        measure_sample(dataclasses.replace(STUDY, model=str(broken), arch="lenet"), image, store=own)

    def stop(done, total, what):
        raise CancelledError("stop")

    with pytest.raises(CancelledError):
        measure_sample(STUDY, image, store=own, progress=stop)
    assert not list((tmp_path / "store").rglob("*.npz"))
