"""The report's charts as inline SVG, written by hand: densities over the score, ROC, PR. The page gives the colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import numpy.typing as npt

from fssd_core.densities import binned_density
from fssd_core.metrics import confusion, pr, roc
from fssd_core.types import Curve

Column = npt.NDArray[np.float64]
DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 2", "12 3", "2 2 6 2")
COLOURS = 7
X_TITLE = "score: sum of alpha × distance to F* (larger: more ind)"
POINTS = 240  # of a drawn curve at most


@dataclass(frozen=True)
class Frame:
    """A plot's place in its picture and the data range it shows; y grows upwards.

    Attributes:
        width: of the picture, in its own units.
        height: of the picture.
        low: (x, y) of the lower left corner, in data.
        high: (x, y) of the upper right corner, in data.
    """

    width: float
    height: float
    low: tuple[float, float]
    high: tuple[float, float]
    left: float = 46
    right: float = 12
    top: float = 10
    bottom: float = 34

    def at(self, x: npt.ArrayLike, y: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """(n, 2) places in the picture."""
        across = (np.asarray(x, dtype=np.float64) - self.low[0]) / (self.high[0] - self.low[0])
        up = (np.asarray(y, dtype=np.float64) - self.low[1]) / (self.high[1] - self.low[1])
        wide, tall = self.width - self.left - self.right, self.height - self.top - self.bottom
        return np.stack([self.left + wide * across, self.top + tall * (1 - up)], axis=-1)

    def axes(self, x_title: str, y_title: str, *, y_ticks: bool = True) -> str:
        """Lines, ticks and titles."""
        (x0, y0), (x1, y1) = self.at(*self.low), self.at(*self.high)
        parts = [f'<path class="axis" d="M{x0:.1f} {y1:.1f}V{y0:.1f}H{x1:.1f}"/>']
        for value in ticks(self.low[0], self.high[0], 6):
            x, _ = self.at(value, self.low[1])
            parts.append(f'<text x="{x:.1f}" y="{y0 + 14:.1f}" text-anchor="middle">{value:g}</text>')
        for value in ticks(self.low[1], self.high[1], 5) if y_ticks else ():
            _, y = self.at(self.low[0], value)
            parts.append(f'<text x="{x0 - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
        middle = (y0 + y1) / 2
        parts.append(f'<text x="{(x0 + x1) / 2:.1f}" y="{self.height - 4:.1f}" text-anchor="middle">{x_title}</text>')
        turned = f'transform="rotate(-90 12 {middle:.1f})"'
        parts.append(f'<text x="12" y="{middle:.1f}" text-anchor="middle" {turned}>{y_title}</text>')
        return "".join(parts)

    def svg(self, inside: str, label: str) -> str:
        """The whole picture, its content read out as `label`."""
        box = f"0 0 {self.width:g} {self.height:g}"
        return f'<svg viewBox="{box}" role="img" aria-label="{escape(label)}">{inside}</svg>'


def ticks(low: float, high: float, wanted: int) -> list[float]:
    """Round values within [low, high], about `wanted` of them."""
    power = 10.0 ** np.floor(np.log10((high - low) / max(1, wanted)))
    step = next(m * power for m in (1, 2, 5, 10, 20) if (high - low) / (m * power) <= wanted)
    first, last = int(np.ceil(low / step - 1e-9)), int(np.floor(high / step + 1e-9))
    return [float(f"{i * step:.12g}") for i in range(first, last + 1)]


def colour(index: int) -> str:
    """CSS colour of the ood set chosen as number `index`; -1 is ind."""
    return "var(--ind)" if index < 0 else f"var(--ood{index % COLOURS})"


def stroke(index: int) -> str:
    """Colour and dashes of a set's line, as SVG attributes."""
    dash = "" if index < 0 else DASHES[index % len(DASHES)]
    return f'style="stroke:{colour(index)}"' + (f' stroke-dasharray="{dash}"' if dash else "")


def legend(names: Sequence[str], *, ind: str | None = None) -> str:
    """A list of lines and names; ind first where it is given."""
    rows = [] if ind is None else [(-1, ind)]
    rows += list(enumerate(names))
    line = '<svg viewBox="0 0 30 10" aria-hidden="true"><path class="curve" d="M0 5H30" {}/></svg>'
    items = "".join(f"<li>{line.format(stroke(i))}{escape(name)}</li>" for i, name in rows)
    return f'<ul class="legend">{items}</ul>'


