"""Numbers of a subset on hand-set scores, scikit-learn as the oracle; which images come first; what is said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from fssd_core.errors import InputError
from fssd_core.subset import ORDERS, Judged, caution, first, judge_rows, numbers, sides, why_no_curve
from fssd_core.types import LayerScores, Weights

WEIGHTS = Weights((1.0, -2.0), ("a", "b"))


def group(name: str, kind: str, scores: list[float], *, threshold: float = 2.0, fit_rows=()) -> Judged:
    """Images whose score is as given: layer a has it and twice what layer b takes away."""
    values = np.array([[s + 2, 1.0] for s in scores], np.float32)
    rows = 10 * np.arange(len(scores))
    return judge_rows(
        name, kind, rows, LayerScores(values, ("a", "b")), weights=WEIGHTS, threshold=threshold, fit_rows=fit_rows
    )


IND, OOD, MORE = group("i", "ind", [1, 2, 3, 9]), group("o", "ood", [0, 2.5, 4]), group("p", "ood", [5])


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_scores_verdicts_and_fitted_images():
    one = group("i", "ind", [1, 2, 3], fit_rows=[20, 70])
    assert one.scores.tolist() == [1, 2, 3]
    assert one.accepted.tolist() == [False, True, True]  # the threshold itself is accepted
    assert one.fitted.tolist() == [False, False, True]
    part = one.take(np.array([True, False, True]))
    assert (part.rows.tolist(), part.scores.tolist(), part.fitted.tolist()) == ([0, 20], [1, 3], [False, True])
    assert part.distances.values.tolist() == [[3, 1], [5, 1]]


def test_numbers_agree_with_scikit_learn_and_pool_the_ood_groups():
    found = numbers([OOD, IND, MORE], 2.0, generator=rng())
    truth, values = [1, 1, 1, 1, 0, 0, 0, 0], [1, 2, 3, 9, 0, 2.5, 4, 5]
    assert (found.n_ind, found.n_ood, found.dropped) == (4, 4, 0)
    assert found.metrics.auroc == roc_auc_score(truth, values)
    assert found.metrics.aupr_in == pytest.approx(average_precision_score(truth, values))
    assert (found.tpr, found.fpr) == (0.75, 0.75)
    low, high = found.auroc
    assert low < found.metrics.auroc < high
    assert numbers([OOD, IND, MORE], 2.0, generator=rng()).auroc == (low, high)


def test_of_one_kind_alone_there_are_rates_and_no_curve():
    found = numbers([IND], 2.0, generator=rng())
    assert (found.tpr, found.fpr, found.metrics, found.auroc) == (0.75, None, None, None)
    assert "4 images with a score, none of them out-of-distribution" in why_no_curve(found)
    assert "1 image with a score, none of them in-distribution" in why_no_curve(numbers([MORE], 2.0, generator=rng()))
    assert "no image with a score is selected" in why_no_curve(numbers([], 2.0, generator=rng()))
    assert why_no_curve(numbers([IND, MORE], 2.0, generator=rng())) == ""


def test_scores_that_are_not_finite_are_counted_and_left_out():
    broken = replace(IND, scores=np.array([1, np.nan, 3, np.inf]))
    found = numbers([broken, OOD], 2.0, generator=rng())
    assert (found.n_ind, found.dropped) == (2, 2)
    assert sides([broken])[0].tolist() == [1, 3]
    assert first([broken], 2.0, order="borderline", count=9)[-2:] == [(0, 1), (0, 3)]


def test_few_images_are_named_with_their_weight():
    assert caution(numbers([IND, MORE], 2.0, generator=rng())) == (
        "Few images: each of the 1 ood images weighs 1 in the AUROC."
    )
    many = [group("i", "ind", list(range(10))), group("o", "ood", list(range(12)))]
    assert caution(numbers(many, 2.0, generator=rng())) == ""
    assert caution(numbers([IND], 2.0, generator=rng())) == ""
    # the weight that is named: one ind image of four, moved from above all ood to below all
    moved = replace(IND, scores=np.array([1, 2, 3, -1.0]))
    before, after = (numbers([one, OOD], 2.0, generator=rng()).metrics.auroc for one in (IND, moved))
    assert before - after == pytest.approx(1 / 4)


@pytest.mark.parametrize(
    ("order", "scores"),
    [
        ("borderline", [2, 2.5, 1, 3, 0, 4, 5, 9]),
        ("lowest", [0, 1, 2, 2.5, 3, 4, 5, 9]),
        ("highest", [9, 5, 4, 3, 2.5, 2, 1, 0]),
        ("wrong", [5, 4, 1, 2.5, 2, 3, 0, 9]),  # accepted ood and rejected ind first, the farthest beyond first
    ],
)
def test_orders(order, scores):
    groups = [IND, OOD, MORE]
    found = first(groups, 2.0, order=order, count=20)
    assert [groups[g].scores[i] for g, i in found] == scores
    assert found[:3] == first(groups, 2.0, order=order, count=3)
    assert set(ORDERS) == {"borderline", "lowest", "highest", "wrong"}


def test_what_cannot_be_judged_is_refused():
    with pytest.raises(InputError, match=r"no order 'lowes'.*lowest"):
        first([IND], 2.0, order="lowes", count=3)
    with pytest.raises(InputError, match="kind 'noise' has no verdict"):
        group("n", "noise", [1])
    with pytest.raises(InputError, match="2 rows of i came with distances of 1 images"):
        judge_rows("i", "ind", np.arange(2), IND.distances.take(np.array([0])), weights=WEIGHTS, threshold=1)
    assert first([], 2.0, order="lowest", count=3) == []
