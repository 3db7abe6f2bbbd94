"""Features: ind, ood, noise and F* of one layer in the plane, with the true distances beside."""

from __future__ import annotations

import plotly.graph_objects as go
import streamlit as st

from app import session
from app.charts import chart
from app.components.scatter import Selection, scatter
from app.features_numbers import distances, headline, table
from app.names import class_names, title_of
from app.samples import open_sample
from app.selection_panel import Images, selection_panel
from fssd_core.models import list_models
from fssd_core.projection import plain_words
from fssd_core.study import Study, open_data
from fssd_core.study_projection import features_projection, projection_images, stored_projection
from fssd_core.summary import GroupSummary, summarise
from fssd_core.types import Projection

VIEW_NAMES = {
    "centred-spokes": "Around F*",
    "centred-umap": "Around F* · UMAP",
    "umap": "UMAP",
    "pca": "PCA",
}
VIEW_WORDS = {
    "centred-spokes": "Distance from the star is the true distance to F*; the angle leans to the class most alike.",
    "centred-umap": "Distance from the star is the true distance to F*; the angle is a UMAP of directions.",
    "umap": "Joint UMAP of all points and F*: neighbourhoods are kept, distances only roughly.",
    "pca": "The two directions of largest spread around F*: honest about distances as far as two directions reach.",
}


def show() -> None:
    """Draws the page."""
    study, layer = session.current_study(), session.current_layer()
    st.title("Features around F*")
    st.caption(
        "F\\*, the feature space singularity, is the mean feature of pure noise. The paper's claim: unfamiliar (ood) "
        "images lie nearer to it than the images the network was trained for (ind)."
    )
    view = _controls(study)
    with session.guard():
        if not study.ood:
            st.info("Choose at least one ood set in the sidebar to compare with the in-distribution images.")
        session.show_notes(study)
        stored = stored_projection(study, layer, view, store=session.store(), root=session.data_root())
    shown = stored or _compute(study, layer, view)
    if shown is None:
        return
    rows = summarise(shown)
    headline(rows, shown)
    _stage(study, shown, rows, distances(rows, shown))


def _controls(study: Study) -> str:
    left, right = st.columns([1.1, 1], gap="large", vertical_alignment="bottom")
    view = left.segmented_control(
        "Projection",
        list(VIEW_NAMES),
        format_func=VIEW_NAMES.__getitem__,
        default="centred-spokes",
        required=True,
        wrap=True,
        key="view",
        bind="query-params",
    )
    entry = next((m for m in list_models() if m.name == study.model), None)
    if entry is not None and len(entry.steps) > 1:
        st.session_state["film_step"] = study.step
        right.select_slider(
            "Training step",
            entry.steps,
            key="film_step",
            format_func=lambda s: f"{s:,}",
            on_change=_take_step,
            help="Move it to watch the features concentrate while the network learns. Step 0 is the untrained network.",
        )
    return str(view)


def _take_step() -> None:
    st.session_state["step"] = st.session_state["film_step"]


def _compute(study: Study, layer: str, view: str) -> Projection | None:
    """Starts the work and shows the last picture meanwhile."""
    job = session.run_job(f"{VIEW_NAMES[view]} of {layer}", "projection", study, {"layer": layer, "view": view})
    if job.state == "done":
        with session.guard():
            return features_projection(study, layer, view, store=session.store(), root=session.data_root())
    last: Projection | None = st.session_state.get("_last_picture")
    if last is not None and [g.name for g in last.groups] == [study.ind, *study.ood, "noise"]:
        st.caption(f"Meanwhile the last picture: {VIEW_NAMES[last.view]} of {last.layer}.")
        return last
    return None


@st.fragment
def _stage(study: Study, shown: Projection, rows: list[GroupSummary], humps: go.Figure) -> None:
    """Picture, numbers beside, and what the picture's lasso chose: one fragment, so that a lasso runs no more."""
    with session.guard():
        images = projection_images(study, root=session.data_root())
    same = [g.name for g in shown.groups] == list(images)
    picture, beside = st.columns([2.3, 1], gap="medium")
    with picture:
        chosen = _picture(study, shown, images if same else None)
    with beside:
        chart(
            humps,
            key="ridgelines",
            alt=f"Densities of the distance to F* in {shown.layer}, one hump a group",
            name="the distances",
        )
        table(rows)
    if same:
        selection_panel(study, shown, chosen, images)


def _picture(study: Study, shown: Projection, images: Images | None) -> Selection:
    with session.guard():
        names = class_names(open_data(study, study.ind, root=session.data_root()))
    state = scatter(
        shown,
        images=images,
        titles={g.name: title_of(g.name) for g in shown.groups},
        class_names=names,
        title=f"{VIEW_NAMES[shown.view]} · layer {shown.layer}"
        + (f" · step {study.step:,}" if study.step is not None else ""),
        subtitle=VIEW_WORDS[shown.view],
        key="features-scatter",
    )
    st.session_state["_last_picture"] = shown
    if state.selected is not None and state.selected[0] in (study.ind, *study.ood):
        ref, row = state.selected
        if st.button(f"Inspect {title_of(ref)}, row {row}", icon=":material/frame_inspect:"):
            open_sample(ref, row)
    st.caption(f":material/verified: {plain_words(shown)}")
    return state.chosen


show()
