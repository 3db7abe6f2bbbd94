"""One image under the microscope: its distances, its perturbation in every layer, its nearest ind images.

`measure_sample` is the slow half (torch, kept in the Store), `fssd_core.inspect_verdict.judge` the fast one.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fssd_core.data import ImageSet
from fssd_core.errors import InputError, ModelError, did_you_mean
from fssd_core.inspect_measure import NEIGHBOURS, Measurement, Neighbours, nearest, perturbations, to_array
from fssd_core.inspect_verdict import Inspection, judge
from fssd_core.runtime import Progress, silent
from fssd_core.singularity import GRADIENTS
from fssd_core.store import Store, key
from fssd_core.study import Study, open_data, open_model, open_singularity, study_layers
from fssd_core.types import LayerScores, Weights

VERSION = 1
REFERENCES = 1000  # ind images searched for neighbours


def inspect_sample(
    study: Study,
    image: Tensor,
    *,
    ind: LayerScores,
    weights: Weights,
    threshold: float,
    epsilon: float | None = None,
    gradient: str | None = None,
    layer: str | None = None,
    exclude: int | None = None,
    stored: npt.ArrayLike | None = None,
    store: Store,
    root: Path | None = None,
    progress: Progress = silent,
) -> Inspection:
    """`measure_sample` and `judge` in one call.

    Args:
        study: network, layers, noise, seed and the ind set.
        image: (C, H, W) or (1, C, H, W) in [0, 1].
        ind: (N, K) ind scores at this epsilon and gradient rule.
        weights: alpha on the raw distances.
        threshold: accepted as ind where score >= threshold.
        epsilon: in pixels; None for the study's own.
        gradient: 'sign' or 'standardised'; None for the study's own.
        layer: whose features find the neighbours; None for the last.
        exclude: row of the ind set that is the sample itself, no neighbour of it.
        stored: (K,) distances of this very image from the stored scores, see `judge`.
        store: where measurements are looked for and kept.
        root: folder below which downloaded sets lie.
        progress: told while ind images are compared; may raise CancelledError.
    """
    measured = measure_sample(
        study, image, epsilon=epsilon, gradient=gradient, layer=layer, exclude=exclude, store=store, root=root,
        progress=progress,
    )  # fmt: skip
    return judge(measured, ind=ind, weights=weights, threshold=threshold, stored=stored)


def measure_sample(
    study: Study,
    image: Tensor,
    *,
    epsilon: float | None = None,
    gradient: str | None = None,
    layer: str | None = None,
    exclude: int | None = None,
    store: Store,
    root: Path | None = None,
    progress: Progress = silent,
) -> Measurement:
    """Everything about one image that needs the network; found in the store or computed and kept there.

    The arguments are those of `inspect_sample`.

    Raises:
        InputError: an image that is not finite, outside [0, 1] or of another shape; unknown layer or gradient rule.
        ModelError: weights or features that are not finite.
    """
    found = stored_measurement(
        study, image, epsilon=epsilon, gradient=gradient, layer=layer, exclude=exclude, store=store, root=root
    )
    if found is not None:
        return found
    pixels, epsilon, gradient, layer = _checked(study, image, epsilon, gradient, layer)
    extractor, _, fss = open_singularity(study)
    with torch.no_grad():
        taps, logits = extractor.taps_and_logits(pixels)
    plain, distances, directions = perturbations(extractor, pixels, fss, epsilon, gradient)
    references = _references(study, root)
    made = Measurement(
        image=to_array(pixels[0]),
        layers=extractor.layers,
        epsilon=epsilon,
        gradient=gradient,
        plain=plain,
        distances=distances,
        directions=directions,
        logits=to_array(logits[0]),
        neighbours=nearest(extractor, taps[layer][0], layer, references, exclude=exclude, progress=progress),
    )
    for what, values in (("distances to F*", made.distances), ("logits", made.logits)):
        if not np.isfinite(values).all():
            raise ModelError(f"the {what} of this image are not finite; check the weights and the image for NaN")
    store.put(_key(study, pixels, epsilon, gradient, layer, exclude, references), *_pack(made))
    return made


def stored_measurement(
    study: Study,
    image: Tensor,
    *,
    epsilon: float | None = None,
    gradient: str | None = None,
    layer: str | None = None,
    exclude: int | None = None,
    store: Store,
    root: Path | None = None,
) -> Measurement | None:
    """The measurement if the store has it; computes nothing."""
    pixels, epsilon, gradient, layer = _checked(study, image, epsilon, gradient, layer)
    entry = store.get(_key(study, pixels, epsilon, gradient, layer, exclude, _references(study, root)))
    return None if entry is None else _unpack(entry.arrays, entry.meta)


def measure_call(study: Study, args: dict[str, Any], store: Store, root: Path | None, progress: Progress) -> object:
    """The worker's call 'inspect': arguments as `to_request` made them."""
    height, width, channels = args["size"]
    flat = np.frombuffer(base64.b64decode(args["pixels"]), dtype=np.uint8).reshape(height, width, channels)
    rest = {name: args[name] for name in ("epsilon", "gradient", "layer", "exclude")}
    return measure_sample(study, to_tensor(flat), **rest, store=store, root=root, progress=progress)


