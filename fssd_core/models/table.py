"""`load_model`: a registered checkpoint ('demo/lenet@900', 'run/<id>'), a weight file or a folder of checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fssd_core.checkpoint_file import weights_digest
from fssd_core.errors import InputError, ModelError, did_you_mean
from fssd_core.extractor import FeatureExtractor
from fssd_core.models.archs import find_arch
from fssd_core.models.entry import ArchEntry
from fssd_core.models.factories import build_factory, is_factory
from fssd_core.models.facts import Moments, said_normalisation, said_shape
from fssd_core.models.nets import Shape
from fssd_core.models.program_flag import EXPORT, program_kind, programs_allowed
from fssd_core.models.program_flag import KINDS as PROGRAM_KINDS
from fssd_core.models.programs import OpenedProgram, ScriptFile, open_export_file
from fssd_core.models.recognise import Fit, fill, fit_to, fits, recognised
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
from fssd_core.models.timm_nets import TIMM
from fssd_core.models.torchvision_nets import PREFIX
from fssd_core.models.tree import choose_layers, module_tree
from fssd_core.models.weights import WeightFile, read_weights

__all__ = ["REGISTERED", "LoadedModel", "ModelEntry", "list_models", "load_model"]


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A trained network and how to feed it. Each load gives a module of its own, so threads do not share hooks.

    Attributes:
        ref: what it was loaded by, with the step for a registered checkpoint ('demo/lenet@900').
        arch: name in `list_archs()`; 'torch.export' or 'torchscript' for a program that is run as it is.
        module: the network, in eval mode, on the CPU, float32.
        taps: layers to read unless others are asked for.
        input_shape: (C, H, W).
        classes: number of logits.
        mean: C channel means in pixels; None if it takes plain pixels.
        std: C channel standard deviations.
        step: training step, if known.
        metadata: text that the weight file carries.
        weight_hash: SHA-256 of the weight file's bytes; of the weights themselves where there is no file.
        notes: what must be known of how it was read, in words.
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
    notes: tuple[str, ...] = ()

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


def load_model(ref: str, *, arch: str | None = None, step: int | None = None, part: str | None = None) -> LoadedModel:
    """The network of a registered checkpoint, a weight file, or a folder of `step-*.safetensors`.

    Args:
        ref: 'demo/lenet' (its last step), 'demo/lenet@900', 'run/<id>', a path; 'torchvision/NAME' or 'timm/NAME' for
            an untrained network; or a factory that the operator named.
        arch: architecture of a file that does not say it and fits several or none; must agree with one that does.
        step: training step of a registered checkpoint or folder; None for the last.
        part: which state dict of a training checkpoint that holds several; None for the usual one.

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
    if is_factory(ref) or ref.startswith((PREFIX, TIMM)):
        return _unfiled(ref)
    path = Path(ref).expanduser()
    if path.is_dir():
        path, step = at_step(ref, checkpoints(path), step)
        return _load(f"{ref}@{step}", path, arch, step)
    if not path.is_file():
        if path.suffix in (".safetensors", ".pt", ".pth", ".pt2"):
            raise ModelError(f"there is no weight file {ref!r}; check the path (it is looked up from {Path.cwd()})")
        known = [*REGISTERED, *(RUN_PREFIX + run for run in run_ids())]
        raise ModelError(
            f"no model {ref!r}{did_you_mean(name, known)}; a .safetensors, .pt or .pth file is allowed too"
        )
    loaded = _load(ref, path, arch, None, part)
    if step not in (None, loaded.step):
        raise ModelError(f"{ref}: step {step} was asked for, the file holds step {loaded.step}")
    return loaded


def _load(ref: str, path: Path, arch: str | None, step: int | None, part: str | None = None) -> LoadedModel:
    kind = program_kind(path)
    if kind is not None and programs_allowed():
        return _load_program(ref, path, kind, arch, part)
    return _filled(ref, path, read_weights(path, part=part), arch, step)


def _load_program(ref: str, path: Path, kind: str, arch: str | None, part: str | None) -> LoadedModel:
    """A program with its layers, its weights in the architecture that was asked for or recognised, or one layer."""
    if part is not None:
        raise ModelError(f"{path}: a program has no parts; leave {part!r} out")
    if arch in PROGRAM_KINDS and arch != kind:
        raise ModelError(f"{path}: this is a {kind!r} program, {arch!r} was asked for; leave it out")
    asked = None if arch in PROGRAM_KINDS else arch
    file: OpenedProgram | ScriptFile = open_export_file(path) if kind == EXPORT else ScriptFile(path)
    if asked is not None:
        return _filled(ref, path, file.weights, asked, None)
    found = file if isinstance(file, OpenedProgram) else _script(ref, path, file, whole=arch is not None)
    if isinstance(found, LoadedModel):
        return found
    return _program(ref, path, kind, found)


def _script(ref: str, path: Path, script: ScriptFile, *, whole: bool) -> LoadedModel | OpenedProgram:
    """The architecture that the weights fit, if it gives what the program gives; else the program as one layer."""
    why = "as was asked for"
    if not whole:
        why = "its weights fit no known architecture, or several"
        if len(found := fits(script.weights)) == 1:
            model = _filled(ref, path, script.weights, found[0].entry.name, None)
            if script.computes(model.module, model.input_shape):
                note = "it is a TorchScript program; its weights fit this architecture, which gives what it gives"
                return replace(model, notes=(note, *model.notes))
            why = f"its weights fit {model.arch!r}, which gives other values (a normalisation inside, another end)"
    said = script.weights.metadata
    return script.whole(why, said_shape(path, said, (0, 0, 0)) if "input_shape" in said else None)


