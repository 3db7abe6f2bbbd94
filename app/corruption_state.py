"""What the Corruptions page works with: results from the store, the Tuning page's setting, one image's pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import streamlit as st

from app import inspection, session, tuning_presets, tuning_pseudo
from app.components.cockpit import Setting
from app.names import class_names, title_of
from fssd_core import ensemble
from fssd_core.corruption_call import to_request
from fssd_core.corruption_claim import FEWEST_TYPES, Claim, Draws, Moments, claims
from fssd_core.corruption_detectors import FSSD, parse_detectors
from fssd_core.corruption_strip import corruption_strip, stored_strip
from fssd_core.corruption_study import PREDICTED, CorruptionStudy, Opened, missing_columns, stored_corruption
from fssd_core.corruption_table import CorruptionResult, Floats, metric_table
from fssd_core.data.corruptions import SETS, SEVERITIES
from fssd_core.demo import KNOTS
from fssd_core.metrics import pr, roc
from fssd_core.operating_point import Choice
from fssd_core.study import Comparison, Study, compare, open_data, stored_sweep, study_layers
from fssd_core.types import Curve, LayerScores, Weights

CLAIM_DRAWS = 500
FEWEST = 20  # images that must be left once those are taken out that alpha was fitted on
LAYOUTS = ("labels.npy", "*/test_images.npy", "*/1", "*/*/1")  # what a distributed set's folder holds
IMAGE = "corruption-image"


class NotThereError(Exception):
    """The store lacks part of it; raised so that nothing is remembered."""


@dataclass(frozen=True, eq=False)
class Page:
    """One study's results, ready to be drawn; what alpha does not move is computed once.

    Attributes:
        spec: what they are of.
        ours: label of FSSD.
        result: the images that alpha was not fitted on.
        left_out: images that were.
        draws: of the claim's intervals, None where it cannot be stated.
        others: alpha of other detectors with several columns, standardised: a plain sum would make them weak rivals.
        memory: what was computed already; of what alpha moves only the latest.
    """

    spec: CorruptionStudy
    ours: str
    result: CorruptionResult
    left_out: int
    draws: Draws | None
    others: Mapping[str, Weights] = field(default_factory=dict)
    memory: dict[Any, tuple[Any, Any]] = field(default_factory=dict)

    @property
    def labels(self) -> list[str]:
        """All detectors, FSSD first."""
        return [self.ours, *(label for label in self.result.detectors if label != self.ours)]

    def scored(self, label: str, weights: Weights) -> tuple[Floats, Floats]:
        """(clean (N,), cells (T, S, N)) of a detector; these weights are FSSD's alone."""
        alpha = weights if label == self.ours else self.others.get(label)
        return self._once((label, "scores"), alpha, lambda: self.result.detectors[label].combined(alpha))

    def table(self, label: str, weights: Weights, metric: str) -> Floats:
        """(T, S) of one metric."""
        alpha = weights if label == self.ours else None
        return self._once((label, metric), alpha, lambda: metric_table(*self.scored(label, weights), metric))

    def curve(self, label: str, weights: Weights, place: tuple[int, int], kind: str) -> Curve:
        """ROC or PR curve of one cell."""
        clean, cells = self.scored(label, weights)
        moved = (place, weights if label == self.ours else None)
        return self._once((label, kind), moved, lambda: (roc if kind == "roc" else pr)(clean, cells[place]))

    def claim(self, weights: Weights) -> list[Claim]:
        """FSSD against every other detector at every severity; empty where it cannot be stated."""
        draws = self.draws
        if draws is None:
            return []
        moments = {}
        for label in self.labels:
            alpha = weights if label == self.ours else None
            pair = self.scored(label, weights)
            moments[label] = self._once((label, "moments"), alpha, lambda pair=pair: Moments.of(*pair, draws))
        return claims(moments, self.result.severities, self.ours, draws)

    def _once(self, slot: Any, moved: Any, make: Any) -> Any:
        """What `make` gives, made again only when what moves it became another."""
        found = self.memory.get(slot)
        if found is None or found[0] != moved:
            found = self.memory[slot] = (moved, make())
        return found[1]


