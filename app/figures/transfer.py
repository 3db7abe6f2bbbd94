"""The matrix 'alpha fitted on A, tested on B' as a heatmap with its numbers."""

from __future__ import annotations

import plotly.graph_objects as go

from app import theme
from app.figures.heatmap import heatmap
from fssd_core.transfer import Transfer


def transfer_matrix(result: Transfer, *, mode: theme.Mode) -> go.Figure:
    """One row a rule for alpha, one column an ood set; cells whose labels alpha saw are framed.

    Args:
        result: of `fssd_core.transfer`.
        mode: 'light' or 'dark'.
    """
    figure = heatmap(
        result.auroc.tolist(), result.tested, result.rules, limits=(0, 1), text="%{z:.3f}",
        hover="alpha: %{y}<br>tested on %{x}<br>AUROC %{z:.4f}", title="AUROC: fitted on one set, tested on another",
        subtitle="framed: alpha saw labels of that very set", mode=mode, xaxis={"title": "tested on"},
        height=150 + 42 * len(result.rules),
    )  # fmt: skip
    for row, line in enumerate(result.own):
        for column, own in enumerate(line):
            if own:
                figure.add_shape(
                    type="rect", x0=column - 0.49, x1=column + 0.49, y0=row - 0.47, y1=row + 0.47,
                    line={"width": 2, "color": theme.TEXT[mode]},
                )  # fmt: skip
    return figure
