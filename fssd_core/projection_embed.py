"""What the projections stand on: offsets from F*, principal directions, exact neighbours, one UMAP layout."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fssd_core.errors import InputError
from fssd_core.runtime import Progress, generator, silent

EXACT = 1024  # up to this many features (or points) the principal directions come from an exact eigendecomposition
EPOCHS = 200  # of UMAP: 500 draw the distances to F* no better and take 2.4 times as long
DIRECT = "donot_use_mm_for_euclid_dist"  # cdist without the cancellation of |a|^2 + |b|^2 - 2 ab
_PIECE = 2**23  # values worked on at once (32 MiB)
_KEPT = 2**27  # most offsets held in memory (512 MiB)


@dataclass(frozen=True, eq=False)
class Offsets:
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


def principal(
    offsets: Offsets, count: int, *, seed: int, progress: Progress = silent
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


def _exact(offsets: Offsets, count: int) -> Tensor:
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


def _iterated(offsets: Offsets, count: int, seed: int, progress: Progress, rounds: int = 4) -> Tensor:
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


def umap_layout(
    points: npt.NDArray[np.float32],
    *,
    metric: str,
    n_neighbors: int,
    min_dist: float,
    seed: int,
    progress: Progress = silent,
) -> npt.NDArray[np.float32]:
    """(M, 2) UMAP of the points (McInnes et al. 2018), reproducible by seed on one machine.

    Exact neighbours are handed in, so pynndescent is not compiled. The start is a plane of principal directions: over
    4 seeds and 4 layers it kept the distances to F* as well as or better than the spectral start (rho .90 against .86
    at the logits, .80 against .32 in an untrained fc1).

    Args:
        points: (M, k), M at least 4; rows of length 1 if the metric is 'cosine'.
        metric: 'euclidean' or 'cosine'.
        n_neighbors: cut to M - 1. More: coarser, more global picture.
        min_dist: how tightly points may be packed.
        seed: of the start's jitter and of the negative samples.
        progress: told before the fit and after each epoch; may raise CancelledError.

    Raises:
        InputError: umap-learn is not installed.
    """
    progress(0, EPOCHS, "loading umap")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ImportWarning)  # tensorflow is missing: its ParametricUMAP is not used
            import umap
        from numba import get_num_threads, set_num_threads
    except ImportError as error:
        raise InputError(
            "a UMAP view was asked for but umap-learn is not installed; "
            "pip install umap-learn, or choose 'pca' or 'centred-spokes'"
        ) from error
    progress(0, EPOCHS, "neighbours")
    neighbors = min(n_neighbors, len(points) - 1)
    index, distance = nearest(torch.from_numpy(points), neighbors)
    if metric == "cosine":
        distance = np.square(distance) * np.float32(0.5)  # of unit vectors: |u - v|^2 / 2 = 1 - cos
    progress(0, EPOCHS, "compiling umap")
    fit = umap.UMAP(
        n_neighbors=neighbors,
        min_dist=min_dist,
        metric=metric,
        n_epochs=EPOCHS,
        init=_start(points, seed),
        random_state=seed,
        n_jobs=1,
        disconnection_distance=np.inf,  # else umap leaves out a point (as NaN) whose neighbours all lie opposite
        precomputed_knn=(index, distance),
        tqdm_kwds=_epoch_hook(progress),
    )
    threads = get_num_threads()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r".*precomputed_knn\[2\].*")  # only needed to transform new data
            return np.asarray(fit.fit_transform(points), dtype=np.float32)
    finally:
        set_num_threads(threads)  # a cancelled fit would leave one


def _start(points: npt.NDArray[np.float32], seed: int) -> npt.NDArray[np.float32]:
    """(M, 2) principal plane of the points, largest size 10, with a jitter that keeps equal points apart."""
    plane, _ = principal(Offsets(points, points.mean(0)), 2, seed=seed)
    jitter = torch.randn(plane.shape, generator=generator(seed)).numpy()
    largest = float(np.abs(plane).max()) or 1.0
    scaled = 10 * plane / largest + 1e-3 * jitter
    return np.asarray(scaled, dtype=np.float32)


class _EpochWriter(io.TextIOBase):
    """The 'file' that umap's tqdm bar writes its epoch number to: the only place where a fit lets others speak."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.stopped = False

    def write(self, text: str) -> int:
        number = text.strip()
        if number.isdigit() and not self.stopped:
            self.stopped = True  # stays so if progress raises: tqdm writes once more while it closes
            self.progress(int(number), EPOCHS, "umap epochs")
            self.stopped = False
        return len(text)


def _epoch_hook(progress: Progress) -> dict[str, Any]:
    """tqdm's settings that report every epoch to progress (in a notebook tqdm draws widgets: no bar, no reports)."""
    from umap.layouts import tqdm

    if any(parent.__module__ == "tqdm.notebook" for parent in tqdm.__mro__):
        return {"disable": True}
    return {
        "disable": False,
        "file": _EpochWriter(progress),
        "bar_format": "{n}",
        "mininterval": 0,
        "miniters": 1,
        "leave": False,
    }
