"""How far distances interpolated between the knots of an epsilon sweep are from those computed at the very epsilon."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fssd_core.errors import InputError
from fssd_core.types import LayerScores


@dataclass(frozen=True)
class InterpolationError:
    """Relative errors |interpolated - exact| / exact over all images and layers.

    Attributes:
        median: of them.
        worst: the largest.
        layer: where the largest is.
        images: N.
    """

    median: float
    worst: float
    layer: str
    images: int


def interpolation_error(interpolated: npt.ArrayLike, exact: LayerScores) -> InterpolationError:
    """Errors of (N, K) interpolated distances against the exact ones of the same images.

    A distance of 0 that was met exactly errs by 0; one that was not errs by infinity.

    Raises:
        InputError: shapes that differ, no image, or a value that is not finite.
    """
    given, wanted = np.asarray(interpolated, dtype=np.float64), exact.values.astype(np.float64)
    if given.shape != wanted.shape or not given.size:
        raise InputError(f"{given.shape} interpolated and {wanted.shape} exact distances were given; they must agree")
    if not (np.isfinite(given).all() and np.isfinite(wanted).all()):
        raise InputError("a distance is not finite; leave out the images that have such")
    gap, size = np.abs(given - wanted), np.abs(wanted)
    errors = np.divide(gap, size, out=np.where(gap > 0, np.inf, 0.0), where=size > 0)
    worst = np.unravel_index(int(errors.argmax()), errors.shape)
    return InterpolationError(float(np.median(errors)), float(errors[worst]), exact.layers[int(worst[1])], len(exact))
