"""People's own reads: a FASTA file, plain or gzipped, cut into consecutive reads; each is a picture of 4 columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from fssd_core.data.genome import LENGTH, are_reads, as_pictures, read_fasta
from fssd_core.data.images import ImageSet, Shape
from fssd_core.errors import DataError

MAX_READS = 20_000


def load_fasta(path: Path, *, shape: Shape | None = None) -> ImageSet:
    """Reads of `shape[1]` (default 250) bases, one after the other from each record's start, without overlap.

    Reads that hold anything but A, C, G and T are left out. Of more than 20,000 reads as many are taken, evenly spaced.
    `rows` number all reads of the file.

    Args:
        path: the file.
        shape: (1, L, 4), as a network of reads takes them.

    Raises:
        DataError: no FASTA, too large, no whole read, or a network that takes no reads.
    """
    if shape is not None and not are_reads(shape):
        raise DataError(
            f"{path}: reads are pictures of 1 channel and 4 columns (A, C, G, T); the network takes {shape[0]} "
            f"channels of {shape[2]}x{shape[1]} pixels. Choose a network of reads"
        )
    length = LENGTH if shape is None else shape[1]
    cut = [_cut(record, length) for record in read_fasta(path)]
    reads = np.concatenate(cut)
    whole = np.flatnonzero((reads != 255).all(1))
    if len(whole) == 0:
        raise DataError(f"{path}: no record has {length} bases of A, C, G and T in a row; give longer sequences")
    notes = [f"{len(cut)} records were cut into {len(reads):,} reads of {length} bases, without overlap"]
    if len(whole) < len(reads):
        notes.append(f"{len(reads) - len(whole):,} reads with other letters than A, C, G and T were left out")
    if len(whole) > MAX_READS:
        notes.append(f"{MAX_READS:,} of {len(whole):,} reads were taken, evenly spaced")
        whole = whole[np.linspace(0, len(whole) - 1, MAX_READS).round().astype(np.int64)]
    return ImageSet(str(path), as_pictures(reads[whole]), rows=whole, notes=tuple(notes))


def _cut(record: npt.NDArray[np.uint8], length: int) -> npt.NDArray[np.uint8]:
    """(L,) -> (L // length, length)."""
    count = len(record) // length
    return record[: count * length].reshape(count, length)
