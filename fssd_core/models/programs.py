"""Programs as networks: torch.export's .pt2 with its layers, TorchScript by its weights or as one layer."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from fssd_core.errors import ModelError
from fssd_core.models.nets import Shape
from fssd_core.models.weights import WeightFile, checked_state
from fssd_core.runtime import ANY_NUMBER


@dataclass(frozen=True, eq=False)
class OpenedProgram:
    """A program as a network.

    Attributes:
        module: the network; None where its weights are to be given to an architecture.
        weights: its tensors, the file's facts and hash.
        input_shape: (C, H, W) it was exported for, or found by trying.
        taps: layers to read; empty where `choose_layers` chooses.
        notes: what must be known, in words.
    """

    module: nn.Module
    weights: WeightFile
    input_shape: Shape
    taps: tuple[str, ...]
    notes: tuple[str, ...]


def open_export_file(path: Path) -> OpenedProgram:
    """A .pt2 file as a network with all its layers.

    Raises:
        ModelError: it cannot be used; see `vet_export` and `open_export`.
    """
    from fssd_core.models.program_export import open_export
    from fssd_core.models.program_vetting import vet_export

    if _torch_version() < (2, 8):
        raise ModelError(f"{path}: torch {torch.__version__} is here; .pt2 files are read by 2.8 or newer")
    content = _content(path)
    vetted = vet_export(content, path)
    module = open_export(vetted, path)
    (fewest, most, _), *rest = vetted.sizes
    channels, height, width = (size for _, _, size in rest)
    notes = ["it is an exported program (torch.export): it computes as it was exported, with all its layers"]
    if most is not None and most < 2:
        notes.append("it was exported for one image at a time, so images go through it singly, which is slow")
    elif most is not None and module.images_at_once[1] < ANY_NUMBER:
        words = f"{most}" if fewest == most else f"{fewest} to {most}"
        notes.append(f"it was exported for {words} images at once: they go through it so, the last ones filled up")
    weights = WeightFile(checked_state(path, module.state_dict()), _facts(vetted.facts, path), _digest(content))
    return OpenedProgram(module, weights, (channels, height, width), (), tuple(notes))


class ScriptFile:
    """A TorchScript file that was opened: its weights first, the whole program where no network is recognised."""

    def __init__(self, path: Path) -> None:
        from fssd_core.models.program_script import open_script

        self.path = path
        self._content = _content(path)
        self.program = open_script(self._content, path)
        facts = _facts(_member(self._content), path)
        self.weights = WeightFile(checked_state(path, self.program.state_dict()), facts, _digest(self._content))

    def computes(self, module: nn.Module, shape: Shape) -> bool:
        """Whether this network gives what the program gives."""
        from fssd_core.models.program_script import same

        return same(self.program, module, shape)

    def whole(self, why: str, shape: Shape | None) -> OpenedProgram:
        """The program as one layer, and why."""
        from fssd_core.models.program_script import LAYER, whole

        module, found, known = whole(self.program, self._content, self.path, shape)
        notes = [
            f"it is run as a TorchScript program, {why}: only its output can be read, for torch lets nobody look at "
            "the layers inside"
        ]
        if not known:
            notes.append("taken for granted: the size of its images, the first usual one that it takes")
        if module.images_at_once[1] < ANY_NUMBER:
            notes.append(f"it takes just {module.images_at_once[1]} images at once: the last ones are filled up")
        return OpenedProgram(module, self.weights, found, (LAYER,), tuple(notes))


def with_facts_inside(content: bytes, facts: Mapping[str, str]) -> bytes:
    """The archive with these facts as a member of its own; the same always gives the same bytes."""
    from fssd_core.models.program_vetting import FACTS

    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as kept:
        root = archive.namelist()[0].partition("/")[0]
        for info in archive.infolist():
            if info.filename != f"{root}/{FACTS}":
                kept.writestr(zipfile.ZipInfo(info.filename), archive.read(info))
        kept.writestr(zipfile.ZipInfo(f"{root}/{FACTS}"), json.dumps(dict(sorted(facts.items()))))
    return buffer.getvalue()


def _facts(text: str, path: Path) -> dict[str, str]:
    try:
        values = json.loads(text) if text else {}
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: its facts (extra/fssd.json) are damaged; prepare it again") from error
    if not isinstance(values, dict) or not all(isinstance(v, str) for v in values.values()):
        raise ModelError(f"{path}: its facts (extra/fssd.json) are no text by name; prepare it again")
    return values


def _member(content: bytes) -> str:
    from fssd_core.models.program_vetting import FACTS

    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        name = next((n for n in archive.namelist() if n.partition("/")[2] == FACTS), None)
        return "" if name is None else archive.read(name).decode("utf-8", "replace")


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: the file cannot be read ({error.strerror or error})") from error
    if not content:
        raise ModelError(f"{path}: the file is empty; copy or save it again")
    return content


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _torch_version() -> tuple[int, ...]:
    return tuple(int(n) for n in torch.__version__.split("+")[0].split(".")[:2])
