"""The film: one layer's points around F* at every checkpoint, drawn in one frame, each picture's faithfulness measured.

Angles come from class spokes or from one AlignedUMAP of unit directions; 'pca' is one shared plane around F*. Distances
are always the true ones. Left out because they mislead: see `projection`; more in docs/dynamics.md.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fssd_core.errors import InputError, did_you_mean, lookup
from fssd_core.film_angles import spoke_film, umap_film
from fssd_core.film_measure import about_motion, measured_frames, measured_motion, through_fss
from fssd_core.film_plane import shared_plane
from fssd_core.projection_centred import on_circles
from fssd_core.projection_faithful import ind_mask, trust_rows
from fssd_core.runtime import Progress, part, silent
from fssd_core.series import Reel, series_name, weight_hashes
from fssd_core.store import Store, key
from fssd_core.study import Study, open_model, study_layers
from fssd_core.study_projection import projection_sets
from fssd_core.types import Faithfulness, PointGroup

FILM_VERSION = 1
DISTANCE = "distance"  # stored once a layer: every view of it shows the same distances
Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Film:
    """Points of one layer at T checkpoints; F* is the origin of every picture.

    Attributes:
        view: one of FILM_VIEWS.
        layer: the layer's name.
        steps: T checkpoints, ascending; 0 is the untrained network, the baseline.
        groups: ind first, then ood, then noise; they cover 0..M in order.
        labels: (M,) int16 class of the ind points, -1 elsewhere.
        distance: (T, M) true ||F_t(x) - F*_t||.
        angle: (T, M) radians of the centred views, unwrapped over time: no step turns by more than pi; None for 'pca'.
        xy: (T, M, 2) coordinates relative to F*, in the layer's own unit, for 'pca'; else None.
        ind_median: (T,) median distance of ind at each checkpoint, positive.
        faithfulness: T, each measured on its picture as drawn (centred views: radius = distance / ind median).
        motion: (T-1,) Spearman's correlation of drawn and true displacement ||F_{t+1}(x) - F_t(x)|| over the points;
            NaN where undefined.
        notes: 'remarks' (sentences for the page), 'trust_points', 'through_fss' (T-1: share of points whose straight
            drawn path comes nearer to F* than half of either end), 'motion_by_radius' (`motion` for each of
            `film_radii`, of the centred views) and, by view, 'spokes' (class -> angle), 'spoke_order', 'classes',
            'explained' (T shares of the squared distance in the plane), 'n_neighbors' ...
    """

    view: str
    layer: str
    steps: tuple[int, ...]
    groups: tuple[PointGroup, ...]
    labels: npt.NDArray[np.int16]
    distance: Float32
    angle: Float32 | None
    xy: Float32 | None
    ind_median: Float32
    faithfulness: tuple[Faithfulness, ...]
    motion: Float32
    notes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = len(self.steps), len(self.labels)
        drawn = self.angle if self.xy is None else self.xy[..., 0]
        if (self.angle is None) == (self.xy is None) or drawn is None or {drawn.shape, self.distance.shape} != {shape}:
            raise InputError(f"film arrays disagree: {shape} points were expected, with either angles or coordinates")
        edges = [0, *(g.stop for g in self.groups)]
        if [g.start for g in self.groups] != edges[:-1] or edges[-1] != shape[1]:
            raise InputError("the groups of a film must cover its points in order")

    def drawn(self) -> Float32:
        """(T, M, 2) the pictures as drawn at first: radius over the ind median, or the plane's own coordinates."""
        if self.xy is not None:
            return self.xy
        assert self.angle is not None
        return on_film_circles(self.distance / self.ind_median[:, None], self.angle)


def film_radii(distance: Float32, ind_median: Float32) -> dict[str, Float32]:
    """{mode: (T, M) radii} of the centred films: over the ind median of each checkpoint, over the last one, its log.

    'log' is log2(1 + distance / floor), where the floor is the smallest ind median, at least a 1024th of the last.
    """
    last = ind_median[-1]
    floor = max(float(ind_median.min()), float(last) / 1024)
    return {
        "median": distance / ind_median[:, None],
        "absolute": distance / last,
        "log": np.log2(1 + distance / np.float32(floor)),
    }


