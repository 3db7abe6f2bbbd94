"""One image through all corruption types and severities, to be looked at; kept in the Store."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fssd_core.corruption_study import Opened
from fssd_core.errors import InputError
from fssd_core.runtime import Progress, silent
from fssd_core.store import Store, key

VERSION = 1
Strip = npt.NDArray[np.uint8]


def corruption_strip(opened: Opened, row: int, *, store: Store, progress: Progress = silent) -> Strip:
    """(T, S, H, W) or (T, S, H, W, 3): the image of that row in every cell, as it is scored there.

    Args:
        opened: the study.
        row: of the image, one of the study's.
        store: where it is looked for and kept.
        progress: told after each cell.

    Raises:
        InputError: no such row among the study's images.
    """
    found = stored_strip(opened, row, store=store)
    if found is not None:
        return found
    made = []
    for _, images, _ in opened.source.one(_position(opened, row)).make(opened.cells):
        made.append(images.images[0])
        progress(len(made), len(opened.cells), f"corruptions of row {row}")
    strip = _shaped(np.stack(made), opened)
    store.put(_key(opened, row), {"images": strip}, {"data": opened.images.name, "row": row})
    return strip


def stored_strip(opened: Opened, row: int, *, store: Store) -> Strip | None:
    """The strip if the store has it; computes nothing."""
    entry = store.get(_key(opened, row))
    return None if entry is None else entry.arrays["images"]


def _position(opened: Opened, row: int) -> int:
    at = np.flatnonzero(opened.images.rows == row)
    if len(at) == 0 or not opened.source.paired:
        raise InputError(f"row {row} is not among the {len(opened.images):,} drawn images of {opened.images.name}")
    return int(at[0])


def _key(opened: Opened, row: int) -> str:
    at = _position(opened, row)
    alone, source = opened.images.take(np.array([at])), opened.source.one(at)
    facts: list[Any] = [source.facts(cell) for cell in opened.cells]
    return key("corruption_strip", VERSION, alone.fingerprint(), row, facts)


def _shaped(images: Strip, opened: Opened) -> Strip:
    return images.reshape(len(opened.source.types), len(opened.source.severities), *images.shape[1:])
