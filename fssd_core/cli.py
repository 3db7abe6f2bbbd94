"""`fssd`: what the dashboard computes, as tables and JSON; the other `cli_*` modules hold more commands."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fssd_core import __version__, ensemble
from fssd_core.cli_bench import add_bench_command
from fssd_core.cli_bundle import add_bundle_commands
from fssd_core.cli_common import Scored, add_study_arguments, check_out, score_study, write_table
from fssd_core.cli_corruptions import add_corruptions_command
from fssd_core.cli_dynamics import add_dynamics_command
from fssd_core.cli_model import add_model_command
from fssd_core.cli_report import add_report_command
from fssd_core.cli_train import add_train_commands
from fssd_core.errors import CancelledError, FssdError, StoreWarning
from fssd_core.metrics import auroc, metrics
from fssd_core.models.factories import allow_factories
from fssd_core.models.program_flag import FLAG, allow_programs
from fssd_core.runtime import is_out_of_memory
from fssd_core.study import Comparison, Study, study_layers
from fssd_core.types import Weights

PLAIN = (str, int, float, bool, list, tuple, dict, type(None))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; 0 on success, 2 with one clear line on bad input, 130 when interrupted."""
    arguments = _parser().parse_args(argv)
    try:
        allow_factories(arguments.factory)
        allow_programs(arguments.allow_exported_programs)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", StoreWarning)
            arguments.run(arguments)
        for warning in caught:
            if issubclass(warning.category, UserWarning):
                print(f"fssd: note: {warning.message}", file=sys.stderr)
    except (FssdError, OSError) as error:
        print(f"fssd: {error}", file=sys.stderr)
        return 2
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        print("fssd: memory ran out; take fewer images (--limit, --noise-samples) or layers", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, CancelledError):
        print("fssd: stopped; what was finished is kept", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fssd", description="Out-of-distribution detection by Feature Space Singularity Distance."
    )
    parser.add_argument("--version", action="version", version=f"fssd-explorer {__version__}")
    parser.add_argument(
        "--factory", action="append", default=[], metavar="PACKAGE.MODULE:FUNCTION",
        help="your Python code that builds a network; it is run, and then a name for --model and --arch",
    )  # fmt: skip
    parser.add_argument(
        FLAG, action="store_true",
        help="open .pt2 (torch.export) and TorchScript files as models: they are code (docs/your-own-model.md)",
    )  # fmt: skip
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    score = commands.add_parser("score", help="score ind and ood images and measure the separation")
    add_study_arguments(score)
    score.add_argument("--out", type=Path, metavar="FILE", help="write a row an image: .csv, .parquet or .npz")
    score.set_defaults(run=_score)
    add_model_command(commands)
    add_bundle_commands(commands)
    add_dynamics_command(commands)
    add_train_commands(commands)
    add_report_command(commands)
    add_bench_command(commands)
    add_corruptions_command(commands)
    listing = commands.add_parser("list", help="list models, architectures, data sets, detectors, losses or benchmarks")
    listing.add_argument("what", nargs="?", choices=["all", *_TABLES], default="all")
    listing.add_argument("--json", action="store_true", help="print one JSON object")
    listing.set_defaults(run=_list)
    return parser


def _score(arguments: argparse.Namespace) -> None:
    started = time.perf_counter()
    if arguments.out is not None:
        check_out(arguments.out)
    scored = score_study(arguments)
    report = _report(scored.study, scored.comparison, scored.weights, time.perf_counter() - started)
    report["leaks"] = list(scored.leaks)
    if arguments.out is not None:
        write_table(arguments.out, _columns(scored))
        print(f"fssd: wrote {arguments.out}", file=sys.stderr)
    if arguments.json:
        print(json.dumps(report, indent=1))
    else:
        _print_report(report)


def _report(study: Study, comparison: Comparison, weights: Weights, seconds: float) -> dict[str, Any]:
    ind, ood = comparison.test_ind, comparison.test_ood
    numbers = metrics(ensemble.combine(ind, weights), ensemble.combine(ood, weights))
    return {
        "model": study.model,
        "arch": study.arch,
        "ind": study.ind,
        "ood": comparison.ood_ref,
        "epsilon": study.epsilon,
        "gradient": study.gradient,
        "precision": study.precision,
        "shared_perturbation": study.shared,
        "noise_samples": study.noise_samples,
        "seed": study.seed,
        "layers": list(study_layers(study)),
        "alpha": list(weights.alpha),
        "alpha_rule": weights.rule,
        "labels_used": weights.labels,
        "n_ind": numbers.n_ind,
        "n_ood": numbers.n_ood,
        "auroc": numbers.auroc,
        "aupr_in": numbers.aupr_in,
        "aupr_out": numbers.aupr_out,
        "fpr80": numbers.fpr80,
        "fpr95": numbers.fpr95,
        "detection_error": numbers.detection_error,
        "per_layer_auroc": {layer: auroc(ind.column(layer), ood.column(layer)) for layer in ind.layers},
        "seconds": round(seconds, 3),
    }


