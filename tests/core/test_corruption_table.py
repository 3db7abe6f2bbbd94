"""The corruption study's fast half: exact numbers on hand-set scores, bootstrap draws done by hand, the claim."""

from __future__ import annotations

import numpy as np
import pytest

from fssd_core.corruption_claim import FAILS, HOLDS, OPEN, Claim, claim, in_words
from fssd_core.corruption_table import (
    CorruptionResult,
    CorruptionScores,
    accepted_accuracy,
    auroc_draws,
    image_draws,
    linear_draws,
    metric_table,
    placements,
    rejected_table,
    spread,
)
from fssd_core.corruption_weights import weights_by_rule
from fssd_core.ensemble import manual
from fssd_core.errors import InputError
from fssd_core.metrics import auroc, metrics
from fssd_core.types import LayerScores


def result(
    types: int = 4, severities: int = 2, count: int = 40, seed: int = 0, *, paired: bool = True
) -> CorruptionResult:
    """Two detectors: 'fssd' of two layers, lower under corruption, and 'other' of one."""
    rng = np.random.default_rng(seed)
    clean = rng.normal(5, 1, (count, 2)).astype(np.float32)
    shift = rng.uniform(0, 2, (types, severities, 1, 1))
    cells = (clean - shift * [1, 3] + rng.normal(0, 0.5, (types, severities, count, 2))).astype(np.float32)
    labels = np.arange(count) % 3
    return CorruptionResult(
        types=("gaussian_noise", "fog", "snow", "frost")[:types],
        severities=tuple(range(1, severities + 1)),
        rows=np.arange(100, 100 + count),
        labels=labels,
        cell_labels=labels,
        paired=paired,
        detectors={
            "fssd": CorruptionScores("fssd", "FSSD", ("a", "b"), clean, cells),
            "other": CorruptionScores("other", "Other", ("other",), clean[:, :1], cells[..., :1]),
        },
        predicted=labels.astype(np.int32),
        cell_predicted=rng.integers(0, 3, (types, severities, count)).astype(np.int32),
    )


def test_a_table_holds_each_cells_own_metric():
    made = result()
    clean, cells = made.detectors["fssd"].combined(manual(("a", "b"), (2.0, -0.5)))
    expected = (
        2 * made.detectors["fssd"].cells[3, 1, :, 0].astype(float) - 0.5 * made.detectors["fssd"].cells[3, 1, :, 1]
    )
    np.testing.assert_allclose(cells[3, 1], expected, rtol=1e-12)
    for name in ("auroc", "fpr95", "aupr_out", "detection_error"):
        table = metric_table(clean, cells, name)
        for place in np.ndindex(4, 2):
            assert table[place] == getattr(metrics(clean, cells[place]), name)
    assert made.detectors["other"].combined()[0].shape == (40,)
    with pytest.raises(InputError, match="metric"):
        metric_table(clean, cells, "aurok")


def test_spread_over_types_by_hand():
    over = spread(np.array([[0.5, 1.0], [0.7, 1.0], [0.9, 1.0]]))
    np.testing.assert_allclose(over.mean, [0.7, 1.0])
    np.testing.assert_allclose(over.sd, [0.2, 0.0], atol=1e-15)
    assert (over.low[0], over.high[0]) == (0.5, 0.9)
    assert spread(np.array([[0.5, 1.0]])).sd.tolist() == [0, 0]


def test_accuracy_and_what_the_threshold_does_by_hand():
    made = result(types=1, severities=1, count=4)
    made.cell_predicted[:] = [[[0, 1, 0, 0]]]  # labels 0 1 2 0
    cells = np.array([[[3.0, 1.0, 2.0, 0.0]]])
    clean, table = made.accuracy()
    assert (clean, table.tolist()) == (1.0, [[0.75]])
    assert rejected_table(cells, 2.0).tolist() == [[0.5]]
    assert accepted_accuracy(made, cells, 2.0).tolist() == [0.5]
    assert np.isnan(accepted_accuracy(made, cells, 9.0)[0])


