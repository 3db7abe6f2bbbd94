"""Payloads of the browser-side scatter as raw bytes: points with their header, and the atlas of their images. Pure.

Layout of both: b"FSD1", uint32 length of the header, the header (JSON, UTF-8, padded with spaces), then the sections
it lists: name -> [dtype, start, count], start counted from the header's end. Little endian, 4-byte aligned.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from app import theme
from app.components.selecting import identity
from fssd_core.errors import InputError
from fssd_core.types import PointGroup, Projection

MAGIC = b"FSD1"
CENTRED = ("centred-umap", "centred-spokes")
RADIUS_MODES = ("median", "absolute", "log")
ATLAS_BUDGET = 4_000_000
LARGEST_SIDE = 32

Pixels = npt.NDArray[np.uint8]
Images = Mapping[str, Pixels | Callable[[npt.NDArray[np.integer[Any]]], Pixels]]


@dataclass(frozen=True)
class Atlas:
    """The points' images, ready to send.

    Attributes:
        version: SHA-256 prefix of the payload; the scatter finds the atlas in the page by it.
        cells: group name -> number of its first image; groups without images are missing.
        side: (height, width) of every image in pixels.
        channels: 1 (grey) or 3 (RGB).
        payload: the bytes.
    """

    version: str
    cells: dict[str, int]
    side: tuple[int, int]
    channels: int
    payload: bytes


def pack(header: Mapping[str, Any], sections: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """The framed payload; the header gains 'sections' and 'version', a SHA-256 prefix of everything else."""
    table: dict[str, tuple[str, int, int]] = {}
    parts: list[bytes] = []
    start = 0
    for name, values in sections.items():
        little = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
        raw = little.tobytes()
        raw += b"\0" * (-len(raw) % 4)
        table[name] = (little.dtype.kind + str(little.dtype.itemsize), start, little.size)
        parts.append(raw)
        start += len(raw)
    body = b"".join(parts)
    full = {**header, "sections": table}
    version = hashlib.sha256(json.dumps(full, sort_keys=True).encode() + body).hexdigest()[:16]
    text = json.dumps({**full, "version": version}, ensure_ascii=False, allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    return MAGIC + len(text).to_bytes(4, "little") + text + body


def unpack(payload: bytes) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """(header, sections) of a payload, as the page reads them."""
    if payload[:4] != MAGIC:
        raise InputError(f"a payload starts with {payload[:4]!r}; expected {MAGIC!r}")
    body = 8 + int.from_bytes(payload[4:8], "little")
    header = json.loads(payload[8:body])
    sections = {
        name: np.frombuffer(payload, np.dtype("<" + dtype), count, body + start)
        for name, (dtype, start, count) in header["sections"].items()
    }
    return header, sections


def pack_atlas(groups: Sequence[PointGroup], images: Images, *, budget: int = ATLAS_BUDGET) -> Atlas | None:
    """The groups' images side by side, shrunk to at most 32 pixels a side and to `budget` bytes in all.

    Args:
        groups: of the projection, in order.
        images: group name -> uint8 (n, H, W) or (n, H, W, 3), one image a point in the group's order, or a function
            of the group's rows that gives them. Groups that are missing have no image.
        budget: most bytes of pixels.

    Returns:
        None where no group has images. Grey images are repeated over three channels when another group has colour.

    Raises:
        InputError: an array does not fit its group.
    """
    taken = [(g, _images_of(g, images[g.name])) for g in groups if g.name in images and g.stop > g.start]
    if not taken:
        return None
    channels = 3 if any(a.ndim == 4 and a.shape[3] == 3 for _, a in taken) else 1
    count = sum(len(a) for _, a in taken)
    side = _side([a.shape[1:3] for _, a in taken], count * channels, budget)
    cells: dict[str, int] = {}
    tiles: list[Pixels] = []
    first = 0
    for group, array in taken:
        cells[group.name] = first
        tiles.append(_shrink(array, side, channels))
        first += len(array)
    pixels = np.concatenate(tiles).reshape(-1)
    payload = pack({"height": side[0], "width": side[1], "channels": channels, "count": count}, {"pixels": pixels})
    return Atlas(str(unpack(payload)[0]["version"]), cells, side, channels, payload)


def _images_of(group: PointGroup, given: Pixels | Callable[..., Pixels]) -> Pixels:
    array = np.asarray(given(group.rows) if callable(given) else given)
    fits = array.ndim == 3 or (array.ndim == 4 and array.shape[3] in (1, 3))
    if array.dtype != np.uint8 or not fits or len(array) != group.stop - group.start:
        raise InputError(
            f"images of {group.name!r} have shape {array.shape} and type {array.dtype}; its {group.stop - group.start} "
            "points need uint8 (n, H, W) or (n, H, W, 3), one image a point"
        )
    return array


def _side(shapes: Sequence[tuple[int, ...]], values: int, budget: int) -> tuple[int, int]:
    """(height, width): the largest group's shape, at most 32, scaled down until `values` numbers a pixel fit."""
    height, width = max(s[0] for s in shapes), max(s[1] for s in shapes)
    scale = min(1.0, LARGEST_SIDE / max(height, width), math.sqrt(budget / (values * height * width)))
    return max(1, int(height * scale + 1e-9)), max(1, int(width * scale + 1e-9))


