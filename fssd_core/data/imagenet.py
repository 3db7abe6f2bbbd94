"""ImageNet in its published folders, cut into dogs and everything else: {train,val}/<synset>/*.JPEG.

The 118 dog breeds of the 1,000 classes are the synsets from n02085620 (Chihuahua) to n02113978 (Mexican hairless):
classes 151 to 268 in the usual order, and no other class lies between them.
"""

from __future__ import annotations

import re
from pathlib import Path

from fssd_core.data.images import ImageSet
from fssd_core.data.listed import Limits, Picture, drawn, load_pictures, usable_count
from fssd_core.errors import DataError

FIRST_DOG, LAST_DOG = "n02085620", "n02113978"
SHAPE = (3, 224, 224)
_SYNSET = re.compile(r"n\d{8}")
_ENDINGS = (".jpeg", ".jpg", ".png")


def is_dog(synset: str) -> bool:
    """Whether a synset of the 1,000 classes is a dog breed."""
    return FIRST_DOG <= synset <= LAST_DOG


def dogs_and_others(root: Path, limits: Limits, seed: int) -> tuple[ImageSet, ImageSet, ImageSet]:
    """(training dogs, validation dogs, validation images of other classes), 224x224; labels number the dog synsets.

    Args:
        root: a folder that holds `imagenet/`, `ILSVRC2012/`, or train/ and val/ themselves.
        limits: images of each, drawn by seed before they are read; None for all that 2 GiB hold.
        seed: of the draws.

    Raises:
        DataError: no such folders, or val/ not sorted into one folder a class.
    """
    base = next((p for p in (root / "imagenet", root / "ILSVRC2012", root) if (p / "val").is_dir()), None)
    if base is None:
        raise DataError(f"{root}: there is no imagenet/val/<synset>/ folder")
    dogs = [_pictures(base / part, dog=True) for part in ("train", "val")]
    others = _pictures(base / "val", dog=False)
    sets = []
    for name, pictures, limit in zip(
        ("imagenet-dogs:train", "imagenet-dogs:val", "imagenet-others:val"), (*dogs, others), limits, strict=True
    ):
        most = usable_count(SHAPE)
        wanted = drawn(pictures, min(limit or most, most), seed=seed)
        classes = tuple(sorted({p.group for p in pictures}))
        sets.append(load_pictures(name, base, wanted, SHAPE, classes=classes if "dogs" in name else ()))
    return sets[0], sets[1], sets[2]


def _pictures(folder: Path, *, dog: bool) -> list[Picture]:
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder; unpack ImageNet's training and validation images there")
    synsets = sorted(p for p in folder.iterdir() if p.is_dir() and _SYNSET.fullmatch(p.name))
    if not synsets:
        raise DataError(
            f"{folder}: it holds no folder named by a synset (n02085620 ...); sort the images into one folder a class, "
            "as torchvision's ImageNet does"
        )
    wanted = [p for p in synsets if is_dog(p.name) is dog]
    if not wanted:
        what = f"a dog ({FIRST_DOG} to {LAST_DOG})" if dog else "anything but dogs"
        raise DataError(f"{folder}: none of its {len(synsets)} folders is {what}")
    found = [
        Picture(path, synset.name)
        for synset in wanted
        for path in sorted(synset.iterdir())
        if path.suffix.lower() in _ENDINGS
    ]
    if not found:
        raise DataError(f"{folder}: its {len(wanted)} folders hold no {' or '.join(_ENDINGS)} file")
    return found
