"""Where corrupted images come from: made here from the ind images, or read from a set as it is distributed."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fssd_core.data import ImageSet
from fssd_core.data.corrupted_sets import open_corrupted
from fssd_core.data.corruption_pool import Cell, corrupted_cells
from fssd_core.data.corruptions import SETS, check_severities, choose_types, hardly_changes, package_version
from fssd_core.errors import InputError


class Source(Protocol):
    """Where corrupted images come from."""

    types: tuple[str, ...]
    severities: tuple[int, ...]
    labels: npt.NDArray[np.int64] | None
    paired: bool
    notes: list[str]

    def facts(self, cell: Cell) -> list[Any]:
        """What the cell's pixels depend on, for store keys."""

    def make(self, cells: Sequence[Cell]) -> Iterator[tuple[Cell, ImageSet, dict[str, Any]]]:
        """The cells' images in order, with what must be kept about them."""

    def one(self, position: int) -> Source:
        """The same source for one of its images."""


class Made:
    """The ind images corrupted here, by `corruptions.corrupt`.

    Args:
        images: clean images.
        types: types or sets of types.
        severities: of 1 to 5.
        seed: of every draw.
        workers: processes that corrupt; None for one a core.
    """

    paired = True

    def __init__(
        self, images: ImageSet, types: Sequence[str], severities: Sequence[int], *, seed: int, workers: int | None
    ) -> None:
        self.images, self.seed, self.workers = images, seed, workers
        self.types, self.severities = choose_types(types), check_severities(severities)
        self.labels = images.labels
        note = hardly_changes(self.types, grey=images.shape[0] == 1)
        self.notes = [note] if note else []

    def facts(self, cell: Cell) -> list[Any]:
        """Type, severity, seed, rows and package; the images themselves are in every key."""
        return [*cell, self.seed, digest(self.images.rows), package_version()]

    def make(self, cells: Sequence[Cell]) -> Iterator[tuple[Cell, ImageSet, dict[str, Any]]]:
        """Corrupts on all cores; images that a type cannot be applied to are counted."""
        for cell, done in corrupted_cells(self.images, cells, seed=self.seed, workers=self.workers):
            name = f"{self.images.name}:{cell[0]}:{cell[1]}"
            made = ImageSet(name, done.images, self.images.labels, self.images.classes, self.images.rows)
            yield cell, made, {"unchanged": len(done.unchanged)}

    def one(self, position: int) -> Made:
        """The same for one image, corrupted in this process."""
        alone = self.images.take(np.array([position]))
        return Made(alone, self.types, self.severities, seed=self.seed, workers=0)


class Distributed:
    """A corrupted set as distributed; its rows are those of ind where both hold the same labelled images.

    Args:
        root: the set's folder.
        images: the drawn ind images.
        full: all ind images, to see whether both are the same.
        types: types or sets of types; all of ImageNet-C stands for all that the set has.
        severities: of 1 to 5.
        seed: of the draw where they are not the same.
    """

    def __init__(
        self,
        root: Path,
        images: ImageSet,
        full: ImageSet,
        types: Sequence[str],
        severities: Sequence[int],
        *,
        seed: int,
    ) -> None:
        spelled = tuple(dict.fromkeys(name for t in types for name in SETS.get(t, (t,))))
        wanted = None if set(spelled) >= set(SETS["all"]) else spelled
        self.held = open_corrupted(root, types=wanted)
        self.types = self.held.types if wanted is None else tuple(self.held.check_type(t) for t in wanted)
        self.severities = tuple(s for s in check_severities(severities) if s in self.held.severities)
        if not self.severities:
            raise InputError(
                f"severities {', '.join(map(str, severities))} were asked for; {root} has "
                f"{', '.join(map(str, self.held.severities))}"
            )
        self.shape = images.shape
        self.notes = list(self.held.notes)
        same = full.labels is not None and np.array_equal(full.labels, self.held.labels)
        self.paired = bool(same and np.array_equal(full.rows, np.arange(self.held.count)))
        self.rows = images.rows
        if not self.paired:
            count = min(len(images), self.held.count)
            self.rows = np.sort(np.random.default_rng(seed).choice(self.held.count, count, replace=False))
            self.notes.append(
                f"the set holds other images, or another order, than {images.name}: clean and corrupted images are "
                "compared as two groups, not image by image"
            )
        self.labels: npt.NDArray[np.int64] | None = self.held.labels[self.rows]

    def facts(self, cell: Cell) -> list[Any]:
        """The files' names, sizes and times, the rows and the shape they are brought to."""
        return ["distributed", self.held.stamp(*cell, self.rows), digest(self.rows), list(self.shape)]

    def make(self, cells: Sequence[Cell]) -> Iterator[tuple[Cell, ImageSet, dict[str, Any]]]:
        """Reads one cell after the other."""
        for cell in cells:
            yield cell, self.held.load(*cell, rows=self.rows, shape=self.shape), {}

    def one(self, position: int) -> Distributed:
        """The same for one image."""
        alone = copy.copy(self)
        alone.rows, alone.labels = self.rows[[position]], None
        return alone


def digest(rows: npt.NDArray[np.int64]) -> str:
    """SHA-256 of row ids."""
    return hashlib.sha256(rows.tobytes()).hexdigest()
