"""ROC and precision-recall curves of one or more comparisons, laid over each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from app import theme
from fssd_core.types import Curve

DASHES = ("solid", "dash", "dot", "dashdot")
TITLE = {"x": 0, "y": 0.98, "yanchor": "top"}


@dataclass(frozen=True, eq=False)
class Line:
    """One curve.

    Attributes:
        name: what it is of.
        curve: of `fssd_core.metrics`.
        area: under it, for the legend.
    """

    name: str
    curve: Curve
    area: float


def roc_curves(lines: Sequence[Line], *, mode: theme.Mode) -> go.Figure:
    """ROC: share of ind accepted over share of ood accepted, with the chance diagonal.

    Args:
        lines: the first is the strongest.
        mode: 'light' or 'dark'.
    """
    figure = _figure(lines, "FPR %{x:.3f}<br>TPR %{y:.3f}", "AUROC", mode)
    _chance(figure, [0, 1], [0, 1], mode)
    figure.update_layout(
        title={"text": "ROC", **TITLE},
        xaxis_title="FPR: share of ood accepted",
        yaxis_title="TPR: share of ind accepted",
    )
    return figure


def pr_curves(lines: Sequence[Line], *, chance: float, mode: theme.Mode) -> go.Figure:
    """Precision over recall with ind positive, as steps (average precision is their sum), with chance as a line.

    Args:
        lines: the first is the strongest.
        chance: share of ind among the first line's images.
        mode: 'light' or 'dark'.
    """
    figure = _figure(lines, "recall %{x:.3f}<br>precision %{y:.3f}", "AUPR-IN", mode)
    figure.update_traces(line={"shape": "vh"})
    _chance(figure, [0, 1], [chance, chance], mode)
    figure.update_layout(
        title={"text": "Precision-recall, ind positive", **TITLE},
        xaxis_title="recall: share of ind accepted",
        yaxis_title="precision: ind among the accepted",
    )
    return figure


def _figure(lines: Sequence[Line], hover: str, area: str, mode: theme.Mode) -> go.Figure:
    figure = go.Figure()
    for number, (line, dash) in enumerate(zip(lines, DASHES, strict=False)):
        colour = (theme.MUTED if number else theme.TEXT)[mode]
        figure.add_scatter(
            x=line.curve.x, y=line.curve.y, mode="lines", name=f"{line.name} · {area} {line.area:.3f}",
            line={"width": 1.6 if number else 2.6, "color": colour, "dash": dash},
            hovertemplate=f"<b>{line.name}</b><br>{hover}<extra></extra>",
        )  # fmt: skip
    figure.update_layout(
        margin={"l": 56, "r": 12, "t": 92, "b": 48},
        height=400,
        hovermode="closest",
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "title": None},
    )
    for side in (figure.update_xaxes, figure.update_yaxes):
        side(range=[-0.01, 1.02], fixedrange=True, gridcolor=theme.GRID[mode], zeroline=False)
    return figure


def _chance(figure: go.Figure, x: list[float], y: list[float], mode: theme.Mode) -> None:
    figure.add_scatter(
        x=x, y=y, mode="lines", line={"width": 1, "color": theme.MUTED[mode], "dash": "dot"}, hoverinfo="skip",
        showlegend=False, name="chance",
    )  # fmt: skip