def on_film_circles(radius: Float32, angle: Float32) -> Float32:
    """(T, M, 2) points of (T, M) radii and angles."""
    return np.stack([on_circles(r, a) for r, a in zip(radius, angle, strict=True)])


_Drawing = tuple[Float32 | None, Float32 | None, dict[str, Any]]  # angle (T, M), xy (T, M, 2), notes
FILMED: Mapping[str, Callable[[Reel, Progress], _Drawing]] = {
    "spokes": lambda reel, progress: _angles(*spoke_film(reel, progress=progress)),
    "umap": lambda reel, progress: _angles(*umap_film(reel, progress=progress)),
    "pca": lambda reel, progress: _plane(*shared_plane(reel, progress=progress)),
}
FILM_VIEWS = tuple(FILMED)


def film(
    study: Study, layer: str, view: str, *, store: Store, root: Path | None = None, progress: Progress = silent
) -> Film:
    """The film of one layer over all checkpoints of the study's model, from the store or computed and kept.

    Args:
        study: what to compute; `points` says how many images, its step does not matter.
        layer: one of the study's layers.
        view: one of FILM_VIEWS.
        store: where results are looked for and kept.
        root: folder below which downloaded sets lie.
        progress: told within each stage; may raise CancelledError.

    Raises:
        InputError: unknown layer or view, fewer than two checkpoints, features that cannot be drawn, or umap-learn
            missing for 'umap'.
    """
    _check(study, layer, view)
    if (kept := stored_film(study, layer, view, store=store, root=root)) is not None:
        return kept

    def told(done: int, total: int, what: str) -> None:
        progress(done, total, f"percent of the film ({what})")

    made = make_film(Reel(study, layer, root=root), view, progress=told)
    arrays, meta = _pack(made)
    about = {"study": study.to_json(), **meta}
    store.put(film_key(study, layer, DISTANCE, root=root), {"distance": made.distance}, {"layer": layer})
    store.put(film_key(study, layer, view, root=root), arrays, about)
    return made


def stored_film(study: Study, layer: str, view: str, *, store: Store, root: Path | None = None) -> Film | None:
    """The film if the store has it; computes nothing."""
    _check(study, layer, view)
    entry = store.get(film_key(study, layer, view, root=root))
    if entry is None:
        return None
    shared = store.get(film_key(study, layer, DISTANCE, root=root))
    return None if shared is None else _unpack({**entry.arrays, **shared.arrays}, entry.meta)


def film_key(study: Study, layer: str, view: str, *, root: Path | None = None) -> str:
    """Store key of a film: the weights of every checkpoint, the images, and the view, or DISTANCE for all views."""
    model = open_model(study)
    facts = {
        "view": view, "layer": layer, "noise_samples": study.noise_samples, "seed": study.seed,
        "normalisation": [model.mean, model.std], "model": series_name(study) and model.arch,
    }  # fmt: skip
    prints = [images.fingerprint() for images in projection_sets(study, root=root).values()]
    return key("film", FILM_VERSION, facts, weight_hashes(study), [study.ind, *study.ood], prints)


