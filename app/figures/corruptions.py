"""The corruption study as figures: metric against severity, boxes over types, heatmaps, accuracy, curves of a cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from app import theme
from app.figures.heatmap import STEPS
from fssd_core.corruption_table import Floats, Spread
from fssd_core.types import Curve

METHODS: dict[theme.Mode, tuple[str, ...]] = {
    "light": ("#171614", "#c2530a", "#00796b", "#8e3bb0", "#b3264a", "#6b6b00", "#3b62c4", "#7a5230"),
    "dark": ("#f7f4ef", "#ff9a4d", "#3fc4ae", "#cf8bf0", "#ff7d96", "#cccb4a", "#8aa8ff", "#d3a57a"),
}
"""Detectors in the order they are shown, FSSD first; each has a marker and a dash of its own beside its colour."""
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "triangle-down", "cross", "star")
DASHES = ("solid", "solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "solid")
DIFFERENCES: dict[theme.Mode, tuple[tuple[float, str], ...]] = {
    "light": ((0, "#e8839d"), (0.5, "#f4f4f4"), (1, "#5fa8da")),
    "dark": ((0, "#c2264f"), (0.5, "#26272b"), (1, "#27709f")),
}
GOOD_IS_LOW = ("fpr80", "fpr95", "detection_error")
HEIGHT = 380


def method_style(place: int, mode: theme.Mode) -> tuple[str, str, str]:
    """(colour, marker, dash) of the detector shown as number `place` (0 first)."""
    at = place % len(SYMBOLS)
    return METHODS[mode][at], SYMBOLS[at], DASHES[at]


def severity_lines(
    severities: Sequence[int], spreads: Mapping[str, Spread], *, metric: str, types: int, mode: theme.Mode
) -> go.Figure:
    """A line a detector: mean over types at each severity; a band of one standard deviation over types.

    Args:
        severities: S levels.
        spreads: {detector: mean and spread over types}, FSSD first.
        metric: what is drawn, for people.
        types: how many types there are.
        mode: 'light' or 'dark'.
    """
    x, data = list(severities), list[dict[str, Any]]()
    for place, (name, over) in enumerate(spreads.items()):
        colour, _, _ = method_style(place, mode)
        band = np.concatenate([over.mean + over.sd, (over.mean - over.sd)[::-1]])
        data.append(
            {
                "type": "scatter", "x": x + x[::-1], "y": np.clip(band, 0, 1), "fill": "toself", "mode": "lines",
                "line": {"width": 0}, "fillcolor": theme.transparent(colour, 0.08 if place else 0.16),
                "hoverinfo": "skip", "legendgroup": name, "showlegend": False, "name": name,
            }
        )  # fmt: skip
    for place, (name, over) in enumerate(spreads.items()):
        colour, symbol, dash = method_style(place, mode)
        data.append(
            {
                "type": "scatter", "x": x, "y": over.mean, "mode": "lines+markers", "name": name, "legendgroup": name,
                "line": {"color": colour, "width": 3.5 if place == 0 else 2, "dash": dash},
                "marker": {"symbol": symbol, "size": 9, "color": colour},
                "customdata": np.stack([over.sd, over.low, over.high], axis=1),
                "hovertemplate": f"<b>{name}</b>, severity %{{x}}<br>mean %{{y:.4f}} ± %{{customdata[0]:.4f}} over "
                f"{types} types<br>from %{{customdata[1]:.3f}} to %{{customdata[2]:.3f}}<extra></extra>",
            }
        )  # fmt: skip
    across = {"title": {"text": "severity"}, "tickvals": x, "range": [min(x) - 0.25, max(x) + 0.25]}
    return _figure(data, across, {"title": {"text": f"{metric}, mean ± sd over {types} types"}}, mode)


def severity_boxes(
    severities: Sequence[int],
    types: Sequence[str],
    tables: Mapping[str, Floats],
    *,
    metric: str,
    mode: theme.Mode,
) -> go.Figure:
    """Boxes side by side at each severity, one a detector, over the types; every type is a point with its name.

    Args:
        severities: S levels.
        types: T titles.
        tables: {detector: (T, S)}.
        metric: what is drawn, for people.
        mode: 'light' or 'dark'.
    """
    x = np.tile(np.asarray(severities).astype(str), len(types))
    names = np.repeat(types, len(severities))
    data = []
    for place, (name, table) in enumerate(tables.items()):
        colour, _, _ = method_style(place, mode)
        data.append(
            {
                "type": "box", "x": x, "y": table.reshape(-1), "name": name, "text": names, "offsetgroup": name,
                "boxpoints": "all", "jitter": 0.4, "pointpos": 0, "line": {"color": colour, "width": 1.4},
                "fillcolor": theme.transparent(colour, 0.16), "marker": {"size": 3.5, "color": colour, "opacity": 0.75},
                "hovertemplate": f"<b>{name}</b>, %{{text}} %{{x}}<br>%{{y:.4f}}<extra></extra>", "hoveron": "points",
            }
        )  # fmt: skip
    across = {"title": {"text": "severity"}, "type": "category"}
    up = {"title": {"text": f"{metric}, one point a type"}}
    return _figure(data, across, up, mode, boxmode="group", boxgap=0.25)


def cell_heatmap(
    table: Floats, types: Sequence[str], severities: Sequence[int], *, metric: str, low_is_good: bool, mode: theme.Mode
) -> go.Figure:
    """(T, S) numbers as a heatmap with the numbers in it; 0.5 is the middle colour.

    Args:
        table: one number a type and severity, 0..1.
        types: T titles.
        severities: S levels.
        metric: what is drawn, for people.
        low_is_good: whether small numbers are the good ones.
        mode: 'light' or 'dark'.
    """
    steps = (
        [[1 - at, colour] for at, colour in reversed(STEPS[mode])] if low_is_good else [list(s) for s in STEPS[mode]]
    )
    return _heatmap(table, types, severities, steps, (0.0, 1.0), "%{z:.2f}", f"{metric} %{{z:.4f}}", mode)


def difference_heatmap(
    table: Floats, types: Sequence[str], severities: Sequence[int], *, first: str, second: str, mode: theme.Mode
) -> go.Figure:
    """(T, S) differences of two detectors, blue where the first is higher; the scale is symmetric about 0.

    Args:
        table: first - second.
        types: T titles.
        severities: S levels.
        first: name of one detector.
        second: name of the other.
        mode: 'light' or 'dark'.
    """
    top = max(0.05, float(np.abs(table).max()))
    steps = [list(step) for step in DIFFERENCES[mode]]
    words = f"{first} − {second} %{{z:+.4f}}"
    return _heatmap(table, types, severities, steps, (-top, top), "%{z:+.2f}", words, mode)


def _heatmap(
    table: Floats,
    types: Sequence[str],
    severities: Sequence[int],
    steps: list[list[Any]],
    limits: tuple[float, float],
    text: str,
    words: str,
    mode: theme.Mode,
) -> go.Figure:
    data = {
        "type": "heatmap", "z": table, "x": [str(s) for s in severities], "y": list(types), "zmin": limits[0],
        "zmax": limits[1], "colorscale": steps, "texttemplate": text, "showscale": False,
        "textfont": {"size": 11, "color": theme.TEXT[mode]},
        "xgap": 1, "ygap": 1, "hovertemplate": f"<b>%{{y}}</b>, severity %{{x}}<br>{words}<extra></extra>",
    }  # fmt: skip
    layout = {
        "margin": {"l": 8, "r": 8, "t": 8, "b": 44},
        "height": 64 + 23 * len(types),
        "xaxis": {"title": {"text": "severity"}, "fixedrange": True, "type": "category"},
        "yaxis": {"autorange": "reversed", "fixedrange": True, "automargin": True, "ticksuffix": " "},
        "font": {"color": theme.TEXT[mode]},
    }
    return go.Figure({"data": [data], "layout": layout})


def threshold_lines(
    severities: Sequence[int],
    shares: Mapping[str, tuple[float, Floats, Floats]],
    *,
    mode: theme.Mode,
) -> go.Figure:
    """What happens to images as they get worse: shares from clean (0) to the highest severity.

    Args:
        severities: S levels.
        shares: {what: (of clean images, mean over types (S,), sd over types (S,))}; 'rejected' in its name is red.
        mode: 'light' or 'dark'.
    """
    x, data = [0, *severities], list[dict[str, Any]]()
    for place, (name, (clean, mean, sd)) in enumerate(shares.items()):
        colour = theme.REJECT[mode] if "rejected" in name else theme.IND[mode] if place == 0 else theme.ACCEPT[mode]
        dash, symbol = (("solid", "circle"), ("dash", "square"), ("dot", "diamond"))[place % 3]
        spread = [0.0, *sd]
        data.append(
            {
                "type": "scatter", "x": x, "y": [clean, *mean], "mode": "lines+markers", "name": name,
                "line": {"color": colour, "width": 2.5, "dash": dash}, "marker": {"symbol": symbol, "size": 8},
                "error_y": {
                    "type": "data", "array": spread, "thickness": 1, "width": 3, "color": theme.transparent(colour, 0.6)
                },
                "customdata": spread,
                "hovertemplate": f"<b>{name}</b>, severity %{{x}}<br>%{{y:.1%}} ± %{{customdata:.1%}} over types"
                "<extra></extra>",
            }
        )  # fmt: skip
    ticks = ["clean", *map(str, severities)]
    across = {"title": {"text": "severity"}, "tickvals": x, "ticktext": ticks}
    return _figure(data, across, {"title": {"text": "share of images"}, "tickformat": ".0%"}, mode)


def cell_curves(curves: Mapping[str, Curve], *, kind: str, mode: theme.Mode) -> go.Figure:
    """ROC or PR curves of all detectors in one cell.

    Args:
        curves: {name with its number: curve}, FSSD first.
        kind: 'roc' or 'pr'.
        mode: 'light' or 'dark'.
    """
    data = []
    if kind == "roc":
        chance = {"color": theme.GRID[mode], "dash": "dash"}
        ends = {"x": [0, 1], "y": [0, 1], "mode": "lines", "line": chance}
        data.append({"type": "scatter", **ends, "hoverinfo": "skip", "showlegend": False})
    for place, (name, curve) in enumerate(curves.items()):
        colour, _, dash = method_style(place, mode)
        data.append(
            {
                "type": "scatter", "x": curve.x, "y": curve.y, "mode": "lines", "name": name,
                "line": {
                    "color": colour, "width": 3 if place == 0 else 1.8, "dash": dash,
                    "shape": "linear" if kind == "roc" else "vh",  # steps: average precision is their sum
                },
                "hovertemplate": f"<b>{name}</b><br>%{{x:.3f}}, %{{y:.3f}}<extra></extra>",
            }
        )  # fmt: skip
    x, y = ("false positive rate", "true positive rate") if kind == "roc" else ("recall", "precision")
    across = {"title": {"text": x}, "range": [-0.01, 1.01]}
    return _figure(data, across, {"title": {"text": y}, "range": [-0.01, 1.02]}, mode)


def _figure(
    data: list[dict[str, Any]], across: dict[str, Any], up: dict[str, Any], mode: theme.Mode, **layout: Any
) -> go.Figure:
    """One dict, checked once: several times as fast as objects and updates, and a slider waits for it."""
    plain = {"fixedrange": True, "gridcolor": theme.GRID[mode], "zeroline": False}
    whole = {
        "margin": {"l": 8, "r": 8, "t": 56, "b": 44},
        "height": HEIGHT,
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "hovermode": "closest",
        "xaxis": {**plain, **across},
        "yaxis": {**plain, "automargin": True, **up},
        **layout,
    }
    return go.Figure({"data": data, "layout": whole})
