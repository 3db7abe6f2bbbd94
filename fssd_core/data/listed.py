"""Pictures named one by one, as the big published data sets list them: drawn first, read after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from fssd_core.data.images import ImageSet, Shape
from fssd_core.data.limits import MAX_BYTES
from fssd_core.data.pictures import read_picture
from fssd_core.errors import DataError

T = TypeVar("T")
Limits = tuple[int | None, int | None, int | None]  # images of train, ind and ood; None for all


@dataclass(frozen=True)
class Picture:
    """One file.

    Attributes:
        path: where it lies.
        group: its class; '' for none.
    """

    path: Path
    group: str = ""


def usable_count(shape: Shape) -> int:
    """How many images of a shape 2 GiB hold, at least 1."""
    return max(1, MAX_BYTES // int(np.prod(shape)))


def drawn(items: Sequence[T], limit: int | None, *, seed: int) -> list[tuple[int, T]]:
    """(row, item) of `limit` items drawn without replacement, rows rising; all if there are no more."""
    if limit is None or limit >= len(items):
        return list(enumerate(items))
    rows = np.sort(np.random.default_rng(seed).choice(len(items), size=limit, replace=False))
    return [(int(row), items[row]) for row in rows]


def load_pictures(
    name: str,
    root: Path,
    pictures: Sequence[tuple[int, Picture]],
    shape: Shape,
    *,
    classes: tuple[str, ...] = (),
) -> ImageSet:
    """The pictures at a model's shape, cropped at the centre and resized; unreadable ones are counted in `notes`.

    Args:
        name: of the set.
        root: folder that paths in notes are relative to.
        pictures: (row in the full list, picture).
        shape: (C, H, W).
        classes: class names; labels are a picture's group's place among them. Empty for no labels.

    Raises:
        DataError: none can be read.
    """
    images, rows, labels = [], [], []
    broken: dict[Path, str] = {}
    for row, picture in pictures:
        pixels = read_picture(picture.path, shape, broken)
        if pixels is not None:
            images.append(pixels)
            rows.append(row)
            labels.append(classes.index(picture.group) if classes else 0)
    if not images:
        first = next(iter(broken.items()), None)
        why = f": {first[0].name} ({first[1]})" if first else ""
        raise DataError(f"{root}: none of {len(pictures)} pictures of {name} could be read{why}")
    notes: tuple[str, ...] = ()
    if broken:
        some = ", ".join(f"{p.name} ({why})" for p, why in sorted(broken.items())[:3])
        notes = (f"{len(broken)} of {len(pictures)} files of {name} could not be read: {some}",)
    marks = np.array(labels, dtype=np.int64) if classes else None
    return ImageSet(name, np.stack(images), marks, classes, np.array(rows), notes)
