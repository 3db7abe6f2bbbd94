"""One detector on one benchmark under one protocol: fitted, chosen, tested, timed; the outcome is kept in the Store."""

from __future__ import annotations

import time
import warnings
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fssd_core import metrics
from fssd_core.bench_tune import Choice, Values, choose, score_set
from fssd_core.benchmarks import Benchmark
from fssd_core.data.images import ImageSet
from fssd_core.detectors import DETECTORS, Detector, DetectorSpec
from fssd_core.detectors.sampling import member_names
from fssd_core.errors import FssdError, InputError, ModelError, lookup
from fssd_core.extractor import FeatureExtractor
from fssd_core.models import LoadedModel
from fssd_core.protocol import Deal
from fssd_core.runtime import Progress, generator, silent
from fssd_core.singularity import uniform_noise
from fssd_core.store import Entry, Store, key
from fssd_core.study import open_named

BENCH_VERSION = 2
TIMED = 256  # images
POINTS = 128  # of a kept curve
CI_SAMPLES = 1000
NUMBERS = ("auroc", "aupr_in", "aupr_out", "fpr80", "fpr95")


@dataclass(frozen=True, eq=False)
class Bench:
    """Everything a detector's run depends on but the detector.

    Attributes:
        row: the benchmark.
        deal: the images, in the network's shape, dealt into parts.
        model: the network.
        others: references of networks that some detectors need: 'mc-dropout', 'outlier-exposure', and
            'deep-ensemble' for the other members, comma-separated.
        ood: the ood set's reference, as asked for.
        noise_samples: S, noise images behind F*.
        seed: of noise, folds and bootstrap.
    """

    row: Benchmark
    deal: Deal
    model: LoadedModel
    others: Mapping[str, str]
    ood: str
    noise_samples: int = 100
    seed: int = 0
    _extractors: dict[str, FeatureExtractor] = field(default_factory=dict)
    _pixels: list[weakref.ref[Tensor]] = field(default_factory=list)

    def train_pixels(self) -> Tensor | None:
        """(N, C, H, W) the training images: one tensor while anybody holds it, by which the adapter knows it again."""
        pixels = self._pixels[-1]() if self._pixels else None
        if pixels is None and self.deal.train is not None:
            pixels = self.deal.train.tensor()
            self._pixels[:] = [weakref.ref(pixels)]
        return pixels

    def network(self, spec: DetectorSpec) -> tuple[LoadedModel, Values]:
        """(the network the detector runs on, values that are not to be chosen).

        Raises:
            InputError: the detector needs a network of its own and none is known.
        """
        needed = _OWN.get(spec.name)
        if needed is None:
            return self.model, {}
        reference = self.others.get(spec.name, "")
        if not reference:
            raise InputError(f"needs {needed[0]}; give {needed[1]}")
        if spec.name == "deep-ensemble":
            return self.model, {"members": reference}
        return open_named(reference), {}

    def extractor(self, model: LoadedModel) -> FeatureExtractor:
        """The network's extractor, opened once."""
        if model.weight_hash not in self._extractors:
            self._extractors[model.weight_hash] = model.extractor()
        return self._extractors[model.weight_hash]


_OWN = {
    "mc-dropout": ("a network with dropout layers", "--dropout-model"),
    "outlier-exposure": ("a network trained by outlier exposure", "--oe-model"),
    "deep-ensemble": ("members trained with other seeds", "--members"),
}


@dataclass(frozen=True, eq=False)
class Outcome:
    """A detector's numbers.

    Attributes:
        facts: JSON-able: the numbers of a row of `fssd bench --json`.
        roc: (T, 2) false and true positive rate, thinned for drawing.
        stored: whether it was measured before.
    """

    facts: dict[str, Any]
    roc: npt.NDArray[np.float32]
    stored: bool = False

    @property
    def pr(self) -> npt.NDArray[np.float32]:
        """(T, 2) recall and precision at the same thresholds, ind positive; precision 1 where nothing is accepted."""
        right, wrong = self.roc[:, 1] * self.facts["n_ind"], self.roc[:, 0] * self.facts["n_ood"]
        accepted = right + wrong
        precision = np.divide(right, accepted, out=np.ones_like(right), where=accepted > 0)
        return np.stack([self.roc[:, 1], precision], 1).astype(np.float32)


def outcome_key(bench: Bench, name: str) -> str:
    """The Store key of one detector's outcome.

    Raises:
        InputError: see `Bench.network`.
    """
    spec = lookup(DETECTORS, name, "detector")
    model, given = bench.network(spec)
    members = [open_named(name).weight_hash for name in member_names(str(given.get("members", "")))]
    facts = {
        "detector": [name, spec.version, spec.check({}), [[p.name, list(p.grid)] for p in spec.parameters]],
        "networks": [model.arch, model.weight_hash, list(model.taps), model.mean, model.std, *members],
        "noise": [bench.noise_samples, bench.seed, "uniform" if bench.row.noise is None else bench.row.noise.__name__],
        "package": _version(spec.package),
    }
    return key("bench", BENCH_VERSION, facts, bench.deal.fingerprint())


def stored_outcome(bench: Bench, name: str, *, store: Store) -> Outcome | None:
    """The outcome if the store has it; computes nothing."""
    return _outcome(store.get(outcome_key(bench, name)))


def _outcome(entry: Entry | None) -> Outcome | None:
    return None if entry is None else Outcome(dict(entry.meta["facts"]), entry.arrays["roc"], True)


