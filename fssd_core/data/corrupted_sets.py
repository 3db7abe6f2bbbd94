"""Corrupted sets as they are distributed: ImageNet-C, Tiny-ImageNet-C, CIFAR-10-C, CIFAR-100-C, MNIST-C.

- ImageNet-C and Tiny-ImageNet-C: [group/]type/severity/wnid/*.JPEG; every cell holds the same pictures.
- CIFAR-10-C and CIFAR-100-C: type.npy (5 x n, H, W, 3), severities one after the other, and labels.npy (5 x n,).
- MNIST-C: type/test_images.npy (n, 28, 28, 1) and type/test_labels.npy (n,), one level, and `identity` for the clean.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from fssd_core.data.corruptions import SEVERITIES, TYPES
from fssd_core.data.images import ImageSet, Shape, fit
from fssd_core.data.npz import without_channel
from fssd_core.errors import DataError, did_you_mean

PICTURES = (".jpeg", ".jpg", ".png")
FOLDER, CIFAR, MNIST = "folders", "cifar-c", "mnist-c"
DISTRIBUTED = {1000: ("ImageNet-C", 50_000), 200: ("Tiny-ImageNet-C", 10_000)}  # by the number of classes
LAYOUTS = (
    "type/severity/wnid/*.JPEG (ImageNet-C, Tiny-ImageNet-C), type.npy with labels.npy (CIFAR-10-C, CIFAR-100-C), "
    "or type/test_images.npy (MNIST-C)"
)
CLEAN = "identity"  # MNIST-C's own copy of the clean images


@dataclass(frozen=True, eq=False)
class CorruptedSet:
    """One distributed set: what it holds. Pixels are read cell by cell.

    Attributes:
        root: its folder.
        layout: 'folders', 'cifar-c' or 'mnist-c'.
        places: {type: its file or folder}.
        severities: rising, the same for every type.
        count: images in a cell.
        labels: (count,) classes, the same in every cell.
        classes: class names, as far as the layout says them.
        files: for 'folders' the pictures' paths below the severity's folder, in order.
        notes: what a user must know.
    """

    root: Path
    layout: str
    places: dict[str, Path]
    severities: tuple[int, ...]
    count: int
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def types(self) -> tuple[str, ...]:
        """Types in ImageNet-C's order, unknown ones after them by name."""
        known = [name for name in TYPES if name in self.places]
        return tuple(known + sorted(name for name in self.places if name not in TYPES and name != CLEAN))

    def check_type(self, name: str) -> str:
        """The name, if the set has it.

        Raises:
            DataError: it has not; the message says what it has.
        """
        if name not in self.types:
            raise DataError(f"{self.root}: no corruption type {name!r} in this set{did_you_mean(name, self.types)}")
        return name

    def load(self, kind: str, severity: int, *, shape: Shape, rows: npt.NDArray[np.int64] | None = None) -> ImageSet:
        """The images of one cell, or some rows of it, brought to a model's input (C, H, W).

        Raises:
            DataError: no such cell, or a damaged file.
        """
        self.check_type(kind)
        if severity not in self.severities:
            raise DataError(f"{self.root}: no severity {severity}; it has {', '.join(map(str, self.severities))}")
        chosen = np.arange(self.count) if rows is None else rows
        place = self.places[kind]
        if self.layout == FOLDER:
            images = _pictures(place / str(severity), [self.files[i] for i in chosen], shape)
        else:
            path = place if self.layout == CIFAR else place / "test_images.npy"
            start = self.count * (severity - 1) if self.layout == CIFAR else 0
            stored = _mapped(path)
            images = without_channel(np.ascontiguousarray(stored[start + chosen]))
        made = ImageSet(f"{self.root}:{kind}:{severity}", images, self.labels[chosen], self.classes, chosen)
        return made.fitted(shape)

    def stamp(self, kind: str, severity: int, rows: npt.NDArray[np.int64]) -> str:
        """Changes when a file of these rows does: a hash of names, sizes and times; no pixel is read."""
        place = self.places[kind]
        if self.layout == FOLDER:
            paths = [place / str(severity) / self.files[i] for i in rows]
        else:
            paths = [place if self.layout == CIFAR else place / "test_images.npy"]
        digest = hashlib.sha256(f"{self.layout}:{kind}:{severity}:{self.count}".encode())
        for path in paths:
            status = path.stat()
            digest.update(f"{path.relative_to(self.root)}:{status.st_size}:{status.st_mtime_ns};".encode())
        return digest.hexdigest()


