"""Pictures of any kind become one ImageSet, wherever they lie: folder, .zip, table or list. Broken ones are counted.

The policy: turned as EXIF says, laid over black where transparent, 16 bits to 8, the centre cropped to the wanted
aspect and resized with antialiasing. Without a wanted shape the commonest size wins, and colour if any has colour.
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from fssd_core.data.images import ImageSet, Pixels, Shape, fit
from fssd_core.data.limits import MAX_BYTES, MAX_FILES, MAX_PIXELS, MAX_SIDE, first_line, shown
from fssd_core.errors import DataError

FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF")
Labels = npt.NDArray[np.int64]
_UNREADABLE = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, NotImplementedError, OverflowError,
    struct.error, zlib.error, Image.DecompressionBombError, Image.DecompressionBombWarning,
)  # fmt: skip


@dataclass(frozen=True)
class Source:
    """One picture before it is read.

    Attributes:
        name: what it is called in notes: its path below the set, or its row.
        open: gives its bytes; may raise what reading a damaged file raises.
        label: its class, by name or number; None for none.
        refused: why it must not be opened; '' if it may.
    """

    name: str
    open: Callable[[], IO[bytes]]
    label: str | int | None = None
    refused: str = ""


@dataclass(frozen=True)
class _Head:
    """What a picture's header says."""

    row: int
    size: tuple[int, int]
    colour: bool


def load_sources(
    where: str, sources: Sequence[Source], *, shape: Shape | None, classes: tuple[str, ...] = (), unlabelled: str = ""
) -> ImageSet:
    """The pictures that can be read, in their order; the others are counted and named in `notes`.

    Args:
        where: the file or folder that holds them.
        sources: the pictures; `rows` of the result are their places.
        shape: (C, H, W) wanted; None for the commonest size (at most 512 pixels a side).
        classes: names of numbered classes, if known.
        unlabelled: note for when only some have a label.

    Raises:
        DataError: none readable, too many, or more than 2 GiB of pixels.
    """
    if len(sources) > MAX_FILES:
        raise DataError(f"{where}: {len(sources):,} files were given; at most {MAX_FILES:,} are read. Give fewer")
    broken: dict[str, str] = {}
    heads = [head for row, source in enumerate(sources) if (head := _head(row, source, broken)) is not None]
    size, notes = _target(heads, shape)
    colour = any(h.colour for h in heads) if shape is None else shape[0] == 3
    if len(heads) * size[0] * size[1] * (3 if colour else 1) > MAX_BYTES:
        raise DataError(
            f"{where}: {len(heads)} pictures of {size[0]}x{size[1]} pixels are more than {MAX_BYTES / 2**30:.0f} GiB; "
            "give fewer, or a smaller shape"
        )
    images, rows = _read(sources, heads, (3 if colour else 1, size[1], size[0]), broken)
    if not rows:
        raise DataError(f"{where}: {_broken_note(broken, len(sources))}; {', '.join(FORMATS)} are allowed")
    if broken:
        notes.append(_broken_note(broken, len(sources)))
    labels, names = _labels([sources[row].label for row in rows], classes, unlabelled, notes)
    notes += _colour_notes(heads, colour)
    return ImageSet(where, images, labels, names, np.array(rows), tuple(notes))


def read_picture(
    source: Path | IO[bytes], shape: Shape, broken: dict[Path, str], *, name: Path | None = None
) -> Pixels | None:
    """One picture at a model's shape (C, H, W); None where it cannot be read, with the reason in `broken`.

    Args:
        source: a file or its bytes.
        shape: (C, H, W) wanted.
        broken: reasons by file; added to.
        name: what bytes are called in `broken`.
    """
    try:
        return _pixels(source, shape)
    except _UNREADABLE as error:
        broken[source if isinstance(source, Path) else name or Path("a picture")] = _reason(error)
        return None


def _head(row: int, source: Source, broken: dict[str, str]) -> _Head | None:
    if source.refused:
        broken[source.name] = source.refused
        return None
    try:
        with source.open() as file, Image.open(file, formats=FORMATS) as image:
            _check_size(image)
            turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
            size = (image.height, image.width) if turned else image.size
            return _Head(row, size, image.mode not in ("1", "L", "LA", "La", "I", "F") and image.mode[:2] != "I;")
    except _UNREADABLE as error:
        broken[source.name] = _reason(error)
        return None


