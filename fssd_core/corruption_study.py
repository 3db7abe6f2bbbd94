"""The scores of every detector on every corruption type and severity: computed once, cell by cell, kept in the Store.

Killed at any point and started again, it computes only what is missing. The fast half is `corruption_table`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from fssd_core.corruption_detectors import (
    default_detectors,
    extractor_of,
    fit_facts,
    fit_images,
    fitted,
    needs_images,
    parse_detectors,
)
from fssd_core.corruption_pack import read_pack, rounding_notes
from fssd_core.corruption_sources import Distributed, Made, Source
from fssd_core.corruption_table import CorruptionResult, CorruptionScores
from fssd_core.data import ImageSet, load_data
from fssd_core.data.corruption_pool import Cell
from fssd_core.data.corruptions import SETS, SEVERITIES
from fssd_core.detectors import Detector
from fssd_core.runtime import Progress, silent
from fssd_core.store import Store, key
from fssd_core.study import BATCH, Study, open_data, open_model, study_layers

VERSION = 1
PREDICTED = "predicted"


@dataclass(frozen=True)
class CorruptionStudy:
    """What to compute: hashable.

    Attributes:
        study: network, layers, ind, how many images, FSSD's epsilon and noise, seed of the draw and the corruptions.
        detectors: texts of `parse_detectors`.
        types: corruption types or sets of types; of a distributed set, its own types.
        severities: of 1 to 5.
        root: folder of a corrupted set as distributed; None to corrupt the ind images here.
        fit: set that detectors are fitted on; None for ind's training set or its untested images.
    """

    study: Study = field(default_factory=lambda: Study(samples=500))
    detectors: tuple[str, ...] = field(default_factory=default_detectors)
    types: tuple[str, ...] = SETS["all"]
    severities: tuple[int, ...] = SEVERITIES
    root: str | None = None
    fit: str | None = None


class Opened:
    """A corruption study with its images and store keys; nothing is computed.

    Args:
        spec: what to compute.
        root: folder of downloaded sets.
        workers: processes that corrupt; None for one a core.
    """

    def __init__(self, spec: CorruptionStudy, *, root: Path | None = None, workers: int | None = None) -> None:
        self.spec, self.root = spec, root
        self.runs = {run.label: run for run in parse_detectors(spec.detectors, spec.study)}
        self.images = open_data(spec.study, spec.study.ind, root=root)
        self.source = self._source(workers)
        self.cells: list[Cell] = [(t, s) for t in self.source.types for s in self.source.severities]

    def _source(self, workers: int | None) -> Source:
        spec, seed = self.spec, self.spec.study.seed
        if spec.root is None:
            return Made(self.images, spec.types, spec.severities, seed=seed, workers=workers)
        full = load_data(spec.study.ind, shape=open_model(spec.study).input_shape, root=self.root)
        place = Path(spec.root).expanduser()
        return Distributed(place, self.images, full, spec.types, spec.severities, seed=seed)

    @cached_property
    def fit(self) -> ImageSet | None:
        """Images to fit on, None where no detector needs any."""
        if not any(needs_images(run) for run in self.runs.values()):
            return None
        return fit_images(self.spec.study, self.images, ref=self.spec.fit, root=self.root)

    @cached_property
    def columns(self) -> dict[str, list[Any]]:
        """By what is computed, a detector's label or PREDICTED: what it depends on beside the images."""
        study, model = self.spec.study, open_model(self.spec.study)
        base = [model.arch, model.weight_hash, [model.mean, model.std], list(study_layers(study))]
        base.append(self.images.fingerprint())
        out = {label: [*base, fit_facts(run, study, self.fit)] for label, run in self.runs.items()}
        return {PREDICTED: base, **out}

    @cached_property
    def _places(self) -> dict[Cell, list[Any]]:
        """What each cell's images are, asked of the files once for all columns."""
        return {cell: self.source.facts(cell) for cell in self.cells}

    def key(self, what: str, cell: Cell | None) -> str:
        """Store key of one column's scores in one cell, or on the clean images (None)."""
        place = ["clean"] if cell is None else self._places[cell]
        return key("corruption", VERSION, *self.columns[what], place)

    def pack_key(self, what: str) -> str:
        """Store key of all types and severities of ImageNet-C together, as they ship with the demo."""
        return key("corruption_pack", VERSION, *self.columns[what], self.source.facts(("all", 0)))


def corruption_scores(
    spec: CorruptionStudy,
    *,
    store: Store,
    root: Path | None = None,
    workers: int | None = None,
    progress: Progress = silent,
) -> CorruptionResult:
    """Scores of all detectors and the network's predictions, on clean images and in every cell.

    Each cell's scores are kept as soon as they are there; what the store has is not computed again. Cells are corrupted
    on all cores while this process scores those that are done.

    Args:
        spec: what to compute.
        store: where results are looked for and kept.
        root: folder of downloaded sets.
        workers: processes that corrupt; None for one a core, 0 for none.
        progress: told after each cell; may raise CancelledError.

    Raises:
        FssdError: the input cannot be used; the message says why.
    """
    opened = Opened(spec, root=root, workers=workers)
    found = _stored(opened, store)
    places: list[Cell | None] = [None, *opened.cells]
    missing = {
        place: lacking for place in places if (lacking := [w for w in opened.columns if (w, place) not in found])
    }
    if missing:
        _compute(opened, missing, found, store, progress)
    return _result(opened, found, computed=sum(map(len, missing.values())))