def test_taking_images_and_types_keeps_them_together():
    made = result()
    some = made.take(np.array([5, 2]))
    assert some.rows.tolist() == [105, 102]
    np.testing.assert_array_equal(some.detectors["fssd"].cells, made.detectors["fssd"].cells[:, :, [5, 2]])
    np.testing.assert_array_equal(some.cell_predicted, made.cell_predicted[:, :, [5, 2]])
    two = made.of_types(["frost", "fog"])
    assert two.types == ("fog", "frost")
    np.testing.assert_array_equal(two.detectors["other"].cells, made.detectors["other"].cells[[1, 3]])
    with pytest.raises(InputError, match="there are gaussian_noise"):
        made.of_types(["spatter"])
    with pytest.raises(InputError, match="different ones"):
        result(paired=False).take(np.array([1]))


@pytest.mark.parametrize("ties", [False, True])
def test_exact_draws_are_the_auroc_of_the_drawn_images(ties):
    rng = np.random.default_rng(1)
    clean, corrupted = rng.normal(1, 1, 30), rng.normal(0, 1, 25)
    if ties:
        clean, corrupted = clean.round(), corrupted.round()
    draws = image_draws(30, 20, np.random.default_rng(2)), image_draws(25, 20, np.random.default_rng(3))
    assert (draws[0].sum(axis=1) == 30).all()
    found = auroc_draws(clean, corrupted, *draws)
    for b in range(20):
        by_hand = auroc(np.repeat(clean, draws[0][b].astype(int)), np.repeat(corrupted, draws[1][b].astype(int)))
        assert found[b] == pytest.approx(by_hand, abs=1e-12)


def test_placements_average_to_the_auroc_with_ties_counted_half():
    clean, cells = np.array([1.0, 2.0, 2.0, 5.0]), np.array([[[2.0, 0.0, 7.0]]])
    of_clean, of_cells = placements(clean, cells)
    expected = auroc(clean, cells[0, 0])
    assert of_clean.mean() == pytest.approx(expected)
    assert of_cells.mean() == pytest.approx(expected)
    np.testing.assert_allclose(of_clean[0, 0], [1 / 3, 1.5 / 3, 1.5 / 3, 2 / 3])


def test_linearised_draws_follow_the_exact_ones():
    made = result(count=400)
    clean, cells = made.detectors["fssd"].combined()
    draws = image_draws(400, 200, np.random.default_rng(0))
    table, linear = linear_draws(clean, cells, draws, draws)
    np.testing.assert_allclose(table, metric_table(clean, cells), atol=1e-12)
    for place in np.ndindex(4, 2):
        exact = auroc_draws(clean, cells[place], draws, draws)
        assert np.sqrt(np.mean((linear[:, *place] - exact) ** 2)) < 0.3 * exact.std(), "the rest is of order 1/N"
        assert linear[:, *place].std() == pytest.approx(exact.std(), rel=0.1)


