"""A .zip of pictures, read where it lies: nothing is unpacked to the disk, and nothing is believed that it claims.

Refused as a whole: names that lead outside ('..', absolute), more entries or bytes than allowed. Refused one by one,
counted and named in `notes`: links, encrypted entries, other packings than deflate, entries that are too large.
"""

from __future__ import annotations

import io
import re
import stat
import zipfile
import zlib
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from fssd_core.data.images import ImageSet, Shape
from fssd_core.data.limits import MAX_MEMBER, MAX_MEMBERS, MAX_UNPACKED, first_line, shown
from fssd_core.data.pictures import FORMATS, Source, load_sources
from fssd_core.errors import DataError

DAMAGE = (
    OSError, EOFError, ValueError, KeyError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error,
    OverflowError, IndexError,
)  # fmt: skip
PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others unpack without a bound on what they write
MIXED = "pictures lie beside folders and in them, so there are no class labels"
_MAX_LIST = 32 * 2**20  # bytes of the table of contents
_END, _END_64, _END_SIZE = b"PK\x05\x06", b"PK\x06\x07", 22
_Item = tuple[zipfile.ZipInfo, tuple[str, ...]]


def load_zip(path: Path, *, shape: Shape | None = None) -> ImageSet:
    """The pictures of a .zip in the order of their names, with or without one folder a class.

    A folder that holds everything is looked through; hidden files and macOS' `__MACOSX` are passed over. See
    `fssd_core.data.pictures` for what is done to the pictures.

    Args:
        path: the file.
        shape: (C, H, W) wanted; None for the commonest size.

    Raises:
        DataError: no whole .zip, one that could harm, none readable, or more than is allowed.
    """
    with open_zip(path) as archive:
        items = _items(path, archive)
        if not items:
            raise DataError(f"{path}: the .zip holds no file; put {', '.join(FORMATS)} files into it")
        if all(parts[-1].endswith(".npy") for _, parts in items):
            raise DataError(f"{path}: the .zip holds NumPy arrays; give it the ending .npz")
        sources = [_source(archive, info, parts) for info, parts in items]
        return load_sources(str(path), sources, shape=shape, unlabelled=MIXED)


def open_zip(path: Path) -> zipfile.ZipFile:
    """The archive, its table of contents checked for size before it is read.

    Raises:
        DataError: no whole .zip, or a table of contents that is too large.
    """
    try:
        _check_end(path)
        return zipfile.ZipFile(path)
    except DAMAGE as error:
        raise DataError(
            f"{path}: this is not a whole .zip archive ({first_line(error)}); copy or write it again"
        ) from error


def read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """The entry's bytes, never more than it claims; its checksum is compared.

    Raises:
        ValueError: it is not what it claims, or too large, a link, encrypted or of another packing.
    """
    if why := refusal(info):
        raise ValueError(why)
    with archive.open(info) as file:
        content = file.read(info.file_size)
        file.read(1)  # at the end the checksum is compared
    if len(content) != info.file_size:
        raise ValueError(f"{len(content)} bytes came out, {info.file_size} were promised")
    return content


def refusal(info: zipfile.ZipInfo, *, limit: int = MAX_MEMBER) -> str:
    """Why an entry must not be opened; '' if it may be."""
    if stat.S_ISLNK(info.external_attr >> 16):
        return "a link"
    if info.flag_bits & 0x1:
        return "encrypted"
    if info.compress_type not in PACKINGS:
        return f"packed by method {info.compress_type}; stored and deflate are allowed"
    if info.file_size > limit:
        return f"{info.file_size / 2**20:.0f} MiB, more than {limit // 2**20} MiB"
    return ""


def _check_end(path: Path) -> None:
    """Reads only the last record, so that a table of millions of entries is never built."""
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        start = max(0, size - _END_SIZE - 2**16)
        file.seek(start)
        tail = file.read()
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < _END_SIZE:
        raise zipfile.BadZipFile("its end is missing")
    entries = int.from_bytes(tail[at + 10 : at + 12], "little")
    length = int.from_bytes(tail[at + 12 : at + 16], "little")
    if tail[max(0, at - 20) : at].startswith(_END_64) or entries > MAX_MEMBERS or length > _MAX_LIST:
        raise DataError(
            f"{path}: the .zip has too many entries or is too large (zip64); at most {MAX_MEMBERS:,} entries are read. "
            "Unpack it into a folder below --data-root instead"
        )


def _items(path: Path, archive: zipfile.ZipFile) -> list[_Item]:
    """Visible entries by name; a folder around all of them is taken off."""
    items: list[_Item] = []
    for info in archive.infolist():
        parts = _parts(path, info.filename)
        if parts and not info.is_dir() and parts[0] != "__MACOSX" and not any(p.startswith(".") for p in parts):
            items.append((info, parts))
    if len(items) > MAX_MEMBERS:
        raise DataError(f"{path}: the .zip holds {len(items):,} files; at most {MAX_MEMBERS:,} are read")
    total = sum(info.file_size for info, _ in items)
    if total > MAX_UNPACKED:
        raise DataError(
            f"{path}: the .zip would unpack to {total / 2**30:.1f} GiB; at most {MAX_UNPACKED / 2**30:.0f} GiB are "
            "read. Give fewer pictures, or a folder below --data-root"
        )
    while items and all(len(parts) > 1 for _, parts in items) and len({parts[0] for _, parts in items}) == 1:
        items = [(info, parts[1:]) for info, parts in items]
    return sorted(items, key=lambda item: item[1])


def _parts(path: Path, name: str) -> tuple[str, ...]:
    """The parts of an entry's name.

    Raises:
        DataError: a name that leads outside the archive.
    """
    plain = name.replace("\\", "/")
    parts = PurePosixPath(plain).parts
    if plain.startswith("/") or ".." in parts or re.match(r"[A-Za-z]:", plain):
        raise DataError(
            f"{path}: the .zip holds an entry named {shown(name)!r}, which leads outside it; such archives are "
            "refused. Pack the folder again"
        )
    return parts


def _source(archive: zipfile.ZipFile, info: zipfile.ZipInfo, parts: tuple[str, ...]) -> Source:
    return Source("/".join(parts), partial(_open, archive, info), parts[0] if len(parts) > 1 else None, refusal(info))


def _open(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> IO[bytes]:
    try:
        return io.BytesIO(read_member(archive, info))
    except DAMAGE as error:
        raise ValueError(first_line(error)) from error
