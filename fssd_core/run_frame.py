"""What a run tells while it learns: numbers line by line, and the latest frame of the probe; both whole at any time."""

from __future__ import annotations

import io
import json
import math
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fssd_core.atomic import write_bytes
from fssd_core.errors import InputError
from fssd_core.probe import Frame, Probe, as_projection
from fssd_core.types import PointGroup, Projection

PROGRESS = "progress.jsonl"
_UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True, eq=False)
class ProbeFile:
    """The probe of a run, as the page needs it.

    Attributes:
        groups: ind, ood, noise.
        labels: (M,) class of the ind points, -1 elsewhere.
        order: classes round the circle.
        labelled: whether the classes are the set's own.
        images: (M, H, W) or (M, H, W, 3) uint8.
        class_names: of the ind classes.
    """

    groups: tuple[PointGroup, ...]
    labels: npt.NDArray[np.int16]
    order: tuple[int, ...]
    labelled: bool
    images: npt.NDArray[np.uint8]
    class_names: tuple[str, ...]

    def pictures(self) -> dict[str, npt.NDArray[np.uint8]]:
        """Group name -> its images."""
        return {g.name: self.images[g.start : g.stop] for g in self.groups}


@dataclass(frozen=True, eq=False)
class FrameFile:
    """The latest frame: distances (K, M) and angles (K, M) of K layers at one step."""

    step: int
    layers: tuple[str, ...]
    distance: npt.NDArray[np.float32]
    angle: npt.NDArray[np.float32]

    def projection(self, probe: ProbeFile, layer: str) -> Projection:
        """The centred view of one layer.

        Raises:
            InputError: no such layer, or more than half of ind lies exactly on F*.
        """
        if layer not in self.layers:
            raise InputError(f"the run watches no layer {layer!r}; it watches {', '.join(self.layers)}")
        k = self.layers.index(layer)
        return as_projection(
            layer, self.distance[k], self.angle[k], groups=probe.groups, labels=probe.labels, order=probe.order,
            labelled=probe.labelled,
        )  # fmt: skip


def save_probe(folder: Path, probe: Probe, class_names: tuple[str, ...]) -> None:
    """Writes probe.npz."""
    pixels = (probe.images * 255).round().byte().permute(0, 2, 3, 1).numpy()
    meta = {
        "groups": [[g.name, g.kind, g.start, g.stop] for g in probe.groups],
        "order": list(probe.order),
        "labelled": probe.labelled,
        "classes": list(class_names),
    }
    _save(
        folder / "probe.npz",
        images=pixels[..., 0] if pixels.shape[-1] == 1 else pixels,
        labels=probe.labels,
        rows=np.concatenate([np.asarray(g.rows, np.int64) for g in probe.groups]),
        meta=np.frombuffer(json.dumps(meta).encode(), np.uint8),
    )


def load_probe(folder: Path) -> ProbeFile | None:
    """The probe of a run; None before it is there, or if it is damaged."""
    try:
        with np.load(folder / "probe.npz", allow_pickle=False) as file:
            meta = json.loads(file["meta"].tobytes())
            rows, labels, images = file["rows"], file["labels"], file["images"]
        groups = tuple(PointGroup(n, k, a, b, rows[a:b]) for n, k, a, b in meta["groups"])
        return ProbeFile(groups, labels, tuple(meta["order"]), bool(meta["labelled"]), images, tuple(meta["classes"]))
    except _UNREADABLE:
        return None


def save_frame(folder: Path, frame: Frame, step: int) -> None:
    """Writes frame.npz over the last one."""
    meta = {"step": step, "layers": list(frame.layers)}
    _save(
        folder / "frame.npz",
        distance=frame.distance,
        angle=frame.angle,
        meta=np.frombuffer(json.dumps(meta).encode(), np.uint8),
    )


def load_frame(folder: Path) -> FrameFile | None:
    """The latest frame; None before the first, or if it is damaged."""
    try:
        with np.load(folder / "frame.npz", allow_pickle=False) as file:
            meta = json.loads(file["meta"].tobytes())
            return FrameFile(int(meta["step"]), tuple(meta["layers"]), file["distance"], file["angle"])
    except _UNREADABLE:
        return None


def append_progress(folder: Path, line: dict[str, Any]) -> None:
    """Adds one line of numbers; NaN becomes null."""
    with (folder / PROGRESS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(_plain(line), allow_nan=False) + "\n")


def read_progress(folder: Path) -> list[dict[str, Any]]:
    """All whole lines in order of their steps; a line that a killed process left half written is left out."""
    try:
        text = (folder / PROGRESS).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    out: dict[int, dict[str, Any]] = {}
    for line in text.splitlines():
        try:
            value = json.loads(line)
            out[int(value["step"])] = value
        except (ValueError, KeyError, TypeError):
            continue
    return [out[step] for step in sorted(out)]


def cut_progress(folder: Path, step: int) -> None:
    """Leaves out the lines after a step: the run goes on from there."""
    kept = [json.dumps(line) + "\n" for line in read_progress(folder) if line["step"] <= step]
    write_bytes(folder / PROGRESS, "".join(kept).encode())


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def _save(path: Path, **arrays: npt.NDArray[Any]) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type, unused-ignore]
    write_bytes(path, buffer.getvalue())
