"""How far a film can be believed: each picture against its features, and drawn against true motion."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fssd_core.projection_embed import Offsets
from fssd_core.projection_faithful import measure, spearman
from fssd_core.runtime import Progress, silent
from fssd_core.series import Reel
from fssd_core.types import Faithfulness

Float32 = npt.NDArray[np.float32]


def measured_frames(
    reel: Reel, drawn: Float32, distance: Float32, *, progress: Progress = silent
) -> tuple[Faithfulness, ...]:
    """T, each picture (M, 2) of `drawn` against that checkpoint's features; F* is drawn at the origin."""
    out = []
    for number, xy in enumerate(drawn):
        progress(number, len(drawn), "faithfulness")
        features, fss = reel.frame(number)
        radius, offsets = np.linalg.norm(xy.astype(np.float64), axis=1), Offsets(features, fss, reel.scale)
        out.append(measure(radius, xy, offsets, distance[number], reel.groups, seed=reel.study.seed))
    progress(len(drawn), len(drawn), "faithfulness")
    return tuple(out)


def measured_motion(drawn: Float32, displacement: Float32) -> Float32:
    """(T-1,) Spearman's correlation of drawn and true displacement over the points, NaN where one side is constant."""
    moved = np.linalg.norm(np.diff(drawn.astype(np.float64), axis=0), axis=2)
    return np.array([spearman(a, b) for a, b in zip(moved, displacement, strict=True)], dtype=np.float32)


def through_fss(drawn: Float32) -> list[float]:
    """T-1 shares of points whose straight drawn path comes nearer to F* than half of either end.

    Such a point seems to visit F* between two checkpoints; it does not, its direction turned.
    """
    start, end = drawn[:-1].astype(np.float64), drawn[1:].astype(np.float64)
    along = end - start
    length = np.square(along).sum(2)
    share = np.divide(-(start * along).sum(2), length, out=np.zeros_like(length), where=length > 0).clip(0, 1)
    nearest = np.linalg.norm(start + share[..., None] * along, axis=2)
    ends = np.minimum(np.linalg.norm(start, axis=2), np.linalg.norm(end, axis=2))
    return [float(s) for s in (nearest < 0.5 * ends).mean(1)]


def about_motion(view: str, motion: Float32) -> str:
    """What a viewer must know of the drawn motion."""
    known = motion[np.isfinite(motion)]
    if len(known) == 0:
        return "Drawn and true motion cannot be compared: nothing moves."
    middle = float(np.median(known))
    how = "closely" if middle >= 0.85 else "roughly" if middle >= 0.6 else "only loosely" if middle >= 0.3 else "hardly"
    words = (
        f"Drawn motion follows the true motion of the features {how} (Spearman rho, median over the checkpoints "
        f"{middle:.2f}, {known.min():.2f} to {known.max():.2f})."
    )
    if view == "umap":
        words += " Motion round the circle is that of AlignedUMAP's regulariser: believe the radius, not the turning."
    return words
