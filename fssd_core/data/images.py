"""ImageSet: images of one size as uint8, with labels, stable row ids and what a user must know about them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from fssd_core.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

Pixels = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.integer[Any]]
Shape = tuple[int, int, int]  # (C, H, W)


def _no_rows() -> npt.NDArray[np.int64]:
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images of one data set; the arrays are shared and read-only.

    Attributes:
        name: the reference it was loaded by ('fmnist:test', 'mnist', '/path/x.npz').
        images: (N, H, W) grey or (N, H, W, 3) colour.
        labels: (N,) classes, or None.
        classes: class names; may be empty.
        rows: (N,) row of each image in the full set, a stable id that survives `take`; 0..N-1 if not given.
        notes: what a user must know ('3 of 200 files could not be read: a.png ...').

    Raises:
        DataError: no images, or arrays that do not fit together.
    """

    name: str
    images: Pixels
    labels: npt.NDArray[np.int64] | None = None
    classes: tuple[str, ...] = ()
    rows: npt.NDArray[np.int64] = field(default_factory=_no_rows)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        images = np.asarray(self.images)
        if images.dtype != np.uint8 or images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] != 3):
            raise DataError(
                f"{self.name}: images of shape {images.shape} and type {images.dtype} were given; "
                "allowed is uint8 (N, H, W) or (N, H, W, 3)"
            )
        if 0 in images.shape:
            raise DataError(f"{self.name}: images of shape {images.shape} hold no pixel; at least 1 image is needed")
        rows = np.arange(len(images)) if self.rows.size == 0 else self.rows
        object.__setattr__(self, "images", _frozen(images))
        object.__setattr__(self, "rows", _frozen(np.asarray(rows, dtype=np.int64)))
        if self.labels is not None:
            object.__setattr__(self, "labels", _frozen(np.asarray(self.labels, dtype=np.int64)))
        for what, array in (("labels", self.labels), ("rows", self.rows)):
            if array is not None and array.shape != (len(images),):
                raise DataError(f"{self.name}: {what} of shape {array.shape} do not fit {len(images)} images")
        object.__setattr__(self, "classes", tuple(self.classes))
        object.__setattr__(self, "notes", tuple(self.notes))

    def __len__(self) -> int:
        return int(self.images.shape[0])

    @property
    def shape(self) -> Shape:
        """(C, H, W) of one image, as a model takes it."""
        height, width = self.images.shape[1:3]
        return (1 if self.images.ndim == 3 else 3, int(height), int(width))

    def fingerprint(self) -> str:
        """SHA-256 over type, shape and bytes of images and labels; the name does not enter. Cached."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        digest = hashlib.sha256()
        for array in (self.images, self.labels):
            if array is None:
                digest.update(b"none;")
                continue
            digest.update(f"{array.dtype.str}{array.shape};".encode())
            digest.update(array.data)
        return digest.hexdigest()

    @cached_property
    def image_digests(self) -> tuple[bytes, ...]:
        """N 16-byte hashes (BLAKE2b) of the images' pixels, in their order."""
        return tuple(hashlib.blake2b(image.data, digest_size=16).digest() for image in self.images)

    def tensor(self, rows: Rows | None = None) -> Tensor:
        """(n, C, H, W) float32 in [0, 1] of the given positions, all if None."""
        import torch

        images = self.images if rows is None else self.images[rows]
        pixels = torch.from_numpy(images.astype(np.float32)).div_(255)  # astype copies, so the set stays untouched
        return pixels.unsqueeze(1) if images.ndim == 3 else pixels.permute(0, 3, 1, 2).contiguous()

    def take(self, rows: Rows) -> ImageSet:
        """The images at the given positions (0..N-1 of this set), in that order; their ids in `rows` stay."""
        labels = None if self.labels is None else self.labels[rows]
        return replace(self, images=self.images[rows], labels=labels, rows=self.rows[rows])

    def sample(self, count: int | None, *, seed: int) -> ImageSet:
        """`count` images drawn without replacement, in the order of the set; the whole set if it has no more.

        Raises:
            DataError: count below 1.
        """
        if count is None or count >= len(self):
            return self
        if count < 1:
            raise DataError(f"{self.name}: {count} samples were asked for; give 1 to {len(self)}")
        drawn = np.random.default_rng(seed).choice(len(self), size=count, replace=False)
        return self.take(np.sort(drawn))

    def fitted(self, shape: Shape) -> ImageSet:
        """The set brought to a model's input (C, H, W): grey to colour or back, cropped at the centre, resized.

        Grey is ITU-R 601 luma; sizes change by antialiased bilinear resampling. Each change is said in `notes`.

        Raises:
            DataError: C is neither 1 nor 3, or a side is below 1.
        """
        if shape == self.shape:
            return self
        channels, height, width = shape
        if channels not in (1, 3) or height < 1 or width < 1:
            raise DataError(
                f"{self.name}: its images, {_text(self.shape)}, cannot be brought to the network's {_text(shape)}; "
                "networks of 1 or 3 channels are supported, take another one"
            )
        notes = list(self.notes)
        grey = self.images.ndim == 3
        images = self.images
        if channels == 1 and not grey:
            images, grey = to_grey(images), True
            notes.append("colour was turned to grey (luma)")
        if images.shape[1:3] != (height, width):
            notes.append(f"resized from {images.shape[2]}x{images.shape[1]} to {width}x{height} pixels")
            if images.shape[2] * height != images.shape[1] * width:
                notes[-1] = f"cropped at the centre and {notes[-1]}"
            images = np.stack([np.asarray(fit(Image.fromarray(one), (width, height))) for one in images])
        if channels == 3 and grey:
            images = np.repeat(images[..., None], 3, axis=3)
            notes.append("grey was repeated over 3 colour channels")
        return replace(self, images=images, notes=tuple(notes))


def fit(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """One picture cropped at its centre to the aspect of `size` (width, height), then resized (antialiased)."""
    if image.size == size:
        return image
    scale = min(image.width / size[0], image.height / size[1])
    crop_width, crop_height = size[0] * scale, size[1] * scale
    left, top = (image.width - crop_width) / 2, (image.height - crop_height) / 2
    box = (left, top, left + crop_width, top + crop_height)
    return image.resize(size, Image.Resampling.BILINEAR, box=box)


def to_grey(images: Pixels) -> Pixels:
    """(N, H, W, 3) -> (N, H, W): luma 0.299 R + 0.587 G + 0.114 B, rounded, in whole numbers."""
    red, green, blue = (images[..., c].astype(np.uint32) for c in range(3))
    return ((299 * red + 587 * green + 114 * blue + 500) // 1000).astype(np.uint8)


def _text(shape: Shape) -> str:
    return f"{shape[0]} channels of {shape[2]}x{shape[1]} pixels"


def _frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A contiguous read-only view: sets are shared, so nobody may write to them."""
    array = np.ascontiguousarray(array).view()
    array.flags.writeable = False
    return array
