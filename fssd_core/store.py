"""Results on disk, found again by what they were computed from: atomic, without pickles, shareable between processes.

An entry is `<root>/<step>/<sha256>.npz` with a readable `.json` beside it. Read-only layers (results shipped with the
demo) lie beneath the user's own root and are asked by the same key.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import warnings
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fssd_core.atomic import write_bytes
from fssd_core.errors import StoreWarning

Arrays = Mapping[str, npt.NDArray[Any]]
META = "__meta__"


@dataclass(frozen=True, eq=False)
class Entry:
    """One stored result: named arrays and JSON-able facts about them."""

    arrays: dict[str, npt.NDArray[Any]]
    meta: dict[str, Any] = field(default_factory=dict)


def default_root() -> Path:
    """$FSSD_HOME, else the user's cache folder."""
    if home := os.environ.get("FSSD_HOME"):
        return Path(home).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "fssd"


def key(step: str, version: int, *parts: Any) -> str:
    """'step/<sha256>' over everything the result depends on; each part is framed by its type and length.

    Args:
        step: the step's name, also the entry's folder.
        version: raised whenever the step computes something else for the same parts.
        parts: strings, numbers, None, or (nested) lists, tuples and string-keyed dicts of them.
    """
    digest = hashlib.sha256()
    for part in (step, version, *parts):
        text = json.dumps(part, sort_keys=True, allow_nan=False, separators=(",", ":"), default=_plain).encode()
        digest.update(f"{type(part).__name__}:{len(text)}:".encode())
        digest.update(text)
    return f"{step}/{digest.hexdigest()}"


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be part of a store key")


class Store:
    """Entries under one writable root, with read-only layers beneath.

    Args:
        root: folder of the user's own results; made when first written to.
        shipped: folders asked, in order, for what the root lacks; never written to.
    """

    def __init__(self, root: Path | None = None, shipped: Sequence[Path] = ()) -> None:
        self.root = Path(root) if root is not None else default_root() / "store"
        self.shipped = tuple(Path(p) for p in shipped)

    def has(self, entry_key: str) -> bool:
        """Whether some layer holds a file for the key (it may still turn out unreadable)."""
        return any((layer / f"{entry_key}.npz").is_file() for layer in (self.root, *self.shipped))

    def get(self, entry_key: str) -> Entry | None:
        """The entry, or None if there is none; an unreadable one counts as none, with a StoreWarning."""
        for layer in (self.root, *self.shipped):
            path = layer / f"{entry_key}.npz"
            if not path.is_file():
                continue
            try:
                return _read(path)
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
                warnings.warn(f"stored result {path} cannot be read ({error}); computing it again", StoreWarning, 2)
        return None

    def put(self, entry_key: str, arrays: Arrays, meta: Mapping[str, Any] | None = None) -> Entry:
        """Writes the entry in full or not at all and gives it back; a full or read-only disk warns and goes on."""
        entry = Entry({k: np.asarray(v) for k, v in arrays.items()}, dict(meta or {}))
        if pickled := [name for name, array in entry.arrays.items() if array.dtype.hasobject]:
            raise TypeError(f"arrays {pickled} hold Python objects; the store keeps plain numbers and strings only")
        path = self.root / f"{entry_key}.npz"
        text = json.dumps(entry.meta, indent=1, sort_keys=True)
        packed = {**entry.arrays, META: np.frombuffer(text.encode(), dtype=np.uint8)}
        try:
            write_bytes(path, _packed(packed))
            write_bytes(path.with_suffix(".json"), f"{text}\n".encode())
        except OSError as error:
            warnings.warn(f"result not kept in {path.parent} ({error}); going on without", StoreWarning, 2)
        return entry


def _read(path: Path) -> Entry:
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files if name != META}
        meta = json.loads(file[META].tobytes())
    return Entry(arrays, meta)


def _packed(arrays: Arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **dict(arrays))  # type: ignore[arg-type]
    return buffer.getvalue()
