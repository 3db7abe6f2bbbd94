"""The matrix 'alpha fitted on A, tested on B' as a heatmap with its numbers."""

from __future__ import annotations

import plotly.graph_objects as go

from app import theme
from fssd_core.transfer import Transfer

STEPS = {
    "light": ((0, "#a4123f"), (0.45, "#f3c9d3"), (0.5, "#f1f2f4"), (0.75, "#cfe3f1"), (1, "#2f8ac4")),
    "dark": ((0, "#c2264f"), (0.45, "#4d2530"), (0.5, "#2a2b30"), (0.75, "#22445a"), (1, "#2f8ac4")),
}


def transfer_matrix(result: Transfer, *, mode: theme.Mode) -> go.Figure:
    """One row a rule for alpha, one column an ood set; cells whose labels alpha saw are framed.

    Args:
        result: of `fssd_core.transfer`.
        mode: 'light' or 'dark'.
    """
    figure = go.Figure(
        go.Heatmap(
            z=result.auroc.tolist(),
            x=list(result.tested),
            y=list(result.rules),
            zmin=0,
            zmax=1,
            colorscale=[list(step) for step in STEPS[mode]],
            texttemplate="%{z:.3f}",
            hovertemplate="alpha: %{y}<br>tested on %{x}<br>AUROC %{z:.4f}<extra></extra>",
            showscale=False,
            xgap=2,
            ygap=2,
        )
    )
    for row, line in enumerate(result.own):
        for column, own in enumerate(line):
            if own:
                figure.add_shape(
                    type="rect", x0=column - 0.49, x1=column + 0.49, y0=row - 0.47, y1=row + 0.47,
                    line={"width": 2, "color": theme.TEXT[mode]},
                )  # fmt: skip
    figure.update_layout(
        title={
            "text": "AUROC: fitted on one set, tested on another",
            "subtitle": {"text": "framed: alpha saw labels of that very set"},
            "x": 0,
        },
        xaxis={"title": "tested on", "fixedrange": True},
        yaxis={"autorange": "reversed", "fixedrange": True, "automargin": True},
        margin={"l": 8, "r": 8, "t": 80, "b": 48},
        height=150 + 42 * len(result.rules),
    )
    return figure
