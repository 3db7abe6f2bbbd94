"""Where one image stands: its score, its distance in every layer, and what each layer adds to the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from app import theme
from fssd_core.densities import binned_density
from fssd_core.inspect_verdict import Inspection, LayerFinding
from fssd_core.inspect_words import decimals, percent
from fssd_core.types import FloatArray, LayerScores

MOST = 12  # layers in a figure
STEP = 46  # pixels a layer


def score_position(
    found: Inspection, ind: FloatArray, oods: Mapping[str, FloatArray], *, mode: theme.Mode
) -> go.Figure:
    """Densities of the scores of ind and of every ood set, the threshold, and the image as a diamond.

    Args:
        found: the image's inspection.
        ind: (n,) scores of ind images.
        oods: {title: (m,) scores} in the order of their colours.
        mode: 'light' or 'dark'.
    """
    figure = go.Figure()
    edges = [found.score, *(float(q) for s in (ind, *oods.values()) for q in (np.min(s), np.max(s)))]
    edges += [found.threshold] if np.isfinite(found.threshold) else []
    room = 0.04 * (max(edges) - min(edges)) or 1.0
    low, high = min(edges) - room, max(edges) + room
    groups = [("ind", "ind", theme.IND[mode], ind)]
    groups += [(title, "ood", theme.ood(i, mode), scores) for i, (title, scores) in enumerate(oods.items())]
    for title, kind, colour, scores in groups:
        grid, height = binned_density(scores, low=low, high=high, points=300)
        figure.add_scatter(
            x=list(grid), y=list(height / (height.max() or 1.0)), mode="lines", name=title,
            line={"width": 2 if kind == "ind" else 1.4, "color": colour},
            fill="tozeroy" if kind == "ind" else None, fillcolor=theme.transparent(colour, 0.3),
            hovertemplate=f"<b>{title}</b><br>{len(scores):,} images<br>score %{{x:.4g}}<extra></extra>",
        )  # fmt: skip
    digits = decimals(found)
    if np.isfinite(found.threshold):
        figure.add_vline(x=found.threshold, line={"width": 2, "dash": "dash", "color": theme.TEXT[mode]})
        right = found.threshold < (low + high) / 2
        figure.add_annotation(
            x=found.threshold, y=1.16, text=f"threshold {found.threshold:.{digits}f}", showarrow=False,
            xanchor="left" if right else "right", xshift=4 if right else -4, font={"size": 12},
        )  # fmt: skip
    colour = (theme.ACCEPT if found.accepted else theme.REJECT)[mode]
    figure.add_scatter(
        x=[found.score], y=[0.06], mode="markers", name="this image",
        marker=_diamond(colour, mode),
        hovertemplate=f"this image<br>score {found.score:.{digits}f}<br>{percent(found.below)} of ind lower"
        "<extra></extra>",
    )  # fmt: skip
    figure.update_layout(
        xaxis={"title": "score Σ α · distance (larger = more in-distribution)", "range": [low, high]},
        yaxis={"visible": False, "range": [0, 1.3]},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "title": None},
        margin={"l": 8, "r": 8, "t": 44, "b": 48},
        height=270,
        hovermode="closest",
    )
    figure.update_xaxes(fixedrange=True, gridcolor=theme.GRID[mode], zeroline=False)
    figure.update_yaxes(fixedrange=True)
    return figure


def shown_layers(found: Inspection) -> list[LayerFinding]:
    """The layers of the figures, in the network's order: all, or those that move the score most."""
    if len(found.layers) <= MOST:
        return list(found.layers)
    most = sorted(found.layers, key=lambda f: -abs(f.contribution))[:MOST]
    return [f for f in found.layers if f in most]


