"""Choosing the threshold as an engineer does: by target TPR or FPR, by costs, by a budget of alarms a day.

Accepted as ind where score >= threshold. Every threshold is one of the scores, or inf (accept nothing). The cockpit
chooses by the same rules in the page (cockpit_assets/operating_point.js), in the same order of operations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fssd_core._counts import Counts, Scores, checked, redrawn, steps
from fssd_core.errors import InputError, lookup
from fssd_core.metrics import threshold_at_tpr

RATES = ("tpr", "fpr")
Interval = tuple[float, float]


@dataclass(frozen=True)
class Choice:
    """How a threshold is chosen, and what the detector is expected to meet.

    Attributes:
        by: 'tpr', 'fpr', 'cost', 'alarms', or 'hand' (no rule: the threshold itself was set).
        tpr: share of ind to accept at least.
        fpr: share of ood to accept at most.
        miss: cost of an accepted ood image.
        alarm: cost of a rejected ind image, in the same unit.
        alarms: at most so many ind images rejected a day.
        images: images a day, ind and ood.
        prevalence: expected share of ood among all images, between 0 and 1.
    """

    by: str = "tpr"
    tpr: float = 0.95
    fpr: float = 0.05
    miss: float = 10.0
    alarm: float = 1.0
    alarms: float = 100.0
    images: float = 10_000.0
    prevalence: float = 0.05

    def __post_init__(self) -> None:
        lookup(SAID, self.by, "rule for the threshold")
        for name, value, low, high, unit in (
            ("true positive rate", self.tpr, 0.0, 1.0, "a share, 0 to 1 (0.95 for 95 %)"),
            ("false positive rate", self.fpr, 0.0, 1.0, "a share, 0 to 1 (0.05 for 5 %)"),
            ("cost of a miss", self.miss, 0.0, np.inf, "a finite number, 0 or more"),
            ("cost of a false alarm", self.alarm, 0.0, np.inf, "a finite number, 0 or more"),
            ("number of alarms a day", self.alarms, 0.0, np.inf, "a finite number, 0 or more"),
            ("number of images a day", self.images, np.nextafter(0, 1), np.inf, "a finite number above 0"),
            (
                "prevalence",
                self.prevalence,
                np.nextafter(0, 1),
                np.nextafter(1, 0),
                "the share of ood, between 0 and 1",
            ),
        ):
            if not (low <= value <= high and np.isfinite(value)):
                raise InputError(f"a {name} of {value} was given; it is {unit}")

    def said(self, threshold: float | None = None) -> dict[str, Any]:
        """What matters of it, as JSON: {'by': 'fpr', 'value': 0.05}, {'by': 'cost', 'miss': 10.0, ...}.

        Args:
            threshold: the value where it was set by hand.
        """
        if self.by == "hand":
            return {"by": "hand", "value": threshold}
        return {"by": self.by, **{name: getattr(self, field) for name, field in SAID[self.by].items()}}

    @property
    def uses_ood(self) -> bool:
        """Whether the rule looks at ood images, and so at their labels."""
        return self.by in ("fpr", "cost")


SAID: dict[str, dict[str, str]] = {
    "tpr": {"value": "tpr"},
    "fpr": {"value": "fpr"},
    "cost": {"miss": "miss", "alarm": "alarm", "prevalence": "prevalence"},
    "alarms": {"value": "alarms", "images": "images", "prevalence": "prevalence"},
    "hand": {},
}


def in_words(choice: Choice, threshold: float | None = None) -> str:
    """The rule as half a sentence: 'at most 5 % of ood accepted'."""
    share = f"{100 * choice.prevalence:g} % ood expected"
    return {
        "tpr": f"at least {100 * choice.tpr:g} % of ind accepted",
        "fpr": f"at most {100 * choice.fpr:g} % of ood accepted",
        "cost": f"least expected cost: a miss costs {choice.miss:g}, a false alarm {choice.alarm:g}, {share}",
        "alarms": f"at most {choice.alarms:g} false alarms a day in {choice.images:g} images, {share}",
        "hand": "set by hand" + ("" if threshold is None else f" to {threshold:g}"),
    }[choice.by]


def choose_threshold(ind: npt.ArrayLike, ood: npt.ArrayLike, choice: Choice) -> float:
    """The threshold that the rule chooses on these images; inf where it is to accept nothing.

    'tpr': the largest that accepts the share of ind. 'fpr': the smallest that accepts no more than the share of ood.
    'cost': least `expected_cost`, of equal ones the smallest. 'alarms': the largest that rejects few enough ind
    images: with (1 - prevalence) * images of them a day, FNR <= alarms / ((1 - prevalence) * images).

    Args:
        ind: (P,) raw scores, larger = ind.
        ood: (N,) raw scores; not looked at by 'tpr' and 'alarms'.
        choice: the rule.

    Raises:
        InputError: chosen by hand, or scores that cannot be used.
    """
    if choice.by == "hand":
        raise InputError("a threshold set by hand follows no rule; choose by 'tpr', 'fpr', 'cost' or 'alarms'")
    a = checked(ind, "ind")
    if choice.by == "tpr":
        return threshold_at_tpr(a, choice.tpr)
    if choice.by == "alarms":
        return _by_alarms(a, choice)
    thresholds, tp, fp = steps(a, checked(ood, "ood"))
    step = _step(tp, fp, choice)
    return float("inf") if step < 0 else float(thresholds[step])


def expected_cost(tpr: npt.ArrayLike, fpr: npt.ArrayLike, choice: Choice) -> npt.NDArray[np.float64]:
    """prevalence * miss * FPR + (1 - prevalence) * alarm * (1 - TPR): cost an image, of the shape of the rates."""
    fnr = 1 - np.asarray(tpr, dtype=np.float64)
    return choice.prevalence * choice.miss * np.asarray(fpr) + (1 - choice.prevalence) * choice.alarm * fnr


def _step(tp: Counts, fp: Counts, choice: Choice) -> int:
    """Which of the falling thresholds the rule chooses; -1 for none of them (accept nothing)."""
    if choice.by == "tpr":
        need = int(np.searchsorted(tp / tp[-1], choice.tpr))
        return need if choice.tpr > 0 else -1
    if choice.by == "fpr":
        return int(np.searchsorted(fp / fp[-1], choice.fpr, side="right")) - 1
    if choice.by == "alarms":
        rejected = (1 - choice.prevalence) * choice.images * ((tp[-1] - tp) / tp[-1])
        nothing = (1 - choice.prevalence) * choice.images <= choice.alarms
        return -1 if nothing else int(np.argmax(rejected <= choice.alarms))
    missed, alarmed = choice.prevalence * choice.miss, (1 - choice.prevalence) * choice.alarm
    cost = missed * (fp / fp[-1]) + alarmed * ((tp[-1] - tp) / tp[-1])
    best = len(cost) - 1 - int(np.argmin(cost[::-1]))
    return -1 if alarmed < cost[best] else best


def _by_alarms(ind: Scores, choice: Choice) -> float:
    count = len(ind)
    daily = (1 - choice.prevalence) * choice.images * (np.arange(count + 1) / count)
    spare = int(np.searchsorted(daily, choice.alarms, side="right")) - 1  # most images that may be rejected
    return float(np.partition(ind, spare)[spare]) if spare < count else float("inf")


@dataclass(frozen=True)
class Outlook:
    """What a threshold means at a stated prevalence of ood, as shares.

    Attributes:
        accepted: of all images, accepted.
        ood_among_accepted: of the accepted, ood; nan where nothing is accepted.
        ind_among_rejected: of the rejected, ind (false alarms); nan where nothing is rejected.
        missed: of all images, accepted ood.
        false_alarms: of all images, rejected ind.
        cost: expected cost an image.
    """

    accepted: float
    ood_among_accepted: float
    ind_among_rejected: float
    missed: float
    false_alarms: float
    cost: float


def outlook(tpr: float, fpr: float, choice: Choice) -> Outlook:
    """What rates measured on any ratio of ind to ood mean at `choice.prevalence`."""
    missed = choice.prevalence * fpr
    false_alarms = (1 - choice.prevalence) * (1 - tpr)
    accepted = missed + (1 - choice.prevalence) * tpr
    rejected = false_alarms + choice.prevalence * (1 - fpr)
    return Outlook(
        accepted,
        missed / accepted if accepted else float("nan"),
        false_alarms / rejected if rejected else float("nan"),
        missed,
        false_alarms,
        float(expected_cost(tpr, fpr, choice)),
    )


@dataclass(frozen=True)
class RateIntervals:
    """Percentile bootstrap intervals of the achieved rates; ind and ood are drawn apart.

    Attributes:
        fixed: {'tpr': (low, high), 'fpr': ...} of this very threshold on other images of the same kind.
        rechosen: the same of the rule: chosen anew on every draw, so the choice's own luck counts; None by hand.
        threshold: interval of the rechosen threshold; None by hand. Draws that accept nothing count as inf.
    """

    fixed: dict[str, Interval]
    rechosen: dict[str, Interval] | None
    threshold: Interval | None


def rate_intervals(
    ind: npt.ArrayLike,
    ood: npt.ArrayLike,
    threshold: float,
    choice: Choice,
    *,
    samples: int = 500,
    level: float = 0.95,
    generator: np.random.Generator,
) -> RateIntervals:
    """How far TPR and FPR at the threshold are known: with it fixed, and with the rule chosen anew on every draw.

    With the threshold fixed, a draw of n images accepts Binomial(n, rate) of them: that is the bootstrap's exact
    distribution and is drawn directly.

    Args:
        ind: (P,) raw scores.
        ood: (N,) raw scores.
        threshold: in use.
        choice: the rule behind it.
        samples: bootstrap draws.
        level: coverage, 0 to 1 exclusive.
        generator: where the draws come from.

    Raises:
        InputError: scores that cannot be used, samples below 1, or a level outside 0..1.
    """
    if samples < 1 or not 0 < level < 1:
        raise InputError(f"{samples} samples at level {level} were asked for; give at least 1, and 0 < level < 1")
    a, b = checked(ind, "ind"), checked(ood, "ood")
    quantiles = [(1 - level) / 2, (1 + level) / 2]

    def interval(values: npt.NDArray[np.float64]) -> Interval:
        low, high = np.quantile(values, quantiles, method="closest_observation")  # inf stays inf
        return float(low), float(high)

    fixed = {
        name: interval(generator.binomial(len(side), np.mean(side >= threshold), samples) / len(side))
        for name, side in zip(RATES, (a, b), strict=True)
    }
    if choice.by == "hand":
        return RateIntervals(fixed, None, None)
    drawn = _rechosen(a, b, choice, samples, generator)
    rechosen = {name: interval(drawn[:, i]) for i, name in enumerate(RATES)}
    return RateIntervals(fixed, rechosen, interval(drawn[:, 2]))


def _rechosen(a: Scores, b: Scores, choice: Choice, samples: int, generator: np.random.Generator) -> Scores:
    """(samples, 3): TPR, FPR and threshold of the rule on each draw. Scores are sorted once; a draw only recounts."""
    thresholds, tp, fp = steps(a, b)
    rank_a = np.repeat(np.arange(len(tp)), np.diff(tp, prepend=0))
    rank_b = np.repeat(np.arange(len(fp)), np.diff(fp, prepend=0))
    out = np.empty((samples, 3))
    for i in range(samples):
        drawn_tp, drawn_fp = redrawn(rank_a, len(tp), generator), redrawn(rank_b, len(fp), generator)
        step = _step(drawn_tp, drawn_fp, choice)
        out[i] = (
            (0.0, 0.0, np.inf) if step < 0 else (drawn_tp[step] / len(a), drawn_fp[step] / len(b), thresholds[step])
        )
    return out
