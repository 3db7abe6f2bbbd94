"""The slides' claim as a measured statement: FSSD has a higher mean and a smaller variance across corruptions.

For each severity and rival method: difference of the means over types and ratio of the variances over types, with
percentile bootstrap intervals over types and images together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fssd_core.corruption_table import Floats, image_draws, linear_draws
from fssd_core.errors import InputError

HOLDS, FAILS, OPEN = "holds", "does not hold", "not decided"
FEWEST_TYPES = 3  # a variance over fewer says nothing


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


@dataclass(frozen=True, eq=False)
class Draws:
    """What every method is measured on in B bootstrap draws.

    Attributes:
        clean: (B, N) how often each clean image is drawn.
        cells: (B, M) the same of the corrupted images; the same draws where they are paired.
        types: (B, T) the types drawn.
    """

    clean: Floats
    cells: Floats
    types: npt.NDArray[np.int64]

    @staticmethod
    def of(
        images: int, corrupted: int, types: int, *, paired: bool, samples: int, generator: np.random.Generator
    ) -> Draws:
        """T types and all images drawn with replacement; image i comes with its corrupted twins where paired."""
        clean = image_draws(images, samples, generator)
        cells = clean if paired else image_draws(corrupted, samples, generator)
        return Draws(clean, cells, generator.integers(0, types, (samples, types)))


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and variance over types of one method's AUROC.

    Attributes:
        mean: (S,) as measured.
        variance: (S,) as measured, divided by T - 1.
        means: (B, S) of every draw.
        variances: (B, S) of every draw.
    """

    mean: Floats
    variance: Floats
    means: Floats
    variances: Floats

    @staticmethod
    def of(clean: Floats, cells: Floats, draws: Draws) -> Moments:
        """Of scores (N,) and (T, S, M); the AUROC of a draw of images is linearised (`linear_draws`)."""
        auroc, drawn = linear_draws(clean, cells, draws.clean, draws.cells)  # (T, S), (B, T, S)
        picked = np.take_along_axis(drawn, draws.types[:, :, None], axis=1)
        return Moments(auroc.mean(0), auroc.var(0, ddof=1), picked.mean(1), picked.var(1, ddof=1))


def claim(
    scored: Mapping[str, tuple[Floats, Floats]],
    severities: Sequence[int],
    *,
    ours: str,
    paired: bool,
    samples: int = 1000,
    level: float = 0.95,
    generator: np.random.Generator,
) -> list[Claim]:
    """One Claim a severity and rival, severities first.

    Args:
        scored: {label: (clean (N,), cells (T, S, M))} of every method, ours among them.
        severities: S levels.
        ours: label of FSSD.
        paired: whether clean and corrupted images are the same.
        samples: bootstrap draws.
        level: coverage, 0 to 1 exclusive.
        generator: where the draws come from.

    Raises:
        InputError: fewer than 3 types, or FSSD is not among the methods.
    """
    clean, cells = next(iter(scored.values()))
    draws = Draws.of(
        len(clean), cells.shape[2], len(cells), paired=paired, samples=samples, generator=generator
    )  # fmt: skip
    return claims({label: Moments.of(*pair, draws) for label, pair in scored.items()}, severities, ours, draws, level)


def claims(
    moments: Mapping[str, Moments], severities: Sequence[int], ours: str, draws: Draws, level: float = 0.95
) -> list[Claim]:
    """The same from moments that are at hand already; all must be of these draws."""
    if ours not in moments:
        raise InputError(f"the claim is about {ours!r}, which is not among {', '.join(moments)}; add it")
    if draws.types.shape[1] < FEWEST_TYPES:
        raise InputError(
            f"{draws.types.shape[1]} corruption type(s): a variance over types needs at least {FEWEST_TYPES}"
        )
    pairs = {label: _Pair.of(moments[ours], moments[label], level) for label in moments if label != ours}
    return [
        _claim(severity, at, label, moments[ours], moments[label], pair)
        for at, severity in enumerate(severities)
        for label, pair in pairs.items()
    ]


@dataclass(frozen=True, eq=False)
class _Pair:
    """Intervals (2, S) of the difference of means and of the ratio of variances, all severities at once."""

    difference: Floats
    ratio: Floats

    @staticmethod
    def of(ours: Moments, rival: Moments, level: float) -> _Pair:
        quantiles = [(1 - level) / 2, (1 + level) / 2]
        ratios = _ratio(ours.variances, rival.variances)
        return _Pair(
            np.quantile(ours.means - rival.means, quantiles, axis=0),
            np.quantile(ratios, quantiles, axis=0, method="closest_observation"),  # inf stays inf
        )


def _claim(severity: int, at: int, label: str, ours: Moments, rival: Moments, pair: _Pair) -> Claim:
    low, high = pair.difference[:, at]
    small, large = pair.ratio[:, at]
    return Claim(
        severity=severity,
        rival=label,
        mean=float(ours.mean[at]),
        rival_mean=float(rival.mean[at]),
        difference=float(ours.mean[at] - rival.mean[at]),
        difference_interval=(float(low), float(high)),
        sd=float(np.sqrt(ours.variance[at])),
        rival_sd=float(np.sqrt(rival.variance[at])),
        ratio=float(_ratio(ours.variance[[at]], rival.variance[[at]])[0]),
        ratio_interval=(float(small), float(large)),
    )


def _ratio(ours: Floats, theirs: Floats) -> Floats:
    """ours / theirs; 1 where both are 0, inf where only theirs is."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = ours / theirs
    return np.where((ours == 0) & (theirs == 0), 1.0, ratio)


def in_words(found: list[Claim]) -> str:
    """'Against 3 methods at 5 severities, 15 comparisons: holds in 4, does not hold in 2, not decided in 9.'

    Then the same of the two parts of the claim.
    """
    rivals, severities = {c.rival for c in found}, {c.severity for c in found}
    return (
        f"Against {len(rivals)} method{'s' * (len(rivals) != 1)} at {len(severities)} "
        f"severit{'ies' if len(severities) != 1 else 'y'}, {len(found)} comparisons: "
        f"{_counted([c.verdict for c in found])}. "
        f"The higher mean alone {_counted([c.higher_mean for c in found])}; "
        f"the smaller variance alone {_counted([c.smaller_variance for c in found])}."
    )


def _counted(verdicts: list[str]) -> str:
    return ", ".join(f"{word} in {verdicts.count(word)}" for word in (HOLDS, FAILS, OPEN))


def claim_table(claims: list[Claim]) -> str:
    """The claims as a Markdown table."""
    lines = [
        "| severity | FSSD, mean ± sd | against | mean ± sd | difference of means | higher? "
        "| variance ratio | smaller? | both |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for c in claims:
        (low, high), (small, large) = c.difference_interval, c.ratio_interval
        lines.append(
            f"| {c.severity} | {c.mean:.3f} ± {c.sd:.3f} | {c.rival} | {c.rival_mean:.3f} ± {c.rival_sd:.3f} "
            f"| {c.difference:+.3f} [{low:+.3f}, {high:+.3f}] | {c.higher_mean} "
            f"| {c.ratio:.2f} [{small:.2f}, {large:.2f}] | {c.smaller_variance} | **{c.verdict}** |"
        )
    return "\n".join(lines)
