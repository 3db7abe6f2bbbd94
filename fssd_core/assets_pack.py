"""Makes the shipped .npz files small: LZMA in place of deflate. `numpy.load` reads both; the arrays stay the same."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fssd_core.atomic import write_bytes

DATED = (1980, 1, 1, 0, 0, 0)  # the same arrays give the same bytes


def packed_npz(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """An .npz of those arrays, compressed by LZMA: a seventh smaller than by deflate for the demo's images."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_LZMA) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy", DATED)
            info.compress_type = zipfile.ZIP_LZMA
            archive.writestr(info, member.getvalue())
    return content.getvalue()


def pack_assets(root: Path) -> int:
    """Packs every .npz below `root` that is not packed yet; gives the number of entries changed.

    A store entry's readable .json goes: the .npz holds its numbers too. Each file is replaced whole or left as it was.
    """
    changed = 0
    for path in sorted(root.glob("[!.]*/**/*.npz")):  # unfinished work lies in hidden folders
        with zipfile.ZipFile(path) as archive:
            done = all(info.compress_type == zipfile.ZIP_LZMA for info in archive.infolist())
        if not done:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            write_bytes(path, packed_npz(arrays))
        if (beside := path.with_suffix(".json")).exists():
            beside.unlink()
            done = False
        changed += not done
    return changed
