"""The demo's corruption results, which ship in assets/corruptions as ordinary store entries, packed by detector."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fssd_core.corruption_detectors import default_detectors
from fssd_core.corruption_strip import corruption_strip
from fssd_core.corruption_study import PREDICTED, CorruptionStudy, Opened, corruption_scores
from fssd_core.corruption_table import CorruptionResult
from fssd_core.detectors import DETECTORS
from fssd_core.ensemble import SMALLEST, split
from fssd_core.runtime import Progress, silent
from fssd_core.store import Store
from fssd_core.study import Study, open_data

IMAGES = 500
BESIDE = ("feature-norm", "knn", "max-logit")  # shipped too, as far as the table has them


def demo_corruptions() -> CorruptionStudy:
    """All 19 types and 5 severities of 500 FashionMNIST test images."""
    names = dict.fromkeys([*default_detectors(), *BESIDE])
    return CorruptionStudy(Study(samples=IMAGES, ood=()), tuple(name for name in names if name in DETECTORS))


def demo_strip_rows(opened: Opened) -> Iterator[int]:
    """One row a class: the first that the page shows, so none of those that alpha may be fitted on there."""
    images, study = opened.images, Study()
    pool = open_data(study, study.ind)
    fitted = pool.rows[split(len(pool), SMALLEST, seed=study.seed).fit_ind]
    shown = images.take(np.flatnonzero(~np.isin(images.rows, fitted)))
    assert shown.labels is not None
    for label in np.unique(shown.labels):
        yield int(shown.rows[int(np.argmax(shown.labels == label))])


def build_demo_corruptions(root: Path, *, progress: Progress = silent) -> None:
    """Computes all of it anew into `root`, which is replaced as a whole once everything is there."""
    fresh, loose = (root.with_name(f".{root.name}.{part}") for part in ("new", "cells"))
    for folder in (fresh, loose):
        shutil.rmtree(folder, ignore_errors=True)
    spec, store = demo_corruptions(), Store(fresh)
    result = corruption_scores(spec, store=Store(loose), progress=progress)
    opened = Opened(spec)
    _pack(opened, result, store)
    for row in demo_strip_rows(opened):
        corruption_strip(opened, row, store=store, progress=progress)
    shutil.rmtree(loose)
    shutil.rmtree(root, ignore_errors=True)
    fresh.replace(root)


def _pack(opened: Opened, result: CorruptionResult, store: Store) -> None:
    """One entry a detector for all cells: a few files instead of hundreds, read in a moment."""
    meta = {"types": list(result.types), "severities": list(result.severities), "images": len(result.rows)}
    unchanged = {f"{kind}:{level}": n for (kind, level), n in result.unchanged.items() if n}
    for label, s in result.detectors.items():
        facts = {**meta, "what": label, "columns": list(s.layers), "unchanged": {}}
        store.put(opened.pack_key(label), {"clean": s.clean, "cells": s.cells}, facts)
    arrays = {"clean": result.predicted.astype(np.int16), "cells": result.cell_predicted.astype(np.int16)}
    facts = {**meta, "what": PREDICTED, "columns": [PREDICTED], "unchanged": unchanged}
    store.put(opened.pack_key(PREDICTED), arrays, facts)
