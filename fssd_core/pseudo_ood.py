"""Pseudo-ood: images made from ind images alone, so that alpha can be fitted without an ood label.

Ten changes, each of which keeps something of an ind image and spoils the rest. docs/pseudo-ood.md says how they were
chosen, and on which images. None is a set that the demo tests on: nothing is inverted, turned, or drawn pixel by pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from fssd_core.data import ImageSet
from fssd_core.errors import InputError

COUNT = 500
SMALLEST_SIDE = 8
Images = npt.NDArray[np.float32]  # (n, H, W, C), pixels 0..255
Change = Callable[[Images, Images, np.random.Generator], Images]


def make_pseudo_ood(images: ImageSet, *, count: int = COUNT, seed: int) -> ImageSet:
    """`count` images, the same number of each change; the same bytes for the same images and seed.

    Args:
        images: ind images to spoil; each is used about equally often.
        count: how many to make, at least one of each change.
        seed: of the draws, not negative.

    Raises:
        InputError: images below 8x8 pixels, too small a count, or a negative seed.
    """
    height, width = images.images.shape[1:3]
    if min(height, width) < SMALLEST_SIDE:
        raise InputError(
            f"pseudo-ood cannot be made from images of {width}x{height} pixels; at least "
            f"{SMALLEST_SIDE}x{SMALLEST_SIDE} are needed"
        )
    if count < len(CHANGES) or seed < 0:
        raise InputError(
            f"{count} pseudo-ood images and seed {seed} were asked for; at least {len(CHANGES)} are made, one of each "
            "change, and a seed is 0 or more"
        )
    made = []
    for number, change in enumerate(CHANGES.values()):
        rng = np.random.default_rng([seed, number])  # a stream a change: another one more or less moves no other
        wanted = len(range(number, count, len(CHANGES)))
        rows = np.resize(rng.permutation(len(images)), wanted)
        others = np.roll(rng.permutation(len(images)), 1)[rows % len(images)]
        changed = change(_floats(images, rows), _floats(images, others), rng)
        made.append(np.clip(np.rint(changed), 0, 255).astype(np.uint8))
    pixels = np.concatenate(made)
    return ImageSet(f"pseudo-ood of {images.name}", pixels[..., 0] if images.images.ndim == 3 else pixels)


def jigsaw(images: Images, _: Images, rng: np.random.Generator) -> Images:
    """Tiles in an order of each image's own, from a half of the side down to a 14th."""
    out = images.copy()
    for image in out:
        cells = _log_uniform(rng, 2, 14)
        high, wide = max(2, round(image.shape[0] / cells)), max(2, round(image.shape[1] / cells))
        corners = [
            (y, x) for y in range(0, len(image) - high + 1, high) for x in range(0, image.shape[1] - wide + 1, wide)
        ]
        tiles = [image[y : y + high, x : x + wide].copy() for y, x in corners]
        for (y, x), tile in zip(corners, rng.permutation(len(tiles)), strict=True):
            image[y : y + high, x : x + wide] = tiles[tile]
    return out


