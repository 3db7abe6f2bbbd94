"""Methods: every detector on the same images under a named protocol; cost, curves, layers, and when each fails."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from app import methods_ood_free, methods_table2, session
from app import methods_panels as panels
from app import methods_state as state
from app.names import inert, title_of
from fssd_core.bench_open import Asked
from fssd_core.bench_run import Bench, Outcome
from fssd_core.data import list_data
from fssd_core.detectors import DETECTORS
from fssd_core.protocol import PROTOCOLS
from fssd_core.study import Study


def show() -> None:
    """Draws the page."""
    study = session.current_study()
    st.title("Methods side by side")
    if not study.ood:
        st.info("Choose at least one ood set in the sidebar: detectors are compared on telling it from ind.")
        return
    wanted = _choose(study)
    if wanted is None:
        return
    with session.guard():
        opened = state.bench(wanted)
        found, lacking = state.outcomes(opened)
    _say_what(opened, wanted)
    if not _complete(study, wanted, found, lacking):
        return
    published = wanted.name == state.DEMO and wanted.ood is None
    panels.headline(found)
    methods_ood_free.card(study, wanted.ood or opened.row.ood, found)
    panels.table(found, published)
    shown = st.multiselect(
        "Highlighted in the figures",
        list(found),
        default=[name for name in state.PAPER if name in found],
        key="highlighted",
        help="The paper's own comparison at first; the others are drawn in grey.",
        max_selections=12,
    )
    places = {name: number for number, name in enumerate(shown)}
    left, right = st.columns(2, gap="large")
    with left:
        panels.cost(found, places)
    with right:
        panels.curves(found, places)
    panels.layers(study, wanted)
    panels.failures(found, lacking, shown)
    methods_table2.card()


def _choose(study: Study) -> Asked | None:
    protocol_box, ood_box, train_box = st.columns([1.2, 1, 1], gap="medium")
    protocol = protocol_box.segmented_control(
        "Protocol", list(PROTOCOLS), default="paper", required=True, key="protocol", bind="query-params",
        help="\n\n".join(f"**{name}**: {words}." for name, words in PROTOCOLS.items()),
    )  # fmt: skip
    ood = ood_box.selectbox(
        "Against", study.ood, index=len(study.ood) - 1, key="against", bind="query-params", format_func=title_of,
        help="One of the sidebar's ood sets.",
    )  # fmt: skip
    train = None
    if not state.is_demo(study):
        names = [d.name for d in list_data() if d.kind in ("bundled", "derived")] + session.own_files("data")
        train = train_box.selectbox(
            "Training images", [n for n in names if n not in (study.ind, ood)], index=None, key="train",
            bind="query-params", format_func=title_of, placeholder="what the network was trained on",
            help="Labelled images that Mahalanobis, nearest neighbours and others learn the familiar from.",
        )  # fmt: skip
        if train is None:
            st.info("Choose the labelled images that the network was trained on; many detectors learn from them.")
            return None
    return state.asked(study, str(ood), str(protocol), train)


def _say_what(opened: Bench, wanted: Asked) -> None:
    deal = opened.deal
    test = f"{len(deal.test.ind):,} ind and {len(deal.test.ood):,} ood images, which nothing else is done with"
    if deal.tune is None:
        words = f"**no-ood-labels**: parameters at their defaults, no ood image seen before the test. Tested on {test}."
    else:
        words = (
            f"**paper**: alpha fitted on {len(deal.fit.ind)} + {len(deal.fit.ood or ())} labelled images of "
            f"{title_of(wanted.ood or opened.row.ood)} itself, parameters chosen on another {len(deal.tune.ind)} + "
            f"{len(deal.tune.ood)}. Tested on {test}. Labels are rarely there in practice: compare *no-ood-labels*."
        )
    st.markdown(words)
    for note in deal.notes:
        st.caption(f":material/info: {inert(note)}")


def _complete(study: Study, wanted: Asked, found: Mapping[str, Outcome], lacking: Mapping[str, str]) -> bool:
    """Offers to compute what is missing; whether anything can be shown."""
    missing = [name for name in DETECTORS if name not in found and name not in lacking]
    slot = "_bench_for"
    if missing:
        left, right = st.columns([3, 1], vertical_alignment="center")
        left.caption(
            f"{len(missing)} of {len(DETECTORS)} detectors are not computed for this pair yet"
            + (f": {', '.join(missing)}." if len(missing) < 6 else ".")
        )
        if st.session_state.get(slot) == wanted or right.button("Compute them", icon=":material/play_arrow:"):
            st.session_state[slot] = wanted
            job = session.run_job("Detectors", "bench", study, state.compute_args(wanted, missing))
            if job.over:
                st.session_state.pop(slot, None)
            if job.state == "done":
                st.session_state["_bench_notes"] = job.warnings
                st.rerun()
    return bool(found)


show()
