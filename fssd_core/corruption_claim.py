"""The slides' claim as a measured statement: FSSD has a higher mean and a smaller variance across corruptions.

For each severity and rival method: difference of the means over types and ratio of the variances over types, with
percentile bootstrap intervals over types and images together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fssd_core.corruption_table import Floats, image_draws, linear_draws
from fssd_core.errors import InputError

HOLDS, FAILS, OPEN = "holds", "does not hold", "not decided"
FEWEST_TYPES = 3  # a variance over fewer says nothing
Scored = Mapping[str, tuple[Floats, Floats]]
"""{label: (clean (N,), cells (T, S, M))}."""


@dataclass(frozen=True)
class Claim:
    """FSSD against one method at one severity.

    Attributes:
        severity: level.
        rival: label of the other method.
        mean: mean AUROC over types of FSSD.
        rival_mean: of the rival.
        difference: mean - rival_mean.
        difference_interval: of the difference.
        sd: standard deviation over types of FSSD's AUROC.
        rival_sd: of the rival's.
        ratio: variance over types of FSSD over that of the rival; below 1 is smaller.
        ratio_interval: of the ratio.
    """

    severity: int
    rival: str
    mean: float
    rival_mean: float
    difference: float
    difference_interval: tuple[float, float]
    sd: float
    rival_sd: float
    ratio: float
    ratio_interval: tuple[float, float]

    @property
    def higher_mean(self) -> str:
        """'holds' where the whole interval of the difference is above 0, 'does not hold' where it is below."""
        return _verdict(self.difference_interval, 0.0, larger=True)

    @property
    def smaller_variance(self) -> str:
        """'holds' where the whole interval of the ratio is below 1, 'does not hold' where it is above."""
        return _verdict(self.ratio_interval, 1.0, larger=False)

    @property
    def verdict(self) -> str:
        """Both parts together: one that does not hold decides against, one that is not decided leaves it open."""
        parts = (self.higher_mean, self.smaller_variance)
        return FAILS if FAILS in parts else OPEN if OPEN in parts else HOLDS


def _verdict(interval: tuple[float, float], border: float, *, larger: bool) -> str:
    low, high = interval
    above, below = low > border, high < border
    if above or below:
        return HOLDS if above == larger else FAILS
    return OPEN


def claim(
    scored: Scored,
    severities: tuple[int, ...],
    *,
    ours: str,
    paired: bool,
    samples: int = 1000,
    level: float = 0.95,
    generator: np.random.Generator,
) -> list[Claim]:
    """One Claim a severity and rival, severities first.

    In each draw T types and all images are drawn again with replacement, the same ones for both methods; image i comes
    with its corrupted twins where they are paired. The AUROC of a draw of images is linearised (`linear_draws`).

    Args:
        scored: scores of every method, ours among them.
        severities: S levels.
        ours: label of FSSD.
        paired: whether clean and corrupted images are the same.
        samples: bootstrap draws.
        level: coverage, 0 to 1 exclusive.
        generator: where the draws come from.

    Raises:
        InputError: fewer than 3 types, or FSSD is not among the methods.
    """
    if ours not in scored:
        raise InputError(f"the claim is about {ours!r}, which is not among {', '.join(scored)}; add it")
    clean, cells = scored[ours]
    types = cells.shape[0]
    if types < FEWEST_TYPES:
        raise InputError(f"{types} corruption type(s): a variance over types needs at least {FEWEST_TYPES}")
    clean_draws = image_draws(len(clean), samples, generator)
    cell_draws = clean_draws if paired else image_draws(cells.shape[2], samples, generator)
    type_draws = generator.integers(0, types, (samples, types))
    moments = {label: _moments(*pair, clean_draws, cell_draws, type_draws) for label, pair in scored.items()}
    quantiles = [(1 - level) / 2, (1 + level) / 2]
    mean, variance, means, variances = moments[ours]
    out = []
    for at, severity in enumerate(severities):
        for label, (other, other_variance, others, other_variances) in moments.items():
            if label == ours:
                continue
            low, high = np.quantile(means[:, at] - others[:, at], quantiles)
            ratios = _ratio(variances[:, at], other_variances[:, at])
            small, large = np.quantile(ratios, quantiles, method="closest_observation")  # inf stays inf
            out.append(
                Claim(
                    severity, label, float(mean[at]), float(other[at]), float(mean[at] - other[at]),
                    (float(low), float(high)), float(np.sqrt(variance[at])), float(np.sqrt(other_variance[at])),
                    float(_ratio(variance[at : at + 1], other_variance[at : at + 1])[0]), (float(small), float(large)),
                )
            )  # fmt: skip
    return out


def _moments(
    clean: Floats,
    cells: Floats,
    clean_draws: Floats,
    cell_draws: Floats,
    type_draws: np.ndarray[tuple[int, int], np.dtype[np.int64]],
) -> tuple[Floats, Floats, Floats, Floats]:
    """Mean and variance over types as measured (S,), and of every draw (B, S)."""
    measured, drawn = linear_draws(clean, cells, clean_draws, cell_draws)  # (T, S), (B, T, S)
    picked = np.take_along_axis(drawn, type_draws[:, :, None], axis=1)
    return measured.mean(0), measured.var(0, ddof=1), picked.mean(1), picked.var(1, ddof=1)


def _ratio(ours: Floats, theirs: Floats) -> Floats:
    """ours / theirs; 1 where both are 0, inf where only theirs is."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = ours / theirs
    return np.where((ours == 0) & (theirs == 0), 1.0, ratio)


def in_words(found: list[Claim]) -> str:
    """'Against 3 methods at 5 severities: holds in 4 of 15, does not hold in 2, not decided in 9.'"""
    rivals, severities = {c.rival for c in found}, {c.severity for c in found}
    counts = {verdict: sum(c.verdict == verdict for c in found) for verdict in (HOLDS, FAILS, OPEN)}
    return (
        f"Against {len(rivals)} method{'s' * (len(rivals) != 1)} at {len(severities)} "
        f"severit{'ies' if len(severities) != 1 else 'y'}, {len(found)} comparisons: "
        f"{HOLDS} in {counts[HOLDS]}, {FAILS} in {counts[FAILS]}, {OPEN} in {counts[OPEN]}."
    )
