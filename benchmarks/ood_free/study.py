"""AUROC of every candidate and every detector of the table on one network; kept as JSON so that a run can go on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch

from benchmarks.ood_free import candidates as tried
from benchmarks.ood_free.columns import columns
from benchmarks.ood_free.features import Array, Features, Rows, Singularity, read, singularity
from benchmarks.ood_free.sets import KINDS, PSEUDO, Pixels
from fssd_core import ensemble
from fssd_core.atomic import write_bytes
from fssd_core.data import ImageSet
from fssd_core.detectors import DETECTORS, Detector
from fssd_core.detectors.ood_free import HELD_BACK
from fssd_core.errors import FssdError
from fssd_core.extractor import FeatureExtractor
from fssd_core.metrics import auroc
from fssd_core.models import LoadedModel
from fssd_core.pseudo_ood import make_pseudo_ood
from fssd_core.runtime import generator
from fssd_core.singularity import fssd, uniform_noise
from fssd_core.types import LayerScores

Table = dict[str, dict[str, float]]  # {score: {ood set: AUROC}}
PRESET, PRESET_IMAGES = "cockpit preset pseudo-ood", 500
OTHER_NETWORKS = ("deep-ensemble", "mc-dropout", "outlier-exposure")  # they need networks trained for them


def kept(path: Path, make: Callable[[], dict]) -> dict:
    """The JSON of that path, made and written if it is not there."""
    if not path.exists():
        write_bytes(path, json.dumps(make(), indent=1).encode())
    return json.loads(path.read_text())


def parts(count: int) -> tuple[Rows, Rows]:
    """Rows of the fitted images to learn from and to standardise on, dealt as the shipped detector deals them."""
    order = torch.randperm(count, generator=generator(0)).numpy()
    held = round(HELD_BACK * count)
    return order[held:], order[:held]


def candidate_table(
    model: LoadedModel, fit: Pixels, labels: Rows, ind: Pixels, sets: Mapping[str, Pixels], *, own_pseudo: bool
) -> Table:
    """AUROC of every candidate on every set.

    Args:
        model: the network.
        fit: images it was trained on.
        labels: their classes.
        ind: ind images it has not seen.
        sets: ood images by name.
        own_pseudo: whether the sets are themselves the kinds of pseudo-ood; each is then judged by regressions fitted
            without it.
    """
    extractor = model.extractor(device="cpu")
    star = singularity(extractor, model.input_shape)
    learn, hold = parts(len(fit))
    seen = read(extractor, fit, star)
    held = seen.rows(hold)
    every = columns(seen.rows(learn), labels[learn], star, extractor.layers)
    used = {name for candidate in tried.CANDIDATES for name in tried.chosen_columns(candidate, every)}
    table = {name: column for name, column in every.items() if name in used}
    held_values = {name: column(held) for name, column in table.items()}
    scores: dict[str, Callable[[Features, Mapping[str, Array]], Array]] = {
        name: (lambda f, v, score=score: score(f)) for name, score in tried.plain_sums(held).items()
    }
    for candidate in tried.CANDIDATES:
        names = tried.chosen_columns(candidate, table)
        rule = candidate.rule(tried.held_table(names, held_values, held))
        scores[candidate.name] = lambda f, v, rule=rule, names=names: rule(
            np.stack([v[n] for n in names], 1), f.predicted
        )
    known = read(extractor, ind, star)
    known_values = {name: column(known) for name, column in table.items()}
    ind_scores = {name: score(known, known_values) for name, score in scores.items()}
    out: Table = {name: {} for name in scores}
    distances: dict[str, Features] = {}
    for set_name, images in sets.items():
        other = read(extractor, images, star)
        values = {name: column(other) for name, column in table.items()}
        distances[set_name] = Features(other.distance, {}, {}, other.logits)
        for name, score in scores.items():
            out[name][set_name] = auroc(ind_scores[name], score(other, values))
    out.update(_regressions(extractor, star, fit[hold], labels[hold], held, known, distances, own_pseudo))
    return out


def _regressions(
    extractor: FeatureExtractor,
    star: Singularity,
    images: Pixels,
    labels: Rows,
    held: Features,
    known: Features,
    sets: Mapping[str, Features],
    own_pseudo: bool,
) -> Table:
    """Logistic regressions on pseudo-ood made from the held-back images, 500 of a kind."""
    pseudo = {
        name: read(extractor, PSEUDO[name](images, labels, np.random.default_rng([7, number]))[:500], star)
        for number, name in enumerate(PSEUDO)
    }
    out: Table = {}
    for name, quadratic in (("linear", False), ("quadratic", True)):
        row: dict[str, float] = {}
        models: dict[str, Callable[[Features], Array]] = {}
        for set_name, other in sets.items():
            left_out = set_name if own_pseudo and set_name in KINDS else ""
            if left_out not in models:
                used = [p for kind, p in pseudo.items() if kind != left_out]
                models[left_out] = tried.regression(held, used, quadratic=quadratic)
            score = models[left_out]
            row[set_name] = auroc(score(known), score(other))
        out[f"radius: logistic on pseudo-ood, {name}"] = row
    return out


def preset_table(model: LoadedModel, fit: Pixels, ind: Pixels, sets: Mapping[str, Pixels]) -> Table:
    """AUROC of the cockpit's preset `pseudo-ood`: alpha fitted on 500 of the fitted images and pseudo-ood made of them.

    The Tuning page makes it of 500 ind test images kept apart; here, as everything else, of training images.
    """
    extractor = model.extractor(device="cpu")
    fss = singularity(extractor, model.input_shape).fss
    source = ImageSet("fit", fit[parts(len(fit))[1][:PRESET_IMAGES]])

    def distances(images: Pixels) -> LayerScores:
        return fssd(extractor, _tensor(images), fss)

    weights = ensemble.pseudo_ood(distances(source.images), distances(make_pseudo_ood(source, seed=0).images))
    known = ensemble.combine(distances(ind), weights)
    return {PRESET: {k: auroc(known, ensemble.combine(distances(v), weights)) for k, v in sets.items()}}


def detector_table(
    model: LoadedModel, fit: Pixels, labels: Rows, ind: Pixels, sets: Mapping[str, Pixels]
) -> dict[str, object]:
    """{'auroc': Table, 'seconds': {...}, 'skipped': {...}} of every detector of the table at its defaults.

    Detectors with a column a layer give a row for each layer, and one for their sum, each column over its standard
    deviation on 3,000 of the fitted images (`ensemble.standardised`).
    """
    extractor = model.extractor(device="cpu")
    noise = uniform_noise(model.input_shape, 100, generator=generator(0))
    x, y = _tensor(fit), torch.from_numpy(labels.astype(np.int64))
    found: Table = {}
    seconds: dict[str, float] = {}
    skipped: dict[str, str] = {}
    for name, spec in DETECTORS.items():
        if name in OTHER_NETWORKS:
            skipped[name] = "needs networks trained for it"
            continue
        started = time.process_time()
        try:
            detector = spec.make().fit(extractor, x, y, noise=noise)
            found.update(_rows_of(detector, name, x[parts(len(x))[1]], ind, sets))
        except FssdError as error:
            skipped[name] = str(error)
        seconds[name] = round(time.process_time() - started, 1)
        print(f"  {name}: {seconds[name]} s", flush=True)
    return {"auroc": found, "seconds": seconds, "skipped": skipped}


def _rows_of(detector: Detector, name: str, held: torch.Tensor, ind: Pixels, sets: Mapping[str, Pixels]) -> Table:
    known = detector.scores(_tensor(ind))
    others = {key: detector.scores(_tensor(images)) for key, images in sets.items()}
    if len(known.layers) == 1:
        return {name: {k: auroc(known.values[:, 0], v.values[:, 0]) for k, v in others.items()}}
    weights = ensemble.standardised(detector.scores(held))
    whole = {k: auroc(ensemble.combine(known, weights), ensemble.combine(v, weights)) for k, v in others.items()}
    rows: Table = {f"{name} (sum over std)": whole}
    for layer in known.layers:
        rows[f"{name} ({layer})"] = {k: auroc(known.column(layer), v.column(layer)) for k, v in others.items()}
    return rows


def _tensor(images: Pixels) -> torch.Tensor:
    x = torch.from_numpy(images.astype(np.float32) / 255)
    return x.unsqueeze(1) if x.ndim == 3 else x.permute(0, 3, 1, 2).contiguous()
