"""People's own pictures: a folder of PNG, JPEG, BMP, WebP, GIF or TIFF files, optionally one subfolder a class."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from fssd_core.data.images import ImageSet, Pixels, Shape, fit
from fssd_core.errors import DataError

FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF")
MAX_PIXELS = 50_000_000  # of one picture: a small file can claim more than memory holds
MAX_SIDE = 512  # of pictures whose size the caller leaves open
MAX_BYTES = 2 * 2**30
_UNREADABLE = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, NotImplementedError, OverflowError,
    Image.DecompressionBombError, Image.DecompressionBombWarning,
)  # fmt: skip


@dataclass(frozen=True)
class _Head:
    """What a picture's header says."""

    row: int
    path: Path
    size: tuple[int, int]
    colour: bool


def load_folder(path: Path, *, shape: Shape | None = None) -> ImageSet:
    """The pictures under a folder, in the order of their paths; files that cannot be read are counted in `notes`.

    Pictures are turned as their EXIF data say, laid over black where transparent, taken from 16 to 8 bits, and made
    colour if any of them has colour. Of animations the first frame counts. Pictures of another size than `shape`, or
    than the commonest, are cropped at the centre to its aspect and resized. If all lie in subfolders, these are the
    classes. `rows` are positions in the sorted list of files.

    Args:
        path: the folder.
        shape: (C, H, W) wanted; None for the commonest size (at most 512 pixels a side).

    Raises:
        DataError: no file, none readable, or more than 2 GiB of pixels.
    """
    files = list(_files(path))
    if not files:
        raise DataError(
            f"{path}: the folder is empty; put {', '.join(FORMATS)} files into it, or one subfolder a class"
        )
    broken: dict[Path, str] = {}
    heads = [head for row, file in enumerate(files) if (head := _head(row, file, broken)) is not None]
    size, notes = _target(heads, shape)
    colour = any(h.colour for h in heads) if shape is None else shape[0] == 3
    if len(heads) * size[0] * size[1] * (3 if colour else 1) > MAX_BYTES:
        raise DataError(
            f"{path}: {len(heads)} pictures of {size[0]}x{size[1]} pixels are more than {MAX_BYTES / 2**30:.0f} GiB; "
            "give fewer, or a smaller shape"
        )
    images, rows = [], []
    for head in heads:
        pixels = _pixels(head.path, size, colour, broken)
        if pixels is not None:
            images.append(pixels)
            rows.append(head.row)
    if not images:
        raise DataError(f"{path}: {_broken_note(broken, len(files), path)}; {', '.join(FORMATS)} are allowed")
    if broken:
        notes.append(_broken_note(broken, len(files), path))
    labels, classes = _classes(path, [files[row] for row in rows], notes)
    notes += _colour_notes(heads, colour)
    return ImageSet(str(path), np.stack(images), labels, classes, np.array(rows), tuple(notes))


def folder_key(path: Path) -> Hashable:
    """Changes when any file under the folder does."""
    stats = tuple((str(f.relative_to(path)), (s := f.stat()).st_mtime_ns, s.st_size) for f in _files(path))
    return str(path.resolve()), stats


def _files(path: Path) -> Iterator[Path]:
    """Visible files under the folder, sorted; links to folders are not followed."""
    for folder, names, files in os.walk(path):
        names[:] = sorted(n for n in names if not n.startswith("."))
        yield from (Path(folder) / f for f in sorted(files) if not f.startswith(".") and (Path(folder) / f).is_file())


def _head(row: int, file: Path, broken: dict[Path, str]) -> _Head | None:
    try:
        with Image.open(file, formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise ValueError(f"{width}x{height} is more than {MAX_PIXELS // 10**6} million pixels")
            turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
            size = (height, width) if turned else (width, height)
            return _Head(row, file, size, image.mode not in ("1", "L", "LA", "La", "I", "F") and image.mode[:2] != "I;")
    except _UNREADABLE as error:
        broken[file] = _reason(error)
        return None


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
    where = source if isinstance(source, Path) else name or Path("a picture")
    try:
        with Image.open(source, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"{image.width}x{image.height} is more than {MAX_PIXELS // 10**6} million pixels")
            upright = ImageOps.exif_transpose(image)
            return np.asarray(fit(_eight_bits(upright).convert("RGB" if shape[0] == 3 else "L"), (shape[2], shape[1])))
    except _UNREADABLE as error:
        broken[where] = _reason(error)
        return None


def _pixels(file: Path, size: tuple[int, int], colour: bool, broken: dict[Path, str]) -> Pixels | None:
    return read_picture(file, (3 if colour else 1, size[1], size[0]), broken)


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


def _classes(
    path: Path, files: list[Path], notes: list[str]
) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]] | None, tuple[str, ...]]:
    """Labels from the subfolders, if every picture lies in one."""
    parts = [f.relative_to(path).parts for f in files]
    inside = sum(len(p) > 1 for p in parts)
    if inside < len(parts):
        if inside:
            notes.append("pictures lie in the folder itself and in subfolders, so there are no class labels")
        return None, ()
    names = tuple(sorted({p[0] for p in parts}))
    return np.array([names.index(p[0]) for p in parts]), names


def _colour_notes(heads: list[_Head], colour: bool) -> list[str]:
    grey, coloured = sum(not h.colour for h in heads), sum(h.colour for h in heads)
    if colour and grey:
        return [f"{grey} grey pictures were repeated over 3 colour channels"]
    return [f"{coloured} colour pictures were turned to grey (luma)"] if not colour and coloured else []


def _broken_note(broken: dict[Path, str], total: int, path: Path) -> str:
    shown = [f"{f.relative_to(path)} ({why})" for f, why in sorted(broken.items())[:3]]
    more = f", and {len(broken) - 3} more" if len(broken) > 3 else ""
    return f"{len(broken)} of {total} files could not be read: {', '.join(shown)}{more}"


def _reason(error: BaseException) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not a picture of an allowed kind"
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
