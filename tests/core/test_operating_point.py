"""Thresholds chosen by rule against a brute force over all of them, and the bootstrap of the achieved rates."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest

from fssd_core.errors import FssdError, InputError
from fssd_core.metrics import confusion, precision_at_prevalence
from fssd_core.operating_point import (
    SAID,
    Choice,
    choose_threshold,
    expected_cost,
    in_words,
    outlook,
    rate_intervals,
)

CHOICES = [
    Choice("tpr", tpr=0.95),
    Choice("tpr", tpr=1.0),
    Choice("tpr", tpr=0.0),
    Choice("fpr", fpr=0.05),
    Choice("fpr", fpr=0.0),
    Choice("fpr", fpr=1.0),
    Choice("cost", miss=10, alarm=1, prevalence=0.05),
    Choice("cost", miss=1, alarm=1, prevalence=0.5),
    Choice("cost", miss=1000, alarm=1, prevalence=0.3),
    Choice("cost", miss=0, alarm=1),
    Choice("cost", miss=1, alarm=0),
    Choice("alarms", alarms=100, images=10_000, prevalence=0.05),
    Choice("alarms", alarms=0, images=10_000),
    Choice("alarms", alarms=9_500, images=10_000, prevalence=0.05),
    Choice("alarms", alarms=3, images=200, prevalence=0.4),
]


def sides(seed: int, *, ties: bool) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    ind, ood = rng.normal(1.2, 1, 83), rng.normal(-0.4, 1.3, 61)
    return (np.round(ind * 2) / 2, np.round(ood * 2) / 2) if ties else (ind, ood)


def brute(ind: np.ndarray, ood: np.ndarray, choice: Choice) -> float:
    """Every threshold looked at, one by one, straight from the definitions."""
    counted = [(t, confusion(ind, ood, t)) for t in [np.inf, *sorted({*ind, *ood}, reverse=True)]]
    if choice.by == "tpr":
        return next(t for t, c in counted if c.tpr >= choice.tpr)
    if choice.by == "fpr":
        return [t for t, c in counted if c.fpr <= choice.fpr][-1]
    if choice.by == "alarms":
        daily = (1 - choice.prevalence) * choice.images
        return next(t for t, c in counted if daily * (c.fn / len(ind)) <= choice.alarms)
    pi = choice.prevalence
    costs = [(pi * choice.miss) * c.fpr + ((1 - pi) * choice.alarm) * (c.fn / len(ind)) for _, c in counted]
    return [t for (t, _), cost in zip(counted, costs, strict=True) if cost == min(costs)][-1]


@pytest.mark.parametrize("choice", CHOICES, ids=lambda c: in_words(c)[:40])
@pytest.mark.parametrize("ties", [False, True])
def test_every_rule_finds_what_looking_at_all_thresholds_finds(choice: Choice, ties: bool) -> None:
    for seed in range(6):
        ind, ood = sides(seed, ties=ties)
        wanted, found = brute(ind, ood, choice), choose_threshold(ind, ood, choice)
        same = confusion(ind, ood, wanted), confusion(ind, ood, found)
        assert (same[0].tp, same[0].fp) == (same[1].tp, same[1].fp), (seed, wanted, found)
        if choice.by in ("fpr", "cost") or ties is False:
            assert found in {*ind, *ood, np.inf}


def test_a_worked_example() -> None:
    ind, ood = [4.0, 5.0, 6.0, 7.0], [1.0, 2.0, 3.0, 4.5, 6.5]
    assert choose_threshold(ind, ood, Choice("tpr", tpr=0.75)) == 5.0
    assert choose_threshold(ind, ood, Choice("fpr", fpr=0.2)) == 5.0  # 4.5 would accept two of five
    assert choose_threshold(ind, ood, Choice("fpr", fpr=0.19)) == 7.0
    assert choose_threshold(ind, ood, Choice("fpr", fpr=0.0)) == 7.0
    # at 50 % ood: rejecting one of four ind costs 0.125, accepting one of five ood 0.1 times its cost
    assert choose_threshold(ind, ood, Choice("cost", miss=1, alarm=1, prevalence=0.5)) == 4.0
    assert choose_threshold(ind, ood, Choice("cost", miss=2, alarm=1, prevalence=0.5)) == 5.0
    # 100 images a day, 80 of them ind: one of the four is 20 alarms
    day = {"images": 100, "prevalence": 0.2}
    assert choose_threshold(ind, ood, Choice("alarms", alarms=20, **day)) == 5.0
    assert choose_threshold(ind, ood, Choice("alarms", alarms=19.9, **day)) == 4.0
    assert choose_threshold(ind, ood, Choice("alarms", alarms=80, **day)) == np.inf


def test_laws() -> None:
    ind, ood = sides(3, ties=False)
    for smaller, larger in pairwise((0.0, 0.01, 0.1, 0.3, 1.0)):
        by = [choose_threshold(ind, ood, Choice("fpr", fpr=v)) for v in (smaller, larger)]
        assert by[0] >= by[1], "more accepted ood allowed: no stricter"
    for cheap, dear in pairwise((0.1, 1.0, 10.0, 1000.0)):
        by = [choose_threshold(ind, ood, Choice("cost", miss=v)) for v in (cheap, dear)]
        assert by[0] <= by[1], "a dearer miss: no laxer"
    for choice in CHOICES:
        scaled = choose_threshold(4 * ind, 4 * ood, choice)
        assert scaled == 4 * choose_threshold(ind, ood, choice)
    for by in ("tpr", "alarms"):
        assert choose_threshold(ind, ood, Choice(by)) == choose_threshold(ind, ood[:5], Choice(by))
        assert not Choice(by).uses_ood
    assert choose_threshold(ind, ood, Choice("cost", miss=0, alarm=1)) <= ind.min()
    assert confusion(ind, ood, choose_threshold(ind, ood, Choice("cost", miss=1, alarm=0))).fp == 0


def test_the_outlook_counts_a_made_up_stream() -> None:
    choice = Choice("cost", miss=7, alarm=2, prevalence=0.05)
    ind, ood = sides(1, ties=False)
    at = confusion(ind, ood, 0.2)
    seen = outlook(at.tpr, at.fpr, choice)
    many_ind, many_ood = 95_000, 5_000
    kept, let_in = many_ind * at.tpr, many_ood * at.fpr
    assert seen.accepted == pytest.approx((kept + let_in) / 100_000)
    assert seen.ood_among_accepted == pytest.approx(let_in / (kept + let_in))
    assert seen.ood_among_accepted == pytest.approx(1 - precision_at_prevalence(at.tpr, at.fpr, 0.95))
    alarms = many_ind - kept
    assert seen.ind_among_rejected == pytest.approx(alarms / (alarms + many_ood - let_in))
    assert (seen.missed, seen.false_alarms) == pytest.approx((let_in / 1e5, alarms / 1e5))
    assert seen.cost == pytest.approx((7 * let_in + 2 * alarms) / 1e5) == float(expected_cost(at.tpr, at.fpr, choice))
    assert np.isnan(outlook(0, 0, choice).ood_among_accepted)
    assert np.isnan(outlook(1, 1, choice).ind_among_rejected)


def test_with_the_threshold_fixed_the_interval_is_the_binomials() -> None:
    from scipy.stats import binom

    ind, ood = sides(2, ties=False)
    at = confusion(ind, ood, 0.5)
    found = rate_intervals(ind, ood, 0.5, Choice("hand"), samples=20_000, generator=np.random.default_rng(0))
    assert (found.rechosen, found.threshold) == (None, None)
    for name, count, rate in (("tpr", 83, at.tpr), ("fpr", 61, at.fpr)):
        wanted = binom.ppf([0.025, 0.975], count, rate) / count
        assert found.fixed[name] == pytest.approx(tuple(wanted), abs=1.01 / count)


@pytest.mark.parametrize("choice", [c for c in CHOICES if c.by != "hand"], ids=lambda c: in_words(c)[:40])
def test_rechosen_draws_are_the_rule_on_resampled_scores(choice: Choice) -> None:
    ind, ood = sides(4, ties=True)
    threshold = choose_threshold(ind, ood, choice)
    samples = 60
    found = rate_intervals(ind, ood, threshold, choice, samples=samples, generator=np.random.default_rng(9))
    rng = np.random.default_rng(9)
    for side in (ind, ood):  # the fixed intervals' draws come first
        rng.binomial(len(side), np.mean(side >= threshold), samples)
    rates = []
    for _ in range(samples):
        low_first = [np.sort(side)[::-1] for side in (ind, ood)]  # positions count from the largest score
        a, b = (s[rng.integers(0, len(s), len(s), dtype=np.int32)] for s in low_first)
        at = confusion(a, b, choose_threshold(a, b, choice))
        rates.append((at.tpr, at.fpr))
    assert found.rechosen is not None
    for i, name in enumerate(("tpr", "fpr")):
        wanted = np.quantile([r[i] for r in rates], [0.025, 0.975], method="closest_observation")
        assert found.rechosen[name] == tuple(wanted)


def test_a_budget_of_fpr_holds_in_every_draw() -> None:
    ind, ood = sides(5, ties=False)
    choice = Choice("fpr", fpr=0.1)
    found = rate_intervals(
        ind, ood, choose_threshold(ind, ood, choice), choice, generator=np.random.default_rng(1), samples=200
    )
    assert found.rechosen is not None
    assert found.rechosen["fpr"][1] <= 0.1 < found.fixed["fpr"][1]
    assert found.rechosen["tpr"][0] < confusion(ind, ood, choose_threshold(ind, ood, choice)).tpr


def test_what_is_said_is_json_and_names_only_what_matters() -> None:
    assert Choice("fpr", fpr=0.05).said() == {"by": "fpr", "value": 0.05}
    assert Choice("tpr").said() == {"by": "tpr", "value": 0.95}
    assert Choice("cost", miss=3, alarm=2).said() == {"by": "cost", "miss": 3, "alarm": 2, "prevalence": 0.05}
    assert Choice("alarms", alarms=7).said() == {"by": "alarms", "value": 7, "images": 10_000.0, "prevalence": 0.05}
    assert Choice("hand").said(2.5) == {"by": "hand", "value": 2.5}
    assert in_words(Choice("hand"), 2.5) == "set by hand to 2.5"
    for by in SAID:
        assert json.loads(json.dumps(Choice(by).said(1.0)))["by"] == by


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"by": "fdr"}, "rule for the threshold"),
        ({"fpr": 5}, "a share, 0 to 1"),
        ({"tpr": float("nan")}, "true positive rate of nan"),
        ({"prevalence": 0.0}, "share of ood"),
        ({"miss": -1}, "cost of a miss"),
        ({"alarm": float("inf")}, "false alarm"),
        ({"images": 0}, "images a day"),
    ],
)
def test_a_choice_that_cannot_be_is_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(FssdError, match=words):
        Choice(**options)  # type: ignore[arg-type]


def test_what_cannot_be_chosen_is_refused() -> None:
    with pytest.raises(InputError, match="follows no rule"):
        choose_threshold([1.0], [0.0], Choice("hand"))
    with pytest.raises(InputError, match="0 ood scores"):
        choose_threshold([1.0], [], Choice("fpr"))
    with pytest.raises(InputError, match="0 samples"):
        rate_intervals([1.0], [0.0], 0.5, Choice(), samples=0, generator=np.random.default_rng(0))
