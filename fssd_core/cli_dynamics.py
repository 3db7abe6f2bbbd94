"""`fssd dynamics`: distance to F*, AUROC and moving speed of each group, layer and checkpoint, as a table or JSON."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from fssd_core.assets import assets_root
from fssd_core.cli_common import DATA_HELP, check_out, check_reference, check_seed, progress_of, write_table
from fssd_core.data import load_data
from fssd_core.dynamics import Dynamics, dynamics
from fssd_core.speed import Speed, speed
from fssd_core.speed_words import outcome, ratios, statements
from fssd_core.store import Store
from fssd_core.study import DEMO_OOD, Study, open_data

Row = dict[str, Any]


def add_dynamics_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`fssd dynamics --model demo/lenet --json`."""
    parser = commands.add_parser("dynamics", help="distances to F*, AUROC and speed over a network's checkpoints")
    add = parser.add_argument
    add(
        "--model",
        required=True,
        metavar="REF",
        help="registered checkpoints (demo/lenet) or a folder of step-*.safetensors",
    )
    add("--arch", help="architecture of weight files that do not say it themselves")
    add("--ind", default="fmnist:test", metavar="DATA", help=f"in-distribution images: {DATA_HELP}")
    add("--ood", metavar="A,B", default=",".join(DEMO_OOD), help="out-of-distribution sets, separated by commas")
    add("--layers", metavar="A,B", help="layers to read; default: the architecture's own choice")
    add("--points", type=int, default=600, metavar="N", help="ind images; each ood set gives half as many (600)")
    add("--noise-samples", type=int, default=100, metavar="S", help="noise images behind F* (100)")
    add("--exact", action="store_true", help="add the exact speed under gradient descent and its random control (slow)")
    add("--seed", type=int, default=0)
    add("--data-root", type=Path, help="folder of downloaded data sets")
    add("--download", action="store_true", help="fetch public data sets that are not on disk yet")
    add("--out", type=Path, metavar="FILE", help="write the rows: .csv, .parquet or .npz")
    add("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_dynamics)


def _dynamics(arguments: argparse.Namespace) -> None:
    if arguments.out is not None:
        check_out(arguments.out)
    study, root = _study(arguments), arguments.data_root
    if arguments.download:
        for ref in (study.ind, *study.ood):
            load_data(ref, root=root, download=True)
    store = Store(shipped=[assets_root() / "store"])
    progress = progress_of(arguments)
    made = dynamics(study, store=store, root=root, progress=progress)
    exact = speed(study, store=store, root=root, progress=progress) if arguments.exact else None
    rows = dynamics_rows(made, exact)
    if arguments.out is not None:
        write_table(arguments.out, {name: [row[name] for row in rows] for name in rows[0]})
    if arguments.json:
        print(json.dumps(_report(study, made, exact, rows), indent=1))
    else:
        _print(study, made, exact, rows)


def _study(arguments: argparse.Namespace) -> Study:
    for flag in ("model", "ind", "ood"):
        check_reference(flag, getattr(arguments, flag))
    check_seed(arguments.seed)
    study = Study(
        model=arguments.model, arch=arguments.arch, ind=arguments.ind, ood=tuple(arguments.ood.split(",")),
        layers=tuple(arguments.layers.split(",")) if arguments.layers else None, points=arguments.points,
        noise_samples=arguments.noise_samples, seed=arguments.seed,
    )  # fmt: skip
    for ref in (study.ind, *study.ood):
        open_data(study, ref, root=arguments.data_root, count=1)  # refuses an unknown set before anything is computed
    return study


def dynamics_rows(made: Dynamics, exact: Speed | None = None) -> list[Row]:
    """One row a step, layer and group; None where a number does not exist (AUROC of ind, speed before the first step).

    Args:
        made: the series.
        exact: exact speeds of the same study, for two more columns.
    """
    found = None if exact is None else ratios(exact)
    rows = []
    for t, step in enumerate(made.steps):
        for k, layer in enumerate(made.layers):
            for g, (name, kind) in enumerate(made.groups):
                row: Row = {
                    "step": step, "layer": layer, "group": name, "kind": kind,
                    "mean_distance": _number(made.mean[t, k, g]), "ratio": _number(made.ratio[t, k, g]),
                    "auroc": _number(made.auroc[t, k, g]), "norm": _number(made.norm[t, k, g]),
                    "speed": _number(made.speed[t - 1, k, g]) if t else None,
                }  # fmt: skip
                if found is not None:
                    row["exact_speed_ratio"] = _number(found.ratio[t, k, g])
                    row["random_ratio"] = _number(found.control[t, k, g])
                rows.append(row)
    return rows


def _report(study: Study, made: Dynamics, exact: Speed | None, rows: list[Row]) -> dict[str, Any]:
    report: dict[str, Any] = {
        "model": study.model, "ind": study.ind, "ood": list(study.ood), "points": study.points, "seed": study.seed,
        "steps": list(made.steps), "layers": list(made.layers),
        "accuracy": None if made.accuracy is None else [_number(a) for a in made.accuracy],
        "loss": None if made.loss is None else [_number(v) for v in made.loss],
        "rows": rows,
    }  # fmt: skip
    if exact is not None:
        report["statements"] = {layer: [s.text for s in statements(exact, layer)] for layer in exact.layers}
        report["outcome"] = outcome(exact, made).text
    return report


def _print(study: Study, made: Dynamics, exact: Speed | None, rows: list[Row]) -> None:
    print(f"{study.model}: {len(made.steps)} checkpoints, steps {made.steps[0]} to {made.steps[-1]:,}")
    print("distance: mean to F*; ratio: over the ind median; speed: mean way of a feature in one training step\n")
    extra = [] if exact is None else ["exact_speed_ratio", "random_ratio"]
    heads = ["distance", "ratio", "AUROC", "speed", *(["exact÷ind", "random÷ind"] if extra else [])]
    print(f"{'step':>7} {'layer':<14}{'group':<18}" + "".join(f"{head:>11}" for head in heads))
    for row in rows:
        cells = [_cell(row[name]) for name in ("mean_distance", "ratio", "auroc", "speed", *extra)]
        print(f"{row['step']:>7} {row['layer']:<14}{row['group']:<18}" + "".join(f"{cell:>11}" for cell in cells))
    if exact is not None:
        print()
        for layer in exact.layers:
            for said in statements(exact, layer):
                print(f"{layer}: [{said.verdict}] {said.text}")
        print(f"all layers: {outcome(exact, made).text}")


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _number(value: float) -> float | None:
    """A JSON number; None for NaN."""
    return None if math.isnan(value) else float(value)
