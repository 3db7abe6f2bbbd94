"""What the Inspect page works with: the operating point of the Tuning page, the ind scores, one image's measurement."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import streamlit as st

from app import people, session, tuning_presets
from app.names import title_of
from app.samples import Sample
from fssd_core import ensemble
from fssd_core.demo import KNOTS
from fssd_core.inspect_measure import Measurement
from fssd_core.inspect_sample import measure_sample, stored_measurement, to_request, to_tensor
from fssd_core.inspect_verdict import total
from fssd_core.operating_point import Choice, choose_threshold, in_words
from fssd_core.picks import picks
from fssd_core.study import Study, layer_scores, open_data, stored_scores, study_layers
from fssd_core.types import LayerScores, Weights

if TYPE_CHECKING:
    from app.components.cockpit import Setting

PATIENCE = 0.8  # seconds until progress is shown: a warm worker answers within
Column = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scored:
    """One set's scores at the page's epsilon, of images that fitted no alpha.

    Attributes:
        ref: the set.
        whole: (N, K) of all its drawn images.
        rows: (N,) their rows in the full set.
        tested: positions that were kept apart from fitting; the Tuning page's numbers rest on them too.
    """

    ref: str
    whole: LayerScores
    rows: npt.NDArray[np.int64]
    tested: npt.NDArray[np.int64]

    @property
    def held_out(self) -> LayerScores:
        """(n, K) scores of the tested images."""
        return self.whole.take(self.tested)

    def of(self, ref: str | None, row: int | None) -> npt.NDArray[np.float32] | None:
        """(K,) distances of that very image, where it is among the drawn ones."""
        at = np.flatnonzero(self.rows == row) if ref == self.ref and row is not None else []
        return self.whole.values[at[0]] if len(at) else None


@dataclass(frozen=True)
class Operating:
    """Weights and threshold in force, and where they come from in words."""

    weights: Weights
    threshold: float
    said: str


def kept_setting(study: Study) -> Setting | None:
    """The Tuning page's setting where it was opened and is of the same layers."""
    kept: Setting | None = st.session_state.get("_setting")
    return kept if kept is not None and kept.weights.layers == study_layers(study) else None


def epsilon_widget(setting: Setting | None) -> float:
    """A slider over the sweep's epsilons and the tuned one, starting at the tuned one."""
    tuned = 0.0 if setting is None else float(setting.epsilon)
    return float(
        st.select_slider(
            "Epsilon (pixels)",
            sorted({*KNOTS, tuned}),
            value=tuned,
            key=f"inspect-epsilon:{tuned:.9g}",
            format_func=lambda e: f"{e:.4g}",
            help="Size of the perturbation, as on the Tuning page to begin with. Pixels lie in 0..1; positive moves "
            "away from F*. At 0 nothing is perturbed.",
        )
    )


def scored_sets(study: Study, epsilon: float) -> dict[str, Scored] | None:
    """ind's scores, and those of the ood sets that the store has; None while ind is being computed."""
    at = replace(study, epsilon=epsilon)
    refs = (study.ind, *study.ood)
    found = {ref: stored_scores(at, ref, store=session.store(), root=session.data_root()) for ref in refs}
    if found[study.ind] is None:
        args: dict[str, object] = {"data": [study.ind], "epsilons": [epsilon]}
        job = session.run_job(f"{title_of(study.ind)} at epsilon {epsilon:.4g}", "layer_scores", study, args)
        if job.state != "done":
            return None
        found[study.ind] = layer_scores(at, study.ind, store=session.store(), root=session.data_root())[epsilon]
    return {ref: _scored(study, ref, scores) for ref, scores in found.items() if scores is not None}


def _scored(study: Study, ref: str, scores: LayerScores) -> Scored:
    count, other = len(scores), max(len(scores), ensemble.SMALLEST)
    tested = np.arange(count)
    if count >= ensemble.SMALLEST:  # the draw of one side does not depend on the other
        sides = (count, other) if ref == study.ind else (other, count)
        split = ensemble.split(*sides, seed=study.seed)
        tested = split.test_ind if ref == study.ind else split.test_ood
    return Scored(ref, scores, open_data(study, ref, root=session.data_root()).rows, tested)


