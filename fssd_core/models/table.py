"""`load_model`: a registered checkpoint ('demo/lenet@900', 'run/<id>'), a weight file or a folder of checkpoints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from fssd_core.errors import InputError, ModelError, did_you_mean
from fssd_core.extractor import FeatureExtractor, default_layers
from fssd_core.models.archs import ARCHS, ArchEntry
from fssd_core.models.nets import Shape
from fssd_core.models.registry import (
    REGISTERED,
    RUN_PREFIX,
    ModelEntry,
    at_step,
    checkpoints,
    list_models,
    run_ids,
    series_folder,
)
from fssd_core.models.weights import ask_for_arch, fill, fitting_archs, read_weights

__all__ = ["REGISTERED", "LoadedModel", "ModelEntry", "list_models", "load_model"]


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A trained network and how to feed it. Each load gives a module of its own, so threads do not share hooks.

    Attributes:
        ref: what it was loaded by, with the step for a registered checkpoint ('demo/lenet@900').
        arch: name in `list_archs()`.
        module: the network, in eval mode, on the CPU, float32.
        taps: layers to read unless others are asked for.
        input_shape: (C, H, W).
        classes: number of logits.
        mean: C channel means in pixels; None if it takes plain pixels.
        std: C channel standard deviations.
        step: training step, if known.
        metadata: text that the weight file carries.
        weight_hash: SHA-256 of the weight file's bytes.
    """

    ref: str
    arch: str
    module: nn.Module
    taps: tuple[str, ...]
    input_shape: Shape
    classes: int
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    step: int | None
    metadata: dict[str, str]
    weight_hash: str

    def extractor(
        self, layers: Sequence[str] | None = None, *, device: str | torch.device | None = None
    ) -> FeatureExtractor:
        """A FeatureExtractor over the given layers, the taps if None.

        Raises:
            ModelError: a layer that the network does not have.
        """
        return FeatureExtractor(
            self.module, self.taps if layers is None else layers, mean=self.mean, std=self.std, device=device
        )


def load_model(ref: str, *, arch: str | None = None, step: int | None = None) -> LoadedModel:
    """The network of a registered checkpoint, a weight file, or a folder of `step-*.safetensors`.

    Args:
        ref: 'demo/lenet' (its last step), 'demo/lenet@900', 'run/<id>', or a path.
        arch: architecture of a file that does not say it and fits several or none; must agree with one that does.
        step: training step of a registered checkpoint or folder; None for the last.

    Raises:
        ModelError: unknown name, step or architecture, or a file that cannot be used; the message says what to do.
    """
    name, at, tail = ref.partition("@")
    registered = name in REGISTERED or name.startswith(RUN_PREFIX)
    if at and registered:
        if not tail.isdigit() or step not in (None, int(tail)):
            raise ModelError(f"model {ref!r} with step {step}: give one step, as {name}@900 or as step=900")
        step = int(tail)
    if registered:
        path, step = at_step(name, checkpoints(series_folder(name)), step)
        return _load(f"{name}@{step}", path, arch, step)
    path = Path(ref).expanduser()
    if path.is_dir():
        path, step = at_step(ref, checkpoints(path), step)
        return _load(f"{ref}@{step}", path, arch, step)
    if not path.is_file():
        if path.suffix in (".safetensors", ".pt", ".pth"):
            raise ModelError(f"there is no weight file {ref!r}; check the path (it is looked up from {Path.cwd()})")
        known = [*REGISTERED, *(RUN_PREFIX + run for run in run_ids())]
        raise ModelError(
            f"no model {ref!r}{did_you_mean(name, known)}; a .safetensors, .pt or .pth file is allowed too"
        )
    loaded = _load(ref, path, arch, None)
    if step not in (None, loaded.step):
        raise ModelError(f"{ref}: step {step} was asked for, the file holds step {loaded.step}")
    return loaded


