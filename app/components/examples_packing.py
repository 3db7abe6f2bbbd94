"""Example images of the cockpit's strip as the bytes the page reads: a seeded draw from each set, with stable rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.components.packing import pack, pack_atlas, unpack
from app.components.scores_packing import Block
from fssd_core.errors import InputError
from fssd_core.types import PointGroup

PER_SET = 300
BUDGET = 1_200_000  # bytes of pixels, all sets together
SEED = 0


@dataclass(frozen=True, eq=False)
class Examples:
    """The images behind one set's scores.

    Attributes:
        ref: the set's data reference.
        images: (N, H, W) or (N, H, W, 3) uint8, in the scores' order.
        rows: (N,) row of each in its full set, a stable id.
    """

    ref: str
    images: npt.NDArray[np.uint8]
    rows: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PackedExamples:
    """Ready to send.

    Attributes:
        id: hash of the content.
        payload: the bytes; sections 'pixels', 'at' (place among the set's scores in the page) and 'row'.
    """

    id: str
    payload: bytes


def pack_examples(
    blocks: Sequence[Block], examples: Mapping[str, Examples], *, per_set: int = PER_SET, budget: int = BUDGET
) -> PackedExamples | None:
    """Up to `per_set` images a set, the same ones from run to run; None where no set has any.

    Raises:
        InputError: images that are not one a score.
    """
    groups: list[PointGroup] = []
    pixels: dict[str, npt.NDArray[np.uint8]] = {}
    at: list[npt.NDArray[np.int64]] = []
    start = 0
    for block in blocks:
        given = examples.get(block.name)
        if given is None or not len(block):
            continue
        if not len(given.images) == len(given.rows) == len(block) + block.dropped:
            raise InputError(
                f"{block.name} has {len(block) + block.dropped} scores but {len(given.images)} images and "
                f"{len(given.rows)} rows; give one image and one row a score"
            )
        rng = np.random.default_rng(SEED)
        drawn = np.sort(rng.permutation(len(block))[:per_set])
        places = block.kept[drawn]
        groups.append(PointGroup(given.ref, "ood", start, start + len(drawn), given.rows[places]))
        pixels[given.ref] = given.images[places]
        at.append(drawn)
        start += len(drawn)
    atlas = pack_atlas(groups, pixels, budget=budget)
    if atlas is None:
        return None
    header, sections = unpack(atlas.payload)
    names = {given.ref: name for name, given in examples.items()}
    told = [{"name": names[g.name], "ref": g.name, "first": g.start, "count": g.stop - g.start} for g in groups]
    kept = {name: header[name] for name in ("height", "width", "channels", "count")}
    payload = pack(
        {**kept, "sets": told},
        {
            "pixels": sections["pixels"],
            "at": np.concatenate(at).astype(np.int32),
            "row": np.concatenate([g.rows for g in groups]).astype(np.int32),
        },
    )
    return PackedExamples(str(unpack(payload)[0]["version"]), payload)
