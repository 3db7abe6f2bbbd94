"""The projection step of a study: one layer's ind, ood and noise features and F* drawn, measured and kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fssd_core.data import ImageSet
from fssd_core.errors import InputError, did_you_mean
from fssd_core.models import LoadedModel, is_series
from fssd_core.runtime import Progress, generator, silent
from fssd_core.singularity import uniform_noise
from fssd_core.store import Store, key
from fssd_core.study import BATCH, Study, open_data, open_model, open_singularity, study_layers
from fssd_core.types import Faithfulness, PointGroup, Projection

VIEWS = ("centred-spokes", "centred-umap", "umap", "pca")
PROJECTION_VERSION = 1


def projection_sets(study: Study, *, root: Path | None = None) -> dict[str, ImageSet]:
    """The images drawn in a projection: `points` of ind, half as many of each ood set; the keys are references."""
    return {ref: open_data(drawn_study(study, ref), ref, root=root) for ref in (study.ind, *study.ood)}


def drawn_study(study: Study, ref: str) -> Study:
    """The study whose `samples` are the images of this set that a projection draws: for their scores."""
    return dataclasses.replace(study, samples=study.points if ref == study.ind else study.points // 2)


def projection_images(study: Study, *, root: Path | None = None) -> dict[str, np.ndarray[Any, np.dtype[np.uint8]]]:
    """{group name: uint8 images}, one a drawn point and in the points' order, the noise behind F* included."""
    out = {ref: images.images for ref, images in projection_sets(study, root=root).items()}
    noise = uniform_noise(open_model(study).input_shape, study.noise_samples, generator=generator(study.seed))
    pixels = (noise * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return {**out, "noise": pixels[..., 0] if pixels.shape[-1] == 1 else pixels}


def projection_key(study: Study, layer: str, view: str, *, root: Path | None = None) -> str:
    """Store key of a projection."""
    model = open_model(study)
    facts = {
        "view": view,
        "layer": layer,
        "noise_samples": study.noise_samples,
        "seed": study.seed,
        "normalisation": [model.mean, model.std],
        "spokes from": None if view != "centred-spokes" else _last(study).weight_hash,
    }
    prints = [images.fingerprint() for images in projection_sets(study, root=root).values()]
    names = [study.ind, *study.ood]
    return key("projection", PROJECTION_VERSION, facts, model.arch, model.weight_hash, names, prints)


def features_projection(
    study: Study, layer: str, view: str, *, store: Store, root: Path | None = None, progress: Progress = silent
) -> Projection:
    """One layer's ind, ood and noise features and F* in the plane, with its measured faithfulness.

    Args:
        study: what to compute.
        layer: one of the study's layers.
        view: one of VIEWS.
        store: where results are looked for and kept.
        root: folder below which downloaded sets lie.
        progress: told between stages; may raise CancelledError.

    Raises:
        InputError: unknown layer or view.
    """
    _check_projection(study, layer, view)
    entry_key = projection_key(study, layer, view, root=root)
    if (entry := store.get(entry_key)) is not None:
        return _unpack(entry.arrays, entry.meta, *drawn_points(study, root=root))
    from fssd_core.projection import project

    order = None
    if view == "centred-spokes" and open_model(study).weight_hash != _last(study).weight_hash:
        final = features_projection(
            dataclasses.replace(study, step=None), layer, view, store=store, root=root, progress=progress
        )
        spokes = {int(k): float(a) for k, a in final.notes.get("spokes", {}).items()}
        order = sorted(spokes, key=lambda k: spokes[k])
    features, groups, labels, fss = stacked_features(study, layer, root=root, progress=progress)
    made = project(
        view, features, fss, groups=groups, labels=labels, layer=layer, seed=study.seed, progress=progress,
        spoke_order=order,
    )  # fmt: skip
    store.put(entry_key, *_pack(made, study))
    return made


def stored_projection(
    study: Study, layer: str, view: str, *, store: Store, root: Path | None = None
) -> Projection | None:
    """The projection if the store has it; computes nothing."""
    _check_projection(study, layer, view)
    entry = store.get(projection_key(study, layer, view, root=root))
    return None if entry is None else _unpack(entry.arrays, entry.meta, *drawn_points(study, root=root))


def _check_projection(study: Study, layer: str, view: str) -> None:
    if view not in VIEWS:
        raise InputError(f"no view {view!r}{did_you_mean(view, VIEWS)}")
    layers = study_layers(study)
    if layer not in layers:
        raise InputError(f"layer {layer!r} is not read by this study{did_you_mean(layer, layers)}")


def _last(study: Study) -> LoadedModel:
    """The last checkpoint of the study's model: spokes keep its order over the whole training."""
    name = study.model.split("@")[0]
    return open_model(dataclasses.replace(study, model=name, step=None)) if is_series(name) else open_model(study)


def stacked_features(
    study: Study, layer: str, *, root: Path | None, progress: Progress
) -> tuple[np.ndarray[Any, np.dtype[np.float32]], tuple[PointGroup, ...], np.ndarray[Any, np.dtype[np.int16]], Any]:
    """Features (M, D) of ind, ood and noise stacked, their groups, class labels (M,) and F* (D,)."""
    extractor, noise, fss = open_singularity(study, (layer,))
    blocks = []
    for ref, images in [*projection_sets(study, root=root).items(), ("noise", None)]:

        def told(done: int, total: int, what: str, ref: str = ref) -> None:
            progress(done, total, f"features of {ref}")

        pixels = noise if images is None else images.tensor()
        blocks.append(extractor.features(pixels, batch_size=BATCH, progress=told)[layer].numpy())
    features = np.concatenate(blocks).astype(np.float32, copy=False)
    return features, *drawn_points(study, root=root), fss[layer].cpu().numpy()


def drawn_points(
    study: Study, *, root: Path | None = None
) -> tuple[tuple[PointGroup, ...], np.ndarray[Any, np.dtype[np.int16]]]:
    """The groups of a projection, in order, and the (M,) int16 class of each point: -1 where it has none."""
    groups, labels = [], []
    start = 0
    for ref, images in [*projection_sets(study, root=root).items(), ("noise", None)]:
        size = study.noise_samples if images is None else len(images)
        kind = "noise" if images is None else "ind" if ref == study.ind else "ood"
        rows = np.arange(size, dtype=np.int64) if images is None else images.rows
        groups.append(PointGroup(ref, kind, start, start + size, rows))
        known = images.labels if images is not None and kind == "ind" else None
        labels.append(np.full(size, -1, np.int16) if known is None else known.astype(np.int16))
        start += size
    return tuple(groups), np.concatenate(labels)


def _pack(made: Projection, study: Study) -> tuple[dict[str, Any], dict[str, Any]]:
    arrays = {
        "xy": made.xy.astype(np.float32),
        "fss": made.fss.astype(np.float32),
        "distance": made.distance.astype(np.float32),
    }  # which image each point is follows from the study
    meta = {
        "study": study.to_json(),
        "view": made.view,
        "layer": made.layer,
        "faithfulness": dataclasses.asdict(made.faithfulness),
        "notes": made.notes,
    }
    return arrays, meta


def _unpack(
    arrays: Mapping[str, Any],
    meta: Mapping[str, Any],
    groups: tuple[PointGroup, ...],
    labels: np.ndarray[Any, np.dtype[np.int16]],
) -> Projection:
    return Projection(
        view=meta["view"],
        layer=meta["layer"],
        xy=arrays["xy"],
        fss=arrays["fss"],
        distance=arrays["distance"],
        groups=groups,
        labels=labels,
        faithfulness=Faithfulness(**meta["faithfulness"]),
        notes=meta["notes"],
    )
