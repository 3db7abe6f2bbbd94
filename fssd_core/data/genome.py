"""Bacterial genomes as FASTA files, plain or gzipped, cut into reads of 250 bases.

A read is a picture of 250 rows and 4 columns (A, C, G, T), one white pixel a row: so a recurrent network reads it row
by row, and noise and perturbations are those of pictures.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Hashable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from fssd_core.data.images import ImageSet, Pixels, Shape
from fssd_core.data.limits import first_line
from fssd_core.data.listed import Limits
from fssd_core.errors import DataError

LENGTH = 250
MAX_BYTES = 256 * 2**20  # of one file, unpacked
READS = (20_000, 4_000, 4_000)  # of train, ind and ood unless fewer are asked for
TRAIN_SHARE = 0.8  # of each record; the rest gives the ind test reads
BASES = b"ACGT"
PARTS = {  # name: folder below genomes/, and the share of each record that its reads are cut from
    "genome-ind:train": ("ind", 0.0, TRAIN_SHARE),
    "genome-ind:test": ("ind", TRAIN_SHARE, 1.0),
    "genome-ood": ("ood", 0.0, 1.0),
}
COUNTS = dict(zip(PARTS, READS, strict=True))
ENDINGS = (".fasta", ".fa", ".fna", ".fasta.gz", ".fa.gz", ".fna.gz")
_CODE = np.full(256, 255, dtype=np.uint8)
for _number, _base in enumerate(BASES):
    _CODE[_base] = _CODE[_base + 32] = _number  # upper and lower case


def known_and_other_genera(root: Path, limits: Limits, seed: int) -> tuple[ImageSet, ImageSet, ImageSet]:
    """(training reads of the known genera, test reads of them, reads of other genera).

    Training reads are cut from the first 80 % of each record, test reads of the known genera from the last 20 %.

    Args:
        root: a folder that holds `genomes/ind/` and `genomes/ood/`, one FASTA file a genus in each.
        limits: reads of each; None for 20,000, 4,000 and 4,000.
        seed: of the windows.

    Raises:
        DataError: a folder is missing, or a file is not FASTA or too short.
    """
    train, ind, ood = (genome_set(name, root, limit, seed) for name, limit in zip(PARTS, limits, strict=True))
    return train, ind, ood


def genome_set(name: str, root: Path, limit: int | None = None, seed: int = 0) -> ImageSet:
    """The reads of one of `PARTS`; see `known_and_other_genera`."""
    folder, low, high = PARTS[name]
    rng = np.random.default_rng([seed, list(PARTS).index(name)])
    return _reads(name, root / "genomes" / folder, limit or COUNTS[name], low, high, rng)


def genome_key(name: str, root: Path) -> Hashable:
    """Changes when the files that the set is cut from do."""
    files = _files(root / "genomes" / PARTS[name][0])
    return str(root.resolve()), tuple((f.name, f.stat().st_mtime_ns, f.stat().st_size) for f in files)


def are_reads(shape: Shape) -> bool:
    """Whether (C, H, W) is that of reads: one channel, and a column each for A, C, G and T."""
    return shape[0] == 1 and shape[2] == len(BASES)


def read_fasta(path: Path) -> list[npt.NDArray[np.uint8]]:
    """The records of a FASTA file, plain or gzipped: each (L,) with 0 A, 1 C, 2 G, 3 T, 255 for anything else.

    Raises:
        DataError: not readable, or no FASTA.
    """
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            with gzip.open(file) if packed else nullcontext(file) as plain:
                content = plain.read(MAX_BYTES + 1)  # a gzip can unpack to a thousand times its size
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: the file cannot be read ({first_line(error)}); copy it again") from error
    if len(content) > MAX_BYTES:
        raise DataError(f"{path}: more than {MAX_BYTES // 2**20} MiB of letters; give a shorter file")
    if not content.lstrip().startswith(b">"):
        raise DataError(f"{path}: a FASTA file starts with '>'; this one does not")
    records = []
    for part in content.lstrip().split(b"\n>"):
        _, _, sequence = part.partition(b"\n")
        letters = np.frombuffer(sequence, dtype=np.uint8)
        records.append(_CODE[letters[letters > 32]])
    return records


def as_pictures(reads: npt.NDArray[np.uint8]) -> Pixels:
    """(N, L) bases 0..3 -> (N, L, 4) pictures, 255 where the base is."""
    pictures: Pixels = (reads[:, :, None] == np.arange(4)).astype(np.uint8) * np.uint8(255)
    return pictures


def random_sequences(shape: tuple[int, int, int], count: int, *, generator: torch.Generator) -> torch.Tensor:
    """(S, 1, L, 4) random sequences, each base as likely: the noise behind F* for reads."""
    bases = torch.randint(4, (count, shape[1]), generator=generator)
    return torch.nn.functional.one_hot(bases, 4).float()[:, None]


def _reads(name: str, folder: Path, count: int, low: float, high: float, rng: np.random.Generator) -> ImageSet:
    files = _files(folder)
    if not files:
        raise DataError(f"{folder}: there is no FASTA file ({', '.join(ENDINGS)}); put one a genus there")
    reads, labels = [], []
    for genus, path in enumerate(files):
        share = count // len(files) + (genus < count % len(files))
        reads.append(_windows(path, share, low, high, rng))
        labels += [genus] * share
    classes = tuple(path.name.partition(".")[0] for path in files)
    return ImageSet(name, as_pictures(np.concatenate(reads)), np.array(labels), classes)


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.name.lower().endswith(ENDINGS)) if folder.is_dir() else []


def _windows(path: Path, count: int, low: float, high: float, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """(count, 250) windows at drawn places of a part of each record, without unknown bases."""
    starts = []
    records = read_fasta(path)
    for number, record in enumerate(records):
        first, last = int(low * len(record)), int(high * len(record)) - LENGTH
        if last < first:
            continue
        unknown = np.concatenate([[0], np.cumsum(record == 255)])
        places = np.arange(first, last + 1)
        clean = places[unknown[places + LENGTH] == unknown[places]]
        starts.append(np.stack([np.full(len(clean), number), clean], 1))
    choices = np.concatenate(starts) if starts else np.empty((0, 2), dtype=np.int64)
    if len(choices) < count:
        raise DataError(f"{path}: {len(choices)} places for a read of {LENGTH} bases; {count} are needed")
    chosen = choices[np.sort(rng.choice(len(choices), size=count, replace=False))]
    return np.stack([records[number][start : start + LENGTH] for number, start in chosen])