def stored_corruption(spec: CorruptionStudy, *, store: Store, root: Path | None = None) -> CorruptionResult | None:
    """The result if the store has all of it; computes nothing."""
    opened = Opened(spec, root=root)
    found = _stored(opened, store)
    whole = len(found) == len(opened.columns) * (1 + len(opened.cells))
    return _result(opened, found, computed=0) if whole else None


Found = dict[tuple[str, Cell | None], tuple[npt.NDArray[Any], Mapping[str, Any]]]


def missing_columns(opened: Opened, *, store: Store) -> dict[str, int]:
    """{what: cells that the store lacks, the clean images counting as one}, only what lacks any; reads no result."""
    lacking = {}
    for what in opened.columns:
        if opened.spec.root is None and store.has(opened.pack_key(what)):
            continue
        if count := sum(not store.has(opened.key(what, place)) for place in (None, *opened.cells)):
            lacking[what] = count
    return lacking


def _stored(opened: Opened, store: Store) -> Found:
    found: Found = {}
    for what in opened.columns:
        pack = store.get(opened.pack_key(what)) if opened.spec.root is None else None
        if pack is not None:
            found |= {(what, place): held for place, held in read_pack(pack).items()}
        for place in (None, *opened.cells):
            if (what, place) not in found and (entry := store.get(opened.key(what, place))) is not None:
                found[what, place] = entry.arrays["values"], entry.meta
    return {(what, place): v for (what, place), v in found.items() if place is None or place in opened.cells}


def _compute(
    opened: Opened, missing: Mapping[Cell | None, Sequence[str]], found: Found, store: Store, progress: Progress
) -> None:
    study = opened.spec.study
    wanted = {what for lacking in missing.values() for what in lacking}
    detectors = {
        label: fitted(run, study, opened.fit, progress=progress)
        for label, run in opened.runs.items()
        if label in wanted
    }

    def score(place: Cell | None, images: ImageSet, facts: Mapping[str, Any]) -> None:
        tensor = images.tensor()
        for what in missing[place]:
            values, columns = _scored(what, tensor, study, detectors)
            meta = {**facts, "columns": columns, "what": what, "images": len(images), "data": images.name}
            store.put(opened.key(what, place), {"values": values}, meta)
            found[what, place] = values, meta

    total, done = len(missing), 0
    progress(done, total, f"corruptions of {study.ind}")
    if None in missing:
        score(None, opened.images, {})
        done += 1
    cells = [place for place in missing if place is not None]
    stream = opened.source.make(cells)
    try:
        for cell, images, facts in stream:
            score(cell, images, facts)
            done += 1
            progress(done, total, f"corruptions of {study.ind}, {cell[0]} {cell[1]}")
    finally:
        getattr(stream, "close", lambda: None)()  # ends the processes, also when progress raised


def _scored(
    what: str, tensor: Tensor, study: Study, detectors: Mapping[str, Detector]
) -> tuple[npt.NDArray[Any], list[str]]:
    if what == PREDICTED:
        logits = extractor_of(study).logits(tensor, batch_size=BATCH)
        return logits.argmax(1).numpy().astype(np.int32), [PREDICTED]
    scores = detectors[what].scores(tensor, batch_size=BATCH)
    return scores.values, list(scores.layers)


def _result(opened: Opened, found: Found, *, computed: int) -> CorruptionResult:
    source, images = opened.source, opened.images
    shape = (len(source.types), len(source.severities))

    def cells(what: str) -> npt.NDArray[Any]:
        stacked = np.stack([found[what, cell][0] for cell in opened.cells])
        return stacked.reshape(*shape, *stacked.shape[1:])

    detectors = {
        label: CorruptionScores(
            label, run.spec.title, tuple(found[label, None][1]["columns"]), found[label, None][0], cells(label)
        )
        for label, run in opened.runs.items()
    }
    metas = [found[label, None][1] for label in opened.runs]
    unchanged = {cell: int(found[PREDICTED, cell][1].get("unchanged", 0)) for cell in opened.cells}
    return CorruptionResult(
        types=source.types,
        severities=source.severities,
        rows=images.rows,
        labels=_usable(images.labels, opened),
        cell_labels=_usable(source.labels, opened),
        paired=source.paired,
        detectors=detectors,
        predicted=found[PREDICTED, None][0],
        cell_predicted=cells(PREDICTED),
        unchanged=unchanged,
        notes=(*images.notes, *source.notes, *_unchanged_notes(unchanged, len(images)), *rounding_notes(metas)),
        computed=computed,
        stored=len(opened.columns) * (1 + len(opened.cells)) - computed,
    )


def _usable(labels: npt.NDArray[np.int64] | None, opened: Opened) -> npt.NDArray[np.int64] | None:
    """Labels that the network's outputs can be compared with."""
    classes = open_model(opened.spec.study).classes
    return labels if labels is not None and labels.min() >= 0 and labels.max() < classes else None


def _unchanged_notes(unchanged: Mapping[Cell, int], count: int) -> list[str]:
    left = {cell: n for cell, n in unchanged.items() if n}
    if not left:
        return []
    worst = max(left, key=lambda cell: left[cell])
    return [
        f"{worst[0]} cannot be applied to some images (a division by 0 in it) and leaves them unchanged: "
        f"{left[worst]} of {count} at severity {worst[1]}, {sum(left.values())} in all cells"
    ]
