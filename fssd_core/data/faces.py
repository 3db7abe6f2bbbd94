"""Face sets: MS-Celeb-1M as InsightFace packs it (train.rec and train.idx), and folders of one person each.

A .rec file is MXNet's RecordIO: records of a magic number, a length, the data and padding to four bytes. The data is a
header (flag, label, two ids), more labels if the flag says so, and a JPEG. Nothing of it is run.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fssd_core.data.images import ImageSet, Shape
from fssd_core.data.listed import Limits, Picture, drawn, load_pictures, usable_count
from fssd_core.data.pictures import read_picture
from fssd_core.errors import DataError

SHAPE = (3, 112, 112)
MAGIC = 0xCED7230A
HELD_OUT = 0.1  # share of MS-1M that is tested on instead of learned from
_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp")


@dataclass(frozen=True)
class Record:
    """One face of a .rec file.

    Attributes:
        key: its key in the .idx file.
        offset: byte where its record starts.
    """

    key: int
    offset: int


def known_and_unknown(root: Path, limits: Limits, seed: int) -> tuple[ImageSet, ImageSet, ImageSet]:
    """(faces of MS-1M, others of MS-1M that are held out, faces of IJB-C), 112x112; labels number the people.

    Args:
        root: a folder that holds `ms1m/` (train.rec and train.idx, or a folder a person) and `ijbc/` (pictures, in
            folders or not).
        limits: images of each, drawn by seed before they are read; None for all that 2 GiB hold.
        seed: of the draws and of which tenth of MS-1M is held out.

    Raises:
        DataError: a folder is missing or a file is not in its format.
    """
    home = root / "ms1m"
    if not home.is_dir():
        raise DataError(f"{home}: there is no such folder; it holds train.rec and train.idx, or a folder a person")
    ood = root / "ijbc"
    if not ood.is_dir():
        raise DataError(f"{ood}: there is no such folder; it holds the cropped faces of IJB-C")
    most = usable_count(SHAPE)
    train_limit, ind_limit, ood_limit = (min(limit or most, most) for limit in limits)
    packed = home / "train.rec"
    items: Sequence[Record | Picture] = read_index(packed) if packed.is_file() else _pictures(home)
    tested = np.random.default_rng([seed, 1]).random(len(items)) < HELD_OUT
    sides = [[item for item, out in zip(items, tested.tolist(), strict=True) if out is side] for side in (False, True)]
    sets = []
    for name, side, limit in zip(("ms1m:train", "ms1m:held-out"), sides, (train_limit, ind_limit), strict=True):
        if not side:
            raise DataError(f"{home}: {len(items)} faces are too few to hold a tenth out")
        chosen = drawn(side, limit, seed=seed)
        if packed.is_file():
            records = [(row, item) for row, item in chosen if isinstance(item, Record)]
            sets.append(load_records(name, packed, records, SHAPE))
        else:
            pictures = [(row, item) for row, item in chosen if isinstance(item, Picture)]
            people = tuple(sorted({item.group for item in items if isinstance(item, Picture)}))
            sets.append(load_pictures(name, home, pictures, SHAPE, classes=people))
    unknown = load_pictures("ijbc", ood, drawn(_pictures(ood), ood_limit, seed=seed), SHAPE)
    return sets[0], sets[1], unknown


def read_index(packed: Path) -> list[Record]:
    """The face records of a .rec file by its .idx, those of InsightFace's own header left out.

    Record 0 of InsightFace's files is no face: its labels say that faces have the keys 1 to its first label.

    Raises:
        DataError: no .idx, or lines that are not a key and an offset.
    """
    path = packed.with_suffix(".idx")
    if not path.is_file():
        raise DataError(f"{path}: there is no such file; it belongs to {packed.name}")
    records = []
    for number, line in enumerate(path.read_text(encoding="ascii", errors="replace").splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2 or not all(word.isdigit() for word in words):
            raise DataError(f"{path}: line {number} is not a key and an offset")
        records.append(Record(int(words[0]), int(words[1])))
    if not records:
        raise DataError(f"{path}: the file is empty")
    with packed.open("rb") as file:
        flag, labels, _ = _unpack(_read(file, records[0].offset, packed), packed)
    if records[0].key == 0 and flag > 0:
        return [record for record in records if 1 <= record.key < labels[0]]
    return records


def load_records(name: str, packed: Path, records: Sequence[tuple[int, Record]], shape: Shape) -> ImageSet:
    """The faces of these records; unreadable pictures are counted in `notes`.

    Raises:
        DataError: no picture can be read, or the file is cut or not RecordIO.
    """
    images, rows, labels = [], [], []
    broken: dict[Path, str] = {}
    with packed.open("rb") as file:
        for row, record in records:
            _, found, picture = _unpack(_read(file, record.offset, packed), packed)
            pixels = read_picture(io.BytesIO(picture), shape, broken, name=Path(f"record {record.key}"))
            if pixels is not None:
                images.append(pixels)
                rows.append(row)
                labels.append(int(found[0]))
    if not images:
        raise DataError(f"{packed}: none of {len(records)} records holds a picture that can be read")
    notes: tuple[str, ...] = ()
    if broken:
        some = ", ".join(f"{p} ({why})" for p, why in list(broken.items())[:3])
        notes = (f"{len(broken)} of {len(records)} records of {packed.name} could not be read: {some}",)
    return ImageSet(name, np.stack(images), np.array(labels), (), np.array(rows), notes)


def _read(file: io.BufferedReader, offset: int, packed: Path) -> bytes:
    """The data of the record at an offset, put together where the writer cut it at a magic number."""
    file.seek(offset)
    parts: list[bytes] = []
    while True:
        head = file.read(8)
        if len(head) < 8 or struct.unpack("<I", head[:4])[0] != MAGIC:
            raise DataError(f"{packed}: there is no record at byte {offset}; the file is cut, or the .idx is another's")
        word = struct.unpack("<I", head[4:])[0]
        kind, length = word >> 29, word & (2**29 - 1)
        data = file.read(length)
        if len(data) < length:
            raise DataError(f"{packed}: the record at byte {offset} is cut; copy the file again")
        file.read(-length % 4)
        parts.append(data)
        if kind in (0, 3):  # whole, or the last part
            return struct.pack("<I", MAGIC).join(parts)


def _unpack(data: bytes, packed: Path) -> tuple[int, Sequence[float], bytes]:
    """(flag, labels, picture) of a record's data."""
    if len(data) < 24:
        raise DataError(f"{packed}: a record of {len(data)} bytes has no header; this is no file of pictures")
    flag, label = struct.unpack("<If", data[:8])
    if flag == 0:
        return 0, [label], data[24:]
    if len(data) < 24 + 4 * flag:
        raise DataError(f"{packed}: a record says {flag} labels and holds {len(data)} bytes; the file is damaged")
    return flag, struct.unpack(f"<{flag}f", data[24 : 24 + 4 * flag]), data[24 + 4 * flag :]


def _pictures(folder: Path) -> list[Picture]:
    found = [
        Picture(path, path.relative_to(folder).parts[0] if path.parent != folder else "")
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in _ENDINGS and path.is_file()
    ]
    if not found:
        raise DataError(f"{folder}: it holds no {', '.join(_ENDINGS)} file")
    return found
