"""Ood sets that need no file of their own: made from scikit-learn's samples, from FashionMNIST, or drawn.

Each gives the same bytes on every machine: whole-number pixel arithmetic, and draws from PCG64 with a fixed seed.
"""

from __future__ import annotations

import gzip
import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from fssd_core.data.bundled import bundled
from fssd_core.data.images import ImageSet, Pixels, Shape, fit, to_grey
from fssd_core.errors import DataError

PATCHES = 4000
NOISE_COUNT = 2000
NOISE_PIXELS = 2**26  # large noise images come in smaller numbers
DEFAULT_SHAPE: Shape = (1, 28, 28)
SEEDS = {"photo-patches": 28, "fmnist-shuffled": 784, "uniform-noise": 20210}  # the last differs from any F* seed


def digits8x8() -> ImageSet:
    """The 1,797 8x8 digits of scikit-learn (values 0..16), scaled to 0..255 and up to 28x28 pixels."""
    with gzip.open(_sklearn_file("datasets", "data", "digits.csv.gz"), "rt") as lines:
        table = np.loadtxt(lines, delimiter=",", dtype=np.int64)
    small = ((table[:, :-1] * 255 + 8) // 16).astype(np.uint8).reshape(-1, 8, 8)
    images = np.stack([np.asarray(fit(Image.fromarray(one), (28, 28))) for one in small])
    return ImageSet("digits8x8", images, labels=table[:, -1], classes=tuple("0123456789"))


def photo_patches() -> ImageSet:
    """4,000 grey 28x28 patches at seeded places of scikit-learn's two sample photographs (427x640 pixels each)."""
    photos = [_photo(name) for name in ("china.jpg", "flower.jpg")]
    rng = np.random.default_rng(SEEDS["photo-patches"])
    which = rng.integers(len(photos), size=PATCHES)
    top = rng.integers(photos[0].shape[0] - 27, size=PATCHES)
    left = rng.integers(photos[0].shape[1] - 27, size=PATCHES)
    images = np.stack([photos[k][y : y + 28, x : x + 28] for k, y, x in zip(which, top, left, strict=True)])
    return ImageSet("photo-patches", images)


def fmnist_inverted() -> ImageSet:
    """FashionMNIST test images with black and white exchanged."""
    return _from_fmnist("fmnist-inverted", lambda images: 255 - images)


def fmnist_rotated() -> ImageSet:
    """FashionMNIST test images turned by 90 degrees, counter-clockwise."""
    return _from_fmnist("fmnist-rotated", lambda images: np.rot90(images, axes=(1, 2)))


def fmnist_shuffled() -> ImageSet:
    """FashionMNIST test images with their pixels in another order, the same one for all images."""
    order = np.random.default_rng(SEEDS["fmnist-shuffled"]).permutation(28 * 28)
    return _from_fmnist(
        "fmnist-shuffled", lambda images: images.reshape(len(images), -1)[:, order].reshape(images.shape)
    )


def uniform_noise_set(shape: Shape = DEFAULT_SHAPE) -> ImageSet:
    """2,000 images (fewer above 33,554 pixels each) of independent pixels, uniform over 0..255, at the wanted shape.

    Raises:
        DataError: C is neither 1 nor 3, or a side is below 1.
    """
    channels, height, width = shape
    if channels not in (1, 3) or height < 1 or width < 1:
        raise DataError(f"uniform-noise: shape {shape} was given; allowed is (1 or 3, height, width)")
    count = max(1, min(NOISE_COUNT, NOISE_PIXELS // (channels * height * width)))
    size = (count, height, width) if channels == 1 else (count, height, width, 3)
    rng = np.random.default_rng(SEEDS["uniform-noise"])
    return ImageSet("uniform-noise", rng.integers(256, size=size, dtype=np.uint8))


def _from_fmnist(name: str, change: Callable[[Pixels], Pixels]) -> ImageSet:
    """A changed copy of fmnist:test; the classes no longer hold, so it has no labels."""
    base = bundled("fmnist:test")
    return ImageSet(name, change(base.images), rows=base.rows)


def _photo(name: str) -> Pixels:
    path = _sklearn_file("datasets", "images", name)
    with Image.open(path) as photo:
        grey: Pixels = to_grey(np.asarray(photo.convert("RGB"))[None])[0]
    return grey


def _sklearn_file(*parts: str) -> Path:
    """A data file inside scikit-learn, found without importing it (that takes a second or more)."""
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise DataError("scikit-learn is not installed, and this data set comes from it; `pip install scikit-learn`")
    path = Path(spec.origin).parent.joinpath(*parts)
    if not path.is_file():
        raise DataError(f"this scikit-learn has no {path}; reinstall it with `pip install -U scikit-learn`")
    return path
