"""What the speeds say, in plain words made from the numbers: where ind moves faster, by how much, where it does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fssd_core.dynamics import Dynamics
from fssd_core.projection_faithful import spearman
from fssd_core.speed import Speed

FIRST_STEPS = 10
LEVEL = 1.959963984540054  # of a 95 % interval
CLEAR = 0.05  # speeds within 5 % of ind's are told as equal
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Ratios:
    """Speeds over ind's own: (T, K, G), 1 for ind.

    Attributes:
        ratio: mean speed over the ind mean.
        low: lower end of its 95 % interval (delta method on the logarithm, images drawn independently).
        high: upper end.
        control: the same under random directions, mean over the draws.
    """

    ratio: Floats
    low: Floats
    high: Floats
    control: Floats


@dataclass(frozen=True)
class Statement:
    """One sentence for the page.

    Attributes:
        verdict: 'holds', 'fails' or 'mixed'.
        about: what it is about: a group's name, 'start', 'control', 'outward' or 'outcome'.
        text: the sentence.
    """

    verdict: str
    about: str
    text: str


def ratios(speed: Speed, *, relative: bool = False, control: str = "by tensor") -> Ratios:
    """Each group's speed over ind's.

    Args:
        speed: the measured speeds.
        relative: motion as F* sees it instead of motion in the fixed feature space.
        control: which kind of random direction, one of speed.controls.
    """
    mean, sd = (speed.relative, speed.relative_sd) if relative else (speed.exact, speed.exact_sd)
    drawn = (speed.control_relative if relative else speed.control)[speed.controls.index(control)]  # (R, T, K, G)
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.square(sd / mean) / np.array(speed.counts)
        error = LEVEL * np.sqrt(error + error[..., :1])
        error[..., 0] = 0.0
        ratio = mean / mean[..., :1]
        return Ratios(ratio, ratio * np.exp(-error), ratio * np.exp(error), (drawn / drawn[..., :1]).mean(0))


def statements(
    speed: Speed, layer: str, *, titles: Mapping[str, str] | None = None, relative: bool = False
) -> list[Statement]:
    """One sentence a group about the exact speed in one layer, then the first steps, the control, the way outward.

    Args:
        speed: the measured speeds.
        layer: one of its layers.
        titles: names for people by group name.
        relative: motion as F* sees it.
    """
    found, k = ratios(speed, relative=relative), speed.layers.index(layer)
    out = []
    for g, (name, kind) in enumerate(speed.groups):
        if kind != "ind":
            said = (titles or {}).get(name, name)
            out.append(
                _about_group(said, name, speed.steps, found.ratio[:, k, g], found.low[:, k, g], found.high[:, k, g])
            )
    out += _about_start(speed, found, k, titles or {})
    out += _about_control(speed, found, k, titles or {})
    out += _about_outward(speed, k, titles or {})
    return out


def headline(speed: Speed, *, relative: bool = False) -> str:
    """One sentence over all layers and ood sets: in how many ind moves faster, in how many it does not."""
    said = [
        statement.verdict
        for layer in speed.layers
        for statement in statements(speed, layer, relative=relative)
        if dict(speed.groups).get(statement.about) == "ood"
    ]
    if not said:
        return "No ood set is chosen, so there is nothing to compare ind with."
    return (
        f"Over {len(speed.layers)} layers and {len(said) // len(speed.layers)} ood sets: ind lastingly moves faster in "
        f"{said.count('holds')} of {len(said)} pairs, the ood set in {said.count('fails')}; "
        f"{said.count('mixed')} have no lasting order."
    )


def _about_group(said: str, name: str, steps: tuple[int, ...], ratio: Floats, low: Floats, high: Floats) -> Statement:
    if not np.isfinite(ratio).all():
        still = ", ".join(str(step) for step, r in zip(steps, ratio, strict=True) if not np.isfinite(r))
        return Statement("mixed", name, f"{said} cannot be compared with ind: ind does not move at step {still}.")
    slower, faster, count = high < 1, low > 1, len(steps)
    last = count - int(np.argmin(slower[::-1])) if not slower.all() else 0  # from here on slower at every checkpoint
    tail = "of ind's speed"
    if last == 0:
        return Statement(
            "holds",
            name,
            f"ind moves faster than {said} at all {count} checkpoints: {said} has {_range(ratio)} {tail}.",
        )
    if faster.sum() * 2 > count:
        text = f"{said} moves faster than ind at {faster.sum()} of {count} checkpoints, with {_range(ratio)} {tail}; "
        return Statement("fails", name, f"{text}ind is faster at {slower.sum()}.")
    if count - last >= max(2, count // 4):
        text = f"ind moves faster than {said} from step {steps[last]:,} on: {said} has {_range(ratio[last:])} {tail}. "
        before = f"slower than ind at {slower[:last].sum()} and faster at {faster[:last].sum()} of {last} checkpoints"
        return Statement("holds", name, f"{text}Before that it is {before}.")
    if not faster.any() and slower.sum() * 3 >= count * 2:
        text = f"ind moves faster than {said} at {slower.sum()} of {count} checkpoints and never slower: {said} has "
        return Statement("holds", name, f"{text}{_range(ratio)} {tail}.")
    text = f"{said} has no lasting order: slower than ind at {slower.sum()} of {count} checkpoints, faster at "
    unclear = count - slower.sum() - faster.sum()
    return Statement("mixed", name, f"{text}{faster.sum()}, within the error at {unclear}; {_range(ratio)} {tail}.")


def _about_start(speed: Speed, found: Ratios, k: int, titles: Mapping[str, str]) -> list[Statement]:
    """The first ten steps, where the theory promises nothing."""
    early = [t for t, step in enumerate(speed.steps) if step <= FIRST_STEPS]
    ood = [(g, titles.get(name, name)) for g, (name, kind) in enumerate(speed.groups) if kind == "ood"]
    if not early or not ood:
        return []
    slower = [said for g, said in ood if (found.high[early, k, g] < 1).all()]
    others = [f"{said} {_range(found.ratio[early, k, g])}" for g, said in ood if said not in slower]
    when = f"In the first steps ({', '.join(str(speed.steps[t]) for t in early)})"
    if not others:
        return [Statement("holds", "start", f"{when} every ood set already moves slower than ind.")]
    text = f"{when} the order is not there; speed over ind's: {', '.join(others)}."
    return [Statement("mixed" if slower else "fails", "start", text)]


def _about_control(speed: Speed, found: Ratios, k: int, titles: Mapping[str, str]) -> list[Statement]:
    """How much of the order random directions show too: that part is the size of the Jacobian, not the training."""
    parts, shares = [], []
    for g, (name, kind) in enumerate(speed.groups):
        if kind != "ood":
            continue
        exact, drawn = (float(np.median(np.log(v[:, k, g]))) for v in (found.ratio, found.control))
        parts.append(f"{titles.get(name, name)} {np.exp(exact):.2f} by the gradient, {np.exp(drawn):.2f} at random")
        if abs(exact) > CLEAR:
            shares.append((titles.get(name, name), drawn / exact))
    if not parts:
        return []
    words = [f"{_share(share)} of it for {said}" for said, share in shares]
    text = f"Speed over ind's, median over the checkpoints: {'; '.join(parts)}."
    if words:
        text += f" How much of the difference the size of the Jacobian alone explains: {', '.join(words)}."
    explained = [share for _, share in shares]
    verdict = (
        "mixed" if not explained else "fails" if min(explained) >= 0.8 else "holds" if max(explained) < 0.5 else "mixed"
    )
    return [Statement(verdict, "control", text)]


def _about_outward(speed: Speed, k: int, titles: Mapping[str, str]) -> list[Statement]:
    """Whether the gradient carries ind away from F* faster than the ood sets: what concentration needs."""
    outward, count = speed.outward[:, k], len(speed.steps)
    wins = {
        titles.get(name, name): int((outward[:, 0] > outward[:, g]).sum())
        for g, (name, kind) in enumerate(speed.groups)
        if kind == "ood"
    }
    if not wins:
        return []
    text = (
        f"Along the gradient ind's distance to F* grows at {(outward[:, 0] > 0).sum()} of {count} checkpoints, faster "
        f"than that of {', '.join(f'{said} at {won}' for said, won in wins.items())}."
    )
    most = [won * 2 > count for won in wins.values()]
    return [Statement("holds" if all(most) else "mixed" if any(most) else "fails", "outward", text)]


def outcome(speed: Speed, dynamics: Dynamics, *, titles: Mapping[str, str] | None = None) -> Statement:
    """Whether slow groups end near F*: speed ratios against the final distance ratio, over all layers and ood sets.

    Beside the exact speed stand its rivals: random directions, and the way as really trained.

    Args:
        speed: the measured speeds.
        dynamics: of the same study.
        titles: names for people by group name.
    """
    places = [(k, g) for k in range(len(speed.layers)) for g, (_, kind) in enumerate(speed.groups) if kind == "ood"]
    if len(places) < 3:
        return Statement("mixed", "outcome", "Fewer than 3 pairs of layer and ood set: no comparison with the outcome.")
    k, g = np.array(places).T
    found, end = ratios(speed), dynamics.ratio[-1][k, g]
    with np.errstate(invalid="ignore", divide="ignore"):
        exact, drawn = (np.log(values[:, k, g]) for values in (found.ratio, found.control))  # (T, pairs)
        trained = np.log(dynamics.speed[:, k, g] / dynamics.speed[:, k, 0])
    agree = (exact.mean(0) < 0) == (end < 1)
    rho, at_random, as_trained = (spearman(v.mean(0), end) for v in (exact, drawn, trained))
    text = (
        f"Does a slow set end near F*? Over {len(places)} pairs of layer and set, Spearman's rho with the final "
        f"distance is {rho:.2f} for the exact speed, {at_random:.2f} for random directions and {as_trained:.2f} for "
        "the way as really trained."
    )
    first = np.array(dynamics.epochs) <= 1
    if first.any() and not first.all():
        parts = (spearman(exact[rows].mean(0), end) for rows in (first, ~first))
        text += " The exact speed gives {:.2f} within the first epoch and {:.2f} after it.".format(*parts)
    if not agree.all():
        against = [f"{_said(speed, titles, *places[i])} (speed {np.exp(exact.mean(0)[i]):.2f}, distance {end[i]:.2f})"
                   for i in np.flatnonzero(~agree).tolist()]  # fmt: skip
        text += f" Exact speed and distance lie on different sides of ind's for {', '.join(against)}."
    return Statement("holds" if rho >= 0.6 and agree.all() else "fails" if rho < 0.3 else "mixed", "outcome", text)


def _said(speed: Speed, titles: Mapping[str, str] | None, k: int, g: int) -> str:
    name = speed.groups[g][0]
    return f"{(titles or {}).get(name, name)} in {speed.layers[k]}"


def _range(values: Floats) -> str:
    """'0.62 (0.37 to 0.95)': the median, and the extremes where there are several that differ."""
    middle, low, high = float(np.median(values)), float(np.min(values)), float(np.max(values))
    return f"{middle:.2f}" if f"{low:.2f}" == f"{high:.2f}" else f"{middle:.2f} ({low:.2f} to {high:.2f})"


def _share(share: float) -> str:
    if share < 0.2:
        return "nothing" if share <= 0 else "little"
    return "part" if share < 0.5 else "most" if share < 0.8 else "all"
