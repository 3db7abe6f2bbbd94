"""Training in numbers: distances to F*, AUROC, norms and moving speed of every group, layer and checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fssd_core.data import ImageSet
from fssd_core.errors import InputError
from fssd_core.metrics import auroc
from fssd_core.runtime import Progress, silent
from fssd_core.series import at_step, moved, series_steps, weight_hashes
from fssd_core.store import Store, key
from fssd_core.study import BATCH, Study, open_model, open_singularity, study_layers
from fssd_core.study_projection import projection_sets

DYNAMICS_VERSION = 1
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
HELD = 2**28  # most feature values of one checkpoint held until the next (1 GiB); more images go in several rounds
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Dynamics:
    """Series over T checkpoints of K layers and G groups (ind first, then ood, then noise).

    Attributes:
        steps: T checkpoints, ascending.
        epochs: passes over the training data at each; NaN where the checkpoint does not say.
        layers: K layer names.
        groups: G of (name, kind).
        quantiles: Q levels of `bands`.
        mean: (T, K, G) mean ||F_k(x) - F*_k||.
        bands: (T, K, G, Q) its quantiles.
        ind_median: (T, K) median of ind.
        norm: (T, K, G) mean ||F_k(x)||.
        auroc: (T, K, G) of the distance alone, ind positive (larger = ind); NaN for ind.
        speed: (T-1, K, G) mean ||F_{t+1}(x) - F_t(x)|| / (steps between).
        fss_speed: (T-1, K) ||F*_{t+1} - F*_t|| / (steps between).
        relative_speed: (T-1, K, G) mean ||(F - F*)_{t+1} - (F - F*)_t|| / (steps between): motion as F* sees it.
        accuracy: (T,) test accuracy the checkpoints state, NaN where unknown; None if none does.
        loss: (T,) mean training loss since the checkpoint before, likewise.
    """

    steps: tuple[int, ...]
    epochs: tuple[float, ...]
    layers: tuple[str, ...]
    groups: tuple[tuple[str, str], ...]
    quantiles: tuple[float, ...]
    mean: Floats
    bands: Floats
    ind_median: Floats
    norm: Floats
    auroc: Floats
    speed: Floats
    fss_speed: Floats
    relative_speed: Floats
    accuracy: Floats | None
    loss: Floats | None

    @property
    def ratio(self) -> Floats:
        """(T, K, G) mean distance over the ind median; below 1: nearer to F* than most of ind. NaN without a unit."""
        unit = self.ind_median[..., None]
        return np.divide(self.mean, unit, out=np.full_like(self.mean, np.nan), where=unit > 0)


def dynamics(study: Study, *, store: Store, root: Path | None = None, progress: Progress = silent) -> Dynamics:
    """The series of all layers over all checkpoints of the study's model, from the store or computed and kept.

    Args:
        study: what to compute; `points` says how many images (half as many of each ood set), its step does not matter.
        store: where results are looked for and kept.
        root: folder below which downloaded sets lie.
        progress: told after each batch; may raise CancelledError.

    Raises:
        InputError: fewer than two checkpoints, or features that are not finite.
    """
    entry_key = dynamics_key(study, root=root)
    if (entry := store.get(entry_key)) is not None:
        return _unpack(entry.arrays, entry.meta)
    made = _measured(study, projection_sets(study, root=root), progress)
    store.put(entry_key, *_pack(made, study))
    return made


def stored_dynamics(study: Study, *, store: Store, root: Path | None = None) -> Dynamics | None:
    """The series if the store has them; computes nothing."""
    entry = store.get(dynamics_key(study, root=root))
    return None if entry is None else _unpack(entry.arrays, entry.meta)


def dynamics_key(study: Study, *, root: Path | None = None) -> str:
    """Store key of the series: the weights of every checkpoint, the layers and the images."""
    model = open_model(study)
    facts = {
        "layers": list(study_layers(study)), "noise_samples": study.noise_samples, "seed": study.seed,
        "normalisation": [model.mean, model.std], "arch": model.arch,
    }  # fmt: skip
    prints = [images.fingerprint() for images in projection_sets(study, root=root).values()]
    return key("dynamics", DYNAMICS_VERSION, facts, weight_hashes(study), [study.ind, *study.ood], prints)


def _measured(study: Study, sets: Mapping[str, ImageSet], progress: Progress) -> Dynamics:
    steps, layers = series_steps(study), study_layers(study)
    noise = open_singularity(at_step(study, steps[-1]))[1]
    pixels = torch.cat([*(images.tensor() for images in sets.values()), noise])
    edges = np.cumsum([0, *(len(images) for images in sets.values()), len(noise)])
    shape = len(steps), len(layers), len(pixels)
    distance, norm = np.empty(shape), np.empty(shape)
    speed, relative = np.empty((len(steps) - 1, *shape[1:])), np.empty((len(steps) - 1, *shape[1:]))
    stars: list[dict[str, Any]] = []
    for rows in _rounds(at_step(study, steps[-1]), len(pixels)):
        last: dict[str, Any] = {}
        for t, step in enumerate(steps):
            now, star = _features(study, step, pixels[rows], t, len(steps), progress)
            for k, layer in enumerate(layers):
                if not np.isfinite([now[layer].min(), now[layer].max()]).all():
                    raise InputError(f"features of {layer} at step {step} hold NaN or infinity; the training diverged")
                distance[t, k, rows] = moved(star[layer], now[layer])
                norm[t, k, rows] = moved(np.zeros_like(star[layer]), now[layer])
                if t:
                    between = steps[t] - steps[t - 1]
                    speed[t - 1, k, rows] = moved(last[layer], now[layer]) / between
                    shift = star[layer] - stars[t - 1][layer]
                    relative[t - 1, k, rows] = moved(last[layer] + shift, now[layer]) / between
            last, stars = now, [*stars[:t], star, *stars[t + 1 :]]
    groups = [(ref, "ind" if ref == study.ind else "ood") for ref in sets] + [("noise", "noise")]
    parts = [slice(a, b) for a, b in pairwise(edges.tolist())]
    facts = [open_model(at_step(study, step)).metadata for step in steps]
    fss_speed = [
        [np.linalg.norm(b[k].astype(np.float64) - a[k]) / (after - before) for k in layers]
        for (a, b), (before, after) in zip(pairwise(stars), pairwise(steps), strict=True)
    ]
    return Dynamics(
        steps=steps,
        epochs=tuple(_stated(f, "epoch") for f in facts),
        layers=layers,
        groups=tuple(groups),
        quantiles=QUANTILES,
        mean=_by_group(distance, parts),
        bands=np.stack([np.moveaxis(np.quantile(distance[..., p], QUANTILES, axis=-1), 0, -1) for p in parts], axis=2),
        ind_median=np.median(distance[..., parts[0]], axis=-1),
        norm=_by_group(norm, parts),
        auroc=_aurocs(distance, parts),
        speed=_by_group(speed, parts),
        fss_speed=np.array(fss_speed),
        relative_speed=_by_group(relative, parts),
        accuracy=_known([_stated(f, "test_accuracy") for f in facts]),
        loss=_known([_stated(f, "train_loss") for f in facts]),
    )


def _rounds(study: Study, count: int) -> Iterator[slice]:
    """The images in rounds whose features fit into memory; a round goes through all checkpoints."""
    fss = open_singularity(study)[2]
    size = max(BATCH, HELD // max(1, sum(f.numel() for f in fss.values())))
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def _features(
    study: Study, step: int, pixels: torch.Tensor, number: int, count: int, progress: Progress
) -> tuple[dict[str, Any], dict[str, Any]]:
    """({layer: (n, D_k)}, {layer: (D_k,)}) features and F* at one checkpoint."""
    extractor, _, fss = open_singularity(at_step(study, step))

    def told(done: int, total: int, what: str) -> None:
        progress(number * total + done, count * total, f"{what}, step {step}")

    features = extractor.features(pixels, batch_size=BATCH, progress=told)
    return {k: f.numpy() for k, f in features.items()}, {k: f.cpu().numpy() for k, f in fss.items()}


def _by_group(values: Floats, parts: list[slice]) -> Floats:
    """(..., M) -> (..., G) means."""
    return np.stack([values[..., part].mean(-1) for part in parts], axis=-1)


def _aurocs(distance: Floats, parts: list[slice]) -> Floats:
    out = np.full((*distance.shape[:2], len(parts)), np.nan)
    for t, k in np.ndindex(distance.shape[:2]):
        for g, part in enumerate(parts[1:], 1):
            out[t, k, g] = auroc(distance[t, k, parts[0]], distance[t, k, part])
    return out


def _stated(metadata: Mapping[str, str], name: str) -> float:
    """A number of a checkpoint's metadata, NaN if it does not state one."""
    try:
        return float(metadata.get(name, "nan"))
    except ValueError:
        return float("nan")


