"""A tuned detector's report: all that its one page says, measured on held-out images. `report_html` writes it."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import sklearn
import torch

from fssd_core import ensemble
from fssd_core.bundle import measure, weights_digest
from fssd_core.errors import InputError
from fssd_core.metrics import auroc, confusion
from fssd_core.operating_point import outlook
from fssd_core.report_types import Chosen, Column, Example, Report, Side
from fssd_core.study import Comparison, Study, open_model
from fssd_core.transfer import Transfer, transfer
from fssd_core.types import Weights

__all__ = ["Chosen", "Example", "Report", "Side", "make_report"]

EXAMPLES = 6  # a side of the threshold, of ind and of ood each
DRAWS = 300


def make_report(
    study: Study,
    weights: Weights,
    *,
    epsilon: float,
    threshold: float,
    chosen: Chosen,
    ind: Side,
    oods: Sequence[Side],
    fitting: Mapping[str, Comparison] | None = None,
    also: Mapping[str, Weights] | None = None,
    model_name: str | None = None,
    command: str = "",
    date: str,
    notes: Sequence[str] = (),
) -> Report:
    """Measures the detector on held-out images.

    Args:
        study: network, layers, gradient rule, noise, seed; its own epsilon is not looked at.
        weights: alpha.
        epsilon: of the distances.
        threshold: accepted where score >= threshold.
        chosen: how threshold and epsilon were chosen.
        ind: held-out ind images.
        oods: held-out images of every ood set, at least one.
        fitting: {ood name: scores split for fitting and testing}, for the matrix of transferred weights.
        also: further weights for the matrix, by name.
        model_name: as the network is to be called; None for the study's reference.
        command: that gives the same numbers.
        date: now, ISO 8601.
        notes: what must be known of the data.

    Raises:
        InputError: no ood set, a name twice, a side without a finite score, alpha 0 everywhere, or a threshold that
            is not finite.
    """
    _check(weights, threshold, [ind, *oods])
    (ind, *oods), told = _finite_sides([ind, *oods])
    scores = {side.name: ensemble.combine(side.distances, weights) for side in (ind, *oods)}
    ind_scores = scores.pop(ind.name)
    counts = {name: confusion(ind_scores, ood, threshold) for name, ood in scores.items()}
    model = open_model(study)
    matrix, why = _transfer(fitting, weights, also, study.seed)
    return Report(
        study=study,
        model_name=model_name or study.model,
        arch=model.arch,
        step=model.step,
        file_hash=model.weight_hash,
        digest=weights_digest(model.module),
        weights=weights,
        epsilon=epsilon,
        threshold=threshold,
        chosen=chosen,
        ind_name=ind.name,
        ind_scores=ind_scores,
        ood_scores=scores,
        measured={
            name: measure(
                ind_scores, ood, threshold, name=name, samples=DRAWS, generator=np.random.default_rng(study.seed)
            )
            for name, ood in scores.items()
        },
        counts=counts,
        outlooks={name: outlook(c.tpr, c.fpr, chosen.choice) for name, c in counts.items()},
        layers={
            side.name: {
                layer: auroc(ind.distances.column(layer), side.distances.column(layer)) for layer in weights.layers
            }
            for side in oods
        },
        transfer=matrix,
        examples={
            "ind": _examples([ind], [ind_scores], threshold),
            "ood": _examples(oods, list(scores.values()), threshold),
        },
        notes=(*notes, *told, *why),
        command=command,
        versions=_versions(),
        date=date,
    )


def _check(weights: Weights, threshold: float, sides: Sequence[Side]) -> None:
    names = [side.name for side in sides]
    if len(sides) < 2 or len(set(names)) != len(names):
        raise InputError(f"sets {', '.join(names)} were given; a report needs ind and at least one ood set, each once")
    if not any(weights.alpha):
        raise InputError("alpha is 0 in every layer, so every image has the same score; weigh at least one layer")
    if not np.isfinite(threshold):
        everything = "everything" if threshold < 0 else "nothing"
        raise InputError(
            f"the threshold is {threshold}, so the detector would accept {everything}; choose a finite one "
            "(another target or cost)"
        )


def _finite_sides(sides: Sequence[Side]) -> tuple[list[Side], list[str]]:
    """Sides without the images whose distances are not finite, and a sentence on each that had some."""
    kept, told = [], []
    for side in sides:
        finite, dropped = side.finite()
        if not len(finite.rows):
            raise InputError(
                f"none of the {len(side.rows)} images of {side.name} has a finite score; check images and weights"
            )
        if dropped:
            told.append(
                f"{dropped:,} of {len(side.rows):,} {side.name} images have a score that is NaN or infinite; they are "
                "left out of every number."
            )
        kept.append(finite)
    return kept, told


def _transfer(
    fitting: Mapping[str, Comparison] | None, weights: Weights, also: Mapping[str, Weights] | None, seed: int
) -> tuple[Transfer | None, list[str]]:
    if not fitting:
        return None, []
    try:
        whole = {name: _finite_comparison(comparison) for name, comparison in fitting.items()}
        return transfer(whole, seed=seed, also={**(also or {}), "this detector": weights}), []
    except InputError as error:
        return None, [f"No matrix of transferred weights: {error}."]


def _finite_comparison(comparison: Comparison) -> Comparison:
    """The comparison without the images that have no finite score; they are counted elsewhere."""
    sides = {name: getattr(comparison, name) for name in ("fit_ind", "fit_ood", "test_ind", "test_ood")}
    return replace(
        comparison,
        **{name: s.take(np.flatnonzero(np.isfinite(s.values).all(axis=1))) for name, s in sides.items()},
    )


def _examples(sides: Sequence[Side], scores: Sequence[Column], threshold: float) -> tuple[list[Example], list[Example]]:
    """(just rejected, just accepted), the nearest to the threshold first; every set has its turn."""

    def nearest(accepted: bool) -> list[Example]:
        found = []
        for side, values in zip(sides, scores, strict=True):
            rows = np.flatnonzero((values >= threshold) == accepted)
            order = rows[np.argsort(np.abs(values[rows] - threshold), kind="stable")][:EXAMPLES]
            found += [
                (turn, Example(side.name, int(side.rows[i]), float(values[i]), side.images[i]))
                for turn, i in enumerate(order)
            ]
        taken = [example for _, example in sorted(found, key=lambda pair: pair[0])][:EXAMPLES]
        return sorted(taken, key=lambda example: abs(example.score - threshold))

    return nearest(False), nearest(True)


def _versions() -> dict[str, str]:
    import fssd_core

    return {
        "fssd-explorer": fssd_core.__version__,
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
        "python": f"{platform.python_version()} on {sys.platform}",
    }
