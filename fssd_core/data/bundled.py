"""The data sets that ship with the project, as compressed .npz without pickles (see assets/PROVENANCE.md)."""

from __future__ import annotations

import zipfile
import zlib

import numpy as np

from fssd_core.assets import assets_root
from fssd_core.data.images import ImageSet
from fssd_core.errors import DataError

FILES = {"fmnist:test": "fmnist-test.npz", "fmnist:train": "fmnist-train.npz", "mnist": "mnist.npz"}


def bundled(name: str) -> ImageSet:
    """The bundled set of that name.

    Raises:
        DataError: its file is missing or damaged.
    """
    path = assets_root() / "data" / FILES[name]
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"the bundled data set {name!r} cannot be read from {path} ({error}); restore the file from the repository "
            "or rebuild it with `python -m fssd_core.assets build --only data`"
        ) from error
    images = arrays["images"]
    return ImageSet(
        name,
        images,
        labels=arrays["labels"],
        classes=tuple(str(c) for c in arrays["classes"]),
        rows=arrays.get("rows", np.arange(len(images))),
    )
