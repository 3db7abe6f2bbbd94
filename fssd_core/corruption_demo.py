"""The demo's corruption results, which ship in assets/corruptions as store entries, packed and rounded by detector."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from fssd_core.corruption_pack import LEVELS, largest_change, pack, unpack
from fssd_core.corruption_strip import corruption_strip
from fssd_core.corruption_study import PREDICTED, CorruptionStudy, Opened, corruption_scores
from fssd_core.corruption_table import CorruptionResult
from fssd_core.ensemble import SMALLEST, split
from fssd_core.runtime import Progress, silent
from fssd_core.store import Store
from fssd_core.study import Study, open_data

IMAGES = 500
DETECTORS = ("fssd", "msp", "odin", "mahalanobis", "energy", "knn")  # others are computed when they are chosen
SHOWN = slice(1, None, 4)  # of the classes, those whose first image ships in all its cells


def demo_corruptions() -> CorruptionStudy:
    """All 19 types and 5 severities of 500 FashionMNIST test images."""
    return CorruptionStudy(Study(samples=IMAGES, ood=()), DETECTORS)


def demo_strip_rows(opened: Opened) -> Iterator[int]:
    """The first image of some classes, the last among them, as the page shows them: none that alpha is fitted on."""
    images, study = opened.images, Study()
    pool = open_data(study, study.ind)
    fitted = pool.rows[split(len(pool), SMALLEST, seed=study.seed).fit_ind]
    shown = images.take(np.flatnonzero(~np.isin(images.rows, fitted)))
    assert shown.labels is not None
    for label in np.unique(shown.labels)[SHOWN]:
        yield int(shown.rows[int(np.argmax(shown.labels == label))])


def build_demo_corruptions(root: Path, *, progress: Progress = silent) -> None:
    """Computes all of it anew into `root`, which is replaced as a whole once everything is there.

    Cells that a killed build had finished are taken up from the folder beside it.
    """
    fresh, loose = (root.with_name(f".{root.name}.{part}") for part in ("new", "cells"))
    shutil.rmtree(fresh, ignore_errors=True)
    spec, store = demo_corruptions(), Store(fresh)
    result = corruption_scores(spec, store=Store(loose), progress=progress)
    opened = Opened(spec)
    _pack(opened, result, store)
    for row in demo_strip_rows(opened):
        corruption_strip(opened, row, store=store, progress=progress)
    shutil.rmtree(root, ignore_errors=True)
    fresh.replace(root)
    shutil.rmtree(loose)


def _pack(opened: Opened, result: CorruptionResult, store: Store) -> None:
    """One entry a detector for all cells: a few files instead of hundreds, read in a moment."""
    meta = {"types": list(result.types), "severities": list(result.severities), "images": len(result.rows)}
    unchanged = {f"{kind}:{level}": n for (kind, level), n in result.unchanged.items() if n}
    for label, exact in result.detectors.items():
        arrays = pack(exact.clean, exact.cells)
        clean, cells = unpack(arrays)
        moved = largest_change(exact, replace(exact, clean=clean, cells=cells))
        facts = {
            **meta, "what": label, "columns": list(exact.layers), "unchanged": {},
            "rounded": {"levels": LEVELS, "largest_auroc_change": moved},
        }  # fmt: skip
        store.put(opened.pack_key(label), arrays, facts)
    classes = {"clean": result.predicted.astype(np.int16), "cells": result.cell_predicted.astype(np.int16)}
    facts = {**meta, "what": PREDICTED, "columns": [PREDICTED], "unchanged": unchanged}
    store.put(opened.pack_key(PREDICTED), classes, facts)
