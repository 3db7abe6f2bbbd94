"""From measured speeds to the three panels, the legend and the table of the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Any

import numpy as np

from app import theme
from app.figures.dynamics import SpeedLine
from app.names import title_of
from fssd_core.dynamics import Dynamics
from fssd_core.speed import Speed
from fssd_core.speed_words import ratios
from fssd_core.types import FloatArray

SHAPES = {
    "circle": "●", "dot": "•", "plus": "✚", "cross": "✖", "triangle": "▲", "diamond": "◆", "square": "■",
    "triangle-down": "▼", "ring": "○", "asterisk": "✱", "hexagon": "⬢", "bar": "▬",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Panel:
    """One chart.

    Attributes:
        key: for the widget.
        title: what is measured.
        subtitle: how to read it.
        steps: (T,) where the values stand.
        whens: (T,) words for the hover text, None for 'step N'.
        lines: one a group.
    """

    key: str
    title: str
    subtitle: str
    steps: tuple[float, ...]
    whens: tuple[str, ...] | None
    lines: list[SpeedLine]


def panels(speeds: Speed, moves: Dynamics, layer: str, *, relative: bool = False) -> list[Panel]:
    """By the gradient, at random, and as trained between the checkpoints.

    Args:
        speeds: exact speeds and controls.
        moves: the same study's series.
        layer: one of its layers.
        relative: motion as F* sees it.
    """
    k, found = speeds.layers.index(layer), ratios(speeds, relative=relative)
    trained = trained_ratio(moves, relative=relative)[:, k]
    between = list(pairwise(moves.steps))
    return [
        Panel(
            "exact", "By the training gradient", "exact, ‖dF/dθ · v‖", tuple(speeds.steps), None,
            _lines(speeds.groups, found.ratio[:, k], found.low[:, k], found.high[:, k]),
        ),
        Panel(
            "control", "In random directions", "control: the size of dF/dθ alone", tuple(speeds.steps), None,
            _lines(speeds.groups, found.control[:, k]),
        ),
        Panel(
            "trained", "As really trained", "path between two checkpoints",
            tuple(_middle(a, b) for a, b in between),
            tuple(f"steps {a:,} to {b:,}" for a, b in between),
            _lines(moves.groups, trained),
        ),
    ]  # fmt: skip


def _middle(a: int, b: int) -> float:
    """The step that stands half way between two on the figures' axis."""
    return ((a**0.25 + b**0.25) / 2) ** 4


def trained_ratio(moves: Dynamics, *, relative: bool = False) -> FloatArray:
    """(T-1, K, G) speed between checkpoints over ind's."""
    values = moves.relative_speed if relative else moves.speed
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(values / values[..., :1])


def table(speeds: Speed, moves: Dynamics) -> list[dict[str, Any]]:
    """One row a layer and group other than ind: medians over the checkpoints, and where it ends."""
    found, trained = ratios(speeds), trained_ratio(moves)
    return [
        {
            "layer": layer,
            "set": title_of(name),
            "gradient": float(np.median(found.ratio[:, k, g])),
            "random": float(np.median(found.control[:, k, g])),
            "as trained": float(np.median(trained[:, k, g])),
            "end distance": float(moves.ratio[-1, k, g]),
        }
        for k, layer in enumerate(speeds.layers)
        for g, (name, kind) in enumerate(speeds.groups)
        if kind != "ind"
    ]


def legend(groups: Sequence[tuple[str, str]], mode: theme.Mode) -> str:
    """The groups with their colours and markers, as one line of HTML that wraps."""
    items, number = [], 0
    for name, kind in groups:
        colour, shape = theme.group_colour(kind, number, mode), SHAPES[theme.group_marker(kind, number)]
        said = f"{title_of(name)} (ind) = 1" if kind == "ind" else title_of(name)
        mark = "━━" if kind == "ind" else f"━{shape}━"
        items.append(
            f'<span style="white-space:nowrap"><span style="color:{colour}">{mark}</span> {escape(said)}</span>'
        )
        number += kind == "ood"
    return f'<div style="display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;font-size:.92rem">{"".join(items)}</div>'


def _lines(
    groups: Sequence[tuple[str, str]], values: FloatArray, low: FloatArray | None = None, high: FloatArray | None = None
) -> list[SpeedLine]:
    out, number = [], 0
    for g, (name, kind) in enumerate(groups):
        band = (None, None) if low is None or high is None or kind == "ind" else (low[:, g], high[:, g])
        out.append(SpeedLine(title_of(name), kind, number, values[:, g], *band))
        number += kind == "ood"
    return out
