"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

ENDING = ".tmp"


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a temporary file in the same folder and renames it, so that no reader ever sees half of it.

    Raises:
        OSError: the folder cannot be written to; nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=ENDING)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def sweep(folder: Path, *, older: float = 600.0) -> int:
    """Removes what killed processes left of their writing below the folder; how many files that were.

    Args:
        folder: searched in full; need not exist.
        older: seconds a file must not have changed for, so that nothing that is being written is touched.
    """
    removed = 0
    for path in folder.rglob(f"*{ENDING}"):
        try:
            if time.time() - path.stat().st_mtime > older:
                path.unlink()
                removed += 1
        except OSError:
            continue  # gone already, or not ours to remove
    return removed
