"""What weights fitted on one ood set are worth on another: the matrix that says at a glance whether they transfer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fssd_core import ensemble
from fssd_core.metrics import auroc
from fssd_core.study import Comparison
from fssd_core.types import Weights


@dataclass(frozen=True, eq=False)
class Transfer:
    """AUROC of every rule for alpha on every ood set; all numbers on images that no alpha was fitted on.

    Attributes:
        rules: R names: 'uniform', 'standardised', what else was given, then 'logistic on <set>' for each ood set.
        tested: T ood references.
        auroc: (R, T), ind positive.
        weights: the R weights.
        own: (R, T) whether the rule saw labels of the very set it is tested on.
    """

    rules: tuple[str, ...]
    tested: tuple[str, ...]
    auroc: npt.NDArray[np.float64]
    weights: tuple[Weights, ...]
    own: npt.NDArray[np.bool_]


def transfer(
    comparisons: Mapping[str, Comparison], *, seed: int = 0, also: Mapping[str, Weights] | None = None
) -> Transfer:
    """Fits alpha on each set's fitting rows and measures it on all sets' testing rows.

    Args:
        comparisons: {ood reference: scores split by `compare`}, of the same ind scores.
        seed: of the folds in the logistic fit.
        also: further weights to test on every set, by name; whose labels they saw is not asked.

    Raises:
        InputError: scores from which no alpha can be fitted.
    """
    first = next(iter(comparisons.values()))
    made: dict[str, tuple[Weights, str | None]] = {
        "uniform": (ensemble.uniform(first.fit_ind.layers), None),
        "standardised": (ensemble.standardised(first.fit_ind), None),
        **{name: (weights, None) for name, weights in (also or {}).items()},
    }
    for ref, comparison in comparisons.items():
        weights = ensemble.logistic(comparison.fit_ind, comparison.fit_ood, seed=seed, labels=ref)
        made[f"logistic on {ref}"] = (weights, ref)
    table = np.array(
        [
            [
                auroc(ensemble.combine(c.test_ind, weights), ensemble.combine(c.test_ood, weights))
                for c in comparisons.values()
            ]
            for weights, _ in made.values()
        ]
    )
    own = np.array([[fitted == ref for ref in comparisons] for _, fitted in made.values()])
    return Transfer(tuple(made), tuple(comparisons), table, tuple(w for w, _ in made.values()), own)


def in_words(result: Transfer) -> str:
    """The plainest sentence on whether fitted weights transfer, with the worst case's number."""
    others = [
        (result.auroc[r, t], result.rules[r], result.tested[t])
        for r in np.flatnonzero(result.own.any(axis=1))  # fitted on a set's labels
        for t in range(len(result.tested))
        if not result.own[r, t]
    ]
    if not others:
        return "With a single ood set nothing can be said about transfer; choose a second one."
    value, rule, tested = min(others)
    if value < 0.5:
        return f"Weights do not transfer here: {rule} scores {value:.3f} on {tested}, worse than a coin."
    if value < 0.8:
        return f"Weights transfer badly here: {rule} scores only {value:.3f} on {tested}."
    return f"Weights transfer on these sets: the worst case is {rule} on {tested}, {value:.3f}."
