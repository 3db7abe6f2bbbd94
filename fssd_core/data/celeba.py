"""CelebA as published: img_align_celeba/*.jpg with list_attr_celeba.txt; the attribute Blurry tells ind from ood."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from fssd_core.data.images import ImageSet
from fssd_core.data.listed import Limits, Picture, drawn, load_pictures, usable_count
from fssd_core.errors import DataError

SHAPE = (3, 224, 224)
OOD_ATTRIBUTE, LABEL_ATTRIBUTE = "Blurry", "Male"
TRAIN_END, VALID_END = 162_770, 182_637  # image numbers that end the official parts


def sharp_and_blurry(root: Path, limits: Limits, seed: int) -> tuple[ImageSet, ImageSet, ImageSet]:
    """(training faces that are not blurry, test faces that are not, test faces that are), 224x224; labels: male or not.

    The parts are those of list_eval_partition.txt, else the official image numbers.

    Args:
        root: a folder that holds `celeba/`, or the files themselves.
        limits: images of each, drawn by seed before they are read; None for all that 2 GiB hold.
        seed: of the draws.

    Raises:
        DataError: a file is missing or not in the published format.
    """
    base = next((p for p in (root / "celeba", root / "CelebA", root) if (p / "list_attr_celeba.txt").is_file()), None)
    if base is None:
        raise DataError(f"{root}: there is no celeba/list_attr_celeba.txt")
    folder = base / "img_align_celeba"
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder; unpack img_align_celeba.zip there")
    names, attributes = read_attributes(base / "list_attr_celeba.txt", (OOD_ATTRIBUTE, LABEL_ATTRIBUTE))
    part = _parts(base / "list_eval_partition.txt", names)
    blurry, male = attributes.T
    wanted = {
        "celeba-sharp:train": (part == 0) & ~blurry,
        "celeba-sharp:test": (part == 2) & ~blurry,
        "celeba-blurry:test": (part == 2) & blurry,
    }
    sets = []
    for (name, rows), limit in zip(wanted.items(), limits, strict=True):
        pictures = [Picture(folder / names[row], "male" if male[row] else "not male") for row in np.flatnonzero(rows)]
        if not pictures:
            raise DataError(f"{base}: no face belongs to {name}")
        most = usable_count(SHAPE)
        chosen = drawn(pictures, min(limit or most, most), seed=seed)
        sets.append(load_pictures(name, folder, chosen, SHAPE, classes=("not male", "male")))
    return sets[0], sets[1], sets[2]


def read_attributes(path: Path, wanted: tuple[str, ...]) -> tuple[list[str], npt.NDArray[np.bool_]]:
    """(N file names, (N, A) whether each has each wanted attribute) of list_attr_celeba.txt.

    The first line is the number of images, the second the attributes' names; then a line an image: its file name and
    1 or -1 for each attribute.

    Raises:
        DataError: another format, saying the line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: the file cannot be read ({error}); copy it again") from error
    if len(lines) < 3 or not lines[0].strip().isdigit():
        raise DataError(f"{path}: its first line is the number of images, its second the attributes; this one is other")
    known = lines[1].split()
    if missing := [name for name in wanted if name not in known]:
        raise DataError(f"{path}: it has no attribute {', '.join(missing)}; it has {', '.join(known[:5])} ...")
    columns = [1 + known.index(name) for name in wanted]
    names, rows = [], []
    for number, line in enumerate(lines[2:], start=3):
        words = line.split()
        if not words:
            continue
        if len(words) != len(known) + 1 or any(words[c] not in ("1", "-1") for c in columns):
            raise DataError(f"{path}: line {number} is not a file name and {len(known)} times 1 or -1")
        names.append(words[0])
        rows.append([words[c] == "1" for c in columns])
    if len(names) != int(lines[0]):
        raise DataError(
            f"{path}: it says {lines[0].strip()} images and lists {len(names)}; the file is cut, copy it again"
        )
    return names, np.array(rows, dtype=bool)


def _parts(path: Path, names: list[str]) -> npt.NDArray[np.int64]:
    """(N,) 0 train, 1 validation, 2 test of each file."""
    if not path.is_file():
        numbers = []
        for name in names:
            stem = Path(name).stem
            if not stem.isdigit():
                raise DataError(f"{path}: there is no such file, and {name!r} has no official number to go by")
            numbers.append(int(stem))
        return np.digitize(numbers, [TRAIN_END + 1, VALID_END + 1]).astype(np.int64)
    found = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        words = line.split()
        if words and (len(words) != 2 or words[1] not in ("0", "1", "2")):
            raise DataError(f"{path}: line {number} is not a file name and 0, 1 or 2")
        if words:
            found[words[0]] = int(words[1])
    if missing := [name for name in names if name not in found]:
        raise DataError(
            f"{path}: {len(missing)} images of list_attr_celeba.txt are not in it, the first {missing[0]!r}"
        )
    return np.array([found[name] for name in names], dtype=np.int64)
