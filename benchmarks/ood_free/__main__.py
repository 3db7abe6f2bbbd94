"""`python -m benchmarks.ood_free`: FSSD without ood labels, measured anew; writes benchmarks/results/ood_free.json.

Development first: every candidate on the development networks and sets. Then the report: the same candidates and every
detector of the table on the reported networks and sets. Finished networks are kept in --work, so a run can go on.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.machine import machine
from benchmarks.ood_free import cifar, report
from benchmarks.ood_free.nets import DEVELOPMENT, REPORT, fit_images, network
from benchmarks.ood_free.sets import development_sets, reported_sets
from benchmarks.ood_free.study import candidate_table, detector_table, kept
from fssd_core.data import load_data
from fssd_core.errors import FssdError
from fssd_core.runtime import threads

RESULTS = Path(__file__).parents[1] / "results" / "ood_free.json"


def main(argv: Sequence[str] | None = None) -> int:
    """Measures what is not kept yet, prints the tables and writes the results."""
    options = _parser().parse_args(argv)
    outside = _pairs(options.outside, "--outside")
    nets = (options.networks or "lenet-100,lenet-0").split(",") if options.quick else [*DEVELOPMENT, *REPORT]
    nets = options.networks.split(",") if options.networks else nets
    count = 300 if options.quick else 2000
    try:
        with threads(1):
            told = {"development": {}, "report": {}, "detectors": {}, "cifar": {}}
            for name in nets:
                _one_network(name, options.work, outside, count, options.quick, told)
            if options.cifar:
                told["cifar"] = cifar.tables(_pairs(options.cifar, "--cifar"), options.work)
    except FssdError as error:
        print(error, file=sys.stderr)
        return 2
    told = {"machine": machine(), "count": count, "outside": sorted(outside), **told}
    print(report.text(told))
    if not options.quick:
        RESULTS.write_text(json.dumps(told, indent=1) + "\n")
    return 0


def _one_network(
    name: str, work: Path, outside: dict[str, str], count: int, quick: bool, told: dict[str, dict]
) -> None:
    model = network(name, work)
    fit, labels = fit_images(name)
    folder = work / ("quick" if quick else "tables")
    if quick:
        fit, labels = fit[:2000], labels[:2000]
    if name in DEVELOPMENT:
        ind = load_data("fmnist:train").images[: (500 if quick else 5000)]

        def develop() -> dict:
            print(f"{name}: development", flush=True)
            return candidate_table(model, fit, labels, ind, development_sets(count), own_pseudo=True)

        told["development"][name] = kept(folder / f"development-{name}.json", develop)
        return
    ind = load_data("fmnist:test").sample(500 if quick else 5000, seed=0).images
    sets = reported_sets(outside, count)
    tag = "-".join([name, *sorted(outside)])

    def candidates() -> dict:
        print(f"{name}: report", flush=True)
        return candidate_table(model, fit, labels, ind, sets, own_pseudo=False)

    def detectors() -> dict:
        print(f"{name}: detectors", flush=True)
        return detector_table(model, fit, labels, ind, sets)

    told["report"][name] = kept(folder / f"report-{tag}.json", candidates)
    told["detectors"][name] = kept(folder / f"detectors-{tag}.json", detectors)


def _pairs(given: Sequence[str], flag: str) -> dict[str, str]:
    pairs = [text.partition("=") for text in given]
    if bad := [text for text, (name, _, path) in zip(given, pairs, strict=True) if not name or not path]:
        raise SystemExit(f"{flag} {bad[0]!r} was given; write NAME=FILE.npz")
    return {name: path for name, _, path in pairs}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ood_free", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one network a side, few images; writes no results")
    parser.add_argument("--networks", help="only these, comma-separated (lenet-100, lenet-0, mlp-2 ...)")
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