def corruption_study(
    study: Study, types: tuple[str, ...], *, images: int, detectors: tuple[str, ...], root: str | None, epsilon: float
) -> CorruptionStudy:
    """The page's study: all severities, FSSD first; of a set as distributed all types."""
    names = tuple(dict.fromkeys([FSSD, *detectors]))
    at = replace(study, ood=(), samples=images, epsilon=epsilon)
    return CorruptionStudy(at, names, types if root is None else SETS["all"], SEVERITIES, root)


def at_epsilon(spec: CorruptionStudy, epsilon: float) -> CorruptionStudy:
    """The same with FSSD's perturbation at another size."""
    return replace(spec, study=replace(spec.study, epsilon=epsilon))


def available(spec: CorruptionStudy) -> tuple[CorruptionStudy | None, dict[str, int]]:
    """(what the store has of it, {detector or 'predicted': results it lacks}); None without FSSD or predictions."""
    lacking = missing_columns(Opened(spec, root=session.data_root()), store=session.store())
    labels = dict(zip(spec.detectors, (run.label for run in parse_detectors(spec.detectors, spec.study)), strict=True))
    named = {name: lacking[label] for name, label in labels.items() if label in lacking}
    if PREDICTED in lacking:
        named[PREDICTED] = lacking[PREDICTED]
    if FSSD in named or PREDICTED in named:
        return None, named
    return replace(spec, detectors=tuple(name for name in spec.detectors if name not in named)), named


def page_of(spec: CorruptionStudy, types: tuple[str, ...], fitted_rows: npt.NDArray[np.int64]) -> Page:
    """The stored results of these types, without the images that alpha may be fitted on.

    Raises:
        NotThereError: the store lacks part of them.
    """
    fingerprint = open_data(spec.study, spec.study.ind, root=session.data_root()).fingerprint()
    slot = (spec, types, fingerprint, hashlib.sha256(fitted_rows.tobytes()).hexdigest())
    return session.remembered(repr(slot), lambda: _page(spec, types, fitted_rows))


def _page(spec: CorruptionStudy, types: tuple[str, ...], fitted_rows: npt.NDArray[np.int64]) -> Page:
    result = stored_corruption(spec, store=session.store(), root=session.data_root())
    if result is None:
        raise NotThereError
    count, seen = len(result.rows), np.flatnonzero(np.isin(result.rows, fitted_rows))
    seen = seen if len(seen) >= FEWEST else np.arange(count)
    several = {label: s for label, s in result.detectors.items() if len(s.layers) > 1}
    others = {
        label: ensemble.standardised(LayerScores(scores.clean[seen], scores.layers))
        for label, scores in several.items()
        if label.partition(":")[0] != FSSD
    }
    tested = np.flatnonzero(~np.isin(result.rows, fitted_rows))
    if result.paired and len(tested) >= FEWEST:
        result = result.take(tested)
    if set(types) & set(result.types):
        result = result.of_types(types)
    ours = parse_detectors([FSSD], spec.study)[0].label
    draws = None
    if len(result.types) >= FEWEST_TYPES and len(result.detectors) > 1:
        draws = Draws.of(
            len(result.rows), result.cell_predicted.shape[2], len(result.types), paired=result.paired,
            samples=CLAIM_DRAWS, generator=np.random.default_rng(spec.study.seed),
        )  # fmt: skip
    return Page(spec, ours, result, count - len(result.rows), draws, others)


@dataclass(frozen=True, eq=False)
class Tuned:
    """What the Tuning page has to say here.

    Attributes:
        setting: as last let go there; None before it was opened.
        presets: alpha by name, uniform always among them.
        fitted_rows: rows of ind that presets were fitted on.
        scored: scores of ind and the ood sets at the page's epsilon, for the threshold's rule.
    """

    setting: Setting | None
    presets: dict[str, Weights]
    fitted_rows: npt.NDArray[np.int64]
    scored: dict[str, inspection.Scored]

    def operating(self, weights: Weights, study: Study, epsilon: float) -> inspection.Operating:
        """Threshold by the Tuning page's rule under these weights; `said` is the rule in words."""
        base = self.setting or Setting(weights, epsilon, float("nan"), Choice(), None)
        choice, more = base.choice, ""
        if choice.by == "hand" and weights != base.weights:
            choice, more = Choice(), " (the threshold set by hand belongs to other weights)"
        made = inspection.operating_point(replace(base, weights=weights, choice=choice), self.scored, study, epsilon)
        rule = made.said.split(" · ")[1].removeprefix("threshold: ")
        return replace(made, said=f"{rule}{more}")


