"""Moving speed over the checkpoints, and the kernel block between images and training images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from app import theme
from fssd_core.kernel import Kernel
from fssd_core.types import FloatArray

TICKS = (0, 10, 100, 1_000, 10_000, 100_000, 1_000_000)
SCALES: dict[theme.Mode, tuple[str, str, str]] = {
    "light": ("#f6f6f4", "#7fb2cf", "#08304d"),
    "dark": ("#1f1e1b", "#3f7fa3", "#d9efff"),
}
SIGNED: dict[theme.Mode, tuple[str, str, str]] = {
    "light": ("#a4123f", "#f1f2f4", "#1f6f9f"),
    "dark": ("#e2486e", "#2a2b30", "#5cb4e4"),
}


@dataclass(frozen=True, eq=False)
class SpeedLine:
    """One group's curve.

    Attributes:
        title: the group's name for people.
        kind: 'ind', 'ood' or 'noise'.
        index: number among the ood groups, for the colour.
        values: (T,) speed over ind's.
        low: (T,) lower end of the interval, None if not known.
        high: (T,) upper end.
    """

    title: str
    kind: str
    index: int
    values: FloatArray
    low: FloatArray | None = None
    high: FloatArray | None = None


def speed_curves(
    steps: Sequence[float],
    lines: Sequence[SpeedLine],
    *,
    title: str,
    subtitle: str,
    limits: tuple[float, float],
    mode: theme.Mode,
    whens: Sequence[str] | None = None,
    unit: str = "speed ÷ ind’s speed",
) -> go.Figure:
    """Curves of the groups' speed over ind's, on a logarithmic axis.

    Args:
        steps: (T,) training steps; between two checkpoints a value may stand in their middle.
        lines: the groups; ind is the line at 1.
        title: what is measured.
        subtitle: how to read it.
        limits: of the vertical axis, so that figures side by side compare.
        mode: 'light' or 'dark'.
        whens: (T,) words for the hover text; 'step 100' if None.
        unit: title of the vertical axis.
    """
    figure = go.Figure()
    places = [_place(step) for step in steps]
    words = [f"step {step:,.0f}" for step in steps] if whens is None else list(whens)
    for line in lines:
        colour = theme.group_colour(line.kind, line.index, mode)
        if line.low is not None and line.high is not None:
            figure.add_scatter(
                x=[*places, *places[::-1]], y=[*line.high, *np.asarray(line.low)[::-1]], fill="toself", mode="lines",
                line={"width": 0}, fillcolor=theme.transparent(colour, 0.18), hoverinfo="skip", showlegend=False,
                name=f"{line.title}: 95 % interval",
            )  # fmt: skip
        figure.add_scatter(
            x=places,
            y=list(line.values),
            mode="lines" if line.kind == "ind" else "lines+markers",
            name=line.title,
            line={"width": 2.4 if line.kind == "ind" else 1.6, "color": colour},
            marker={"size": 6, "symbol": theme.PLOTLY_SYMBOLS[theme.group_marker(line.kind, line.index)]},
            customdata=words,
            hovertemplate=f"<b>{line.title}</b><br>%{{customdata}}<br>%{{y:.3g}} × ind<extra></extra>",
            showlegend=False,
        )
    shown = [tick for tick in TICKS if tick <= 1.3 * max(steps)]
    figure.update_layout(
        title={"text": title, "subtitle": {"text": subtitle}, "font": {"size": 15}, "x": 0},
        xaxis={
            "title": "training step", "tickvals": [_place(t) for t in shown], "ticktext": [_short(t) for t in shown],
        },
        yaxis={
            "title": unit, "type": "log", "range": [float(np.log10(v)) for v in limits],
            "tickvals": [v for v in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if limits[0] <= v <= limits[1]],
        },
        margin={"l": 8, "r": 8, "t": 72, "b": 44},
        height=340,
        hovermode="closest",
    )  # fmt: skip
    figure.update_xaxes(fixedrange=True, gridcolor=theme.GRID[mode], zeroline=False)
    figure.update_yaxes(fixedrange=True, gridcolor=theme.GRID[mode], zeroline=False)
    return figure


def common_limits(lines: Sequence[SpeedLine]) -> tuple[float, float]:
    """A range that holds every finite positive value of the lines, and 1."""
    values = np.concatenate([np.asarray(line.values, dtype=np.float64) for line in lines] or [np.ones(1)])
    values = values[np.isfinite(values) & (values > 0)]
    low, high = min(0.8, float(values.min(initial=1))), max(1.25, float(values.max(initial=1)))
    return max(0.9 * low, 1e-3), min(1.1 * high, 1e3)


MEASURES = {
    "cosine": "Cosine of the gradients",
    "raw": "Kernel K(x, xₘ)",
    "pull": "Speed that xₘ alone gives x",
    "outward": "Away from F*, by xₘ alone",
}


def kernel_block(
    block: Kernel, measure: str, *, titles: dict[str, str], class_names: Sequence[str], mode: theme.Mode
) -> go.Figure:
    """One row an image (ind, ood, noise from top to bottom), one column a training image, sorted by class.

    Args:
        block: of `fssd_core.kernel`.
        measure: one of MEASURES.
        titles: names for people by group name.
        class_names: of the training images; numbers where there are none.
        mode: 'light' or 'dark'.
    """
    values = np.asarray(getattr(block, measure), dtype=np.float64)
    rows, columns = values.shape
    figure = go.Figure(
        go.Heatmap(
            z=_coloured(values, measure),
            x=list(range(columns)),
            y=list(range(rows)),
            customdata=_words(block, values, titles, class_names),
            hovertemplate="%{customdata}<extra></extra>",
            **_colours(values, measure, mode),
        )
    )
    number = 0
    places, labels = [], []
    for group in block.groups:
        colour = theme.group_colour(group.kind, number, mode)
        figure.add_shape(
            type="rect", x0=-1.6, x1=-0.8, y0=group.start - 0.5, y1=group.stop - 0.5, fillcolor=colour,
            line={"width": 1, "color": theme.BACKGROUND[mode]},
        )  # fmt: skip
        if group.start:
            _rule(figure, mode, y0=group.start - 0.5, y1=group.start - 0.5, x0=-0.5, x1=columns - 0.5)
        places.append((group.start + group.stop - 1) / 2)
        labels.append(f'<span style="color:{colour}">{"ind" if group.kind == "ind" else titles[group.name]}</span>')
        number += group.kind == "ood"
    edges = np.flatnonzero(np.diff(block.train_labels)) + 0.5
    for edge in edges:
        _rule(figure, mode, x0=edge, x1=edge, y0=-0.5, y1=rows - 0.5)
    ends = np.concatenate([[-0.5], edges, [columns - 0.5]])
    middles = (ends[:-1] + ends[1:]) / 2
    names = [_class(int(block.train_labels[int(np.ceil(m - 0.5))]), class_names) for m in middles]
    figure.update_layout(
        title={
            "text": f"{MEASURES[measure]} · {block.layer}"
            + (f" · step {block.step:,}" if block.step is not None else ""),
            "subtitle": {"text": f"rows: images · columns: {columns} training images by class"},
            "font": {"size": 16},
            "x": 0,
        },
        xaxis={"tickvals": middles.tolist(), "ticktext": names, "tickangle": 90, "range": [-1.8, columns - 0.5]},
        yaxis={"tickvals": places, "ticktext": labels, "autorange": "reversed", "automargin": True},
        margin={"l": 8, "r": 8, "t": 72, "b": 104},
        height=170 + 5 * rows,
    )
    figure.update_xaxes(fixedrange=True, showgrid=False, zeroline=False)
    figure.update_yaxes(fixedrange=True, showgrid=False, zeroline=False)
    return figure


def _words(block: Kernel, values: FloatArray, titles: dict[str, str], class_names: Sequence[str]) -> list[list[str]]:
    """(N, M) hover texts."""
    out = []
    for group in block.groups:
        for place, row in zip(range(group.start, group.stop), group.rows, strict=True):
            label = int(block.labels[place])
            what = f"{titles[group.name]}, row {row}" + ("" if label < 0 else f", {_class(label, class_names)}")
            out.append(
                [
                    f"<b>{what}</b><br>training image, row {r}, {_class(int(c), class_names)}<br>{v:.4g}"
                    for r, c, v in zip(block.train_rows, block.train_labels, values[place], strict=True)
                ]
            )
    return out


def _coloured(values: FloatArray, measure: str) -> list[list[float]]:
    """What the colour stands for: the cosine itself, logarithms of sizes, signed fourth roots of signed rates."""
    if measure == "cosine":
        return np.asarray(values).tolist()
    if measure == "outward":
        return (np.sign(values) * np.abs(values) ** 0.25).tolist()
    return np.log10(np.maximum(values, _floor(values))).tolist()


def _floor(values: FloatArray) -> float:
    """The smallest size told apart: a millionth of the largest."""
    return max(float(np.max(values)), 1e-30) * 1e-6


def _colours(values: FloatArray, measure: str, mode: theme.Mode) -> dict[str, Any]:
    """Colour scale, range and bar of a heatmap."""
    bar: dict[str, Any] = {"thickness": 12, "len": 0.7, "outlinewidth": 0}
    if measure in ("cosine", "outward"):
        top = max(float(np.abs(values).max()), 1e-12)
        ends = (-1.0, 1.0) if measure == "cosine" else (-(top**0.25), top**0.25)
        ticks = np.array([-1, -0.5, 0, 0.5, 1]) if measure == "cosine" else np.array([-1, -0.1, 0, 0.1, 1]) * top
        at = ticks if measure == "cosine" else np.sign(ticks) * np.abs(ticks) ** 0.25
        scale = SIGNED[mode]
    else:
        ends = tuple(np.log10([max(float(np.quantile(values, 0.01)), _floor(values)), max(float(values.max()), 1e-30)]))
        at = np.arange(np.ceil(ends[0]), ends[1] + 1e-9)
        ticks, scale = 10.0**at, SCALES[mode]
    bar |= {"tickvals": at.tolist(), "ticktext": [f"{t:.2g}" for t in ticks]}
    colours = [[place, colour] for place, colour in zip((0, 0.5, 1), scale, strict=True)]
    return {"zmin": float(ends[0]), "zmax": float(ends[1]), "colorscale": colours, "colorbar": bar}


def _rule(figure: go.Figure, mode: theme.Mode, **ends: float) -> None:
    figure.add_shape(type="line", line={"width": 1, "color": theme.TEXT[mode]}, opacity=0.45, **ends)


def _class(label: int, names: Sequence[str]) -> str:
    return names[label] if 0 <= label < len(names) else str(label)


def _place(step: float) -> float:
    """Where a step stands: its fourth root gives the first steps and the last epochs room alike."""
    return float(step**0.25)


def _short(step: int) -> str:
    return f"{step // 1000}k" if step >= 1000 else str(step)
