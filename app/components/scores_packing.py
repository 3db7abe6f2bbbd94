"""Score columns as the bytes the cockpit reads, and the same columns at any epsilon on the server's side. No Streamlit.

A block is one data set: 'FSSD', the header's length (uint32), a JSON header {id, shape}, float32 (E, K, N); all little
endian. E epsilon knots, K layers, N images. Its id is a hash of its content: equal scores are sent once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator

from fssd_core.errors import InputError
from fssd_core.types import LayerScores, Weights

MAGIC = b"FSSD"
Knots = Mapping[float, LayerScores]
"""Scores of the same images at several epsilons, as `fssd_sweep` gives them."""


@dataclass(frozen=True, eq=False)
class Block:
    """One data set's scores, ready to send.

    Attributes:
        name: of the data set.
        id: hash of the content.
        values: (E, K, N) float32, finite.
        layers: K names.
        knots: E epsilons, rising.
        dropped: images left out because a score of theirs is NaN or infinite.
        kept: (N,) places of these images among those given.
    """

    name: str
    id: str
    values: npt.NDArray[np.float32]
    layers: tuple[str, ...]
    knots: tuple[float, ...]
    dropped: int
    kept: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.values.shape[2])

    def payload(self) -> bytes:
        """The bytes that the page reads."""
        header = json.dumps({"id": self.id, "shape": self.values.shape}).encode()
        return MAGIC + len(header).to_bytes(4, "little") + header + self.values.astype("<f4", copy=False).tobytes()


def pack(name: str, scores: LayerScores | Knots) -> Block:
    """One data set's block. Images with a score that is not finite are left out and counted.

    Args:
        name: of the data set.
        scores: at one epsilon (called knot 0), or {epsilon: scores} of the same images and layers.

    Raises:
        InputError: no knot, or knots with different images, layers or an epsilon that is not finite.
    """
    by_knot = {0.0: scores} if isinstance(scores, LayerScores) else dict(scores)
    knots = tuple(sorted(by_knot))
    if not knots or not np.isfinite(knots).all():
        raise InputError(f"{name} has scores at epsilons {knots}; give at least one, all finite")
    first = by_knot[knots[0]]
    for knot in knots[1:]:
        other = by_knot[knot]
        if other.layers != first.layers or len(other) != len(first):
            raise InputError(
                f"{name} has {len(other)} images of {', '.join(other.layers)} at epsilon {knot:g}, but {len(first)} of "
                f"{', '.join(first.layers)} at {knots[0]:g}; every epsilon needs the same images and layers"
            )
    values = np.stack([by_knot[knot].values.T for knot in knots])  # (E, K, N)
    finite = np.isfinite(values).all(axis=(0, 1))
    values = np.ascontiguousarray(values[:, :, finite], dtype=np.float32)
    digest = hashlib.sha256(repr(values.shape).encode() + values.tobytes()).hexdigest()[:24]
    return Block(name, digest, values, first.layers, knots, int((~finite).sum()), np.flatnonzero(finite))


def columns_at(block: Block, epsilon: float) -> npt.NDArray[np.float64]:
    """(N, K) distances at any epsilon within the knots: as computed at a knot, else by PCHIP, as the page does.

    Raises:
        InputError: epsilon outside the knots.
    """
    if epsilon in block.knots:
        return block.values[block.knots.index(epsilon)].T.astype(np.float64)
    if not block.knots[0] <= epsilon <= block.knots[-1]:
        raise InputError(f"epsilon {epsilon:g} is outside {block.knots[0]:g} to {block.knots[-1]:g}; choose one within")
    curves = PchipInterpolator(block.knots, block.values.astype(np.float64), axis=0)
    columns: npt.NDArray[np.float64] = curves(epsilon).T
    return columns


def scores_at(block: Block, weights: Weights, epsilon: float) -> npt.NDArray[np.float64]:
    """(N,) sum_k alpha_k d_k(epsilon), summed layer by layer as the page does: at a knot equal to its last bit.

    Raises:
        InputError: weights of other layers, or epsilon outside the knots.
    """
    if weights.layers != block.layers:
        raise InputError(
            f"the weights are of layers {weights.layers}, the scores of {block.layers}; they must be equal"
        )
    total = np.zeros(len(block))
    for alpha, column in zip(weights.alpha, columns_at(block, epsilon).T, strict=True):
        total += alpha * column
    return total
