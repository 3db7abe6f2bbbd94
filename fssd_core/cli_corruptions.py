"""`fssd corruptions`: every detector on every corruption type and severity, and the slides' claim about them."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from fssd_core.cli_common import (
    DATA_HELP,
    add_data_arguments,
    check_out,
    progress_of,
    study_of,
    write_table,
)
from fssd_core.corruption_claim import FEWEST_TYPES, Claim, claim, claim_table, in_words
from fssd_core.corruption_detectors import FSSD, default_detectors
from fssd_core.corruption_study import CorruptionStudy, corruption_scores
from fssd_core.corruption_table import CorruptionResult, Floats, auroc_draws, image_draws, metric_table, spread
from fssd_core.corruption_weights import weights_by_rule
from fssd_core.data import load_data
from fssd_core.data.corruptions import SETS, group_of_type
from fssd_core.errors import InputError
from fssd_core.store import Store
from fssd_core.study import Study
from fssd_core.study_pseudo import pseudo_scores
from fssd_core.types import LayerScores, Weights

METRICS = ("aupr_in", "aupr_out", "fpr80", "fpr95", "detection_error")
Scored = dict[str, tuple[Floats, Floats]]


def add_corruptions_command(commands: Any) -> None:
    """Adds the command to the parser's subcommands."""
    parser = commands.add_parser("corruptions", help="score images under ImageNet-C's corruptions, by every detector")
    add = parser.add_argument
    add("--model", required=True, metavar="REF", help="registered checkpoint (demo/lenet) or weight file")
    add("--arch", help="architecture of a weight file that does not say it itself")
    add("--ind", required=True, metavar="DATA", help=f"clean in-distribution images: {DATA_HELP}")
    names = ",".join(default_detectors())
    add("--detectors", default=names, metavar="A,B", help=f"with values as odin:temperature=10 (default {names})")
    add("--types", default="all", metavar="A,B", help=f"corruption types, or sets of them: {', '.join(SETS)}")
    add("--severities", default="1,2,3,4,5", metavar="1,2", help="levels (1 to 5)")
    add("--root", type=Path, metavar="DIR", help="a corrupted set as distributed (ImageNet-C, CIFAR-10-C, MNIST-C ...)")
    add("--fit-data", metavar="DATA", help="ind images that detectors are fitted on; default: ind's training set")
    add("--layers", metavar="A,B", help="layers to read; default: the architecture's own choice")
    add("--epsilon", type=float, default=0.0, help="FSSD's perturbation in pixels, signed (default 0)")
    add("--gradient", default="sign", help="sign (the paper) or standardised (the authors' code)")
    add("--noise-samples", type=int, default=100, metavar="S", help="noise images behind F* (100)")
    add(
        "--alpha",
        default="uniform",
        help="uniform (default), standardised, pseudo-ood, logistic (labels of these corruptions), or a number a layer",
    )
    add("--limit", type=int, metavar="N", help="draw at most N images; default: all")
    add("--seed", type=int, default=0, help="of the draw, the corruptions, the noise and the bootstrap")
    add("--draws", type=int, default=300, metavar="B", help="bootstrap draws of the intervals (300)")
    add("--workers", type=int, metavar="N", help="processes that corrupt; default: one a core")
    add("--out", type=Path, metavar="FILE", help="write a row a detector, type and severity: .csv, .parquet or .npz")
    add_data_arguments(parser)
    parser.set_defaults(run=run, precision="float32", shared_perturbation=False)


def _asked(arguments: argparse.Namespace) -> CorruptionStudy:
    """What the flags ask for.

    Raises:
        InputError: a value that is not allowed.
    """
    study = study_of(arguments, ())
    if arguments.draws < 1:
        raise InputError(f"--draws {arguments.draws} was given; give at least 1 (300 are usual)")
    try:
        severities = tuple(int(s) for s in arguments.severities.split(","))
    except ValueError:
        raise InputError(f"--severities {arguments.severities!r} was given; give levels as 1,3,5") from None
    return CorruptionStudy(
        study,
        tuple(arguments.detectors.split(",")),
        tuple(arguments.types.split(",")),
        severities,
        None if arguments.root is None else str(arguments.root),
        arguments.fit_data,
    )


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    started = time.perf_counter()
    if arguments.out is not None:
        check_out(arguments.out)
    asked = _asked(arguments)
    if arguments.download:
        load_data(asked.study.ind, root=arguments.data_root, download=True)
    result = corruption_scores(
        asked, store=Store(), root=arguments.data_root, workers=arguments.workers, progress=progress_of(arguments)
    )
    for note in result.notes:
        print(f"fssd: note: {note}", file=sys.stderr)
    ours = next((label for label in result.detectors if label.split(":")[0] == FSSD), FSSD)
    weights, tested = weights_by_rule(
        arguments.alpha, result, ours=ours, seed=arguments.seed, pseudo=lambda: _pseudo(asked.study, arguments)
    )
    scored = {label: s.combined(weights.get(label)) for label, s in tested.detectors.items()}
    generator = np.random.default_rng(arguments.seed)
    rows = _rows(tested, scored, arguments.draws, generator)
    claims = _claims(tested, scored, ours, arguments.draws, generator)
    if arguments.out is not None:
        flat = [{**row, "auroc_low": row["auroc_ci"][0], "auroc_high": row["auroc_ci"][1]} for row in rows]
        write_table(arguments.out, {k: [row[k] for row in flat] for k in flat[0] if k != "auroc_ci"})
        print(f"fssd: wrote {arguments.out}", file=sys.stderr)
    report = _report(asked, tested, weights.get(ours), rows, claims) | {
        "computed": result.computed,
        "stored": result.stored,
        "seconds": round(time.perf_counter() - started, 3),
    }
    if arguments.json:
        print(json.dumps(report, indent=1))
    else:
        _print(report, tested, scored, claims)


