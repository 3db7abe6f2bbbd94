"""The kernel behind moving speed: how far a step on training image x_m moves the feature of image x, and how alike
their gradients are, K(x, x_m) = <dF(x)/dtheta, dF(x_m)/dtheta>, a block of the empirical neural tangent kernel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fssd_core.errors import InputError, did_you_mean
from fssd_core.runtime import Progress, generator, silent
from fssd_core.series import series_name
from fssd_core.speed import training_images
from fssd_core.store import Store, key
from fssd_core.study import Study, open_data, open_model, open_singularity, study_layers
from fssd_core.tangent import Tangent, scaled
from fssd_core.types import PointGroup

KERNEL_VERSION = 1
PER_GROUP, TRAIN = 16, 32
EXACT_OUTPUTS = 128  # up to so many outputs the trace is exact
PROBES = 64  # else this many random signs over the outputs estimate it (Hutchinson 1990)
_PIECE = 2**26  # gradient values held at once (256 MiB)
Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Kernel:
    """N images x M training images of one layer at one checkpoint.

    Attributes:
        layer: the layer k.
        step: training step, None where unknown.
        groups: ind first, then ood, then noise; they cover 0..N in order, ind sorted by class.
        labels: (N,) int16 class of the ind images, -1 elsewhere.
        train: reference of the training images.
        train_rows: (M,) their rows, sorted by class.
        train_labels: (M,) int16.
        reduction: how the D x D block of each pair became a number, in words.
        error: median relative standard error of `raw` from the random signs; 0 where the trace is exact.
        raw: (N, M) trace of J_k(x) J_k(x_m)^T.
        cosine: (N, M) the same over sqrt(trace(x, x) trace(x_m, x_m)): 1 where all gradients agree.
        pull: (N, M) ||J_k(x) v_m||, v_m = -dL_m/dtheta: how fast training on x_m alone moves x.
        outward: (N, M) how fast it moves x away from F*, whose own motion is taken off.
    """

    layer: str
    step: int | None
    groups: tuple[PointGroup, ...]
    labels: npt.NDArray[np.int16]
    train: str
    train_rows: npt.NDArray[np.int64]
    train_labels: npt.NDArray[np.int16]
    reduction: str
    error: float
    raw: Float32
    cosine: Float32
    pull: Float32
    outward: Float32


def kernel(study: Study, layer: str, *, store: Store, root: Path | None = None, progress: Progress = silent) -> Kernel:
    """The block of one layer at the study's checkpoint: 16 images a group x 32 training images, from the store or kept.

    Args:
        study: what to compute, at its step.
        layer: one of the study's layers.
        store: where results are looked for and kept.
        root: folder below which downloaded sets lie.
        progress: told after each output and each training image; may raise CancelledError.

    Raises:
        InputError: unknown layer, or labels that the network does not know.
        DataError: the training images have no labels.
    """
    _check(study, layer)
    entry_key = kernel_key(study, layer, root=root)
    if (entry := store.get(entry_key)) is not None:
        return _unpack(entry.arrays, entry.meta)
    made = _measured(study, layer, root, progress)
    store.put(entry_key, *_pack(made, study))
    return made


def stored_kernel(study: Study, layer: str, *, store: Store, root: Path | None = None) -> Kernel | None:
    """The block if the store has it; computes nothing."""
    _check(study, layer)
    entry = store.get(kernel_key(study, layer, root=root))
    return None if entry is None else _unpack(entry.arrays, entry.meta)


def kernel_key(study: Study, layer: str, *, root: Path | None = None) -> str:
    """Store key of the block."""
    model = open_model(study)
    facts = {
        "layer": layer, "noise_samples": study.noise_samples, "seed": study.seed, "arch": model.arch,
        "normalisation": [model.mean, model.std], "sizes": [PER_GROUP, TRAIN, EXACT_OUTPUTS, PROBES],
    }  # fmt: skip
    refs = [study.ind, *study.ood]
    sets = [open_data(study, ref, root=root, count=PER_GROUP) for ref in refs]
    prints = [images.fingerprint() for images in (*sets, training_images(study, count=TRAIN, root=root))]
    return key("kernel", KERNEL_VERSION, facts, model.weight_hash, refs, prints)


def gradient_products(
    tangent: Tangent, layer: str, probes: Tensor, images: Tensor, train: Tensor, *, progress: Progress = silent
) -> tuple[Tensor, Tensor, Tensor]:
    """Products of gradients along each probe r: g_r(x) = d<r, F_k(x)>/dtheta.

    With the unit vectors as probes the sum over r is the trace of J(x) J(x_m)^T; with random signs, its estimate.

    Args:
        tangent: the network.
        layer: the layer k.
        probes: (R, D_k).
        images: (N, C, H, W).
        train: (M, C, H, W).
        progress: told after each probe.

    Returns:
        (R, N, M) <g_r(x), g_r(x_m)>, (R, N) <g_r(x), g_r(x)> and (R, M) of the training images.
    """
    size = max(1, _PIECE // sum(w.numel() for w in tangent.weights.values()))
    between, own, trained = [], [], []
    for number, probe in enumerate(probes):
        progress(number, len(probes), "outputs")
        blocks, squares = [], []
        for some in torch.split(train, size):
            right = tangent.pull_back(some, layer, probe)  # (m, P)
            squares.append(right.square().sum(1))
            rows = [tangent.pull_back(part, layer, probe) for part in torch.split(images, size)]
            blocks.append(torch.cat([left @ right.T for left in rows]))
            norms = torch.cat([left.square().sum(1) for left in rows])
        between.append(torch.cat(blocks, dim=1))
        own.append(norms)
        trained.append(torch.cat(squares))
    return torch.stack(between), torch.stack(own), torch.stack(trained)


def pulls(tangent: Tangent, layer: str, images: Tensor, train: Tensor, labels: Tensor) -> Iterator[Tensor]:
    """M times (N, D_k) J_k(x) v_m: the velocity that training on x_m alone gives x. Their mean is dF_k(x)/dt."""
    for number in range(len(train)):
        gradient, _ = tangent.gradient(train[number : number + 1], labels[number : number + 1])
        yield tangent.push(images, scaled(gradient, -1.0))[1][layer]


def _measured(study: Study, layer: str, root: Path | None, progress: Progress) -> Kernel:
    extractor, noise, fss = open_singularity(study, (layer,))
    tangent = Tangent(extractor)
    pixels, groups, labels = _images(study, noise, root)
    train = training_images(study, count=TRAIN, root=root)
    assert train.labels is not None
    order = np.argsort(train.labels, kind="stable")
    truth, train = torch.from_numpy(train.labels[order]), train.take(order)
    width = fss[layer].numel()
    exact = width <= EXACT_OUTPUTS
    probes = torch.eye(width) if exact else _signs(PROBES, width, study.seed)

    def told(done: int, total: int, what: str) -> None:
        progress(done + (len(probes) if what == "training images" else 0), len(probes) + len(train), what)

    between, own, trained = gradient_products(
        tangent, layer, probes.to(extractor.device), pixels, train.tensor(), progress=told
    )
    join = torch.sum if exact else torch.mean
    raw, here, there = join(between, 0), join(own, 0), join(trained, 0)
    lengths = (here[:, None] * there[None]).sqrt()
    cosine = torch.where(lengths > 0, raw / lengths.clamp(min=1e-30), torch.zeros_like(raw))
    error = 0.0 if exact else float((between.std(0) / len(probes) ** 0.5 / raw.abs().clamp(min=1e-30)).median())
    seen = len(pixels)
    offset = extractor.features(pixels)[layer].to(raw.device) - fss[layer].to(raw.device)
    unit, pull, outward = torch.nn.functional.normalize(offset, dim=1), [], []
    for number, moved in enumerate(pulls(tangent, layer, torch.cat([pixels, noise]), train.tensor(), truth)):
        told(number, len(train), "training images")
        star = moved[seen:].mean(0)  # dF*/dt of this training image
        pull.append(torch.linalg.vector_norm(moved[:seen], dim=1))
        outward.append(((moved[:seen] - star) * unit).sum(1))
    progress(1, 1, "training images")
    return Kernel(
        layer=layer,
        step=open_model(study).step,
        groups=groups,
        labels=labels,
        train=train.name,
        train_rows=train.rows,
        train_labels=truth.numpy().astype(np.int16),
        reduction=f"the trace over all {width} outputs"
        if exact
        else f"the trace over {width:,} outputs, estimated with {PROBES} random signs",
        error=error,
        raw=raw.float().cpu().numpy(),
        cosine=cosine.float().cpu().numpy(),
        pull=torch.stack(pull, dim=1).float().cpu().numpy(),
        outward=torch.stack(outward, dim=1).float().cpu().numpy(),
    )


def _images(
    study: Study, noise: Tensor, root: Path | None
) -> tuple[Tensor, tuple[PointGroup, ...], npt.NDArray[np.int16]]:
    """(pixels, groups, labels) of 16 images a group; ind sorted by class, so that classes show as blocks."""
    blocks, groups, labels, start = [], [], [], 0
    for ref in (study.ind, *study.ood):
        images = open_data(study, ref, root=root, count=PER_GROUP)
        known = images.labels if ref == study.ind else None
        if known is not None:
            images = images.take(np.argsort(known, kind="stable"))
            known = images.labels
        blocks.append(images.tensor())
        labels.append(np.full(len(images), -1, np.int16) if known is None else known.astype(np.int16))
        kind = "ind" if ref == study.ind else "ood"
        groups.append(PointGroup(ref, kind, start, start + len(images), images.rows))
        start += len(images)
    some = noise[:PER_GROUP]
    groups.append(PointGroup("noise", "noise", start, start + len(some), np.arange(len(some))))
    labels.append(np.full(len(some), -1, np.int16))
    return torch.cat([*blocks, some]), tuple(groups), np.concatenate(labels)


def _signs(count: int, width: int, seed: int) -> Tensor:
    """(count, width) of +1 and -1."""
    return torch.randint(0, 2, (count, width), generator=generator(seed)).float() * 2 - 1


def _check(study: Study, layer: str) -> None:
    layers = study_layers(study)
    if layer not in layers:
        raise InputError(f"layer {layer!r} is not read by this study{did_you_mean(layer, layers)}")


_ARRAYS = ("raw", "cosine", "pull", "outward", "labels", "train_rows", "train_labels")


def _pack(made: Kernel, study: Study) -> tuple[dict[str, Any], dict[str, Any]]:
    arrays = {n: getattr(made, n) for n in _ARRAYS}
    arrays |= {f"rows_{i}": g.rows.astype(np.int32) for i, g in enumerate(made.groups)}
    meta = {
        "study": study.to_json(), "model": series_name(study), "layer": made.layer, "step": made.step,
        "train": made.train, "reduction": made.reduction, "error": made.error,
        "groups": [[g.name, g.kind, g.start, g.stop] for g in made.groups],
    }  # fmt: skip
    return arrays, meta


def _unpack(arrays: Mapping[str, Any], meta: Mapping[str, Any]) -> Kernel:
    groups = tuple(
        PointGroup(name, kind, start, stop, arrays[f"rows_{i}"].astype(np.int64))
        for i, (name, kind, start, stop) in enumerate(meta["groups"])
    )
    facts = {n: meta[n] for n in ("layer", "step", "train", "reduction", "error")}
    return Kernel(groups=groups, **facts, **{n: arrays[n] for n in _ARRAYS})
