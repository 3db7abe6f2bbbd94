"""A page with the film alone, on a made-up training: `streamlit run tests/e2e/harness_film.py -- [points]`.

Query parameters: view (spokes, umap, pca), renderer (auto, webgl, canvas), large=1, charts=0, step, autoplay=1.
"""

from __future__ import annotations

import json
import sys

import streamlit as st

from app.components.film import film_player
from tests.film_maker import CLASSES, STEPS, made_dynamics, made_film, made_images

POINTS = int(sys.argv[1]) if sys.argv[1:] and sys.argv[1].isdigit() else 160
LONG = tuple(range(0, 230, 10))  # as many checkpoints as the demo has

st.set_page_config(layout="wide")
asked = st.query_params


@st.cache_resource
def made(points: int, view: str) -> tuple:
    """Film, numbers over training and images, once."""
    film = made_film(points, view=view, steps=STEPS if points < 1000 else LONG)
    return film, made_dynamics(film), made_images(film)


view = st.segmented_control("view", ["spokes", "umap", "pca"], default=asked.get("view", "spokes"), key="view")


@st.fragment
def player() -> None:
    """The component, and what it tells."""
    film, numbers, images = made(int(asked.get("points", POINTS)), str(view))
    opened = st.session_state.setdefault("opened", [])
    place = film_player(
        film,
        dynamics=numbers if asked.get("charts") != "0" else None,
        images=images,
        titles={"digits": "digits (test)"},
        class_names=CLASSES,
        epochs={s: s / 938 for s in film.steps},
        title="Around F* · layer fc1",
        start={
            "step": float(asked.get("step", film.steps[-1])),
            "radius": "median",
            "autoplay": asked.get("autoplay") == "1",
            "nonce": 0,
        },
        large=asked.get("large") == "1",
        renderer=asked.get("renderer", "auto"),
        on_open=lambda group, row: opened.append([group, row]),
        key="harness",
    )
    st.code(json.dumps({"step": place.step, "radius": place.radius, "by_user": place.by_user, "opened": opened}))


if not st.toggle("away", key="away"):  # Streamlit may take an element off the page and mount it again
    player()
