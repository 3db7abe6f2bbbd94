"""A checkpoint with all its facts in one .safetensors file: what was recognised or said once is not asked again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from fssd_core.atomic import write_bytes
from fssd_core.block_ends import MAX_LAYERS
from fssd_core.checkpoint_file import save_checkpoint
from fssd_core.errors import ModelError
from fssd_core.extractor import FeatureExtractor
from fssd_core.models.nets import Shape
from fssd_core.models.normalisation import Pair
from fssd_core.models.program_flag import EXPORT, SCRIPT
from fssd_core.models.program_flag import KINDS as PROGRAM_KINDS
from fssd_core.models.programs import with_facts_inside
from fssd_core.models.table import LoadedModel
from fssd_core.models.tree import module_tree

MAX_SIDE = 1024


def with_facts(
    model: LoadedModel,
    *,
    input_shape: Shape | None = None,
    normalisation: Pair | str = "as it is",
    taps: tuple[str, ...] | None = None,
) -> LoadedModel:
    """The same network, fed and read as said; checked by one forward pass over shapes.

    Args:
        model: the network.
        input_shape: (C, H, W); None leaves it.
        normalisation: (mean, std) in pixels, None for plain pixels, 'as it is' leaves it.
        taps: layers to read, 1 to 64; None leaves them.

    Raises:
        ModelError: images of that shape, that normalisation or these layers do not fit the network.
    """
    shape = model.input_shape if input_shape is None else input_shape
    if len(shape) != 3 or min(shape) < 1 or max(shape[1:]) > MAX_SIDE:
        raise ModelError(
            f"input {'x'.join(map(str, shape))} was given; it is channels x height x width, 1 to {MAX_SIDE}"
        )
    mean, std = (model.mean, model.std) if isinstance(normalisation, str) else (normalisation or (None, None))
    if mean is not None and (std is None or {len(mean), len(std)} != {shape[0]} or min(std) <= 0):
        raise ModelError(
            f"mean {mean} and std {std} were given; each has one number a channel ({shape[0]}), std above 0"
        )
    chosen = model.taps if taps is None else taps
    if not 1 <= len(chosen) <= MAX_LAYERS:
        raise ModelError(f"{len(chosen)} layers were chosen; choose 1 to {MAX_LAYERS}")
    if bad := [name for name in chosen if "," in name]:
        raise ModelError(
            f"layer {bad[0]!r} has a comma in its name, which a list of layers cannot hold; choose another"
        )
    FeatureExtractor(model.module, chosen, mean=mean, std=std, device="cpu")
    module_tree(model.module, shape)
    return replace(model, input_shape=shape, mean=mean, std=std, taps=chosen)


def save_prepared(model: LoadedModel, path: Path, *, title: str = "") -> None:
    """Writes weights and facts, or the program with them inside; `load_model(path)` reads them without a question.

    Raises:
        ModelError: a weight of a type that the format does not have.
        OSError: the file cannot be written.
    """
    kept = {k: v for k, v in model.metadata.items() if k in ("activation", "dropout", "step", "test_accuracy", "epoch")}
    facts: dict[str, object] = {
        **kept,
        "arch": model.arch,
        "title": title or model.metadata.get("title", ""),
        "input_shape": list(model.input_shape),
        "mean": None if model.mean is None else list(model.mean),
        "std": None if model.std is None else list(model.std),
        "taps": ",".join(model.taps),
        "from": model.weight_hash,
    }
    if model.arch not in PROGRAM_KINDS:
        save_checkpoint(path, model.module.state_dict(), facts)
        return
    text = {k: v if isinstance(v, str) else json.dumps(v) for k, v in facts.items() if k != "arch"}
    write_bytes(path, with_facts_inside(Path(model.ref).expanduser().read_bytes(), text))


def prepared_ending(model: LoadedModel) -> str:
    """How the file that `save_prepared` writes ends: a program stays what it is."""
    return {EXPORT: ".pt2", SCRIPT: ".pt"}.get(model.arch, ".safetensors")