def densities(ind: Column, oods: Mapping[str, Column], threshold: float, *, ind_name: str) -> str:
    """Density of every set over the score, with the threshold."""
    low, high = score_range([ind, *oods.values()], threshold)
    curves = [binned_density(scores, low=low, high=high, points=POINTS) for scores in (ind, *oods.values())]
    top = max(float(values.max()) for _, values in curves) * 1.06 or 1.0
    frame = Frame(440, 220, (low, 0.0), (high, top), left=26)
    parts = [frame.axes(X_TITLE, "density", y_ticks=False)]
    for index, (grid, values) in enumerate(curves, start=-1):
        path = _path(frame.at(grid, values))
        (first, base), (last, _) = frame.at(low, 0), frame.at(high, 0)
        fill = f"{path}L{last:.1f} {base:.1f}L{first:.1f} {base:.1f}Z"
        parts.append(f'<path d="{fill}" style="fill:{colour(index)};opacity:{0.18 if index < 0 else 0.08}"/>')
        parts.append(f'<path class="curve" d="{path}" {stroke(index)}/>')
    x, bottom = frame.at(threshold, 0)
    parts.append(f'<path class="threshold" d="M{x:.1f} {frame.top}V{bottom:.1f}"/>')
    for words, anchor, shift in (("accepted →", "start", 6), ("← rejected", "end", -6)):
        parts.append(f'<text class="strong" x="{x + shift:.1f}" y="20" text-anchor="{anchor}">{words}</text>')
    label = f"Densities of the scores of {ind_name} and {', '.join(oods)}; the threshold is at {threshold:.6g}"
    return frame.svg("".join(parts), label)


def roc_chart(ind: Column, oods: Mapping[str, Column], threshold: float) -> str:
    """ROC curve of every ood set, with the operating point."""
    frame = Frame(300, 220, (0.0, 0.0), (1.0, 1.0))
    (x0, y0), (x1, y1) = frame.at(0, 0), frame.at(1, 1)
    parts = [
        frame.axes("FPR: share of ood accepted", "TPR: share of ind accepted"),
        f'<path class="chance" d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}"/>',
    ]
    for index, ood in enumerate(oods.values()):
        counts = confusion(ind, ood, threshold)
        parts += [_curve(frame, roc(ind, ood), index), _point(frame, counts.fpr, counts.tpr, index)]
    return frame.svg("".join(parts), f"ROC curves of ind against {', '.join(oods)}")


def pr_chart(ind: Column, oods: Mapping[str, Column], threshold: float) -> str:
    """Precision over recall of ind against every ood set, at the sets' own ratio, with the operating point."""
    frame = Frame(300, 220, (0.0, 0.0), (1.0, 1.0))
    parts = [frame.axes("recall: share of ind accepted", "precision")]
    for index, ood in enumerate(oods.values()):
        counts = confusion(ind, ood, threshold)
        parts += [_curve(frame, pr(ind, ood), index), _point(frame, counts.tpr, counts.precision, index)]
    return frame.svg("".join(parts), f"Precision over recall of ind against {', '.join(oods)}")


def score_range(sides: Sequence[Column], threshold: float) -> tuple[float, float]:
    """(low, high) that shows the middle 99.6 % of every side, and the threshold."""
    ends = [np.quantile(side, [0.002, 0.998]) for side in sides]
    low, high = min(float(e[0]) for e in ends), max(float(e[1]) for e in ends)
    if np.isfinite(threshold):
        low, high = min(low, threshold), max(high, threshold)
    room = 0.03 * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, high + room


def _curve(frame: Frame, curve: Curve, index: int) -> str:
    places = frame.at(curve.x, curve.y)
    return f'<path class="curve" d="{_path(thinned(places))}" {stroke(index)}/>'


def _point(frame: Frame, x: float, y: float, index: int) -> str:
    across, up = frame.at(x, y)
    return f'<circle class="point" cx="{across:.1f}" cy="{up:.1f}" r="4.5" style="fill:{colour(index)}"/>'


def thinned(places: npt.NDArray[np.float64], *, within: float = 0.25) -> npt.NDArray[np.float64]:
    """The places that a line needs: at least `within` apart from the one kept before, first and last always."""
    kept = [0]
    for i in range(1, len(places) - 1):
        if np.abs(places[i] - places[kept[-1]]).max() >= within:
            kept.append(i)
    return places[[*kept, len(places) - 1]] if len(places) > 1 else places


def _path(places: npt.NDArray[np.float64]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
