"""Drawn pictures for outlier exposure: lines, outlines, filled shapes, pen strokes, soft clouds, gradients, by seed.

They are the auxiliary "anything else" that an outlier-exposed network sees in training. No picture comes from a test
set, and none is a letter or digit of a font; but pen strokes are pen strokes, so digits are nearer to them than
photographs are, and outlier exposure's numbers on MNIST must be read with that in mind.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from fssd_core.data.images import ImageSet
from fssd_core.errors import InputError

Grey = npt.NDArray[np.float64]  # (H, W), 0..1
SIDE = 28
AUXILIARY_SEED = 1812  # arXiv:1812.04606, the paper of outlier exposure


def drawn_pictures(count: int, *, seed: int = AUXILIARY_SEED, side: int = SIDE) -> ImageSet:
    """`count` grey pictures of side x side pixels, each of one of six kinds, one in four blended with another.

    Args:
        count: pictures, at least 1.
        seed: of every draw.
        side: pixels a side, at least 8.

    Raises:
        InputError: count below 1 or side below 8.
    """
    if count < 1 or side < 8:
        raise InputError(f"{count} pictures of {side} pixels a side were asked for; give at least 1 of at least 8")
    rng = np.random.default_rng(seed)
    kinds = list(_KINDS.values())
    images = np.empty((count, side, side), dtype=np.uint8)
    labels = np.empty(count, dtype=np.int64)
    for i in range(count):
        labels[i] = rng.integers(len(kinds))
        picture = kinds[labels[i]](rng, side)
        if rng.random() < 0.25:
            other = kinds[rng.integers(len(kinds))](rng, side)
            share = rng.uniform(0.3, 0.7)
            picture = share * picture + (1 - share) * other
        if rng.random() < 0.3:
            picture = 1 - picture
        images[i] = np.clip(np.rint(picture * 255), 0, 255)
    return ImageSet("drawn-pictures", images, labels=labels, classes=tuple(_KINDS))


def _grid(side: int) -> tuple[Grey, Grey]:
    y, x = np.mgrid[0:side, 0:side]
    return y.astype(np.float64), x.astype(np.float64)


def _to_segment(side: int, a: Grey, b: Grey) -> Grey:
    """(side, side) distance in pixels of each pixel to the segment from a to b, points (y, x)."""
    y, x = _grid(side)
    along = b - a
    length = float(along @ along) or 1.0
    t = np.clip(((y - a[0]) * along[0] + (x - a[1]) * along[1]) / length, 0, 1)
    distance: Grey = np.hypot(y - a[0] - t * along[0], x - a[1] - t * along[1])
    return distance


def _ink(distance: Grey, width: float) -> Grey:
    """1 within half the pen's width, 0 beyond it, one pixel of edge between."""
    return np.clip(width / 2 + 0.5 - distance, 0, 1)


def _lines(rng: np.random.Generator, side: int) -> Grey:
    picture = np.zeros((side, side))
    for _ in range(rng.integers(1, 8)):
        a, b = rng.uniform(-0.2 * side, 1.2 * side, (2, 2))
        picture = np.maximum(picture, rng.uniform(0.3, 1) * _ink(_to_segment(side, a, b), rng.uniform(0.8, 4)))
    return picture


def _strokes(rng: np.random.Generator, side: int) -> Grey:
    """One to three bent pen strokes: quadratic curves through random points, in 12 short segments each."""
    nearest = np.full((side, side), np.inf)
    for _ in range(rng.integers(1, 4)):
        start, bend, end = rng.uniform(0.1 * side, 0.9 * side, (3, 2))
        t = np.linspace(0, 1, 13)[:, None]
        path = (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end
        for a, b in pairwise(path):
            nearest = np.minimum(nearest, _to_segment(side, a, b))
    return _ink(nearest, rng.uniform(1, 4))


def _ellipse(rng: np.random.Generator, side: int) -> Grey:
    """(side, side) roughly the distance in pixels to an ellipse's rim, negative inside."""
    y, x = _grid(side)
    centre, radius = rng.uniform(0.2, 0.8, 2) * side, rng.uniform(0.08, 0.45, 2) * side
    angle = rng.uniform(0, np.pi)
    u = (np.cos(angle) * (y - centre[0]) + np.sin(angle) * (x - centre[1])) / radius[0]
    v = (np.cos(angle) * (x - centre[1]) - np.sin(angle) * (y - centre[0])) / radius[1]
    rim: Grey = (np.hypot(u, v) - 1) * radius.min()
    return rim


def _box(rng: np.random.Generator, side: int) -> Grey:
    """(side, side) distance in pixels to a turned rectangle's rim, negative inside."""
    y, x = _grid(side)
    centre, half = rng.uniform(0.2, 0.8, 2) * side, rng.uniform(0.06, 0.4, 2) * side
    angle = rng.uniform(0, np.pi)
    u = np.abs(np.cos(angle) * (y - centre[0]) + np.sin(angle) * (x - centre[1])) - half[0]
    v = np.abs(np.cos(angle) * (x - centre[1]) - np.sin(angle) * (y - centre[0])) - half[1]
    rim: Grey = np.maximum(u, v)
    return rim


def _shape(rng: np.random.Generator, side: int) -> Grey:
    return _ellipse(rng, side) if rng.random() < 0.5 else _box(rng, side)


def _outlines(rng: np.random.Generator, side: int) -> Grey:
    picture = np.zeros((side, side))
    for _ in range(rng.integers(1, 5)):
        picture = np.maximum(picture, rng.uniform(0.4, 1) * _ink(np.abs(_shape(rng, side)), rng.uniform(0.8, 3)))
    return picture


def _filled(rng: np.random.Generator, side: int) -> Grey:
    picture = np.full((side, side), rng.uniform(0, 0.3))
    for _ in range(rng.integers(1, 6)):
        inside = _ink(_shape(rng, side), 0)
        picture = picture * (1 - inside) + inside * rng.uniform(0, 1)
    return picture


def _clouds(rng: np.random.Generator, side: int) -> Grey:
    """Soft noise: a few random cosine waves of long wavelength, stretched to a random range of greys."""
    y, x = _grid(side)
    total = np.zeros((side, side))
    for _ in range(8):
        frequency = rng.normal(0, rng.uniform(0.5, 3), 2) * 2 * np.pi / side
        total += rng.normal() * np.cos(frequency[0] * y + frequency[1] * x + rng.uniform(0, 2 * np.pi))
    low, high = np.sort(rng.uniform(0, 1, 2))
    span = float(np.ptp(total)) or 1.0
    stretched: Grey = low + (high - low) * (total - total.min()) / span
    return stretched


def _gradients(rng: np.random.Generator, side: int) -> Grey:
    """A straight or round grey gradient, in some pictures with stripes."""
    y, x = _grid(side)
    angle, centre = rng.uniform(0, 2 * np.pi), rng.uniform(0, side, 2)
    place = np.cos(angle) * y + np.sin(angle) * x if rng.random() < 0.5 else np.hypot(y - centre[0], x - centre[1])
    place = (place - place.min()) / (float(np.ptp(place)) or 1.0)
    if rng.random() < 0.5:
        place = 0.5 + 0.5 * np.cos(2 * np.pi * rng.uniform(1, 8) * place)
    grey: Grey = place
    return grey


_KINDS: dict[str, Callable[[np.random.Generator, int], Grey]] = {
    "lines": _lines,
    "strokes": _strokes,
    "outlines": _outlines,
    "filled": _filled,
    "clouds": _clouds,
    "gradients": _gradients,
}
