"""Charts of a training: distances by group, AUROC by layer, loss and accuracy, all over the training step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app import theme

Line = Mapping[str, Any]  # one line of a run's progress
ZERO = 0.6  # where step 0 stands on the logarithmic axis
_TICKS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000)


def distance_curves(
    lines: Sequence[Line], layer: str, groups: Sequence[tuple[str, str, str]], *, mode: theme.Mode, height: int = 280
) -> go.Figure:
    """Mean distance to F* over the ind mean, one curve a group; 1 is ind.

    Args:
        lines: of the run, in order.
        layer: whose distances.
        groups: (name, title, kind) of ind, the ood sets and noise, in the order of their colours.
        mode: 'light' or 'dark'.
        height: in pixels.
    """
    figure = go.Figure()
    shown = [line for line in lines if layer in line["layers"]]
    number = 0
    for name, title, kind in groups:
        values = [line["layers"][layer].get(name, {}).get("ratio") for line in shown]
        colour = theme.group_colour(kind, number, mode)
        number += kind == "ood"
        _curve(figure, [line["step"] for line in shown], values, title, colour, width=1.4 if kind == "noise" else 2.2)
    _finish(figure, f"Mean distance to F* in {layer}, ind = 1", height, mode)
    figure.update_yaxes(rangemode="tozero", title=None)
    return figure


def auroc_curves(
    lines: Sequence[Line], group: str, title: str, *, index: int, mode: theme.Mode, height: int = 280
) -> go.Figure:
    """AUROC of each layer's distance against one ood set; the deeper the layer, the stronger its curve.

    Args:
        lines: of the run, in order.
        group: the ood set's name in the lines.
        title: its name for people.
        index: its number among the ood sets, for the colour.
        mode: 'light' or 'dark'.
        height: in pixels.
    """
    figure = go.Figure()
    layers = list(lines[-1]["layers"]) if lines else []
    colour = theme.ood(index, mode)
    for k, layer in enumerate(layers):
        values = [line["layers"].get(layer, {}).get(group, {}).get("auroc") for line in lines]
        depth = (k + 1) / len(layers)
        dash = ("dot", "dash", "solid")[min(2, int(3 * (depth - 1e-9)))]
        shade = colour if depth == 1 else _mixed(colour, theme.BACKGROUND[mode], 0.35 + 0.65 * depth)
        _curve(figure, [line["step"] for line in lines], values, layer, shade, width=1 + 1.6 * depth, dash=dash)
    figure.add_hline(y=0.5, line={"width": 1, "dash": "dot", "color": theme.MUTED[mode]})
    _finish(figure, f"AUROC of each layer against {title}", height, mode, top=66)
    figure.update_yaxes(range=[-0.02, 1.04], title=None)
    return figure


def loss_and_accuracy(lines: Sequence[Line], *, mode: theme.Mode, height: int = 220) -> go.Figure:
    """Training loss, and accuracy on the probe's ind images, side by side."""
    figure = make_subplots(1, 2, subplot_titles=("Training loss", "Accuracy on the probe"), horizontal_spacing=0.12)
    steps = [line["step"] for line in lines]
    ink = theme.TEXT[mode]
    _curve(figure, steps, [line.get("loss") for line in lines], "loss", ink, width=2, cell=(1, 1))
    _curve(figure, steps, [line.get("accuracy") for line in lines], "accuracy", theme.IND[mode], width=2, cell=(1, 2))
    _finish(figure, "", height, mode)
    figure.update_layout(showlegend=False, margin={"t": 34})
    figure.update_annotations(font_size=13)
    decades = [t for t in figure.layout.xaxis.tickvals if t < 1 or round(math.log10(t), 6).is_integer()]
    words = ["0" if t < 1 else _short(int(t)) for t in decades]
    figure.update_xaxes(tickvals=decades, ticktext=words, tickangle=0)
    figure.update_yaxes(rangemode="tozero", row=1, col=1)
    figure.update_yaxes(range=[0, 1.02], tickformat=".0%", row=1, col=2)
    return figure


def _curve(
    figure: go.Figure,
    steps: Sequence[int],
    values: Sequence[float | None],
    name: str,
    colour: str,
    *,
    width: float,
    dash: str = "solid",
    cell: tuple[int, int] | None = None,
) -> None:
    known = [(step, value) for step, value in zip(steps, values, strict=True) if value is not None]
    trace = go.Scatter(
        x=[max(step, ZERO) for step, _ in known],
        y=[value for _, value in known],
        customdata=[step for step, _ in known],
        mode="lines+markers" if len(known) < 3 else "lines",
        name=name,
        line={"width": width, "color": colour, "dash": dash},
        hovertemplate=f"<b>{name}</b><br>step %{{customdata:,}}: %{{y:.3f}}<extra></extra>",
    )
    where = {} if cell is None else {"row": cell[0], "col": cell[1]}
    figure.add_trace(trace, **where)


def _finish(figure: go.Figure, title: str, height: int, mode: theme.Mode, *, top: int = 86) -> None:
    last = max((max(trace.customdata) for trace in figure.data if len(trace.customdata)), default=1)
    ticks = [t for t in _TICKS if t <= max(last, 1)]
    figure.update_layout(
        title={"text": title, "font": {"size": 15}, "x": 0, "y": 1, "yref": "container", "yanchor": "top"},
        legend={"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "title": None, "font": {"size": 12}},
        margin={"l": 8, "r": 8, "t": top, "b": 36},
        height=height,
        hovermode="closest",
        uirevision="run",
    )
    figure.update_xaxes(
        type="log",
        tickvals=[max(t, ZERO) for t in ticks],
        ticktext=[_short(t) for t in ticks],
        title={"text": "training step (logarithmic)", "font": {"size": 12}},
        fixedrange=True,
        gridcolor=theme.GRID[mode],
        zeroline=False,
    )
    figure.update_yaxes(fixedrange=True, gridcolor=theme.GRID[mode], zeroline=False, automargin=True)


def _short(step: int) -> str:
    return f"{step // 1000}k" if step >= 1000 else str(step)


def _mixed(colour: str, other: str, share: float) -> str:
    """`share` of the first colour, the rest of the second."""
    pairs = ((int(colour[i : i + 2], 16), int(other[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(share * a + (1 - share) * b):02x}" for a, b in pairs)
