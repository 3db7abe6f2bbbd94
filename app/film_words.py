"""What the film shows, in plain words from its numbers: the headline, and how far each picture can be believed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fssd_core.film import Film

CLOSE, ROUGH, LOOSE = 0.85, 0.6, 0.3  # Spearman's rho of drawn against true, as in fssd_core.projection_faithful
TRUE_NEIGHBOURS, SOME_NEIGHBOURS = 0.9, 0.75
THROUGH = 0.02  # share of points that seem to pass F*, from which on it is said
CHANGE = 0.1  # a ratio that moves less than this has stayed


@dataclass(frozen=True)
class Said:
    """A sentence beside the picture, and whether it is a warning."""

    text: str
    warn: bool = False


def about_frame(film: Film, t: int) -> Said:
    """How far the picture of checkpoint t can be believed: its distances, its neighbourhoods, its angle."""
    faithful = film.faithfulness[t]
    parts, warn = [], False
    if film.steps[t] == 0:
        parts.append("Untrained: the baseline, of which the theory says nothing.")
    if film.xy is None:
        parts.append("Distance to F* is drawn exactly.")
    else:
        share = _explained(film, t)
        parts.append(
            f"Drawn distance to F* follows the true one {_how(faithful.rho)} (Spearman rho {faithful.rho:.2f}"
            + ("" if share is None else f"; the plane holds {100 * share:.0f} % of the squared distance")
            + ")."
        )
        warn = not faithful.rho >= ROUGH
    trust = faithful.trustworthiness
    if film.view == "spokes" and film.steps[t] == 0:
        parts.append(f"The angle means little before training (trustworthiness {trust:.2f}).")
        warn = True
    elif trust >= TRUE_NEIGHBOURS:
        parts.append(f"Points side by side are mostly true neighbours (trustworthiness {trust:.2f}).")
    elif trust >= SOME_NEIGHBOURS:
        parts.append(f"Points side by side are often no true neighbours (trustworthiness {trust:.2f}).")
    else:
        parts.append(f"Careful: do not read neighbourhoods from this picture (trustworthiness {trust:.2f}).")
        warn = True
    return Said(" ".join(parts), warn)


def about_motion(film: Film, k: int, radius: str = "median") -> Said:
    """How far the drawn motion from checkpoint k to the next is the features' own.

    Args:
        film: of any view.
        k: number of the interval, 0 .. T - 2.
        radius: mode of the radius, since it decides what moves.
    """
    known = (film.notes.get("motion_by_radius") or {}).get(radius)
    rho = float(film.motion[k] if known is None or known[k] is None else known[k])
    start, end = film.steps[k : k + 2]
    where = f"Motion from step {start:,} to {end:,}"
    if known is None and film.xy is None and radius != "median":
        where += " (measured over the ind median)"
    through = (film.notes.get("through_fss") or [0.0] * len(film.motion))[k] if radius == "median" else 0.0
    passing = (
        f" {100 * through:.0f} % of the points seem to pass by F*: their direction turned, they were never there."
        if through >= THROUGH
        else ""
    )
    if math.isnan(rho):
        return Said(f"{where}: nothing moves, or all points move alike.{passing}")
    text = f"{where}: drawn follows true displacement {_how(rho)} (Spearman rho {rho:.2f})."
    if film.view == "umap":
        text += " Turning round the circle is AlignedUMAP's doing: believe the radius."
    return Said(text + passing, warn=rho < LOOSE or film.view == "umap")


def _how(rho: float) -> str:
    if math.isnan(rho):
        return "in no way that can be measured"
    return "closely" if rho >= CLOSE else "roughly" if rho >= ROUGH else "only loosely" if rho >= LOOSE else "hardly"


def _explained(film: Film, t: int) -> float | None:
    shares = film.notes.get("explained")
    return None if not shares else float(np.sum(shares[t]))


@dataclass(frozen=True)
class Course:
    """One ood set's way over the training.

    Attributes:
        name: data reference.
        first: its mean distance over the ind median at the first checkpoint.
        last: the same at the last one.
        growth: its mean distance at the last checkpoint over that at the first.
    """

    name: str
    first: float
    last: float
    growth: float


def headline(
    layer: str, steps: Sequence[int], courses: Sequence[Course], growth: float, *, title_of: Callable[[str], str] = str
) -> str:
    """One paragraph in Markdown: which ood sets end nearer to F*, which do not, and how far everything moved outward.

    Args:
        layer: whose features.
        steps: T checkpoints.
        courses: one an ood set.
        growth: the ind median at the last checkpoint over that at the first.
        title_of: what a set is called.
    """
    began = "untrained" if steps[0] == 0 else f"step {steps[0]:,}"
    opening = f"In **{layer}**, from {began} to step {steps[-1]:,}, with the ind median distance to F\\* as 1: "
    falls = [c for c in courses if c.last < c.first - CHANGE and c.last < 1 - CHANGE]
    parts = []
    if falls:
        parts.append(_listed([f"**{title_of(c.name)}** falls from {c.first:.2f} to **{c.last:.2f}**" for c in falls]))
    parts += [f"**{title_of(c.name)}** {_instead(c)}" for c in courses if c not in falls]
    said = "; ".join(parts) if parts else "there is no ood set to compare with"
    return f"{opening}{said}. {_outward(courses, growth, title_of)}"


def _instead(course: Course) -> str:
    numbers = f"{course.first:.2f} to **{course.last:.2f}**"
    if course.last > course.first + CHANGE:
        return f"does not: {numbers}"
    if course.last < course.first - CHANGE:
        return f"comes down, yet not below ind: {numbers}"
    return f"stays: {numbers}"


def _outward(courses: Sequence[Course], growth: float, title_of: Callable[[str], str]) -> str:
    """What the distances themselves do, which the ratios hide."""
    if growth < 1:
        return f"The ind median itself shrinks to {growth:.2f} of what it was."
    grown = f"{growth:.3g}-fold" if growth >= 1.995 else f"by {100 * (growth - 1):.0f} %"
    inward = [title_of(c.name) for c in courses if c.growth < 1]
    if inward:
        return f"The ind median grows {grown}, while {_listed(inward)} {'move' if len(inward) > 1 else 'moves'} inward."
    return f"Every group moves outward, ind {grown}: what concentrates lags behind."


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
