"""The image sets of the study: development kinds made from ind images, held-out kinds, sets from outside.

Everything is drawn from PCG64 with a fixed seed; pixels are uint8 (N, 28, 28). No development kind turns, blurs or
draws independent pixels, and none shows glyphs: those kinds are kept for the report.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter, map_coordinates

from fssd_core.data import load_data

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
Rng = np.random.Generator
SIDE = 28


def jigsaw(images: Pixels, _labels: Labels, rng: Rng, side: int = 7) -> Pixels:
    """Tiles of side x side pixels in an order of each image's own."""
    n, tiles = len(images), SIDE // side
    parts = images.reshape(n, tiles, side, tiles, side).transpose(0, 1, 3, 2, 4).reshape(n, tiles**2, side, side)
    order = rng.permuted(np.tile(np.arange(tiles**2), (n, 1)), axis=1)
    moved = parts[np.arange(n)[:, None], order].reshape(n, tiles, tiles, side, side)
    return moved.transpose(0, 1, 3, 2, 4).reshape(n, SIDE, SIDE)


def blend(images: Pixels, labels: Labels, rng: Rng) -> Pixels:
    """Mean of two images of different classes."""
    other = partners(labels, rng)
    return ((images.astype(np.uint16) + images[other] + 1) // 2).astype(np.uint8)


def cut_paste(images: Pixels, labels: Labels, rng: Rng) -> Pixels:
    """Left half of one image, right half of one of another class."""
    out = images.copy()
    out[:, :, SIDE // 2 :] = images[partners(labels, rng)][:, :, SIDE // 2 :]
    return out


def warp(images: Pixels, _labels: Labels, rng: Rng) -> Pixels:
    """A smooth random displacement: Gaussian field (sigma 4 pixels) with a standard deviation of 4 pixels."""
    grid = np.mgrid[:SIDE, :SIDE].astype(float)
    out = np.empty_like(images)
    for row, image in enumerate(images):
        field = np.stack([gaussian_filter(rng.normal(size=(SIDE, SIDE)), 4) for _ in range(2)])
        field *= 4 / field.std()
        out[row] = map_coordinates(image.astype(float), grid + field, order=1, mode="nearest").round()
    return out


def low_frequency(images: Pixels, _labels: Labels, rng: Rng) -> Pixels:
    """Noise smoothed by a Gaussian of 3 pixels and stretched to 0..255."""
    noise = gaussian_filter(rng.normal(size=images.shape), (0, 3, 3))
    low, high = noise.min((1, 2), keepdims=True), noise.max((1, 2), keepdims=True)
    return (255 * (noise - low) / (high - low)).round().astype(np.uint8)


def phase(images: Pixels, _labels: Labels, rng: Rng) -> Pixels:
    """The image's amplitudes with the Fourier phases of white noise; its mean stays, what leaves 0..255 is clipped."""
    random = np.angle(np.fft.rfft2(rng.normal(size=images.shape)))
    random[:, 0, 0] = 0.0
    mixed = np.fft.irfft2(np.abs(np.fft.rfft2(images)) * np.exp(1j * random), s=(SIDE, SIDE))
    return np.clip(mixed.round(), 0, 255).astype(np.uint8)


def faded(images: Pixels, _labels: Labels, _rng: Rng) -> Pixels:
    """Pixels * 0.3 + 0.35: the same picture in low contrast on grey."""
    return (images * 0.3 + 0.35 * 255).round().astype(np.uint8)


def inverted(images: Pixels, _labels: Labels, _rng: Rng) -> Pixels:
    """Black and white exchanged, as fmnist-inverted."""
    return 255 - images


def shuffled(images: Pixels, _labels: Labels, _rng: Rng) -> Pixels:
    """The pixel order of fmnist-shuffled."""
    order = np.random.default_rng(784).permutation(SIDE * SIDE)
    return images.reshape(len(images), -1)[:, order].reshape(images.shape)


def blurred(images: Pixels, sigma: float) -> Pixels:
    """A Gaussian blur of sigma pixels."""
    return gaussian_filter(images.astype(float), (0, sigma, sigma)).round().astype(np.uint8)


def gaussian_noise(count: int, rng: Rng) -> Pixels:
    """Pixels N(0.5, 0.25^2), clipped to [0, 1]."""
    return (np.clip(rng.normal(0.5, 0.25, size=(count, SIDE, SIDE)), 0, 1) * 255).round().astype(np.uint8)


PSEUDO: dict[str, Callable[[Pixels, Labels, Rng], Pixels]] = {
    "jigsaw": jigsaw, "blend": blend, "cut-paste": cut_paste, "warp": warp, "low-frequency": low_frequency,
    "phase": phase, "faded": faded,
}  # fmt: skip
KINDS = {**PSEUDO, "inverted": inverted, "shuffled": shuffled}
SEEN = ("photo-patches", "fmnist-inverted", "fmnist-shuffled")  # of the demo's seven, the kinds seen in development
HELD_OUT = ("fmnist-rotated", "mnist", "digits8x8", "uniform-noise")
DEMO = (*SEEN, *HELD_OUT)
OUTSIDE = ("notMNIST", "CIFAR-10", "SVHN", "DTD")  # not bundled


def partners(labels: Labels, rng: Rng) -> npt.NDArray[np.int64]:
    """For each image another one of another class."""
    other = rng.permutation(len(labels))
    while (same := np.flatnonzero(labels[other] == labels)).size:
        other[same] = rng.integers(len(labels), size=same.size)
    return other


def development_sets(count: int) -> dict[str, Pixels]:
    """The ten development ood sets, made from the first `count` images of fmnist:train (and the two photographs)."""
    base = load_data("fmnist:train").take(np.arange(count))
    assert base.labels is not None
    out = {
        name: make(base.images, base.labels, np.random.default_rng([2024, number]))
        for number, (name, make) in enumerate(KINDS.items())
    }
    return {**out, "photo-patches": load_data("photo-patches").images[:count]}


def reported_sets(outside: dict[str, str], count: int) -> dict[str, Pixels]:
    """The sets of the report: the demo's seven, the two made here, and files from outside brought to grey 28x28.

    Args:
        outside: {name: path of an .npz}.
        count: at most this many images of each, drawn with seed 0.
    """

    def drawn(ref: str) -> Pixels:
        return load_data(ref, shape=(1, SIDE, SIDE)).sample(count, seed=0).images

    test = drawn("fmnist:test")
    made = {"gaussian-noise": gaussian_noise(min(count, 2000), np.random.default_rng(5)), "blurred": blurred(test, 2.0)}
    return {name: drawn(name) for name in DEMO} | made | {name: drawn(path) for name, path in outside.items()}
