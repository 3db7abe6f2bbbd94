"""From what was asked for to a Bench: the row's data and networks, or others in their place, dealt into parts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fssd_core.bench_run import Bench
from fssd_core.benchmarks import Benchmark, find_benchmark, load_sets
from fssd_core.errors import InputError
from fssd_core.models import LoadedModel, load_model
from fssd_core.protocol import FIT, deal

TRAIN_IMAGES = 10_000
TRAIN_BYTES = 2**31  # of pixels as float32: fewer training images where they are large


@dataclass(frozen=True)
class Asked:
    """What to compare; whatever is None is the row's own.

    Attributes:
        name: the benchmark.
        protocol: 'paper' or 'no-ood-labels'.
        model: the network's reference.
        arch: architecture of a weight file that does not say it itself.
        step: training step of a registered model; None for the last.
        train: reference of the training images.
        ind: reference of the ind test images.
        ood: reference of the ood images.
        members: the other members of deep-ensemble, comma-separated references.
        dropout_model: the network of mc-dropout.
        oe_model: the network of outlier-exposure.
        limit: ind and ood images drawn by seed; None for all.
        train_limit: training images drawn by seed.
        fit: images a side for alpha, and again for the parameters.
        noise_samples: S, noise images behind F*.
        seed: of every draw.
    """

    name: str
    protocol: str = "paper"
    model: str | None = None
    arch: str | None = None
    step: int | None = None
    train: str | None = None
    ind: str | None = None
    ood: str | None = None
    members: str | None = None
    dropout_model: str | None = None
    oe_model: str | None = None
    limit: int | None = None
    train_limit: int = TRAIN_IMAGES
    fit: int = FIT
    noise_samples: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        for what, count in (("limit", self.limit), ("train_limit", self.train_limit)):
            if count is not None and count < 1:
                raise InputError(f"{what} {count} was given; give at least 1, or leave it out")


def open_bench(asked: Asked, *, root: Path | None = None, download: bool = False) -> Bench:
    """The networks and images of a comparison.

    Args:
        asked: what to compare.
        root: folder of data in the published layouts.
        download: whether a public set that is not on disk may be fetched.

    Raises:
        InputError: unknown benchmark or protocol, no network, or too few images.
        DataError: data is missing; the message says what to get and where to put it.
        ModelError: a network cannot be used.
    """
    row = find_benchmark(asked.name)
    model = _model(asked, row)
    train, ind, ood = (
        images.fitted(model.input_shape)
        for images in load_sets(
            row, train=asked.train, ind=asked.ind, ood=asked.ood, root=root, download=download,
            limits=(_most(asked, model), asked.limit, asked.limit), seed=asked.seed,
        )
    )  # fmt: skip
    # the bundled helper networks belong to the bundled network
    bundled = asked.model in (None, row.model) and asked.step is None
    others = dict(row.others) if bundled else {}
    given = {
        "deep-ensemble": asked.members,
        "mc-dropout": asked.dropout_model,
        "outlier-exposure": asked.oe_model,
    }
    others.update({name: value for name, value in given.items() if value is not None})
    dealt = deal(train, ind, ood, protocol=asked.protocol, fit=asked.fit, seed=asked.seed)
    return Bench(row, dealt, model, others, asked.ood or row.ood, asked.noise_samples, asked.seed)


def _model(asked: Asked, row: Benchmark) -> LoadedModel:
    reference = asked.model or row.model
    if reference is None:
        raise InputError(
            f"benchmark {row.name!r} has no bundled network (the paper: {row.network}); give --model FILE, weights "
            "trained on its ind data"
        )
    return load_model(reference, arch=asked.arch, step=asked.step)


def _most(asked: Asked, model: LoadedModel) -> int:
    return max(1, min(asked.train_limit, TRAIN_BYTES // (4 * int(np.prod(model.input_shape)))))
