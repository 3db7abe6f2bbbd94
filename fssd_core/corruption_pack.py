"""All types and severities of one detector in one small entry, as the demo ships them: scores rounded by rank.

Each column is rounded to LEVELS values, the medians of as many equally filled parts of all its scores; what that moves
is measured when it is packed and said with the result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fssd_core.corruption_table import CorruptionScores, metric_table
from fssd_core.data.corruption_pool import Cell
from fssd_core.store import Entry

LEVELS = 512
Arrays = dict[str, npt.NDArray[Any]]


def pack(clean: npt.NDArray[np.float32], cells: npt.NDArray[np.float32], *, levels: int = LEVELS) -> Arrays:
    """Scores (N, K) and (T, S, M, K) as two bytes a score and a table of values a column.

    Two equal scores stay equal, and none changes places with another: at worst close ones become equal.

    Args:
        clean: of the clean images.
        cells: of the corrupted images.
        levels: values a column may take, at most 65,536.
    """
    columns = clean.shape[-1]
    every = np.concatenate([clean.reshape(-1, columns), cells.reshape(-1, columns)])
    book = np.empty((columns, levels), np.float32)
    codes = np.empty(every.shape, np.uint16)
    for k in range(columns):
        book[k], codes[:, k] = _rounded(every[:, k], levels)
    halves = {"low": (codes & 255).astype(np.uint8), "high": (codes >> 8).astype(np.uint8)}  # each compresses alone
    return {**halves, "book": book, "shape": np.array(cells.shape)}


def unpack(arrays: Mapping[str, npt.NDArray[Any]]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """(clean (N, K), cells (T, S, M, K)) float32, rounded, of `pack`'s arrays."""
    codes = arrays["low"].astype(np.uint16) | (arrays["high"].astype(np.uint16) << 8)
    values = np.stack([column[code] for column, code in zip(arrays["book"], codes.T, strict=True)], axis=1)
    shape = tuple(int(n) for n in arrays["shape"])
    start = len(values) - int(np.prod(shape[:3]))
    return values[:start], values[start:].reshape(shape)


def read_pack(entry: Entry) -> dict[Cell | None, tuple[npt.NDArray[Any], dict[str, Any]]]:
    """{cell, None for the clean images: (values, what was said of them)} of a packed store entry."""
    meta = entry.meta
    clean, cells = unpack(entry.arrays) if "book" in entry.arrays else (entry.arrays["clean"], entry.arrays["cells"])
    found: dict[Cell | None, tuple[npt.NDArray[Any], dict[str, Any]]] = {None: (clean, meta)}
    for i, kind in enumerate(meta["types"]):
        for j, severity in enumerate(meta["severities"]):
            unchanged = meta["unchanged"].get(f"{kind}:{severity}", 0)
            found[kind, severity] = cells[i, j], {"columns": meta["columns"], "unchanged": unchanged}
    return found


def rounding_notes(metas: Sequence[Mapping[str, Any]]) -> list[str]:
    """What must be said of rounded scores among these entries' facts: how, and what it moved."""
    rounded = [meta["rounded"] for meta in metas if "rounded" in meta]
    if not rounded:
        return []
    moved = max(float(facts["largest_auroc_change"]) for facts in rounded)
    levels = min(int(facts["levels"]) for facts in rounded)
    return [
        f"the scores that ship with the demo are rounded to {levels:,} values a column, which moved no cell's AUROC "
        f"by more than {moved:.1g}"
    ]


def largest_change(exact: CorruptionScores, rounded: CorruptionScores) -> float:
    """By how much rounding moved the AUROC of a cell at most, all columns added."""
    tables = [metric_table(*scores.combined()) for scores in (exact, rounded)]
    return float(np.abs(tables[0] - tables[1]).max())


def _rounded(values: npt.NDArray[np.float32], levels: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint16]]:
    """(values (levels,), rising; which of them each score becomes (n,)); exact where there are no more than levels."""
    distinct, place = np.unique(values, return_inverse=True)
    part = np.arange(len(distinct))
    if len(distinct) > levels:
        counts = np.bincount(place, minlength=len(distinct))
        part = ((np.cumsum(counts) - counts) * levels) // len(values)  # by the scores below, so that equal ones stay so
        part = np.unique(part, return_inverse=True)[1]
    book = np.full(levels, distinct[-1], np.float32)
    starts = np.flatnonzero(np.diff(part, prepend=-1))
    middles = (starts + np.append(starts[1:], len(distinct)) - 1) // 2
    book[: len(middles)] = distinct[middles]
    return book, part[place].astype(np.uint16)
