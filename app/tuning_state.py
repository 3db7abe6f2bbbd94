"""Where the cockpit starts and what is kept of it: the session remembers the setting, the address says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import streamlit as st

from app import tuning_presets
from app.components.cockpit import Setting, released
from app.names import title_of
from app.pins import pins
from fssd_core import ensemble
from fssd_core.errors import FssdError, InputError
from fssd_core.operating_point import Choice
from fssd_core.study import Study, study_layers
from fssd_core.types import Weights

KEPT = "_setting"
STARTED = "_tuning_started"
ADDRESS = ("alpha", "epsilon", "choose", "prevalence", "threshold")
"""The query parameters that say the setting."""
NUMBERS = {"tpr": ("tpr",), "fpr": ("fpr",), "cost": ("miss", "alarm"), "alarms": ("alarms", "images")}
"""By rule: the numbers that follow it in the address, `choose=cost:10:1`."""


def start(study: Study, presets: Mapping[str, Weights], *, key: str = "tuning-cockpit") -> dict[str, Any]:
    """Arguments of the cockpit: as last let go, else as the address says, else the default preset at 95 % TPR.

    While the cockpit stands on the page for the same study, they stay what they were: the page itself knows better what
    was let go than a value that is one run old. Only where it began uniform for want of the default preset, and nobody
    has touched it yet, does it begin again once that is there.

    Args:
        study: what is tuned.
        presets: alpha by name.
        key: of the cockpit, whose state is there only while it is on the page.
    """
    last = st.session_state.get(STARTED)
    default = tuning_presets.default(presets)
    same = last is not None and last["study"] == study
    provisional = same and last["provisional"] and released(key) is None
    if same and st.session_state.get(key) and not (provisional and default.rule != "uniform"):
        return last["arguments"]
    arguments = _fresh(study, presets, anew=provisional)
    wanting = default.rule == "uniform" and arguments["weights"] is default
    st.session_state[STARTED] = {"study": study, "arguments": arguments, "provisional": wanting}
    return arguments


def _fresh(study: Study, presets: Mapping[str, Weights], *, anew: bool) -> dict[str, Any]:
    layers = study_layers(study)
    kept: Setting | None = None if anew else st.session_state.get(KEPT)
    if kept is not None and kept.weights.layers == layers:
        names = {title_of(ref) for ref in study.ood}
        return {
            "weights": kept.weights,
            "epsilon": kept.epsilon,
            "choice": kept.choice,
            "threshold": kept.threshold if kept.choice.by == "hand" else None,
            "ood": kept.ood if kept.ood in names or kept.ood is None else "",
        }
    asked = st.query_params.get("alpha", "")
    weights = tuning_presets.default(presets)
    if asked:
        try:
            weights = presets.get(asked) or ensemble.manual(layers, [float(a) for a in asked.split(",")])
        except (ValueError, InputError):
            st.warning(
                f"The alpha {asked!r} in the address does not fit {len(layers)} layers; starting from {weights.rule}."
            )
    return {
        "weights": weights,
        "epsilon": _number("epsilon", 0.0, -1, 1),
        "choice": _asked_choice(),
        "threshold": _number("threshold", None, -np.inf, np.inf),
    }


def standing(key: str, knots: Sequence[float]) -> tuple[float, set[str | None]]:
    """(epsilon, names of presets that alpha may come from) as the page with this key stands, or will start."""
    now = released(key)
    kept: Setting | None = st.session_state.get(KEPT)
    epsilon = _number("epsilon", 0.0, -1, 1)
    if now is not None:
        epsilon = float(now["epsilon"])
    elif kept is not None:
        epsilon = kept.epsilon
    names = {now["preset"], now["origin"]} if now else set()
    for setting in [kept, *(pin.setting for pin in pins())]:
        names |= {setting.preset, setting.origin} if setting else set()
    return min(max(epsilon, knots[0]), knots[-1]), names - {None}


def _number(name: str, default: float | None, low: float, high: float) -> float | None:
    try:
        value = float(st.query_params[name])
    except (KeyError, ValueError):
        return default
    return value if low <= value <= high and np.isfinite(value) else default


def _asked_choice() -> Choice:
    said = st.query_params.get("choose", "")
    prevalence = _number("prevalence", Choice.prevalence, 1e-9, 1 - 1e-9)
    if not said:
        return Choice(prevalence=prevalence)
    by, *values = said.split(":")
    try:
        numbers = dict(zip(NUMBERS[by], map(float, values), strict=True))
        return Choice(by, prevalence=prevalence, **numbers)
    except (KeyError, ValueError, FssdError):
        allowed = ", ".join(":".join([rule, *names]) for rule, names in NUMBERS.items())
        st.warning(f"The rule {said!r} in the address is not one of {allowed}; starting from 95 % TPR.")
        return Choice(prevalence=prevalence)


def remember(setting: Setting, presets: Mapping[str, Weights]) -> None:
    """Keeps the setting over pages and in the address; what the page starts with anyway is not written there."""
    st.session_state[KEPT] = setting
    choice = setting.choice
    said = {
        "alpha": _said_alpha(setting.weights, presets),
        "epsilon": f"{setting.epsilon:.4g}" if setting.epsilon else "",
        "choose": _said(choice),
        "prevalence": f"{choice.prevalence:.4g}" if choice.prevalence != Choice.prevalence else "",
        "threshold": f"{setting.threshold:.6g}" if choice.by == "hand" else "",
    }
    for name, value in said.items():
        if value and st.query_params.get(name) != value:
            st.query_params[name] = value
        elif not value and name in st.query_params:
            del st.query_params[name]


def _said_alpha(weights: Weights, presets: Mapping[str, Weights]) -> str:
    """'uniform', '0.1,-0.9'; nothing where it is what the page starts with."""
    alpha = weights.normalised().alpha
    for name, preset in {"": tuning_presets.default(presets), "uniform": presets["uniform"]}.items():
        if np.allclose(alpha, preset.normalised().alpha, rtol=0, atol=1e-9):
            return name
    return ",".join(f"{a:.4g}" for a in alpha)


def _said(choice: Choice) -> str:
    """'cost:10:1'; nothing where it is 95 % TPR or was set by hand."""
    if choice.by == "hand" or (choice.by, choice.tpr) == ("tpr", Choice.tpr):
        return ""
    return ":".join([choice.by, *(f"{getattr(choice, name):.4g}" for name in NUMBERS[choice.by])])
