"""Moving speed, the slides' explanation of concentration: dF(x)/dt = -sum_m dF(x)/dtheta dF(x_m)/dtheta^T dL_m.

Gradient descent on the training loss moves a feature along J(x) v with v = -dL/dtheta: one forward derivative (jvp) an
image. Beside it stands the same for random directions of the same length, which shows the size of the Jacobian alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fssd_core.data import ImageSet
from fssd_core.errors import DataError
from fssd_core.runtime import Progress, generator, silent
from fssd_core.series import at_step, series_steps, weight_hashes
from fssd_core.speed_measure import Moved, moved_along
from fssd_core.store import Store, key
from fssd_core.study import BATCH, Study, open_data, open_model, open_singularity, study_layers
from fssd_core.study_projection import projection_sets
from fssd_core.tangent import Tangent, norm, random_like, scaled

SPEED_VERSION = 1
TRAIN_IMAGES = 2000
CONTROLS = ("whole", "by tensor")
DRAWS = 4
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Speed:
    """Instantaneous speeds over T checkpoints, K layers and G groups; a unit of time is lr 1 of gradient descent.

    Attributes:
        steps: T checkpoints, ascending.
        layers: K layer names.
        groups: G of (name, kind): ind first, then ood, then noise.
        counts: G images of each group.
        train: reference of the training images behind v.
        train_images: how many.
        loss: (T,) their mean cross-entropy, network in eval mode.
        gradient: (T,) ||v||.
        exact: (T, K, G) mean ||J_k(x) v||.
        exact_sd: (T, K, G) its standard deviation over the images.
        relative: (T, K, G) mean ||J_k(x) v - dF*_k/dt||: motion as F* sees it.
        relative_sd: (T, K, G) its standard deviation.
        outward: (T, K, G) mean d||F_k(x) - F*_k||/dt: positive moves away from F*.
        outward_sd: (T, K, G) its standard deviation.
        fss: (T, K) ||dF*_k/dt||.
        controls: names of the 2 kinds of random direction: 'whole' spreads the length ||v|| over all parameters,
            'by tensor' gives each parameter tensor the length that v has there.
        control: (2, R, T, K, G) mean ||J_k(x) u|| for R random directions u of each kind.
        control_relative: (2, R, T, K, G) the same relative to F*.
    """

    steps: tuple[int, ...]
    layers: tuple[str, ...]
    groups: tuple[tuple[str, str], ...]
    counts: tuple[int, ...]
    train: str
    train_images: int
    loss: Floats
    gradient: Floats
    exact: Floats
    exact_sd: Floats
    relative: Floats
    relative_sd: Floats
    outward: Floats
    outward_sd: Floats
    fss: Floats
    controls: tuple[str, ...]
    control: Floats
    control_relative: Floats


def training_images(study: Study, *, count: int = TRAIN_IMAGES, root: Path | None = None) -> ImageSet:
    """A seeded draw of labelled images that stand for the training set: 'X:train' of ind 'X:test', else ind itself.

    Raises:
        DataError: they have no labels.
    """
    name, colon, part = study.ind.rpartition(":")
    ref = f"{name}:train" if colon and part == "test" else study.ind
    images = open_data(study, ref, root=root, count=count)
    if images.labels is None:
        raise DataError(
            f"{ref!r} has no labels, so the training loss and its gradient are unknown; choose an ind set with labels "
            "(an .npz with `labels`, or a folder with a subfolder for each class)"
        )
    return images


def speed(
    study: Study,
    *,
    train_images: int = TRAIN_IMAGES,
    store: Store,
    root: Path | None = None,
    progress: Progress = silent,
) -> Speed:
    """Exact moving speed and its controls at every checkpoint, from the store or computed and kept.

    Args:
        study: what to compute; `points` says how many images, its step does not matter.
        train_images: how many training images the gradient is the mean over.
        store: where results are looked for and kept.
        root: folder below which downloaded sets lie.
        progress: told after each pass over the images; may raise CancelledError.

    Raises:
        InputError: fewer than two checkpoints, or labels that the network does not know.
        DataError: the training images have no labels.
        ModelError: the network has no logits, or its loss is not finite.
    """
    entry_key = speed_key(study, train_images=train_images, root=root)
    if (entry := store.get(entry_key)) is not None:
        return _unpack(entry.arrays, entry.meta)
    made = _measured(study, train_images, root, progress)
    store.put(entry_key, *_pack(made, study))
    return made


def stored_speed(
    study: Study, *, train_images: int = TRAIN_IMAGES, store: Store, root: Path | None = None
) -> Speed | None:
    """The speeds if the store has them; computes nothing."""
    entry = store.get(speed_key(study, train_images=train_images, root=root))
    return None if entry is None else _unpack(entry.arrays, entry.meta)


def speed_key(study: Study, *, train_images: int = TRAIN_IMAGES, root: Path | None = None) -> str:
    """Store key of the speeds: the weights of every checkpoint, the layers, the images moved and trained on."""
    model = open_model(study)
    facts = {
        "layers": list(study_layers(study)), "noise_samples": study.noise_samples, "seed": study.seed,
        "normalisation": [model.mean, model.std], "arch": model.arch, "draws": DRAWS,
    }  # fmt: skip
    sets = [*projection_sets(study, root=root).values(), training_images(study, count=train_images, root=root)]
    prints = [images.fingerprint() for images in sets]
    return key("speed", SPEED_VERSION, facts, weight_hashes(study), [study.ind, *study.ood], prints)


def _measured(study: Study, train_images: int, root: Path | None, progress: Progress) -> Speed:
    steps, layers = series_steps(study), study_layers(study)
    sets, train = projection_sets(study, root=root), training_images(study, count=train_images, root=root)
    assert train.labels is not None
    truth = torch.tensor(train.labels)
    noise = open_singularity(at_step(study, steps[-1]))[1]
    pixels = torch.cat([*(images.tensor() for images in sets.values()), noise])
    counts = [*(len(images) for images in sets.values()), len(noise)]
    ends = np.cumsum([0, *counts]).tolist()
    parts = [slice(a, b) for a, b in pairwise(ends)]
    exact: list[Moved] = []
    controls: list[list[Moved]] = []
    losses, lengths = [], []
    units = len(steps) * (1 + len(CONTROLS) * DRAWS)

    def told(what: str) -> None:
        progress(len(exact) + sum(map(len, controls)), units, f"directions ({what})")

    for step in steps:
        told(f"gradient at step {step}")
        extractor, _, fss = open_singularity(at_step(study, step))
        tangent = Tangent(extractor)
        gradient, loss = tangent.gradient(train.tensor(), truth, batch_size=BATCH)
        velocity = scaled(gradient, -1.0)
        losses.append(loss)
        lengths.append(norm(velocity))
        exact.append(moved_along(tangent, velocity, pixels, parts, fss))
        controls.append([])
        for by_tensor in (False, True):
            draws = generator(study.seed + 1)
            for _ in range(DRAWS):
                told(f"random at step {step}")
                along = random_like(velocity, generator=draws, by_tensor=by_tensor)
                controls[-1].append(moved_along(tangent, along, pixels, parts, fss))
    told("done")

    def control(read: Callable[[Moved], Floats]) -> Floats:
        table = np.array([[read(m) for m in row] for row in controls])  # (T, 2R, K, G)
        return np.moveaxis(table.reshape(len(steps), len(CONTROLS), DRAWS, *table.shape[2:]), 0, 2)

    return Speed(
        steps=steps,
        layers=layers,
        groups=(*((ref, "ind" if ref == study.ind else "ood") for ref in sets), ("noise", "noise")),
        counts=tuple(counts),
        train=train.name,
        train_images=len(train),
        loss=np.array(losses),
        gradient=np.array(lengths),
        exact=np.stack([m.mean for m in exact]),
        exact_sd=np.stack([m.sd for m in exact]),
        relative=np.stack([m.relative for m in exact]),
        relative_sd=np.stack([m.relative_sd for m in exact]),
        outward=np.stack([m.outward for m in exact]),
        outward_sd=np.stack([m.outward_sd for m in exact]),
        fss=np.stack([m.fss for m in exact]),
        controls=CONTROLS,
        control=control(lambda m: m.mean),
        control_relative=control(lambda m: m.relative),
    )


_ARRAYS = (
    "loss", "gradient", "exact", "exact_sd", "relative", "relative_sd", "outward", "outward_sd", "fss", "control",
    "control_relative",
)  # fmt: skip
_FACTS = ("steps", "layers", "groups", "counts", "train", "train_images", "controls")


def _pack(made: Speed, study: Study) -> tuple[dict[str, Any], dict[str, Any]]:
    return {n: getattr(made, n) for n in _ARRAYS}, {"study": study.to_json(), **{n: getattr(made, n) for n in _FACTS}}


def _unpack(arrays: Mapping[str, Any], meta: Mapping[str, Any]) -> Speed:
    facts: dict[str, Any] = {n: tuple(meta[n]) if isinstance(meta[n], list) else meta[n] for n in _FACTS}
    facts["groups"] = tuple((name, kind) for name, kind in facts["groups"])
    return Speed(**facts, **{n: arrays[n] for n in _ARRAYS})
