"""A .csv or .tsv that lists pictures: a column of paths below the list's own folder and, if wanted, one of labels."""

from __future__ import annotations

import csv
import io
from functools import partial
from pathlib import Path

from fssd_core.data.folder import leads_outside, open_file
from fssd_core.data.images import ImageSet, Shape
from fssd_core.data.limits import MAX_FILES, MAX_MEMBER, first_line, shown
from fssd_core.data.pictures import Source, load_sources
from fssd_core.errors import DataError

PATHS = ("path", "file", "filename", "file_name", "image", "img")
LABELS = ("label", "labels", "class", "target")
UNLABELLED = "some rows have no label, so there are no class labels"


def load_listing(path: Path, *, shape: Shape | None = None, bounds: tuple[Path, ...] = ()) -> ImageSet:
    """The pictures that a list names, in its order; `rows` are its rows without the header.

    The first line names the columns: one of path, file, filename, image, img, and if there are labels one of label,
    class, target. Whole numbers stay as they are, words are numbered in their order. Cells are split at comma,
    semicolon or tab, whichever the header has most of.

    Args:
        path: the .csv or .tsv, UTF-8.
        shape: (C, H, W) wanted; None for the commonest size.
        bounds: folders that paths may lead to, besides the list's own.

    Raises:
        DataError: no such column, an empty list, none readable, or more than is allowed.
    """
    rows = _rows(path)
    if not rows:
        raise DataError(f"{path}: the list is empty; its first line names the columns, e.g. path,label")
    at = _column(rows, PATHS)
    if at is None:
        some = ", ".join(repr(shown(cell)) for cell in rows[0][:6])
        raise DataError(
            f"{path}: the first line names no column of paths (it has {some}); call one of them {' or '.join(PATHS)}"
        )
    label_at = _column(rows, LABELS)
    base = tuple(folder.resolve() for folder in (path.parent, *bounds))
    cells = [row for row in rows[1:] if any(cell.strip() for cell in row)]
    if not cells:
        raise DataError(f"{path}: the list names no picture; give one a line below the header")
    labels = _labels(cells, label_at)
    sources = [
        _source(path.parent, row[at] if at < len(row) else "", label, base)
        for row, label in zip(cells, labels, strict=True)
    ]
    return load_sources(str(path), sources, shape=shape, unlabelled=UNLABELLED)


def listed_files(path: Path) -> list[Path]:
    """The files that a list names, whether or not they are there; [] where the list cannot be read."""
    try:
        rows = _rows(path)
    except DataError:
        return []
    at = _column(rows, PATHS)
    if at is None:
        return []
    names = (row[at].strip() for row in rows[1:] if at < len(row))
    return [path.parent / name for name in names if name and "\0" not in name]


def _column(rows: list[list[str]], names: tuple[str, ...]) -> int | None:
    """Where the first line has the first of these names."""
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    return next((header.index(name) for name in names if name in header), None)


def _rows(path: Path) -> list[list[str]]:
    try:
        if path.stat().st_size > MAX_MEMBER:
            raise DataError(f"{path}: the list is larger than {MAX_MEMBER // 2**20} MiB; give a shorter one")
        text = path.read_text(encoding="utf-8-sig")
        first = text.partition("\n")[0]
        delimiter = max(",;\t", key=first.count)
        rows = []
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
            rows.append(row)
            if len(rows) > MAX_FILES + 1:
                raise DataError(f"{path}: the list has more than {MAX_FILES:,} rows; give a shorter one")
        return rows
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(
            f"{path}: the list cannot be read ({first_line(error)}); save it as comma-separated text in UTF-8"
        ) from error


def _labels(rows: list[list[str]], at: int | None) -> list[str | int | None]:
    """Whole numbers where all are, else words; None where there is none."""
    words = [row[at].strip() if at is not None and at < len(row) else "" for row in rows]
    if all(word == "" or (word.isascii() and word.isdigit() and len(word) < 10) for word in words):
        return [int(word) if word else None for word in words]
    return [word or None for word in words]


def _source(folder: Path, cell: str, label: str | int | None, bounds: tuple[Path, ...]) -> Source:
    name = cell.strip()
    file = folder / name
    return Source(shown(name) or "(an empty path)", partial(open_file, file), label, _refusal(file, name, bounds))


def _refusal(file: Path, name: str, bounds: tuple[Path, ...]) -> str:
    try:
        if not name:
            return "no path"
        if leads_outside(file, bounds):
            return "a path that leads outside the list's folder"
        return "" if file.is_file() else "no such file"
    except (OSError, ValueError, RuntimeError) as error:  # too long, a NUL, a circle of links
        return first_line(error)
