"""FeatureExtractor: any trained network, seen through K of its layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from fssd_core.block_ends import MAX_LAYERS, default_layers
from fssd_core.errors import ModelError
from fssd_core.runtime import (
    Progress,
    evaluated,
    images_at_once,
    in_batches,
    joined,
    pick_device,
    pieces,
    silent,
    tf32,
    to_device,
)
from fssd_core.taps import Tap, first_tensor, parse_tap, read_tap

__all__ = ["MAX_LAYERS", "FeatureExtractor", "check_images", "default_layers"]


class _EnoughError(Exception):
    """Raised inside a forward pass once every wanted layer was seen."""


class FeatureExtractor:
    """Reads the outputs of named layers of a network; inputs are pixels in [0, 1], normalised here.

    The module itself is left as it was: every call removes its hooks and restores train mode and grad flags.

    Args:
        module: any `nn.Module` from images (N, C, H, W) to logits.
        layers: names as in `module.named_modules()`, with what `taps.py` allows behind them ('fc#2': its second call,
            'block:cls': the class token); scores keep this order. None: `default_layers(module)`.
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
        self._taps = {name: parse_tap(name, known) for name in chosen}
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
        maps, output = self._run(images, self.layers, whole=True)
        return maps, logits_of(output)

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

    def tap(self, layer: str) -> Tap:
        """Which module's output a layer of this extractor reads, and how."""
        return self._taps[layer]

    def reader(
        self, count: int, layers: Sequence[str] | None = None, *, stop: bool = False, copy: bool = False
    ) -> Reader:
        """What reads these layers (None for all) in one forward pass over `count` images, made by somebody else."""
        return Reader([self._taps[name] for name in layers or self.layers], count, stop=stop, copy=copy)

    def _run(self, images: Tensor, layers: tuple[str, ...], *, whole: bool) -> tuple[dict[str, Tensor], Any]:
        check_images(images)
        low, high = images_at_once(self.module)
        if not low <= len(images) <= high:  # an exported program: filled up, or in parts, and put together again
            runs = [self._run(piece, layers, whole=whole) for piece in pieces(images, (low, high))]
            outputs = [output for _, output in runs]
            return joined([seen for seen, _ in runs], len(images)), joined(outputs, len(images)) if whole else None
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
        reader = self.reader(len(pixels), layers, stop=stop, copy=self._copy_taps)
        with reader.on(self.module), self._as_evaluated(), self._computing():
            try:
                output = self.module(pixels)
            except _EnoughError:
                output = None
            except RuntimeError as error:
                raise _shape_error(error, images) from error
        self._seen_whole = self._seen_whole or not stop
        seen = reader.finish()
        if reader.overwritten:
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
        flags = [(p, p.requires_grad) for p in self.module.parameters()]
        for parameter, _ in flags:
            parameter.requires_grad_(False)
        try:
            with evaluated(self.module):
                yield
        finally:
            for parameter, flag in flags:
                parameter.requires_grad_(flag)


class Reader:
    """Hooks that read the taps of one forward pass over `count` images.

    Attributes:
        overwritten: whether an in-place operation changed a value after it was read.
    """

    def __init__(self, taps: Sequence[Tap], count: int, *, stop: bool, copy: bool) -> None:
        self._taps: dict[str, list[Tap]] = {}
        for tap in taps:
            self._taps.setdefault(tap.module, []).append(tap)
        self._wanted, self._count, self._stop, self._copy = [tap.name for tap in taps], count, stop, copy
        self._calls = dict.fromkeys(self._taps, 0)
        self._versions: dict[str, int] = {}
        self._seen: dict[str, Tensor] = {}

    @contextmanager
    def on(self, module: nn.Module) -> Iterator[None]:
        """Hooks on the module inside, none afterwards."""
        modules = dict(module.named_modules())
        handles = [modules[name].register_forward_hook(self._hook(name)) for name in self._taps]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _hook(self, name: str) -> Any:
        def hook(module: nn.Module, _inputs: object, output: object) -> None:
            self._calls[name] += 1
            for tap in self._taps[name]:
                if tap.call is None and self._calls[name] > 1:
                    raise ModelError(
                        f"layer {tap.name!r} is called more than once in a forward pass, so it has no single output; "
                        f"choose a call, as {name}#1 or {name}#2, or another layer"
                    )
                if tap.call in (None, self._calls[name]):
                    value = read_tap(tap, module, output, self._count)
                    self._versions[tap.name] = value._version
                    self._seen[tap.name] = value.clone() if self._copy else value
            if self._stop and len(self._seen) == len(self._wanted):
                raise _EnoughError

        return hook

    def finish(self) -> dict[str, Tensor]:
        """{layer: (N, ...)} in forward order.

        Raises:
            ModelError: a layer, or a call of it, that the forward pass does not reach.
        """
        for tap in (tap for taps in self._taps.values() for tap in taps if tap.name not in self._seen):
            if calls := self._calls[tap.module]:
                raise ModelError(
                    f"layer {tap.name!r}: {tap.module!r} is called {calls} time{'s' * (calls > 1)} in a forward pass; "
                    f"give #1 to #{calls}"
                )
        if missing := [name for name in self._wanted if name not in self._seen]:
            raise ModelError(f"layers {', '.join(missing)} are not reached by the model's forward pass; choose others")
        return self._seen

    @property
    def overwritten(self) -> bool:
        return not self._copy and any(self._seen[name]._version != v for name, v in self._versions.items())


def check_images(images: Tensor) -> None:
    """Raises ModelError unless images are float (N, C, H, W)."""
    if images.ndim != 4 or not images.is_floating_point():
        raise ModelError(
            f"images of shape {tuple(images.shape)} and type {images.dtype} were given; "
            "give float (N, C, H, W) in [0, 1] (ImageSet.tensor() makes them)"
        )


def logits_of(output: object) -> Tensor:
    """(N, C) of a network's output: the tensor itself, or the first (or 'logits') of a tuple or dict.

    Raises:
        ModelError: no tensor, or one of another shape.
    """
    logits, _ = first_tensor(output)
    if logits is None:
        raise ModelError(f"the model returns {type(output).__name__}, not one tensor of logits")
    if logits.ndim > 2 and set(logits.shape[2:]) == {1}:
        return logits.flatten(1)
    if logits.ndim != 2:
        raise ModelError(
            f"the model returns values of shape {tuple(logits.shape)}; logits (N, C), one a class, are needed"
        )
    return logits


def _shape_error(error: RuntimeError, images: Tensor) -> Exception:
    """A ModelError for a shape that does not fit; anything else as it is."""
    text = str(error)
    signs = ("channels", "shapes cannot be multiplied", "size mismatch", "Kernel size", "too small", "must match")
    if any(sign in text for sign in signs):
        shape = "x".join(str(n) for n in images.shape[1:])
        first = text.splitlines()[0]
        return ModelError(f"images of shape {shape} (channels x height x width) do not fit this model: {first}")
    return error
