"""Methods: every detector on the same images under a named protocol; cost, curves, layers, and when each fails."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import streamlit as st

from app import methods_ood_free, session
from app import methods_state as state
from app.figures.methods import Mark, cost_scatter, overlaid_curves, say_heatmap
from app.names import title_of
from fssd_core.bench_open import Asked
from fssd_core.bench_run import Bench, Outcome
from fssd_core.data import list_data
from fssd_core.detectors import DETECTORS
from fssd_core.protocol import PROTOCOLS
from fssd_core.study import Study

BARE = {"displayModeBar": False}
SHARE = st.column_config.NumberColumn(format="%.4f")


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
    _headline(found)
    methods_ood_free.card(study, wanted.ood or opened.row.ood, found)
    _table(found, published)
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
        _cost(found, places)
    with right:
        _curves(found, places)
    _layers(study, wanted)
    _failures(found, lacking)


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
        st.caption(f":material/info: {note}")


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


def _headline(found: Mapping[str, Outcome]) -> None:
    ranked = sorted(found, key=lambda name: -found[name].facts["auroc"])
    best = found[ranked[0]].facts
    words = f"Best here: **{ranked[0]}**, AUROC {best['auroc']:.4f}."
    if "fssd" in found and ranked[0] != "fssd":
        own = found["fssd"].facts
        words += f" FSSD stands at place {ranked.index('fssd') + 1} of {len(ranked)}, AUROC {own['auroc']:.4f}"
        words += ": its intervals overlap." if own["auroc_ci"][1] >= best["auroc_ci"][0] else "."
    st.markdown(words)


def _table(found: Mapping[str, Outcome], published: bool) -> None:
    rows = state.table(found, published)
    shares = {name: SHARE for name in rows[0] if isinstance(rows[0][name], float) or name.startswith("paper")}
    st.dataframe(
        rows,
        hide_index=True,
        height=430,
        column_config={
            **shares,
            "detector": st.column_config.TextColumn(pinned=True),
            "AUROC": st.column_config.ProgressColumn(format="%.4f", min_value=0, max_value=1),
            "low": st.column_config.NumberColumn("95 % from", format="%.4f"),
            "high": st.column_config.NumberColumn("to", format="%.4f"),
            "ms": st.column_config.NumberColumn("ms an image", format="%.2f"),
        },
    )
    words = "Click a column's head to sort. Brackets: percentile bootstrap of ind and ood apart, 1,000 draws."
    if published:
        words += (
            " Beside them the paper's own numbers, as shares: for a larger LeNet, all 10,000 MNIST test digits and "
            "labels of MNIST in choosing; the README's cells are the slides' where it gives no other."
        )
    st.caption(words)


def _cost(found: Mapping[str, Outcome], places: Mapping[str, int]) -> None:
    marks = []
    for name, outcome in found.items():
        facts = outcome.facts
        passes = f"{facts['forwards']} forward and {facts['backwards']} backward passes"
        low, high = facts["auroc_ci"]
        marks.append(Mark(name, facts["ms_per_image"], facts["auroc"], low, high, passes, places.get(name)))
    st.plotly_chart(
        cost_scatter(marks, mode=session.mode()), key="methods-cost", config=BARE,
        alt="Milliseconds an image against AUROC of every detector",
    )  # fmt: skip


def _curves(found: Mapping[str, Outcome], places: Mapping[str, int]) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        kind = st.segmented_control("Curves", ["ROC", "PR"], default="ROC", required=True, label_visibility="collapsed")
        corner = st.toggle("Only the good corner")
    curves = {name: outcome.roc if kind == "ROC" else outcome.pr for name, outcome in found.items()}
    st.plotly_chart(
        overlaid_curves(curves, places, kind="roc" if kind == "ROC" else "pr", corner=corner, mode=session.mode()),
        key="methods-curves", config=BARE, alt=f"{kind} curves of every detector",
    )  # fmt: skip


def _layers(study: Study, wanted: Asked) -> None:
    """Which layers carry FSSD and Mahalanobis, for every ood set that has outcomes, hard for the softmax first."""
    known = []
    for ood in study.ood:
        other = state.asked(study, ood, wanted.protocol, wanted.train)
        with session.guard():
            found, _ = state.outcomes(state.bench(other))
        if "fssd" in found and "msp" in found:
            known.append((found["msp"].facts["auroc"], ood, found))
    if not known:
        return
    st.subheader("Which layers carry the score")
    st.markdown(
        "Each layer's share of the combined score: alpha times the spread of its distances. Sets that the softmax "
        "confuses most come first (near), those it tells apart easily last (far). A negative share means that ood lies "
        "*farther* from F\\* than ind there"
        + ("." if wanted.protocol == "paper" else "; without ood labels nobody can know, so every layer counts alike.")
    )
    for box, name in zip(st.columns(2, gap="large"), ("fssd", "mahalanobis"), strict=True):
        rows = [(ood, found[name].facts) for _, ood, found in sorted(known, key=lambda k: k[0]) if name in found]
        if not rows:
            continue
        box.plotly_chart(
            say_heatmap(
                [f"{title_of(ood)} ({facts['auroc']:.3f})" for ood, facts in rows], rows[0][1]["layers"],
                np.array([facts["say"] for _, facts in rows]), title="FSSD" if name == "fssd" else "Mahalanobis",
                subtitle="in brackets the AUROC of the whole", mode=session.mode(),
            ),
            key=f"methods-say-{name}", config=BARE, alt=f"Share of every layer in the {name} score, a row an ood set",
        )  # fmt: skip


def _failures(found: Mapping[str, Outcome], lacking: Mapping[str, str]) -> None:
    st.subheader("When each method fails")
    rows = [
        {
            "detector": name,
            "fails": spec.fails,
            "AUROC here": found[name].facts["auroc"] if name in found else None,
            "cost": spec.cost,
            "paper": spec.reference,
        }
        for name, spec in DETECTORS.items()
    ]
    st.dataframe(rows, hide_index=True, height=430, column_config={"AUROC here": SHARE})
    told = [*(f"{name} {why}" for name, why in lacking.items()), *st.session_state.get("_bench_notes", [])]
    for line in told:
        st.caption(f":material/block: {line}")


show()