def open_corrupted(root: Path, *, types: Sequence[str] | None = None) -> CorruptedSet:
    """Finds out what the folder holds and whether it is whole; no pixels are read.

    Args:
        root: the unpacked set.
        types: of a set of pictures look at these only (listing all of ImageNet-C takes minutes); None for all.

    Raises:
        DataError: no such folder, none of the known layouts, or counts, shapes and labels that do not fit together.
    """
    if not root.is_dir():
        raise DataError(f"{str(root)!r} is no folder; give the folder of a corrupted set: {LAYOUTS}")
    try:
        if (root / "labels.npy").is_file():
            return _cifar(root)
        if inside := sorted(p.parent for p in root.glob("*/test_images.npy")):
            return _mnist(root, inside)
        return _folders(root, types)
    except OSError as error:
        raise DataError(f"{root} cannot be read ({error.strerror or error}); check its permissions") from error


def _cifar(root: Path) -> CorruptedSet:
    places = {p.stem: p for p in sorted(root.glob("*.npy")) if p.stem != "labels"}
    if not places:
        raise DataError(f"{root}: labels.npy is there, but no type.npy (gaussian_noise.npy ...) beside it")
    labels = _labels(root / "labels.npy")
    levels = len(SEVERITIES)
    count, rest = divmod(len(labels), levels)
    if rest or count == 0:
        raise DataError(
            f"{root}/labels.npy has {len(labels):,} labels; {levels} severities need a multiple of {levels} "
            "(50,000 in CIFAR-10-C and CIFAR-100-C)"
        )
    blocks = labels.reshape(levels, count)
    if not (blocks == blocks[0]).all():
        raise DataError(
            f"{root}/labels.npy: the labels of the {levels} severities differ; they must be those of the same "
            f"{count:,} images {levels} times, in order of severity"
        )
    for path in places.values():
        _check_array(path, len(labels), (4,), "labels.npy has")
    _same_shape(list(places.values()))
    notes = [] if count == 10_000 else [f"{count:,} images a severity; CIFAR-10-C and CIFAR-100-C have 10,000"]
    return CorruptedSet(root, CIFAR, places, SEVERITIES, count, blocks[0].copy(), notes=tuple(notes))


def _mnist(root: Path, folders: Sequence[Path]) -> CorruptedSet:
    labels = None
    for folder in folders:
        path = folder / "test_labels.npy"
        if not path.is_file():
            raise DataError(f"{folder}: test_images.npy is there, test_labels.npy is not; MNIST-C has both")
        own = _labels(path)
        _check_array(folder / "test_images.npy", len(own), (3, 4), "test_labels.npy has")
        if labels is not None and not np.array_equal(own, labels):
            raise DataError(f"{path}: other labels than those of {folders[0].name}; every type holds the same images")
        labels = own
    assert labels is not None
    if not len(labels):
        raise DataError(f"{root}: 0 images; MNIST-C has 10,000 a type")
    _same_shape([folder / "test_images.npy" for folder in folders])
    notes = ["MNIST-C has one level of each type; it is shown as severity 1"]
    if len(labels) != 10_000:
        notes.append(f"{len(labels):,} images a type; MNIST-C has 10,000")
    return CorruptedSet(root, MNIST, {f.name: f for f in folders}, (1,), len(labels), labels, notes=tuple(notes))


