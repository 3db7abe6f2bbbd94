"""`load_model`: a registered checkpoint ('demo/lenet@900'), a weight file or a folder of checkpoints."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from fssd_core.assets import assets_root
from fssd_core.errors import ModelError, did_you_mean
from fssd_core.extractor import FeatureExtractor, default_layers
from fssd_core.models.archs import ARCHS, ArchEntry
from fssd_core.models.nets import Shape
from fssd_core.models.weights import ask_for_arch, fill, fitting_archs, read_metadata, read_weights

REGISTERED = {
    "demo/lenet": "lenet",
    **{f"demo/{name}": name for name in (*(f"lenet-member{k}" for k in (1, 2, 3, 4)), "lenet-dropout", "lenet-oe")},
}  # name -> folder of checkpoints under assets/models
_STEP_FILE = re.compile(r"step-(\d+)\.safetensors")


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


@dataclass(frozen=True)
class ModelEntry:
    """A registered series of checkpoints.

    Attributes:
        name: the reference for `load_model`; with @STEP for one checkpoint, else the last.
        arch: name in `list_archs()`.
        title: what it is, for people.
        steps: steps of the checkpoints, ascending.
        accuracy: test accuracy of each step, 0..1.
        epochs: passes over the training data at each step.
    """

    name: str
    arch: str
    title: str
    steps: tuple[int, ...]
    accuracy: dict[int, float] = field(default_factory=dict)
    epochs: dict[int, float] = field(default_factory=dict)


def list_models() -> list[ModelEntry]:
    """The registered checkpoints whose files are there."""
    return [_entry(name) for name, folder in REGISTERED.items() if _series(assets_root() / "models" / folder)]


def load_model(ref: str, *, arch: str | None = None, step: int | None = None) -> LoadedModel:
    """The network of a registered checkpoint, a weight file, or a folder of `step-*.safetensors`.

    Args:
        ref: 'demo/lenet' (its last step), 'demo/lenet@900', or a path.
        arch: architecture of a file that does not say it and fits several or none; must agree with one that does.
        step: training step of a registered checkpoint or folder; None for the last.

    Raises:
        ModelError: unknown name, step or architecture, or a file that cannot be used; the message says what to do.
    """
    name, at, tail = ref.partition("@")
    if at and name in REGISTERED:
        if not tail.isdigit() or step not in (None, int(tail)):
            raise ModelError(f"model {ref!r} with step {step}: give one step, as {name}@900 or as step=900")
        step = int(tail)
    if name in REGISTERED:
        series = _series(assets_root() / "models" / REGISTERED[name])
        path, step = _at_step(name, series, step)
        return _load(f"{name}@{step}", path, arch, step)
    path = Path(ref).expanduser()
    if path.is_dir():
        path, step = _at_step(ref, _series(path), step)
        return _load(f"{ref}@{step}", path, arch, step)
    if not path.is_file():
        if path.suffix in (".safetensors", ".pt", ".pth"):
            raise ModelError(f"there is no weight file {ref!r}; check the path (it is looked up from {Path.cwd()})")
        raise ModelError(
            f"no model {ref!r}{did_you_mean(name, REGISTERED)}; a .safetensors, .pt or .pth file is allowed too"
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
    module = _build(entry, classes, input_shape)
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


def _build(entry: ArchEntry, classes: int, input_shape: Shape) -> nn.Module:
    """The network, without drawing from torch's global generator for weights that are overwritten."""
    with torch.random.fork_rng(devices=[]):
        return entry.build(classes, input_shape)


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


def _series(folder: Path) -> dict[int, Path]:
    """Step -> file of the checkpoints in a folder, ascending."""
    if not folder.is_dir():
        return {}
    found = {int(m[1]): p for p in folder.iterdir() if (m := _STEP_FILE.fullmatch(p.name))}
    return dict(sorted(found.items()))


def _at_step(name: str, series: dict[int, Path], step: int | None) -> tuple[Path, int]:
    if not series:
        raise ModelError(f"{name}: no checkpoint (step-*.safetensors) was found")
    step = max(series) if step is None else step
    if step not in series:
        raise ModelError(f"{name} has no step {step}; its steps are {', '.join(map(str, series))}")
    return series[step], step


def _entry(name: str) -> ModelEntry:
    facts = {s: read_metadata(p) for s, p in _series(assets_root() / "models" / REGISTERED[name]).items()}
    last = facts[max(facts)]
    return ModelEntry(
        name,
        last.get("arch", ""),
        last.get("title", name),
        tuple(facts),
        {s: float(f["test_accuracy"]) for s, f in facts.items() if "test_accuracy" in f},
        {s: float(f["epoch"]) for s, f in facts.items() if "epoch" in f},
    )
