"""Detectors side by side: cost against AUROC, all ROC or PR curves overlaid, and which layers carry a score."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import plotly.graph_objects as go

from app import theme
from app.figures.heatmap import heatmap
from fssd_core.types import FloatArray

DASHES = ("solid", "dash", "dot", "dashdot")
AXIS_TITLES = {
    "roc": ("false positive rate: ood accepted", "true positive rate: ind accepted"),
    "pr": ("recall: ind accepted", "precision: ind among the accepted"),
}


@dataclass(frozen=True)
class Mark:
    """One detector as a point.

    Attributes:
        name: the detector.
        milliseconds: measured, an image.
        auroc: its AUROC, with the 95 % interval `low` to `high`.
        passes: forward and backward passes an image, in words.
        place: its number among the highlighted ones, for colour; None if it is not highlighted.
    """

    name: str
    milliseconds: float
    auroc: float
    low: float
    high: float
    passes: str
    place: int | None


def colour_of(place: int | None, mode: theme.Mode) -> str:
    """Colour of the highlighted detector number `place`, grey for the others."""
    return theme.NOISE[mode] if place is None else theme.ind_class(place, mode)


def _sides(marks: Sequence[Mark]) -> list[str]:
    """Where each name stands: of two marks close to each other, above the higher and below the lower one."""
    out = []
    for i, mark in enumerate(marks):
        near = [
            (other.auroc, -k)
            for k, other in enumerate(marks)
            if k != i
            and abs(math.log10(other.milliseconds / mark.milliseconds)) < 0.6
            and abs(other.auroc - mark.auroc) < 0.15
        ]
        out.append("bottom center" if near and max(near) > (mark.auroc, -i) else "top center")
    return out


def cost_scatter(marks: Sequence[Mark], *, mode: theme.Mode) -> go.Figure:
    """Measured milliseconds an image (log) against AUROC; the dotted line is the best that each cost can buy."""
    figure = go.Figure()
    ordered = sorted(marks, key=lambda m: (m.milliseconds, -m.auroc))
    best, xs, ys = -1.0, [], []
    for mark in ordered:
        if mark.auroc > best:
            xs += [mark.milliseconds, mark.milliseconds] if xs else [mark.milliseconds]
            ys += [best, mark.auroc] if ys else [mark.auroc]
            best = mark.auroc
    xs.append(ordered[-1].milliseconds)
    ys.append(best)
    figure.add_scatter(
        x=xs, y=ys, mode="lines", line={"width": 1.2, "dash": "dot", "color": theme.MUTED[mode]}, hoverinfo="skip",
        name="best at this cost",
    )  # fmt: skip
    for highlighted in (False, True):
        chosen = [m for m in ordered if (m.place is not None) is highlighted]
        figure.add_scatter(
            x=[m.milliseconds for m in chosen],
            y=[m.auroc for m in chosen],
            mode="markers+text" if highlighted else "markers",
            text=[m.name for m in chosen],
            textposition=_sides(chosen),
            textfont={"size": 12, "color": theme.TEXT[mode]},
            cliponaxis=False,  # names may reach over the edge
            marker={
                "size": 11 if highlighted else 7,
                "color": [colour_of(m.place, mode) for m in chosen],
                "line": {"width": 1, "color": theme.BACKGROUND[mode]},
            },
            customdata=[[m.name, m.low, m.high, m.passes] for m in chosen],
            hovertemplate="<b>%{customdata[0]}</b><br>AUROC %{y:.4f} [%{customdata[1]:.4f}, %{customdata[2]:.4f}]"
            "<br>%{x:.3g} ms an image, %{customdata[3]}<extra></extra>",
            name="highlighted" if highlighted else "others",
        )
    figure.update_layout(
        title={"text": "Cost against AUROC", "subtitle": {"text": "dotted: the best so far, going right"}, "x": 0},
        xaxis={
            "title": "milliseconds an image (measured, log scale)",
            "type": "log",
            "fixedrange": True,
            "tickvals": [m * 10.0**e for e in range(-3, 4) for m in (1, 2, 5)],
            # room for the names at both ends
            "range": [math.log10(ordered[0].milliseconds) - 0.18, math.log10(ordered[-1].milliseconds) + 0.3],
        },
        yaxis={"title": "AUROC", "fixedrange": True, "automargin": True},
        showlegend=False,
        height=430,
    )
    return _framed(figure, mode)


def overlaid_curves(
    curves: Mapping[str, FloatArray],
    places: Mapping[str, int],
    *,
    kind: Literal["roc", "pr"],
    corner: bool,
    mode: theme.Mode,
) -> go.Figure:
    """Every detector's curve; the highlighted ones in colour and in the legend, the others thin and grey.

    Args:
        curves: {detector: (T, 2) points}.
        places: {highlighted detector: its number, for colour and dash}.
        kind: 'roc' or 'pr'.
        corner: only the corner where good detectors differ.
        mode: 'light' or 'dark'.
    """
    figure = go.Figure()
    names = [n for n in curves if n not in places] + [n for n in reversed(places) if n in curves]
    for name in names:
        place = places.get(name)
        figure.add_scatter(
            x=curves[name][:, 0].tolist(),
            y=curves[name][:, 1].tolist(),
            mode="lines",
            name=name,
            legendrank=1000 if place is None else place,
            showlegend=place is not None,
            line={
                "width": 0.8 if place is None else 2.8 if name == "fssd" else 1.8,
                "color": colour_of(place, mode),
                "dash": DASHES[0 if place is None else place // 4 % len(DASHES)],
            },
            opacity=0.55 if place is None else 1,
            hovertemplate=f"<b>{name}</b><br>%{{x:.3f}}, %{{y:.3f}}<extra></extra>",
        )
    if kind == "roc":
        figure.add_scatter(
            x=[0, 1], y=[0, 1], mode="lines", hoverinfo="skip", showlegend=False, name="chance",
            line={"width": 1, "dash": "dash", "color": theme.GRID[mode]},
        )  # fmt: skip
    ranges = {
        ("roc", False): ([-0.01, 1.01], [-0.01, 1.01]), ("roc", True): ([-0.004, 0.3], [0.7, 1.004]),
        ("pr", False): ([-0.01, 1.01], [0, 1.02]), ("pr", True): ([0.7, 1.004], [0.7, 1.004]),
    }[kind, corner]  # fmt: skip
    x_title, y_title = AXIS_TITLES[kind]
    figure.update_layout(
        title={
            "text": "ROC curves" if kind == "roc" else "Precision and recall, ind positive",
            "subtitle": {"text": "grey: the detectors that are not highlighted"},
            "x": 0,
        },
        xaxis={"title": x_title, "range": ranges[0], "fixedrange": True},
        yaxis={"title": y_title, "range": ranges[1], "fixedrange": True, "automargin": True},
        legend={"orientation": "h", "x": 0, "y": -0.2, "yanchor": "top", "title": None},
        height=470,
    )
    return _framed(figure, mode)


def _framed(figure: go.Figure, mode: theme.Mode) -> go.Figure:
    """The room around the page's two figures, and their grid."""
    figure.update_layout(margin={"l": 8, "r": 16, "t": 76, "b": 48}, hovermode="closest")
    figure.update_xaxes(gridcolor=theme.GRID[mode], zeroline=False)
    figure.update_yaxes(gridcolor=theme.GRID[mode], zeroline=False)
    return figure


def say_heatmap(
    rows: Sequence[str], layers: Sequence[str], say: FloatArray, *, title: str, subtitle: str, mode: theme.Mode
) -> go.Figure:
    """Signed share that every layer has in the score, one row an ood set.

    Args:
        rows: titles of the R ood sets, top to bottom.
        layers: K layer names.
        say: (R, K) shares, in absolute value adding up to 1 a row.
        title: of the figure.
        subtitle: under it.
        mode: 'light' or 'dark'.
    """
    return heatmap(
        say.tolist(), layers, rows, limits=(-1, 1), text="%{z:+.2f}", hover="%{y}<br>%{x}: %{z:+.3f} of the score",
        title=title, subtitle=subtitle, mode=mode, xaxis={"title": "layer, early to deep"}, height=170 + 46 * len(rows),
    )  # fmt: skip
