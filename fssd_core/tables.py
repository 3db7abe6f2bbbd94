"""Equally long columns as the bytes of a .csv, .parquet or .npz file; numbers keep every digit."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fssd_core.errors import InputError, lookup

Column = Sequence[Any] | npt.NDArray[Any]
Lists = dict[str, list[Any]]


def table_bytes(kind: str, columns: Mapping[str, Column]) -> bytes:
    """The columns as a file of that kind.

    Args:
        kind: '.csv', '.parquet' or '.npz'.
        columns: by name, all of one length.

    Raises:
        InputError: another kind, columns of different lengths, or .parquet without pyarrow.
    """
    write = lookup(_KINDS, kind, "kind of table")
    lists = {name: np.asarray(column).tolist() for name, column in columns.items()}
    if len({len(values) for values in lists.values()}) > 1:
        raise InputError(f"the columns have the lengths {[len(v) for v in lists.values()]}; they must be equal")
    return write(lists)


def _csv(lists: Lists) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(lists)
    writer.writerows(zip(*lists.values(), strict=True))
    return text.getvalue().encode()


def _npz(lists: Lists) -> bytes:
    binary = io.BytesIO()
    np.savez_compressed(binary, **{name: np.asarray(values) for name, values in lists.items()})  # type: ignore[arg-type]
    return binary.getvalue()


def _parquet(lists: Lists) -> bytes:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise InputError("writing .parquet needs pyarrow: pip install pyarrow, or take .csv or .npz") from None
    binary = io.BytesIO()
    parquet.write_table(pyarrow.table(lists), binary)
    return binary.getvalue()


_KINDS = {".csv": _csv, ".parquet": _parquet, ".npz": _npz}
KINDS = tuple(_KINDS)
