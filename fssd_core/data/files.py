"""People's own data: an .npz of images, or a folder of pictures. Nothing is unpickled."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path

from fssd_core.data.folder import folder_key, load_folder
from fssd_core.data.images import ImageSet, Shape
from fssd_core.data.npz import load_npz
from fssd_core.errors import DataError

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff")


def file_key(path: Path) -> Hashable:
    """Changes when the file, or any file in the folder, does."""
    if path.is_dir():
        return folder_key(path)
    status = path.stat()
    return str(path.resolve()), status.st_mtime_ns, status.st_size


def load_file(path: Path, *, shape: Shape | None = None) -> ImageSet:
    """The images of an .npz or a folder, brought to `shape` if given.

    Raises:
        DataError: see `load_npz` and `load_folder`.
    """
    if path.is_dir():
        return load_folder(path, shape=shape)
    if path.suffix.lower() in IMAGE_ENDINGS:
        raise DataError(f"{path}: this is a single image; give the folder that holds it, or an .npz of images")
    images = load_npz(path)
    return images if shape is None else images.fitted(shape)
