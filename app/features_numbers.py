"""The numbers beside the picture of the Features page: one line an ood set, the distances as humps, a table."""

from __future__ import annotations

import hashlib

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from app import session, theme
from app.figures.distances import Ridge, ridgelines
from app.names import title_of
from fssd_core.summary import UNINFORMATIVE, GroupSummary, density, verdict
from fssd_core.types import Projection


def headline(rows: list[GroupSummary], shown: Projection) -> None:
    """One line an ood set, whatever it shows, so that the picture below does not move over the checkpoints."""
    untrained = session.current_study().step == 0
    note = " Untrained: the baseline, of which the theory says nothing." if untrained else ""
    lines = [f"Mean distance to F\\* in **{shown.layer}**, with the ind median as 1.{note}"]
    for row in rows:
        if row.kind == "ood" and row.auroc is not None:
            words = verdict(row.auroc).removeprefix("theory fails: " if untrained else "")
            colour = "red" if row.auroc < UNINFORMATIVE else "orange" if row.auroc < 0.8 else "green"
            colour = "gray" if untrained else colour
            lines.append(
                f"- **{title_of(row.name)}** at **{row.ratio:.2f}** · AUROC {row.auroc:.3f} · :{colour}-badge[{words}]"
            )
    if len(lines) > 1:
        st.markdown("\n".join(lines))


def distances(rows: list[GroupSummary], shown: Projection) -> go.Figure:
    """Densities of the true distances, in units of the ind median; drawn once for all sessions that look at them."""
    mode = session.mode()
    told = [(title_of(row.name), row.kind, row.count, row.auroc, row.mean) for row in rows]
    parts = hashlib.sha256(np.ascontiguousarray(shown.distance).tobytes()).hexdigest()
    slot = repr(("ridgelines", mode, shown.layer, [(g.start, g.stop) for g in shown.groups], told, parts))
    return session.drawn(slot, lambda: _ridgelines(rows, shown, mode))


def _ridgelines(rows: list[GroupSummary], shown: Projection, mode: theme.Mode) -> go.Figure:
    ind = rows[0]
    edge = 1.02 * max(float(shown.distance.max()) / ind.median, 1.5)
    ridges, number = [], 0
    for row, group in zip(rows, shown.groups, strict=True):
        grid, height = density(shown.distance[group.start : group.stop] / ind.median, low=0, high=edge)
        note = f"{row.count:,} images" + ("" if row.auroc is None else f", AUROC {row.auroc:.3f}")
        ridges.append(Ridge(title_of(row.name), row.kind, number, grid, height, row.mean / ind.median, note))
        number += row.kind == "ood"
    return ridgelines(ridges, layer=shown.layer, mode=mode)


def table(rows: list[GroupSummary]) -> None:
    """Mean distance and AUROC of every group."""
    st.dataframe(
        [
            {
                "group": title_of(r.name),
                "mean": r.mean,
                "÷ ind": r.ratio,
                "AUROC": "–" if r.auroc is None else f"{r.auroc:.4f}",
            }
            for r in rows
        ],
        hide_index=True,
        column_config={
            "mean": st.column_config.NumberColumn(format="%.2f", help="Mean distance to F*, in the layer's own units"),
            "÷ ind": st.column_config.NumberColumn(
                format="%.2f", help="Mean over the ind median; below 1: nearer to F* than most of ind"
            ),
            "AUROC": st.column_config.TextColumn(
                help="Of this layer's distance alone, on the drawn points; ind positive, below 0.5 is inverted"
            ),
        },
    )
