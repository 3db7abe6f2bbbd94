"""Names for people: titles of data references and of classes."""

from __future__ import annotations

from pathlib import Path

from fssd_core.data import ImageSet, list_data

NOISE_TITLE = "noise behind F*"


def title_of(ref: str) -> str:
    """A registered set's own name, 'noise behind F*' for the noise group, a file's name without its folder."""
    if ref == "noise":
        return NOISE_TITLE
    return Path(ref).name


def described(ref: str) -> str:
    """'mnist · MNIST digits, 500 a class' where the set is registered, else its name."""
    entry = next((d for d in list_data() if d.name == ref), None)
    return title_of(ref) if entry is None else f"{ref} · {entry.title}"


def class_names(images: ImageSet) -> tuple[str, ...]:
    """Class names, numbers where the set has none."""
    if images.classes or images.labels is None or len(images.labels) == 0:
        return images.classes
    return tuple(f"class {i}" for i in range(int(images.labels.max()) + 1))
