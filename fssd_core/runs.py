"""Runs: trainings in folders of their own, each a process that can be paused, stopped, found again and continued.

A run's folder holds spec.json (what it is, never changed), run.json (its state), step-*.safetensors (checkpoints that
every page opens as 'run/<id>'), resume.safetensors (all that the next update depends on), progress.jsonl, probe.npz and
frame.npz (what the page draws), heartbeat (touched each second), command (what the page asks for) and log.txt.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fssd_core.atomic import write_bytes
from fssd_core.errors import FssdError, InputError, ModelError
from fssd_core.models.registry import RUN_PREFIX, checkpoints, run_folder, run_ids, runs_root
from fssd_core.run_spec import RunSpec

STARTING, RUNNING, PAUSED = "starting", "running", "paused"
DONE, STOPPED, FAILED, INTERRUPTED, DAMAGED = "done", "stopped", "failed", "interrupted", "damaged"
ACTIVE = (STARTING, RUNNING, PAUSED)
MAX_RUNS = 2
COMMANDS = ("pause", "resume", "stop")
_START_SECONDS = 60.0  # a process that has not said anything by then is gone
_CHILDREN: list[subprocess.Popen[bytes]] = []  # kept, so that ended ones are reaped and none is warned about


@dataclass(frozen=True)
class RunInfo:
    """A run as its folder tells.

    Attributes:
        id: its name; 'run/<id>' is the model reference.
        folder: where it lies.
        spec: what it is; None if spec.json cannot be read.
        state: 'starting', 'running', 'paused', 'done', 'stopped', 'failed', 'interrupted' (its process is gone) or
            'damaged'.
        step: updates so far.
        total: updates asked for, 0 while unknown.
        seconds: spent training and measuring.
        message: what went wrong, or what must be known.
        started: time of the first start, seconds since 1970.
    """

    id: str
    folder: Path
    spec: RunSpec | None
    state: str
    step: int = 0
    total: int = 0
    seconds: float = 0.0
    message: str = ""
    started: float = 0.0

    @property
    def active(self) -> bool:
        """Whether its process is there."""
        return self.state in ACTIVE

    @property
    def model(self) -> str:
        """The reference for `load_model`."""
        return RUN_PREFIX + self.id

    @property
    def can_continue(self) -> bool:
        """Whether `continue_run` would go on with it."""
        return self.spec is not None and self.state in (STOPPED, INTERRUPTED, FAILED)

    def checkpoints(self) -> int:
        """Number of whole checkpoints."""
        return len(checkpoints(self.folder))


def create_run(spec: RunSpec, *, folder: Path | None = None) -> Path:
    """A fresh folder for the run: below the user's own runs, with a name that says what it is, unless one is given.

    Raises:
        InputError: the folder holds a run or something else already, or cannot be made.
    """
    try:
        if folder is None:
            while True:
                name = f"{spec.arch}-{spec.activation}-{spec.loss}-{secrets.token_hex(2)}"
                folder = runs_root() / name
                if not folder.exists():
                    break
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(f"{folder} is there already and not empty; give another place for the run")
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "spec.json", spec.to_json())
        (folder / "heartbeat").touch()
        write_state(folder, state=STARTING, started=time.time())
    except OSError as error:
        raise InputError(f"{folder}: the run's folder cannot be made ({error.strerror or error})") from error
    return folder


def start_run(spec: RunSpec) -> RunInfo:
    """Creates the run and starts its process.

    Raises:
        InputError: two runs are active already, or the folder cannot be made.
    """
    _check_room()
    folder = create_run(spec)
    launch(folder)
    return read_run(folder)


def continue_run(run_id: str) -> RunInfo:
    """Starts the process of a stopped, interrupted or failed run again; it goes on from its last saved state.

    Raises:
        InputError: it is active or done, or two others are active.
        ModelError: no such run.
    """
    info = find_run(run_id)
    if not info.can_continue:
        raise InputError(f"run {run_id!r} is {info.state}; only a stopped, interrupted or failed run can go on")
    _check_room()
    write_state(info.folder, **{**_state(info.folder), "state": STARTING, "message": "", "pid": None})
    launch(info.folder)
    return read_run(info.folder)


def launch(folder: Path) -> subprocess.Popen[bytes]:
    """Starts `python -m fssd_core.train_process` on the folder; it ends itself if this process ends."""
    (folder / "command").unlink(missing_ok=True)
    (folder / "heartbeat").touch()
    root = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    _CHILDREN[:] = [child for child in _CHILDREN if child.poll() is None]
    with (folder / "log.txt").open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "fssd_core.train_process", str(folder), "--parent", str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl+C in the server's terminal reaches the server alone, which says so by ending
            env={**os.environ, "PYTHONPATH": path},
        )
    _CHILDREN.append(child)
    return child


def command_run(run_id: str, command: str) -> None:
    """Asks a run to 'pause', 'resume' or 'stop'; it obeys after the update in hand.

    Raises:
        InputError: another word.
        ModelError: no such run.
    """
    if command not in COMMANDS:
        raise InputError(f"no command {command!r}; known: {', '.join(COMMANDS)}")
    write_bytes(find_run(run_id).folder / "command", command.encode())


def delete_run(run_id: str) -> None:
    """Removes a run's folder with all its checkpoints.

    Raises:
        InputError: its process is still there.
        ModelError: no such run.
    """
    info = find_run(run_id)
    if info.active:
        raise InputError(f"run {run_id!r} is {info.state}; stop it first")
    shutil.rmtree(info.folder)


def list_runs() -> list[RunInfo]:
    """All runs, the newest first."""
    return [read_run(run_folder(name)) for name in run_ids()]


def find_run(run_id: str) -> RunInfo:
    """The run of that id.

    Raises:
        ModelError: an id that is not a plain name, or no such run.
    """
    folder = run_folder(run_id)
    if not folder.is_dir():
        raise ModelError(f"there is no run {run_id!r}; it may have been deleted")
    return read_run(folder)


def read_run(folder: Path) -> RunInfo:
    """What the folder tells; never raises for a damaged one."""
    try:
        spec = RunSpec.from_json(json.loads((folder / "spec.json").read_text(encoding="utf-8")))
        state = _state(folder)
        info = RunInfo(
            folder.name,
            folder,
            spec,
            str(state.get("state", STARTING)),
            int(state.get("step", 0)),
            int(state.get("total", 0)),
            float(state.get("seconds", 0.0)),
            str(state.get("message", "")),
            float(state.get("started", 0.0)),
        )
    except (OSError, ValueError, TypeError, FssdError) as error:
        return RunInfo(folder.name, folder, None, DAMAGED, message=f"its files cannot be read ({error})")
    if info.active and not _lives(folder, state):
        return RunInfo(
            info.id, folder, spec, INTERRUPTED, info.step, info.total, info.seconds, _last_words(folder), info.started
        )
    return info


def write_state(folder: Path, **state: Any) -> None:
    """Writes run.json whole."""
    write_json(folder / "run.json", state)


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file whole or not at all."""
    write_bytes(path, (json.dumps(value, indent=1) + "\n").encode())


