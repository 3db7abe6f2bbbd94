"""Chosen points: a bitset over the drawn points on the wire, (group, row in its data set) everywhere else. Pure.

A list of ids would cross the wire with every later event of the page; a bit a point does not weigh (250 bytes for 2,000
points). The bits are worth nothing without the points they count, so they travel with the identity of these.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from fssd_core.errors import InputError
from fssd_core.types import PointGroup

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Selection:
    """Chosen images by ids that hold in every layer, view and checkpoint.

    Attributes:
        rows: group name -> rows in its data set, rising; groups without a chosen image are missing.
    """

    rows: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(map(len, self.rows.values()))

    def of(self, group: PointGroup) -> Flags:
        """(n,) which of the group's points are chosen."""
        return np.isin(group.rows, self.rows.get(group.name, ()))

    def within(self, groups: Iterable[PointGroup]) -> Selection:
        """Those that are among these points, in the groups' order."""
        return from_flags({group: self.of(group) for group in groups})


def from_flags(flags: Mapping[PointGroup, Flags]) -> Selection:
    """The selection of flagged points, given group by group."""
    rows = {group.name: tuple(sorted(int(r) for r in group.rows[chosen])) for group, chosen in flags.items()}
    return Selection({name: found for name, found in rows.items() if found})


def identity(groups: Sequence[PointGroup]) -> str:
    """Hash of which images are drawn, in which order: equal over layers, views and checkpoints of one study."""
    digest = hashlib.sha256()
    for group in groups:
        digest.update(f"{len(group.name)}:{group.name}:{len(group.rows)};".encode())
        digest.update(np.ascontiguousarray(group.rows, dtype="<i8").tobytes())
    return digest.hexdigest()[:16]


def encode(flags: Flags, groups: Sequence[PointGroup]) -> dict[str, Any]:
    """What the page sends for flagged points: one bit each, lowest bit first, as base64."""
    bits = base64.b64encode(np.packbits(flags, bitorder="little").tobytes()).decode()
    return {"of": identity(groups), "count": int(flags.sum()), "bits": bits}


def resolve(said: Mapping[str, Any], groups: Sequence[PointGroup]) -> Selection:
    """The page's selection as stable ids.

    Args:
        said: {'of': identity of the points, 'count': how many are chosen, 'bits': base64}.
        groups: the drawn points' groups, in order.

    Raises:
        InputError: bits of other points, or bits that do not add up to the count.
    """
    total = groups[-1].stop if groups else 0
    if said["of"] != identity(groups):
        raise InputError(
            f"the selection is of the points {said['of']}, the picture shows {identity(groups)}; select again"
        )
    try:
        raw = np.frombuffer(base64.b64decode(said["bits"], validate=True), np.uint8)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"the selection's bits are not base64 ({error}); select again") from error
    flags = np.unpackbits(raw, bitorder="little").astype(bool)
    if len(raw) != (total + 7) // 8 or flags[total:].any() or flags.sum() != said["count"]:
        raise InputError(
            f"the selection has {len(raw)} bytes with {int(flags.sum())} points; {total} points with {said['count']} "
            f"chosen take {(total + 7) // 8} bytes; select again"
        )
    return from_flags({group: flags[group.start : group.stop] for group in groups})