def operating_point(setting: Setting | None, scored: dict[str, Scored], study: Study, epsilon: float) -> Operating:
    """The Tuning page's weights, and its rule for the threshold applied anew at this epsilon.

    Where that page was not opened, the weights and the rule that it starts from.
    """
    weights = starting_weights(study, scored[study.ind]) if setting is None else setting.weights
    choice = Choice() if setting is None else setting.choice
    sides = {ref: scores_of(s.held_out, weights) for ref, s in scored.items()}
    oods = [s for ref, s in sides.items() if ref != study.ind and _chosen(setting, ref)]
    if setting is not None and (choice.by == "hand" or (choice.uses_ood and not oods)):
        threshold, rule = setting.threshold, in_words(choice, setting.threshold)
        if choice.by != "hand":
            rule += f", as found on the Tuning page at epsilon {setting.epsilon:.4g}"
    else:
        threshold = choose_threshold(sides[study.ind], np.concatenate(oods) if oods else np.empty(0), choice)
        rule = in_words(choice)
    source = "as the Tuning page starts" if setting is None else "as on the Tuning page"
    labels = f"labels used: {weights.labels}"
    return Operating(weights, threshold, f"α {weights.rule} ({labels}) · threshold: {rule} · {source}")


def starting_weights(study: Study, ind: Scored) -> Weights:
    """What the Tuning page starts from at epsilon 0: fitted against the stored pseudo-ood, else uniform."""
    plain = stored_scores(replace(study, epsilon=0.0), study.ind, store=session.store(), root=session.data_root())
    fitting = np.setdiff1d(np.arange(len(ind.whole)), ind.tested)
    return ensemble.uniform(ind.whole.layers) if plain is None else tuning_presets.starting(study, plain.take(fitting))


def _chosen(setting: Setting | None, ref: str) -> bool:
    return setting is None or setting.ood is None or setting.ood == title_of(ref)


def scores_of(scores: LayerScores, weights: Weights) -> Column:
    """(N,) scores, added up as the cockpit does."""
    alpha = dict(zip(weights.layers, weights.alpha, strict=True))
    return total(scores.values.astype(np.float64), np.array([alpha[layer] for layer in scores.layers]))


def telling(scored: dict[str, Scored], study: Study, operating: Operating) -> dict[str, list[tuple[str, int]]]:
    """{kind: [(set, row)]}: accepted ood, borderline and rejected ind images, the most telling first."""
    sides = {ref: scores_of(s.held_out, operating.weights) for ref, s in scored.items()}
    ind = sides.pop(study.ind)
    found = picks(ind, sides, operating.threshold)
    return {
        kind: [(ref or study.ind, int(s.rows[s.tested[at]])) for ref, at in places for s in (scored[ref or study.ind],)]
        for kind, places in found.items()
    }


def measured(study: Study, sample: Sample, *, epsilon: float, layer: str) -> Measurement | None:
    """The image's measurement, made in the worker; None while that goes on (its progress is shown)."""
    exclude = sample.row if sample.ref == study.ind else None
    image = to_tensor(sample.pixels)
    where = {"store": session.store(), "root": session.data_root()}
    found = stored_measurement(study, image, epsilon=epsilon, layer=layer, exclude=exclude, **where)
    if found is not None:
        return found
    args = to_request(sample.pixels, epsilon=epsilon, gradient=study.gradient, layer=layer, exclude=exclude)
    asked = (study, *args.values())
    job = None
    if st.session_state.get("_inspect_asked") != str(asked):  # once: an error, and slow work, are shown by run_job
        st.session_state["_inspect_asked"] = str(asked)
        job = session.worker().submit("Inspecting the image", "inspect", study, args, session=people.name())
        deadline = time.monotonic() + PATIENCE
        while not job.over and time.monotonic() < deadline:
            time.sleep(0.01)
    if job is None or job.state != "done":
        job = session.run_job("Inspecting the image", "inspect", study, args)
    if job.state != "done":
        return None
    st.session_state.pop("_inspect_asked", None)
    return measure_sample(study, image, epsilon=epsilon, layer=layer, exclude=exclude, **where)
