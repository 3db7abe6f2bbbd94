"""The heatmaps of tables: blue for, red against, the number in every cell, first row on top."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from app import theme

STEPS = {
    "light": ((0, "#e8839d"), (0.45, "#f7dde4"), (0.5, "#f1f2f4"), (0.75, "#cfe3f1"), (1, "#5fa8da")),
    "dark": ((0, "#c2264f"), (0.45, "#4d2530"), (0.5, "#2a2b30"), (0.75, "#22445a"), (1, "#27709f")),
}
"""Every colour on the way is at least 4.5:1 from the digits in `theme.TEXT`."""


def heatmap(
    table: Sequence[Sequence[float]],
    columns: Sequence[str],
    rows: Sequence[str],
    *,
    limits: tuple[float, float],
    text: str,
    hover: str,
    title: str,
    subtitle: str,
    mode: theme.Mode,
    trace: dict[str, Any] | None = None,
    **layout: Any,
) -> go.Figure:
    """One cell a number, coloured between the limits.

    Args:
        table: R rows of C numbers.
        columns: C names.
        rows: R names, top to bottom.
        limits: numbers at the ends of the colours.
        text: Plotly's template of a cell's text.
        hover: Plotly's template of what is told under the pointer.
        title: of the figure.
        subtitle: under it.
        mode: 'light' or 'dark'.
        trace: more of the heatmap, as Plotly names it.
        layout: more of the figure, as Plotly names it; `xaxis` is added to a fixed one.
    """
    figure = go.Figure(
        go.Heatmap(
            z=table, x=list(columns), y=list(rows), zmin=limits[0], zmax=limits[1],
            colorscale=[list(step) for step in STEPS[mode]], texttemplate=text, hovertemplate=f"{hover}<extra></extra>",
            textfont={"color": theme.TEXT[mode]}, showscale=False, xgap=2, ygap=2, **(trace or {}),
        )
    )  # fmt: skip
    across = {"fixedrange": True, **layout.pop("xaxis", {})}
    figure.update_layout(
        title={"text": title, "subtitle": {"text": subtitle}, "x": 0},
        xaxis=across,
        yaxis={"autorange": "reversed", "fixedrange": True, "automargin": True},
        **{"margin": {"l": 8, "r": 8, "t": 80, "b": 48}, **layout},
    )
    return figure
