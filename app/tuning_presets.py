"""alpha to choose from, fitted on the distances at the current epsilon; only the logistic ones have seen ood labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import streamlit as st

from app.components.scores_packing import columns_at, pack
from app.names import title_of
from fssd_core import ensemble
from fssd_core.errors import InputError
from fssd_core.study import Comparison, Study
from fssd_core.types import LayerScores, Weights

MEMORY = "_tuning_presets"
Sweeps = Mapping[str, Mapping[float, LayerScores]]


def presets(study: Study, sweeps: Sweeps, plain: Mapping[str, Comparison], epsilon: float) -> dict[str, Weights]:
    """Presets by name; each is fitted once a study and epsilon, and kept in the session.

    Args:
        study: of the page.
        sweeps: {data: {epsilon: scores}}; between those epsilons the distances are interpolated.
        plain: the splits: alpha is fitted on their `fit` rows.
        epsilon: that the distances are taken at.
    """
    fitted = _memory(study, sweeps)
    if epsilon not in fitted:
        fitted[epsilon] = _fit(study, sweeps, plain, epsilon)
    return fitted[epsilon]


def retired(study: Study, sweeps: Sweeps, epsilon: float, names: set[str | None]) -> dict[str, Weights]:
    """Presets of other epsilons that alpha may still come from: those of these names."""
    fitted = _memory(study, sweeps)
    others = {name: w for e, offered in fitted.items() if e != epsilon for name, w in offered.items()}
    return {name: w for name, w in others.items() if name in names and name not in fitted[epsilon]}


def _memory(study: Study, sweeps: Sweeps) -> dict[float, dict[str, Weights]]:
    owner = (study, tuple(sorted(sweeps[study.ind])))
    held: dict[str, Any] = st.session_state.get(MEMORY, {})
    if held.get("owner") != owner:
        held = st.session_state[MEMORY] = {"owner": owner, "fitted": {}}
    fitted: dict[float, dict[str, Weights]] = held["fitted"]
    return fitted


def _fit(study: Study, sweeps: Sweeps, plain: Mapping[str, Comparison], epsilon: float) -> dict[str, Weights]:
    at = f", ε {epsilon:.3g}" if epsilon else ""
    first = next(iter(plain.values()))
    ind = _distances(sweeps[study.ind], first.split.fit_ind, epsilon)
    found = {"uniform": ensemble.uniform(ind.layers)}
    try:
        found[f"standardised{at}"] = _dated(ensemble.standardised(ind), epsilon)
    except InputError as error:
        st.warning(f"No standardised alpha: {error}")
    for ref, comparison in plain.items():
        name = f"logistic on {title_of(ref)}{at}"
        ind = _distances(sweeps[study.ind], comparison.split.fit_ind, epsilon)
        ood = _distances(sweeps[ref], comparison.split.fit_ood, epsilon)
        try:
            weights = ensemble.logistic(ind, ood, seed=study.seed, labels=title_of(ref))
            found[name] = _dated(weights, epsilon)
        except InputError as error:
            st.warning(f"No {name}: {error}")
    return found


def _distances(sweep: Mapping[float, LayerScores], rows: np.ndarray[Any, Any], epsilon: float) -> LayerScores:
    taken = {knot: scores.take(rows) for knot, scores in sweep.items()}
    if epsilon in taken:
        return taken[epsilon]
    block = pack("fit", taken)
    return LayerScores(columns_at(block, epsilon).astype(np.float32), block.layers)


def _dated(weights: Weights, epsilon: float) -> Weights:
    return replace(weights, labels=f"{weights.labels}, fitted at ε {epsilon:.3g}")
