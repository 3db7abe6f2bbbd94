"""Corruptions: every detector under ImageNet-C's types and severities, with the Tuning page's alpha and threshold."""

from __future__ import annotations

import streamlit as st

from app import corruption_panels as panels
from app import corruption_state as state
from app import inspection, session
from fssd_core.corruption_call import to_request
from fssd_core.corruption_detectors import default_detectors
from fssd_core.corruption_study import CorruptionStudy
from fssd_core.data.corruptions import SETS, TYPES, title_of_type
from fssd_core.detectors import DETECTORS

ASKED = "_corruptions_asked"
IMAGES = (100, 200, 500, 1000, 2000)
CHOICES = {"All 19": "all", "ImageNet-C's 15": "imagenet-c", "Our 16": "sixteen", "Some": ""}
CHOICE_HELP = (
    "ImageNet-C has 15 types; 4 more came with it (speckle noise, Gaussian blur, spatter, saturate). Which 16 the "
    "paper's slides meant is not known: “Our 16” are the 15 and speckle noise, our own choice."
)


def show() -> None:
    """Draws the page."""
    study = session.current_study()
    session.worker().warm_up()
    st.title("Corruptions")
    types, detectors, images, root = _choose()
    with session.guard():
        setting = inspection.kept_setting(study)
        epsilon = 0.0 if setting is None else float(setting.epsilon)
        asked = state.corruption_study(
            study, types, images=images, detectors=detectors, root=root, epsilon=epsilon
        )  # fmt: skip
        spec = _available(asked)
        if spec is None:
            return
        tuned = state.tuned(study, spec.study.epsilon)
        if tuned is None:
            return
        page = state.page_of(spec, types, tuned.fitted_rows)
        panels.say_notes(page)
        panels.live(study, page, tuned, state.pictures(page))


def _choose() -> tuple[tuple[str, ...], tuple[str, ...], int, str | None]:
    """(types, detectors, images, folder of a distributed set) as the page's widgets say."""
    left, middle, right = st.columns([1.6, 2.2, 0.8], vertical_alignment="bottom")
    chosen = left.segmented_control(
        "Corruption types", list(CHOICES), default="All 19", required=True, key="corruption-types", bind="query-params",
        wrap=True, help=CHOICE_HELP,
    )  # fmt: skip
    detectors = middle.multiselect(
        "Detectors beside FSSD",
        [name for name in DETECTORS if name != "fssd"],
        default=[name for name in default_detectors() if name != "fssd"],
        key="corruption-detectors",
        bind="query-params",
        format_func=panels.short,
    )
    images = right.selectbox(
        "Images", IMAGES, index=IMAGES.index(500), key="corruption-images", bind="query-params",
        help="Clean ind images drawn by seed; each goes through every type and severity.",
    )  # fmt: skip
    types = SETS.get(CHOICES[str(chosen)], ())
    if not types:
        some = st.multiselect(
            "Types", list(TYPES), default=list(SETS["weather"]), key="corruption-some", bind="query-params",
            format_func=title_of_type,
        )  # fmt: skip
        types = tuple(some) or SETS["all"]
    root = None
    if offered := state.offered_sets():
        root = st.selectbox(
            "Corrupted images", [None, *offered], key="corruption-set", format_func=state.set_title,
            help="ImageNet-C, Tiny-ImageNet-C, CIFAR-10-C, CIFAR-100-C or MNIST-C as distributed, below the data root.",
        )  # fmt: skip
    return types, tuple(detectors), int(images), root


def _available(spec: CorruptionStudy) -> CorruptionStudy | None:
    """The study as far as the store has it, with an offer to compute the rest; None where nothing can be shown."""
    shown, lacking = state.available(spec)
    if not lacking:
        return spec
    names = [panels.short(name) for name in spec.detectors if name in lacking]
    epsilon = spec.study.epsilon
    at = f" at ε {epsilon:.4g}" if epsilon and "fssd" in lacking else ""
    what = f"Not computed yet{at}: {', '.join(names) or 'what the network says'}; {sum(lacking.values()):,} results."
    if st.session_state.get(ASKED) == spec or st.button(
        "Compute what is missing", icon=":material/play_arrow:",
        help="In the computing process, on all cores; what is finished is kept when you stop.",
    ):  # fmt: skip
        st.session_state[ASKED] = spec
        job = session.run_job("Corruptions", "corruptions", spec.study, to_request(spec))
        if job.over:
            del st.session_state[ASKED]
        if job.state == "done":
            st.rerun()
    st.caption(what)
    if shown is None and epsilon:
        shown, _ = state.available(state.at_epsilon(spec, 0.0))
        if shown is not None:
            st.warning(f"Everything below is at ε 0, not at the Tuning page's ε {epsilon:.4g}.")
    return shown


show()