def cut_paste(images: Images, others: Images, rng: np.random.Generator) -> Images:
    """A rectangle of another image, a third to two thirds of each side, pasted at another place."""
    out = images.copy()
    _, height, width, _ = images.shape
    for image, other in zip(out, others, strict=True):
        high, wide = (int(rng.integers(side // 3, 2 * side // 3 + 1)) for side in (height, width))
        (top, left), (y, x) = ((rng.integers(height - high + 1), rng.integers(width - wide + 1)) for _ in range(2))
        image[top : top + high, left : left + wide] = other[y : y + high, x : x + wide]
    return out


def blur(images: Images, _: Images, rng: np.random.Generator) -> Images:
    """A Gaussian blur 6 to 18 % of the side wide."""
    return np.stack([_smooth(image, rng.uniform(0.06, 0.18) * len(image)) for image in images])


def elastic(images: Images, _: Images, rng: np.random.Generator) -> Images:
    """Smooth random displacements, 6 to 14 % of the side on average."""
    _, height, width, _ = images.shape
    grid = np.indices((height, width), dtype=np.float64)

    def places() -> npt.NDArray[np.float64]:
        moved = ndimage.gaussian_filter(rng.standard_normal((2, height, width)), (0, 0.08 * height, 0.08 * width))
        return np.asarray(grid + moved * rng.uniform(0.06, 0.14) * height / moved.std())

    return _warped(images, (places() for _ in images))


def edges(images: Images, _: Images, rng: np.random.Generator) -> Images:
    """The outline: the length of the gradient, as bright as the image's brightest pixel."""
    length = np.hypot(*np.gradient(images, axis=(1, 2)))
    top, brightest = (values.max(axis=(1, 2, 3), keepdims=True) for values in (length, images))
    outline: Images = length / np.maximum(top, 1) * brightest
    return outline


def binary(images: Images, _: Images, rng: np.random.Generator) -> Images:
    """Black and white, cut at the 40 to 90 % quantile of the image's own pixels."""
    cuts = np.array([np.quantile(image, rng.uniform(0.4, 0.9)) for image in images], dtype=np.float32)
    return np.where(images > cuts[:, None, None, None], np.float32(255), np.float32(0))


def zoom(images: Images, _: Images, rng: np.random.Generator) -> Images:
    """A part of 25 to 50 % of the side, enlarged to the whole."""
    _, height, width, _ = images.shape

    def places() -> npt.NDArray[np.float64]:
        share = rng.uniform(0.25, 0.5)
        top, left = rng.uniform(0, (1 - share) * (height - 1)), rng.uniform(0, (1 - share) * (width - 1))
        grid = np.meshgrid(top + share * np.arange(height), left + share * np.arange(width), indexing="ij")
        return np.stack(grid)

    return _warped(images, (places() for _ in images))


def shrink(images: Images, _: Images, rng: np.random.Generator) -> Images:
    """The whole at 30 to 60 % of its size, somewhere on the mean of its own border."""
    _, height, width, _ = images.shape
    out = np.empty_like(images)
    for source, target in zip(images, out, strict=True):
        share = rng.uniform(0.3, 0.6)
        high, wide = max(1, round(share * height)), max(1, round(share * width))
        rows, columns = np.arange(high) * height // high, np.arange(wide) * width // wide
        target[:] = np.concatenate([source[0], source[-1], source[:, 0], source[:, -1]]).mean(axis=0)
        top, left = int(rng.integers(height - high + 1)), int(rng.integers(width - wide + 1))
        target[top : top + high, left : left + wide] = _smooth(source, 0.4 / share)[rows[:, None], columns]
    return out


def phase_noise(images: Images, _: Images, rng: np.random.Generator) -> Images:
    """The phases of noise under the image's own amplitude spectrum, flattened by a power of 0.25 to 1.

    The mean stays the image's own and the spread about so; its shape is gone, its texture stays or becomes finer.
    """
    count, height, width, _ = images.shape
    spectrum = np.abs(np.fft.rfft2(images, axes=(1, 2)))
    noise = np.fft.rfft2(rng.standard_normal((count, height, width, 1)), axes=(1, 2))
    mean = spectrum[:, 0, 0].copy()
    spectrum[:, 0, 0] = 0
    flat = np.where(spectrum > 0, spectrum, 1e-6) ** rng.uniform(0.25, 1, (count, 1, 1, 1))
    flat[:, 0, 0] = 0
    flat *= np.sqrt((spectrum**2).sum(axis=(1, 2), keepdims=True) / (flat**2).sum(axis=(1, 2), keepdims=True))
    mixed = flat * noise / np.maximum(np.abs(noise), 1e-12)
    mixed[:, 0, 0] = mean
    return np.fft.irfft2(mixed, s=(height, width), axes=(1, 2)).astype(np.float32)


def smooth_noise(images: Images, _: Images, rng: np.random.Generator) -> Images:
    """Noise of low frequency, 4 to 20 % of the side wide, at the image's own mean and spread."""
    out = np.empty_like(images)
    for source, target in zip(images, out, strict=True):
        noise = _smooth(rng.standard_normal(source.shape).astype(np.float32), rng.uniform(0.04, 0.2) * len(source))
        target[:] = source.mean() + source.std() * (noise - noise.mean()) / max(float(noise.std()), 1e-6)
    return out


CHANGES: dict[str, Change] = {
    "jigsaw": jigsaw,
    "cut-paste": cut_paste,
    "blur": blur,
    "elastic": elastic,
    "edges": edges,
    "binary": binary,
    "zoom": zoom,
    "shrink": shrink,
    "phase-noise": phase_noise,
    "smooth-noise": smooth_noise,
}
"""By name; each takes (images, other ind images, generator), both (n, H, W, C) in 0..255."""


def _floats(images: ImageSet, rows: npt.NDArray[np.int64]) -> Images:
    pixels = images.images[rows].astype(np.float32)
    return pixels if pixels.ndim == 4 else pixels[..., None]


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _smooth(image: Images, sigma: float) -> Images:
    smooth: Images = ndimage.gaussian_filter(image, (sigma, sigma, 0), mode="nearest")
    return smooth


def _warped(images: Images, places: Iterator[npt.NDArray[np.float64]]) -> Images:
    """Each image read at its places (2, H, W), linearly, the border's pixels beyond it."""
    out = np.empty_like(images)
    for source, target, place in zip(images, out, places, strict=True):
        for channel in range(source.shape[-1]):
            read = ndimage.map_coordinates(source[..., channel], place, order=1, mode="nearest")
            target[..., channel] = read
    return out
