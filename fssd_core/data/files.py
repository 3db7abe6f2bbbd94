"""People's own data: one file of a known kind, or a folder of pictures. Nothing is unpickled, nothing is unpacked."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from pathlib import Path

from fssd_core.data.archive import load_zip
from fssd_core.data.fasta import load_fasta
from fssd_core.data.folder import folder_key, load_folder
from fssd_core.data.genome import ENDINGS as FASTA_ENDINGS
from fssd_core.data.images import ImageSet, Shape
from fssd_core.data.limits import shown
from fssd_core.data.listing import listed_files, load_listing
from fssd_core.data.npz import load_npy, load_npz
from fssd_core.data.parquet import load_parquet
from fssd_core.errors import DataError

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff")
LIST_ENDINGS = (".csv", ".tsv")
_Loader = Callable[[Path, Shape | None, tuple[Path, ...]], ImageSet]
_LOADERS: dict[str, _Loader] = {
    ".npz": lambda path, shape, _: _brought(load_npz(path), shape),
    ".npy": lambda path, shape, _: _brought(load_npy(path), shape),
    ".zip": lambda path, shape, _: load_zip(path, shape=shape),
    ".parquet": lambda path, shape, _: load_parquet(path, shape=shape),
    **dict.fromkeys(FASTA_ENDINGS, lambda path, shape, _: load_fasta(path, shape=shape)),
    **dict.fromkeys(LIST_ENDINGS, lambda path, shape, bounds: load_listing(path, shape=shape, bounds=bounds)),
}
SET_ENDINGS = tuple(_LOADERS)  # one file that holds, or lists, a set
UPLOAD_ENDINGS = tuple(e for e in SET_ENDINGS if e not in LIST_ENDINGS)  # a list names files on the server


def file_key(path: Path) -> Hashable:
    """Changes when the file, any file in the folder, or any file of the list does."""
    if path.is_dir():
        return folder_key(path)
    files = [path, *(listed_files(path) if path.suffix.lower() in LIST_ENDINGS else ())]
    return str(path.resolve()), tuple(_stamp(file) for file in files)


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
    name = path.name.lower()
    if name.endswith(IMAGE_ENDINGS):
        raise DataError(f"{path}: this is a single image; give the folder that holds it, or an .npz of images")
    if not path.is_file():
        raise DataError(f"{path}: this is neither a file nor a folder (a pipe or a device); give a file or a folder")
    for ending, load in _LOADERS.items():
        if name.endswith(ending):
            return load(path, shape, bounds)
    raise DataError(
        f"{path}: files that end in {shown(path.suffix) or 'nothing'!r} are not read as images; give a folder, or one "
        f"of {', '.join(SET_ENDINGS)}"
    )


def _brought(images: ImageSet, shape: Shape | None) -> ImageSet:
    return images if shape is None else images.fitted(shape)


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size
