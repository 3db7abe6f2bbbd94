"""Ridgelines of the true distances to F*: one hump a group, ind first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from app import theme
from fssd_core.types import FloatArray

GAP = 0.55  # of a hump's height, between two base lines


@dataclass(frozen=True, eq=False)
class Ridge:
    """One hump.

    Attributes:
        title: the group's name for people.
        kind: 'ind', 'ood' or 'noise'.
        index: number among the ood groups, for the colour.
        grid: (G,) distances over the ind median.
        density: (G,) any units; every hump is scaled to height 1.
        mean: the group's mean distance over the ind median.
        note: what stands in the hover text beside the title.
    """

    title: str
    kind: str
    index: int
    grid: FloatArray
    density: FloatArray
    mean: float
    note: str = ""


def ridgelines(ridges: Sequence[Ridge], *, layer: str, mode: theme.Mode) -> go.Figure:
    """Humps from top to bottom in the given order over distance in units of the ind median.

    Args:
        ridges: the groups.
        layer: layer name for the title.
        mode: 'light' or 'dark'.
    """
    figure = go.Figure()
    base_lines = [(len(ridges) - 1 - i) * GAP for i in range(len(ridges))]
    for ridge, base in zip(ridges, base_lines, strict=True):
        colour = theme.group_colour(ridge.kind, ridge.index, mode)
        top = float(max(ridge.density)) or 1.0
        figure.add_scatter(
            x=list(ridge.grid), y=[base] * len(ridge.grid), mode="lines", line={"width": 0.5, "color": colour},
            hoverinfo="skip", showlegend=False,
        )  # fmt: skip
        figure.add_scatter(
            x=list(ridge.grid),
            y=[base + d / top for d in ridge.density],
            mode="lines",
            line={"width": 1.6, "color": colour},
            fill="tonexty",
            fillcolor=theme.transparent(colour, 0.32),
            name=ridge.title,
            hovertemplate=f"<b>{ridge.title}</b><br>distance %{{x:.2f}} × ind median<br>{ridge.note}<extra></extra>",
            showlegend=False,
        )
        figure.add_scatter(
            x=[ridge.mean] * 2, y=[base, base + 0.28], mode="lines", line={"width": 2, "color": colour, "dash": "dot"},
            hovertemplate=f"mean of {ridge.title}: %{{x:.2f}} × ind median<extra></extra>", showlegend=False,
        )  # fmt: skip
        figure.add_annotation(
            x=1, xref="paper", y=base + 0.06, text=ridge.title, showarrow=False, xanchor="right", yanchor="bottom",
            font={"size": 12, "color": colour},
        )  # fmt: skip
    figure.add_vline(x=1, line={"width": 1, "dash": "dash", "color": theme.MUTED[mode]})
    figure.add_vline(x=0, line={"width": 2, "color": theme.FSS[mode]})
    figure.add_annotation(
        x=0, y=1, yref="paper", text="★ F*", showarrow=False, xanchor="left", yanchor="bottom",
        font={"size": 13, "color": theme.TEXT[mode]},
    )  # fmt: skip
    figure.update_layout(
        title={
            "text": f"True distance to F* in {layer}",
            "subtitle": {"text": "density of each group, scaled to height 1"},
            "font": {"size": 16},
            "x": 0,
        },
        xaxis={"title": "‖F(x) − F*‖ ÷ ind median", "rangemode": "tozero"},
        yaxis={"visible": False, "fixedrange": True, "range": [-0.05, base_lines[0] + 1.1]},
        margin={"l": 8, "r": 8, "t": 96, "b": 48},
        height=150 + int(72 * len(ridges)),
        hovermode="closest",
    )
    figure.update_xaxes(fixedrange=True, gridcolor=theme.GRID[mode], zeroline=False)
    return figure
