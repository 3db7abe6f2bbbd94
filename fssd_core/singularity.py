"""The paper in one short file: noise, the singularity F*, perturbation, distance (Huang et al. 2021, Algorithm 1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from fssd_core.errors import InputError, ModelError
from fssd_core.extractor import FeatureExtractor, check_images
from fssd_core.runtime import Progress, fitting_batch, in_batches, silent, tf32, to_device
from fssd_core.types import LayerScores

GRADIENTS = ("sign", "standardised")
CACHED = 200_000  # float32 values that a CPU core's cache holds


def uniform_noise(shape: Sequence[int], count: int = 100, *, generator: torch.Generator) -> Tensor:
    """(S, C, H, W) images of independent pixels drawn from U[0, 1].

    Args:
        shape: (C, H, W) of one image.
        count: S, at least 1; 20 are enough for AUROC, 100 is the authors' number.
        generator: where the draws come from (a CPU generator gives the same noise on every device).
    """
    if count < 1:
        raise InputError(f"{count} noise images were asked for; at least 1 is needed")
    return torch.rand((count, *shape), generator=generator)


def estimate_fss(extractor: FeatureExtractor, noise: Tensor, *, batch_size: int | None = None) -> dict[str, Tensor]:
    """Mean feature of the noise per layer: F*_k = 1/S sum_s F_k(x_s)  (Algorithm 1, step 1).

    Args:
        extractor: the network and its K layers.
        noise: (S, C, H, W) in [0, 1].
        batch_size: noise images at once.

    Returns:
        {layer: (D_k,)} on the extractor's device.
    """
    sums: dict[str, Tensor] = {}

    def one(rows: slice) -> dict[str, Tensor]:
        with torch.no_grad():
            return {
                k: f.double().sum(0) if f.device.type != "mps" else f.sum(0)
                for k, f in extractor.taps(noise[rows]).items()
            }

    check_images(noise)
    for _, part in in_batches(len(noise), one, batch_size=batch_size):
        for layer, value in part.items():
            sums[layer] = sums[layer] + value if layer in sums else value
    return {layer: (value / len(noise)).float() for layer, value in sums.items()}  # (S, D_k) -> (D_k,)


def fssd(
    extractor: FeatureExtractor,
    images: Tensor,
    fss: Mapping[str, Tensor],
    *,
    epsilon: float = 0.0,
    gradient: str = "sign",
    shared: bool = False,
    batch_size: int | None = None,
    progress: Progress = silent,
) -> LayerScores:
    """FSSD_k(x) = ||F_k(x~_k) - F*_k||_2 with x~_k perturbed for layer k  (Algorithm 1, steps 2 and 3).

    Args:
        extractor: the network and its K layers.
        images: (N, C, H, W) in [0, 1].
        fss: {layer: (D_k,)} from `estimate_fss`.
        epsilon: size of the perturbation in pixels, signed; 0 for none. The perturbed image is not clipped.
        gradient: 'sign', x + epsilon sign(grad ||F_k(x) - F*_k||), the paper: positive moves away from F*; or
            'standardised', x - epsilon (g - mean g) / std g over the batch, the authors' code: positive moves toward F*
            and the result depends on the batch.
        shared: the fast approximation, never the default: one perturbed image for all layers, along the gradient of
            sum_k log ||F_k(x) - F*_k||, in 2 forward passes and 1 backward pass instead of K + 1 and K.
        batch_size: images at once; halved on out-of-memory.
        progress: told after each batch; may raise CancelledError.

    Returns:
        (N, K) distances, larger = more in-distribution.

    Raises:
        InputError: unknown gradient rule, epsilon not finite, or no images.
        ModelError: F* of another network, or features that are not finite.
    """
    sweep = fssd_sweep(
        extractor, images, fss, epsilons=[epsilon], gradient=gradient, shared=shared, batch_size=batch_size,
        progress=progress,
    )  # fmt: skip
    return sweep[epsilon]


def fssd_sweep(
    extractor: FeatureExtractor,
    images: Tensor,
    fss: Mapping[str, Tensor],
    *,
    epsilons: Sequence[float],
    gradient: str = "sign",
    shared: bool = False,
    batch_size: int | None = None,
    progress: Progress = silent,
) -> dict[float, LayerScores]:
    """`fssd` for several epsilons: one forward graph for all layers, K gradients, shared by all epsilons.

    The passes of an image are F + sum_k B_k + E sum_k F_k for E epsilons: one forward, K backward to the input (no
    parameter gradients) and, an epsilon other than 0, K forward that stop at their layer. Memory follows the batch, not
    the number of images.

    Returns:
        {epsilon: (N, K) distances}, in the given order.
    """
    check_images(images)
    if gradient not in GRADIENTS:
        raise InputError(f"no gradient rule {gradient!r}; known: {', '.join(GRADIENTS)}")
    if not epsilons or not np.isfinite(list(epsilons)).all():
        raise InputError(f"epsilons {list(epsilons)} were given; give at least one finite number")
    if len(images) == 0:
        raise InputError("0 images were given; FSSD needs at least 1")
    layers = extractor.layers
    if missing := [layer for layer in layers if layer not in fss]:
        raise ModelError(f"F* has no layer {', '.join(missing)}; estimate it with the same extractor")
    wanted = list(dict.fromkeys(epsilons))
    tables = np.empty((len(wanted), len(images), len(layers)), dtype=np.float32)

    def one(rows: slice) -> Tensor:
        with tf32(extractor.autocast is not None):  # the backward passes too
            return _sweep_batch(extractor, images[rows], fss, wanted, gradient, shared).cpu()

    size = batch_size
    if size is None and gradient == "sign" and len(images) > 1:  # results of 'standardised' depend on the batch
        size = fitting_batch(extractor.image_bytes(images[0]), extractor.device)
    for rows, part in in_batches(len(images), one, batch_size=size, progress=progress):
        tables[:, rows] = part.numpy()
    for epsilon, table in zip(wanted, tables, strict=True):
        if not np.isfinite(table).all():
            raise ModelError(_not_finite(table, layers, epsilon))
    return {epsilon: LayerScores(table, layers) for epsilon, table in zip(wanted, tables, strict=True)}


def _not_finite(table: npt.NDArray[np.float32], layers: Sequence[str], epsilon: float) -> str:
    """How many images have no finite distance, which ones, and in which layers."""
    wrong = ~np.isfinite(table)
    rows = np.flatnonzero(wrong.any(axis=1))
    shown = ", ".join(str(row) for row in rows[:5]) + (" ..." if len(rows) > 5 else "")
    odd = ", ".join(layer for layer, bad in zip(layers, wrong.T, strict=True) if bad.any())
    return (
        f"{len(rows)} of {len(table)} images have distances that are not finite at epsilon {epsilon:g} in {odd} "
        f"(numbers {shown} of those scored, from 0); the weights hold values so large that features overflow, or the "
        "images hold NaN: take another checkpoint, leave out that layer, or leave out these images"
    )


def perturb(
    extractor: FeatureExtractor,
    images: Tensor,
    fss: Mapping[str, Tensor],
    layer: str,
    *,
    epsilon: float,
    gradient: str = "sign",
) -> Tensor:
    """x~ of one layer (Algorithm 1, step 2): (N, C, H, W), not clipped, on the extractor's device."""
    x = images.to(extractor.device).detach().requires_grad_(True)
    with torch.enable_grad():
        distance = _distance(extractor.taps(x, [layer])[layer], fss[layer])
        (grad,) = torch.autograd.grad(distance.sum(), x)
    return x.detach() + epsilon * _direction(grad, extractor, gradient)


