"""The Methods page's measured rows of the paper's Table 2 whose data does not ship, beside the paper's numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from app.methods_panels import show_rows, standing
from fssd_core.protocol import PROTOCOLS
from fssd_core.table2 import shipped_tables


def card() -> None:
    """Draws the card; nothing where no table ships."""
    tables = shipped_tables()
    if not tables:
        return
    st.subheader("Other rows of the paper's Table 2")
    titles = dict.fromkeys(table["title"] for table in tables)
    left, right = st.columns([1.2, 1], gap="medium")
    title = left.selectbox("Row", list(titles), key="table2_row")
    protocol = right.segmented_control(
        "Protocol of the row", list(PROTOCOLS), default="paper", required=True, key="table2_protocol"
    )
    chosen = next((t for t in tables if (t["title"], t["protocol"]) == (title, protocol)), None)
    if chosen is None:
        st.info(f"{title} was not measured under {protocol}; choose the other protocol.")
        return
    st.markdown(said(chosen))
    show_rows(rows(chosen))
    left_out = [f"{entry['detector']} {entry['why'].split('; give --')[0]}" for entry in chosen["skipped"]]
    for name, words in (("Caveats", chosen["caveats"]), ("Notes", chosen["notes"]), ("Not run", left_out)):
        if words:
            st.caption(f"{name}: {'; '.join(words)}.")


def said(table: Mapping[str, Any]) -> str:
    """What was measured, and where FSSD stands."""
    return (
        "Measured once, by the command in docs/benchmarks.md, because the data may not be passed on: "
        f"`{table['arch']}` (the paper: {table['paper_network']}), tested on {table['n_ind']:,} ind and "
        f"{table['n_ood']:,} ood inputs, seed {table['seed']}. "
        f"Best: {standing({row['detector']: row for row in table['rows']})}"
    )


def rows(table: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One line a detector; the paper's percent as shares."""
    lines = []
    for row in table["rows"]:
        slides = row["published"].get("slides")
        lines.append(
            {
                "detector": row["detector"],
                "AUROC": row["auroc"],
                "95 % from": row["auroc_ci"][0],
                "to": row["auroc_ci"][1],
                "paper AUROC (slides)": None if slides is None else round(slides[0] / 100, 6),
                "FPR80": row["fpr80"],
                "paper FPR80 (slides)": None if slides is None else round(slides[2] / 100, 6),
                "FPR95": row["fpr95"],
                "AUPR-IN": row["aupr_in"],
                "AUPR-OUT": row["aupr_out"],
            }
        )
    return lines
