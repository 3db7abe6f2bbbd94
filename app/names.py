"""Names for people: titles of data references and of classes."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from fssd_core.data import ImageSet, list_data

NOISE_TITLE = "uniform noise (behind F*)"


@cache
def _titles() -> dict[str, str]:
    return {d.name: d.title for d in list_data()}


def title_of(ref: str) -> str:
    """The registered title, 'uniform noise (behind F*)' for the noise group, or a file's name."""
    if ref == "noise":
        return NOISE_TITLE
    return _titles().get(ref) or Path(ref).name


def class_names(images: ImageSet) -> tuple[str, ...]:
    """Class names, numbers where the set has none."""
    if images.classes or images.labels is None or len(images.labels) == 0:
        return images.classes
    return tuple(f"class {i}" for i in range(int(images.labels.max()) + 1))
