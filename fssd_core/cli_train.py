"""`fssd train` and `fssd universality`: training without the dashboard."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fssd_core.atomic import write_bytes
from fssd_core.cli_common import DATA_HELP, check_out, progress_of
from fssd_core.errors import CancelledError, InputError, ModelError

if TYPE_CHECKING:
    from fssd_core.run_spec import RunSpec
    from fssd_core.universality import Budget, Cell


def add_train_commands(commands: Any) -> None:
    """Adds both commands to the parser's subcommands."""
    train = commands.add_parser("train", help="train a network as a run that every page and command can open")
    add = train.add_argument
    add("--arch", help="mlp, lenet, bilstm, densenet-small, resnet-cifar8 ... (lenet); `fssd list archs`")
    add("--activation", help="relu or tanh (relu)")
    add("--dropout", type=float, help="share of units left out while training (0)")
    add("--loss", help="cross-entropy, l2, triplet, or instance, which uses no labels (cross-entropy)")
    add("--data", metavar="DATA", help=f"training images (fmnist:train): {DATA_HELP}")
    add("--test", metavar="DATA", help="ind images to measure on, or held-out (the set that belongs to --data)")
    add("--images", type=int, metavar="N", help="draw at most N training images; default: all")
    add("--ood", metavar="A,B", help="ood sets to watch (photo-patches,fmnist-inverted,mnist)")
    add("--optimiser", help="adadelta, sgd or adamw (adadelta)")
    add("--lr", type=float, help="learning rate of the first epoch; default: the optimiser's usual")
    add("--gamma", type=float, help="factor on it after each epoch (0.7)")
    add("--weight-decay", type=float, help="of the optimiser (0)")
    add("--clip", type=float, help="largest length of the gradient, 0 for no limit (0); LSTMs need one")
    add("--epochs", type=int, help="passes over the training images (10)")
    add("--batch-size", type=int, help="images a step (64)")
    add("--seed", type=int, help="of weights, order, dropout, noise and samples (0)")
    add("--out", metavar="RUN", help="a new name, opened as run/NAME afterwards, or a folder written with a /")
    add("--data-root", type=Path, help="folder of data sets that are not bundled (genome-ind:train, cifar10:train ...)")
    add("--resume", action="store_true", help="go on with the run at --out, which was stopped or interrupted")
    add("--threads", type=int, default=1, help="CPU threads; another number changes last digits (1)")
    add("--json", action="store_true", help="print one JSON object")
    train.set_defaults(run=_train)
    table = commands.add_parser("universality", help="train many kinds of network and measure whether ood concentrates")
    add = table.add_argument
    add("--quick", action="store_true", help="four small networks on 3,000 images, under a minute")
    add("--archs", metavar="A,B", help="architectures; default: mlp, lenet, bilstm, densenet-small, resnet-cifar8")
    add("--activations", metavar="A,B", help="relu, tanh; default: both")
    add("--losses", metavar="A,B", help="cross-entropy, l2, triplet, instance; default: all")
    add("--seeds", default="0", metavar="A,B", help="seeds of weights, order of images, noise and samples (0)")
    add("--epochs", type=int, help="passes over the training images (4)")
    add("--images", type=int, help="training images of FashionMNIST, at most 10,000 (10000)")
    add("--threads", type=int, default=1, help="CPU threads; another number changes last digits (1)")
    add("--out", type=Path, metavar="FILE", help="keep the results as .json, renewed after every network")
    add("--markdown", type=Path, metavar="FILE", help="write the report as .md")
    add("--results", type=Path, metavar="FILE", help="train nothing; take the results of an earlier --out")
    add("--json", action="store_true", help="print one JSON object")
    table.set_defaults(run=_universality)


def _universality(arguments: argparse.Namespace) -> None:
    from fssd_core.runtime import threads
    from fssd_core.store import Store
    from fssd_core.universality import CellResult, measure_cells
    from fssd_core.universality_report import (
        markdown,
        read_results,
        rounded,
        table_text,
        to_text,
        write_results,
    )

    for path, kind in ((arguments.out, ".json"), (arguments.markdown, ".md")):
        if path is not None:
            check_out(path, (kind,))
    results: list[CellResult]
    if arguments.results is not None:
        results, budget = read_results(arguments.results)
    else:
        cells, budget = _cells(arguments)
        results = []
        with threads(arguments.threads):
            for result in measure_cells(cells, budget, store=Store(), progress=progress_of(arguments)):
                results.append(result)
                print(f"fssd: {len(results)} of {len(cells)}: {result.said}", file=sys.stderr, flush=True)
                if arguments.out is not None:
                    write_results(arguments.out, results, budget)
    results = rounded(results)
    if arguments.markdown is not None:
        write_bytes(arguments.markdown, markdown(results, budget).encode())
    print(to_text(results, budget) if arguments.json else table_text(results, budget))