def _shrink(array: Pixels, side: tuple[int, int], channels: int) -> Pixels:
    """Images of shape (n, *side, channels): means of the pixels that each cell covers, nearest pixel where enlarged."""
    full = array if array.ndim == 4 else array[..., None]
    if full.shape[3] < channels:
        full = np.repeat(full, channels, axis=3)
    elif full.shape[3] > channels:
        full = full[..., :channels]
    if full.shape[1:3] != side:
        full = _resample(_resample(full, 1, side[0]), 2, side[1])
    return np.ascontiguousarray(full)


def _resample(array: Pixels, axis: int, size: int) -> Pixels:
    old = array.shape[axis]
    if size >= old:
        enlarged: Pixels = np.take(array, (np.arange(size) * old) // size, axis=axis)
        return enlarged
    cover = np.zeros((size, old), np.float32)
    edges = np.linspace(0, old, size + 1)
    for cell, (low, high) in enumerate(itertools.pairwise(edges)):
        inside = np.arange(int(low), min(old, math.ceil(high)))
        cover[cell, inside] = np.minimum(inside + 1, high) - np.maximum(inside, low)
    cover /= cover.sum(1, keepdims=True)
    moved = np.moveaxis(array, axis, -1).astype(np.float32) @ cover.T
    return np.moveaxis(np.rint(moved).clip(0, 255).astype(np.uint8), -1, axis)


def pack_points(projection: Projection, *, options: Mapping[str, Any], atlas: Atlas | None = None) -> bytes:
    """The projection and how to show it, ready to send.

    Args:
        projection: any view; the first group must be ind.
        options: key, titles (group name -> label), class_names, title, subtitle, radius_mode, colour_by_class,
            height, extent, hidden and theme, as `scatter` takes them.
        atlas: the points' images.

    Raises:
        InputError: no ind point, a radius mode that does not exist, or numbers that are not finite.
    """
    _check(projection, options)
    ind = projection.groups[0]
    distance = projection.distance.astype(np.float32)
    median = float(np.median(distance[ind.start : ind.stop]))
    header = {
        "key": options["key"],
        "title": options["title"],
        "subtitle": options["subtitle"],
        "view": projection.view,
        "layer": projection.layer,
        "centred": projection.view in CENTRED,
        "radiusMode": options["radius_mode"],
        "colourByClass": bool(options["colour_by_class"]),
        "height": int(options["height"]),
        "extent": None if options["extent"] is None else float(options["extent"]),
        "hidden": sorted(options["hidden"]),
        "theme": options["theme"],
        "median": median if median > 0 else 1.0,
        "fss": [float(v) for v in projection.fss],
        "groups": _groups(projection, options["titles"], atlas),
        "identity": identity(projection.groups),
        "classNames": [str(name) for name in options["class_names"]],
        "spokes": _spokes(projection, options["class_names"]),
        "axes": _axes(projection),
        "palette": theme.palette(),
        "atlas": None if atlas is None else atlas.version,
    }
    rows = np.concatenate([np.asarray(g.rows) for g in projection.groups])
    sections: dict[str, npt.NDArray[Any]] = {
        "xy": projection.xy.astype(np.float32).reshape(-1),
        "distance": distance,
        "row": rows.astype(np.int32),
        "label": projection.labels.astype(np.int16),
    }
    return pack(header, sections)


def _check(projection: Projection, options: Mapping[str, Any]) -> None:
    if options["radius_mode"] not in RADIUS_MODES:
        raise InputError(f"no radius mode {options['radius_mode']!r}; known: {', '.join(RADIUS_MODES)}")
    first = projection.groups[0] if projection.groups else None
    if first is None or first.kind != "ind" or first.stop == first.start:
        raise InputError("the scatter needs at least one ind point, in the first group")
    if not all(np.isfinite(a).all() for a in (projection.xy, projection.distance, projection.fss)):
        raise InputError(f"the projection of {projection.layer} has positions or distances that are not finite")


def _groups(projection: Projection, titles: Mapping[str, str], atlas: Atlas | None) -> list[dict[str, Any]]:
    groups, number = [], 0
    for group in projection.groups:
        distance = projection.distance[group.start : group.stop]
        groups.append(
            {
                "name": group.name,
                "label": titles.get(group.name, group.name),
                "kind": group.kind,
                "start": group.start,
                "stop": group.stop,
                "colours": {mode: theme.group_colour(group.kind, number, mode) for mode in theme.MODES},
                "marker": theme.group_marker(group.kind, number),
                "mean": float(distance.mean(dtype=np.float64)) if len(distance) else 0.0,
                "cell": -1 if atlas is None else atlas.cells.get(group.name, -1),
            }
        )
        number += group.kind == "ood"
    return groups


def _spokes(projection: Projection, class_names: Sequence[str]) -> list[dict[str, Any]]:
    """Class names round the rim: the spokes' own angles, or the mean directions of classes that hold together."""
    given = projection.notes.get("spokes")
    if given is None and projection.view in CENTRED:
        given = _mean_directions(projection)
    angles = sorted((int(k), float(a)) for k, a in dict(given or {}).items())
    if projection.notes.get("classes") == "k-means":  # the spokes are clusters of ind, not the data set's classes
        return [{"index": -1, "name": f"cluster {k + 1}", "angle": a} for k, a in angles]
    names = {k: str(class_names[k]) if k < len(class_names) else f"class {k}" for k, _ in angles}
    return [{"index": k, "name": names[k], "angle": a} for k, a in angles]


def _mean_directions(projection: Projection) -> dict[int, float]:
    angle = np.arctan2(projection.xy[:, 1], projection.xy[:, 0])
    found = {}
    for label in np.unique(projection.labels[projection.labels >= 0]):
        mean = np.exp(1j * angle[projection.labels == label]).mean()
        if abs(mean) >= 0.6:
            found[int(label)] = float(np.angle(mean))
    return found


def _axes(projection: Projection) -> list[str]:
    """Names of the two axes with their units; empty for the centred views, which have rings."""
    if projection.view in CENTRED:
        return []
    if projection.view == "umap":
        return ["UMAP 1 (no unit)", "UMAP 2 (no unit)"]
    shares = projection.notes.get("explained") or (None, None)
    parts = ["" if share is None else f", {100 * float(share):.0f} % of the squared distance" for share in shares]
    return [f"PC {k} from F* (feature units{part})" for k, part in enumerate(parts, 1)]