def to_request(
    pixels: npt.NDArray[np.uint8], *, epsilon: float, gradient: str, layer: str, exclude: int | None
) -> dict[str, Any]:
    """JSON arguments for `measure_call` from pixels (H, W) or (H, W, 3)."""
    size = [*pixels.shape, 1][:3]
    text = base64.b64encode(np.ascontiguousarray(pixels).tobytes()).decode()
    return {
        "pixels": text, "size": size, "epsilon": epsilon, "gradient": gradient, "layer": layer, "exclude": exclude,
    }  # fmt: skip


def to_tensor(pixels: npt.NDArray[np.uint8]) -> Tensor:
    """(H, W[, C]) uint8 as (C, H, W) float32 in [0, 1], the same values as `ImageSet.tensor`."""
    values = torch.from_numpy(pixels.astype(np.float32)).div_(255)
    return values.unsqueeze(0) if pixels.ndim == 2 else values.permute(2, 0, 1).contiguous()


def _checked(
    study: Study, image: Tensor, epsilon: float | None, gradient: str | None, layer: str | None
) -> tuple[Tensor, float, str, str]:
    """((1, C, H, W) on the CPU, epsilon, gradient, layer), defaults filled in."""
    wanted = open_model(study).input_shape
    pixels = image[None] if image.ndim == 3 else image
    if tuple(pixels.shape) != (1, *wanted) or not pixels.is_floating_point():
        raise InputError(
            f"an image of shape {tuple(image.shape)} and type {image.dtype} was given; this network takes one float "
            f"image of {wanted} (channels, height, width)"
        )
    if not torch.isfinite(pixels).all() or pixels.min() < 0 or pixels.max() > 1:
        bad = int((~torch.isfinite(pixels)).sum())
        raise InputError(
            f"the image has {bad} values that are NaN or infinite, the others from {pixels.nan_to_num().min():.3g} to "
            f"{pixels.nan_to_num().max():.3g}; pixels are finite and in [0, 1]"
        )
    epsilon = study.epsilon if epsilon is None else float(epsilon)
    if not np.isfinite(epsilon) or abs(epsilon) > 1:
        raise InputError(f"epsilon {epsilon} was given; it is in pixels, -1 to 1")
    gradient = gradient or study.gradient
    if gradient not in GRADIENTS:
        raise InputError(f"no gradient rule {gradient!r}{did_you_mean(gradient, GRADIENTS)}")
    layers = study_layers(study)
    layer = layer or layers[-1]
    if layer not in layers:
        raise InputError(f"layer {layer!r} is not read by this study{did_you_mean(layer, layers)}")
    return pixels.detach().float().cpu(), epsilon, gradient, layer


def _references(study: Study, root: Path | None) -> ImageSet:
    return open_data(study, study.ind, root=root, count=REFERENCES)


def _key(
    study: Study, pixels: Tensor, epsilon: float, gradient: str, layer: str, exclude: int | None, references: ImageSet
) -> str:
    model = open_model(study)
    facts = {
        "layers": list(study_layers(study)),
        "epsilon": epsilon,
        "gradient": gradient,
        "layer": layer,
        "exclude": exclude,
        "neighbours": NEIGHBOURS,
        "noise_samples": study.noise_samples,
        "seed": study.seed,
        "normalisation": [model.mean, model.std],
    }
    digest = hashlib.sha256(to_array(pixels).tobytes()).hexdigest()
    rows = hashlib.sha256(references.rows.tobytes()).hexdigest()
    return key("inspect", VERSION, facts, model.arch, model.weight_hash, references.fingerprint(), rows, digest)


def _pack(made: Measurement) -> tuple[dict[str, Any], dict[str, Any]]:
    near = made.neighbours
    arrays = {name: getattr(made, name) for name in ("image", "plain", "distances", "directions", "logits")}
    arrays |= {"near_rows": near.rows, "near_distances": near.distances, "near_labels": near.labels}
    meta = {"layers": list(made.layers), "epsilon": made.epsilon, "gradient": made.gradient}
    return arrays, {**meta, "near_layer": near.layer, "searched": near.searched}


def _unpack(arrays: Mapping[str, Any], meta: Mapping[str, Any]) -> Measurement:
    rows, distances, labels = (arrays[f"near_{name}"] for name in ("rows", "distances", "labels"))
    return Measurement(
        **{name: arrays[name] for name in ("image", "plain", "distances", "directions", "logits")},
        layers=tuple(meta["layers"]),
        epsilon=meta["epsilon"],
        gradient=meta["gradient"],
        neighbours=Neighbours(meta["near_layer"], rows, distances, labels, meta["searched"]),
    )