def run_detector(bench: Bench, name: str, *, store: Store, progress: Progress = silent, anew: bool = False) -> Outcome:
    """The detector's outcome, from the store (unless `anew`) or computed and kept.

    Raises:
        InputError: the detector cannot run on this network or without these images; the message says why.
        CancelledError: progress stopped it; detectors that were finished are kept.
    """
    at = outcome_key(bench, name)
    if not anew and (found := _outcome(store.get(at))) is not None:
        return found
    spec = DETECTORS[name]
    model, given = bench.network(spec)
    extractor = bench.extractor(model)

    pixels = bench.train_pixels() if "ind" in spec.uses else None

    def fitted(values: Values) -> Detector:
        return _fit(bench, extractor, spec, values, pixels)

    started = time.perf_counter()
    deal = bench.deal
    choice = choose(spec, given, fitted, deal.fit, deal.tune, seed=bench.seed, progress=progress)
    scores = [
        choice.score(score_set(choice.detector, side, progress=progress)) for side in (deal.test.ind, deal.test.ood)
    ]
    facts = {
        **_facts(bench, spec, model, choice),
        **_measure(*scores, seed=bench.seed),
        "ms_per_image": _milliseconds(choice, deal.test.ind),
        "seconds": round(time.perf_counter() - started, 2),
    }
    roc = _curve(*scores)
    entry = store.put(at, {"roc": roc}, {"facts": facts})
    return Outcome(dict(entry.meta["facts"]), roc)


def run_all(
    bench: Bench, names: Sequence[str], *, store: Store, progress: Progress = silent, anew: bool = False
) -> Iterator[tuple[str, Outcome | FssdError]]:
    """(name, outcome, or why it cannot run) of one detector after the other; each outcome is kept at once."""
    held = bench.train_pixels() if len(names) > 1 else None  # from one detector to the next
    for name in names:

        def told(done: int, total: int, what: str, name: str = name) -> None:
            progress(done, total, f"{name}, {what}")

        try:
            yield name, run_detector(bench, name, store=store, progress=told, anew=anew)
        except (InputError, ModelError) as error:
            yield name, error
    del held


def bench_call(bench: Bench, names: Sequence[str], *, store: Store, progress: Progress = silent) -> dict[str, str]:
    """Computes what the store lacks, for the page; {name: why} of the detectors that cannot run."""
    missing = {}
    for number, name in enumerate(names):

        def told(done: int, total: int, what: str, number: int = number, name: str = name) -> None:
            progress(number, len(names), f"detectors ({name})")

        for _, outcome in run_all(bench, [name], store=store, progress=told):
            if isinstance(outcome, FssdError):
                missing[name] = str(outcome)
                warnings.warn(f"{name} cannot run here: {outcome}", UserWarning, stacklevel=2)
    progress(len(names), len(names), "detectors")
    return missing


def _fit(
    bench: Bench, extractor: FeatureExtractor, spec: DetectorSpec, values: Values, images: Tensor | None
) -> Detector:
    train = bench.deal.train
    needs = set(spec.uses)
    noise = None
    if "noise" in needs:
        draw = bench.row.noise or uniform_noise
        noise = draw(bench.model.input_shape, bench.noise_samples, generator=generator(bench.seed))
    labels = None
    if "labels" in needs and train is not None and train.labels is not None:
        labels = torch.from_numpy(np.array(train.labels))
    return spec.make(**values).fit(extractor, images, labels, noise=noise)


def _facts(bench: Bench, spec: DetectorSpec, model: LoadedModel, choice: Choice) -> dict[str, Any]:
    forwards, backwards = choice.detector.passes()
    labels = "none"
    if bench.deal.tune is not None:
        side = len(bench.deal.fit.ind), len(bench.deal.fit.ood or ())
        parts = [f"{side[0]} ind + {side[1]} ood to fit alpha"] if choice.weights is not None else []
        parts += [f"{len(bench.deal.tune.ind)} ind + {len(bench.deal.tune.ood)} ood to choose parameters"] * (
            choice.tried > 1
        )
        labels = "; ".join(parts) or "none"
    return {
        "detector": spec.name,
        "title": spec.title,
        "model": model.ref,
        "values": choice.values,
        "tried": choice.tried,
        "alpha": None if choice.weights is None else list(choice.weights.alpha),
        "layers": None if choice.weights is None else list(choice.weights.layers),
        "say": None if choice.say is None else list(choice.say),
        "labels_used": labels,
        "forwards": forwards,
        "backwards": backwards,
    }


def _measure(ind: npt.NDArray[np.float64], ood: npt.NDArray[np.float64], *, seed: int) -> dict[str, Any]:
    found = metrics.metrics(ind, ood)
    spread = metrics.intervals(ind, ood, names=NUMBERS, samples=CI_SAMPLES, generator=np.random.default_rng([seed, 95]))
    numbers: dict[str, Any] = {name: getattr(found, name) for name in NUMBERS}
    return {
        **numbers,
        **{f"{name}_ci": list(spread[name]) for name in NUMBERS},
        "n_ind": found.n_ind,
        "n_ood": found.n_ood,
    }


def _milliseconds(choice: Choice, images: ImageSet) -> float:
    """Wall time an image, the best of three runs over 256 images in one batch."""
    pixels = images.tensor(np.arange(min(TIMED, len(images))))
    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        choice.detector.scores(pixels)
        best = min(best, time.perf_counter() - started)
    return round(best / len(pixels) * 1000, 4)


def _curve(ind: npt.NDArray[np.float64], ood: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    curve = metrics.roc(ind, ood)
    rows = np.unique(np.linspace(0, len(curve.x) - 1, POINTS).round().astype(int))
    return np.stack([curve.x[rows], curve.y[rows]], 1).astype(np.float32)


@cache
def _version(package: str) -> str:
    try:
        return version(package) if package else ""
    except PackageNotFoundError:
        return "none"
