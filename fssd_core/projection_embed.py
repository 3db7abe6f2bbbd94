"""What the projections stand on: offsets from F*, principal directions, exact neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fssd_core.runtime import Progress, generator, silent

EXACT = 1024  # up to this many features (or points) the principal directions come from an exact eigendecomposition
DIRECT = "donot_use_mm_for_euclid_dist"  # cdist without the cancellation of |a|^2 + |b|^2 - 2 ab
_PIECE = 2**23  # values worked on at once (32 MiB)
_KEPT = 2**27  # most offsets held in memory (512 MiB)


class Stack:
    """(M, D) offsets from F*, told piece by piece, and what can be computed without having them all at once."""

    def __len__(self) -> int:
        raise NotImplementedError

    @property
    def width(self) -> int:
        """D."""
        raise NotImplementedError

    def pieces(self) -> Iterator[tuple[slice, Tensor]]:
        """(rows, (n, D) offsets) over all points in order."""
        raise NotImplementedError

    def times(self, basis: Tensor) -> Tensor:
        """(M, D) @ (D, k) -> (M, k) in the basis' precision."""
        return torch.cat([piece.to(basis.dtype) @ basis for _, piece in self.pieces()])

    def transposed_times(self, left: Tensor) -> Tensor:
        """(M, D)^T @ (M, k) -> (D, k) in left's precision."""
        out = torch.zeros(self.width, left.shape[1], dtype=left.dtype)
        for rows, piece in self.pieces():
            out += piece.to(left.dtype).T @ left[rows]
        return out

    @cached_property
    def distances(self) -> npt.NDArray[np.float64]:
        """(M,) norms of the offsets, summed in float64."""
        norms = [torch.linalg.vector_norm(piece, dim=1, dtype=torch.float64) for _, piece in self.pieces()]
        return np.asarray(torch.cat(norms).numpy(), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Offsets(Stack):
    """(F - F*) / scale; beyond 512 MiB computed anew piece by piece, so that very wide features are not copied.

    Attributes:
        features: (M, D) float32.
        fss: (D,) float32.
        scale: what the offsets are divided by; it keeps float32 in range and makes drawings independent of the unit.
    """

    features: npt.NDArray[np.float32]
    fss: npt.NDArray[np.float32]
    scale: float = 1.0

    def __len__(self) -> int:
        return int(self.features.shape[0])

    @property
    def width(self) -> int:
        """D."""
        return int(self.features.shape[1])

    def rows(self, index: Any) -> Tensor:
        """(n, D) float32 offsets of the given rows (a fresh tensor)."""
        picked = torch.from_numpy(np.subtract(self.features[index], self.fss))
        return picked.div_(self.scale)

    def pieces(self) -> Iterator[tuple[slice, Tensor]]:
        """(rows, (n, D) offsets) over all points in order."""
        step = max(1, _PIECE // self.width)
        for start in range(0, len(self), step):
            rows = slice(start, min(start + step, len(self)))
            yield rows, self.rows(rows) if self._kept is None else self._kept[rows]

    @cached_property
    def _kept(self) -> Tensor | None:
        """(M, D) all offsets, None where they are too many to keep."""
        return self.rows(slice(None)) if self.features.size <= _KEPT else None


def unit_of(features: npt.NDArray[np.float32], fss: npt.NDArray[np.float32]) -> float:
    """A power of two near the largest value, so that dividing by it is exact and squares stay within float32."""
    largest = max(abs(float(v)) for v in (features.min(), features.max(), fss.min(), fss.max()))
    return float(2.0 ** np.ceil(np.log2(largest)))


def principal(
    offsets: Stack, count: int, *, seed: int, progress: Progress = silent
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """Coordinates along the principal directions of the second moment about F*, sum_i (F_i - F*)(F_i - F*)^T.

    Exact in float64 where D or M is at most 1,024, else by randomised subspace iteration (Halko, Martinsson and Tropp
    2011, algorithm 4.4, 60 columns, 4 rounds): its first two shares agree with the exact ones to 1e-6. On 5,000 x 9,216
    features it took 0.7 s; Gram matrix and eigh 18, torch.svd_lowrank 2.2, scikit-learn's randomized_svd 1.8.
    Each direction's sign makes its coordinate of largest size positive.

    Args:
        offsets: (M, D).
        count: k directions.
        seed: draws the start of the iteration.
        progress: told after each round.

    Returns:
        (M, k) coordinates, zero beyond the rank, and each direction's (k,) share of the total squared distance to F*.
    """
    wide = min(offsets.width, len(offsets)) > EXACT
    coordinates = _iterated(offsets, count, seed, progress) if wide else _exact(offsets, count)
    coordinates = torch.nn.functional.pad(coordinates, (0, count - coordinates.shape[1]))
    largest = coordinates.gather(0, coordinates.abs().argmax(0, keepdim=True))  # (1, k)
    coordinates = torch.where(largest < 0, -coordinates, coordinates)
    energy = float(np.square(offsets.distances).sum())
    share = coordinates.double().square().sum(0).numpy() / (energy or 1.0)
    return coordinates.float().numpy(), share


def _exact(offsets: Stack, count: int) -> Tensor:
    """(M, min(k, M, D)) float64 coordinates from the D x D moment or, for wide features, the M x M Gram matrix."""
    if offsets.width <= EXACT:
        moment = torch.zeros(offsets.width, offsets.width, dtype=torch.float64)
        for _, piece in offsets.pieces():
            moment += piece.double().T @ piece.double()
        _, vectors = torch.linalg.eigh(moment)
        return offsets.times(vectors.flip(1)[:, :count])
    gram = torch.cat([offsets.times(piece.double().T) for _, piece in offsets.pieces()], dim=1)
    values, vectors = torch.linalg.eigh(gram)
    coordinates: Tensor = vectors * values.clamp(min=0).sqrt()
    return coordinates.flip(1)[:, :count]


def _iterated(offsets: Stack, count: int, seed: int, progress: Progress, rounds: int = 4) -> Tensor:
    """(M, k) float32 coordinates by randomised subspace iteration."""
    columns = min(max(count + 10, 60), offsets.width, len(offsets))
    basis = torch.randn(offsets.width, columns, generator=generator(seed))
    for done in range(rounds):
        progress(done, rounds, "principal directions")
        left = torch.linalg.qr(offsets.times(basis)).Q  # (M, q)
        basis = torch.linalg.qr(offsets.transposed_times(left)).Q  # (D, q)
    coordinates = offsets.times(basis)  # (M, q)
    turn: Tensor = torch.linalg.svd(coordinates, full_matrices=False)[2]
    return (coordinates @ turn.T)[:, :count]


def nearest(points: Tensor, count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Exact nearest neighbours, the point itself included, by brute force.

    Args:
        points: (M, k), k small.
        count: neighbours a point.

    Returns:
        (M, count) rows and euclidean distances, nearest first.
    """
    found = [
        torch.cdist(points[start : start + 1000], points, compute_mode=DIRECT).topk(count, largest=False)
        for start in range(0, len(points), 1000)
    ]
    return torch.cat([f.indices for f in found]).numpy(), torch.cat([f.values for f in found]).numpy()
