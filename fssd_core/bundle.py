"""A tuned detector that leaves as one .fssd file: made here from a study, written, read, and run in production.

docs/bundle.md says what is in the file and shows its use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fssd_core.bundle_detector import BundledDetector, load_detector, probe_distances
from fssd_core.bundle_file import SUFFIX, bundle_bytes, bundle_digest, read_bundle, save_bundle
from fssd_core.bundle_types import Bundle, Interval, Measured
from fssd_core.checkpoint_file import weights_digest
from fssd_core.errors import InputError, lookup
from fssd_core.metrics import confusion, intervals
from fssd_core.metrics import metrics as numbers_of
from fssd_core.operating_point import SAID, Choice, in_words, rate_intervals
from fssd_core.study import BATCH, Study, open_model, open_singularity, study_layers
from fssd_core.types import Weights

__all__ = [
    "SUFFIX",
    "Bundle",
    "BundledDetector",
    "Measured",
    "bundle_bytes",
    "bundle_digest",
    "load_detector",
    "make_bundle",
    "measure",
    "read_bundle",
    "save_bundle",
    "steady_threshold",
    "weights_digest",
]


def make_bundle(
    study: Study,
    weights: Weights,
    *,
    epsilon: float,
    threshold: float,
    chosen: Choice | Mapping[str, Any],
    date: str,
    metrics: Sequence[Measured] = (),
    epsilon_labels: str = "none",
    reference: str | None = None,
) -> Bundle:
    """The detector that the study was tuned to; F* is the study's own, so scores are bit-equal to `layer_scores`.

    Args:
        study: network, layers, gradient rule, noise and data; its own epsilon is not looked at.
        weights: alpha of the study's layers, in any order.
        epsilon: perturbation in pixels, signed.
        threshold: accepted as ind where score >= threshold, on scores under `weights` as given (not scaled).
        chosen: the rule behind the threshold: a Choice, or its JSON as {'by': 'tpr', 'value': 0.95}, with 'on' to say
            on which images it was chosen.
        date: now, ISO 8601; given by the caller, so that the same content gives the same bytes.
        metrics: what the detector achieved, from `measure`.
        epsilon_labels: which labels were used to choose epsilon, in plain words.
        reference: what to write down as the model's reference; None for study.model (a path stays as it was given).

    Raises:
        InputError: weights of other layers, alpha 0 everywhere, a threshold that is not finite, or an unknown rule.
        ModelError: the network cannot be used.
    """
    import fssd_core

    if study.precision != "float32" or study.shared:
        raise InputError(
            f"the study has precision {study.precision} and shared perturbation {study.shared}; a bundle scores "
            "exactly, so tune it in float32 without a shared perturbation"
        )
    model, layers = open_model(study), study_layers(study)
    if set(weights.layers) != set(layers) or len(weights.layers) != len(layers):
        raise InputError(f"alpha has layers {', '.join(weights.layers)}, the study {', '.join(layers)}; give the same")
    alpha = dict(zip(weights.layers, weights.alpha, strict=True))
    extractor, _, fss = open_singularity(study)
    return Bundle(
        weights=Weights(tuple(alpha[layer] for layer in layers), layers, weights.rule, weights.labels),
        fss={layer: fss[layer].cpu().numpy() for layer in layers},
        epsilon=epsilon,
        gradient=study.gradient,
        batch_size=BATCH,
        threshold=threshold,
        chosen=_told(chosen, threshold),
        epsilon_labels=epsilon_labels,
        reference=study.model if reference is None else reference,
        arch=model.arch,
        step=model.step,
        weights_sha256=weights_digest(model.module),
        input_shape=model.input_shape,
        mean=model.mean,
        std=model.std,
        noise_samples=study.noise_samples,
        seed=study.seed,
        probe=probe_distances(extractor, fss, model.input_shape),
        ind=study.ind,
        ood=study.ood,
        measured=tuple(metrics),
        versions={
            "fssd-explorer": fssd_core.__version__,
            "torch": str(torch.__version__),
            "numpy": np.__version__,
        },
        date=date,
    )


def measure(
    ind: npt.ArrayLike,
    ood: npt.ArrayLike,
    threshold: float,
    *,
    name: str,
    samples: int = 0,
    level: float = 0.95,
    generator: np.random.Generator | None = None,
) -> Measured:
    """What a score and a threshold achieve on images that neither was chosen on.

    Args:
        ind: (P,) scores of ind images.
        ood: (N,) scores of ood images.
        threshold: accepted where score >= threshold.
        name: reference of the ood set.
        samples: bootstrap draws for intervals of every number; 0 for none.
        level: coverage of the intervals.
        generator: where the draws come from; needed for intervals.

    Raises:
        InputError: scores that cannot be used, or draws without a generator.
    """
    counts = confusion(ind, ood, threshold)
    around: dict[str, Interval] = {}
    if samples:
        if generator is None:
            raise InputError(f"{samples} bootstrap draws were asked for without a generator; give one")
        around = intervals(ind, ood, samples=samples, level=level, generator=generator)
        by_hand = Choice(by="hand")
        rates = rate_intervals(ind, ood, threshold, by_hand, samples=samples, level=level, generator=generator)
        around |= rates.fixed
    return Measured(name, numbers_of(ind, ood), counts.tpr, counts.fpr, around, level)


def steady_threshold(threshold: float, *scores: npt.ArrayLike) -> float:
    """The middle between the threshold and the next score below it: the same verdicts on those scores, but steadier.

    A chosen threshold is itself a score, so a rounding on another machine could turn that image's verdict. It is given
    back as it is where no score lies below it, or where it is not finite.

    Args:
        threshold: accepted where score >= threshold.
        scores: (N,) arrays of the scores whose verdicts are to stay.
    """
    below = [float(s[s < threshold].max()) for s in map(np.asarray, scores) if (s < threshold).any()]
    if not below or not np.isfinite(threshold):
        return threshold
    middle = max(below) + (threshold - max(below)) / 2
    return middle if middle > max(below) else threshold


def _told(chosen: Choice | Mapping[str, Any], threshold: float) -> dict[str, Any]:
    """{'by': ..., its numbers, 'words': ..., 'on': ...}, checked by making the Choice."""
    given = chosen.said(threshold) if isinstance(chosen, Choice) else dict(chosen)
    by = given.get("by")
    names = lookup(SAID, by if isinstance(by, str) else repr(by), "rule for the threshold")
    try:
        choice = Choice(by=str(by), **{field: float(given[name]) for name, field in names.items()})
    except (KeyError, TypeError, ValueError):
        raise InputError(f"chosen = {given} was given; {by!r} needs the numbers {', '.join(names)}") from None
    told = {**choice.said(float(threshold)), "words": str(given.get("words") or in_words(choice, threshold))}
    return {**told, "on": str(given["on"])} if given.get("on") else told