def _pseudo(study: Study, arguments: argparse.Namespace) -> LayerScores:
    found = pseudo_scores(study, store=Store(), root=arguments.data_root, progress=progress_of(arguments))
    return found[study.epsilon]


def _rows(
    result: CorruptionResult, scored: Scored, samples: int, generator: np.random.Generator
) -> list[dict[str, Any]]:
    """One row a detector, type and severity. All intervals come from the same draws of images."""
    some = next(iter(scored.values()))
    clean_draws = image_draws(len(some[0]), samples, generator)
    cell_draws = clean_draws if result.paired else image_draws(some[1].shape[2], samples, generator)
    accuracy = result.accuracy()
    rows = []
    for label, (clean, cells) in scored.items():
        tables = {name: metric_table(clean, cells, name) for name in ("auroc", *METRICS)}
        for (i, kind), (j, severity) in ((a, b) for a in enumerate(result.types) for b in enumerate(result.severities)):
            low, high = np.quantile(auroc_draws(clean, cells[i, j], clean_draws, cell_draws), [0.025, 0.975])
            rows.append(
                {
                    "detector": label, "type": kind, "group": group_of_type(kind), "severity": severity,
                    "auroc": float(tables["auroc"][i, j]), "auroc_ci": [float(low), float(high)],
                    **{name: float(tables[name][i, j]) for name in METRICS},
                    "accuracy": None if accuracy is None else float(accuracy[1][i, j]),
                }
            )  # fmt: skip
    return rows


def _claims(
    result: CorruptionResult, scored: Scored, ours: str, samples: int, generator: np.random.Generator
) -> list[Claim]:
    if ours not in scored or len(scored) < 2 or len(result.types) < FEWEST_TYPES:
        return []
    return claim(
        scored, result.severities, ours=ours, paired=result.paired, samples=max(samples, 1000), generator=generator
    )


def _report(
    asked: CorruptionStudy,
    result: CorruptionResult,
    weights: Weights | None,
    rows: list[dict[str, Any]],
    claims: list[Claim],
) -> dict[str, Any]:
    study, accuracy = asked.study, result.accuracy()
    return {
        "model": study.model,
        "ind": study.ind,
        "root": asked.root,
        "images": len(result.rows),
        "corrupted_images": int(result.cell_predicted.shape[2]),
        "paired": result.paired,
        "seed": study.seed,
        "epsilon": study.epsilon,
        "alpha": None if weights is None else dict(zip(weights.layers, weights.alpha, strict=True)),
        "alpha_rule": None if weights is None else weights.rule,
        "labels_used": None if weights is None else weights.labels,
        "types": list(result.types),
        "severities": list(result.severities),
        "clean_accuracy": None if accuracy is None else accuracy[0],
        "rows": rows,
        "claim": [
            {
                "severity": c.severity, "rival": c.rival, "mean": c.mean, "rival_mean": c.rival_mean,
                "difference": c.difference, "difference_ci": list(c.difference_interval), "sd": c.sd,
                "rival_sd": c.rival_sd, "variance_ratio": _finite(c.ratio),
                "variance_ratio_ci": [_finite(r) for r in c.ratio_interval], "higher_mean": c.higher_mean,
                "smaller_variance": c.smaller_variance, "verdict": c.verdict,
            }
            for c in claims
        ],
        "notes": list(result.notes),
    }  # fmt: skip


def _finite(value: float) -> float | None:
    """JSON has no infinity."""
    return value if np.isfinite(value) else None


def _print(report: dict[str, Any], result: CorruptionResult, scored: Scored, claims: list[Claim]) -> None:
    print(f"{report['model']}: {report['ind']}, {report['images']} clean images against their corruptions")
    if report["alpha_rule"]:
        print(
            f"FSSD: alpha {report['alpha_rule']}; labels used: {report['labels_used']}; epsilon {report['epsilon']:g}"
        )
    levels = "".join(f"{s:>8}" for s in result.severities)
    accuracy = result.accuracy()
    tables = {label: metric_table(*pair) for label, pair in scored.items()}
    named = {f"AUROC, {label}": table for label, table in tables.items()}
    if accuracy is not None:
        named[f"accuracy (clean {accuracy[0]:.4f})"] = accuracy[1]
    for title, table in named.items():
        print(f"\n{title:<30}{levels}")
        for kind, line in zip(result.types, table, strict=True):
            print(f"  {kind:<28}" + "".join(f"{v:>8.3f}" for v in line))
        over = spread(table)
        for word, line in (("mean over types", over.mean), ("sd over types", over.sd)):
            print(f"  {word:<28}" + "".join(f"{v:>8.3f}" for v in line))
    if claims:
        print("\nThe claim: FSSD has a higher mean and a smaller variance over the types (95 % bootstrap intervals)")
        print(claim_table(claims))
        print(in_words(claims))
    print(
        f"\n{report['computed']} results computed, {report['stored']} from the store, {report['seconds']:.1f} seconds"
    )
