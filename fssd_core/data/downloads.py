"""Data sets that torchvision fetches: only when asked to, or when they lie on disk already."""

from __future__ import annotations

import os
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fssd_core.data.images import ImageSet, Shape
from fssd_core.errors import DataError


@dataclass(frozen=True)
class Download:
    """One torchvision data set and split.

    Attributes:
        title, source, licence, count, shape: as in DataEntry.
        factory: class in `torchvision.datasets`.
        arguments: its arguments next to root and download.
        files: what must lie under the root, for people who copy it there by hand.
    """

    title: str
    source: str
    licence: str
    count: int
    shape: Shape
    factory: str
    arguments: dict[str, Any] = field(default_factory=dict)
    files: str = ""


def _idx(folder: str, part: str) -> str:
    return f"{folder}/raw/{part}-images-idx3-ubyte and {folder}/raw/{part}-labels-idx1-ubyte"


def _grey(title: str, source: str, licence: str, factory: str, train: bool) -> Download:
    """A set in MNIST's format."""
    part, count = ("train", 60_000) if train else ("t10k", 10_000)
    return Download(title, source, licence, count, (1, 28, 28), factory, {"train": train}, _idx(factory, part))


_KRIZHEVSKY = "Krizhevsky 2009, www.cs.toronto.edu/~kriz/cifar.html"
_NETZER = "Netzer et al. 2011, ufldl.stanford.edu/housenumbers"
_CLANUWAT = "Clanuwat et al. 2018, codh.rois.ac.jp/kmnist"
_LECUN = "LeCun et al., yann.lecun.com/exdb/mnist"
_XIAO = "Zalando Research, github.com/zalandoresearch/fashion-mnist"
_COATES = "Coates et al. 2011, cs.stanford.edu/~acoates/stl10"
_RGB: Shape = (3, 32, 32)
_C10, _C100 = (
    "cifar-10-batches-py/ (unpacked cifar-10-python.tar.gz)",
    "cifar-100-python/ (unpacked cifar-100-python.tar.gz)",
)
_FREE, _NON_COMMERCIAL = "none stated (free for research with citation)", "non-commercial use only"

DOWNLOADS: dict[str, Download] = {
    "cifar10:test": Download("CIFAR-10, test", _KRIZHEVSKY, _FREE, 10_000, _RGB, "CIFAR10", {"train": False}, _C10),
    "cifar10:train": Download("CIFAR-10, training", _KRIZHEVSKY, _FREE, 50_000, _RGB, "CIFAR10", {"train": True}, _C10),
    "cifar100:test": Download("CIFAR-100, test", _KRIZHEVSKY, _FREE, 10_000, _RGB, "CIFAR100", {"train": False}, _C100),
    "cifar100:train": Download(
        "CIFAR-100, training", _KRIZHEVSKY, _FREE, 50_000, _RGB, "CIFAR100", {"train": True}, _C100
    ),
    "svhn:test": Download(
        "SVHN house numbers, test", _NETZER, _NON_COMMERCIAL, 26_032, _RGB, "SVHN", {"split": "test"}, "test_32x32.mat"
    ),
    "svhn:train": Download(
        "SVHN house numbers, training", _NETZER, _NON_COMMERCIAL, 73_257, _RGB, "SVHN", {"split": "train"},
        "train_32x32.mat",
    ),
    "kmnist:test": _grey("Kuzushiji-MNIST, test", _CLANUWAT, "CC BY-SA 4.0", "KMNIST", False),
    "kmnist:train": _grey("Kuzushiji-MNIST, training", _CLANUWAT, "CC BY-SA 4.0", "KMNIST", True),
    "mnist:test": _grey("MNIST, all test digits", _LECUN, "CC BY-SA 3.0", "MNIST", False),
    "mnist:train": _grey("MNIST, all training digits", _LECUN, "CC BY-SA 3.0", "MNIST", True),
    "fmnist-full:train": _grey("FashionMNIST, all training images", _XIAO, "MIT", "FashionMNIST", True),
    "fmnist-full:test": _grey("FashionMNIST, all test images", _XIAO, "MIT", "FashionMNIST", False),
    "stl10:test": Download(
        "STL-10, test", _COATES, "none stated", 8_000, (3, 96, 96), "STL10", {"split": "test"},
        "stl10_binary/ (unpacked stl10_binary.tar.gz)",
    ),
}  # fmt: skip


def download_root(root: Path | None = None) -> Path:
    """The folder of downloaded sets: the given one, else $FSSD_DATA_ROOT, else `data` in the user's cache."""
    if root is not None:
        return Path(root).expanduser()
    if given := os.environ.get("FSSD_DATA_ROOT"):
        return Path(given).expanduser()
    from fssd_core.store import default_root

    return default_root() / "data"


def on_disk_key(name: str, root: Path) -> Hashable:
    """Changes when the set's files under the root do."""
    first = root / DOWNLOADS[name].files.split(" ")[0].rstrip("/")
    if not first.exists():
        return str(root), None
    files = sorted(first.iterdir()) if first.is_dir() else [first]
    return str(root.resolve()), tuple((f.name, f.stat().st_mtime_ns, f.stat().st_size) for f in files)


def downloaded(name: str, root: Path, download: bool) -> ImageSet:
    """The set from the root, fetched first if `download`.

    Raises:
        DataError: not there (and what to do), not fetched, or damaged.
    """
    from fssd_core.vision import torchvision

    entry = DOWNLOADS[name]
    make = getattr(torchvision().datasets, entry.factory)
    by_hand = f"put {entry.files} into {root} by hand"
    try:
        if download:
            root.mkdir(parents=True, exist_ok=True)
        data = make(root=str(root), download=download, **entry.arguments)
        images, labels = _arrays(data)
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, AssertionError) as error:
        cause = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if download:
            raise DataError(f"{name!r} could not be downloaded ({cause}); check the network, or {by_hand}") from error
        raise DataError(
            f"{name!r} is not on disk, or not whole ({cause}); allow the download (download=True, --download), "
            f"or {by_hand}"
        ) from error
    classes = tuple(str(c) for c in getattr(data, "classes", ()) or ())
    return ImageSet(name, images, labels=labels, classes=classes)


def _arrays(data: Any) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Images (N, H, W[, 3]) and labels (N,) of a torchvision data set that holds its pixels in `.data`."""
    images = np.asarray(data.data)
    if images.ndim == 4 and images.shape[1] == 3:  # SVHN and STL-10 keep (N, 3, H, W)
        images = images.transpose(0, 2, 3, 1)
    labels = np.asarray(data.targets if hasattr(data, "targets") else data.labels, dtype=np.int64)
    return images.astype(np.uint8, copy=False), labels