def _train(arguments: argparse.Namespace) -> None:
    from fssd_core.run_frame import read_progress
    from fssd_core.run_spec import RunSpec
    from fssd_core.runs import DONE, FAILED, create_run, read_run
    from fssd_core.runtime import threads
    from fssd_core.train_process import run

    _check_threads(arguments.threads)
    if arguments.data_root is not None:
        os.environ["FSSD_DATA_ROOT"] = str(arguments.data_root.expanduser().resolve())  # where every loader looks
    place = _place(arguments.out)
    folder = _resumed(place) if arguments.resume else create_run(_spec(arguments, RunSpec), folder=place)
    ending = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: ending.set())  # ends after the update in hand, with a checkpoint
    try:
        with threads(arguments.threads):
            state = run(folder, ending=ending, progress=progress_of(arguments))
    finally:
        signal.signal(signal.SIGINT, before)
    info, lines = read_run(folder), read_progress(folder)
    if state == FAILED:
        raise ModelError(f"{folder}: {info.message}")
    report = {
        "run": str(folder), "model": _reference(folder), "state": state, "step": info.step, "total": info.total,
        "seconds": info.seconds, "checkpoints": info.checkpoints(), **(lines[-1] if lines else {}),
    }  # fmt: skip
    if arguments.json:
        print(json.dumps(report, indent=1))
    else:
        _print_run(report)
    if state != DONE:
        raise CancelledError(info.message)


def _print_run(report: dict[str, Any]) -> None:
    accuracy = report.get("accuracy")
    said = "" if accuracy is None else f", accuracy {accuracy:.3f} on the probe"
    print(f"{report['state']} at step {report['step']} of {report['total']} after {report['seconds']:.0f} s{said}")
    print(f"{report['checkpoints']} checkpoints; open them with --model {report['model']}\n")
    for layer, groups in report.get("layers", {}).items():
        for name, values in groups.items():
            if "auroc" in values:
                print(f"{layer:<10} {name:<18} mean distance / ind {values['ratio']:.3f}   AUROC {values['auroc']:.3f}")


def _spec(arguments: argparse.Namespace, kind: type[RunSpec]) -> RunSpec:
    names = [f.name for f in dataclasses.fields(kind)]
    given = {n: getattr(arguments, n) for n in names if getattr(arguments, n) is not None}
    if "ood" in given:
        given["ood"] = tuple(name for name in given["ood"].split(",") if name)
    return kind(**given)


def _place(out: str | None) -> Path | None:
    """The run's folder: a plain name lies among the user's runs."""
    from fssd_core.models.registry import run_folder

    if out is None:
        return None
    return Path(out).expanduser() if "/" in out or "\\" in out else run_folder(out)


def _resumed(place: Path | None) -> Path:
    from fssd_core.runs import read_run

    if place is None or not place.is_dir():
        raise InputError("--resume needs --out with the run to go on with; `fssd list models` shows runs")
    info = read_run(place)
    if not info.can_continue:
        raise InputError(f"{place} is {info.state}{': ' + info.message if info.message else ''}; it cannot go on")
    return place


def _reference(folder: Path) -> str:
    from fssd_core.models.registry import RUN_PREFIX, runs_root

    return RUN_PREFIX + folder.name if folder.resolve().parent == runs_root().resolve() else str(folder)


def _check_threads(count: int) -> None:
    if not 1 <= count <= 1024:
        raise InputError(f"--threads {count} was given; it is 1 to 1024")


def _cells(arguments: argparse.Namespace) -> tuple[list[Cell], Budget]:
    """The networks and their budget, as the flags say."""
    from fssd_core.losses import LOSSES
    from fssd_core.models.nets import ACTIVATIONS
    from fssd_core.universality import ARCH_NAMES, QUICK_BUDGET, QUICK_CELLS, Budget, all_cells

    _check_threads(arguments.threads)
    budget = QUICK_BUDGET if arguments.quick else Budget()
    for name, value, most in (("images", arguments.images, 10_000), ("epochs", arguments.epochs, 200)):
        if value is not None and not 1 <= value <= most:
            raise InputError(f"--{name} {value} was given; it is 1 to {most:,}")
        if value is not None:
            budget = dataclasses.replace(budget, **{name: value})
    chosen = [arguments.archs, arguments.activations, arguments.losses]
    if arguments.quick and not any(chosen):
        return list(QUICK_CELLS), budget
    tables = (ARCH_NAMES, tuple(ACTIVATIONS), tuple(LOSSES))
    lists = [tuple(c.split(",")) if c else usual for c, usual in zip(chosen, tables, strict=True)]
    try:
        seeds = [int(seed) for seed in arguments.seeds.split(",")]
    except ValueError:
        raise InputError(f"--seeds {arguments.seeds!r} was given; give whole numbers, as 0,1,2") from None
    if min(seeds) < 0:
        raise InputError(f"--seeds {arguments.seeds!r} was given; a seed is 0 or more")
    return all_cells(lists[0], lists[1], lists[2], seeds), budget
