"""Choosing a detector's parameters and alpha from the parts that a protocol hands out, never from the test part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from fssd_core import ensemble
from fssd_core.data.images import ImageSet
from fssd_core.detectors.base import Detector, DetectorSpec
from fssd_core.detectors.parameters import Value
from fssd_core.metrics import metrics
from fssd_core.protocol import FitPart, TunePart
from fssd_core.runtime import Progress, silent
from fssd_core.types import LayerScores, Weights

Values = dict[str, Value]
Fit = Callable[[Values], Detector]  # a fitted detector with these values
CHUNK_BYTES = 2**28  # of pixels as float32 in memory at once


@dataclass(frozen=True, eq=False)
class Choice:
    """What was chosen, and from what.

    Attributes:
        values: every parameter's value.
        weights: alpha; None for a detector of one column.
        detector: fitted, with these values.
        tried: combinations that were compared; 1 where nothing could be.
        say: (K,) signed share that each column has in the combined score, alpha_k times the column's spread over the
            images that alpha was fitted on, the absolute values adding up to 1; None for a detector of one column.
    """

    values: Values
    weights: Weights | None
    detector: Detector
    tried: int
    say: tuple[float, ...] | None = None

    def score(self, columns: LayerScores) -> npt.NDArray[np.float64]:
        """(N,) one score an image."""
        return one_score(columns, self.weights)


def choose(
    spec: DetectorSpec,
    given: Values,
    fit_detector: Fit,
    fit: FitPart,
    tune: TunePart | None,
    *,
    seed: int,
    progress: Progress = silent,
) -> Choice:
    """The parameters with the lowest FPR95 on `tune`, alpha fitted on `fit`; the defaults without ood labels.

    Among equal FPR95 the higher AUROC counts, then the earlier in the parameters' grids. A detector of several columns
    is combined by the logistic rule where labels may be used, else by 1 / std of the ind scores.

    Args:
        spec: the detector's entry.
        given: values that are not to be chosen (members of an ensemble).
        fit_detector: gives the fitted detector with some values.
        fit: for alpha.
        tune: for the parameters; None under 'no-ood-labels'.
        seed: of the logistic rule's folds.
        progress: told after each combination.
    """
    if tune is None:
        values = spec.check(given)
        detector = fit_detector(values)
        if not _has_columns(spec):
            return Choice(values, None, detector, 1)
        seen = score_set(detector, fit.ind)
        # every layer has the same say, by its spread over ind images that are not tested on
        alpha = ensemble.standardised(seen)
        return Choice(values, alpha, detector, 1, _say(alpha, seen))
    best: tuple[tuple[float, float, int], Values, Weights | None, tuple[float, ...] | None, Detector] | None = None
    every = list(_candidates(spec, given))
    parts = {"fit_ind": fit.ind, "fit_ood": fit.ood, "tune_ind": tune.ind, "tune_ood": tune.ood}
    number = 0
    for group in _groups(spec, every):
        detector = fit_detector(group[0])
        for values, columns in _columns(detector, spec, group, parts, progress):
            weights: Weights | None = None
            say: tuple[float, ...] | None = None
            if _has_columns(spec):
                weights = ensemble.logistic(
                    columns["fit_ind"], columns["fit_ood"], seed=seed, labels=str(fit.ood.name if fit.ood else "")
                )
                say = _say(weights, columns["fit_ind"], columns["fit_ood"])
            found = metrics(*(one_score(columns[side], weights) for side in ("tune_ind", "tune_ood")))
            rank = (round(found.fpr95, 12), -round(found.auroc, 12), every.index(values))
            if best is None or rank < best[0]:
                best = (rank, values, weights, say, detector)
            number += 1
            progress(number, len(every), "settings")
    assert best is not None
    return Choice(best[1], best[2], _tuned(best[4], spec, best[1]), len(every), best[3])


def one_score(columns: LayerScores, weights: Weights | None) -> npt.NDArray[np.float64]:
    """(N,) the combination of the columns, or the single column itself."""
    if weights is not None:
        return ensemble.combine(columns, weights)
    return columns.values[:, 0].astype(np.float64)


def score_set(detector: Detector, images: ImageSet, *, progress: Progress = silent) -> LayerScores:
    """`detector.scores` of a whole set, a piece at a time, so that large pictures fit into memory."""
    step = max(1, CHUNK_BYTES // (4 * int(np.prod(images.shape))))
    parts = []
    for start in range(0, len(images), step):
        rows = np.arange(start, min(start + step, len(images)))

        def told(done: int, total: int, what: str, start: int = start) -> None:
            progress(start + done, len(images), what)

        parts.append(detector.scores(images.tensor(rows), progress=told))
    return LayerScores(np.concatenate([p.values for p in parts]), parts[0].layers)


def _has_columns(spec: DetectorSpec) -> bool:
    return spec.columns == "one a layer"


def _say(weights: Weights, *columns: LayerScores) -> tuple[float, ...]:
    spread = np.concatenate([c.values for c in columns]).astype(np.float64).std(axis=0)
    parts = np.array(weights.alpha) * spread
    total = float(np.abs(parts).sum()) or 1.0
    return tuple(float(part) for part in parts / total)


def _candidates(spec: DetectorSpec, given: Values) -> Iterator[Values]:
    """Every combination of the parameters' grids, the first values first."""
    free = [p for p in spec.parameters if p.grid and p.name not in given]
    for values in product(*(p.grid for p in free)):
        yield spec.check({**given, **dict(zip((p.name for p in free), values, strict=True))})


def _groups(spec: DetectorSpec, every: list[Values]) -> list[list[Values]]:
    """Combinations that differ only in `late` parameters, together: one fit serves them all."""
    groups: dict[tuple[Any, ...], list[Values]] = {}
    for values in every:
        groups.setdefault(tuple(v for name, v in values.items() if name not in spec.late), []).append(values)
    return list(groups.values())


def _columns(
    detector: Detector, spec: DetectorSpec, group: list[Values], parts: dict[str, ImageSet | None], progress: Progress
) -> Iterator[tuple[Values, dict[str, LayerScores]]]:
    """(values, score columns by part) of each combination of a group."""
    sets = {name: images for name, images in parts.items() if images is not None}
    sweep = getattr(detector, "sweep", None)
    if sweep is not None and {k for v in group for k in v if v[k] != group[0][k]} <= {"epsilon"}:
        epsilons = [float(values["epsilon"]) for values in group]
        swept = {name: sweep(images.tensor(), epsilons, progress=progress) for name, images in sets.items()}
        for values, epsilon in zip(group, epsilons, strict=True):
            yield values, {name: swept[name][epsilon] for name in sets}
        return
    for values in group:
        tuned = _tuned(detector, spec, values)
        yield values, {name: score_set(tuned, images) for name, images in sets.items()}


def _tuned(detector: Detector, spec: DetectorSpec, values: Values) -> Detector:
    """The fitted detector of a group at one of the group's combinations."""
    late = {name: values[name] for name in spec.late}
    return detector.retuned(**late) if late else detector