def layer_positions(found: Inspection, ind: LayerScores, *, mode: theme.Mode) -> go.Figure:
    """One strip a layer: the ind images' distances over their median, and the image as a diamond.

    Args:
        found: the image's inspection.
        ind: (n, K) ind distances at the same epsilon.
        mode: 'light' or 'dark'.
    """
    figure, layers = go.Figure(), shown_layers(found)
    units = [f.ind_median or 1.0 for f in layers]
    columns = [ind.column(f.layer).astype(np.float64) / unit for f, unit in zip(layers, units, strict=True)]
    columns = [c[np.isfinite(c)] for c in columns]
    high = 1.05 * max(*(f.distance / u for f, u in zip(layers, units, strict=True)), *(c.max() for c in columns))
    bases = range(len(layers) - 1, -1, -1)
    colour = theme.IND[mode]
    for column, base, found_here, unit in zip(columns, bases, layers, units, strict=True):
        grid, height = binned_density(column, low=0, high=high, points=240)
        half = 0.36 * height / (height.max() or 1.0)
        figure.add_scatter(
            x=[*grid, *grid[::-1]], y=[*(base + half), *(base - half)[::-1]], mode="lines", fill="toself",
            line={"width": 1, "color": colour}, fillcolor=theme.transparent(colour, 0.3), hoverinfo="skip",
            showlegend=False,
        )  # fmt: skip
        figure.add_scatter(
            x=[found_here.distance / unit], y=[base], mode="markers", name=found_here.layer, showlegend=False,
            marker=_diamond(theme.TEXT[mode], mode),
            hovertemplate=f"<b>{found_here.layer}</b><br>distance to F* {found_here.distance:.4g}"
            f"<br>ind median {found_here.ind_median:.4g}<br>{percent(found_here.below)} of ind nearer<extra></extra>",
        )  # fmt: skip
    labels = [f"<b>{f.layer}</b><br>{f.distance:.3g} · P {_place(f.below)}" for f in layers]
    figure.add_vline(x=1, line={"width": 1, "dash": "dash", "color": theme.MUTED[mode]})
    _arrange(figure, labels, list(bases), "‖F(x̃) − F*‖ ÷ ind median", mode)
    figure.update_xaxes(range=[0, high])
    return figure


def contributions(found: Inspection, *, mode: theme.Mode) -> go.Figure:
    """One bar a layer: how far it moves the score from the ind median, toward accepting or rejecting.

    Args:
        found: the image's inspection.
        mode: 'light' or 'dark'.
    """
    layers, digits = shown_layers(found), decimals(found)
    bases = list(range(len(layers) - 1, -1, -1))
    values = [f.contribution for f in layers]
    figure = go.Figure(
        go.Bar(
            x=values,
            y=bases,
            orientation="h",
            width=0.6,
            marker={"color": [(theme.ACCEPT if v >= 0 else theme.REJECT)[mode] for v in values]},
            text=[f"{v:+.{digits}f}".replace("-", "−") for v in values],
            textposition="outside",
            cliponaxis=False,
            customdata=[[f.layer, f.alpha, f.distance, f.term] for f in layers],
            hovertemplate="<b>%{customdata[0]}</b><br>α %{customdata[1]:.4g} × distance %{customdata[2]:.4g} = "
            "%{customdata[3]:.4g}<br>moves the score by %{x:.4g}<extra></extra>",
        )
    )
    low, high = min(0.0, *values), max(0.0, *values)
    room = 0.32 * (high - low) or 1.0
    labels = [f"<b>{f.layer}</b><br>α {f.alpha:.3g}" for f in layers]
    figure.add_vline(x=0, line={"width": 1, "color": theme.MUTED[mode]})
    _arrange(figure, labels, bases, "change of the score from the ind median", mode)
    figure.update_xaxes(range=[low - (room if low < 0 else 0.05 * room), high + (room if high > 0 else 0.05 * room)])
    return figure


def _arrange(figure: go.Figure, labels: list[str], bases: list[int], axis: str, mode: theme.Mode) -> None:
    figure.update_layout(
        xaxis={"title": axis},
        yaxis={"tickmode": "array", "tickvals": bases, "ticktext": labels, "range": [-0.6, len(labels) - 0.4],
               "showgrid": False},
        margin={"l": 8, "r": 8, "t": 12, "b": 48},
        height=80 + STEP * max(2, len(labels)),
        hovermode="closest",
    )  # fmt: skip
    figure.update_yaxes(fixedrange=True, automargin=True)
    figure.update_xaxes(fixedrange=True, gridcolor=theme.GRID[mode], zeroline=False)


def _diamond(colour: str, mode: theme.Mode) -> dict[str, Any]:
    """The image's own mark in every figure."""
    return {"symbol": "diamond", "size": 16, "color": colour, "line": {"width": 2, "color": theme.BACKGROUND[mode]}}


def _place(below: float) -> str:
    """Percentile as a short number: '1.3', '0', '100'."""
    return percent(below).removesuffix(" %").removesuffix(".0")
