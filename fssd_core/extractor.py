"""FeatureExtractor: any trained network, seen through K of its layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from fssd_core.errors import ModelError, did_you_mean
from fssd_core.runtime import Progress, in_batches, pick_device, silent, tf32, to_device

MAX_LAYERS = 64
_FOLLOWERS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)
_ACTIVATIONS = tuple(
    cls
    for cls in vars(nn.modules.activation).values()
    if isinstance(cls, type) and cls.__module__ == nn.modules.activation.__name__
)


class _EnoughError(Exception):
    """Raised inside a forward pass once every wanted layer was seen."""


class FeatureExtractor:
    """Reads the outputs of named layers of a network; inputs are pixels in [0, 1], normalised here.

    The module itself is left as it was: every call removes its hooks and restores train mode and grad flags.

    Args:
        module: any `nn.Module` from images (N, C, H, W) to logits.
        layers: names as in `module.named_modules()`; scores keep this order. None: `default_layers(module)`.
        mean: C channel means the network was trained with, in pixels; None if it takes plain pixels.
        std: C channel standard deviations.
        device: 'cpu', 'cuda', 'mps' or a device; None picks the best there is.

    Raises:
        ModelError: unknown or doubled layer names, more than 64 layers, or weights that are not finite.
    """

    def __init__(
        self,
        module: nn.Module,
        layers: Sequence[str] | None = None,
        *,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        device: str | torch.device | None = None,
    ) -> None:
        chosen = tuple(default_layers(module) if layers is None else layers)
        known = dict(module.named_modules())
        for name in chosen:
            if name not in known or not name:
                raise ModelError(f"the model has no layer {name!r}{did_you_mean(name, (n for n in known if n))}")
        if len(set(chosen)) != len(chosen):
            raise ModelError(f"layers {', '.join(chosen)} name a layer twice; name each once")
        if not 1 <= len(chosen) <= MAX_LAYERS:
            raise ModelError(f"{len(chosen)} layers were chosen; choose 1 to {MAX_LAYERS}")
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                bad = int((~torch.isfinite(tensor)).sum())
                raise ModelError(
                    f"weights: {name!r} has {bad} of {tensor.numel()} values that are NaN or infinite; "
                    "the file is damaged or the training diverged, take another checkpoint"
                )
        if (mean is None) != (std is None) or (mean is not None and len(mean) != len(std or ())):
            raise ModelError(f"mean {mean} and std {std} must be given together, with one value a channel")
        if std is not None and min(std) <= 0:
            raise ModelError(f"std {tuple(std)} must be positive")
        self.device = device if isinstance(device, torch.device) else pick_device(device)
        self.module = module.to(self.device)
        self.layers = chosen
        self.mean = None if mean is None else torch.tensor(mean, device=self.device).view(-1, 1, 1)
        self.std = None if std is None else torch.tensor(std, device=self.device).view(-1, 1, 1)
        self._seen_whole = False  # the first pass runs to the end, to see layers that are called twice
        self.autocast: torch.dtype | None = None  # set by `precision.in_precision` alone
        self._image_bytes: dict[tuple[int, ...], int] = {}
        self._copy_taps = False  # set once an in-place operation was seen to change a tapped output

    def taps(self, images: Tensor, layers: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Flattened layer outputs of one batch, part of the graph if grad is enabled; stops after the last layer.

        Args:
            images: (N, C, H, W) in [0, 1], on any device.
            layers: which of the extractor's layers; None for all.

        Returns:
            {layer: (N, D_k)} in forward order.
        """
        maps = self._run(images, tuple(layers or self.layers), whole=False)[0]
        return {name: value.flatten(1) for name, value in maps.items()}

    def maps(self, images: Tensor, layers: Sequence[str] | None = None) -> dict[str, Tensor]:
        """As `taps`, in the layers' own shapes: {layer: (N, ...)}, (N, C_k, H_k, W_k) of a convolution."""
        return self._run(images, tuple(layers or self.layers), whole=False)[0]

    def taps_and_logits(self, images: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """As `taps`, with the network's own output (N, C) of the same forward pass."""
        maps, logits = self.maps_and_logits(images)
        return {name: value.flatten(1) for name, value in maps.items()}, logits

    def maps_and_logits(self, images: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """As `maps`, with the network's own output (N, C) of the same forward pass."""
        maps, logits = self._run(images, self.layers, whole=True)
        if not isinstance(logits, Tensor):
            raise ModelError(f"the model returns {type(logits).__name__}, not one tensor of logits")
        return maps, logits

    def features(
        self, images: Tensor, *, batch_size: int | None = None, progress: Progress = silent
    ) -> dict[str, Tensor]:
        """All layers' features of any number of images, on the CPU, without graph: {layer: (N, D_k)} float32.

        Args:
            images: (N, C, H, W) in [0, 1].
            batch_size: images at once; halved on out-of-memory.
            progress: told after each batch.
        """
        return self._collect(images, whole=False, batch_size=batch_size, progress=progress)[0]

    def logits(self, images: Tensor, *, batch_size: int | None = None, progress: Progress = silent) -> Tensor:
        """The network's output (N, C) on the CPU, without graph."""
        return self._collect(images, whole=True, batch_size=batch_size, progress=progress, keep=False)[1]

    def features_and_logits(
        self, images: Tensor, *, batch_size: int | None = None, progress: Progress = silent
    ) -> tuple[dict[str, Tensor], Tensor]:
        """`features` and `logits` of one forward pass."""
        return self._collect(images, whole=True, batch_size=batch_size, progress=progress)

    def _collect(
        self, images: Tensor, *, whole: bool, batch_size: int | None, progress: Progress, keep: bool = True
    ) -> tuple[dict[str, Tensor], Tensor]:
        check_images(images)
        parts: dict[str, list[Tensor]] = {name: [] for name in self.layers}
        outputs: list[Tensor] = []

        def one(rows: slice) -> None:
            with torch.no_grad():
                if whole:
                    taps, logits = self.taps_and_logits(images[rows])
                    outputs.append(logits.float().cpu())
                else:
                    taps = self.taps(images[rows])
            if keep:
                for name, value in taps.items():
                    parts[name].append(value.float().cpu())

        for _ in in_batches(len(images), one, batch_size=batch_size, progress=progress):
            pass
        order = [name for name in self.layers if parts[name]] if keep else []
        return {name: torch.cat(parts[name]) for name in order}, torch.cat(outputs) if outputs else torch.empty(0)

    def _run(self, images: Tensor, layers: tuple[str, ...], *, whole: bool) -> tuple[dict[str, Tensor], Any]:
        check_images(images)
        stop = self._seen_whole and not whole
        pixels = to_device(images, self.device)
        if self.mean is not None and self.std is not None:
            if pixels.shape[1] != len(self.mean):
                raise ModelError(
                    f"images have {pixels.shape[1]} channels, the model's normalisation has {len(self.mean)}"
                )
            pixels = (pixels - self.mean) / self.std
        if self.autocast is not None:
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        seen: dict[str, Tensor] = {}
        versions: dict[str, int] = {}

        def hook_for(name: str) -> Any:
            def hook(_module: nn.Module, _inputs: object, output: object) -> None:
                if name in seen:
                    raise ModelError(
                        f"layer {name!r} is called more than once in a forward pass, so it has no single output; "
                        "choose another layer"
                    )
                value = _as_tensor(output, name)
                versions[name] = value._version
                seen[name] = value.clone() if self._copy_taps else value
                if stop and len(seen) == len(layers):
                    raise _EnoughError

            return hook

        modules = dict(self.module.named_modules())
        handles = [modules[name].register_forward_hook(hook_for(name)) for name in layers]
        try:
            with self._as_evaluated(), self._computing():
                try:
                    output = self.module(pixels)
                except _EnoughError:
                    output = None
                except RuntimeError as error:
                    raise _shape_error(error, images) from error
        finally:
            for handle in handles:
                handle.remove()
        self._seen_whole = self._seen_whole or not stop
        if missing := [name for name in layers if name not in seen]:
            raise ModelError(f"layers {', '.join(missing)} are not reached by the model's forward pass; choose others")
        if not self._copy_taps and any(seen[name]._version != versions[name] for name in layers):
            self._copy_taps = True  # an in-place layer overwrote a tapped output: read it again, copied in time
            return self._run(images, layers, whole=whole)
        return seen, output

    @contextmanager
    def _computing(self) -> Iterator[None]:
        """Reduced precision inside where it was chosen, float32 to the last bit (no TF32) otherwise."""
        reduced = self.autocast is not None
        with tf32(reduced), torch.autocast(self.device.type, dtype=self.autocast, enabled=reduced):
            yield

    def image_bytes(self, image: Tensor) -> int:
        """Bytes of one image's forward graph and backward pass: thrice all module outputs; measured once a shape."""
        shape = tuple(image.shape)
        if shape not in self._image_bytes:
            total = [image.numel() * 4]

            def add(_module: nn.Module, _inputs: object, output: object) -> None:
                if isinstance(output, Tensor):
                    total[0] += output.numel() * 4

            handles = [
                m.register_forward_hook(add) for m in self.module.modules() if not any(True for _ in m.children())
            ]
            try:
                with torch.no_grad():
                    self.taps(image.unsqueeze(0))
            finally:
                for handle in handles:
                    handle.remove()
            self._image_bytes[shape] = 3 * total[0]
        return self._image_bytes[shape]

    @contextmanager
    def _as_evaluated(self) -> Iterator[None]:
        """Eval mode and frozen parameters inside; every flag as it was afterwards."""
        modes = [(m, m.training) for m in self.module.modules()]
        flags = [(p, p.requires_grad) for p in self.module.parameters()]
        self.module.eval()
        for parameter, _ in flags:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for module, training in modes:
                module.training = training
            for parameter, flag in flags:
                parameter.requires_grad_(flag)


def check_images(images: Tensor) -> None:
    """Raises ModelError unless images are float (N, C, H, W)."""
    if images.ndim != 4 or not images.is_floating_point():
        raise ModelError(
            f"images of shape {tuple(images.shape)} and type {images.dtype} were given; "
            "give float (N, C, H, W) in [0, 1] (ImageSet.tensor() makes them)"
        )


def _as_tensor(output: object, name: str) -> Tensor:
    if isinstance(output, Tensor):
        return output
    if isinstance(output, tuple | list) and output and isinstance(output[0], Tensor):
        return output[0]
    raise ModelError(f"layer {name!r} returns {type(output).__name__}, not a tensor; choose another layer")


def _shape_error(error: RuntimeError, images: Tensor) -> Exception:
    """A ModelError for a shape that does not fit; anything else as it is."""
    text = str(error)
    signs = ("channels", "shapes cannot be multiplied", "size mismatch", "Kernel size", "too small", "must match")
    if any(sign in text for sign in signs):
        shape = "x".join(str(n) for n in images.shape[1:])
        first = text.splitlines()[0]
        return ModelError(f"images of shape {shape} (channels x height x width) do not fit this model: {first}")
    return error


def default_layers(module: nn.Module) -> tuple[str, ...]:
    """Names of sensible block outputs: the module's own `taps`, else the ends of its top-level blocks.

    A block is a container child (a stage of a residual network), or a layer with weights together with the
    normalisation and activation that follow it, so that features are read after the activation. Nested `Sequential`s of
    plain layers are opened. The last one is the logits.

    Raises:
        ModelError: no layer with weights.
    """
    own = getattr(module, "taps", None)
    if isinstance(own, tuple | list) and own:
        return tuple(str(name) for name in own)
    names = list(_block_ends(module, ""))
    if not names:
        raise ModelError("no layer with weights was found; name the layers to read")
    while len(names) > MAX_LAYERS:
        names = [*names[:-1:2], names[-1]]
    return tuple(names)


def _block_ends(module: nn.Module, prefix: str) -> Iterator[str]:
    pending: str | None = None
    for name, child in module.named_children():
        path = f"{prefix}{name}"
        has_weights = any(True for _ in child.parameters())
        is_leaf = not any(True for _ in child.children())
        if pending is not None and is_leaf and isinstance(child, (*_FOLLOWERS, *_ACTIVATIONS)):
            pending = path
            continue
        if pending is not None:
            yield pending
            pending = None
        if not has_weights:
            continue
        leaves_inside = isinstance(child, nn.Sequential) and all(
            not any(True for _ in grand.children()) for grand in child.children()
        )
        if is_leaf:
            pending = path
        elif leaves_inside and sum(any(True for _ in g.parameters()) for g in child.children()) > 2:
            yield from _block_ends(child, f"{path}.")
        else:
            yield path
    if pending is not None:
        yield pending