def _folders(root: Path, types: Sequence[str] | None) -> CorruptedSet:
    levels = [p for p in [*root.glob("*/[1-5]"), *root.glob("*/*/[1-5]")] if p.is_dir()]
    found = sorted({p.parent.name for p in levels})
    levels = [p for p in levels if types is None or p.parent.name in types]
    if found and not levels:
        raise DataError(f"{root}: none of the types asked for is in this set; it has {', '.join(found)}")
    places = {p.parent.name: p.parent for p in levels}
    if not places:
        raise DataError(f"{root}: no corrupted set was found; known layouts are {LAYOUTS}")
    severities = {kind: {int(p.name) for p in levels if p.parent == place} for kind, place in places.items()}
    every = set.union(*severities.values())
    for kind, have in severities.items():
        if missing := sorted(every - have):
            raise DataError(f"{places[kind]}: severity {missing[0]} is missing; other types have it")
    files: tuple[str, ...] | None = None
    for level in sorted(levels):
        own = _listed(level)
        if files is not None and own != files:
            raise DataError(_unequal(level, own, files))
        files = own
    if not files:
        raise DataError(f"{root}: 0 pictures; {sorted(levels)[0]} should hold wnid/*.JPEG")
    classes = tuple(sorted({name.split("/")[0] for name in files}))
    labels = np.array([classes.index(name.split("/")[0]) for name in files])
    notes = []
    whole = DISTRIBUTED.get(len(classes))
    if whole is not None and len(files) != whole[1]:
        notes.append(f"{len(files):,} pictures a cell; {whole[0]} has {whole[1]:,}")
    elif whole is None:
        notes.append(f"{len(classes)} classes; ImageNet-C has 1,000, Tiny-ImageNet-C 200")
    return CorruptedSet(
        root, FOLDER, places, tuple(sorted(every)), len(files), labels, classes, files, tuple(notes)
    )  # fmt: skip


def _listed(level: Path) -> tuple[str, ...]:
    found = [p for p in level.glob("*/*") if p.suffix.lower() in PICTURES and not p.name.startswith(".")]
    return tuple(sorted(p.relative_to(level).as_posix() for p in found))


def _unequal(level: Path, own: tuple[str, ...], files: tuple[str, ...]) -> str:
    words = f"{level}: {len(own):,} pictures, {len(files):,} in the cells before it"
    missing, more = sorted(set(files) - set(own)), sorted(set(own) - set(files))
    words += f"; {missing[0]} is missing" if missing else f"; {more[0]} is not in the others"
    return f"{words}. Every type and severity must hold the same pictures; unpack the set again"


def _pictures(folder: Path, names: Sequence[str], shape: Shape) -> npt.NDArray[np.uint8]:
    made = []
    for name in names:
        try:
            with Image.open(folder / name, formats=("JPEG", "PNG")) as picture:
                made.append(np.asarray(fit(picture.convert("RGB"), (shape[2], shape[1]))))
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(f"{folder / name} is damaged ({error}); unpack the set again") from error
    return np.stack(made)


def _mapped(path: Path) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} is damaged or cut off ({error}); copy it again") from error
    return array


def _labels(path: Path) -> npt.NDArray[np.int64]:
    labels = np.asarray(_mapped(path))
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataError(f"{path} has shape {labels.shape} and type {labels.dtype}; one whole number an image is needed")
    return labels.astype(np.int64)


def _check_array(path: Path, count: int, ndims: tuple[int, ...], whose: str) -> None:
    array = _mapped(path)
    channels = array.shape[3] if array.ndim == 4 else 1
    if array.dtype != np.uint8 or array.ndim not in ndims or channels not in (1, 3):
        raise DataError(
            f"{path} has shape {array.shape} and type {array.dtype}; uint8 (N, H, W, 3), in MNIST-C (N, 28, 28, 1), "
            "is needed"
        )
    if len(array) != count:
        raise DataError(f"{path} has {len(array):,} images, {whose} {count:,}; they must be equal")


def _same_shape(paths: Sequence[Path]) -> None:
    shapes = {path: _mapped(path).shape for path in paths}
    first = shapes[paths[0]]
    for path, shape in shapes.items():
        if shape != first:
            raise DataError(f"{path} has shape {shape}, {paths[0].name} has {first}; all types must have the same")
