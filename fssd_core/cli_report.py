"""`fssd report`: one HTML page on a tuned detector, measured on held-out images of one or several ood sets."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fssd_core.atomic import write_bytes
from fssd_core.cli_common import (
    add_study_arguments,
    check_out,
    check_reference,
    now,
    open_sets,
    progress_of,
    study_of,
)
from fssd_core.ensemble import combine, pseudo_ood
from fssd_core.errors import InputError
from fssd_core.operating_point import Choice
from fssd_core.report import Chosen
from fssd_core.store import Store
from fssd_core.study import Comparison, Study, compare, layer_scores, weights_by_rule
from fssd_core.study_pseudo import FIT, pseudo_scores, stored_pseudo_sweep
from fssd_core.types import LayerScores, Weights

SUBJECTS = ("alpha", "epsilon", "threshold")
GIVEN = "not known: it was given"


def add_report_command(commands: Any) -> None:
    """Adds the command to the parser's subcommands."""
    report = commands.add_parser(
        "report", help="write a one-page HTML report of a tuned detector", conflict_handler="resolve"
    )
    add_study_arguments(report)
    add = report.add_argument
    add("--ood", required=True, action="append", metavar="DATA", help="out-of-distribution images; give it once a set")
    add(
        "--alpha",
        default="uniform",
        metavar="RULE",
        help="uniform (default), standardised, pseudo-ood (fitted without ood labels), logistic (uses labels of the "
        "first --ood), or one number a layer: --alpha=-0.1,0.9",
    )
    rule = report.add_mutually_exclusive_group()
    rule.add_argument("--tpr", type=float, help="accept at least this share of ind (default: 0.95)")
    rule.add_argument("--fpr", type=float, help="accept at most this share of ood; uses ood labels")
    rule.add_argument("--threshold", type=float, help="accept where score >= THRESHOLD, as given")
    add("--prevalence", type=float, default=Choice.prevalence, help="expected share of ood among all images (0.05)")
    add("--images", type=float, default=Choice.images, help="images a day (10,000)")
    add("--chosen", metavar="WORDS", help="with --threshold: how it was chosen, in your words")
    add(
        "--labels",
        action="append",
        default=[],
        metavar="WHAT=WORDS",
        help=f"ood labels behind a number that was given by hand; WHAT is {', '.join(SUBJECTS)}",
    )
    add("--out", type=Path, required=True, metavar="FILE", help="the page: report.html")
    report.set_defaults(run=_report)


def _report(arguments: argparse.Namespace) -> None:
    from fssd_core.report import Side, make_report
    from fssd_core.report_html import report_html

    check_out(arguments.out, (".html",))
    labels = _labels(arguments.labels)
    for ref in arguments.ood:
        check_reference("ood", ref)
    study = study_of(arguments, tuple(arguments.ood))
    store, root, progress = Store(), arguments.data_root, progress_of(arguments)
    sets = open_sets(study, arguments)
    tables = {ref: layer_scores(study, ref, store=store, root=root, progress=progress)[study.epsilon] for ref in sets}
    ind = tables[study.ind]
    fitting = {ref: compare(study, ref, ind, tables[ref], fit=arguments.fit) for ref in study.ood}
    first = fitting[study.ood[0]]

    def pseudo() -> LayerScores:
        return pseudo_scores(study, fit=arguments.fit, store=store, root=root, progress=progress)[study.epsilon]

    weights = weights_by_rule(arguments.alpha, first, seed=study.seed, pseudo=pseudo)
    if weights.rule == "manual":
        weights = Weights(weights.alpha, weights.layers, weights.rule, labels.get("alpha", GIVEN))
    threshold, chosen, how = _threshold(arguments, study, fitting, weights, tables, labels)
    tested = {study.ind: first.split.test_ind} | {ref: c.split.test_ood for ref, c in fitting.items()}
    sides = [Side(ref, tables[ref].take(at), sets[ref].images[at], sets[ref].rows[at]) for ref, at in tested.items()]
    name = study.model if study.step is None else f"{study.model}@{study.step}"
    report = make_report(
        study,
        weights,
        epsilon=study.epsilon,
        threshold=threshold,
        chosen=chosen,
        ind=sides[0],
        oods=sides[1:],
        fitting=fitting,
        also=_pseudo_too(study, arguments, store, first),
        model_name=name,
        command=reproduce(study, alpha=arguments.alpha, how=how, fit=arguments.fit, labels=labels),
        date=now(),
        notes=[f"{ref}: {note}" for ref, images in sets.items() for note in images.notes],
    )
    write_bytes(arguments.out, report_html(report).encode())
    measured = {
        ref: {"auroc": m.metrics.auroc, "fpr95": m.metrics.fpr95, "fpr": m.fpr, "tpr": m.tpr}
        for ref, m in report.measured.items()
    }
    if arguments.json:
        facts = {"out": str(arguments.out), "threshold": threshold, "alpha": list(weights.alpha), "measured": measured}
        print(json.dumps(facts, indent=1))
        return
    print(f"wrote {arguments.out}; threshold {threshold:.6g}: {report.threshold_words}")
    for ref, numbers in measured.items():
        print(f"{ref}: AUROC {numbers['auroc']:.4f}, accepts {numbers['tpr']:.2%} of ind, {numbers['fpr']:.2%} of ood")


