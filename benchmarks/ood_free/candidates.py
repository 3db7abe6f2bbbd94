"""Every candidate that was tried: which columns, joined how. The order is from simple to composed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from benchmarks.ood_free import combine
from benchmarks.ood_free.columns import Column
from benchmarks.ood_free.combine import Held, Score
from benchmarks.ood_free.features import Array, Features

RADIUS = "radius"
POOLED = "Mahalanobis, pooled"
FROM_0, FROM_FSS = " of directions from 0", " of directions from F*"
MAHA_0, MAHA_FSS, MAHA = f"Mahalanobis{FROM_0}", f"Mahalanobis{FROM_FSS}", "Mahalanobis"
NEAR_0, NEAR_FSS, NEAR = (f"class neighbours{view}" for view in (FROM_0, FROM_FSS, ""))
ANY_0 = f"neighbours{FROM_0}"
BOTH = (RADIUS, NEAR_0, NEAR_FSS)
Rule = Callable[[Held], Score]


@dataclass(frozen=True)
class Candidate:
    """Families of columns (each on every layer it has) and the rule that joins them."""

    name: str
    families: tuple[str, ...]
    rule: Rule


def _all() -> list[Candidate]:
    z, by_class = combine.sum_of_z, combine.sum_of_z_by_class
    out = [
        Candidate("radius: sum of |z|", (RADIUS,), z),
        Candidate("radius: sum of |z| by class", (RADIUS,), by_class),
        Candidate("radius: Gaussian", (RADIUS,), combine.gaussian),
        Candidate("radius: Gaussian by class", (RADIUS,), combine.gaussian_by_class),
        Candidate("radius: nearest neighbours", (RADIUS,), combine.nearest_in_columns),
    ]
    single = {
        "M": POOLED,
        "G": MAHA,
        "G0": MAHA_0,
        "G*": MAHA_FSS,
        "N": NEAR,
        "N0": NEAR_0,
        "N*": NEAR_FSS,
        "K0": ANY_0,
    }
    out += [Candidate(f"{short} = {family}", (family,), z) for short, family in single.items()]
    out += [Candidate(f"radius + {short}", (RADIUS, family), z) for short, family in single.items()]
    out += [
        Candidate(f"radius + {short}, by class", (RADIUS, family), by_class)
        for short, family in single.items()
        if short not in ("G", "N")
    ]
    out += [
        Candidate("radius + M: Gaussian", (RADIUS, POOLED), combine.gaussian),
        Candidate("radius + M: Gaussian by class", (RADIUS, POOLED), combine.gaussian_by_class),
        Candidate("radius + M: ranks", (RADIUS, POOLED), combine.ranks),
        Candidate("G0 + G*", (MAHA_0, MAHA_FSS), z),
        Candidate("radius + G0 + G*", (RADIUS, MAHA_0, MAHA_FSS), z),
        Candidate("radius + G0 + G*, by class", (RADIUS, MAHA_0, MAHA_FSS), by_class),
        Candidate("N0 + N*", (NEAR_0, NEAR_FSS), z),
        Candidate("radius + N0 + N*", BOTH, z),
        Candidate("radius + N0 + N*, by class", BOTH, by_class),
        Candidate("radius + N0 + N*: squares", BOTH, combine.sum_of_squares),
        Candidate("radius + N0 + N*: Fisher", BOTH, combine.fisher),
        Candidate("radius + N0 + N*: ranks", BOTH, combine.ranks),
        Candidate("radius + N0 + N*: largest", BOTH, combine.largest_z),
        Candidate("radius + N0 + N*: Gaussian", BOTH, combine.gaussian),
        Candidate("radius + N0 + N*: Gaussian by class", BOTH, combine.gaussian_by_class),
        Candidate("radius + G0 + N*", (RADIUS, MAHA_0, NEAR_FSS), z),
        Candidate("radius + N0 + energy", (RADIUS, NEAR_0, "energy"), z),
        Candidate("radius + N0 + N* + energy", (*BOTH, "energy"), z),
        Candidate("radius + G0 + N* + energy", (RADIUS, MAHA_0, NEAR_FSS, "energy"), z),
    ]
    return out


CANDIDATES = _all()


def chosen_columns(candidate: Candidate, columns: Mapping[str, Column]) -> list[str]:
    """Names of the candidate's columns: its families on every layer."""
    return [name for family in candidate.families for name in columns if name.partition(": ")[0] == family]


def held_table(names: Sequence[str], values: Mapping[str, Array], held: Features) -> Held:
    """The held-back images' columns."""
    two_sided = np.array([name.startswith(RADIUS) for name in names])
    return Held(np.stack([values[name] for name in names], 1), held.predicted, two_sided)


# without densities: straight sums of the distances, and a regression on pseudo-ood


def plain_sums(held: Features) -> dict[str, Callable[[Features], Array]]:
    """The paper's sum with alpha = 1, the sum over the ind means, and the last layer alone."""
    means = held.distance.mean(0)
    return {
        "plain sum of FSSD (paper, alpha 1)": lambda f: f.distance.sum(1),
        "sum of FSSD over ind means": lambda f: (f.distance / means).sum(1),
        "FSSD of the logits": lambda f: f.distance[:, -1],
    }


def regression(held: Features, pseudo: Sequence[Features], *, quadratic: bool) -> Callable[[Features], Array]:
    """Logistic regression of held-back ind against pseudo-ood on the log-distances (and their products)."""
    ood = np.concatenate([p.distance for p in pseudo])
    x = np.log(np.maximum(np.concatenate([held.distance, ood]), 1e-9))
    y = np.repeat([1, 0], [len(held), len(ood)])
    steps = [StandardScaler(), *([PolynomialFeatures(2, include_bias=False), StandardScaler()] if quadratic else [])]
    model = make_pipeline(*steps, LogisticRegression(class_weight="balanced", max_iter=2000)).fit(x, y)
    return lambda f: np.asarray(model.decision_function(np.log(np.maximum(f.distance, 1e-9))))
