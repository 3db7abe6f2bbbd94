"""People's own data: one file of a known kind, or a folder of pictures. Nothing is unpickled, nothing is unpacked."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path

from fssd_core.data.archive import load_zip
from fssd_core.data.folder import folder_key, load_folder
from fssd_core.data.images import ImageSet, Shape
from fssd_core.data.npz import load_npy, load_npz
from fssd_core.errors import DataError

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff")
SET_ENDINGS = (".npz", ".npy", ".zip")  # one file that holds a set


def file_key(path: Path) -> Hashable:
    """Changes when the file, or any file in the folder, does."""
    if path.is_dir():
        return folder_key(path)
    status = path.stat()
    return str(path.resolve()), status.st_mtime_ns, status.st_size


def load_file(path: Path, *, shape: Shape | None = None, bounds: tuple[Path, ...] = ()) -> ImageSet:
    """The images of a file of `SET_ENDINGS` or a folder, brought to `shape` if given.

    Args:
        path: the file or folder.
        shape: (C, H, W) wanted.
        bounds: folders that links and listed paths may lead to, besides the folder of the file.

    Raises:
        DataError: another kind of file; see the loader of each kind.
    """
    if path.is_dir():
        return load_folder(path, shape=shape, bounds=bounds)
    ending = path.suffix.lower()
    if ending in IMAGE_ENDINGS:
        raise DataError(f"{path}: this is a single image; give the folder that holds it, or an .npz of images")
    if ending == ".zip":
        return load_zip(path, shape=shape)
    images = load_npy(path) if ending == ".npy" else load_npz(path)
    return images if shape is None else images.fitted(shape)