def shifted(aurocs: np.ndarray, count: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Scores of a detector whose cells separate by about the given AUROC."""
    from scipy.stats import norm

    clean = norm.ppf((np.arange(count) + 0.5) / count)
    cells = clean - np.sqrt(2) * norm.ppf(aurocs)[..., None]
    return clean, np.take_along_axis(cells, np.argsort(np.random.default_rng(0).random(cells.shape), axis=2), axis=2)


def one_claim(ours: np.ndarray, theirs: np.ndarray, **given) -> Claim:
    scored = {"fssd": shifted(ours[:, None]), "msp": shifted(theirs[:, None])}
    return claim(scored, (3,), ours="fssd", paired=True, generator=np.random.default_rng(0), **given)[0]


BASE = np.linspace(0.6, 0.9, 19)


def test_the_claim_holds_fails_and_stays_open_where_it_should():
    steady = 0.9 + 0.02 * np.sin(np.arange(19))
    held = one_claim(steady, BASE)
    assert (held.higher_mean, held.smaller_variance, held.verdict) == (HOLDS, HOLDS, HOLDS)
    assert held.mean == pytest.approx(steady.mean(), abs=0.005)
    assert held.ratio == pytest.approx(steady.var(ddof=1) / BASE.var(ddof=1), rel=0.1)
    turned = one_claim(BASE, steady)
    assert (turned.higher_mean, turned.smaller_variance, turned.verdict) == (FAILS, FAILS, FAILS)
    assert turned.difference == pytest.approx(-held.difference)
    wide = one_claim(np.clip(BASE + 0.05, 0, 0.97), BASE)
    assert wide.higher_mean == HOLDS
    assert wide.smaller_variance == OPEN
    assert wide.verdict == OPEN


def test_a_method_against_itself_decides_nothing():
    same = one_claim(BASE, BASE)
    assert same.difference_interval == (0.0, 0.0)
    assert same.ratio_interval == (1.0, 1.0)
    assert same.verdict == OPEN
    perfect = one_claim(np.full(19, 1 - 1e-12), np.full(19, 1 - 1e-12))
    assert (perfect.ratio, perfect.ratio_interval) == (1.0, (1.0, 1.0)), "0 over 0 is no division"


def test_the_claim_needs_fssd_and_three_types():
    with pytest.raises(InputError, match="at least 3"):
        one_claim(BASE[:2], BASE[:2])
    with pytest.raises(InputError, match="not among msp"):
        claim({"msp": shifted(BASE[:, None])}, (1,), ours="fssd", paired=True, generator=np.random.default_rng(0))


def test_the_claim_in_words_counts_its_verdicts():
    held = one_claim(0.9 + 0.02 * np.sin(np.arange(19)), BASE)
    assert in_words([held, held]) == (
        "Against 1 method at 1 severity, 2 comparisons: holds in 2, does not hold in 0, not decided in 0. "
        "The higher mean alone holds in 2, does not hold in 0, not decided in 0; "
        "the smaller variance alone holds in 2, does not hold in 0, not decided in 0."
    )


def test_rules_for_alpha_keep_the_images_they_saw_out_of_the_numbers():
    made = result(count=40)
    weights, tested = weights_by_rule("uniform", made, ours="fssd", seed=0)
    assert weights["fssd"].alpha == (1.0, 1.0)
    assert tested is made
    assert "other" not in weights
    weights, tested = weights_by_rule("standardised", made, ours="fssd", seed=0)
    fitted = np.setdiff1d(made.rows, tested.rows) - 100
    assert (len(fitted), len(tested.rows)) == (20, 20)
    expected = 1 / made.detectors["fssd"].clean[fitted].astype(float).std(axis=0)
    np.testing.assert_allclose(weights["fssd"].alpha, expected, rtol=1e-6)
    ood = LayerScores(made.detectors["fssd"].clean[:10] - 4, ("a", "b"))
    weights, tested = weights_by_rule("pseudo-ood", made, ours="fssd", seed=0, pseudo=lambda: ood)
    assert (weights["fssd"].rule, len(tested.rows)) == ("pseudo-ood", 20)
    assert all(alpha > 0 for alpha in weights["fssd"].alpha)
    weights, _ = weights_by_rule("logistic", made, ours="fssd", seed=0)
    assert "these very corruptions (4 types, 2 severities)" in weights["fssd"].labels
    weights, tested = weights_by_rule("-1,0.5", made, ours="fssd", seed=0)
    assert weights["fssd"].alpha == (-1.0, 0.5)
    with pytest.raises(InputError, match="did you mean 'uniform'"):
        weights_by_rule("unifrom", made, ours="fssd", seed=0)
    with pytest.raises(InputError, match="own order"):
        weights_by_rule("standardised", result(paired=False), ours="fssd", seed=0)
