"""What the commands share: the arguments of a study, its scores, progress on a terminal, and tables written whole."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fssd_core.atomic import write_bytes
from fssd_core.data import ImageSet, load_data
from fssd_core.errors import InputError
from fssd_core.leaks import find_leaks, whole_sets
from fssd_core.runtime import Progress
from fssd_core.store import Store
from fssd_core.study import Comparison, Study, compare, layer_scores, open_data, weights_by_rule
from fssd_core.study_pseudo import pseudo_scores
from fssd_core.tables import KINDS, Column, table_bytes
from fssd_core.types import LayerScores, Weights

MAX_SEED = 2**63 - 1
EVERY = 10.0  # seconds between lines of progress
DATA_HELP = "registered name (fmnist:test, mnist, ...), a folder of images, .npz, .npy, .zip, .parquet, .csv or FASTA"


def add_study_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that say what is scored: model, data, layers, perturbation, noise, alpha."""
    add = parser.add_argument
    add("--model", required=True, metavar="REF", help="registered checkpoint (demo/lenet) or weight file")
    add("--arch", help="architecture of a weight file that does not say it itself")
    add("--ind", required=True, metavar="DATA", help=f"in-distribution images: {DATA_HELP}")
    add("--ood", required=True, metavar="DATA", help="out-of-distribution images: the same choices")
    add("--layers", metavar="A,B", help="layers to read; default: the architecture's own choice")
    add("--epsilon", type=float, default=0.0, help="perturbation in pixels, signed (default 0)")
    add("--gradient", default="sign", help="sign (the paper) or standardised (the authors' code)")
    add("--precision", default="float32", help="float32 (exact, default) or bfloat16 (faster where supported)")
    add("--shared-perturbation", action="store_true", help="fast approximation: one perturbation for all layers")
    add("--noise-samples", type=int, default=100, metavar="S", help="noise images behind F* (100)")
    add(
        "--alpha",
        default="uniform",
        help="uniform (default), standardised, pseudo-ood (fitted without ood labels), logistic (uses ood labels), "
        "or one number a layer: --alpha=-0.1,0.9",
    )
    add("--fit", type=int, default=500, help="ind and ood images each that alpha may be fitted on (500)")
    add("--limit", type=int, metavar="N", help="draw at most N images of each set; default: all")
    add("--seed", type=int, default=0)
    add_data_arguments(parser)


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Where data sets lie, and how the outcome is printed."""
    parser.add_argument("--data-root", type=Path, help="folder of downloaded data sets")
    parser.add_argument("--download", action="store_true", help="fetch a public data set that is not on disk yet")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


@dataclass(frozen=True, eq=False)
class Scored:
    """What `score_study` computed.

    Attributes:
        study: as the flags say.
        sets: images by reference, ind first.
        tables: (N, K) distances by reference.
        comparison: the split into rows for fitting and for testing.
        weights: alpha.
        leaks: equal images on both sides, or fitted and tested on, in words.
    """

    study: Study
    sets: dict[str, ImageSet]
    tables: dict[str, LayerScores]
    comparison: Comparison
    weights: Weights
    leaks: tuple[str, ...] = ()


def score_study(arguments: argparse.Namespace) -> Scored:
    """Scores both sets of `add_study_arguments` and finds alpha; notes on the data go to stderr."""
    check_reference("ood", arguments.ood)
    study = study_of(arguments, (arguments.ood,))
    store, root = Store(), arguments.data_root
    sets = open_sets(study, arguments)
    progress = progress_of(arguments)
    tables = {ref: layer_scores(study, ref, store=store, root=root, progress=progress)[study.epsilon] for ref in sets}
    comparison = compare(study, arguments.ood, tables[study.ind], tables[arguments.ood], fit=arguments.fit)
    weights = weights_by_rule(
        arguments.alpha,
        comparison,
        seed=study.seed,
        pseudo=lambda: pseudo_scores(study, fit=arguments.fit, store=store, root=root, progress=progress)[
            study.epsilon
        ],
    )
    found = find_leaks(study, sets, whole=whole_sets(study, root=root), fit=arguments.fit)
    leaks = tuple(leak.words for leak in found)
    for words in leaks:
        print(f"fssd: leak: {words}", file=sys.stderr)
    return Scored(study, sets, tables, comparison, weights, leaks)


def check_seed(seed: int) -> None:
    """Refuses what is no seed.

    Raises:
        InputError: it is negative or too large.
    """
    if not 0 <= seed <= MAX_SEED:
        raise InputError(f"--seed {seed} was given; it is 0 to {MAX_SEED}")


def study_of(arguments: argparse.Namespace, ood: tuple[str, ...]) -> Study:
    """The study that the flags of `add_study_arguments` describe.

    Raises:
        InputError: an empty reference, a seed that is none, or a study that cannot be.
    """
    for flag in ("model", "ind"):
        check_reference(flag, getattr(arguments, flag))
    check_seed(arguments.seed)
    return Study(
        model=arguments.model,
        arch=arguments.arch,
        ind=arguments.ind,
        ood=ood,
        layers=tuple(arguments.layers.split(",")) if arguments.layers else None,
        samples=arguments.limit,
        epsilon=arguments.epsilon,
        gradient=arguments.gradient,
        noise_samples=arguments.noise_samples,
        seed=arguments.seed,
        precision=arguments.precision,
        shared=arguments.shared_perturbation,
    )


def open_sets(study: Study, arguments: argparse.Namespace) -> dict[str, ImageSet]:
    """Images by reference, ind first, downloaded before where that was asked for; notes on them go to stderr."""
    refs = (study.ind, *study.ood)
    if arguments.download:
        for ref in refs:
            load_data(ref, root=arguments.data_root, download=True)
    sets = {ref: open_data(study, ref, root=arguments.data_root) for ref in refs}
    for images in sets.values():
        tell_notes(images)
    return sets


def now() -> str:
    """The time in UTC, to the second; $SOURCE_DATE_EPOCH (reproducible-builds.org) if set."""
    fixed = os.environ.get("SOURCE_DATE_EPOCH", "")
    moment = datetime.fromtimestamp(int(fixed), UTC) if fixed.isdigit() else datetime.now(UTC)
    return moment.isoformat(timespec="seconds")


def check_reference(flag: str, value: str) -> None:
    """Refuses an empty reference, which as a path would be the folder one stands in.

    Raises:
        InputError: nothing was given.
    """
    if not value.strip():
        raise InputError(f"--{flag} is empty; give a name (`fssd list` shows them) or a path")


def tell_notes(images: ImageSet) -> None:
    """Says on stderr what must be known of the images (converted, files left out)."""
    for note in images.notes:
        print(f"fssd: note: {note}", file=sys.stderr)


def progress_of(arguments: argparse.Namespace) -> Progress:
    """A bar on a terminal; for pipes and JSON a line on stderr every ten seconds, so none of a short command."""
    return _bar if sys.stderr.isatty() and not arguments.json else Lines(EVERY)


def check_out(path: Path, kinds: Sequence[str] = KINDS) -> None:
    """Refuses, before anything is computed, a file that could not be written.

    Raises:
        InputError: another ending, or no such folder.
    """
    if path.suffix not in kinds:
        raise InputError(f"--out {path} was given; its ending must be one of {', '.join(kinds)}")
    if not path.parent.is_dir():
        raise InputError(f"--out {path}: there is no folder {path.parent}")
    if path.is_dir():
        raise InputError(f"--out {path} is a folder; give a file")


def write_table(path: Path, columns: Mapping[str, Column]) -> None:
    """Writes equally long columns by the file's ending, whole or not at all; numbers keep every digit.

    Raises:
        InputError: .parquet without pyarrow.
        OSError: the file cannot be written; what was there before is kept.
    """
    write_bytes(path, table_bytes(path.suffix, columns))


class Lines:
    """A Progress that prints 'fssd: what: done of total' on stderr, at most once in `every` seconds."""

    def __init__(self, every: float) -> None:
        self.every = every
        self.told = time.monotonic()

    def __call__(self, done: int, total: int, what: str) -> None:
        """Prints the line if it is time."""
        now = time.monotonic()
        if now - self.told >= self.every and done < total:
            self.told = now
            print(f"fssd: {what}: {done:,} of {total:,}", file=sys.stderr, flush=True)


def _bar(done: int, total: int, what: str) -> None:
    end = "\n" if done >= total else ""
    # the rest of a longer line before is wiped
    print(f"\r{what}: {done} of {total}\x1b[K", end=end, file=sys.stderr, flush=True)