def _check_size(image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"{image.width}x{image.height} is more than {MAX_PIXELS // 10**6} million pixels")


def _target(heads: list[_Head], shape: Shape | None) -> tuple[tuple[int, int], list[str]]:
    """(width, height) of all images, and what is done to the others."""
    sizes = Counter(h.size for h in heads)
    if shape is not None:
        size = (shape[2], shape[1])
    else:
        size = min(sizes, key=lambda s: (-sizes[s], s)) if sizes else (1, 1)
        if max(size) > MAX_SIDE:
            size = (max(1, size[0] * MAX_SIDE // max(size)), max(1, size[1] * MAX_SIDE // max(size)))
    others = sum(n for s, n in sizes.items() if s != size)
    if not others:
        return size, []
    cropped = any(s[0] * size[1] != s[1] * size[0] for s in sizes)
    what = "cropped at the centre and resized" if cropped else "resized"
    return size, [f"{others} of {len(heads)} pictures were {what} to {size[0]}x{size[1]} pixels"]


def _read(
    sources: Sequence[Source], heads: list[_Head], shape: Shape, broken: dict[str, str]
) -> tuple[Pixels, list[int]]:
    """(images, rows) of those that can be read; the array is filled in place, so that nothing is held twice."""
    channels, height, width = shape
    images = np.empty((len(heads), height, width, *((3,) if channels == 3 else ())), dtype=np.uint8)
    rows: list[int] = []
    for head in heads:
        source = sources[head.row]
        try:
            with source.open() as file:
                images[len(rows)] = _pixels(file, shape)
            rows.append(head.row)
        except _UNREADABLE as error:
            broken[source.name] = _reason(error)
    return images[: len(rows)], rows


def _pixels(source: Path | IO[bytes], shape: Shape) -> Pixels:
    with Image.open(source, formats=FORMATS) as image:
        _check_size(image)
        upright = ImageOps.exif_transpose(image)
        return np.asarray(fit(_eight_bits(upright).convert("RGB" if shape[0] == 3 else "L"), (shape[2], shape[1])))


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey or RGB with 8 bits: 16-bit grey is divided by 257, floats must lie in 0..1, transparency lies over black."""
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        values = np.asarray(image).astype(np.float64)
        top = 1.0 if image.mode == "F" else 65535.0
        if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= top):
            raise ValueError(f"pixel values of mode {image.mode} lie outside 0..{top:g}")
        return Image.fromarray((values * (255 / top)).round().astype(np.uint8))
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        layered = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layered.size, (0, 0, 0, 255)), layered).convert("RGB")
    return image.convert("RGB") if image.mode not in ("1", "L") else image


def _labels(
    given: list[str | int | None], classes: tuple[str, ...], unlabelled: str, notes: list[str]
) -> tuple[Labels | None, tuple[str, ...]]:
    """(labels, class names): numbers stay as they are, names are numbered in their order."""
    labels = [label for label in given if label is not None]
    if len(labels) < len(given):
        if labels and unlabelled:
            notes.append(unlabelled)
        return None, ()
    numbers = [label for label in labels if isinstance(label, int)]
    if len(numbers) == len(labels):
        return np.array(numbers, dtype=np.int64), classes
    place = {name: k for k, name in enumerate(sorted({str(label) for label in labels}))}
    return np.array([place[str(label)] for label in labels], dtype=np.int64), tuple(shown(name) for name in place)


def _colour_notes(heads: list[_Head], colour: bool) -> list[str]:
    grey, coloured = sum(not h.colour for h in heads), sum(h.colour for h in heads)
    if colour and grey:
        return [f"{grey} grey pictures were repeated over 3 colour channels"]
    return [f"{coloured} colour pictures were turned to grey (luma)"] if not colour and coloured else []


def _broken_note(broken: dict[str, str], total: int) -> str:
    some = [f"{shown(name)} ({why})" for name, why in sorted(broken.items())[:3]]
    more = f", and {len(broken) - 3} more" if len(broken) > 3 else ""
    return f"{len(broken)} of {total} files could not be read: {', '.join(some)}{more}"


def _reason(error: BaseException) -> str:
    return "not a picture of an allowed kind" if isinstance(error, UnidentifiedImageError) else first_line(error)