def tuned(study: Study, epsilon: float) -> Tuned | None:
    """Setting, presets and scores at this epsilon; None while ind's scores are being computed."""
    scored = inspection.scored_sets(study, epsilon)
    if scored is None:
        return None
    ind = scored[study.ind]
    fitted = np.setdiff1d(np.arange(len(ind.rows)), ind.tested)
    return Tuned(inspection.kept_setting(study), _presets(study, epsilon), ind.rows[fitted], scored)


def _presets(study: Study, epsilon: float) -> dict[str, Weights]:
    """The Tuning page's own presets, as far as its scores are stored."""
    found = {
        ref: stored_sweep(study, ref, KNOTS, store=session.store(), root=session.data_root())
        for ref in (study.ind, *study.ood)
    }
    sweeps = {ref: sweep for ref, sweep in found.items() if 0.0 in sweep and len(sweep[0.0]) >= ensemble.SMALLEST}
    if study.ind not in sweeps or len(sweeps) < 2:
        return {"uniform": ensemble.uniform(study_layers(study))}
    knots = set.intersection(*(set(sweep) for sweep in sweeps.values()))
    sweeps = {ref: {e: sweep[e] for e in sorted(knots)} for ref, sweep in sweeps.items()}
    ind = sweeps[study.ind][0.0]
    plain: Mapping[str, Comparison] = {
        ref: compare(study, ref, ind, sweep[0.0]) for ref, sweep in sweeps.items() if ref != study.ind
    }
    pseudo = tuning_pseudo.stored(study, sorted(knots))
    inside = min(max(epsilon, min(knots)), max(knots))
    return tuning_presets.presets(study, sweeps, plain, inside, pseudo=pseudo)


def offered_sets() -> list[str]:
    """Folders of distributed corrupted sets below the data root, at most two folders down."""
    root = session.data_root()
    if root is None:
        return []
    whole = [p for p in session.below(root) if p.is_dir() and _is_set(p)]
    return [str(p) for p in whole if not any(other in p.parents for other in whole)]


def _is_set(folder: Path) -> bool:
    return any(next(folder.glob(pattern), None) is not None for pattern in LAYOUTS)


def set_title(root: str | None) -> str:
    """What is corrupted here, or the folder's name."""
    return "the ind images, corrupted here (ImageNet-C's 19 types)" if root is None else title_of(root)


def names_of(study: Study) -> tuple[str, ...]:
    """The ind set's class names."""
    return class_names(open_data(study, study.ind, root=session.data_root()))


@dataclass(frozen=True, eq=False)
class Pictures:
    """One image of the study to look at.

    Attributes:
        row: in its set.
        clean: (H, W) or (H, W, 3) the image.
        strip: the image in every cell of the page's types, None while it is being made.
    """

    row: int
    clean: npt.NDArray[np.uint8]
    strip: npt.NDArray[np.uint8] | None


def pictures(page: Page) -> Pictures | None:
    """The chosen image's pictures, made in the worker where the store lacks them; None where images are not paired."""
    if not page.result.paired:
        return None
    whole = replace(page.spec, types=SETS["all"])  # made in a moment, and found again whatever types are chosen
    opened = Opened(whole, root=session.data_root())
    chosen = st.session_state.get(IMAGE)
    row = int(chosen) if chosen in page.result.rows else first_row(page)
    clean = opened.images.images[int(np.flatnonzero(opened.images.rows == row)[0])]
    strip = stored_strip(opened, row, store=session.store())
    if strip is None:
        job = session.run_job(f"Pictures of row {row}", "corruptions", page.spec.study, to_request(whole, row=row))
        if job.state == "done":
            strip = corruption_strip(opened, row, store=session.store())
    if strip is not None:
        strip = strip[[i for i, kind in enumerate(opened.source.types) if kind in page.result.types]]
    return Pictures(row, clean, strip)


def first_row(page: Page) -> int:
    """The first image of the last class: of these and the other classes the demo's pictures ship."""
    labels = page.result.labels
    return int(page.result.rows[0 if labels is None else int(np.argmax(labels == labels.max()))])
