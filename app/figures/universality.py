"""The universality table as a heatmap: one row a network, one column an ood set; the number stands in its cell."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from app import theme
from app.figures.heatmap import heatmap
from fssd_core.summary import UNINFORMATIVE
from fssd_core.universality import OOD, CellResult

TITLES = {
    ("auroc", "trained"): "AUROC of the distance to F*",
    ("auroc", "untrained"): "AUROC of the distance to F* before training",
    ("auroc", "change"): "What training adds to the AUROC",
    ("ratio", "trained"): "Mean distance to F* over the ind mean",
    ("ratio", "untrained"): "Mean distance to F* over the ind mean, before training",
    ("ratio", "change"): "What training adds to the relative distance (below 0: nearer)",
}

SHORT = {"cross-entropy": "CE", "densenet-small": "densenet", "resnet-cifar8": "resnet8", " · ": " "}


def universality_map(
    results: Sequence[CellResult], *, value: str, when: str, layer: int, mode: theme.Mode
) -> go.Figure:
    """Blue: nearer to F* than ind (or nearer than before); red: farther. Framed: ood does not lie nearer.

    Args:
        results: networks with numbers.
        value: 'auroc' or 'ratio'.
        when: 'trained', 'untrained' or 'change'.
        layer: index into each network's layers, -1 the deepest.
        mode: 'light' or 'dark'.
    """
    table = [[_number(r, name, value, when, layer) for name in OOD] for r in results]
    good = [[_goodness(x, value, when) for x in row] for row in table]
    names = [f"{r.cell.arch} · {r.cell.activation} · {r.cell.loss}" + _seed(r) for r in results]
    sign = "+" if when == "change" else ""
    framed = "" if when == "change" else f"; framed: AUROC at most {UNINFORMATIVE:g}, ood not nearer"
    figure = heatmap(
        good, OOD, names, limits=(0, 1), text="%{text}",
        hover="%{y}<br>against %{x}, layer %{customdata[0]}<br>trained: AUROC %{customdata[1]:.3f}, "
        "distance ÷ ind %{customdata[2]:.3f}",
        title=TITLES[value, when], subtitle=f"CE: cross-entropy{framed}", mode=mode, xaxis={"side": "top"},
        margin={"l": 8, "r": 8, "t": 140, "b": 8}, height=176 + 24 * len(results),
        trace={
            "text": [[f"{x:{sign}.2f}" for x in row] for row in table],
            "customdata": [[[r.layers[layer], r.auroc[n][layer], r.ratio[n][layer]] for n in OOD] for r in results],
        },
    )  # fmt: skip
    figure.update_layout(  # the title stays above names that a narrow page turns; short names leave room for cells
        title={"yref": "container", "y": 1, "yanchor": "top", "pad": {"t": 10}},
        yaxis={"tickmode": "array", "tickvals": names, "ticktext": [_short(name) for name in names]},
    )
    for row, r in enumerate(results):
        for column, name in enumerate(OOD):
            number = (r.auroc_untrained if when == "untrained" else r.auroc)[name][layer]
            if when != "change" and number <= UNINFORMATIVE:
                figure.add_shape(
                    type="rect", x0=column - 0.48, x1=column + 0.48, y0=row - 0.44, y1=row + 0.44,
                    line={"width": 1.6, "color": theme.REJECT[mode]},
                )  # fmt: skip
    return figure


def _number(result: CellResult, name: str, value: str, when: str, layer: int) -> float:
    trained = (result.auroc if value == "auroc" else result.ratio)[name][layer]
    untrained = (result.auroc_untrained if value == "auroc" else result.ratio_untrained)[name][layer]
    return {"trained": trained, "untrained": untrained, "change": trained - untrained}[when]


def _goodness(number: float, value: str, when: str) -> float:
    """0 (against the claim) to 1 (for it); 0.5 is neither."""
    toward = number if value == "auroc" else -number
    neutral = 0.0 if when == "change" else 0.5 if value == "auroc" else -1.0
    return min(1.0, max(0.0, 0.5 + (toward - neutral) * (1.0 if value == "auroc" and when != "change" else 0.7)))


def _short(name: str) -> str:
    for long, short in SHORT.items():
        name = name.replace(long, short)
    return name


def _seed(result: CellResult) -> str:
    return f" · seed {result.cell.seed}" if result.cell.seed else ""