def _known(values: list[float]) -> Floats | None:
    return None if np.isnan(values).all() else np.array(values)


_ARRAYS = ("mean", "bands", "ind_median", "norm", "auroc", "speed", "fss_speed", "relative_speed")


def _pack(made: Dynamics, study: Study) -> tuple[dict[str, Any], dict[str, Any]]:
    arrays: dict[str, Any] = {name: getattr(made, name) for name in _ARRAYS}
    arrays["epochs"] = np.array(made.epochs)
    arrays |= {n: v for n, v in (("accuracy", made.accuracy), ("loss", made.loss)) if v is not None}
    meta = {
        "study": study.to_json(), "steps": list(made.steps), "layers": list(made.layers),
        "groups": [list(g) for g in made.groups], "quantiles": list(made.quantiles),
    }  # fmt: skip
    return arrays, meta


def _unpack(arrays: Mapping[str, Any], meta: Mapping[str, Any]) -> Dynamics:
    return Dynamics(
        steps=tuple(meta["steps"]),
        epochs=tuple(float(e) for e in arrays["epochs"]),
        layers=tuple(meta["layers"]),
        groups=tuple((name, kind) for name, kind in meta["groups"]),
        quantiles=tuple(meta["quantiles"]),
        accuracy=arrays.get("accuracy"),
        loss=arrays.get("loss"),
        **{name: arrays[name] for name in _ARRAYS},
    )