def _pseudo_too(
    study: Study, arguments: argparse.Namespace, store: Store, comparison: Comparison
) -> dict[str, Weights]:
    """The weights fitted on pseudo-ood for the matrix, where its scores are there already: nothing is computed."""
    found = stored_pseudo_sweep(study, [study.epsilon], fit=arguments.fit, store=store, root=arguments.data_root)
    return {"pseudo-ood": pseudo_ood(comparison.fit_ind, found[study.epsilon])} if found else {}


def _threshold(
    arguments: argparse.Namespace,
    study: Study,
    fitting: Mapping[str, Comparison],
    weights: Weights,
    tables: Mapping[str, LayerScores],
    labels: Mapping[str, str],
) -> tuple[float, Chosen, list[str]]:
    """(threshold, how it was chosen, the flags that say so); a rule looks at the rows for fitting only."""
    import numpy as np

    from fssd_core.bundle import steady_threshold
    from fssd_core.operating_point import choose_threshold, in_words

    expected = {"prevalence": arguments.prevalence, "images": arguments.images}
    epsilon_labels = labels.get("epsilon", GIVEN if study.epsilon else "none (nothing is perturbed)")
    how = [f"--{name}={value!r}" for name, value in expected.items() if value != getattr(Choice, name)]
    if arguments.threshold is not None:
        choice = Choice("hand", **expected)
        told = Chosen(choice, arguments.chosen, labels.get("threshold", GIVEN), epsilon_labels)
        said = [f"--chosen={arguments.chosen}"] if arguments.chosen else []
        return arguments.threshold, told, [f"--threshold={arguments.threshold!r}", *said, *how]
    if arguments.chosen:
        raise InputError("--chosen was given without --threshold; a rule says itself how it chose")
    if arguments.fpr is None:
        tpr = Choice.tpr if arguments.tpr is None else arguments.tpr
        choice, flag = Choice("tpr", tpr=tpr, **expected), f"--tpr={tpr!r}"
    else:
        choice, flag = Choice("fpr", fpr=arguments.fpr, **expected), f"--fpr={arguments.fpr!r}"
    ind = combine(next(iter(fitting.values())).fit_ind, weights)
    oods = [combine(c.fit_ood, weights) for c in fitting.values()]
    every = [combine(table, weights) for table in tables.values()]
    threshold = steady_threshold(choose_threshold(ind, np.concatenate(oods), choice), *every)
    seen = f"{sum(map(len, oods))} ood images of {', '.join(fitting)}" if choice.uses_ood else "none"
    on = f"{in_words(choice)}, chosen on {len(ind)} {study.ind} images kept apart from the test"
    return threshold, Chosen(choice, on, seen, epsilon_labels), [flag, *how]


def _labels(given: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in given:
        what, equals, words = text.partition("=")
        if not equals or what not in SUBJECTS or not words.strip():
            raise InputError(f"--labels {text!r} was given; it is WHAT=WORDS, WHAT one of {', '.join(SUBJECTS)}")
        found[what] = words
    return found


def reproduce(
    study: Study,
    *,
    alpha: str,
    how: Sequence[str],
    fit: int = FIT,
    labels: Mapping[str, str] | None = None,
    epsilon: float | None = None,
    model: str | None = None,
    called: Callable[[str], str] = str,
) -> str:
    """The command line, quoted for a shell, that writes the same report again.

    Args:
        study: what was measured.
        alpha: a rule, or one number a layer with a comma between.
        how: flags that choose the threshold.
        fit: images a side that alpha may be fitted on.
        labels: what to say of numbers that are given by hand.
        epsilon: of the detector; None for the study's.
        model: as the network is to be called; None for the study's reference.
        called: from a data reference to what it is to be called.
    """
    plain = Study()
    name = model or (study.model if study.step is None else f"{study.model}@{study.step}")
    parts = ["fssd", "report", f"--model={name}", f"--ind={called(study.ind)}"]
    parts += [f"--ood={called(ref)}" for ref in study.ood]
    parts += [f"--arch={study.arch}"] if study.arch else []
    parts += [f"--layers={','.join(study.layers)}"] if study.layers else []
    parts += [f"--limit={study.samples}"] if study.samples is not None else []
    for flag, value, usual in (
        ("epsilon", study.epsilon if epsilon is None else epsilon, 0.0),
        ("gradient", study.gradient, plain.gradient),
        ("noise-samples", study.noise_samples, plain.noise_samples),
        ("seed", study.seed, plain.seed),
        ("fit", fit, FIT),
    ):
        parts += [f"--{flag}={value}"] if value != usual else []
    parts += [f"--alpha={alpha}", *how]
    parts += [f"--labels={what}={words}" for what, words in (labels or {}).items()]
    return shlex.join([*parts, "--out=report.html"])
