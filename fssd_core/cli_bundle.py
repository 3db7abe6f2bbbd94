"""`fssd export` and `fssd apply`: a tuned detector leaves as one file and judges images headless."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fssd_core.cli_common import (
    DATA_HELP,
    Scored,
    add_data_arguments,
    add_study_arguments,
    check_out,
    check_reference,
    now,
    progress_of,
    score_study,
    tell_notes,
    write_table,
)
from fssd_core.data import ImageSet, load_data
from fssd_core.ensemble import combine
from fssd_core.errors import InputError


def add_bundle_commands(commands: Any) -> None:
    """Adds both commands to the parser's subcommands."""
    export = commands.add_parser("export", help="choose a threshold and write the detector as one .fssd file")
    add_study_arguments(export)
    rule = export.add_mutually_exclusive_group(required=True)
    rule.add_argument("--tpr", type=float, help="accept at least this share of ind (0.95)")
    rule.add_argument("--fpr", type=float, help="accept at most this share of ood (0.05); uses ood labels")
    rule.add_argument("--threshold", type=float, help="accept where score >= THRESHOLD, as given")
    export.add_argument("--out", type=Path, required=True, metavar="FILE", help="the bundle: detector.fssd")
    export.set_defaults(run=_export)
    apply = commands.add_parser("apply", help="judge images by an exported detector")
    apply.add_argument("--bundle", type=Path, required=True, metavar="FILE", help="a .fssd file")
    apply.add_argument("--data", required=True, metavar="DATA", help=f"images: {DATA_HELP}")
    apply.add_argument("--model", metavar="REF", help="the network, if the bundle's own reference is not here")
    apply.add_argument("--limit", type=int, metavar="N", help="draw at most N images; default: all")
    apply.add_argument("--out", type=Path, metavar="FILE", help="write a row an image: .csv, .parquet or .npz")
    add_data_arguments(apply)
    apply.set_defaults(run=_apply)


def _export(arguments: argparse.Namespace) -> None:
    from fssd_core.bundle import SUFFIX, bundle_digest, make_bundle, measure, save_bundle

    check_out(arguments.out, (SUFFIX,))
    scored = score_study(arguments)
    comparison, weights = scored.comparison, scored.weights
    ind, ood = _sides(arguments, scored)
    threshold, chosen = _threshold(arguments, scored, ind.choosing, ood.choosing)
    measured = measure(ind.measuring, ood.measuring, threshold, name=comparison.ood_ref)
    bundle = make_bundle(
        scored.study,
        weights,
        epsilon=scored.study.epsilon,
        threshold=threshold,
        chosen=chosen,
        date=now(),
        metrics=[measured],
    )
    save_bundle(arguments.out, bundle)
    digest = bundle_digest(bundle)
    if bundle.depends_on_batch:
        _tell_batch(bundle.batch_size)
    report = {
        "out": str(arguments.out),
        "digest": digest,
        "threshold": bundle.threshold,
        "threshold_chosen": bundle.chosen,
        "layers": list(bundle.layers),
        "alpha": list(bundle.weights.alpha),
        "labels_used": bundle.weights.labels,
        "tpr": measured.tpr,
        "fpr": measured.fpr,
        "n_ind": measured.metrics.n_ind,
        "n_ood": measured.metrics.n_ood,
        "auroc": measured.metrics.auroc,
    }
    if arguments.json:
        print(json.dumps(report, indent=1))
        return
    on = f" on {bundle.chosen['on']}" if "on" in bundle.chosen else ""
    print(f"wrote {arguments.out} (digest {digest[:12]})")
    print(f"threshold {bundle.threshold:.6g}: {bundle.chosen['words']}{on}; alpha: labels used: {weights.labels}")
    print(
        f"on {measured.metrics.n_ind} other ind and {measured.metrics.n_ood} other ood images: "
        f"accepts {measured.tpr:.2%} of ind, {measured.fpr:.2%} of ood; AUROC {measured.metrics.auroc:.4f}"
    )


@dataclass(frozen=True)
class _Side:
    """Scores of ind or of ood: (n,) that the threshold is chosen on, (m,) others that its rates are measured on."""

    choosing: npt.NDArray[np.float64]
    measuring: npt.NDArray[np.float64]


