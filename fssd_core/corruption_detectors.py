"""Which detectors a corruption study runs, by a short text each, and the ind images they are fitted on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fssd_core.data import DATA, ImageSet, load_data
from fssd_core.detectors import DETECTORS, Detector, DetectorSpec
from fssd_core.detectors.sampling import member_names
from fssd_core.errors import InputError, lookup
from fssd_core.extractor import FeatureExtractor
from fssd_core.runtime import Progress
from fssd_core.study import BATCH, Study, open_model, open_named, open_singularity

DEFAULTS = ("fssd", "msp", "odin", "mahalanobis", "energy")
FIT_IMAGES = 10_000
GIVEN = ("noise", "ind", "labels")  # what a fit can be given here
FSSD = "fssd"


@dataclass(frozen=True)
class DetectorRun:
    """A detector of the table with values of its parameters.

    Attributes:
        name: key in DETECTORS.
        given: (parameter, value) pairs that differ from the defaults, by name.
    """

    name: str
    given: tuple[tuple[str, float | int | str], ...] = ()

    @property
    def label(self) -> str:
        """The text it is read from: 'odin:temperature=10'."""
        return ":".join(
            [
                self.name,
                *(f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in self.given),
            ]
        )

    @property
    def spec(self) -> DetectorSpec:
        """The table's entry."""
        return lookup(DETECTORS, self.name, "detector")

    def make(self) -> Detector:
        """An unfitted detector."""
        return self.spec.make(**dict(self.given))


def default_detectors() -> tuple[str, ...]:
    """The paper's baselines and energy, as far as the table has them."""
    return tuple(name for name in DEFAULTS if name in DETECTORS)


def parse_detectors(texts: Iterable[str], study: Study) -> tuple[DetectorRun, ...]:
    """'odin:temperature=10:epsilon=0' by the declared parameters; FSSD takes the study's epsilon and gradient rule.

    Raises:
        InputError: an unknown detector or parameter, a value that is not allowed, a detector named twice, or none.
    """
    runs = []
    for text in texts:
        name, *pairs = text.split(":")
        spec = lookup(DETECTORS, name, "detector")
        values: dict[str, Any] = {}
        for pair in pairs:
            parameter, equals, value = pair.partition("=")
            if not equals:
                raise InputError(f"detector {text!r}: {pair!r} is no parameter; write {name}:parameter=value")
            known = {p.name: p for p in spec.parameters}
            values[parameter] = lookup(known, parameter, f"parameter of detector {name!r},").parse(value)
        if name == FSSD:
            values = {"epsilon": study.epsilon, "gradient": study.gradient, **values}
            if not values["epsilon"]:
                del values["gradient"]  # nothing is perturbed, so its rule does not matter
        defaults = {p.name: p.default for p in spec.parameters}
        given = tuple(sorted((k, v) for k, v in values.items() if v != defaults[k]))
        runs.append(DetectorRun(name, given))
    if not runs:
        raise InputError(f"no detector was given; give some of {', '.join(DETECTORS)}")
    if len(set(runs)) < len(runs):
        raise InputError(f"detectors {', '.join(r.label for r in runs)} name one twice; name each once")
    return tuple(runs)


def fit_images(study: Study, tested: ImageSet, *, ref: str | None, root: Path | None) -> ImageSet:
    """ind images that detectors are fitted on, none of them among the tested.

    Args:
        study: model, ind and seed.
        tested: the drawn ind images.
        ref: a set of its own for fitting; None for ind's training set ('fmnist:train' beside 'fmnist:test'), else the
            images of ind that are not tested.
        root: folder of downloaded sets.

    Raises:
        InputError: no image is left to fit on.
    """
    shape = open_model(study).input_shape
    other = ref or _training_set(study.ind)
    full = load_data(other or study.ind, shape=shape, root=root)
    if other is None:
        left = np.flatnonzero(~np.isin(full.rows, tested.rows))
        if len(left) == 0:
            raise InputError(
                f"all {len(full):,} images of {study.ind!r} are tested, so none is left to fit detectors on; "
                "test fewer (--limit), or name a set for it (--fit-data)"
            )
        full = full.take(left)
    return full.sample(FIT_IMAGES, seed=study.seed).fitted(shape)


def _training_set(ind: str) -> str | None:
    name, colon, part = ind.partition(":")
    sibling = f"{name}:train"
    usable = colon and part != "train" and sibling in DATA and DATA[sibling].kind != "download"
    return sibling if usable else None


def fit_facts(run: DetectorRun, study: Study, fit: ImageSet | None) -> dict[str, Any]:
    """Everything a fitted detector depends on beside the network, as JSON, for store keys.

    Raises:
        InputError: it is fitted on something that a corruption study does not have.
    """
    uses = run.spec.uses
    if unknown := [need for need in uses if need not in GIVEN]:
        raise InputError(f"detector {run.name!r} is fitted on {', '.join(unknown)}, which a corruption study has not")
    values = run.make().values
    facts: dict[str, Any] = {"detector": run.name, "version": run.spec.version, "values": values}
    if members := member_names(str(values.get("members", ""))):
        facts["members"] = [open_named(name).weight_hash for name in members]
    if "noise" in uses:
        facts |= {"noise_samples": study.noise_samples, "seed": study.seed}
    if fit is not None and {"ind", "labels"} & set(uses):
        facts["fitted_on"] = fit.fingerprint()
    return facts


def needs_images(run: DetectorRun) -> bool:
    """Whether ind images are needed to fit it."""
    return bool({"ind", "labels"} & set(run.spec.uses))


def fitted(run: DetectorRun, study: Study, fit: ImageSet | None, *, progress: Progress) -> Detector:
    """The detector, fitted on what it uses.

    Raises:
        InputError: labels are needed and there are none, or what the detector itself raises.
    """
    extractor, noise, _ = open_singularity(study)
    given: dict[str, Any] = {"noise": noise} if "noise" in run.spec.uses else {}
    if fit is not None and needs_images(run):
        if "labels" in run.spec.uses and fit.labels is None:
            raise InputError(
                f"detector {run.name!r} is fitted on labels, and {fit.name!r} has none; leave it out, or name a set "
                "with labels (--fit-data)"
            )
        given["ind"] = fit.tensor()
        if fit.labels is not None and "labels" in run.spec.uses:
            given["labels"] = torch.from_numpy(np.array(fit.labels))

    def told(done: int, total: int, what: str) -> None:
        progress(done, total, f"{what} to fit {run.label}")

    return run.make().fit(extractor, **given, batch_size=BATCH, progress=told)


def extractor_of(study: Study) -> FeatureExtractor:
    """The study's network and layers."""
    return open_singularity(study)[0]
