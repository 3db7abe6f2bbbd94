"""`fssd model`: what is recognised in a checkpoint, its layers and costs, and one file that holds all its facts."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from fssd_core.cli_common import add_data_arguments, progress_of
from fssd_core.data import load_data
from fssd_core.errors import InputError
from fssd_core.models.nets import Shape
from fssd_core.models.normalisation import Pair, preset_pair, presets, try_normalisations, verdict
from fssd_core.models.prepare import prepared_ending, save_prepared, with_facts
from fssd_core.models.table import LoadedModel, load_model
from fssd_core.models.tree import Node, module_tree

HEAVY = 200_000_000  # multiply-accumulates an image: above it fewer images are looked at, so that it takes seconds


def add_model_command(commands: Any) -> None:
    """Adds `model` to the subparsers."""
    parser = commands.add_parser("model", help="show what a checkpoint holds, and save it with all its facts")
    add = parser.add_argument
    add("ref", metavar="MODEL", help="weight file, registered checkpoint, or torchvision/NAME (untrained)")
    add("--arch", help="architecture of a file whose weights fit several or none")
    add("--part", metavar="NAME", help="which state dict of a training checkpoint (state_dict_ema)")
    add("--input", metavar="CxHxW", help="size of its images, where the weights do not fix it")
    add("--normalisation", metavar="NAME", help="none, imagenet, cifar10, half, ... or numbers: means then deviations")
    add("--layers", metavar="A,B", help="layers to read; default: the ends of its blocks")
    add("--check", metavar="DATA", help="look at the normalisation on images like those it was trained on")
    add("--all", action="store_true", help="list every module, not only the layers that are read")
    add(
        "--out",
        type=Path,
        metavar="FILE",
        help="write weights and facts to one .safetensors file; a program stays a .pt2 or .pt",
    )
    add_data_arguments(parser)
    parser.set_defaults(run=_model)


def _model(arguments: argparse.Namespace) -> None:
    loaded = load_model(arguments.ref, arch=arguments.arch, part=arguments.part)
    if arguments.out is not None and arguments.out.suffix != (ending := prepared_ending(loaded)):
        raise InputError(f"--out {arguments.out} was given; its ending must be {ending}")
    shape = _shape(arguments.input, loaded)
    pair: Pair | str = "as it is"
    if arguments.normalisation is not None:
        pair = _pair(arguments.normalisation, shape[0])
    taps = tuple(arguments.layers.split(",")) if arguments.layers else None
    model = with_facts(loaded, input_shape=shape, normalisation=pair, taps=taps)
    nodes = module_tree(model.module, model.input_shape)
    report = _report(model, nodes, everything=arguments.all)
    if arguments.check is not None:
        report["check"] = _check(model, nodes, arguments.check, arguments)
    if arguments.out is not None:
        save_prepared(model, arguments.out)
        print(f"fssd: wrote {arguments.out}", file=sys.stderr)
    if arguments.json:
        print(json.dumps(report, indent=1))
    else:
        _print(report)


def _shape(text: str | None, model: LoadedModel) -> Shape:
    if text is None:
        return model.input_shape
    words = text.split("x")
    if len(words) != 3 or not all(word.isdigit() for word in words):
        raise InputError(f"--input {text!r} was given; it is channels x height x width, as 3x32x32")
    return int(words[0]), int(words[1]), int(words[2])


def _pair(text: str, channels: int) -> Pair:
    try:
        numbers = [float(word) for word in text.replace(",", " ").split()]
    except ValueError:
        return preset_pair(text, channels)
    if len(numbers) != 2 * channels:
        raise InputError(
            f"--normalisation {text!r} has {len(numbers)} numbers; give {channels} means, then {channels} standard "
            f"deviations, or one of {', '.join(presets(channels))}"
        )
    return tuple(numbers[:channels]), tuple(numbers[channels:])


def _report(model: LoadedModel, nodes: list[Node], *, everything: bool) -> dict[str, Any]:
    read = {layer.partition("#")[0].partition("[")[0].partition(":")[0] for layer in model.taps} | set(model.taps)
    return {
        "model": model.ref,
        "arch": model.arch,
        "classes": model.classes,
        "input": list(model.input_shape),
        "mean": model.mean,
        "std": model.std,
        "parameters": sum(p.numel() for p in model.module.parameters()),
        "macs": sum(node.macs for node in nodes if node.depth == 0),
        "notes": list(model.notes),
        "layers": list(model.taps),
        "modules": [
            {"name": n.name, "kind": n.kind, "output": n.shape, "calls": n.calls, "parameters": n.parameters,
             "macs": n.macs, "share": round(n.share, 6), "read": n.name in read, "why_not": n.why_not}
            for n in nodes if everything or n.name in read
        ],
    }  # fmt: skip


def _check(model: LoadedModel, nodes: list[Node], ref: str, arguments: argparse.Namespace) -> dict[str, Any]:
    images = load_data(ref, shape=model.input_shape, root=arguments.data_root, download=arguments.download)
    used: Pair = None if model.mean is None or model.std is None else (model.mean, model.std)
    known = presets(model.input_shape[0])
    pairs = [used, *(preset.pair for preset in known.values() if preset.pair != used)]
    heavy = sum(node.macs for node in nodes if node.depth == 0) > HEAVY
    trials = try_normalisations(model, images, pairs, count=60 if heavy else 300, progress=progress_of(arguments))
    names = {preset.pair: name for name, preset in known.items()}
    names.setdefault(used, "its own")
    right, words = verdict(trials, names)
    rows = [
        {"normalisation": names[t.pair], "accuracy": t.accuracy, "confidence": t.confidence, "norm": t.norm}
        for t in trials
    ]
    return {"right": right, "words": words, "trials": rows}


def _print(report: dict[str, Any]) -> None:
    print(f"{report['model']}: {report['arch']}, {report['classes']:,} classes, {report['parameters']:,} parameters")
    size = "x".join(map(str, report["input"]))
    usual = "plain pixels" if report["mean"] is None else f"mean {report['mean']}, std {report['std']}"
    cost = f"{report['macs']:,} multiply-accumulates an image" if report["macs"] else "its cost is not counted"
    print(f"images {size}, {usual}; {cost}")
    for note in report["notes"]:
        print(f"note: {note}")
    print(f"\n{'layer':<44}{'kind':<22}{'output':<16}{'parameters':>12}{'share of MACs':>15}")
    for row in report["modules"]:
        mark = "* " if row["read"] else "  "
        output = "x".join(map(str, row["output"])) if row["output"] else row["why_not"][:34]
        print(f"{mark}{row['name']:<42}{row['kind']:<22}{output:<16}{row['parameters']:>12,}{row['share']:>15.1%}")
    print(f"\nread (*): {', '.join(report['layers'])}")
    if "check" in report:
        print(f"\n{report['check']['words']}")
