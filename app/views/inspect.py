"""Inspect: one image, its verdict, the layers that decided it, its perturbation and its nearest ind images."""

from __future__ import annotations

import streamlit as st

from app import inspect_panels, inspection, samples, session
from app.names import title_of
from app.samples import FROM_SET, SOURCES, UPLOADED, Sample
from fssd_core.inspect_verdict import judge
from fssd_core.study import Study

PICK_NAMES = {
    "false accepts": ("Accepted ood", "The ood images that score highest: the worst false accepts"),
    "borderline": ("Borderline", "The images whose score is nearest to the threshold"),
    "rejected ind": ("Rejected ind", "The ind images that score lowest: the worst false alarms"),
}


def show() -> None:
    """Draws the page."""
    study, layer = session.current_study(), session.current_layer()
    session.worker().warm_up()
    st.title("Inspect one sample")
    setting = inspection.kept_setting(study)
    left, right = st.columns([1.15, 2], gap="large")
    with left:
        source = st.segmented_control(
            "Image", SOURCES, default=FROM_SET, required=True, key="source", bind="query-params"
        )
        chooser = st.container()
        epsilon = inspection.epsilon_widget(setting)
    with session.guard():
        scored = inspection.scored_sets(study, epsilon)
        if scored is None:
            return
        operating = inspection.operating_point(setting, scored, study, epsilon)
        with chooser:
            sample = _choose(str(source), study, scored, operating)
        if sample is None:
            right.info("Choose a picture file." if source == UPLOADED else "Draw something on the pad, with the mouse, "
                       "a finger or the keyboard.", icon=":material/frame_inspect:")  # fmt: skip
            return
        with right:
            measured = inspection.measured(study, sample, epsilon=epsilon, layer=layer)
        if measured is None:
            return
        stored = scored[sample.ref].of(sample.ref, sample.row) if sample.ref in scored else None
        ind = scored[study.ind].held_out
        found = judge(measured, ind=ind, weights=operating.weights, threshold=operating.threshold, stored=stored)
    with right:
        inspect_panels.show_verdict(study, sample, found, scored, operating.said)
    inspect_panels.show_layers(found, ind)
    inspect_panels.show_perturbation(found)
    inspect_panels.show_neighbours(study, found)


def _choose(
    source: str, study: Study, scored: dict[str, inspection.Scored], operating: inspection.Operating
) -> Sample | None:
    if source != FROM_SET:
        return samples.upload_widget(study) if source == UPLOADED else samples.pad_widget(study)
    which, number = st.columns([1.5, 1])
    ref = which.selectbox(
        "Set", [study.ind, *study.ood], key="set", bind="query-params", format_func=title_of, help="ind, or one of ood"
    )
    row = number.number_input("Row", value=0, step=1, key="row", bind="query-params", help="The image's row in its set")
    places = inspection.telling(scored, study, operating)
    with st.container(horizontal=True, gap="small"):
        for kind, (title, words) in PICK_NAMES.items():
            missing = kind == "false accepts" and len(scored) == 1
            st.button(
                title,
                key=f"pick:{kind}",
                on_click=_take_next,
                args=(places[kind],),
                disabled=not places[kind],
                help="No ood set is scored yet: open the Tuning page" if missing else f"{words}; again for the next",
            )
    return samples.from_set(study, str(ref), int(row or 0), root=session.data_root())


def _take_next(places: list[tuple[str, int]]) -> None:
    now = (st.session_state.get("set"), st.session_state.get("row"))
    at = places.index(now) + 1 if now in places else 0
    st.session_state["set"], st.session_state["row"] = places[at % len(places)]


show()
