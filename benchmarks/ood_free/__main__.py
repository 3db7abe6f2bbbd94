"""`python -m benchmarks.ood_free`: FSSD without ood labels, measured anew; writes benchmarks/results/ood_free.json.

Development first: every candidate on the development networks and sets, and the choice by the protocol's rule. Then the
report: the candidates and every detector of the table on the reported networks and sets. What is finished is kept in
--work, so a run can go on; `--show` prints the committed results and measures nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine
from benchmarks.ood_free import cifar, report
from benchmarks.ood_free.nets import DEVELOPMENT, REPORT, fit_images, network
from benchmarks.ood_free.sets import OUTSIDE, development_sets, reported_sets
from benchmarks.ood_free.study import candidate_table, detector_table, kept, preset_table
from fssd_core.data import load_data
from fssd_core.errors import FssdError, InputError
from fssd_core.runtime import threads

RESULTS = Path(__file__).parents[1] / "results" / "ood_free.json"
QUICK = ("lenet-100", "lenet-0")


def main(argv: Sequence[str] | None = None) -> int:
    """Measures what is not kept yet, prints the tables and writes the results."""
    options = _parser().parse_args(argv)
    try:
        if options.show:
            told = json.loads(RESULTS.read_text())
        else:
            told = _measured(options)
            if not options.quick and not options.networks:
                RESULTS.write_text(report.compact(told) + "\n")
    except FssdError as error:
        print(error, file=sys.stderr)
        return 2
    print(report.text(told))
    return 0


def _measured(options: argparse.Namespace) -> dict[str, dict]:
    outside = _pairs(options.outside, "--outside")
    if lacking := sorted(set(OUTSIDE) - set(outside)):
        print(f"left out, no --outside NAME=FILE.npz was given for them: {', '.join(lacking)}", flush=True)
    nets = QUICK if options.quick else (*DEVELOPMENT, *REPORT)
    if options.networks:
        nets = tuple(options.networks.split(","))
    if unknown := sorted(set(nets) - {*DEVELOPMENT, *REPORT}):
        raise InputError(f"no network {unknown[0]!r}; there are {', '.join((*DEVELOPMENT, *REPORT))}")
    told: dict[str, dict] = {"development": {}, "report": {}, "detectors": {}, "cifar": {}}
    with threads(1):
        for name in nets:
            _one_network(name, options, outside, told)
        if options.cifar:
            told["cifar"] = cifar.tables(_pairs(options.cifar, "--cifar"), options.work)
    return report.rounded({"machine": machine(), "outside": sorted(outside), **told})


def _one_network(name: str, options: argparse.Namespace, outside: dict[str, str], told: dict[str, dict]) -> None:
    quick, folder = options.quick, options.work / ("quick" if options.quick else "tables")
    count, known = (300, 500) if quick else (2000, 5000)

    @cache
    def given() -> tuple[Any, ...]:
        fit, labels = fit_images(name)
        cut = 2000 if quick else len(fit)
        if name in DEVELOPMENT:
            ind, sets = load_data("fmnist:train").take(np.arange(known)), development_sets(count)
        else:
            ind, sets = load_data("fmnist:test").sample(known, seed=0), reported_sets(outside, count)
        return network(name, options.work), fit[:cut], labels[:cut], ind.images, sets

    def preset() -> dict:
        model, fit, _, ind, sets = given()
        return preset_table(model, fit, ind, sets)

    tag = "-".join([name, *sorted(outside)])
    if name in DEVELOPMENT:
        wanted = {("development", name): lambda: candidate_table(*given(), own_pseudo=True)}
    else:
        wanted = {
            ("report", tag): lambda: candidate_table(*given(), own_pseudo=False),
            ("preset", tag): preset,
            ("detectors", tag): lambda: detector_table(*given()),
        }
    for (part, rest), make in wanted.items():
        path = folder / f"{part}-{rest}.json"
        if options.kept and (not path.exists() or (part == "preset" and name not in told["report"])):
            print(f"{name}: {part} is not kept in {options.work}; left out", flush=True)
            continue
        if not path.exists():
            print(f"{name}: {part}", flush=True)
        section = "report" if part == "preset" else part
        told[section].setdefault(name, {}).update(kept(path, make))


def _pairs(given: Sequence[str], flag: str) -> dict[str, str]:
    pairs = [text.partition("=") for text in given]
    if bad := [text for text, (name, _, path) in zip(given, pairs, strict=True) if not name or not path]:
        raise InputError(f"{flag} {bad[0]!r} was given; write NAME=FILE.npz")
    return {name: path for name, _, path in pairs}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ood_free", description=__doc__)
    parser.add_argument("--show", action="store_true", help="print the committed results; nothing is measured")
    parser.add_argument("--kept", action="store_true", help="measure nothing, write the results of what is in --work")
    parser.add_argument("--quick", action="store_true", help="one network a side, few images; writes no results")
    parser.add_argument("--networks", help="only these, comma-separated (lenet-100, mlp-2 ...); writes no results")
    parser.add_argument(
        "--work", type=Path, default=Path(".fssd") / "ood_free", help="folder of what is kept (%(default)s)"
    )
    parser.add_argument(
        "--outside", action="append", default=[], metavar="NAME=FILE.npz",
        help="an ood set that is not bundled, for the report (notMNIST=...); brought to grey 28x28",
    )  # fmt: skip
    parser.add_argument(
        "--cifar", action="append", default=[], metavar="NAME=FILE",
        help="CIFAR nets and data: net20=, net56= (weights), train=, ind= (CIFAR-10), and ood sets by their names",
    )  # fmt: skip
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
