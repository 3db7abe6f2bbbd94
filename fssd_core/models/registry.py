"""Registered series of checkpoints: the bundled ones by name, and the runs of people's own training as 'run/<id>'."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from fssd_core.assets import assets_root
from fssd_core.errors import ModelError, did_you_mean
from fssd_core.models.weights import read_metadata
from fssd_core.store import default_root

REGISTERED = {
    "demo/lenet": "lenet",
    **{f"demo/{name}": name for name in (*(f"lenet-member{k}" for k in (1, 2, 3, 4)), "lenet-dropout", "lenet-oe")},
}  # name -> folder of checkpoints under assets/models
RUN_PREFIX = "run/"
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_STEP_FILE = re.compile(r"step-(\d+)\.safetensors")
_SETTLED = 2.0  # seconds after which a folder's modification time tells its contents


@dataclass(frozen=True)
class ModelEntry:
    """A registered series of checkpoints.

    Attributes:
        name: the reference for `load_model`; with @STEP for one checkpoint, else the last.
        arch: name in `list_archs()`.
        title: what it is, for people.
        steps: steps of the checkpoints, ascending.
        accuracy: test accuracy of each step, 0..1.
        epochs: passes over the training data at each step.
    """

    name: str
    arch: str
    title: str
    steps: tuple[int, ...]
    accuracy: dict[int, float] = field(default_factory=dict)
    epochs: dict[int, float] = field(default_factory=dict)


def list_models() -> list[ModelEntry]:
    """The registered series whose checkpoints are there: the bundled ones, then the runs, the newest first."""
    names = [*REGISTERED, *(RUN_PREFIX + name for name in run_ids())]
    return [entry for name in names if (entry := _entry(name, series_folder(name))) is not None]


def is_series(name: str) -> bool:
    """Whether the name is a registered series with a checkpoint ('demo/lenet', 'run/<id>'), not a path."""
    if name not in REGISTERED and not name.startswith(RUN_PREFIX):
        return False
    try:
        return bool(checkpoints(series_folder(name)))
    except ModelError:
        return False


def runs_root() -> Path:
    """The folder of the runs: `runs` in the user's own folder."""
    return default_root() / "runs"


def run_ids() -> list[str]:
    """Ids of the runs that are there, the newest first."""
    try:
        found = [p for p in runs_root().iterdir() if _RUN_ID.fullmatch(p.name) and p.is_dir() and not p.is_symlink()]
    except OSError:
        return []
    return [p.name for p in sorted(found, key=lambda p: (_born(p), p.name), reverse=True)]


def run_folder(run_id: str) -> Path:
    """Where the run of that id lies (it need not be there yet).

    Raises:
        ModelError: an id that is not a plain name, or a link.
    """
    if not _RUN_ID.fullmatch(run_id):
        raise ModelError(
            f"run {run_id!r} is not a run's name; a name has 1 to 80 letters, digits, '.', '_' or '-' and starts "
            "with a letter or digit"
        )
    folder = runs_root() / run_id
    if folder.is_symlink():
        raise ModelError(f"run {run_id!r} is a link to another folder; runs are plain folders in {runs_root()}")
    return folder


def series_folder(name: str) -> Path:
    """The folder of checkpoints of a registered series.

    Raises:
        ModelError: no such series.
    """
    if name in REGISTERED:
        return assets_root() / "models" / REGISTERED[name]
    run_id = name.removeprefix(RUN_PREFIX)
    folder = run_folder(run_id)
    if run_id == name or not folder.is_dir():
        raise ModelError(f"no run {name!r}{did_you_mean(name, [RUN_PREFIX + r for r in run_ids()])}")
    return folder


def checkpoints(folder: Path) -> dict[int, Path]:
    """Step -> file of the whole checkpoints in a folder, ascending."""
    try:
        found = {int(m[1]): p for p in folder.iterdir() if (m := _STEP_FILE.fullmatch(p.name))}
    except OSError:
        return {}
    return dict(sorted(found.items()))


def at_step(name: str, series: dict[int, Path], step: int | None) -> tuple[Path, int]:
    """(file, step) of one checkpoint, the last if step is None.

    Raises:
        ModelError: there is none.
    """
    if not series:
        raise ModelError(f"{name}: no checkpoint (step-*.safetensors) was found")
    step = max(series) if step is None else step
    if step not in series:
        raise ModelError(f"{name} has no step {step}; its steps are {', '.join(map(str, series))}")
    return series[step], step


def weight_file(ref: str, step: int | None = None) -> Path:
    """The file behind a model reference: of a registered series' checkpoint, else the reference as a path.

    Raises:
        ModelError: a registered series without that step.
    """
    name, _, tail = ref.partition("@")
    if not is_series(name):
        return Path(ref).expanduser()
    return at_step(name, checkpoints(series_folder(name)), int(tail) if tail.isdigit() else step)[0]


def _entry(name: str, folder: Path) -> ModelEntry | None:
    try:
        changed = folder.stat().st_mtime_ns
    except OSError:
        return None
    if time.time() - changed / 1e9 < _SETTLED:
        return _read_entry(name, folder)
    return _kept_entry(name, folder, changed)


@lru_cache(maxsize=256)
def _kept_entry(name: str, folder: Path, changed: int) -> ModelEntry | None:
    return _read_entry(name, folder)


def _read_entry(name: str, folder: Path) -> ModelEntry | None:
    facts: dict[int, dict[str, str]] = {}
    for step, path in checkpoints(folder).items():
        try:
            status = path.stat()
            facts[step] = _metadata(path, status.st_mtime_ns, status.st_size)
        except (OSError, ModelError):
            continue  # deleted meanwhile, or damaged: `load_model` says which
    if not facts:
        return None
    last = facts[max(facts)]
    return ModelEntry(
        name,
        last.get("arch", ""),
        last.get("title", name),
        tuple(facts),
        {s: float(f["test_accuracy"]) for s, f in facts.items() if "test_accuracy" in f},
        {s: float(f["epoch"]) for s, f in facts.items() if "epoch" in f},
    )


@lru_cache(maxsize=4096)
def _metadata(path: Path, changed: int, size: int) -> dict[str, str]:
    return read_metadata(path)


def _born(folder: Path) -> float:
    """When the run was made: its specification is written first and never again."""
    for path in (folder / "spec.json", folder):
        try:
            return os.stat(path).st_mtime
        except OSError:
            continue
    return 0.0
