"""Two settings on the same images: differences of their numbers with paired bootstrap intervals.

Every draw takes the same images for both, so what the images have in common cancels out of the difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fssd_core._counts import NUMBERS, Counts, Scores, checked, steps
from fssd_core.errors import InputError, lookup

COMPARED = ("auroc", "fpr95", "aupr_in")


@dataclass(frozen=True)
class Difference:
    """One number of two settings.

    Attributes:
        first: of the first setting.
        second: of the second setting.
        low: lower end of the interval of first - second.
        high: upper end.
    """

    first: float
    second: float
    low: float
    high: float

    @property
    def value(self) -> float:
        """first - second."""
        return self.first - self.second

    @property
    def decided(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


def paired_differences(
    first: tuple[npt.ArrayLike, npt.ArrayLike],
    second: tuple[npt.ArrayLike, npt.ArrayLike],
    *,
    names: Sequence[str] = COMPARED,
    samples: int = 1000,
    level: float = 0.95,
    generator: np.random.Generator,
) -> dict[str, Difference]:
    """Percentile intervals of first - second; ind and ood are drawn apart, each image with both of its scores.

    Args:
        first: (ind (P,), ood (N,)) raw scores under the first setting.
        second: scores of the same images, in the same order, under the second.
        names: numbers of `Metrics`.
        samples: bootstrap draws.
        level: coverage, 0 to 1 exclusive.
        generator: where the draws come from.

    Raises:
        InputError: unknown name, samples below 1, a level outside 0..1, scores that cannot be used, or sides of
            different lengths.
    """
    rules = {name: lookup(NUMBERS, name, "metric") for name in names}
    if samples < 1 or not 0 < level < 1:
        raise InputError(f"{samples} samples at level {level} were asked for; give at least 1, and 0 < level < 1")
    settings = [_Ranked.of(*pair) for pair in (first, second)]
    if settings[0].sizes != settings[1].sizes:
        raise InputError(
            f"the settings have {settings[0].sizes} and {settings[1].sizes} ind and ood scores; "
            "a paired comparison needs the same images in both"
        )
    drawn = {name: np.empty((samples, 2)) for name in rules}
    for i in range(samples):
        rows = [generator.integers(0, size, size) for size in settings[0].sizes]
        for j, setting in enumerate(settings):
            tp, fp = setting.counts(*rows)
            for name, rule in rules.items():
                drawn[name][i, j] = rule(tp, fp)
    tail = (1 - level) / 2
    out = {}
    for name, rule in rules.items():
        low, high = np.quantile(drawn[name][:, 0] - drawn[name][:, 1], [tail, 1 - tail])
        values = [rule(setting.tp, setting.fp) for setting in settings]
        out[name] = Difference(values[0], values[1], float(low), float(high))
    return out


@dataclass(frozen=True, eq=False)
class _Ranked:
    """One setting's scores, sorted once: counts accepted (T,), and each image's place among the thresholds."""

    tp: Counts
    fp: Counts
    ind: Counts
    ood: Counts

    @staticmethod
    def of(ind: npt.ArrayLike, ood: npt.ArrayLike) -> _Ranked:
        a, b = checked(ind, "ind"), checked(ood, "ood")
        thresholds, tp, fp = steps(a, b)

        def place(scores: Scores) -> Counts:
            return len(thresholds) - 1 - np.searchsorted(thresholds[::-1], scores)

        return _Ranked(tp, fp, place(a), place(b))

    @property
    def sizes(self) -> tuple[int, int]:
        return len(self.ind), len(self.ood)

    def counts(self, ind_rows: Counts, ood_rows: Counts) -> tuple[Counts, Counts]:
        """(tp, fp), each (T,), of the drawn images."""
        tp = np.cumsum(np.bincount(self.ind[ind_rows], minlength=len(self.tp)))
        return tp, np.cumsum(np.bincount(self.ood[ood_rows], minlength=len(self.tp)))
