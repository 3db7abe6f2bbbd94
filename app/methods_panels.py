"""The Methods page's parts: headline, table, cost and curves, which layers carry the score, when each method fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import streamlit as st

from app import methods_state as state
from app import session
from app.charts import chart
from app.figures.methods import Mark, cost_scatter, overlaid_curves, say_heatmap
from app.names import title_of
from fssd_core.bench_open import Asked
from fssd_core.bench_run import Outcome
from fssd_core.detectors import DETECTORS
from fssd_core.study import Study

SHARE = st.column_config.NumberColumn(format="%.4f")
SAID = ("fssd", "mahalanobis")  # whose layers' shares are drawn
ROW, TALLEST = 35, 430  # pixels: of a table's row, of a table


def headline(found: Mapping[str, Outcome]) -> None:
    """The best detector here, and where FSSD stands."""
    ranked = sorted(found, key=lambda name: -found[name].facts["auroc"])
    st.markdown(f"Best here: {standing({name: found[name].facts for name in ranked})}")


def standing(ranked: Mapping[str, Mapping[str, Any]]) -> str:
    """The best of these detectors, the first, and where FSSD stands; of each `auroc` and `auroc_ci` are read."""
    names = list(ranked)
    best = ranked[names[0]]
    words = f"**{names[0]}**, AUROC {best['auroc']:.4f}."
    if "fssd" in names[1:]:
        own = ranked["fssd"]
        words += f" FSSD stands at place {names.index('fssd') + 1} of {len(names)}, AUROC {own['auroc']:.4f}"
        words += ": the 95 % intervals overlap." if own["auroc_ci"][1] >= best["auroc_ci"][0] else "."
    return words


def table(found: Mapping[str, Outcome], published: bool) -> None:
    """Every detector's numbers, sortable, with intervals and the paper's."""
    rows = state.table(found, published)
    show_rows(
        rows,
        low=st.column_config.NumberColumn("95 % from", format="%.4f"),
        high=st.column_config.NumberColumn("to", format="%.4f"),
        ms=st.column_config.NumberColumn("ms an image", format="%.2f"),
    )
    words = (
        "Click a column's head to sort, scroll to the right for FPR95, AUPR, passes and time. 95 %: percentile "
        "bootstrap of ind and ood apart, 1,000 draws."
    )
    if published:
        words += (
            " Beside them the paper's own numbers, as shares: for a larger LeNet, all 10,000 MNIST test digits and "
            "labels of MNIST in choosing; the README's cells are the slides' where it gives no other."
        )
    st.caption(words)


def show_rows(rows: Sequence[Mapping[str, Any]], **columns: Any) -> None:
    """A line a detector: its name stays in sight, AUROC as a bar, other shares to four digits.

    Args:
        rows: alike, with 'detector' and 'AUROC'.
        columns: configurations of further columns, or of those that are shown otherwise.
    """
    shares = {name: SHARE for name, value in rows[0].items() if isinstance(value, float) or name.startswith("paper")}
    st.dataframe(
        rows,
        hide_index=True,
        placeholder="–",
        height=min(TALLEST, ROW * (len(rows) + 1) + 3),
        column_config={
            **shares,
            "detector": st.column_config.TextColumn(pinned=True),
            "AUROC": st.column_config.ProgressColumn(format="%.4f", min_value=0, max_value=1),
            **columns,
        },
    )


def cost(found: Mapping[str, Outcome], places: Mapping[str, int]) -> None:
    """Measured cost against AUROC."""
    marks = []
    for name, outcome in found.items():
        facts = outcome.facts
        passes = f"{facts['forwards']} forward and {facts['backwards']} backward passes"
        low, high = facts["auroc_ci"]
        marks.append(Mark(name, facts["ms_per_image"], facts["auroc"], low, high, passes, places.get(name)))
    chart(
        cost_scatter(marks, mode=session.mode()), key="methods-cost", name="the costs",
        alt="Milliseconds an image against AUROC of every detector",
    )  # fmt: skip


def curves(found: Mapping[str, Outcome], places: Mapping[str, int]) -> None:
    """ROC or PR curves of all, overlaid."""
    with st.container(horizontal=True, vertical_alignment="center"):
        kind = st.segmented_control("Curves", ["ROC", "PR"], default="ROC", required=True, label_visibility="collapsed")
        corner = st.toggle("Only the good corner")
    curves = {name: outcome.roc if kind == "ROC" else outcome.pr for name, outcome in found.items()}
    chart(
        overlaid_curves(curves, places, kind="roc" if kind == "ROC" else "pr", corner=corner, mode=session.mode()),
        key="methods-curves", name=f"the {kind} curves", alt=f"{kind} curves of every detector",
    )  # fmt: skip


def layers(study: Study, wanted: Asked) -> None:
    """Which layers carry FSSD and Mahalanobis, for every ood set that has outcomes, hard for the softmax first."""
    known = []
    for ood in study.ood:
        other = state.asked(study, ood, wanted.protocol, wanted.train)
        with session.guard():
            found, _ = state.outcomes(state.bench(other), ("msp", *SAID))
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
    for box, name in zip(st.columns(2, gap="large"), SAID, strict=True):
        rows = [(ood, found[name].facts) for _, ood, found in sorted(known, key=lambda k: k[0]) if name in found]
        if not rows:
            continue
        title = "FSSD" if name == "fssd" else "Mahalanobis"
        figure = say_heatmap(
            [f"{title_of(ood)} ({facts['auroc']:.3f})" for ood, facts in rows], rows[0][1]["layers"],
            np.array([facts["say"] for _, facts in rows]), title=title,
            subtitle="in brackets the AUROC of the whole", mode=session.mode(),
        )  # fmt: skip
        with box:
            chart(
                figure, key=f"methods-say-{name}", name=f"the layers' share in {title}",
                alt=f"Share of every layer in the {name} score, a row an ood set",
            )  # fmt: skip


def failures(found: Mapping[str, Outcome], lacking: Mapping[str, str], shown: Sequence[str]) -> None:
    """A plain line on when each highlighted method fails, the rest as a table, and what could not run."""
    st.subheader("When each method fails")
    if shown:
        st.markdown(
            "\n".join(
                f"- **{name}** ({found[name].facts['auroc']:.3f} here): {DETECTORS[name].fails}" for name in shown
            )
        )
    rows = [
        {
            "detector": name,
            "AUROC here": found[name].facts["auroc"] if name in found else None,
            "fails": spec.fails,
            "cost": spec.cost,
            "paper": spec.reference,
        }
        for name, spec in DETECTORS.items()
    ]
    with st.expander(f"All {len(rows)} methods: when each fails, its cost, its paper"):
        st.dataframe(
            rows, hide_index=True, placeholder="–", height=TALLEST,
            column_config={
                "detector": st.column_config.TextColumn(pinned=True), "AUROC here": SHARE,
                "fails": st.column_config.TextColumn(width=760), "cost": st.column_config.TextColumn(width=420),
                "paper": st.column_config.TextColumn(width=760),
            },
        )  # fmt: skip
    told = [*(f"{name} {why}" for name, why in lacking.items()), *st.session_state.get("_bench_notes", [])]
    for line in told:
        st.caption(f":material/block: {line}")
