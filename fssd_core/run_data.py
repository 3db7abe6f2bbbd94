"""The images of a run: what it trains on and what it is measured on, in one shape."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fssd_core.data import ImageSet, load_data
from fssd_core.data.genome import are_reads
from fssd_core.errors import InputError
from fssd_core.losses import LOSSES
from fssd_core.run_spec import OWN_TEST, RunSpec
from fssd_core.runtime import generator

LEAST, LARGEST, USUAL = 16, 64, 32  # sides of an image
FOR_READS = "bilstm"


def check_data(spec: RunSpec) -> None:
    """Loads everything that the run would load, so that a mistake is told before a process is started.

    Raises:
        FssdError: as `run_sets` and `run_labels`, or an ood set that cannot be used.
    """
    train, _ = run_sets(spec)
    run_labels(train, needed=LOSSES[spec.loss].supervised)
    for ref in spec.ood:
        load_data(ref, shape=train.shape).fitted(train.shape)


def run_sets(spec: RunSpec) -> tuple[ImageSet, ImageSet]:
    """(training images, images to measure on): squares of 16 to 64 pixels as they are, others brought to 32x32.

    Reads (pictures of 4 columns) stay as they are, too.

    Raises:
        DataError: a set is missing or damaged.
        InputError: fewer training images than a batch has, or reads for a network of pictures.
    """
    full = load_data(spec.data)
    channels, height, width = full.shape
    reads = are_reads(full.shape)
    if reads and spec.arch != FOR_READS:
        raise InputError(
            f"{spec.data!r} holds reads of {height} bases, which {spec.arch!r} does not take; choose the architecture "
            f"{FOR_READS!r}"
        )
    fits = reads or (height == width and LEAST <= height <= LARGEST)
    shape = (channels, height, width) if fits else (channels, USUAL, USUAL)
    full = full.fitted(shape)
    if spec.test == OWN_TEST:
        mixed = torch.randperm(len(full), generator=generator(spec.seed)).numpy()
        held = min(1000, max(4, len(full) // 6))
        test, full = full.take(np.sort(mixed[:held])), full.take(np.sort(mixed[held:]))
    else:
        test = load_data(str(spec.test), shape=shape).fitted(shape)
    train = full.sample(spec.images, seed=spec.seed)
    if len(train) < spec.batch_size:
        raise InputError(
            f"{spec.data!r} gives {len(train)} training images, a batch has {spec.batch_size}; take a smaller batch or "
            "more images"
        )
    return train, test


def run_labels(images: ImageSet, *, needed: bool) -> tuple[Tensor, int]:
    """(labels (N,), classes); of no meaning where the loss does not look at them.

    Raises:
        InputError: no labels where they are needed, or a number of classes outside 2..1,000.
    """
    if images.labels is None:
        if needed:
            raise InputError(
                f"{images.name!r} has no labels, and this loss needs them; choose labelled images, or the loss "
                "'instance'"
            )
        return torch.full((len(images),), -1), 10
    classes = max(int(images.labels.max()) + 1, len(images.classes))
    if classes < 2 or classes > 1000:
        raise InputError(f"{images.name!r} has {classes} classes; 2 to 1,000 are allowed")
    return torch.from_numpy(images.labels.copy()), classes


def run_pixels(images: ImageSet) -> Tensor:
    """(N, C, H, W) uint8."""
    pixels = torch.from_numpy(images.images.copy())
    return pixels.unsqueeze(1) if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2).contiguous()
