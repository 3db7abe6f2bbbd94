"""A Study says what to compute; the functions here compute it, or find it in the Store. The slow half ends here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fssd_core import ensemble
from fssd_core.data import ImageSet, load_data
from fssd_core.errors import DataError, InputError, ModelError, did_you_mean
from fssd_core.extractor import FeatureExtractor
from fssd_core.memory import KEPT, kept
from fssd_core.models import LoadedModel, load_model, weight_file
from fssd_core.precision import check_precision, in_precision
from fssd_core.runtime import Progress, generator, silent
from fssd_core.singularity import GRADIENTS, estimate_fss, fssd_sweep, uniform_noise
from fssd_core.store import Store, key
from fssd_core.types import LayerScores, Weights

DEMO_OOD = ("photo-patches", "fmnist-inverted", "mnist")
SCORES_VERSION = 1
RULES = ("uniform", "standardised", "pseudo-ood", "logistic")
MAX_NOISE = 10**12  # beyond it not even the numbers of bytes can be named; what fits is up to the machine
BATCH = 256  # fixed, so that a stored result does not depend on the machine


@dataclass(frozen=True)
class Study:
    """What to compute: hashable, and JSON-able by `to_json`.

    Attributes:
        model: a registered checkpoint ('demo/lenet') or a weight file.
        arch: architecture of a weight file that does not say it itself.
        step: checkpoint of a registered model; None for the last.
        ind: in-distribution data reference.
        ood: out-of-distribution data references.
        layers: layers to read; None for the architecture's own choice.
        samples: images drawn from each set; None for all.
        points: ind points of a projection, each ood set gives half as many.
        epsilon: perturbation in pixels, signed.
        gradient: 'sign' (the paper) or 'standardised' (the authors' code).
        noise_samples: S, noise images behind F*.
        seed: of the noise, the draw of samples and the splits.
        precision: 'float32' (exact), or 'bfloat16' (faster where the processor has it, distances off by about 1 %).
        shared: the fast approximation of a perturbation: one for all layers (`singularity.fssd`); never the default.
    """

    model: str = "demo/lenet"
    arch: str | None = None
    step: int | None = None
    ind: str = "fmnist:test"
    ood: tuple[str, ...] = DEMO_OOD
    layers: tuple[str, ...] | None = None
    samples: int | None = 2000
    points: int = 600
    epsilon: float = 0.0
    gradient: str = "sign"
    noise_samples: int = 100
    seed: int = 0
    precision: str = "float32"
    shared: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "ood", tuple(self.ood))
        object.__setattr__(self, "layers", None if self.layers is None else tuple(self.layers))
        if self.samples is not None and self.samples < 1:
            raise InputError(f"{self.samples} samples were asked for; give at least 1, or leave it out for all")
        if self.points < 4:
            raise InputError(f"{self.points} points were asked for; a projection needs at least 4")
        if not 0 <= self.seed < 2**63:
            raise InputError(f"seed {self.seed} was given; a seed is 0 or more, below 2**63")
        if not 1 <= self.noise_samples <= MAX_NOISE:
            raise InputError(
                f"{self.noise_samples} noise images were asked for; give at least 1, at most {MAX_NOISE:,} "
                "(100 is usual)"
            )
        if not abs(self.epsilon) <= 1:
            raise InputError(f"epsilon {self.epsilon} was given; it is in pixels, -1 to 1")
        if self.gradient not in GRADIENTS:
            raise InputError(f"no gradient rule {self.gradient!r}{did_you_mean(self.gradient, GRADIENTS)}")
        check_precision(self.precision)
        if self.ind in self.ood:
            raise InputError(f"{self.ind!r} is both ind and ood; choose another ood set")
        if len(set(self.ood)) != len(self.ood):
            raise InputError(f"ood sets {', '.join(self.ood)} name a set twice; name each once")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values that `from_json` reads back."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Study:
        """The study of `to_json`'s values; unknown names and values of another kind are an InputError."""
        if not isinstance(values, Mapping):
            raise InputError(f"a study is a {type(values).__name__}, not an object of names and values")
        known = {f.name for f in dataclasses.fields(Study)}
        for name in values:
            if name not in known:
                raise InputError(f"a study has no {name!r}{did_you_mean(name, known)}")
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        for name, value in plain.items():
            if not _is_kind(name, value):
                given = f"{type(value).__name__} {value!r:.80}"
                raise InputError(f"a study's {name} is {_KINDS[name][0]}; {given} was given")
        return Study(**plain)


_TEXT, _TEXTS, _COUNT = ("text", (str,)), ("a list of texts", (tuple,)), ("a whole number", (int,))
_KINDS: dict[str, tuple[str, tuple[type, ...]]] = {
    **dict.fromkeys(("model", "ind", "gradient", "precision"), _TEXT),
    **dict.fromkeys(("points", "noise_samples", "seed"), _COUNT),
    **dict.fromkeys(("step", "samples"), ("a whole number or nothing", (int, type(None)))),
    "arch": ("text or nothing", (str, type(None))),
    "ood": _TEXTS,
    "layers": ("a list of texts or nothing", (tuple, type(None))),
    "epsilon": ("a number", (int, float)),
    "shared": ("true or false", (bool,)),
}


def _is_kind(name: str, value: object) -> bool:
    kinds = _KINDS[name][1]
    if isinstance(value, bool) and bool not in kinds:
        return False
    return isinstance(value, kinds) and (not isinstance(value, tuple) or all(isinstance(v, str) for v in value))


def open_model(study: Study) -> LoadedModel:
    """The study's network; weights are read, nothing is computed. Shared between calls, so use it from one thread."""
    return _opened(study.model, study.arch, study.step, stamp(study.model, study.step))


def open_named(ref: str) -> LoadedModel:
    """A network by its reference, shared as `open_model`'s are; read again when its file has changed."""
    return _opened(ref, None, None, stamp(ref, None))


@kept
def _opened(ref: str, arch: str | None, step: int | None, stamp: tuple[int, int] | None) -> LoadedModel:
    return load_model(ref, arch=arch, step=step)


def stamp(ref: str, step: int | None) -> tuple[int, int] | None:
    """(modification time, size) of the weight file, so that a changed one, or a run's new last one, is read again."""
    try:
        status = weight_file(ref, step).stat()
    except (OSError, ValueError, ModelError):  # ValueError: a NUL in the path
        return None
    return status.st_mtime_ns, status.st_size


def open_data(study: Study, ref: str, *, root: Path | None = None, count: int | None = None) -> ImageSet:
    """`count` (default: study.samples) images of a set, drawn by the study's seed, in the shape the model takes."""
    shape = open_model(study).input_shape
    full = load_data(ref, shape=shape, root=root)
    if len(full) == 0:
        raise DataError(f"{ref!r} has 0 images; choose another set")
    drawn = study.samples if count is None else count
    # what the set is, not the set itself: a key must not keep a large one alive
    facts = (full.name, full.fingerprint(), full.rows.tobytes(), full.classes, full.notes)
    return KEPT.get(
        ("sample", *facts, drawn, study.seed, shape), lambda: full.sample(drawn, seed=study.seed).fitted(shape)
    )


def study_layers(study: Study) -> tuple[str, ...]:
    """The layers that the study reads, in order."""
    return study.layers or open_model(study).taps


@kept
def _extractor(model: LoadedModel, layers: tuple[str, ...]) -> FeatureExtractor:
    return model.extractor(layers)


@kept
def _reduced(extractor: FeatureExtractor, precision: str) -> FeatureExtractor:
    return in_precision(extractor, precision)


@kept
def _fss(
    extractor: FeatureExtractor, shape: tuple[int, int, int], count: int, seed: int
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    noise = uniform_noise(shape, count, generator=generator(seed))
    return noise, estimate_fss(extractor, noise, batch_size=BATCH)


def open_singularity(
    study: Study, layers: tuple[str, ...] | None = None
) -> tuple[FeatureExtractor, torch.Tensor, dict[str, torch.Tensor]]:
    """(extractor, noise (S, C, H, W), {layer: F*_k (D_k,)}) of the study, or of some of its layers; kept in memory."""
    model = open_model(study)
    extractor = _extractor(model, layers or study_layers(study))
    return extractor, *_fss(extractor, model.input_shape, study.noise_samples, study.seed)


def scores_key(study: Study, images: ImageSet, epsilon: float) -> str:
    """Store key of one set's layer scores at one epsilon."""
    return key("layer_scores", SCORES_VERSION, *scores_parts(study, epsilon), images.fingerprint())


def scores_parts(study: Study, epsilon: float) -> tuple[Any, ...]:
    """What any layer scores of the study depend on, besides the images."""
    model = open_model(study)
    facts: dict[str, Any] = {
        "layers": list(study_layers(study)),
        "epsilon": float(epsilon),
        "gradient": study.gradient if epsilon else "none",
        "noise_samples": study.noise_samples,
        "seed": study.seed,
        "normalisation": [model.mean, model.std],
    }
    if study.precision != "float32":  # named only where it was chosen, so that exact results keep their keys
        facts["precision"] = study.precision
    if study.shared and epsilon:
        facts["shared"] = True
    return facts, model.arch, model.weight_hash


def layer_scores(
    study: Study,
    data_ref: str,
    *,
    epsilons: Sequence[float] | None = None,
    store: Store,
    root: Path | None = None,
    progress: Progress = silent,
) -> dict[float, LayerScores]:
    """{epsilon: (N, K) distances} of one set; what the store lacks is computed, sharing gradients, and kept.

    Args:
        study: what to compute.
        data_ref: the set, ind or ood.
        epsilons: several epsilons at once; None for study.epsilon alone.
        store: where results are looked for and kept.
        root: folder below which downloaded sets lie.
        progress: told after each batch; may raise CancelledError.
    """
    wanted = [study.epsilon] if epsilons is None else [float(e) for e in epsilons]
    images = open_data(study, data_ref, root=root)
    keys = {epsilon: scores_key(study, images, epsilon) for epsilon in wanted}
    return kept_sweep(study, keys, lambda: images, name=data_ref, store=store, progress=progress)


def kept_sweep(
    study: Study,
    keys: Mapping[float, str],
    load: Callable[[], ImageSet],
    *,
    name: str,
    store: Store,
    progress: Progress = silent,
) -> dict[float, LayerScores]:
    """{epsilon: (N, K) distances} by their keys; what the store lacks is computed together and kept.

    Args:
        study: what to compute.
        keys: {epsilon: store key}.
        load: gives the images; called only where something is missing.
        name: of the images, for progress and for the entry's meta.
        store: where results are looked for and kept.
        progress: told after each batch; may raise CancelledError.
    """
    layers = study_layers(study)
    found = {epsilon: entry for epsilon in keys if (entry := store.get(keys[epsilon])) is not None}
    out = {epsilon: LayerScores(entry.arrays["values"], layers) for epsilon, entry in found.items()}
    if missing := [epsilon for epsilon in keys if epsilon not in found]:
        images = load()
        extractor, _, fss = open_singularity(study)

        def told(done: int, total: int, what: str) -> None:
            progress(done, total, f"{what} of {name}")

        new = fssd_sweep(
            _reduced(extractor, study.precision),
            images.tensor(),
            fss,
            epsilons=missing,
            gradient=study.gradient,
            shared=study.shared,
            batch_size=BATCH,
            progress=told,
        )
        for epsilon, scores in new.items():
            meta = {"study": study.to_json(), "data": name, "images": len(images), "epsilon": epsilon}
            store.put(keys[epsilon], {"values": scores.values}, meta)
        out.update(new)
    return {epsilon: out[epsilon] for epsilon in keys}


def stored_scores(study: Study, data_ref: str, *, store: Store, root: Path | None = None) -> LayerScores | None:
    """The scores at study.epsilon if the store has them; computes nothing."""
    entry = store.get(scores_key(study, open_data(study, data_ref, root=root), study.epsilon))
    return None if entry is None else LayerScores(entry.arrays["values"], study_layers(study))


def stored_sweep(
    study: Study, data_ref: str, epsilons: Sequence[float], *, store: Store, root: Path | None = None
) -> dict[float, LayerScores]:
    """{epsilon: scores} of those epsilons that the store has; computes nothing."""
    images = open_data(study, data_ref, root=root)
    layers = study_layers(study)
    entries = {float(e): store.get(scores_key(study, images, float(e))) for e in epsilons}
    return {e: LayerScores(entry.arrays["values"], layers) for e, entry in entries.items() if entry is not None}


@dataclass(frozen=True, eq=False)
class Comparison:
    """Scores of ind and of one ood set, split into disjoint rows for fitting alpha and for testing.

    Attributes:
        ood_ref: the ood set's reference.
        fit_ind: (n, K) ind scores that alpha may be fitted on.
        fit_ood: (m, K) ood scores that alpha may be fitted on.
        test_ind: (N, K) ind scores for every number shown.
        test_ood: (M, K) ood scores for every number shown.
        split: the rows themselves.
    """

    ood_ref: str
    fit_ind: LayerScores
    fit_ood: LayerScores
    test_ind: LayerScores
    test_ood: LayerScores
    split: ensemble.Split


def compare(study: Study, ood_ref: str, ind: LayerScores, ood: LayerScores, *, fit: int = 500) -> Comparison:
    """Splits the two sets' scores by the study's seed; no row is both fitted on and tested on."""
    split = ensemble.split(len(ind), len(ood), fit=fit, seed=study.seed)
    return Comparison(
        ood_ref=ood_ref,
        fit_ind=ind.take(split.fit_ind),
        fit_ood=ood.take(split.fit_ood),
        test_ind=ind.take(split.test_ind),
        test_ood=ood.take(split.test_ood),
        split=split,
    )


def weights_by_rule(
    rule: str, comparison: Comparison, *, seed: int = 0, pseudo: Callable[[], LayerScores] | None = None
) -> Weights:
    """alpha by a rule of `RULES`, or by hand as comma-separated numbers ('0.1,-0.9').

    Args:
        rule: 'uniform', 'standardised', 'pseudo-ood', 'logistic', or the numbers.
        comparison: rows to fit on.
        seed: of the folds in the logistic fit.
        pseudo: gives the scores of the pseudo-ood (`study_pseudo.pseudo_scores`); called for 'pseudo-ood' alone.

    Raises:
        InputError: neither a known rule nor one finite number a layer.
    """
    layers = comparison.test_ind.layers
    if rule == "uniform":
        return ensemble.uniform(layers)
    if rule == "standardised":
        return ensemble.standardised(comparison.fit_ind)
    if rule == "pseudo-ood" and pseudo is not None:
        return ensemble.pseudo_ood(comparison.fit_ind, pseudo())
    if rule == "logistic":
        return ensemble.logistic(comparison.fit_ind, comparison.fit_ood, seed=seed, labels=comparison.ood_ref)
    return weights_by_hand(rule, layers)


def weights_by_hand(rule: str, layers: tuple[str, ...]) -> Weights:
    """alpha as comma-separated numbers, one a layer.

    Raises:
        InputError: these are no numbers (the message names `RULES`), or not one finite number a layer.
    """
    try:
        alpha = [float(a) for a in rule.split(",")]
    except ValueError:
        raise InputError(
            f"alpha {rule!r} was given{did_you_mean(rule, RULES)}; give one of {', '.join(RULES)}, "
            f"or {len(layers)} comma-separated numbers, one for each of {', '.join(layers)}"
        ) from None
    return ensemble.manual(layers, alpha)
