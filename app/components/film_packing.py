"""The film's payload for the page: one framed block of raw bytes, sent once for a film and its numbers. Pure.

Angles go as int16 (a turn of 32767 / pi), all else as float32; T checkpoints, M points, K layers, G groups.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from app import theme
from app.components.packing import RADIUS_MODES, Atlas, pack
from app.film_words import Said, about_frame, about_motion
from fssd_core.dynamics import Dynamics
from fssd_core.errors import InputError
from fssd_core.film import Film
from fssd_core.types import FloatArray

RENDERERS = ("auto", "webgl", "canvas")
TURN = 32767 / np.pi
ANGLE_WORDS = {
    "spokes": "Angle: leans to the class most alike.",
    "umap": "Angle: one AlignedUMAP of directions over the whole film.",
    "pca": "One plane through F* for the whole film.",
}


def pack_film(
    film: Film,
    *,
    options: Mapping[str, Any],
    dynamics: Dynamics | None = None,
    atlas: Atlas | None = None,
) -> bytes:
    """The film, the numbers beside it and how to show them, ready to send.

    Args:
        film: of any view.
        options: key, title, titles (group name -> label), class_names, epochs (step -> passes over the data), start
            (step, radius, autoplay), colour_by_class, height, large, renderer and inspect, as `film_player` takes them.
        dynamics: numbers over training at the same checkpoints; None while they are not there.
        atlas: the points' images.

    Raises:
        InputError: an unknown radius mode or renderer, numbers that are not finite, or dynamics that do not fit.
    """
    _check(film, options, dynamics)
    header = {
        "key": options["key"],
        "title": options["title"],
        "view": film.view,
        "layer": film.layer,
        "centred": film.xy is None,
        "steps": [int(s) for s in film.steps],
        "epochs": _epochs(film, options["epochs"]),
        "indMedian": [float(m) for m in film.ind_median],
        "groups": groups_of(film, options["titles"], atlas),
        "classNames": [str(name) for name in options["class_names"]],
        "spokes": _spokes(film, options["class_names"]),
        "axes": _axes(film),
        "words": [_told(about_frame(film, t)) for t in range(len(film.steps))],
        "motion": {
            mode: [_told(about_motion(film, k, mode)) for k in range(len(film.steps) - 1)] for mode in RADIUS_MODES
        },
        "angle": ANGLE_WORDS[film.view],
        "start": start_of(options["start"]),
        "colourByClass": bool(options["colour_by_class"]),
        "height": int(options["height"]),
        "large": bool(options["large"]),
        "renderer": options["renderer"],
        "inspect": bool(options["inspect"]),
        "palette": theme.palette(),
        "atlas": None if atlas is None else atlas.version,
        "dynamics": None if dynamics is None else _dynamics_header(film, dynamics),
    }
    sections: dict[str, npt.NDArray[Any]] = {
        "distance": film.distance.astype(np.float32).reshape(-1),
        "row": np.concatenate([np.asarray(g.rows) for g in film.groups]).astype(np.int32),
        "label": film.labels.astype(np.int16),
    }
    if film.angle is not None:
        turned = np.arctan2(np.sin(film.angle), np.cos(film.angle))
        sections["angle"] = np.rint(turned * TURN).astype(np.int16).reshape(-1)
    if film.xy is not None:
        sections["xy"] = film.xy.astype(np.float32).reshape(-1)
    if dynamics is not None:
        sections |= _dynamics_sections(film, dynamics)
    return pack(header, sections)


def _check(film: Film, options: Mapping[str, Any], dynamics: Dynamics | None) -> None:
    radius = options["start"]["radius"]
    if radius not in RADIUS_MODES:
        raise InputError(f"no radius mode {radius!r}; known: {', '.join(RADIUS_MODES)}")
    if options["renderer"] not in RENDERERS:
        raise InputError(f"no renderer {options['renderer']!r}; known: {', '.join(RENDERERS)}")
    drawn = film.angle if film.xy is None else film.xy
    if not all(np.isfinite(a).all() for a in (film.distance, film.ind_median, drawn)):
        raise InputError(f"the film of {film.layer} has positions or distances that are not finite")
    if dynamics is None:
        return
    if tuple(dynamics.steps) != tuple(film.steps) or film.layer not in dynamics.layers:
        raise InputError(
            f"the numbers over training are of steps {dynamics.steps} and layers {', '.join(dynamics.layers)}; "
            f"the film is of {film.layer} at {film.steps}: compute both for the same study"
        )
    missing = [g.name for g in film.groups if g.name not in {name for name, _ in dynamics.groups}]
    if missing:
        raise InputError(f"the numbers over training lack the groups {', '.join(missing)} of the film")


def start_of(start: Mapping[str, Any]) -> dict[str, Any]:
    """Where the page begins, with an id over it: the page goes there when the id is another than before."""
    plain = {"step": float(start["step"]), "radius": str(start["radius"]), "autoplay": bool(start["autoplay"])}
    told = json.dumps([plain, start.get("nonce", 0)], sort_keys=True)
    return {**plain, "id": hashlib.sha256(told.encode()).hexdigest()[:12]}


def _epochs(film: Film, epochs: Mapping[int, float]) -> list[float] | None:
    """Epoch of every checkpoint; None unless all are known."""
    known = [float(epochs.get(step, np.nan)) for step in film.steps]
    return known if np.isfinite(known).all() else None


def groups_of(film: Film, titles: Mapping[str, str], atlas: Atlas | None) -> list[dict[str, Any]]:
    """Name, label, colours and marker of each group, the same as in every other picture."""
    groups, number = [], 0
    for group in film.groups:
        groups.append(
            {
                "name": group.name,
                "label": titles.get(group.name, group.name),
                "kind": group.kind,
                "start": group.start,
                "stop": group.stop,
                "colours": {mode: theme.group_colour(group.kind, number, mode) for mode in theme.MODES},
                "marker": theme.group_marker(group.kind, number),
                "cell": -1 if atlas is None else atlas.cells.get(group.name, -1),
            }
        )
        number += group.kind == "ood"
    return groups


def _spokes(film: Film, class_names: Sequence[str]) -> list[dict[str, Any]]:
    """Class names round the rim where the angles are those of class spokes."""
    angles = sorted((int(k), float(a)) for k, a in dict(film.notes.get("spokes") or {}).items())
    if film.notes.get("classes") == "k-means":
        return [{"index": -1, "name": f"cluster {k + 1}", "angle": a} for k, a in angles]
    names = {k: str(class_names[k]) if k < len(class_names) else f"class {k}" for k, _ in angles}
    return [{"index": k, "name": names[k], "angle": a} for k, a in angles]


def _axes(film: Film) -> list[str]:
    """Names of the two directions of the plane; empty for the views around F*."""
    return [] if film.xy is None else ["PC 1", "PC 2"]


def _told(said: Said) -> dict[str, Any]:
    return {"text": said.text, "warn": said.warn}


def _places(film: Film, dynamics: Dynamics) -> list[int]:
    names = [name for name, _ in dynamics.groups]
    return [names.index(group.name) for group in film.groups]


def _band(dynamics: Dynamics) -> tuple[int, int]:
    """Places of the quantiles that are drawn as a band: those nearest to 25 and 75 %."""
    levels = np.asarray(dynamics.quantiles, dtype=np.float64)
    return int(np.argmin(np.abs(levels - 0.25))), int(np.argmin(np.abs(levels - 0.75)))


def _dynamics_header(film: Film, dynamics: Dynamics) -> dict[str, Any]:
    low, high = _band(dynamics)
    return {
        "layers": list(dynamics.layers),
        "layer": list(dynamics.layers).index(film.layer),
        "groups": len(film.groups),
        "quantiles": [float(dynamics.quantiles[low]), float(dynamics.quantiles[high])],
        "accuracy": _known(dynamics.accuracy),
        "loss": _known(dynamics.loss),
    }


def _known(values: FloatArray | None) -> list[float | None] | None:
    """As JSON, in full precision; null where a checkpoint does not say."""
    return None if values is None else [float(v) if np.isfinite(v) else None for v in values]


def _dynamics_sections(film: Film, dynamics: Dynamics) -> dict[str, npt.NDArray[Any]]:
    """(T, K, G) of every measure in the film's order of groups, flat."""
    at = _places(film, dynamics)
    low, high = _band(dynamics)
    flat = {
        "dyn_mean": dynamics.mean[:, :, at],
        "dyn_low": dynamics.bands[:, :, at, low],
        "dyn_high": dynamics.bands[:, :, at, high],
        "dyn_norm": dynamics.norm[:, :, at],
        "dyn_auroc": dynamics.auroc[:, :, at],
        "dyn_median": dynamics.ind_median,
    }
    return {name: np.asarray(values, dtype=np.float32).reshape(-1) for name, values in flat.items()}
