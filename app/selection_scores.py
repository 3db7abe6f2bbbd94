"""Scores of the images that were chosen in the picture, and of all drawn ones, under the Tuning page's setting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import streamlit as st

from app import inspection, session
from app.jobs import WAITING, Job
from fssd_core import ensemble
from fssd_core.store import Store
from fssd_core.study import Study, open_data, stored_scores
from fssd_core.study_projection import drawn_study
from fssd_core.subset import Judged, judge_rows
from fssd_core.types import LayerScores, PointGroup

LAST = "_selection_job"


@dataclass(frozen=True, eq=False)
class Verdicts:
    """The drawn images of some groups under the standing setting.

    Attributes:
        groups: all their drawn images, in the picture's order.
        threshold: accepted where score >= threshold.
        epsilon: in pixels.
        said: alpha, threshold and where they come from, in words.
        tuned: whether alpha was fitted, so that images it was fitted on must be named.
    """

    groups: tuple[Judged, ...]
    threshold: float
    epsilon: float
    said: str
    tuned: bool


def verdicts(study: Study, groups: Sequence[PointGroup]) -> Verdicts | None:
    """Scores and verdicts of all drawn images of these groups; None while some are computed (progress is shown).

    Args:
        study: of the picture.
        groups: ind or ood groups of its projection.
    """
    setting = inspection.kept_setting(study)
    epsilon = 0.0 if setting is None else float(setting.epsilon)
    where: dict[str, Any] = {"store": session.store(), "root": session.data_root()}
    refs = [group.name for group in groups]
    while (missing := lacking(study, refs, epsilon, **where)) is not None:
        if not _compute(*missing, epsilon):
            return None
        if lacking(study, refs, epsilon, **where) == missing:
            st.warning("The scores were computed but could not be kept: the store cannot be written.")
            return None
    scored = inspection.scored_sets(study, epsilon)
    if scored is None:
        return None
    operating = inspection.operating_point(setting, scored, study, epsilon)
    judged = tuple(
        judge_rows(
            group.name,
            group.kind,
            np.asarray(group.rows, dtype=np.int64),
            distances(study, group, epsilon, scored.get(group.name), **where),
            weights=operating.weights,
            threshold=operating.threshold,
            fit_rows=fit_rows(study, group.name, root=where["root"]),
        )
        for group in groups
    )
    return Verdicts(judged, operating.threshold, epsilon, operating.said, operating.weights.rule != "uniform")


def lacking(
    study: Study, refs: Sequence[str], epsilon: float, *, store: Store, root: Path | None
) -> tuple[Study, list[str]] | None:
    """The next (study, sets) to score: the ind sample that the threshold stands on, then the drawn images."""
    at = replace(study, epsilon=epsilon)
    if stored_scores(at, study.ind, store=store, root=root) is None:
        return at, [study.ind]
    missing = [r for r in refs if stored_scores(drawn_study(at, r), r, store=store, root=root) is None]
    same = [r for r in missing if drawn_study(at, r) == drawn_study(at, missing[0])]
    return (drawn_study(at, missing[0]), same) if missing else None


def distances(
    study: Study,
    group: PointGroup,
    epsilon: float,
    scored: inspection.Scored | None,
    *,
    store: Store,
    root: Path | None,
) -> LayerScores:
    """(N, K) distances of the group's drawn images. Those that the Tuning page has too are its own, to the last bit."""
    drawn = drawn_study(replace(study, epsilon=epsilon), group.name)
    found = stored_scores(drawn, group.name, store=store, root=root)
    if found is None:
        raise RuntimeError(f"the scores of {group.name} must be computed first")
    values = found.values.copy()
    if scored is not None:
        place = {int(row): at for at, row in enumerate(scored.rows)}
        known = [(i, place[int(row)]) for i, row in enumerate(group.rows) if int(row) in place]
        for i, at in known:
            values[i] = scored.whole.values[at]
    return LayerScores(values, found.layers)


def fit_rows(study: Study, ref: str, *, root: Path | None) -> npt.NDArray[np.int64]:
    """Rows of the set that the Tuning page's presets may fit alpha on."""
    rows = open_data(study, ref, root=root).rows
    other = max(len(rows), ensemble.SMALLEST)
    if len(rows) < ensemble.SMALLEST:
        return rows[:0]
    if ref == study.ind:
        return rows[ensemble.split(len(rows), other, seed=study.seed).fit_ind]
    return rows[ensemble.split(other, len(rows), seed=study.seed).fit_ood]


def _compute(study: Study, refs: list[str], epsilon: float) -> bool:
    """Has them scored, with progress: whether they are there. It begins with a run of the whole page, to be polled."""
    args: dict[str, object] = {"data": refs, "epsilons": [epsilon]}
    wanted = (study, str(args))
    asked: tuple[Any, Job | None] = st.session_state.get(LAST, (None, None))
    if asked[0] != wanted:
        if asked[1] is not None and asked[1].state == WAITING:
            session.worker().cancel(asked[1])  # of a checkpoint that was passed on the way
        st.session_state[LAST] = (wanted, None)
        st.rerun()
    job = session.run_job("Scores of the drawn images", "layer_scores", study, args)
    st.session_state[LAST] = (wanted, job)
    return job.state == "done"
