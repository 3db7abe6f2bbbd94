"""Universality: does ood lie nearer to F* whatever is trained? Our measured table, with its holes and failures."""

from __future__ import annotations

import streamlit as st

from app import session
from app.charts import chart
from app.figures.universality import universality_map
from fssd_core.summary import UNINFORMATIVE
from fssd_core.universality import OOD, CellResult
from fssd_core.universality_report import (
    BY_CONSTRUCTION,
    Claim,
    budget_words,
    claims,
    failures,
    shipped_results,
)

DEEPEST, FIRST = "deepest trained layer", "first layer"
SHOWN = {"auroc": "AUROC", "ratio": "Mean distance ÷ ind mean"}
WHEN = {"trained": "Trained", "untrained": "Untrained", "change": "Change by training"}


def show() -> None:
    """Draws the page."""
    st.title("Is it universal?")
    st.caption(
        "The paper's slides say that ood features concentrate near F\\* whatever is trained. Here are networks of five "
        "kinds, two activations and four losses, with and without labels, trained alike and measured on sets that "
        "none of them saw."
    )
    with session.guard():
        results, budget = shipped_results()
    whole = [r for r in results if not r.error]
    said = claims(results)
    _headline(said)
    one, two, three = st.columns([1.2, 1.4, 1], vertical_alignment="bottom")
    value = one.segmented_control(
        "Number", list(SHOWN), default="auroc", required=True, key="u_value", format_func=SHOWN.__getitem__
    )
    when = two.segmented_control(
        "Network", list(WHEN), default="trained", required=True, key="u_when", format_func=WHEN.__getitem__
    )
    layer = three.segmented_control("Layer", [DEEPEST, FIRST], default=DEEPEST, required=True, key="u_layer")
    chart(
        universality_map(
            whole, value=str(value), when=str(when), layer=0 if layer == FIRST else -1, mode=session.mode()
        ),
        key="universality",
        alt="A heatmap: one row a network, one column an ood set",
        name="the heatmap",
    )
    left, right = st.columns([1.2, 1], gap="large")
    with left:
        _claims(said)
    with right:
        _failures(whole, results)
    _layers(whole)
    st.caption(
        f"{len(results)} networks, seed {', '.join(str(s) for s in sorted({r.cell.seed for r in results}))}; each "
        f"{budget_words(budget)}; {budget.measured:,} images of each set; F\\* from {budget.noise} noise images. "
        "Make your own with `fssd universality --out mine.json`; `--quick` takes seconds."
    )


def _headline(said: list[Claim]) -> None:
    by = {claim.about: claim for claim in said}
    whole = by["all"]
    share = whole.near / whole.total
    verdict = (
        "It holds everywhere here." if share == 1 else "Mostly, not always." if share > 0.75
        else "More often than not." if share > 0.5 else "No."
    )  # fmt: skip
    st.markdown(
        f"**{verdict}** In the deepest trained layer ood is {_escaped(whole)} comparisons (uniform noise, near F\\* by "
        "construction, is not counted)."
    )
    st.markdown("\n".join(f"- **{name}**: {_escaped(by[name])}" for name in OOD if name != BY_CONSTRUCTION))


def _escaped(claim: Claim) -> str:
    return claim.words.replace("F*", "F\\*")


def _claims(said: list[Claim]) -> None:
    st.subheader("By loss, architecture, activation")
    st.dataframe(
        [
            {
                "": claim.about,
                "nearer than ind": f"{claim.near} of {claim.total}",
                "farther": f"{claim.inverted} of {claim.total}",
                "nearer than untrained": f"{claim.moved} of {claim.total}",
            }
            for claim in said
            if claim.about not in (*OOD, "all")
        ],
        hide_index=True,
    )


def _failures(whole: list[CellResult], results: list[CellResult]) -> None:
    found = failures(whole)
    st.subheader(f"Where it fails: {len(found)} of {len(whole) * len(OOD)}")
    farther = sum(r.auroc[name][-1] < 1 - UNINFORMATIVE for r, name in found)
    st.caption(
        f"AUROC at most {UNINFORMATIVE:g} in the deepest trained layer, over all networks and all {len(OOD)} sets, "
        f"uniform noise too: ood lies farther from F\\* than ind in {farther} (AUROC below {1 - UNINFORMATIVE:g}), "
        f"neither nearer nor farther in {len(found) - farther}."
    )
    st.dataframe(
        [
            {"network": r.cell.title, "ood": name, "AUROC": r.auroc[name][-1], "÷ ind": r.ratio[name][-1]}
            for r, name in sorted(found, key=lambda pair: pair[0].auroc[pair[1]][-1])
        ],
        hide_index=True,
        column_config={k: st.column_config.NumberColumn(format="%.2f") for k in ("AUROC", "÷ ind")},
    )
    holes = [r for r in results if r.error]
    for hole in holes:
        st.warning(f"{hole.cell.title}: no numbers, {hole.error}", icon=":material/warning:")


def _layers(whole: list[CellResult]) -> None:
    with st.expander("Every layer of every network", icon=":material/table:"):
        ood = st.selectbox("Against", OOD, key="u_ood")
        st.dataframe(
            [
                {
                    "network": r.cell.title,
                    "accuracy": r.accuracy,
                    "layer": layer,
                    "AUROC": r.auroc[ood][k],
                    "untrained": r.auroc_untrained[ood][k],
                    "÷ ind": r.ratio[ood][k],
                    "÷ ind untrained": r.ratio_untrained[ood][k],
                }
                for r in whole
                for k, layer in enumerate(r.layers)
            ],
            hide_index=True,
            column_config={
                k: st.column_config.NumberColumn(format="%.3f")
                for k in ("accuracy", "AUROC", "untrained", "÷ ind", "÷ ind untrained")
            },
        )


show()