def _load(ref: str, path: Path, arch: str | None, step: int | None) -> LoadedModel:
    weights = read_weights(path)
    said = weights.metadata.get("arch")
    if arch is not None and said is not None and arch != said:
        raise ModelError(f"{path}: the file says its architecture is {said!r}, {arch!r} was asked for; leave it out")
    name = arch or said
    if name is None:
        fitting = fitting_archs(weights)
        if len(fitting) != 1:
            raise ask_for_arch(path, weights)
        name = fitting[0]  # names and shapes fit this one alone
    if name not in ARCHS:
        raise ModelError(f"{path}: no architecture {name!r}{did_you_mean(name, ARCHS)}")
    entry = ARCHS[name]
    classes, input_shape = _measure(entry, weights.shapes)
    input_shape = _shape(path, weights.metadata, input_shape)
    module = _build(entry, classes, input_shape, path, weights.metadata)
    fill(module, weights, path, name)
    mean, std = _normalisation(path, weights.metadata, entry, input_shape[0])
    taps = tuple(t for t in weights.metadata.get("taps", "").split(",") if t) or entry.taps or default_layers(module)
    known = weights.metadata.get("step", "")
    step = int(known) if step is None and known.isdigit() else step
    return LoadedModel(
        ref, name, module.eval(), taps, input_shape, classes, mean, std, step, weights.metadata, weights.digest
    )


def _measure(entry: ArchEntry, shapes: dict[str, tuple[int, ...]]) -> tuple[int, Shape]:
    """What the weights say; the usual where the first or last of them is missing, for `fill` says more about that."""
    try:
        return entry.measure(shapes)
    except ModelError:
        return 10, entry.input_shape


def _shape(path: Path, metadata: dict[str, str], measured: Shape) -> Shape:
    """(C, H, W) of the file where it says it, for some weights fit every size of image."""
    if "input_shape" not in metadata:
        return measured
    try:
        channels, height, width = (int(n) for n in json.loads(metadata["input_shape"]))
        if min(channels, height, width) < 1 or max(channels, height, width) > 4096:
            raise ValueError("a number is outside 1 to 4096")
    except (ValueError, TypeError) as error:
        raise ModelError(
            f"{path}: its metadata `input_shape` {metadata['input_shape']!r} cannot be used ({error}); it is "
            "[channels, height, width]; save the file again"
        ) from error
    return channels, height, width


def _build(entry: ArchEntry, classes: int, input_shape: Shape, path: Path, metadata: dict[str, str]) -> nn.Module:
    """The network as the file says, without drawing from torch's global generator for weights that are overwritten."""
    try:
        dropout = float(metadata.get("dropout", 0))
        with torch.random.fork_rng(devices=[]):
            return entry.make(classes, input_shape, activation=metadata.get("activation", "relu"), dropout=dropout)
    except (InputError, ValueError) as error:
        raise ModelError(f"{path}: its metadata cannot be used ({error}); save the file again") from error


def _normalisation(
    path: Path, metadata: dict[str, str], entry: ArchEntry, channels: int
) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    """(mean, std) of the file, else the architecture's usual."""
    if "mean" not in metadata and "std" not in metadata:
        fits = entry.mean is not None and len(entry.mean) == channels
        return (entry.mean, entry.std) if fits else (None, None)
    try:
        mean, std = _numbers(metadata.get("mean", "")), _numbers(metadata.get("std", ""))
        if not mean and not std:
            return None, None
        if len(mean) != channels or len(std) != channels or not min(std) > 0:
            raise ValueError(f"mean {mean} and std {std} for {channels} channels")
        return mean, std
    except (ValueError, TypeError) as error:
        raise ModelError(
            f"{path}: its metadata `mean` and `std` cannot be used ({error}); save the file again"
        ) from error


def _numbers(text: str) -> tuple[float, ...]:
    """'[0.485, 0.456]', '0.485,0.456' or 'null' -> numbers."""
    words = text.strip().strip("[]()").replace(",", " ").split()
    return () if words in (["null"], ["None"]) else tuple(float(word) for word in words)