def _print_report(report: dict[str, Any]) -> None:
    print(f"{report['model']}: {report['ind']} ({report['n_ind']} tested) against {report['ood']} ({report['n_ood']})")
    print(f"alpha {report['alpha_rule']}; labels used: {report['labels_used']}; epsilon {report['epsilon']:g}\n")
    print(f"{'layer':<16}{'alpha':>10}{'AUROC alone':>14}")
    for layer, alpha in zip(report["layers"], report["alpha"], strict=True):
        single = report["per_layer_auroc"][layer]
        remark = "   inverted: ood lies farther from F* than ind" if single < 0.45 else ""
        print(f"{layer:<16}{alpha:>10.4f}{single:>14.4f}{remark}")
    print()
    for name in ("auroc", "aupr_in", "aupr_out", "fpr80", "fpr95", "detection_error"):
        print(f"{name:<16}{report[name]:>10.4f}")
    print(f"{'seconds':<16}{report['seconds']:>10.1f}")


def _columns(scored: Scored) -> dict[str, Any]:
    """One row an image: data, row, is_ind, split, a distance a layer, score."""
    study, comparison, tables = scored.study, scored.comparison, scored.tables
    fitted = {
        study.ind: set(comparison.split.fit_ind.tolist()),
        comparison.ood_ref: set(comparison.split.fit_ood.tolist()),
    }
    columns: dict[str, list[Any]] = {"data": [], "row": [], "is_ind": [], "split": []}
    for ref, table in tables.items():
        columns["data"] += [ref] * len(table)
        columns["row"] += scored.sets[ref].rows.tolist()
        columns["is_ind"] += [ref == study.ind] * len(table)
        columns["split"] += ["fit" if i in fitted[ref] else "test" for i in range(len(table))]
    distances = {
        f"fssd_{layer}": np.concatenate([table.column(layer) for table in tables.values()])
        for layer in scored.weights.layers
    }
    score = np.concatenate([ensemble.combine(table, scored.weights) for table in tables.values()])
    return {**columns, **distances, "score": score}


def _models() -> list[dict[str, Any]]:
    from fssd_core.models import list_models

    return [_plain(m) for m in list_models()]


def _archs() -> list[dict[str, Any]]:
    from fssd_core.models import list_archs

    return [{"name": name, **_plain(entry)} for name, entry in list_archs().items()]


def _data() -> list[dict[str, Any]]:
    from fssd_core.data import list_data

    return [_plain(d) for d in list_data()]


def _detectors() -> list[dict[str, Any]]:
    from fssd_core.detectors import DETECTORS

    return [{"name": name, **_plain(entry)} for name, entry in DETECTORS.items()]


def _losses() -> list[dict[str, Any]]:
    from fssd_core.losses import LOSSES

    return [{"name": name, **_plain(entry)} for name, entry in LOSSES.items()]


def _benchmarks() -> list[dict[str, Any]]:
    from fssd_core.benchmarks import BENCHMARKS

    return [_plain(row) for row in BENCHMARKS.values()]


_TABLES = {
    "models": _models,
    "archs": _archs,
    "data": _data,
    "detectors": _detectors,
    "losses": _losses,
    "benchmarks": _benchmarks,
}


_WORDS: dict[str, Callable[[dict[str, Any]], str]] = {
    "models": lambda m: f"{m['title']}; steps {', '.join(str(s) for s in m['steps'])} (as {m['name']}@STEP)",
    "archs": lambda a: f"{a['title']}; images {'x'.join(str(n) for n in a['input_shape'])}",
    "data": lambda d: (
        f"{d['kind']:<9}{d['count']:>7,} x {'x'.join(str(n) for n in d['shape']):<8} {d['title']}; {d['licence']}"
    ),
    "detectors": lambda d: f"{d['title']}; {d['cost']}",
    "losses": lambda o: f"{o['title']}; {'uses labels' if o['supervised'] else 'uses no labels'}",
    "benchmarks": lambda b: f"{b['title']}; {b['network']}; " + (f"needs {b['get']}" if b["get"] else "bundled"),
}


def _plain(entry: object) -> dict[str, Any]:
    """The JSON-able public fields of a table's entry."""
    if not dataclasses.is_dataclass(entry):
        raise TypeError(f"{entry!r} is no dataclass")
    values = {field.name: getattr(entry, field.name) for field in dataclasses.fields(entry)}
    nested = {name: [_plain(v) for v in value] for name, value in values.items() if _holds_dataclasses(value)}
    return {name: nested.get(name, value) for name, value in values.items() if isinstance(value, PLAIN)}


def _holds_dataclasses(value: object) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(dataclasses.is_dataclass(v) for v in value)


def _list(arguments: argparse.Namespace) -> None:
    tables = {k: make() for k, make in _TABLES.items() if arguments.what in ("all", k)}
    if arguments.json:
        print(json.dumps(tables, indent=1, default=str))
        return
    for name, rows in tables.items():
        print(f"{name}:")
        for row in rows:
            print(f"  {row['name']:<19} {_WORDS[name](row)}")


if __name__ == "__main__":
    sys.exit(main())
