"""How a step in weights moves features: dF(x)/dtheta along a direction, by forward differentiation (torch.func.jvp).

The network is as in use: eval mode, batch-norm statistics fixed, no dropout. Images are pixels in [0, 1].
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, grad_and_value, jvp, vmap

from fssd_core.errors import InputError, ModelError
from fssd_core.extractor import FeatureExtractor, check_images, logits_of
from fssd_core.runtime import Progress, evaluated, in_batches, silent

Direction = Mapping[str, Tensor]  # one tensor a parameter: a point or a direction in weight space
Loss = Callable[[Tensor, Tensor], Tensor]  # (logits (N, C), labels (N,)) -> scalar, the mean over images


class Tangent:
    """A network's layers as a function of its weights.

    Args:
        extractor: the network, its K layers and its normalisation; never changed.
        loss: from logits and labels to the mean loss; cross-entropy if None.

    Attributes:
        weights: {name: tensor} at which everything is taken.
    """

    def __init__(self, extractor: FeatureExtractor, loss: Loss | None = None) -> None:
        if any(isinstance(m, torch.jit.ScriptModule) for m in extractor.module.modules()):
            raise ModelError(
                "a TorchScript program has no weights that torch can differentiate by, so its speed and its kernel "
                "cannot be measured; save the network's weights (state_dict) or a torch.export program (.pt2) instead"
            )
        self.extractor = extractor
        self.loss: Loss = F.cross_entropy if loss is None else loss
        self.weights = {name: p.detach() for name, p in extractor.module.named_parameters()}
        self._buffers = dict(extractor.module.named_buffers())
        self._recurrent = any(isinstance(m, nn.RNNBase) for m in extractor.module.modules())

    def gradient(
        self, images: Tensor, labels: Tensor, *, batch_size: int | None = None, progress: Progress = silent
    ) -> tuple[dict[str, Tensor], float]:
        """({name: dL/dtheta}, L) of the mean loss over all images: v of dF/dt is minus the first.

        Args:
            images: (N, C, H, W) in [0, 1].
            labels: (N,) classes.
            batch_size: images at once.
            progress: told after each batch.

        Raises:
            InputError: no labels, or labels outside the network's outputs.
            ModelError: the network gives no single tensor of logits, or the loss is not finite.
        """
        check_images(images)
        if len(images) == 0 or labels.shape != (len(images),):
            raise InputError(f"{len(images)} images and labels of shape {tuple(labels.shape)}; give one label an image")
        total = {name: torch.zeros_like(w) for name, w in self.weights.items()}
        value = 0.0

        def one(rows: slice) -> tuple[dict[str, Tensor], float]:
            parts, loss = grad_and_value(lambda w: self._loss(w, images[rows], labels[rows]))(self.weights)
            return parts, float(loss)

        for rows, (parts, loss) in in_batches(len(images), one, batch_size=batch_size, progress=progress):
            share = (rows.stop - rows.start) / len(images)
            value += share * loss
            for name, part in parts.items():
                total[name] += share * part
        if not torch.isfinite(torch.tensor(value)):
            raise ModelError(f"the loss over {len(images)} images is {value}; the training diverged here")
        return total, value

    def push(self, images: Tensor, direction: Direction) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Features of one batch and how fast they move along the direction.

        Returns:
            {layer: (N, D_k)} F_k(x) and {layer: (N, D_k)} dF_k(x)/dtheta times the direction.
        """
        check_images(images)
        pixels, along = self._pixels(images), {n: direction[n] for n in self.weights}
        with torch.no_grad(), self._running(forward=True):
            both = jvp(lambda w: self._layers(w, pixels)[0], (self.weights,), (along,))
        return dict(both[0]), dict(both[1])

    def pull_back(self, images: Tensor, layer: str, output: Tensor) -> Tensor:
        """(N, P) d<output, F_k(x)>/dtheta of each image, all parameters in one row.

        Args:
            images: (N, C, H, W) in [0, 1].
            layer: the layer k.
            output: (D_k,) direction among its outputs.
        """
        pixels = self._pixels(images)

        def one(weights: Direction, image: Tensor) -> Tensor:
            return (self._layers(weights, image[None])[0][layer][0] * output).sum()

        with self._running():
            if self._recurrent:  # torch's recurrent layers know no vmap: one image after the other
                single = [grad(one)(self.weights, image) for image in pixels]
                parts = {name: torch.stack([g[name] for g in single]) for name in self.weights}
            else:
                parts = dict(vmap(grad(one), (None, 0))(self.weights, pixels))
        return torch.cat([part.flatten(1) for part in parts.values()], dim=1)

    def _loss(self, weights: Direction, images: Tensor, labels: Tensor) -> Tensor:
        with self._running():
            logits = self._layers(weights, self._pixels(images))[1]
        if not isinstance(logits, Tensor) or logits.ndim != 2:
            raise ModelError("the model returns no single tensor of logits (N, C), so it has no training loss here")
        if int(labels.min()) < 0 or int(labels.max()) >= logits.shape[1]:
            raise InputError(
                f"labels go from {int(labels.min())} to {int(labels.max())}, the network has {logits.shape[1]} "
                "outputs; give the images it was trained on"
            )
        return self.loss(logits, labels.to(logits.device))

    def _pixels(self, images: Tensor) -> Tensor:
        own = self.extractor
        pixels = images.to(own.device)
        return pixels if own.mean is None or own.std is None else (pixels - own.mean) / own.std

    def _layers(self, weights: Direction, pixels: Tensor) -> tuple[dict[str, Tensor], Any]:
        """{layer: (N, D_k)} and the network's output with the given weights."""
        reader = self.extractor.reader(len(pixels), copy=True)  # a copy: a later layer may work in place
        with reader.on(self.extractor.module):
            output = functional_call(self.extractor.module, {**weights, **self._buffers}, (pixels,))
        seen = reader.finish()
        return {name: seen[name].flatten(1) for name in self.extractor.layers}, logits_of(output)

    @contextmanager
    def _running(self, *, forward: bool = False) -> Iterator[None]:
        """Eval mode, and kernels that torch can differentiate as wanted: oneDNN's recurrent layer knows no jvp."""
        onednn: Any = torch.backends.mkldnn  # its `enabled` is a property that the type stubs do not know
        before = onednn.enabled
        try:
            if forward and self._recurrent:
                onednn.enabled = False
            mode = evaluated(self.extractor.module)
            with mode, torch.nn.attention.sdpa_kernel(_MATH), warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*torch.jit.script. is deprecated")  # torch's own use of it
                yield
        finally:
            onednn.enabled = before


_MATH = torch.nn.attention.SDPBackend.MATH


def norm(direction: Direction) -> float:
    """Euclidean length over all parameters."""
    return math.hypot(*(float(torch.linalg.vector_norm(t)) for t in direction.values()))


def scaled(direction: Direction, factor: float) -> dict[str, Tensor]:
    """The direction times a number."""
    return {name: factor * tensor for name, tensor in direction.items()}


def random_like(direction: Direction, *, generator: torch.Generator, by_tensor: bool) -> dict[str, Tensor]:
    """A random direction of the same length: Gaussian over all parameters, or within each parameter tensor.

    Args:
        direction: gives shapes and lengths.
        generator: a CPU generator.
        by_tensor: whether each parameter tensor keeps its own share of the length, not only the whole.
    """
    drawn = {
        n: torch.randn(t.shape, generator=generator, dtype=t.dtype).to(t.device) for n, t in direction.items()
    }  # fmt: skip
    if not by_tensor:
        return scaled(drawn, norm(direction) / norm(drawn))
    lengths = {n: (torch.linalg.vector_norm(direction[n]), torch.linalg.vector_norm(t)) for n, t in drawn.items()}
    return {n: t * (lengths[n][0] / lengths[n][1]) for n, t in drawn.items()}
