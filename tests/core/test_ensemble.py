"""Weights: exact sums, oracles for each rule, the laws of alpha, and splits that never overlap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fssd_core import ensemble as e
from fssd_core.errors import InputError
from fssd_core.metrics import auroc
from fssd_core.types import LayerScores, Weights
from tests import reference

pytestmark = pytest.mark.filterwarnings("error")
LAYERS = reference.LAYERS


def real(group: str) -> LayerScores:
    return LayerScores(reference.vectors()[f"distance_uniform_{group}_eps0"], LAYERS)


def gaussian(count: int, mean: list[float], seed: int) -> LayerScores:
    values = np.random.default_rng(seed).normal(mean, 1.0, (count, len(mean)))
    return LayerScores(values, tuple("abcdefgh"[: len(mean)]))


def test_combine_by_hand():
    scores = LayerScores(np.array([[1, 2, 4], [8, 16, 32]]), ("a", "b", "c"))
    combined = e.combine(scores, e.manual(("a", "b", "c"), [1, -0.5, 0.25]))
    assert combined.dtype == np.float64
    assert combined.tolist() == [1.0, 8.0]
    assert e.combine(scores, e.manual(("c", "a", "b"), [0.25, 1, -0.5])).tolist() == [1.0, 8.0]  # matched by name
    assert e.combine(scores, e.uniform(("a", "b", "c"))).tolist() == [7.0, 56.0]
    assert e.combine(LayerScores(np.empty((0, 3)), ("a", "b", "c")), e.uniform(("a", "b", "c"))).shape == (0,)


@pytest.mark.parametrize("layers", [("a",), ("a", "b", "c"), ("a", "x"), ("a", "a")])
def test_weights_of_other_layers_are_refused(layers):
    with pytest.raises(InputError, match=r"the weights are of layers a.*the scores of a, b"):
        e.combine(LayerScores(np.ones((2, 2)), ("a", "b")), e.uniform(layers))


# no denormal numbers: multiplied by a distance they keep too few bits for any law
alphas = st.lists(st.just(0.0) | st.floats(1e-9, 3) | st.floats(-3, -1e-9), min_size=4, max_size=4)


@given(alphas, st.floats(1e-3, 1e3))
def test_a_positive_factor_keeps_auroc(alpha, factor):
    def score(weights: Weights) -> float:
        return auroc(e.combine(real("ind"), weights), e.combine(real("ood"), weights))

    plain = score(e.manual(LAYERS, alpha))
    # a power of two is exact; another factor may round a pair of nearly equal sums apart, of 96 x 96 pairs
    assert score(e.manual(LAYERS, [2.0**5 * a for a in alpha])) == plain
    assert score(e.manual(LAYERS, [factor * a for a in alpha])) == pytest.approx(plain, abs=2 / 96**2)
    assert score(e.manual(LAYERS, [-a for a in alpha])) == pytest.approx(1 - plain, abs=1e-12)


@given(alphas, st.permutations(range(4)))
def test_the_order_of_layers_does_not_matter(alpha, order):
    scores, weights = real("ind"), e.manual(LAYERS, alpha)
    names = tuple(LAYERS[i] for i in order)
    turned = LayerScores(scores.values[:, order], names)
    expected = e.combine(scores, weights)
    np.testing.assert_allclose(e.combine(turned, weights), expected, rtol=1e-12, atol=1e-9)
    turned_weights = e.manual(names, [alpha[i] for i in order])
    np.testing.assert_allclose(e.combine(turned, turned_weights), expected, rtol=1e-12, atol=1e-9)


def test_rules_follow_their_layers_when_permuted():
    order = [2, 0, 3, 1]
    ind, ood = real("ind"), real("ood")
    turned_ind, turned_ood = (LayerScores(s.values[:, order], tuple(LAYERS[i] for i in order)) for s in (ind, ood))
    plain, turned = e.standardised(ind), e.standardised(turned_ind)
    np.testing.assert_allclose(turned.alpha, np.array(plain.alpha)[order], rtol=1e-12)
    plain = e.logistic(ind, ood, seed=0, labels="mnist")
    turned = e.logistic(turned_ind, turned_ood, seed=0, labels="mnist")
    np.testing.assert_allclose(turned.alpha, np.array(plain.alpha)[order], rtol=1e-6)


def test_labels_are_told_in_plain_words():
    assert e.uniform(LAYERS) == Weights((1.0,) * 4, LAYERS, "uniform", "none")
    assert e.manual(LAYERS, [1, 2, 3, -4]) == Weights((1.0, 2.0, 3.0, -4.0), LAYERS, "manual", "none")
    made = e.standardised(real("ind"))
    assert (made.rule, made.labels) == ("standardised", "none (ind images only, for the spread)")
    made = e.logistic(real("ind"), real("ood").take(np.arange(50)), seed=0, labels="mnist")
    assert (made.rule, made.labels) == ("logistic", "96 ind + 50 ood images of mnist")
    assert {e.uniform(LAYERS).rule, made.rule, "standardised", "pseudo-ood", "manual"} == set(e.RULES)


def test_standardised_gives_every_layer_spread_one():
    ind = real("ind")
    weights = e.standardised(ind)
    np.testing.assert_allclose(np.array(weights.alpha) * ind.values.astype(float).std(0), 1, rtol=1e-12)


def test_constant_layers_weigh_nothing():
    rng = np.random.default_rng(0)
    varied = rng.normal(5, 1, 40)
    # the second column differs by one float32 rounding step only: no spread to divide by
    nearly = np.where(rng.random(40) < 0.5, np.float32(100), np.nextafter(np.float32(100), np.float32(101)))
    ind = LayerScores(np.stack([varied, nearly, np.full(40, 3.0)], 1), ("a", "b", "c"))
    ood = LayerScores(ind.values + np.array([2, 0, 0]), ("a", "b", "c"))
    weights = e.standardised(ind)
    assert weights.alpha[0] == pytest.approx(1 / varied.std(), rel=1e-6)
    assert weights.alpha[1:] == (0.0, 0.0)
    fitted = e.logistic(ind, ood, seed=0, labels="x")
    assert fitted.alpha[0] < 0
    assert fitted.alpha[1:] == (0.0, 0.0)


def test_logistic_is_an_ordinary_logistic_regression():
    """A fit by another solver at one of the 10 strengths tried gives the same direction."""
    ind, ood = gaussian(400, [10, 5, 3], 0), gaussian(300, [9, 6, 3], 1)
    alpha = np.array(e.logistic(ind, ood, seed=0, labels="x").alpha)
    values = np.concatenate([ind.values, ood.values]).astype(float)
    truth = np.repeat([1, 0], [400, 300])
    errors = []
    for strength in np.logspace(-4, 4, 10):
        oracle = make_pipeline(
            StandardScaler(), LogisticRegression(C=strength, class_weight="balanced", tol=1e-10, max_iter=10_000)
        )
        oracle.fit(values, truth)
        slope = oracle[-1].coef_[0] / oracle[0].scale_
        errors.append(np.abs(slope - alpha).max() / np.abs(alpha).max())
    assert min(errors) < 1e-5


def test_logistic_finds_the_best_direction_between_gaussians():
    # equal covariances: the optimum is Sigma^-1 (mu_ind - mu_ood), here (1, -2, 0) over the noise's unit variance
    weights = e.logistic(gaussian(4000, [11, 5, 3], 0), gaussian(4000, [10, 7, 3], 1), seed=0, labels="x").normalised()
    np.testing.assert_allclose(weights.alpha, [0.5, -1, 0], atol=0.05)


def test_logistic_turns_an_inverted_layer_round():
    ind, ood = real("ind"), real("ood")
    split = e.split(len(ind), len(ood), fit=48, seed=1)
    weights = e.logistic(ind.take(split.fit_ind), ood.take(split.fit_ood), seed=1, labels="mnist")
    test_ind, test_ood = ind.take(split.test_ind), ood.take(split.test_ood)
    plain = e.uniform(LAYERS)
    assert auroc(e.combine(test_ind, plain), e.combine(test_ood, plain)) < 0.2
    assert auroc(e.combine(test_ind, weights), e.combine(test_ood, weights)) > 0.99
    assert weights.alpha[0] < 0 < weights.alpha[3]


def test_logistic_applies_to_raw_distances_of_any_scale():
    ind, ood = real("ind"), real("ood")
    scale = np.array([1e-4, 1, 64, 1e6], np.float32)
    plain = e.logistic(ind, ood, seed=0, labels="x")
    scaled = e.logistic(
        LayerScores(ind.values * scale, LAYERS), LayerScores(ood.values * scale, LAYERS), seed=0, labels="x"
    )
    np.testing.assert_allclose(np.array(scaled.alpha) * scale, plain.alpha, rtol=1e-4)


def test_logistic_is_deterministic_and_leaves_global_seeds_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - the very state that must not move
    first = e.logistic(real("ind"), real("ood"), seed=3, labels="x")
    assert e.logistic(real("ind"), real("ood"), seed=3, labels="x") == first
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


def test_logistic_balances_the_classes():
    """Ten copies of the ood side change no optimum: with balance they weigh as much as one."""
    ind, ood = gaussian(200, [3, 0], 0), gaussian(200, [2, 1], 1)
    many = LayerScores(np.tile(ood.values, (10, 1)), ood.layers)
    one, ten = (np.array(e.logistic(ind, o, seed=0, labels="x").normalised().alpha) for o in (ood, many))
    np.testing.assert_allclose(one, ten, atol=0.05)
    # most ind against few ood: still a ranking, not 'everything is ind'
    few = e.logistic(ind, ood.take(np.arange(5)), seed=0, labels="x")
    assert auroc(e.combine(ind, few), e.combine(ood, few)) > 0.8


@pytest.mark.parametrize("count", [2, 3, 7])
def test_logistic_on_very_few_separable_images(count):
    ind, ood = gaussian(count, [100, 1], 0), gaussian(count, [0, 1], 1)
    weights = e.logistic(ind, ood, seed=0, labels="x")
    assert auroc(e.combine(ind, weights), e.combine(ood, weights)) == 1


def test_logistic_on_equal_columns_shares_the_weight():
    ind, ood = gaussian(100, [3], 0).values, gaussian(100, [1], 1).values
    names = ("a", "b", "c")
    weights = e.logistic(LayerScores(ind.repeat(3, 1), names), LayerScores(ood.repeat(3, 1), names), seed=0, labels="x")
    assert weights.alpha[0] > 0
    np.testing.assert_allclose(weights.alpha, weights.alpha[0], rtol=1e-3)


def test_pseudo_ood_is_a_ridge_logistic_regression_and_says_that_no_ood_label_was_used():
    ind, pseudo = gaussian(300, [3, 0], 0), gaussian(700, [0, 2], 1)
    weights = e.pseudo_ood(ind, pseudo)
    values = np.concatenate([ind.values, pseudo.values]).astype(np.float64)
    truth = np.repeat([1, 0], [300, 700])
    mean, std = values.mean(axis=0), values.std(axis=0)
    oracle = LogisticRegression(class_weight="balanced", solver="lbfgs", tol=1e-10, max_iter=10_000)
    oracle.fit((values - mean) / std, truth)
    np.testing.assert_allclose(weights.alpha, oracle.coef_.ravel() / std, rtol=1e-4)
    assert weights.alpha[0] > 0 > weights.alpha[1]
    assert (weights.rule, weights.labels) == ("pseudo-ood", "none (pseudo-ood made from ind images)")


def test_the_rows_to_fit_on_are_those_of_every_split():
    for count, fit in ((4, 500), (77, 20), (2000, 500)):
        rows = e.fit_rows(count, fit=fit, seed=3)
        for other in (4, 50, 3000):
            assert (rows == e.split(count, other, fit=fit, seed=3).fit_ind).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: e.pseudo_ood(real("ind"), gaussian(9, [0, 1], 0)), "pseudo-ood has a, b"),
        (lambda: e.pseudo_ood(real("ind"), real("ood").take(np.array([0]))), "96 ind and 1 pseudo-ood images"),
        (lambda: e.fit_rows(3, seed=0), "3 ind and 4 ood images are too few"),
        (lambda: e.standardised(real("ind").take(np.array([0]))), "1 ind image"),
        (lambda: e.standardised(LayerScores(np.ones((5, 2)), ("a", "b"))), "the 5 images have the same score"),
        (lambda: e.standardised(LayerScores(np.array([[1, np.nan], [1, 2]]), ("a", "b"))), "1 of 2 ind images"),
        (lambda: e.logistic(real("ind"), real("ood").take(np.array([0])), seed=0, labels="x"), "96 ind and 1 ood"),
        (lambda: e.logistic(real("ind"), gaussian(9, [0, 1], 0), seed=0, labels="x"), "ood has a, b"),
        (
            lambda: e.logistic(real("ind"), LayerScores(np.full((3, 4), np.inf), LAYERS), seed=0, labels="x"),
            "3 of 3 ood images",
        ),
        (
            lambda: e.logistic(LayerScores(np.ones((3, 1)), "a"), LayerScores(np.ones((3, 1)), "a"), seed=0, labels=""),
            "no alpha can be fitted",
        ),
        (lambda: e.manual(("a", "b"), [1]), "1 alpha values for 2 layers"),
        (lambda: e.manual(("a", "b"), [1, float("nan")]), "not finite"),
        (lambda: e.split(3, 100, seed=0), "3 ind and 100 ood images are too few.*at least 4"),
        (lambda: e.split(100, 0, seed=0), "100 ind and 0 ood"),
        (lambda: e.split(100, 100, fit=1, seed=0), "fit = 1"),
        (lambda: e.split(100, 100, seed=-1), "seed = -1"),
    ],
)
def test_bad_input_says_what_is_wrong(call, message):
    with pytest.raises(InputError, match=message):
        call()


@given(st.integers(4, 3000), st.integers(4, 3000), st.integers(2, 900), st.integers(0, 2**40))
def test_fitting_and_testing_never_overlap(count_ind, count_ood, fit, seed):
    split = e.split(count_ind, count_ood, fit=fit, seed=seed)
    sides = ((split.fit_ind, split.test_ind, count_ind), (split.fit_ood, split.test_ood, count_ood))
    for fitted, tested, count in sides:
        assert not set(fitted.tolist()) & set(tested.tolist())
        assert sorted([*fitted.tolist(), *tested.tolist()]) == list(range(count))
        assert len(fitted) == min(fit, count // 2)
        assert (np.diff(fitted) > 0).all()
        assert (np.diff(tested) > 0).all()
        assert fitted.dtype == tested.dtype == np.int64


def test_splits_are_seeded_and_ind_rows_do_not_depend_on_ood():
    first = e.split(1000, 400, seed=0)
    assert (len(first.fit_ind), len(first.fit_ood)) == (500, 200)
    assert (e.split(1000, 400, seed=0).fit_ood == first.fit_ood).all()
    assert (e.split(1000, 77, seed=0).fit_ind == first.fit_ind).all()
    assert (e.split(1000, 400, seed=1).fit_ind != first.fit_ind).any()
    # sides of equal size are drawn apart, not the same rows twice
    equal = e.split(1000, 1000, seed=0)
    assert (equal.fit_ind != equal.fit_ood).any()
