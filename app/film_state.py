"""Where the film starts and what is kept of it: the session remembers the place, the address says it."""

from __future__ import annotations

import math
from typing import Any

import streamlit as st

from app.components.film import FilmPlace
from app.components.packing import RADIUS_MODES

KEY = "film-player"
STARTED, KEPT, WRITTEN, PLAYED = "_film_started", "_film_place", "_film_written", "_film_played"


def start(last_step: float) -> dict[str, Any]:
    """Arguments of the player: while it stands on the page what they were, else the address, else where it was left.

    The first time in a session, with no step in the address, the film plays by itself.
    """
    asked = (st.query_params.get("film_step"), st.query_params.get("film_radius"))
    started: dict[str, Any] | None = st.session_state.get(STARTED)
    if started is not None and KEY in st.session_state and asked == st.session_state.get(WRITTEN):
        return started
    kept: FilmPlace | None = st.session_state.get(KEPT)
    step, radius = _number(asked[0]), _radius(asked[1])
    autoplay = step is None and kept is None and not st.session_state.get(PLAYED)
    st.session_state[PLAYED] = True
    fresh = {
        "step": step if step is not None else kept.step if kept else last_step,
        "radius": radius or (kept.radius if kept else "median"),
        "autoplay": autoplay,
        "nonce": 1 + (started or {"nonce": 0})["nonce"],
    }
    st.session_state[STARTED] = fresh
    st.session_state[WRITTEN] = asked
    if kept is not None:
        _write(fresh["step"], fresh["radius"])
    return fresh


def remember(place: FilmPlace) -> None:
    """Keeps the place over pages and in the address, once the user has let go."""
    if place.by_user:
        st.session_state[KEPT] = place
        _write(place.step, place.radius)


def _write(step: float, radius: str) -> None:
    said = f"{step:.3f}".rstrip("0").rstrip("."), None if radius == "median" else radius
    for name, value in zip(("film_step", "film_radius"), said, strict=True):
        if value is not None and st.query_params.get(name) != value:
            st.query_params[name] = value
        elif value is None and name in st.query_params:
            del st.query_params[name]
    st.session_state[WRITTEN] = said


def _number(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isfinite(value):
        return value
    st.warning(f"The film_step {text!r} in the address is no training step; showing the last one.")
    return None


def _radius(text: str | None) -> str | None:
    if text is None or text in RADIUS_MODES:
        return text
    st.warning(f"The film_radius {text!r} in the address is not one of {', '.join(RADIUS_MODES)}; showing median.")
    return None
