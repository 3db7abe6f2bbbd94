"""The study step behind alpha without ood labels: layer scores of pseudo-ood, found again by what it is made from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fssd_core.data import ImageSet
from fssd_core.ensemble import fit_rows
from fssd_core.runtime import Progress, silent
from fssd_core.store import Store, key
from fssd_core.study import Study, kept_sweep, open_data, scores_parts, study_layers
from fssd_core.types import LayerScores

VERSION = 1
FIT = 500  # ind images that alpha may be fitted on, as everywhere


def pseudo_source(study: Study, *, fit: int = FIT, root: Path | None = None) -> ImageSet:
    """The ind images that pseudo-ood is made from: those that alpha may be fitted on, none that is tested on.

    Raises:
        InputError: too few ind images to keep some for testing.
    """
    ind = open_data(study, study.ind, root=root)
    return ind.take(fit_rows(len(ind), fit=fit, seed=study.seed))


def pseudo_key(study: Study, source: ImageSet, epsilon: float) -> str:
    """Store key of the scores at one epsilon; known without making an image."""
    return key("pseudo_scores", VERSION, *scores_parts(study, epsilon), source.fingerprint())


def pseudo_scores(
    study: Study,
    *,
    epsilons: Sequence[float] | None = None,
    fit: int = FIT,
    store: Store,
    root: Path | None = None,
    progress: Progress = silent,
) -> dict[float, LayerScores]:
    """{epsilon: (M, K) distances} of pseudo-ood; what the store lacks is computed and kept.

    Args:
        study: what to compute; the images are made by its seed.
        epsilons: several epsilons at once; None for study.epsilon alone.
        fit: ind images to make them from, at most half of ind.
        store: where results are looked for and kept.
        root: folder below which downloaded sets lie.
        progress: told after each batch; may raise CancelledError.
    """
    source = pseudo_source(study, fit=fit, root=root)
    wanted = [study.epsilon] if epsilons is None else [float(e) for e in epsilons]
    keys = {epsilon: pseudo_key(study, source, epsilon) for epsilon in wanted}

    def made() -> ImageSet:
        from fssd_core.pseudo_ood import make_pseudo_ood

        return make_pseudo_ood(source, seed=study.seed)

    return kept_sweep(study, keys, made, name="pseudo-ood", store=store, progress=progress)


def stored_pseudo_sweep(
    study: Study, epsilons: Sequence[float], *, fit: int = FIT, store: Store, root: Path | None = None
) -> dict[float, LayerScores]:
    """{epsilon: scores} of those epsilons that the store has; computes nothing."""
    source, layers = pseudo_source(study, fit=fit, root=root), study_layers(study)
    entries = {float(e): store.get(pseudo_key(study, source, float(e))) for e in epsilons}
    return {e: LayerScores(entry.arrays["values"], layers) for e, entry in entries.items() if entry is not None}
