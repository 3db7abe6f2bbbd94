"""One shared plane around F* for all checkpoints: the honest view of motion."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from fssd_core.projection_embed import Offsets, Stack, principal
from fssd_core.runtime import Progress, silent
from fssd_core.series import Reel


@dataclass(frozen=True, eq=False)
class _Stacked(Stack):
    """(T * M, D) offsets F_t - F*_t of all checkpoints, one below the other, over the reel's scale."""

    reel: Reel

    def __len__(self) -> int:
        return len(self.reel) * self.reel.points

    @property
    def width(self) -> int:
        """D."""
        return self.reel.width

    def pieces(self) -> Iterator[tuple[slice, Tensor]]:
        """(rows, (n, D) offsets), at most one checkpoint at a time."""
        for number in range(len(self.reel)):
            features, fss = self.reel.frame(number)
            first = number * self.reel.points
            for rows, piece in Offsets(features, fss, self.reel.scale).pieces():
                yield slice(first + rows.start, first + rows.stop), piece


def shared_plane(reel: Reel, *, progress: Progress = silent) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
    """(T, M, 2) coordinates in the plane through F* that holds most squared distance to F* over all checkpoints.

    Returns:
        the coordinates in the layer's own unit, and notes: 'explained' (T shares of each checkpoint's squared distance
        that lie in the plane) and 'explained_axes' (of the two axes over all checkpoints).
    """
    stack = _Stacked(reel)
    points, share = principal(stack, 2, seed=reel.study.seed, progress=progress)
    half = points.astype(np.float16).astype(np.float32)  # as the store keeps them
    xy = (half * np.float32(reel.scale)).reshape(len(reel), reel.points, 2)
    inside = np.square(half.astype(np.float64)).reshape(len(reel), -1).sum(1)
    whole = np.square(stack.distances).reshape(len(reel), -1).sum(1)
    explained = np.divide(inside, whole, out=np.zeros_like(inside), where=whole > 0)
    return xy, {"explained": explained.tolist(), "explained_axes": [float(s) for s in share]}
