"""Names for people: titles of data references and of classes."""

from __future__ import annotations

import os
import re
from pathlib import Path

from fssd_core.data import ImageSet, list_data
from fssd_core.data.limits import shown
from fssd_core.models import list_models
from fssd_core.models.factories import is_factory

NOISE_TITLE = "noise behind F*"
_WITHOUT_MARKUP = str.maketrans("<>[]`$", "‹›()'_")


def title_of(ref: str) -> str:
    """A registered name itself, 'noise behind F*' for the noise group, a file's path below the data root or its name.

    An upload's name is followed by the first letters of its content's hash, so that two files keep two names.
    """
    if ref == "noise":
        return NOISE_TITLE
    if ref in {d.name for d in list_data()} or ref in {m.name for m in list_models()}:
        return ref
    if is_factory(ref):
        return ref
    path, root = Path(ref), os.environ.get("FSSD_DATA_ROOT")
    if root and path.is_relative_to(Path(root).resolve()):
        return _harmless(path.relative_to(Path(root).resolve()).as_posix())
    return _harmless(path.name if path.is_dir() else f"{path.name} ({path.parent.name[:6]})")


def _harmless(name: str) -> str:
    """A file's name with its markup and its control characters replaced."""
    return shown(name).translate(_WITHOUT_MARKUP)


def described(ref: str) -> str:
    """'mnist · MNIST digits, 500 a class' where the set is registered, else its name."""
    entry = next((d for d in list_data() if d.name == ref), None)
    return title_of(ref) if entry is None else f"{ref} · {entry.title}"


def class_names(images: ImageSet) -> tuple[str, ...]:
    """Class names, numbers where the set has none."""
    if images.classes or images.labels is None or len(images.labels) == 0:
        return images.classes
    return tuple(f"class {i}" for i in range(int(images.labels.max()) + 1))


def name_of(names: tuple[str, ...], label: int) -> str:
    """The class's name, its number where it has none."""
    return names[label] if 0 <= label < len(names) else f"class {label}"


def under_own_name(error: Exception, name: str) -> str:
    """What an error says, with the file's own name in place of where its upload lies; plain where it is quoted code."""
    text = re.sub(r"'[^'\n]*/uploads/([^'\n]*)'", lambda found: repr(Path(found[1]).name), str(error))
    return re.sub(r"\S*/uploads/[^:,'\s]*", lambda _: name, text)


def inert(text: str) -> str:
    """Text that may hold a stranger's names, for Markdown: no link, picture, tag, formula or emphasis comes of it.

    Code between backticks stays as it is; Markdown shows it as it stands.
    """
    parts = re.split(r"(`[^`\n]*`)", text)
    return "".join(part if k % 2 else _escaped(part) for k, part in enumerate(parts))


def _escaped(text: str) -> str:
    plain = re.sub(r"([\\\[\]<$*~])", r"\\\1", text)
    plain = re.sub(r":(?=[a-z][\w+-]*(?:/\w+)?[:\\])", r"\\:", plain)
    return re.sub(r"(?i)(www)\.|(https?)(\\?):", lambda m: f"{m[1]}\u2060." if m[1] else f"{m[2]}\u2060{m[3]}:", plain)
