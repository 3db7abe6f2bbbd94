"""A network's checkpoints as one series: which steps there are, and one layer's features over all of them."""

from __future__ import annotations

import dataclasses
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fssd_core.errors import InputError
from fssd_core.models import list_models
from fssd_core.projection_embed import Offsets, unit_of
from fssd_core.runtime import Progress, silent
from fssd_core.study import Study, open_model, stamp
from fssd_core.study_projection import stacked_features
from fssd_core.types import PointGroup

Features = npt.NDArray[np.float32]
KEPT = 2**27  # most feature values held in memory (512 MiB); more are computed anew each time they are asked for


def series_steps(study: Study) -> tuple[int, ...]:
    """Steps of all checkpoints of the study's model, ascending.

    Raises:
        InputError: fewer than two.
    """
    name = series_name(study)
    entry = next((m for m in list_models() if m.name == name), None)
    steps = entry.steps if entry is not None else _folder_steps(Path(name).expanduser())
    if len(steps) < 2:
        shown = Path(name).name if Path(name).expanduser().is_file() else name
        has = "has 1 checkpoint" if steps else "is a single network without checkpoints"
        raise InputError(
            f"{shown!r} {has}; motion needs at least 2: choose a registered network or a folder of step-*.safetensors"
        )
    return steps


def series_name(study: Study) -> str:
    """The study's model without a step: 'demo/lenet' of 'demo/lenet@900'."""
    name, at, tail = study.model.rpartition("@")
    return name if at and tail.isdigit() and not Path(study.model).expanduser().exists() else study.model


def _folder_steps(folder: Path) -> tuple[int, ...]:
    if not folder.is_dir():
        return ()
    found = (re.fullmatch(r"step-(\d+)\.safetensors", path.name) for path in folder.iterdir())
    return tuple(sorted(int(match[1]) for match in found if match))


def at_step(study: Study, step: int) -> Study:
    """The same study at one checkpoint of its series."""
    return dataclasses.replace(study, model=series_name(study), step=step)


def weight_hashes(study: Study) -> list[str]:
    """SHA-256 of each checkpoint's file: what a result over the whole training depends on."""
    name = series_name(study)
    return [_weight_hash(at_step(study, step), stamp(name, step)) for step in series_steps(study)]


@lru_cache(maxsize=4096)
def _weight_hash(study: Study, changed: tuple[int, int] | None) -> str:
    return open_model(study).weight_hash


def moved(before: npt.NDArray[Any], after: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """(M,) ||after - before|| of each row, differences in float32, summed in float64."""
    between = torch.from_numpy(np.subtract(after, before))
    length: npt.NDArray[np.float64] = torch.linalg.vector_norm(between, dim=1, dtype=torch.float64).numpy()
    return length


class Reel:
    """One layer's features at every checkpoint; kept in memory up to 512 MiB, beyond that computed anew when asked.

    Args:
        study: its `points` say how many images; its own step does not matter.
        layer: the layer.
        root: folder below which downloaded sets lie.
        progress: told over all checkpoints; may raise CancelledError.

    Attributes:
        steps: T steps.
        groups: cover 0..M, ind first, noise last.
        labels: (M,) int16 class of the ind points, -1 elsewhere.
        points: M.
        width: D.
        scale: a power of two near the largest value, known after `measure`; dividing by it keeps squares in range.
    """

    def __init__(self, study: Study, layer: str, *, root: Path | None = None, progress: Progress = silent) -> None:
        self.study, self.layer, self.root, self.progress = study, layer, root, progress
        self.steps = series_steps(study)
        self._frames: dict[int, tuple[Features, Features]] = {}
        self.groups: tuple[PointGroup, ...]
        features, self.groups, self.labels, _ = self._compute(0)
        self.points, self.width = int(features.shape[0]), int(features.shape[1])
        self.scale = 0.0
        self._keep = len(self.steps) * features.size <= KEPT

    def __len__(self) -> int:
        return len(self.steps)

    def frame(self, number: int) -> tuple[Features, Features]:
        """((M, D) features, (D,) F*) at checkpoint `number` of 0..T-1."""
        number %= len(self.steps)
        if number not in self._frames:
            features, _, _, fss = self._compute(number)
            if not self._keep:
                return features, fss
            self._frames[number] = features, fss
        return self._frames[number]

    def measure(self) -> tuple[Features, Features]:
        """(T, M) true ||F_t(x) - F*_t|| and (T-1, M) ||F_{t+1}(x) - F_t(x)||; also finds `scale`.

        Raises:
            InputError: features that are not finite, or too large for float32.
        """
        distance, way = np.empty((len(self.steps), self.points)), np.empty((len(self.steps) - 1, self.points))
        before = self.frame(0)[0]
        for number, step in enumerate(self.steps):
            features, fss = self.frame(number)
            if not np.isfinite([features.min(), features.max(), fss.min(), fss.max()]).all():
                raise InputError(f"features of {self.layer} at step {step} hold NaN or infinity; the training diverged")
            unit = unit_of(features, fss) if features.any() or fss.any() else 1.0
            self.scale = max(self.scale, unit)
            distance[number] = Offsets(features, fss, unit).distances * unit
            if number:
                way[number - 1] = moved(before, features)
            before = features
        if distance.max() > np.finfo(np.float32).max:
            raise InputError(f"distances to F* in {self.layer} exceed float32; the training diverged")
        return distance.astype(np.float32), way.astype(np.float32)

    def _compute(self, number: int) -> tuple[Features, tuple[PointGroup, ...], npt.NDArray[np.int16], Any]:
        step = self.steps[number]

        def told(done: int, total: int, what: str) -> None:
            self.progress(number * total + done, len(self.steps) * total, f"{what}, step {step}")

        return stacked_features(at_step(self.study, step), self.layer, root=self.root, progress=told)
