"""The exact distances at the epsilon that was let go, and how far the interpolated ones are from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import streamlit as st

from app import session
from app.components.cockpit import Setting
from app.components.scores_packing import Block, columns_at
from app.jobs import DONE, WAITING, Job
from app.names import title_of
from fssd_core.ensemble import combine
from fssd_core.interpolation import interpolation_error
from fssd_core.metrics import metrics
from fssd_core.study import Comparison, Study, stored_sweep
from fssd_core.types import LayerScores

LAST = "_exact_job"


def shown_refs(study: Study, setting: Setting) -> list[str]:
    """ind and the ood sets that the cockpit shows."""
    return [study.ind, *(ref for ref in study.ood if setting.ood in (title_of(ref), None))]


def _stored(study: Study, ref: str, epsilon: float) -> LayerScores | None:
    return stored_sweep(study, ref, [epsilon], store=session.store(), root=session.data_root()).get(epsilon)


def facts(
    study: Study, setting: Setting, blocks: tuple[Block, ...], plain: Mapping[str, Comparison]
) -> dict[str, Any] | None:
    """For the cockpit: exact AUROC and FPR95 with the interpolation's error; 'pending' while they are not computed.

    None where the epsilon is one of the sweep's own, and so exact already.
    """
    if setting.epsilon in blocks[0].knots:
        return None
    by_name = {block.name: block for block in blocks}
    sides: list[tuple[Block, LayerScores]] = []
    for ref in shown_refs(study, setting):
        exact = _stored(study, ref, setting.epsilon)
        if exact is None:
            return {"pending": True}
        rows = next(iter(plain.values())).split.test_ind if ref == study.ind else plain[ref].split.test_ood
        block = by_name[title_of(ref)]
        sides.append((block, exact.take(rows).take(block.kept)))
    if not all(len(scores) for _, scores in sides):
        return None
    exact = LayerScores(np.concatenate([scores.values for _, scores in sides]), blocks[0].layers)
    between = np.concatenate([columns_at(block, setting.epsilon) for block, _ in sides])
    ind, *oods = (combine(scores, setting.weights) for _, scores in sides)
    numbers = metrics(ind, np.concatenate(oods))
    return {**asdict(interpolation_error(between, exact)), "auroc": numbers.auroc, "fpr95": numbers.fpr95}


def compute(study: Study, setting: Setting, knots: Sequence[float]) -> None:
    """Has the shown sets computed at the setting's epsilon, with progress; the page reruns when they are there."""
    last: Job | None = st.session_state.get(LAST)
    missing = [] if setting.epsilon in knots else shown_refs(study, setting)
    missing = [ref for ref in missing if _stored(study, ref, setting.epsilon) is None]
    args: dict[str, object] = {"data": missing, "epsilons": [setting.epsilon]}
    if last is not None and last.state == WAITING and last.request["args"] != args:
        session.worker().cancel(last)  # an epsilon that was passed on the way
    if missing and last is not None and last.state == DONE and last.request["args"] == args:
        st.caption("The exact distances were computed but could not be kept: the store cannot be written.")
    elif missing:
        name = f"Exact distances at epsilon {setting.epsilon:.4g}"
        st.session_state[LAST] = session.run_job(name, "layer_scores", study, args)
