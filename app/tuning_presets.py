"""alpha to choose from, fitted on the distances at the current epsilon; only the logistic ones have seen ood labels.

The page starts from the one fitted against pseudo-ood, once that is there: of the rules without ood labels it has the
best mean and the best worst case on the demo's sets and on others (docs/pseudo-ood.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import streamlit as st

from app import tuning_pseudo
from app.components.scores_packing import columns_at, pack
from app.names import title_of
from fssd_core import ensemble
from fssd_core.errors import InputError
from fssd_core.study import Comparison, Study
from fssd_core.types import IntArray, LayerScores, Weights

MEMORY = "_tuning_presets"
PSEUDO = "pseudo-ood"
Sweeps = Mapping[str, Mapping[float, LayerScores]]


def presets(
    study: Study,
    sweeps: Sweeps,
    plain: Mapping[str, Comparison],
    epsilon: float,
    *,
    pseudo: Mapping[float, LayerScores] | None = None,
) -> dict[str, Weights]:
    """Presets by name; each is fitted once a study and epsilon, and kept in the session.

    Args:
        study: of the page.
        sweeps: {data: {epsilon: scores}}; between those epsilons the distances are interpolated.
        plain: the splits: alpha is fitted on their `fit` rows.
        epsilon: that the distances are taken at.
        pseudo: {epsilon: scores of the pseudo-ood}; its preset is offered where they reach from the first to the last
            of the sweeps' epsilons.
    """
    reaching = pseudo if pseudo and set(pseudo) >= set(sweeps[study.ind]) else None
    fitted = _memory(study, sweeps)
    if epsilon not in fitted or (reaching and not any(w.rule == PSEUDO for w in fitted[epsilon].values())):
        fitted[epsilon] = _fit(study, sweeps, plain, epsilon, reaching)
    return fitted[epsilon]


def default(offered: Mapping[str, Weights]) -> Weights:
    """The one to start from: fitted against pseudo-ood where that is offered, else uniform."""
    return next((weights for weights in offered.values() if weights.rule == PSEUDO), offered["uniform"])


def starting(study: Study, ind: LayerScores) -> Weights:
    """`default` at epsilon 0 where the Tuning page was not opened, from what the store has of the pseudo-ood.

    Args:
        study: of the page.
        ind: (n, K) distances at epsilon 0 of the ind images that alpha may be fitted on.
    """
    uniform = ensemble.uniform(ind.layers)
    pseudo = tuning_pseudo.stored(study, (0.0,))
    if not pseudo or not len(ind):
        return uniform
    try:
        return _dated(ensemble.pseudo_ood(_distances({0.0: ind}, 0.0), _distances(pseudo, 0.0)), 0.0)
    except InputError:  # the Tuning page says why
        return uniform


def retired(offered: Mapping[str, Weights], names: set[str | None]) -> dict[str, Weights]:
    """Presets of other epsilons that alpha may still come from: those of these names."""
    fitted: dict[float, dict[str, Weights]] = st.session_state.get(MEMORY, {}).get("fitted", {})
    others = {name: w for made in fitted.values() for name, w in made.items()}
    return {name: w for name, w in others.items() if name in names and name not in offered}


def _memory(study: Study, sweeps: Sweeps) -> dict[float, dict[str, Weights]]:
    owner = (study, tuple(sorted(sweeps[study.ind])))
    held: dict[str, Any] = st.session_state.get(MEMORY, {})
    if held.get("owner") != owner:
        held = st.session_state[MEMORY] = {"owner": owner, "fitted": {}}
    fitted: dict[float, dict[str, Weights]] = held["fitted"]
    return fitted


def _fit(
    study: Study,
    sweeps: Sweeps,
    plain: Mapping[str, Comparison],
    epsilon: float,
    pseudo: Mapping[float, LayerScores] | None,
) -> dict[str, Weights]:
    at = f", ε {epsilon:.3g}" if epsilon else ""
    ind = _distances(_taken(sweeps[study.ind], next(iter(plain.values())).split.fit_ind), epsilon)
    rules: dict[str, Callable[[], Weights]] = {f"standardised{at}": lambda: ensemble.standardised(ind)}
    if pseudo is not None:
        made = _distances({knot: pseudo[knot] for knot in sweeps[study.ind]}, epsilon)
        rules[f"{PSEUDO}{at}"] = lambda: ensemble.pseudo_ood(ind, made)
    for ref, comparison in plain.items():
        ood = _distances(_taken(sweeps[ref], comparison.split.fit_ood), epsilon)
        rules[f"logistic on {title_of(ref)}{at}"] = partial(
            ensemble.logistic, ind, ood, seed=study.seed, labels=title_of(ref)
        )
    found = {"uniform": ensemble.uniform(ind.layers)}
    failed: dict[str, list[str]] = {}
    for name, rule in rules.items():
        try:
            found[name] = _dated(rule(), epsilon)
        except InputError as error:
            failed.setdefault(str(error), []).append(f"'{name}'")
    for reason, names in failed.items():
        st.warning(f"No preset {', '.join(names)}: {reason}", icon=":material/warning:")
    return found


def _taken(sweep: Mapping[float, LayerScores], rows: IntArray) -> dict[float, LayerScores]:
    return {knot: scores.take(rows) for knot, scores in sweep.items()}


def _distances(sweep: Mapping[float, LayerScores], epsilon: float) -> LayerScores:
    """At that epsilon, without the images that have no finite score: the page has named them."""
    block = pack("fit", sweep)
    return LayerScores(columns_at(block, epsilon).astype(np.float32), block.layers)


def _dated(weights: Weights, epsilon: float) -> Weights:
    return replace(weights, labels=f"{weights.labels}, fitted at ε {epsilon:.3g}")