def read_state(folder: Path) -> dict[str, Any]:
    """The content of run.json; empty if there is none."""
    try:
        return _state(folder)
    except (OSError, ValueError):
        return {}


def born(pid: int) -> str | None:
    """When a process started, in the system's own words; None if there is no such process, or only its remains."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]
    except OSError:
        if Path("/proc/self").exists():
            return None
    try:  # no /proc on this system
        os.kill(pid, 0)
    except OSError:
        return None
    return ""


def _state(folder: Path) -> dict[str, Any]:
    value = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise ValueError("run.json holds no object")
    return value


def _lives(folder: Path, state: dict[str, Any]) -> bool:
    pid = state.get("pid")
    if not isinstance(pid, int):
        return time.time() - _beat(folder) < _START_SECONDS
    return born(pid) is not None and born(pid) == state.get("born")


def _beat(folder: Path) -> float:
    try:
        return (folder / "heartbeat").stat().st_mtime
    except OSError:
        return 0.0


def _last_words(folder: Path) -> str:
    """The last line that the process left in its log, if any."""
    try:
        lines = (folder / "log.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1][:300] if lines else ""


def _check_room() -> None:
    active = [r for r in list_runs() if r.active]
    if len(active) >= MAX_RUNS:
        names = " and ".join(f"{r.id} ({r.state})" for r in active)
        raise InputError(f"{len(active)} runs are active already: {names}; stop one, or wait for its end")
