"""An inspection in plain words: the verdict, and which layers decided it."""

from __future__ import annotations

import numpy as np

from fssd_core.inspect_verdict import Inspection


def plain_words(found: Inspection) -> str:
    """The verdict in one sentence: score, threshold, and how many ind images score lower."""
    digits = decimals(found)
    score, threshold = f"{found.score:.{digits}f}", f"{found.threshold:.{digits}f}"
    if found.below == 0:
        rank = f"none of {found.counted:,} ind images scores lower"
    elif found.below == 1:
        rank = f"all {found.counted:,} ind images score lower"
    else:
        only = "only " if found.below < 0.05 else ""
        rank = f"{only}{percent(found.below)} of ind images score lower"
    if found.accepted:
        where = "equal to" if score == threshold else "above"
        return f"Accepted as in-distribution: score {score} {where} the threshold {threshold}; {rank}."
    if found.threshold == np.inf:
        return f"Rejected as out-of-distribution: the threshold accepts no image at all; score {score}, {rank}."
    return f"Rejected as out-of-distribution: score {score} below the threshold {threshold}; {rank}."


def percent(share: float) -> str:
    """1.3 %; two decimals near 0 and 100, and never a rounded 0 or 100 for what is neither."""
    hundred = 100 * share
    near = min(hundred, 100 - hundred)
    if 0 < near < 0.01:
        return "under 0.01 %" if hundred < 50 else "over 99.99 %"
    return f"{hundred:.{2 if 0 < near < 1 else 1}f} %"


def deciding_words(found: Inspection, *, most: int = 4) -> str:
    """Which layers moved the score away from the ind median, the largest first; at most `most` are named."""
    digits = decimals(found)

    def signed(value: float) -> str:
        return f"{value:+.{digits}f}".replace("-", "−")

    gap = f"{abs(found.score - found.ind_median):.{digits}f}"
    median = f"{found.ind_median:.{digits}f}"
    moved = sorted((f for f in found.layers if float(signed(f.contribution)[1:])), key=lambda f: -abs(f.contribution))
    if not moved:
        return f"The score is the ind median, {median}; no layer moves it."
    side = "at" if not float(gap) else f"{gap} {'below' if found.score < found.ind_median else 'above'}"
    named = [f"{f.layer} {signed(f.contribution)}" for f in moved[:most]]
    if rest := moved[most:]:
        others = "1 other layer" if len(rest) == 1 else f"{len(rest)} other layers"
        named.append(f"{others} {signed(sum(f.contribution for f in rest))}")
    return f"The score is {side} the ind median {median}: {', '.join(named)}."


def decimals(found: Inspection) -> int:
    """Decimals that show three significant ones of the ind spread, more where score and threshold would look alike."""
    least = 1 if found.spread < 100 else 0
    digits = max(least, 2 - int(np.floor(np.log10(found.spread)))) if found.spread > 0 else 1
    while digits < 6 and found.score != found.threshold and abs(found.score - found.threshold) < 10.0**-digits:
        digits += 1
    return min(digits, 6)
