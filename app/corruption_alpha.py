"""alpha on the Corruptions page: presets and signed sliders, starting where the Tuning page stands."""

from __future__ import annotations

import numpy as np
import streamlit as st

from app import tuning_presets
from app.corruption_state import Page, Tuned
from app.inspection import Operating
from fssd_core import ensemble
from fssd_core.study import Study
from fssd_core.types import Weights

FEW = 6  # layers that fit two columns of sliders
ALPHA, ORIGIN, HAND = "_corruption_alpha", "_corruption_origin", "_corruption_by_hand"


def alpha_controls(study: Study, page: Page, tuned: Tuned) -> tuple[Weights, Operating]:
    """(alpha, threshold by the Tuning page's rule under it) as the page's widgets stand."""
    layers = page.result.detectors[page.ours].layers
    start = tuned.setting.weights if tuned.setting else tuning_presets.default(tuned.presets)
    origin = (study, start)
    if st.session_state.get(ORIGIN) != origin or ALPHA not in st.session_state:
        st.session_state[ORIGIN], st.session_state[ALPHA] = origin, start
    weights: Weights = st.session_state[ALPHA]
    _move_sliders(weights)
    st.subheader("FSSD's alpha")
    offered = {"as tuned": start, **tuned.presets} if tuned.setting else dict(tuned.presets)
    with st.container(horizontal=True, gap="small"):
        for name, preset in offered.items():
            st.button(
                name,
                key=f"corruption-preset:{name}",
                on_click=_take,
                args=(preset,),
                type="primary" if preset.normalised() == weights.normalised() else "secondary",
                help=f"Labels used: {preset.labels}",
            )
    wide = 2 if len(layers) <= FEW else 4
    for start_at in range(0, len(layers), wide):  # a line at a time, so that a narrow page keeps the layers' order
        for column, layer in zip(st.columns(wide), layers[start_at : start_at + wide], strict=False):
            column.slider(
                layer, -1.0, 1.0, step=0.01, key=_slot(layer), on_change=_slide, args=(layer, layers), format="%.2f"
            )
    epsilon = page.spec.study.epsilon
    operating = tuned.operating(weights, study, epsilon)
    whose = "the Tuning page's" if tuned.setting else "the usual"
    st.caption(
        f"Labels used for alpha: {weights.labels}. Distances at ε {epsilon:.4g}. Threshold {operating.threshold:.4g} "
        f"by {whose} rule: {operating.said}."
    )
    return weights, operating


def _slot(layer: str) -> str:
    return f"corruption-alpha:{layer}"


def _take(weights: Weights) -> None:
    st.session_state[ALPHA] = weights


def _slide(layer: str, layers: tuple[str, ...]) -> None:
    """One slider was moved; the other layers keep their exact values."""
    now = _shown(st.session_state[ALPHA])
    alpha = dict(zip(now.layers, now.alpha, strict=True)) | {layer: float(st.session_state[_slot(layer)])}
    made = ensemble.manual(layers, [alpha[k] for k in layers])
    st.session_state[ALPHA] = st.session_state[HAND] = made


def _shown(weights: Weights) -> Weights:
    """What the sliders stand at: alpha over its largest magnitude, or as the sliders themselves were set."""
    return weights if weights == st.session_state.get(HAND) else weights.normalised()


def _move_sliders(weights: Weights) -> None:
    shown = _shown(weights)
    for layer, alpha in zip(shown.layers, shown.alpha, strict=True):
        st.session_state[_slot(layer)] = round(float(np.clip(alpha, -1, 1)), 2)