def _sides(arguments: argparse.Namespace, scored: Scored) -> tuple[_Side, _Side]:
    """Ind and ood. A fitted alpha suits the images it was fitted on, so those tell of no rate: others are halved.

    Only a side that the rule looks at is halved; where alpha was fitted on nothing, the rows for fitting are free.
    """
    comparison, weights = scored.comparison, scored.weights
    looks_at = (arguments.tpr is not None, arguments.fpr is not None)
    pairs = ((comparison.fit_ind, comparison.test_ind), (comparison.fit_ood, comparison.test_ood))
    sides = []
    for looked_at, pair in zip(looks_at, pairs, strict=True):
        fit, test = (combine(scores, weights) for scores in pair)
        halved = looked_at and weights.rule not in ("uniform", "manual")
        sides.append(_Side(test[::2], test[1::2]) if halved else _Side(fit, test))
    return sides[0], sides[1]


def _threshold(
    arguments: argparse.Namespace, scored: Scored, ind: npt.NDArray[np.float64], ood: npt.NDArray[np.float64]
) -> tuple[float, dict[str, Any]]:
    """(threshold, how it was chosen) on these scores."""
    from fssd_core.bundle import steady_threshold
    from fssd_core.operating_point import Choice, choose_threshold

    if arguments.threshold is not None:
        return arguments.threshold, {"by": "hand", "value": arguments.threshold}
    choice = Choice("tpr", tpr=arguments.tpr) if arguments.fpr is None else Choice("fpr", fpr=arguments.fpr)
    every = [combine(table, scored.weights) for table in scored.tables.values()]
    threshold = steady_threshold(choose_threshold(ind, ood, choice), *every)
    on = f"{len(ind)} ind images of {scored.study.ind}"
    if choice.uses_ood:
        on = f"{len(ood)} ood images of {scored.comparison.ood_ref}"
    return threshold, {**choice.said(), "on": on}


def _apply(arguments: argparse.Namespace) -> None:
    from fssd_core.bundle import bundle_digest, load_detector

    started = time.perf_counter()
    if arguments.out is not None:
        check_out(arguments.out)
    if arguments.limit is not None and arguments.limit < 1:
        raise InputError(f"--limit {arguments.limit} was given; give at least 1, or leave it out for all images")
    check_reference("data", arguments.data)
    if arguments.model is not None:
        check_reference("model", arguments.model)
    detector = load_detector(arguments.bundle, arguments.model)
    bundle = detector.bundle
    images = _images(arguments, bundle.input_shape, bundle.seed)
    if bundle.depends_on_batch:
        _tell_batch(bundle.batch_size)
    distances = detector.layer_scores(images.tensor(), progress=progress_of(arguments))
    scores = detector.combine(distances)
    accepted = detector.accepts(scores)
    if arguments.out is not None:
        columns = {f"fssd_{layer}": distances.column(layer) for layer in distances.layers}
        write_table(arguments.out, {"row": images.rows, **columns, "score": scores, "accepted": accepted})
        print(f"fssd: wrote {arguments.out}", file=sys.stderr)
    report = {
        "bundle": str(arguments.bundle),
        "digest": bundle_digest(bundle),
        "model": bundle.reference if arguments.model is None else arguments.model,
        "data": arguments.data,
        "images": len(images),
        "accepted": int(accepted.sum()),
        "accepted_share": float(accepted.mean()),
        "threshold": bundle.threshold,
        "threshold_chosen": bundle.chosen,
        "depends_on_batch": bundle.depends_on_batch,
        "seconds": round(time.perf_counter() - started, 3),
    }
    if arguments.json:
        print(json.dumps(report, indent=1))
    else:
        print(
            f"{arguments.data}: {report['accepted']} of {len(images)} images accepted as in-distribution "
            f"({report['accepted_share']:.2%}) at threshold {bundle.threshold:.6g} ({bundle.chosen['words']})"
        )


def _images(arguments: argparse.Namespace, shape: tuple[int, int, int], seed: int) -> ImageSet:
    """The data as a study of the same seed draws and converts them, so that rows and scores agree with it."""
    if arguments.download:
        load_data(arguments.data, root=arguments.data_root, download=True)
    full = load_data(arguments.data, shape=shape, root=arguments.data_root)
    images = full.sample(arguments.limit, seed=seed).fitted(shape)
    tell_notes(images)
    return images


def _tell_batch(size: int) -> None:
    print(
        f"fssd: note: with the gradient rule 'standardised' an image's score depends on the {size} images scored with "
        "it; the same data in the same order give the same verdicts, one image alone does not. 'sign' has no such bond",
        file=sys.stderr,
    )
