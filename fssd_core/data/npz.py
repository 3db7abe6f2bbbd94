"""People's own .npz and .npy: headers are checked before any pixel is read, and pickles are never opened."""

from __future__ import annotations

import io
import sys
import tokenize
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from fssd_core.data.archive import DAMAGE, open_zip, refusal
from fssd_core.data.images import ImageSet
from fssd_core.data.limits import MAX_BYTES, first_line, shown
from fssd_core.errors import DataError

MAX_NAMES = 2**24
_MAX_HEADER = 2**16
_HEADER_DAMAGE = (*DAMAGE, tokenize.TokenError, SyntaxError, TypeError, RecursionError, MemoryError)  # read as Python
_Header = tuple[tuple[int, ...], np.dtype[Any]]


def load_npz(path: Path) -> ImageSet:
    """Images from `images` (N, H, W) or (N, H, W, 1 or 3) uint8, `labels` (N,) and `classes` (C,) if they are there.

    Raises:
        DataError: not an .npz, damaged, no `images`, another type or shape, no images, labels that do not fit,
            pickled objects, or more than 2 GiB of pixels.
    """
    if not zipfile.is_zipfile(path):
        raise DataError(
            f"{path}: this is not a whole .npz file (a zip archive of arrays); it is cut off, or of another kind. "
            "Write one with numpy.savez_compressed(path, images=images)"
        )
    try:
        with open_zip(path) as archive:
            headers = {i.filename[:-4]: _header(archive, i) for i in archive.infolist() if i.filename.endswith(".npy")}
            _check_headers(path, headers)
            images = _read(archive, "images")
            labels = _read(archive, "labels") if "labels" in headers else None
            classes = _read(archive, "classes") if "classes" in headers else None
    except _HEADER_DAMAGE as error:
        raise DataError(f"{path}: the file is damaged ({first_line(error)}); copy or write it again") from error
    if classes is not None and classes.size and _letters(classes).max() > sys.maxunicode:
        raise DataError(f"{path}: the file is damaged (`classes` holds letters that are none); copy or write it again")
    names = () if classes is None else tuple(shown(str(c)) for c in classes)
    if labels is not None and names and int(labels.max()) >= len(names):
        raise DataError(f"{path}: labels go up to {int(labels.max())}, but `classes` has only {len(names)} names")
    return ImageSet(str(path), without_channel(images), labels=labels, classes=names)


def load_npy(path: Path) -> ImageSet:
    """Images of an .npy, (N, H, W) or (N, H, W, 1 or 3) uint8; it can hold no labels.

    Raises:
        DataError: as for `load_npz`.
    """
    try:
        with path.open("rb") as file:
            header = _read_header(file)
            _check_headers(path, {"images": header})
            promised = int(np.prod(header[0], dtype=np.int64))
            left = path.stat().st_size - file.tell()
            if left != promised:
                raise ValueError(f"{left} bytes of pixels, {promised} are promised")
            file.seek(0)
            array: npt.NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    except _HEADER_DAMAGE as error:
        raise DataError(
            f"{path}: this is not a whole .npy file ({first_line(error)}); write one with numpy.save(path, images)"
        ) from error
    return ImageSet(str(path), without_channel(array))


def _letters(names: npt.NDArray[Any]) -> npt.NDArray[np.uint32]:
    """The code points of names, which a damaged file can put beyond Unicode's last."""
    native = np.ascontiguousarray(names.astype(names.dtype.newbyteorder("="), copy=False))
    return np.frombuffer(native.tobytes() or bytes(4), dtype=np.uint32)


def without_channel(images: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(N, H, W) of grey images that come as (N, H, W, 1); others as they are."""
    return images[..., 0] if images.ndim == 4 and images.shape[3] == 1 else images


def _header(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Header:
    if why := refusal(info, limit=2**40):
        raise ValueError(f"{shown(info.filename)} is {why}")
    with archive.open(info) as file:
        return _read_header(file)


def _read_header(file: IO[bytes]) -> _Header:
    """(shape, type) of an array; a header's claimed length is checked first."""
    start = file.read(12)
    size = int.from_bytes(start[8:10] if start[6:7] == b"\x01" else start[8:12], "little")
    if size > _MAX_HEADER:
        raise ValueError(f"a header of {size} bytes")
    head = io.BytesIO(start + file.read(size))
    version = np.lib.format.read_magic(head)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(head)
    file.seek(head.tell())
    return shape, dtype


def _read(archive: zipfile.ZipFile, key: str) -> npt.NDArray[Any]:
    with archive.open(f"{key}.npy") as file:
        array: npt.NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        file.read(1)  # at the end the zip's checksum is compared
    return array


def _check_headers(path: Path, headers: dict[str, _Header]) -> None:
    if "images" not in headers:
        raise DataError(
            f"{path}: no array `images`; the file has {', '.join(map(shown, sorted(headers)[:8])) or 'no arrays'}. "
            "Save the pixels under the name `images`"
        )
    for key in ("images", "labels", "classes"):
        if key in headers and headers[key][1].hasobject:
            raise DataError(
                f"{path}: `{key}` holds Python objects (a pickle), which could run code and is never opened; "
                "save it as a plain array of numbers or text"
            )
    shape, dtype = headers["images"]
    if dtype != np.uint8:
        raise DataError(f"{path}: `images` has type {dtype}; uint8 (0..255) is needed. {_convert(dtype)}")
    _check_shape(path, shape)
    if "labels" in headers:
        label_shape, label_type = headers["labels"]
        if label_shape != shape[:1] or label_type.kind not in "iu":
            raise DataError(
                f"{path}: `labels` has shape {label_shape} and type {label_type}; "
                f"{shape[0]} images need ({shape[0]},) whole numbers"
            )
    if "classes" in headers:
        names, name_type = headers["classes"]
        if len(names) != 1 or name_type.kind != "U" or names[0] * name_type.itemsize > MAX_NAMES:
            raise DataError(f"{path}: `classes` must be a list of names, e.g. numpy.array(['cat', 'dog'])")


def _check_shape(path: Path, shape: tuple[int, ...]) -> None:
    allowed = "allowed is (N, H, W) or (N, H, W, C) with C 1 or 3"
    if len(shape) == 4 and shape[1] in (1, 3) and shape[3] not in (1, 3):
        raise DataError(f"{path}: `images` has shape {shape}, channels first; give images.transpose(0, 2, 3, 1)")
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] not in (1, 3)):
        raise DataError(f"{path}: `images` has shape {shape}; {allowed}")
    if 0 in shape:
        raise DataError(f"{path}: `images` has shape {shape}, so 0 images; at least 1 is needed")
    if (size := int(np.prod(shape, dtype=np.int64))) > MAX_BYTES:
        raise DataError(
            f"{path}: `images` of shape {shape} is {size / 2**30:.1f} GiB; at most {MAX_BYTES / 2**30:.0f} GiB are "
            "read. Give fewer or smaller images"
        )


def _convert(dtype: np.dtype[Any]) -> str:
    if dtype.kind == "f":
        return "From 0..1: (images * 255).round().clip(0, 255).astype('uint8')"
    if dtype.kind == "b":
        return "From True and False: images.astype('uint8') * 255"
    return "From 0..255: images.astype('uint8'); from 16 bits: (images // 257).astype('uint8')"
