"""A .parquet of encoded pictures, as Hugging Face's data sets are kept: a column of bytes and one of labels."""

from __future__ import annotations

import io
import json
from functools import partial
from pathlib import Path
from typing import IO, Any

from fssd_core.data.images import ImageSet, Shape
from fssd_core.data.limits import MAX_FILES, MAX_MEMBER, MAX_UNPACKED, first_line, shown
from fssd_core.data.pictures import Source, load_sources
from fssd_core.errors import DataError

PICTURES = ("image", "img", "picture", "bytes", "image_bytes")
LABELS = ("label", "labels", "class", "target", "fine_label")
UNLABELLED = "some rows have no label, so there are no class labels"
_BATCH = 64
_THRIFT = 2**24  # bytes of text, and items of a list, in the file's own table of contents


def load_parquet(path: Path, *, shape: Shape | None = None) -> ImageSet:
    """The pictures of a .parquet in the order of its rows.

    The column of pictures is called image, img, picture or bytes (or is the only one of bytes) and holds the bytes of
    a PNG, JPEG ... each, alone or as the field `bytes` of a structure. Labels are whole numbers or words; names of
    numbered classes are taken from Hugging Face's metadata.

    Raises:
        DataError: pyarrow is missing, damaged, no such column, none readable, or more than is allowed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise DataError(
            f"{path}: reading .parquet needs pyarrow; install it (pip install pyarrow), or save the pictures as a .zip"
        ) from None
    try:
        with pyarrow.parquet.ParquetFile(
            path, thrift_string_size_limit=_THRIFT, thrift_container_size_limit=_THRIFT
        ) as file:
            column, label = _columns(path, file.schema_arrow)
            _check_claims(path, file.metadata)
            pictures, labels = _read(path, file, column, label)
            names = _class_names(file.schema_arrow, label)
    except (pyarrow.ArrowException, OSError, ValueError, LookupError, TypeError, OverflowError, MemoryError) as error:
        raise DataError(
            f"{path}: this is not a whole .parquet file ({first_line(error)}); copy or write it again"
        ) from error
    sources = [
        Source(f"row {row}", partial(_open, content), mark, _refusal(content))
        for row, (content, mark) in enumerate(zip(pictures, labels, strict=True))
    ]
    if not sources:
        raise DataError(f"{path}: the table has 0 rows; at least 1 picture is needed")
    return load_sources(str(path), sources, shape=shape, classes=names, unlabelled=UNLABELLED)


def _columns(path: Path, schema: Any) -> tuple[str, str | None]:
    """(column of pictures, column of labels or None)."""
    fitting = [field.name for field in schema if _holds_bytes(field.type)]
    named = [name for name in PICTURES if name in fitting]
    if not named and len(fitting) != 1:
        has = ", ".join(f"{shown(field.name)} ({shown(str(field.type))})" for field in list(schema)[:8])
        raise DataError(
            f"{path}: no column of encoded pictures was found (it has {has or 'no column'}); call one of bytes `image`"
        )
    if len(set(schema.names)) < len(schema.names):
        raise DataError(f"{path}: two columns have one name; give each its own")
    picture = named[0] if named else fitting[0]
    return picture, next((name for name in LABELS if name in schema.names and name != picture), None)


def _holds_bytes(kind: Any) -> bool:
    from pyarrow import types

    if types.is_struct(kind):
        return any(field.name == "bytes" and _holds_bytes(field.type) for field in kind)
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _check_claims(path: Path, metadata: Any) -> None:
    """What the table of contents claims, before a row is read."""
    if metadata.num_rows > MAX_FILES:
        raise DataError(f"{path}: the table has {metadata.num_rows:,} rows; at most {MAX_FILES:,} are read")
    total = sum(max(0, metadata.row_group(k).total_byte_size) for k in range(metadata.num_row_groups))
    if total > MAX_UNPACKED:
        raise DataError(
            f"{path}: the table would unpack to {total / 2**30:.1f} GiB; at most "
            f"{MAX_UNPACKED / 2**30:.0f} GiB are read. Give fewer rows"
        )


def _read(path: Path, file: Any, column: str, label: str | None) -> tuple[list[bytes | None], list[str | int | None]]:
    """(bytes of each picture, label of each)."""
    pictures: list[bytes | None] = []
    labels: list[str | int | None] = []
    size = 0
    for batch in file.iter_batches(batch_size=_BATCH, columns=[column, *([label] if label else [])], use_threads=False):
        values = batch.column(column).to_pylist()
        pictures += [value.get("bytes") if isinstance(value, dict) else value for value in values]
        labels += [_label(v) for v in batch.column(label).to_pylist()] if label else [None] * len(values)
        size += batch.nbytes
        if size > MAX_UNPACKED or len(pictures) > MAX_FILES:
            raise DataError(f"{path}: the table unpacks to more than {MAX_UNPACKED / 2**30:.0f} GiB; give fewer rows")
    return pictures, labels


def _label(value: Any) -> str | int | None:
    if value is None or (isinstance(value, int) and abs(value) < 2**31):
        return value if value is None else int(value)
    return str(value)


def _class_names(schema: Any, label: str | None) -> tuple[str, ...]:
    """Names of numbered classes from Hugging Face's metadata; () where it says none."""
    raw = (schema.metadata or {}).get(b"huggingface")
    if raw is None or label is None:
        return ()
    try:
        names = json.loads(raw)["info"]["features"][label]["names"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ()
    return tuple(shown(str(name)) for name in names) if isinstance(names, list) else ()


def _refusal(content: bytes | None) -> str:
    if content is None:
        return "no bytes"
    return f"more than {MAX_MEMBER // 2**20} MiB" if len(content) > MAX_MEMBER else ""


def _open(content: bytes | None) -> IO[bytes]:
    return io.BytesIO(content or b"")
