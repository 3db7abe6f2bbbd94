"""The fast metrics of a sweep against scikit-learn and against `metrics`, ties and extremes too."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from fssd_core.ensemble import combine, manual
from fssd_core.errors import InputError
from fssd_core.metrics import metrics
from fssd_core.metrics_sweep import fast_metrics, sweep_metrics
from fssd_core.types import LayerScores

NAMES = ("auroc", "aupr_in", "aupr_out", "fpr80", "fpr95", "detection_error")


def drawn(kind: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    a, b = rng.normal(0.7, 1, 701), rng.normal(0, 1.3, 433)
    if kind == "few values":
        return np.round(a), np.round(b)
    if kind == "ties inside and across":
        return np.round(a, 1), np.round(b, 1)
    if kind == "all equal":
        return np.ones(5), np.ones(3)
    if kind == "separated":
        return a + 100, b
    if kind == "inverted":
        return a - 100, b
    if kind == "one each":
        return np.array([2.0]), np.array([1.0])
    if kind == "float32":
        return a.astype(np.float32), b.astype(np.float32)
    return a, b


KINDS = ("plain", "few values", "ties inside and across", "all equal", "separated", "inverted", "one each", "float32")


@pytest.mark.parametrize("kind", KINDS)
def test_equal_to_scikit_learn_and_to_metrics(kind):
    a, b = drawn(kind)
    found = fast_metrics(a, b)
    truth, scores = np.repeat([1, 0], [len(a), len(b)]), np.concatenate([a, b]).astype(float)
    fpr, tpr, _ = roc_curve(truth, scores, drop_intermediate=False)
    oracle = {
        "auroc": roc_auc_score(truth, scores),
        "aupr_in": average_precision_score(truth, scores),
        "aupr_out": average_precision_score(1 - truth, -scores),
        "fpr80": fpr[np.argmax(tpr >= 0.80)],
        "fpr95": fpr[np.argmax(tpr >= 0.95)],
        "detection_error": ((1 - tpr + fpr) / 2).min(),
    }
    plain = metrics(a, b)
    for name in NAMES:
        assert getattr(found, name) == pytest.approx(oracle[name], abs=1e-12), name
        assert getattr(found, name) == pytest.approx(getattr(plain, name), abs=1e-12), name
    assert (found.n_ind, found.n_ood) == (len(a), len(b))


def test_a_sweep_is_the_metrics_of_each_setting():
    rng = np.random.default_rng(0)
    tables = [
        {e: LayerScores(rng.gamma(2 + side, 1 + e, (n, 3)), ("a", "b", "c")) for e in (0.0, 0.1, 0.2)}
        for side, n in ((1, 90), (0, 70))
    ]
    weights = manual(("a", "b", "c"), [1.0, -0.5, 2.0])
    found = sweep_metrics(*tables, weights)
    assert list(found) == [0.0, 0.1, 0.2]
    for epsilon, numbers in found.items():
        expected = metrics(*(combine(t[epsilon], weights) for t in tables))
        assert numbers.auroc == expected.auroc
        assert numbers.aupr_out == pytest.approx(expected.aupr_out, abs=1e-12)


def test_bad_sweeps_are_refused():
    table = {0.0: LayerScores(np.ones((2, 1)), ("a",))}
    with pytest.raises(InputError, match=r"only one side has 0\.5"):
        sweep_metrics(table, {**table, 0.5: table[0.0]}, manual(("a",), [1.0]))
    with pytest.raises(InputError, match="NaN"):
        fast_metrics([1.0, np.nan], [0.0])
    with pytest.raises(InputError, match="at least 1"):
        fast_metrics([], [0.0])