def _program(ref: str, path: Path, kind: str, opened: OpenedProgram) -> LoadedModel:
    """A program as the network that it is."""
    metadata = opened.weights.metadata
    input_shape = said_shape(path, metadata, opened.input_shape)
    mean, std, notes = None, None, opened.notes
    if "mean" in metadata or "std" in metadata:
        mean, std = said_normalisation(path, metadata, input_shape[0])
    else:
        notes = (*notes, "taken for granted: it takes plain pixels in 0..1 unless another normalisation is chosen")
    tree = module_tree(opened.module, input_shape)
    taps = tuple(t for t in metadata.get("taps", "").split(",") if t) or opened.taps
    taps = taps or choose_layers(opened.module, tree, pooled=True)
    logits = FeatureExtractor(opened.module, taps, device="cpu").logits(torch.zeros(2, *input_shape))
    return LoadedModel(
        ref, kind, opened.module.eval(), taps, input_shape, logits.shape[1], mean, std, None, metadata,
        opened.weights.digest, notes,
    )  # fmt: skip


def _filled(ref: str, path: Path, weights: WeightFile, arch: str | None, step: int | None) -> LoadedModel:
    """The weights in the architecture that was asked for, that the file says, or that is recognised."""
    said = weights.metadata.get("arch")
    if arch is not None and said is not None and find_arch(arch) is not find_arch(said):
        raise ModelError(f"{path}: the file says its architecture is {said!r}, {arch!r} was asked for; leave it out")
    name = arch or said
    fit = recognised(weights, path) if name is None else fit_to(name, weights, path)
    entry = fit.entry
    input_shape = said_shape(path, weights.metadata, fit.input_shape)
    module = _build(entry, fit.classes, input_shape, path, weights.metadata)
    if is_factory(entry.name):
        facts = _attributes(entry.name, module, entry)
        input_shape = said_shape(path, weights.metadata, facts.get("input_shape", input_shape))
        fit = replace(fit, mean=facts.get("mean", fit.mean), std=facts.get("std", fit.std))
    fill(module, fit, path)
    mean, std = _normalisation(path, weights.metadata, fit, input_shape[0])
    taps = tuple(t for t in weights.metadata.get("taps", "").split(",") if t) or _taps(entry, module, input_shape)
    known = weights.metadata.get("step", "")
    step = int(known) if step is None and known.isdigit() else step
    return LoadedModel(
        ref, entry.name, module.eval(), taps, input_shape, fit.classes, mean, std, step, weights.metadata,
        weights.digest, (*weights.notes, *fit.notes),
    )  # fmt: skip


def _unfiled(ref: str) -> LoadedModel:
    """A network without a file: of the operator's factory, or untrained, its weights drawn with seed 0."""
    entry = find_arch(ref)
    made = is_factory(ref)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = build_factory(ref) if made else entry.build(1000, entry.input_shape)
    facts = _attributes(ref, module, entry) if made else {}
    input_shape = facts.get("input_shape", entry.input_shape)
    classes = int(module.eval()(torch.zeros(2, *input_shape)).shape[1]) if made else 1000
    return LoadedModel(
        ref, entry.name, module.eval(), _taps(entry, module, input_shape), input_shape, classes,
        facts.get("mean", entry.mean), facts.get("std", entry.std), None if made else 0, {}, weights_digest(module),
        () if made else ("its weights are random (seed 0): nothing was trained, and nothing is downloaded",),
    )  # fmt: skip


def _attributes(ref: str, module: nn.Module, entry: ArchEntry) -> dict[str, Any]:
    """`input_shape`, `mean` and `std` that a factory's network carries.

    Raises:
        ModelError: one of them cannot be used.
    """
    facts: dict[str, Any] = {}
    for name in ("input_shape", "mean", "std"):
        value = getattr(module, name, None)
        if value is not None:
            try:
                facts[name] = tuple(float(v) for v in value) if name != "input_shape" else tuple(int(v) for v in value)
            except (TypeError, ValueError) as error:
                raise ModelError(f"factory {ref}: its attribute {name} {value!r} is no list of numbers") from error
    if len(facts.get("input_shape", entry.input_shape)) != 3 or len(facts.get("mean", ())) != len(facts.get("std", ())):
        raise ModelError(f"factory {ref}: input_shape is (channels, height, width); mean and std are given together")
    return facts


def _taps(entry: ArchEntry, module: nn.Module, input_shape: Shape) -> tuple[str, ...]:
    """The architecture's own layers, else the block ends that a forward pass reaches, large maps read as means."""
    if entry.taps:
        return entry.taps
    return choose_layers(module, module_tree(module, input_shape), pooled=True)


def _build(entry: ArchEntry, classes: int, input_shape: Shape, path: Path, metadata: dict[str, str]) -> nn.Module:
    """The network as the file says, without drawing from torch's global generator for weights that are overwritten."""
    try:
        dropout = float(metadata.get("dropout", 0))
        with torch.random.fork_rng(devices=[]):
            return entry.make(classes, input_shape, activation=metadata.get("activation", "relu"), dropout=dropout)
    except (InputError, ValueError) as error:
        raise ModelError(f"{path}: its metadata cannot be used ({error}); save the file again") from error


def _normalisation(path: Path, metadata: dict[str, str], fit: Fit, channels: int) -> Moments:
    """(mean, std) of the file, else of a normalisation among its weights, else the architecture's usual."""
    if "mean" in metadata or "std" in metadata:
        return said_normalisation(path, metadata, channels)
    if fit.mean is not None and fit.std is not None:
        return (fit.mean * channels)[:channels], (fit.std * channels)[:channels]
    fits = fit.entry.mean is not None and len(fit.entry.mean) == channels
    return (fit.entry.mean, fit.entry.std) if fits else (None, None)
