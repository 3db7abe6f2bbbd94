"""Film: features move around F* while the network learns, with the numbers over training beside them, in step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st

from app import film_state, presenter, session
from app.components.film import film_player
from app.film_words import Course, headline
from app.names import class_names, title_of
from app.samples import open_sample
from fssd_core.dynamics import Dynamics, dynamics, stored_dynamics
from fssd_core.film import Film, film, stored_film
from fssd_core.study import Study, open_data
from fssd_core.study_projection import projection_images

VIEW_NAMES = {"spokes": "Around F*", "umap": "Around F* · UMAP angle", "pca": "PCA around F*"}


def show() -> None:
    """Draws the page."""
    study = replace(session.current_study(), step=None)  # the film holds every checkpoint, whatever the sidebar's
    layer = session.current_layer()
    left, right = st.columns([1.25, 1], vertical_alignment="bottom")
    left.title("Watch the features concentrate")
    view = str(
        right.segmented_control(
            "View",
            list(VIEW_NAMES),
            format_func=VIEW_NAMES.__getitem__,
            default="spokes",
            required=True,
            wrap=True,
            key="film_view",
            bind="query-params",
            label_visibility="collapsed",
        )
    )
    above = st.container()
    with session.guard():
        session.show_notes(study)
        numbers = stored_dynamics(study, store=session.store(), root=session.data_root())
        shown = _stored_or_computed(study, layer, view)
        if shown is None:
            return
        numbers = numbers or _computed_numbers(study)
    above.markdown(_said(shown))
    _player(study, shown, numbers)
    if numbers is None:
        st.caption("The curves over training appear beside the film once they are computed.")


def _stored_or_computed(study: Study, layer: str, view: str) -> Film | None:
    """The film, or the last one of the same points while this one is being computed."""
    found = stored_film(study, layer, view, store=session.store(), root=session.data_root())
    if found is None:
        job = session.run_job(f"Film of {layer}, {VIEW_NAMES[view]}", "film", study, {"layer": layer, "view": view})
        if job.state == "done":
            found = film(study, layer, view, store=session.store(), root=session.data_root())
    if found is not None:
        st.session_state["_last_film"] = (study, found)
        return found
    other = next((v for v in VIEW_NAMES if v != view and _has(study, layer, v)), None)
    if other is not None:
        st.caption(f"Meanwhile: {VIEW_NAMES[other]}, {layer}.")
        return stored_film(study, layer, other, store=session.store(), root=session.data_root())
    last = st.session_state.get("_last_film")
    if last is not None and last[0] == study:
        st.caption(f"Meanwhile the last film: {VIEW_NAMES[last[1].view]}, {last[1].layer}.")
        return last[1]
    return None


def _has(study: Study, layer: str, view: str) -> bool:
    return stored_film(study, layer, view, store=session.store(), root=session.data_root()) is not None


def _computed_numbers(study: Study) -> Dynamics | None:
    job = session.run_job("Numbers over training", "dynamics", study, {})
    if job.state != "done":
        return None
    return dynamics(study, store=session.store(), root=session.data_root())


def _said(shown: Film) -> str:
    """The headline, from the drawn points (the numbers over training are measured on the same ones)."""
    median = shown.ind_median.astype(np.float64)
    courses = []
    for group in shown.groups:
        if group.kind == "ood":
            mean = shown.distance[:, group.start : group.stop].mean(1, dtype=np.float64)
            ends = float(mean[0] / median[0]), float(mean[-1] / median[-1])
            courses.append(Course(group.name, *ends, growth=float(mean[-1] / mean[0])))
    return headline(shown.layer, shown.steps, courses, float(median[-1] / median[0]), title_of=title_of)


@st.fragment
def _player(study: Study, shown: Film, numbers: Dynamics | None) -> None:
    with session.guard():
        images = projection_images(study, root=session.data_root())
        names = class_names(open_data(study, study.ind, root=session.data_root()))
    same = [(g.name, g.stop - g.start) for g in shown.groups] == [(name, len(a)) for name, a in images.items()]
    place = film_player(
        shown,
        dynamics=numbers,
        images=images if same else None,
        titles={g.name: title_of(g.name) for g in shown.groups},
        class_names=names,
        epochs=dict(zip(numbers.steps, numbers.epochs, strict=True)) if numbers else {},
        title=f"{VIEW_NAMES[shown.view]} · layer {shown.layer}",
        start=film_state.start(shown.steps[-1]),
        large=presenter.large(),
        on_open=open_sample,
        key=film_state.KEY,
    )
    film_state.remember(place)


show()
