"""What is wrong with the chosen sets, said before any number is read: too few images, copies, scores that are none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from app.names import title_of
from fssd_core.ensemble import SMALLEST
from fssd_core.study import Comparison, Study
from fssd_core.types import IntArray, LayerScores

Sweep = Mapping[float, LayerScores]
FEW = 50
NAMED = 8


def usable(study: Study, counts: Mapping[str, int]) -> tuple[tuple[str, ...], list[str]]:
    """(ood sets with images enough to fit on some and test on others, a sentence on each of the rest)."""
    small = [ref for ref in study.ood if counts[ref] < SMALLEST]
    told = [
        f"**{title_of(ref)}** has {_images(counts[ref])}, too few to fit on some and test on others; give at least "
        f"{SMALLEST}. It is left out of this page."
        for ref in small
    ]
    return tuple(ref for ref in study.ood if ref not in small), told


def notes(
    study: Study,
    sweeps: Mapping[str, Sweep],
    rows: Mapping[str, IntArray],
    plain: Mapping[str, Comparison],
) -> Iterator[str]:
    """Sentences on images without a score, sets of equal scores, and sets so small that their numbers are coarse.

    Args:
        study: of the page.
        sweeps: {data: {epsilon: scores}}.
        rows: {data: (N,) row of each image in its full set}.
        plain: {ood: split}.
    """
    values = np.concatenate([np.stack([s.values for s in sweep.values()]) for sweep in sweeps.values()], axis=1)
    dead = not np.ptp(values, axis=1).any()  # a NaN counts as different
    if dead:
        yield (
            f"All {values.shape[1]:,} images of every set have the very same distances: the network gives the same "
            "features whatever it is shown, so no detector can be made of it. Check its weights, or take others."
        )
    for ref, sweep in sweeps.items():
        name = title_of(ref)
        values = np.stack([scores.values for scores in sweep.values()])  # (E, N, K)
        finite = np.isfinite(values).all(axis=(0, 2))
        if not finite.all():
            bad = np.asarray(rows[ref])[~finite]
            yield (
                f"**{name}**: {_images(len(bad))} of {len(finite):,} have a score that is NaN or infinite and are left "
                f"out of every number on this page: {_named(bad)}. Check these images and the network's weights."
            )
        kept = values[:, finite]
        if not dead and len(kept[0]) > 1 and not np.ptp(kept, axis=1).any():
            yield (
                f"**{name}**: all {len(kept[0]):,} images have the very same distances. Are they copies of one image? "
                "Their scores are one value, so rates can only be 0 or 100 %."
            )
        side = _tested(ref, study, plain)
        if 0 < side < FEW:
            fitted = len(sweep[next(iter(sweep))]) - side
            yield (
                f"**{name}** is small: {_images(fitted)} to fit alpha on and {side} to test on. One image stands for "
                f"{100 / side:.2g} % of a rate; mind the intervals."
            )


def split_words(study: Study, plain: Mapping[str, Comparison]) -> str:
    """Half a sentence on the images that alpha may be fitted on, in their true numbers."""
    first = next(iter(plain.values()))
    counts = {study.ind: len(first.split.fit_ind), **{ref: len(c.split.fit_ood) for ref, c in plain.items()}}
    if len(set(counts.values())) == 1:
        return f"none of which is among the {next(iter(counts.values()))} a set that alpha may be fitted on"
    told = ", ".join(f"{count} of {title_of(ref)}" for ref, count in counts.items())
    return f"none of which is among those that alpha may be fitted on ({told})"


def _tested(ref: str, study: Study, plain: Mapping[str, Comparison]) -> int:
    if ref == study.ind:
        return len(next(iter(plain.values())).split.test_ind)
    return len(plain[ref].split.test_ood)


def _images(count: int) -> str:
    return f"{count:,} image{'' if count == 1 else 's'}"


def _named(rows: Sequence[int] | IntArray) -> str:
    shown = ", ".join(str(row) for row in rows[:NAMED])
    more = f" and {len(rows) - NAMED:,} more" if len(rows) > NAMED else ""
    return f"row{'' if len(rows) == 1 else 's'} {shown}{more}"
