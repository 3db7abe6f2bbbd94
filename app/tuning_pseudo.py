"""Pseudo-ood behind the preset without ood labels: found in the store, else computed once the page stands."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app import session
from fssd_core.pseudo_ood import SMALLEST_SIDE
from fssd_core.study import Study, open_model
from fssd_core.study_pseudo import stored_pseudo_sweep
from fssd_core.types import LayerScores


def stored(study: Study, knots: Sequence[float]) -> dict[float, LayerScores]:
    """{epsilon: scores of the pseudo-ood} of those knots that the store has; none where the images are too small."""
    if too_small(study):
        return {}
    return stored_pseudo_sweep(study, knots, store=session.store(), root=session.data_root())


def too_small(study: Study) -> bool:
    """Whether the network's images are too small to make pseudo-ood from."""
    return min(open_model(study).input_shape[1:]) < SMALLEST_SIDE


def compute(study: Study, knots: Sequence[float], found: dict[float, LayerScores]) -> None:
    """Has what is missing computed, with progress; the page runs again when it is there."""
    missing = [knot for knot in knots if knot not in found]
    if not missing or too_small(study):
        return
    job = session.run_job(
        "Pseudo-ood, for the preset without ood labels", "pseudo_scores", study, {"epsilons": missing}
    )
    if job.state != "done":
        return
    if len(stored(study, missing)) == len(missing):
        st.rerun()
    st.caption("The pseudo-ood distances were computed but could not be kept: the store cannot be written.")
