"""UMAP layouts: one of all points, and one of the same points at several times, both with exact neighbours."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fssd_core.errors import InputError
from fssd_core.projection_embed import Offsets, nearest, principal
from fssd_core.runtime import Progress, generator, silent

EPOCHS = 200  # 500 draw the distances to F* no better and take 2.4 times as long
ALIGNED_EPOCHS = 100  # of the aligned layout, whose every epoch moves all T frames


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
    umap = _umap()
    from numba import get_num_threads, set_num_threads

    progress(0, EPOCHS, "neighbours")
    neighbors = min(n_neighbors, len(points) - 1)
    index, distance = _knn(points, neighbors, metric)
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
        tqdm_kwds=_epoch_hook(progress, EPOCHS),
    )
    threads = get_num_threads()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r".*precomputed_knn\[2\].*")  # only needed to transform new data
            return np.asarray(fit.fit_transform(points), dtype=np.float32)
    finally:
        set_num_threads(threads)  # a cancelled fit would leave one


def aligned_umap(
    frames: Sequence[npt.NDArray[np.float32]],
    *,
    n_neighbors: int,
    min_dist: float,
    alignment: float,
    seed: int,
    progress: Progress = silent,
) -> npt.NDArray[np.float32]:
    """(T, M, 2) UMAPs of the same M points at T times, kept near each other over time; reproducible by seed.

    umap-learn's AlignedUMAP from its own parts, without the T single layouts that its class computes and throws away,
    with exact neighbours, with min_dist (which the class does not hand on) and with progress.

    Args:
        frames: T times (M, k) unit vectors, one row a point; a point without direction is zero. Metric: cosine.
        n_neighbors: cut to M - 1.
        min_dist: how tightly points may be packed.
        alignment: weight of the pull to the same point at up to 3 neighbouring times.
        seed: of the start's jitter and of the negative samples.
        progress: told before the layout and after each epoch; may raise CancelledError.

    Raises:
        InputError: umap-learn is not installed.
    """
    progress(0, ALIGNED_EPOCHS, "loading umap")
    _umap()
    from numba import types
    from numba.typed import List
    from umap.aligned_umap import build_neighborhood_similarities, expand_relations, procrustes_align
    from umap.layouts import optimize_layout_aligned_euclidean
    from umap.umap_ import find_ab_params, fuzzy_simplicial_set, make_epochs_per_sample

    neighbors, same = min(n_neighbors, len(frames[0]) - 1), np.arange(len(frames[0]))
    draws = np.random.RandomState(seed)
    indptr, indices, heads, tails = (List.empty_list(types.int32[::1]) for _ in range(4))
    epochs, planes = List.empty_list(types.float64[::1]), List.empty_list(types.float32[:, ::1])
    for points in frames:
        progress(0, ALIGNED_EPOCHS, "neighbours")
        index, distance = _knn(points, neighbors, "cosine")
        graph = fuzzy_simplicial_set(
            points, neighbors, draws, "cosine", knn_indices=index, knn_dists=distance, return_dists=False
        )[0].tocsr()
        least = graph.data.max() / ALIGNED_EPOCHS  # weaker edges would not be drawn once, as in UMAP itself
        graph.data[graph.data < least] = 0
        graph.eliminate_zeros()
        edges = graph.tocoo()
        for into, values in ((indptr, graph.indptr), (indices, graph.indices), (heads, edges.row), (tails, edges.col)):
            into.append(np.ascontiguousarray(values, dtype=np.int32))
        epochs.append(make_epochs_per_sample(edges.data, ALIGNED_EPOCHS).astype(np.float64))
        plane = _start(points, seed)
        planes.append(procrustes_align(planes[-1], plane, np.stack([same, same])) if len(planes) else plane)
    progress(0, ALIGNED_EPOCHS, "compiling umap")
    relations = expand_relations([dict(enumerate(range(len(same))))] * (len(frames) - 1))
    a, b = find_ab_params(1.0, min_dist)
    alike = build_neighborhood_similarities(indptr, indices, relations)
    moved = optimize_layout_aligned_euclidean(
        planes, planes, heads, tails, ALIGNED_EPOCHS, epochs, alike,
        relations, draws.randint(np.iinfo(np.int32).min + 1, np.iinfo(np.int32).max - 1, 3).astype(np.int64), a, b,
        lambda_=alignment, move_other=True, tqdm_kwds=_epoch_hook(progress, ALIGNED_EPOCHS),
    )  # fmt: skip
    return np.stack([np.asarray(plane, dtype=np.float32) for plane in moved])


def _umap() -> Any:
    """The package, imported when first needed.

    Raises:
        InputError: it is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ImportWarning)  # tensorflow is missing: its ParametricUMAP is not used
            import umap
    except ImportError as error:
        raise InputError(
            "a UMAP view was asked for but umap-learn is not installed; "
            "pip install umap-learn, or choose 'pca' or a view by class spokes"
        ) from error
    return umap


def _knn(
    points: npt.NDArray[np.float32], count: int, metric: str
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """(M, count) exact neighbours and distances; 'cosine' of unit vectors is |u - v|^2 / 2 = 1 - cos."""
    index, distance = nearest(torch.from_numpy(points), count)
    return index, np.square(distance) * np.float32(0.5) if metric == "cosine" else distance


def _start(points: npt.NDArray[np.float32], seed: int) -> npt.NDArray[np.float32]:
    """(M, 2) principal plane of the points, largest size 10, with a jitter that keeps equal points apart."""
    plane, _ = principal(Offsets(points, points.mean(0)), 2, seed=seed)
    jitter = torch.randn(plane.shape, generator=generator(seed)).numpy()
    largest = float(np.abs(plane).max()) or 1.0
    scaled = 10 * plane / largest + 1e-3 * jitter
    return np.asarray(scaled, dtype=np.float32)


class _EpochWriter(io.TextIOBase):
    """The 'file' that umap's tqdm bar writes its epoch number to: the only place where a fit lets others speak."""

    def __init__(self, progress: Progress, epochs: int) -> None:
        self.progress, self.epochs = progress, epochs
        self.stopped = False

    def write(self, text: str) -> int:
        number = text.strip()
        if number.isdigit() and not self.stopped:
            self.stopped = True  # stays so if progress raises: tqdm writes once more while it closes
            self.progress(int(number), self.epochs, "umap epochs")
            self.stopped = False
        return len(text)


def _epoch_hook(progress: Progress, epochs: int) -> dict[str, Any]:
    """tqdm's settings that report every epoch to progress (in a notebook tqdm draws widgets: no bar, no reports)."""
    from umap.layouts import tqdm

    if any(parent.__module__ == "tqdm.notebook" for parent in tqdm.__mro__):
        return {"disable": True}
    return {
        "disable": False,
        "file": _EpochWriter(progress, epochs),
        "bar_format": "{n}",
        "mininterval": 0,
        "miniters": 1,
        "leave": False,
    }