def _sweep_batch(
    extractor: FeatureExtractor,
    images: Tensor,
    fss: Mapping[str, Tensor],
    epsilons: Sequence[float],
    gradient: str,
    shared: bool,
) -> Tensor:
    """(E, n, K) distances, one copy for all epsilons to the CPU."""
    layers = extractor.layers
    x = to_device(images, extractor.device).detach()
    if all(epsilon == 0 for epsilon in epsilons):
        with torch.no_grad():
            return _distances(extractor, x, fss, layers).expand(len(epsilons), -1, -1)
    plain, directions = _plain_and_directions(extractor, x, fss, gradient, shared)  # the graph is gone by now
    out = torch.empty((len(epsilons), *plain.shape), device=plain.device)
    with torch.no_grad():
        for row, epsilon in enumerate(epsilons):
            if epsilon == 0:
                out[row] = plain
            elif shared:  # one perturbed image for all layers: one more whole forward
                out[row] = _distances(extractor, x + epsilon * directions[layers[0]], fss, layers)
            else:
                for column, k in enumerate(layers):
                    out[row, :, column] = _distances(extractor, x + epsilon * directions[k], fss, (k,))[:, 0]
    return out


def _plain_and_directions(
    extractor: FeatureExtractor, x: Tensor, fss: Mapping[str, Tensor], gradient: str, shared: bool
) -> tuple[Tensor, dict[str, Tensor]]:
    """(n, K) unperturbed distances, and {layer: (n, C, H, W) step of length one}, from one forward graph."""
    layers = extractor.layers
    x = x.requires_grad_(True)
    directions: dict[str, Tensor] = {}
    with torch.enable_grad():
        read = _features(extractor, x, fss, layers)  # one forward for all layers
        distances = {k: _distance(*read.pop(k)) for k in layers}
        plain = torch.stack([distances[k].detach() for k in layers], 1)
        if shared:  # sum_k grad log d_k: every layer pulls by the share that its own distance would change
            (grad,) = torch.autograd.grad(torch.stack([d.log().sum() for d in distances.values()]).sum(), x)
            return plain, dict.fromkeys(layers, _direction(grad, extractor, gradient))
        for layer in reversed(layers):  # the deepest first: what only it needs of the graph is released with it
            # the samples do not interact in eval mode, so the gradient of the sum holds each sample's own gradient
            (grad,) = torch.autograd.grad(distances.pop(layer).sum(), x, retain_graph=bool(distances))
            directions[layer] = _direction(grad, extractor, gradient)
    return plain, directions