def make_film(reel: Reel, view: str, *, progress: Progress = silent) -> Film:
    """`film` without the store: draws the reel's points and measures every picture."""
    draw = lookup(FILMED, view, "film view")
    steady = _steady(progress)
    reel.progress = part(steady, 0, 30)
    distance, displacement = reel.measure()
    reel.progress = part(steady, 0, 0)  # from here on it may only cancel: frames can be computed several times
    ind = ind_mask(reel.groups)
    median = np.median(distance[:, ind], axis=1).astype(np.float32)
    for step, value in zip(reel.steps, median, strict=True):
        if not value > 0:
            raise InputError(
                f"at step {step} more than half of the ind points of {reel.layer} lie exactly on F*, so distances have "
                "no unit there; choose another layer"
            )
    angle, xy, notes = draw(reel, part(steady, 30, 70))
    blank = Film(
        view, reel.layer, reel.steps, reel.groups, reel.labels, distance, angle, xy, median, (), np.empty(0, np.float32)
    )
    drawn = blank.drawn()
    motion = measured_motion(drawn, displacement)
    notes["remarks"] = [*notes.get("remarks", []), about_motion(view, motion)]
    notes["trust_points"] = len(trust_rows(reel.points, reel.study.seed))
    notes["through_fss"] = through_fss(drawn)
    if angle is not None:
        notes["motion_by_radius"] = {
            mode: measured_motion(on_film_circles(radius, angle), displacement).tolist()
            for mode, radius in film_radii(distance, median).items()
        }
    faithful = measured_frames(reel, drawn, distance, progress=part(steady, 70, 100))
    return dataclasses.replace(blank, faithfulness=faithful, motion=motion, notes=notes)


def _steady(progress: Progress) -> Progress:
    """A Progress in percent that never goes back."""
    most = 0

    def told(done: int, total: int, what: str) -> None:
        nonlocal most
        most = max(most, round(100 * done / max(total, 1)))
        progress(most, 100, what)

    return told


def _angles(angle: npt.NDArray[np.float64], notes: dict[str, Any]) -> _Drawing:
    """Angles as the store keeps them (half precision, within 0.001): what is measured is what is drawn."""
    return _unwrapped(_halved(angle)), None, notes


def _plane(xy: Float32, notes: dict[str, Any]) -> _Drawing:
    return None, xy, notes


def _halved(angle: npt.NDArray[Any]) -> npt.NDArray[np.float16]:
    """The angles turned into -pi..pi, in half precision."""
    return np.asarray(np.arctan2(np.sin(angle), np.cos(angle)), dtype=np.float16)


def _unwrapped(angle: npt.NDArray[np.float16]) -> Float32:
    """(T, M) each point's angle going on from the checkpoint before by the shorter way round."""
    return np.unwrap(angle.astype(np.float64), axis=0).astype(np.float32)


def _check(study: Study, layer: str, view: str) -> None:
    lookup(FILMED, view, "film view")
    layers = study_layers(study)
    if layer not in layers:
        raise InputError(f"layer {layer!r} is not read by this study{did_you_mean(layer, layers)}")


def _pack(made: Film) -> tuple[dict[str, Any], dict[str, Any]]:
    arrays: dict[str, Any] = {
        "ind_median": made.ind_median,
        "motion": made.motion,
        "labels": made.labels,
        **{f"rows_{i}": g.rows.astype(np.int32) for i, g in enumerate(made.groups)},
    }
    if made.angle is not None:
        arrays["angle"] = _halved(made.angle)
    if made.xy is not None:
        arrays["xy"] = made.xy
    meta = {
        "view": made.view,
        "layer": made.layer,
        "steps": list(made.steps),
        "groups": [[g.name, g.kind, g.start, g.stop] for g in made.groups],
        "faithfulness": [dataclasses.asdict(f) for f in made.faithfulness],
        "notes": made.notes,
    }
    return arrays, meta


def _unpack(arrays: Mapping[str, Any], meta: Mapping[str, Any]) -> Film:
    groups = tuple(
        PointGroup(name, kind, start, stop, arrays[f"rows_{i}"].astype(np.int64))
        for i, (name, kind, start, stop) in enumerate(meta["groups"])
    )
    return Film(
        view=meta["view"],
        layer=meta["layer"],
        steps=tuple(meta["steps"]),
        groups=groups,
        labels=arrays["labels"],
        distance=arrays["distance"],
        angle=_unwrapped(arrays["angle"]) if "angle" in arrays else None,
        xy=arrays.get("xy"),
        ind_median=arrays["ind_median"],
        faithfulness=tuple(Faithfulness(**f) for f in meta["faithfulness"]),
        motion=arrays["motion"],
        notes=dict(meta["notes"]),
    )
