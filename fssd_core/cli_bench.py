"""`fssd bench`: the rows of the paper's Table 2 with every detector, under a named protocol."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from fssd_core import bench_report
from fssd_core.assets import assets_root
from fssd_core.atomic import write_bytes
from fssd_core.bench_open import TRAIN_IMAGES, Asked, open_bench
from fssd_core.bench_run import run_all
from fssd_core.cli_common import (
    DATA_HELP,
    add_data_arguments,
    check_out,
    check_reference,
    check_seed,
    progress_of,
    write_table,
)
from fssd_core.detectors import DETECTORS
from fssd_core.errors import FssdError, InputError, lookup
from fssd_core.protocol import FIT, PROTOCOLS
from fssd_core.store import Store

OUT_KINDS = (".json", ".csv", ".md")


def add_bench_command(commands: Any) -> None:
    """Adds the command to the parser's subcommands."""
    bench = commands.add_parser("bench", help="compare detectors on a row of the paper's Table 2")
    add = bench.add_argument
    add("name", metavar="NAME", help="the benchmark; `fssd list benchmarks` shows them")
    add("--detectors", default="all", metavar="A,B", help="names of `fssd list detectors`, or all (the default)")
    add("--protocol", default="paper", help=" or ".join(PROTOCOLS) + " (default paper)")
    add("--limit", type=int, metavar="N", help="draw at most N ind and N ood images; default: all")
    add("--train-limit", type=int, metavar="N", default=TRAIN_IMAGES, help="training images at most (%(default)s)")
    add("--fit", type=int, default=FIT, help=f"images a side for alpha, and again for parameters ({FIT})")
    add("--seed", type=int, default=0)
    add("--noise-samples", type=int, default=100, metavar="S", help="noise images behind F* (100)")
    add("--model", metavar="REF", help="the network; default: the bundled one, where there is one")
    add("--arch", help="architecture of a weight file that does not say it itself")
    add("--members", metavar="A,B", help="the other members of deep-ensemble")
    add("--dropout-model", metavar="REF", help="the network of mc-dropout")
    add("--oe-model", metavar="REF", help="the network of outlier-exposure, trained by it")
    for flag, what in (("--train", "training images"), ("--ind", "ind test images"), ("--ood", "ood images")):
        add(flag, metavar="DATA", help=f"{what} in place of the benchmark's own: {DATA_HELP}")
    add("--anew", action="store_true", help="measure again what was measured before, here or for the bundled data")
    add("--out", type=Path, metavar="FILE", help="write the report too: .json, .csv or .md")
    add_data_arguments(bench)
    bench.set_defaults(run=_bench)


def _bench(arguments: argparse.Namespace) -> None:
    names = _detectors(arguments.detectors)
    bench = open_bench(_asked(arguments), root=arguments.data_root, download=arguments.download)
    for note in bench.deal.notes:
        print(f"fssd: note: {note}", file=sys.stderr)
    rows, skipped = [], {}
    store = Store(shipped=[] if arguments.anew else [assets_root() / "store"])
    for name, outcome in run_all(bench, names, store=store, progress=progress_of(arguments), anew=arguments.anew):
        if isinstance(outcome, FssdError):
            if arguments.detectors != "all":
                raise outcome
            skipped[name] = str(outcome)
            print(f"fssd: {name} not run: {outcome}", file=sys.stderr)
            continue
        rows.append(outcome.facts)
        stored = " (measured before; --anew measures again)" if outcome.stored else ""
        print(f"fssd: {name}: AUROC {outcome.facts['auroc']:.4f}{stored}", file=sys.stderr)
    told = bench_report.report(bench, rows, skipped)
    if arguments.out is not None:
        _write(arguments.out, told)
    print(json.dumps(told, indent=1) if arguments.json else bench_report.text(told))


def _detectors(text: str) -> list[str]:
    if text == "all":
        return list(DETECTORS)
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise InputError("--detectors is empty; give names of `fssd list detectors`, comma-separated, or all")
    for name in names:
        lookup(DETECTORS, name, "detector")
    return list(dict.fromkeys(names))


def _asked(arguments: argparse.Namespace) -> Asked:
    for flag in ("model", "members", "dropout_model", "oe_model", "train", "ind", "ood"):
        if getattr(arguments, flag) is not None:
            check_reference(flag.replace("_", "-"), getattr(arguments, flag))
    check_seed(arguments.seed)
    if arguments.out is not None:
        check_out(arguments.out, OUT_KINDS)
    return Asked(**{field.name: getattr(arguments, field.name) for field in fields(Asked) if field.name != "step"})


def _write(path: Path, told: dict[str, Any]) -> None:
    if path.suffix == ".csv":
        write_table(path, bench_report.columns(told))
    else:
        body = bench_report.markdown(told) if path.suffix == ".md" else json.dumps(told, indent=1) + "\n"
        write_bytes(path, body.encode())
    print(f"fssd: wrote {path}", file=sys.stderr)