def _distances(extractor: FeatureExtractor, x: Tensor, fss: Mapping[str, Tensor], layers: Sequence[str]) -> Tensor:
    """(n, K) distances of the layers; no features leave the device."""
    read = _features(extractor, x, fss, layers)
    return torch.stack([_distance(*read[k]) for k in layers], 1)


def _features(
    extractor: FeatureExtractor, x: Tensor, fss: Mapping[str, Tensor], layers: Sequence[str]
) -> dict[str, tuple[Tensor, Tensor]]:
    """{layer: (n, D_k) features and (D_k,) F* in one order of values}; the order that maps lie in costs no copy."""
    if extractor.autocast is None:
        return {k: (value, fss[k]) for k, value in extractor.taps(x, layers).items()}
    return {k: _as_it_lies(value, fss[k]) for k, value in extractor.maps(x, layers).items()}


def _as_it_lies(value: Tensor, fss: Tensor) -> tuple[Tensor, Tensor]:
    """A channels-last map is flattened channels last, F* with it: no copy on the way, none of its gradient back."""
    last = value.ndim == 4 and value.is_contiguous(memory_format=torch.channels_last)
    if last and not value.is_contiguous() and fss.numel() == value[0].numel():
        return value.permute(0, 2, 3, 1).flatten(1), fss.view(value.shape[1:]).permute(1, 2, 0).flatten()
    return value.flatten(1), fss


def _distance(features: Tensor, fss: Tensor) -> Tensor:
    """(N, D_k), (D_k,) -> (N,)."""
    if features.shape[1:] != fss.shape:
        raise ModelError(
            f"features have {tuple(features.shape[1:])} values an image, F* has {tuple(fss.shape)}; "
            "estimate F* with noise of the images' shape"
        )
    distance: Tensor = _Distance.apply(features, fss.to(features.device))  # type: ignore[no-untyped-call]
    return distance


class _Distance(torch.autograd.Function):
    """||F - F*|| in float32, to the last bit what autograd makes of `vector_norm(features - singularity, dim=1)`.

    No difference is kept for the way back, and none that exceeds a core's cache is made on the way there.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, singularity: Tensor) -> Tensor:
        distance = torch.cat(
            [torch.linalg.vector_norm(_from(singularity, features[rows]), dim=1) for rows in _cached(features)]
        )
        ctx.save_for_backward(features, singularity, distance)
        return distance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        features, singularity, distance = ctx.saved_tensors
        length = torch.where(distance > 0, distance, torch.inf).unsqueeze(1)  # at F* itself the gradient is 0
        out = torch.empty_like(features)
        for rows in _cached(features):
            out[rows] = _from(singularity, features[rows]).div_(length[rows]).mul_(grad[rows].unsqueeze(1))
        return out, None


def _cached(features: Tensor) -> list[slice]:
    """Rows that a CPU core's cache holds at once; all of them elsewhere."""
    count = len(features)
    step = max(1, CACHED // features.shape[1]) if features.device.type == "cpu" else count
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]


def _from(singularity: Tensor, features: Tensor) -> Tensor:
    return features.to(torch.promote_types(features.dtype, torch.float32), copy=True).sub_(singularity)


def _direction(grad: Tensor, extractor: FeatureExtractor, gradient: str) -> Tensor:
    """The step of length one epsilon, in pixels, from the gradient of the distance with respect to pixels."""
    grad = torch.nan_to_num(grad, nan=0.0)  # at F* itself the norm has no gradient
    if gradient == "sign":
        return grad.sign()
    # the authors take the gradient of -mean ||.|| with respect to the normalised input, standardise it over the whole
    # batch and divide it by std again, so the step in pixels is the standardised gradient itself
    toward = -grad if extractor.std is None else -grad * extractor.std
    spread = toward.std()
    return (toward - toward.mean()) / spread if spread > 0 else torch.zeros_like(toward)
