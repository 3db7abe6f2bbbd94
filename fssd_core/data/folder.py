"""People's own pictures: a folder of PNG, JPEG, BMP, WebP, GIF or TIFF files, optionally one subfolder a class."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO

from fssd_core.data.images import ImageSet, Shape
from fssd_core.data.limits import MAX_FILES
from fssd_core.data.pictures import FORMATS, Source, load_sources
from fssd_core.errors import DataError

MIXED = "pictures lie in the folder itself and in subfolders, so there are no class labels"


def load_folder(path: Path, *, shape: Shape | None = None, bounds: tuple[Path, ...] = ()) -> ImageSet:
    """The pictures under a folder, in the order of their paths; files that cannot be read are counted in `notes`.

    If all lie in subfolders, these are the classes. `rows` are positions in the sorted list of files. For what is done
    to the pictures see `fssd_core.data.pictures`.

    Args:
        path: the folder.
        shape: (C, H, W) wanted; None for the commonest size (at most 512 pixels a side).
        bounds: folders that links may lead to, besides the folder itself.

    Raises:
        DataError: no file, none readable, or more than is allowed.
    """
    files = list(islice(_files(path), MAX_FILES + 1))
    if not files:
        raise DataError(
            f"{path}: the folder is empty; put {', '.join(FORMATS)} files into it, or one subfolder a class"
        )
    base = (path.resolve(), *(b.resolve() for b in bounds))
    return load_sources(str(path), [_source(path, file, base) for file in files], shape=shape, unlabelled=MIXED)


def folder_key(path: Path) -> Hashable:
    """Changes when any file under the folder does."""
    stats = tuple(
        (str(f.relative_to(path)), (s := f.stat()).st_mtime_ns, s.st_size) for f in islice(_files(path), MAX_FILES + 1)
    )
    return str(path.resolve()), stats


def leads_outside(file: Path, bounds: tuple[Path, ...]) -> bool:
    """Whether a file, with every link and '..' followed, lies in none of the (resolved) folders."""
    real = file.resolve()
    return not any(real.is_relative_to(bound) for bound in bounds)


def _source(path: Path, file: Path, bounds: tuple[Path, ...]) -> Source:
    parts = file.relative_to(path).parts
    outside = file.is_symlink() and leads_outside(file, bounds)
    return Source(
        "/".join(parts),
        partial(open_file, file),
        parts[0] if len(parts) > 1 else None,
        "a link that leads outside the folder" if outside else "",
    )


def open_file(file: Path) -> IO[bytes]:
    """The file's bytes, as `Source` opens them."""
    return file.open("rb")


def _files(path: Path) -> Iterator[Path]:
    """Visible plain files under the folder, sorted; links to folders are not followed."""
    for folder, names, files in os.walk(path):
        names[:] = sorted(n for n in names if not n.startswith("."))
        yield from (Path(folder) / f for f in sorted(files) if not f.startswith(".") and (Path(folder) / f).is_file())
