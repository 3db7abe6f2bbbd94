"""Metrics against the authors' numbers, scikit-learn, closed forms and their own laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn import metrics as oracle

from fssd_core import metrics as m
from fssd_core.errors import InputError
from fssd_core.types import LayerScores
from tests import reference

NUMBERS = ("auroc", "aupr_in", "aupr_out", "fpr80", "fpr95", "detection_error")
tied = st.lists(st.integers(-4, 4), min_size=1, max_size=40)  # many ties
spread = st.lists(st.floats(-1e6, 1e6, allow_nan=False, width=32), min_size=1, max_size=40)
sides = st.one_of(st.tuples(tied, tied), st.tuples(spread, spread))
shares = st.sampled_from([0.0, 0.05, 0.3, 0.8, 0.95, 1.0])


def labelled(ind, ood):
    return np.r_[np.ones(len(ind)), np.zeros(len(ood))], np.r_[np.asarray(ind, float), np.asarray(ood, float)]


def test_the_authors_numbers():
    ind, ood = reference.vectors()["metric_ind_scores"], reference.vectors()["metric_ood_scores"]
    expected = reference.reference_metrics()
    found = m.metrics(ind, ood)
    assert found.auroc == pytest.approx(expected["auroc"], abs=1e-14)
    assert found.fpr80 == expected["fpr_at_tpr80"]
    assert found.fpr95 == expected["fpr_at_tpr95"]
    assert (found.n_ind, found.n_ood) == (400, 300)
    for positive, name in (
        ("ind", "aupr_in"),
        ("ood", "aupr_out"),
    ):  # the authors integrate PR by trapezoids and leave out recall 0
        curve = m.pr(ind, ood, positive=positive)
        trapezoid = oracle.auc(curve.x[1:], curve.y[1:])
        assert trapezoid == pytest.approx(expected[f"{name}_trapezoid"], abs=1e-13)
        assert m.aupr(ind, ood, positive=positive) == pytest.approx(trapezoid, abs=5e-3)


@given(sides)
def test_numbers_are_scikit_learns(pair):
    ind, ood = pair
    truth, scores = labelled(ind, ood)
    found = m.metrics(ind, ood)
    assert found.auroc == pytest.approx(oracle.roc_auc_score(truth, scores), abs=1e-14)
    assert found.auroc == m.auroc(ind, ood)
    assert found.aupr_in == pytest.approx(oracle.average_precision_score(truth, scores), abs=1e-14)
    assert found.aupr_out == pytest.approx(oracle.average_precision_score(1 - truth, -scores), abs=1e-14)
    fpr, tpr, _ = oracle.roc_curve(truth, scores, drop_intermediate=False)
    assert found.detection_error == pytest.approx(((1 - tpr + fpr) / 2).min(), abs=1e-14)
    assert found.fpr80 == fpr[np.argmax(tpr >= 0.80)]
    assert found.fpr95 == fpr[np.argmax(tpr >= 0.95)]


@given(sides)
def test_auroc_is_the_share_of_pairs_won(pair):
    ind, ood = (np.asarray(side, float) for side in pair)
    won = (ind[:, None] > ood).sum() + (ind[:, None] == ood).sum() / 2
    assert m.auroc(ind, ood) == pytest.approx(won / (len(ind) * len(ood)), abs=1e-14)


@given(sides, shares)
def test_threshold_is_the_largest_that_accepts_enough(pair, tpr):
    ind, ood = (np.asarray(side, float) for side in pair)
    threshold = m.threshold_at_tpr(ind, tpr)
    assert np.mean(ind >= threshold) >= tpr
    assert np.mean(ind >= np.nextafter(threshold, np.inf)) < tpr or threshold == np.inf
    assert m.fpr_at_tpr(ind, ood, tpr) == np.mean(ood >= threshold)
    point = m.confusion(ind, ood, threshold)
    assert point.fpr == m.fpr_at_tpr(ind, ood, tpr)


@given(sides)
def test_order_of_images_and_rising_transforms_change_nothing(pair):
    ind, ood = pair
    found = m.metrics(ind, ood)
    assert m.metrics(ind[::-1], ood[::-1]) == found
    exact = [np.asarray(side, float) * 4 for side in pair]
    assert m.metrics(*exact) == found


@given(sides)
def test_turning_the_sign_exchanges_the_sides(pair):
    ind, ood = (np.asarray(side, float) for side in pair)
    a, b = m.metrics(ind, ood), m.metrics(-ood, -ind)
    assert b.auroc == pytest.approx(a.auroc, abs=1e-14)
    assert (b.aupr_in, b.aupr_out) == (a.aupr_out, a.aupr_in)
    assert b.detection_error == pytest.approx(a.detection_error, abs=1e-14)
    assert m.auroc(-ind, -ood) == pytest.approx(1 - a.auroc, abs=1e-14)


@given(sides)
def test_curves_hold_the_numbers(pair):
    ind, ood = (np.asarray(side, float) for side in pair)
    found = m.metrics(ind, ood)
    for drop in (True, False):
        curve = m.roc(ind, ood, drop_intermediate=drop)
        assert (curve.x[0], curve.y[0], curve.thresholds[0]) == (0, 0, np.inf)
        assert (curve.x[-1], curve.y[-1]) == (1, 1)
        assert oracle.auc(curve.x, curve.y) == pytest.approx(found.auroc, abs=1e-13)
        for x, y, threshold in zip(curve.x, curve.y, curve.thresholds, strict=True):
            assert x == pytest.approx(np.mean(ood >= threshold), abs=1e-15)
            assert y == pytest.approx(np.mean(ind >= threshold), abs=1e-15)
    for positive, area in (("ind", found.aupr_in), ("ood", found.aupr_out)):
        curve = m.pr(ind, ood, positive=positive)
        assert np.sum(np.diff(curve.x) * curve.y[1:]) == pytest.approx(area, abs=1e-13)
        assert (np.diff(curve.x) >= 0).all()


@given(sides)
def test_pr_thresholds_mean_what_they_say(pair):
    ind, ood = (np.asarray(side, float) for side in pair)
    curve = m.pr(ind, ood)
    assert (curve.x[0], curve.y[0], curve.thresholds[0]) == (0, 1, np.inf)
    for recall, precision, threshold in zip(curve.x, curve.y, curve.thresholds, strict=True):
        point = m.confusion(ind, ood, threshold)
        assert (recall, precision) == pytest.approx((point.tpr, point.precision), abs=1e-14)
    curve = m.pr(ind, ood, positive="ood")
    assert curve.thresholds[0] == -np.inf
    for recall, precision, threshold in zip(curve.x[1:], curve.y[1:], curve.thresholds[1:], strict=True):
        flagged_ood, flagged_ind = (ood <= threshold).sum(), (ind <= threshold).sum()
        assert recall == pytest.approx(flagged_ood / len(ood), abs=1e-14)
        assert precision == pytest.approx(flagged_ood / (flagged_ood + flagged_ind), abs=1e-14)


@given(sides, st.floats(0.01, 0.99))
def test_precision_corrected_to_a_prevalence(pair, share):
    ind, ood = pair
    truth, scores = labelled(ind, ood)
    weight = np.where(truth == 1, share / len(ind), (1 - share) / len(ood))
    expected = oracle.average_precision_score(truth, scores, sample_weight=weight)
    assert m.aupr(ind, ood, prevalence=share) == pytest.approx(expected, abs=1e-12)
    weight = np.where(truth == 0, share / len(ood), (1 - share) / len(ind))
    expected = oracle.average_precision_score(1 - truth, -scores, sample_weight=weight)
    assert m.aupr(ind, ood, positive="ood", prevalence=share) == pytest.approx(expected, abs=1e-12)
    curve = m.pr(ind, ood, prevalence=share)
    for recall, precision, threshold in zip(curve.x, curve.y, curve.thresholds, strict=True):
        point = m.confusion(ind, ood, threshold)
        assert recall == pytest.approx(point.tpr, abs=1e-12)
        assert precision == pytest.approx(point.precision_at(share), abs=1e-12)


def test_prevalence_takes_out_the_ratio_of_the_sets():
    rng = np.random.default_rng(0)
    ind, ood = rng.normal(1, 1, 300), rng.normal(0, 1, 200)
    plain = m.aupr(ind, ood)
    assert m.aupr(ind, ood, prevalence=300 / 500) == pytest.approx(plain, abs=1e-12)
    many = np.tile(ood, 5)
    assert m.aupr(ind, many) < plain - 0.1
    assert m.aupr(ind, many, prevalence=300 / 500) == pytest.approx(plain, abs=1e-12)


def test_hand_counted_example():
    found = m.metrics([3, 2, 2, 1], [2, 0])
    assert found.auroc == (2 + 1.5 + 1.5 + 1) / 8  # against 2: won, tied, tied, lost; against 0: four won
    assert found.aupr_in == pytest.approx(1 / 4 * 1 + 2 / 4 * 3 / 4 + 1 / 4 * 4 / 5)
    assert found.aupr_out == pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 5)
    assert (found.fpr80, found.fpr95) == (0.5, 0.5)
    assert found.detection_error == 0.25
    point = m.confusion([3, 2, 2, 1], [2, 0], 2)
    assert (point.tp, point.fn, point.fp, point.tn) == (3, 1, 1, 1)
    assert (point.tpr, point.fnr, point.fpr, point.tnr) == (0.75, 0.25, 0.5, 0.5)
    assert (point.accuracy, point.precision) == (4 / 6, 0.75)
    assert point.precision_at(0.5) == pytest.approx(0.75 / 1.25)


def test_extremes():
    perfect = m.metrics([2, 3], [0, 1])
    assert [getattr(perfect, name) for name in NUMBERS] == [1, 1, 1, 0, 0, 0]
    inverted = m.metrics([0, 1], [2, 3])
    assert (inverted.auroc, inverted.fpr95, inverted.detection_error) == (0, 1, 0.5)
    constant = m.metrics(np.full(30, 7.0), np.full(10, 7.0))
    assert [getattr(constant, name) for name in NUMBERS] == [0.5, 0.75, 0.25, 1, 1, 0.5]
    assert m.metrics([1], [1]).auroc == 0.5
    nothing = m.confusion([1, 2], [0], math.inf)
    assert (nothing.tp, nothing.fp, nothing.precision) == (0, 0, 1.0)


def test_exact_shares_are_not_lost_to_rounding():
    # 0.95 * 20 is 19.0 and 0.07 * 100 is 7.000000000000001: the share itself must be compared
    ind = np.arange(20.0)
    assert m.threshold_at_tpr(ind, 0.95) == 1.0
    assert m.threshold_at_tpr(np.arange(100.0), 0.07) == 93.0
    assert m.fpr_at_tpr(ind, [0.5, 1.5], 0.95) == 0.5
    assert m.metrics(ind, [0.5, 1.5]).fpr95 == 0.5


def test_gaussians_reach_their_closed_form():
    rng = np.random.default_rng(3)
    found = m.metrics(rng.normal(1.5, 1, 40_000), rng.normal(0, 1, 40_000))
    assert found.auroc == pytest.approx(norm.cdf(1.5 / math.sqrt(2)), abs=0.005)
    assert found.fpr95 == pytest.approx(norm.sf(1.5 + norm.ppf(0.05)), abs=0.015)
    assert found.fpr80 == pytest.approx(norm.sf(1.5 + norm.ppf(0.20)), abs=0.01)
    assert found.detection_error == pytest.approx(norm.cdf(-0.75), abs=0.005)


def test_layers_have_their_own_numbers():
    rng = np.random.default_rng(0)
    ind = LayerScores(rng.normal(1, 1, (50, 2)), ("a", "b"))
    ood = LayerScores(rng.normal(0, 1, (40, 2)), ("a", "b"))
    found = m.layer_metrics(ind, ood)
    assert list(found) == ["a", "b"]
    assert found["b"] == m.metrics(ind.values[:, 1], ood.values[:, 1])
    with pytest.raises(InputError, match="no layer 'a'"):
        m.layer_metrics(ind, LayerScores(ood.values, ("x", "b")))


def delong_error(ind, ood):
    """Standard error of AUROC after DeLong et al. 1988."""
    wins = (ind[:, None] > ood) + 0.5 * (ind[:, None] == ood)
    return math.sqrt(wins.mean(1).var(ddof=1) / len(ind) + wins.mean(0).var(ddof=1) / len(ood))


def test_bootstrap_is_as_wide_as_delong_says():
    rng = np.random.default_rng(1)
    ind, ood = rng.normal(1, 1, 400).round(1), rng.normal(0, 1, 150).round(1)
    low, high = m.bootstrap(ind, ood, samples=2000, generator=np.random.default_rng(0))
    error = delong_error(ind, ood)
    assert low < m.auroc(ind, ood) < high
    assert (high - low) / (2 * norm.ppf(0.975)) == pytest.approx(error, rel=0.06)
    low90, high90 = m.bootstrap(ind, ood, samples=2000, level=0.9, generator=np.random.default_rng(0))
    assert low < low90 < high90 < high


def test_bootstrap_draws_are_ordinary_resamples():
    """The counting shortcut gives exactly what drawing images and calling `metrics` gives."""
    rng = np.random.default_rng(5)
    ind, ood = rng.integers(0, 9, 60), rng.integers(-3, 6, 45)
    found = m.intervals(ind, ood, samples=200, level=0.5, generator=np.random.default_rng(7))
    draws = np.random.default_rng(7)
    # a draw is an index into the side sorted from the largest score down
    falling_ind, falling_ood = np.sort(ind)[::-1], np.sort(ood)[::-1]
    drawn = []
    for _ in range(200):
        rows_ind = draws.integers(0, 60, 60, dtype=np.int32)
        rows_ood = draws.integers(0, 45, 45, dtype=np.int32)
        drawn.append(m.metrics(falling_ind[rows_ind], falling_ood[rows_ood]))
    assert set(found) == set(NUMBERS)
    for name, (low, high) in found.items():
        values = [getattr(numbers, name) for numbers in drawn]
        assert (low, high) == pytest.approx(tuple(np.quantile(values, [0.25, 0.75])), abs=1e-14)


def test_bootstrap_is_seeded_and_degenerate_cases_are_defined():
    ind, ood = [1.0, 2.0, 3.0], [0.0, 2.0]
    first = m.bootstrap(ind, ood, metric="fpr95", generator=np.random.default_rng(0))
    assert first == m.bootstrap(ind, ood, metric="fpr95", generator=np.random.default_rng(0))
    assert m.bootstrap([2, 3], [0, 1], generator=np.random.default_rng(0)) == (1, 1)
    assert m.bootstrap([2], [2], generator=np.random.default_rng(0)) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: m.metrics([], [1]), "0 ind scores"),
        (lambda: m.metrics([1], []), "0 ood scores"),
        (lambda: m.metrics([1, np.nan, np.nan], [1]), "2 of 3 ind scores are NaN and 0 are infinite"),
        (lambda: m.roc([1, 2], [np.inf, np.nan, -np.inf]), "1 of 3 ood scores are NaN and 2 are infinite"),
        (lambda: m.pr([1, 2], [np.inf]), "0 of 1 ood scores are NaN and 1 are infinite"),
        (lambda: m.metrics(np.ones((3, 2)), [1]), r"ind scores of shape \(3, 2\)"),
        (lambda: m.metrics(["a"], [1]), "ind scores of shape"),
        (lambda: m.threshold_at_tpr([1], 95), "0.95 for 95 %"),
        (lambda: m.threshold_at_tpr([1], math.nan), "it is a share, 0 to 1"),
        (lambda: m.confusion([1], [1], math.nan), "the threshold is NaN"),
        (lambda: m.aupr([1], [0], prevalence=1.0), "prevalence 1.0 was given"),
        (lambda: m.aupr([1], [0], positive="odd"), "did you mean 'ood'"),
        (lambda: m.pr([1], [0], positive="id"), "did you mean 'ind'"),
        (lambda: m.bootstrap([1], [0], metric="aucroc", generator=np.random.default_rng(0)), "did you mean 'auroc'"),
        (lambda: m.bootstrap([1], [0], samples=0, generator=np.random.default_rng(0)), "0 samples"),
        (lambda: m.bootstrap([1], [0], level=95, generator=np.random.default_rng(0)), "level 95"),
    ],
)
def test_bad_input_says_what_is_wrong(call, message):
    with pytest.raises(InputError, match=message):
        call()
