"""Some images of a study judged under one setting: which to look at first, and their numbers beside those of all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fssd_core.ensemble import combine
from fssd_core.errors import InputError, lookup
from fssd_core.metrics import bootstrap, metrics
from fssd_core.types import LayerScores, Metrics, Weights

Column = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
DRAWS = 500
FEW = 10  # images a side: of fewer, each weighs more than a tenth


@dataclass(frozen=True, eq=False)
class Judged:
    """Images of one group under a setting.

    Attributes:
        name: of the group, its data reference.
        kind: 'ind' or 'ood'.
        rows: (N,) rows in the data set.
        distances: (N, K) distances to F* at the setting's epsilon.
        scores: (N,) alpha-weighted sums, larger = more in-distribution.
        accepted: (N,) the verdicts, score >= threshold.
        fitted: (N,) whether alpha may have been fitted on the image.
    """

    name: str
    kind: str
    rows: npt.NDArray[np.int64]
    distances: LayerScores
    scores: Column
    accepted: Flags
    fitted: Flags

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, flags: Flags) -> Judged:
        """The flagged images, in the same order."""
        at = np.flatnonzero(flags)
        return Judged(
            self.name,
            self.kind,
            self.rows[at],
            self.distances.take(at),
            self.scores[at],
            self.accepted[at],
            self.fitted[at],
        )


def judge_rows(
    name: str,
    kind: str,
    rows: npt.NDArray[np.int64],
    distances: LayerScores,
    *,
    weights: Weights,
    threshold: float,
    fit_rows: npt.ArrayLike = (),
) -> Judged:
    """Scores and verdicts of images with known distances.

    Args:
        name: of the group.
        kind: 'ind' or 'ood'.
        rows: (N,) rows in the data set.
        distances: (N, K) of the same images.
        weights: alpha, matched by layer name.
        threshold: accepted where score >= threshold.
        fit_rows: rows that alpha may have been fitted on.

    Raises:
        InputError: another kind, rows that do not fit, or weights of other layers.
    """
    if kind not in ("ind", "ood"):
        raise InputError(f"a group of kind {kind!r} has no verdict; judge groups of kind 'ind' or 'ood'")
    if len(rows) != len(distances):
        raise InputError(f"{len(rows)} rows of {name} came with distances of {len(distances)} images; give one each")
    scores = combine(distances, weights)
    known = np.asarray(rows, dtype=np.int64)
    return Judged(name, kind, known, distances, scores, scores >= threshold, np.isin(known, np.asarray(fit_rows)))


@dataclass(frozen=True)
class Numbers:
    """How well the score tells the ind images from the ood images of some groups.

    Attributes:
        n_ind: ind images with a finite score.
        n_ood: ood images with a finite score.
        tpr: share of ind accepted; None without ind images.
        fpr: share of ood accepted; None without ood images.
        metrics: None where a side is empty.
        auroc: 95 % bootstrap interval of the AUROC; None where a side is empty.
        dropped: images whose score is not a finite number, counted nowhere else.
    """

    n_ind: int
    n_ood: int
    tpr: float | None
    fpr: float | None
    metrics: Metrics | None
    auroc: tuple[float, float] | None
    dropped: int


def sides(groups: Sequence[Judged]) -> tuple[Column, Column]:
    """(ind, ood) finite scores of the groups, each kind as one."""
    kinds = {"ind": [np.empty(0)], "ood": [np.empty(0)]}
    for group in groups:
        kinds[group.kind].append(group.scores[np.isfinite(group.scores)])
    return np.concatenate(kinds["ind"]), np.concatenate(kinds["ood"])


def numbers(groups: Sequence[Judged], threshold: float, *, generator: np.random.Generator) -> Numbers:
    """The numbers of these images alone; a side that is empty leaves None.

    Args:
        groups: ind and ood, any number of each.
        threshold: of the verdicts.
        generator: of the bootstrap draws.
    """
    ind, ood = sides(groups)
    both = bool(len(ind) and len(ood))
    return Numbers(
        n_ind=len(ind),
        n_ood=len(ood),
        tpr=float(np.mean(ind >= threshold)) if len(ind) else None,
        fpr=float(np.mean(ood >= threshold)) if len(ood) else None,
        metrics=metrics(ind, ood) if both else None,
        auroc=bootstrap(ind, ood, samples=DRAWS, generator=generator) if both else None,
        dropped=sum(map(len, groups)) - len(ind) - len(ood),
    )


def why_no_curve(found: Numbers) -> str:
    """The sentence that stands where a curve would; empty where there is one."""
    counts = {"in-distribution": found.n_ind, "out-of-distribution": found.n_ood}
    missing = [kind for kind, count in counts.items() if not count]
    if not missing:
        return ""
    if len(missing) == 2:
        return "No ROC or precision-recall curve: no image with a score is selected."
    other = found.n_ind or found.n_ood
    images = "1 image" if other == 1 else f"{other:,} images"
    return (
        f"No ROC or precision-recall curve: the selection has {images} with a score, none of them {missing[0]}. A "
        "curve ranks the one kind against the other; select some of both."
    )


def caution(found: Numbers) -> str:
    """How much one image weighs where a side has few; empty where that is little."""
    small = {kind: n for kind, n in (("ind", found.n_ind), ("ood", found.n_ood)) if 0 < n < FEW}
    if not small or found.metrics is None:
        return ""
    kind, count = min(small.items(), key=lambda item: item[1])
    return f"Few images: each of the {count} {kind} images weighs {1 / count:.2g} in the AUROC."


def _borderline(group: Judged, threshold: float) -> Column:
    return np.abs(group.scores - threshold)


def _wrong_first(group: Judged, threshold: float) -> Column:
    """Wrong verdicts first, those farthest beyond the threshold leading; then right ones, the nearest leading."""
    wrong = group.accepted == (group.kind == "ood")
    return np.where(wrong, -np.abs(group.scores - threshold), np.abs(group.scores - threshold))


ORDERS: dict[str, Callable[[Judged, float], Column]] = {
    "borderline": _borderline,
    "wrong": _wrong_first,
    "lowest": lambda group, threshold: group.scores,
    "highest": lambda group, threshold: -group.scores,
}
"""What to look at first: name -> keys of the group's images, smallest first."""


def first(groups: Sequence[Judged], threshold: float, *, order: str, count: int) -> list[tuple[int, int]]:
    """(group, place in it) of at most `count` images in that order; equal ones as they came, no finite score last.

    Args:
        groups: to choose from.
        threshold: of the verdicts.
        order: one of ORDERS.
        count: how many at most.

    Raises:
        InputError: no such order.
    """
    rule = lookup(ORDERS, order, "order")
    places = [(g, i) for g, group in enumerate(groups) for i in range(len(group))]
    if not places:
        return []
    keys = np.concatenate([rule(group, threshold) for group in groups])
    keys = np.where(np.isfinite(keys), keys, np.inf)
    return [places[i] for i in np.argsort(keys, kind="stable")[:count]]
