"""alpha for a corruption study by rule; rows that a rule was fitted on are kept out of every number."""

from __future__ import annotations

from collections.abc import Callable

from fssd_core import ensemble
from fssd_core.corruption_table import CorruptionResult
from fssd_core.errors import InputError
from fssd_core.study import RULES, weights_by_hand
from fssd_core.types import LayerScores, Weights


def weights_by_rule(
    rule: str, result: CorruptionResult, *, ours: str, seed: int, pseudo: Callable[[], LayerScores] | None = None
) -> tuple[dict[str, Weights], CorruptionResult]:
    """({detector: alpha}, the result on the rows to test on).

    'uniform' weighs every column 1. 'standardised' divides by the spread over clean images. 'pseudo-ood' is FSSD's own
    (blurred, warped, cut ind images stand for ood); other detectors are then standardised. 'logistic' is fitted on
    clean against corrupted images of all types and severities together, so it has seen labels of these very
    corruptions. All but the first look at half of the images (500 at most), and every number is of the other half.
    Numbers by hand are for FSSD alone; other detectors with several columns are then uniform.

    Args:
        rule: one of RULES, or one comma-separated number a layer.
        result: all detectors.
        ours: label of FSSD, which numbers by hand are for.
        seed: of the split.
        pseudo: gives FSSD's scores of pseudo-ood made from the images that may be fitted on.

    Raises:
        InputError: an unknown rule, another number of values than layers, or unpaired images with a fitted rule.
    """
    several = {label: s for label, s in result.detectors.items() if len(s.layers) > 1}
    if rule == "uniform":
        return {label: ensemble.uniform(s.layers) for label, s in several.items()}, result
    if rule not in RULES:
        return _by_hand(rule, result, ours, {label: ensemble.uniform(s.layers) for label, s in several.items()}), result
    if not result.paired:
        raise InputError(f"alpha {rule!r} is fitted on part of the images, which needs a set in ind's own order")
    split = ensemble.split(len(result.rows), len(result.rows), seed=seed)
    fit, test = split.fit_ind, split.test_ind  # the same images on both sides, so that no twin of a test image is seen
    weights = {}
    for label, scores in several.items():
        ind = LayerScores(scores.clean[fit], scores.layers)
        if rule == "pseudo-ood" and label == ours and pseudo is not None:
            weights[label] = ensemble.pseudo_ood(ind, pseudo())
            continue
        if rule != "logistic":
            weights[label] = ensemble.standardised(ind)
            continue
        ood = LayerScores(scores.cells[:, :, fit].reshape(-1, len(scores.layers)), scores.layers)
        told = f"these very corruptions ({len(result.types)} types, {len(result.severities)} severities)"
        weights[label] = ensemble.logistic(ind, ood, seed=seed, labels=told)
    return weights, result.take(test)


def _by_hand(rule: str, result: CorruptionResult, ours: str, others: dict[str, Weights]) -> dict[str, Weights]:
    if ours not in result.detectors:
        raise InputError(f"alpha {rule!r} is for FSSD, which is not among {', '.join(result.detectors)}; add fssd")
    layers = result.detectors[ours].layers
    return {**others, ours: weights_by_hand(rule, layers)}
