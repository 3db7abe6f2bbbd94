"""Disks: a full one, a read-only one, damaged entries and two processes on one store, with the real store and worker.

A full disk is a tiny tmpfs where this process may mount one, else a limit on the size of files (RLIMIT_FSIZE); a
read-only one is that tmpfs remounted, else a store whose folder is a file.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from fssd_core.atomic import ENDING
from fssd_core.errors import StoreWarning
from fssd_core.store import Store
from fssd_core.study import Study, layer_scores

STUDY = Study(samples=200, points=40, ood=("mnist",))
EPSILONS = [0.0, 0.01, 0.02]
WRITER = """
import sys
from pathlib import Path
from benchmarks.soak_disks import EPSILONS, STUDY
from fssd_core.store import Store
from fssd_core.study import layer_scores
for data in ("mnist", "fmnist:test", "digits8x8"):
    layer_scores(STUDY, data, epsilons=EPSILONS, store=Store(Path(sys.argv[1])))
"""


def _scores(root: Path) -> tuple[dict[float, Any], list[str]]:
    """({epsilon: scores}, store warnings)."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = layer_scores(STUDY, "mnist", epsilons=EPSILONS, store=Store(root))
    return found, [str(w.message) for w in caught if issubclass(w.category, StoreWarning)]


def _same(a: dict[float, Any], b: dict[float, Any]) -> bool:
    return all(np.array_equal(a[e].values, b[e].values) for e in a)


@contextmanager
def tiny_disk(folder: Path, *, kib: int) -> Iterator[bool]:
    """A file system of that size at the folder; gives False, and mounts nothing, where that is not allowed."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(folder)]
    mounted = (
        shutil.which("mount") is not None and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    )
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def _small_files(limit: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then writing fails with EFBIG
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def full(home: Path) -> dict[str, Any]:
    """Scores on a full disk are computed, told as not kept, and leave nothing half written."""
    right, _ = _scores(home / "roomy")
    folder = home / "full"
    with tiny_disk(folder, kib=16) as mounted:
        if mounted:
            (folder / "filling").write_bytes(bytes(12 * 1024))
            found, told = _scores(folder / "store")
        else:
            with _small_files(64):
                found, told = _scores(folder / "store")
        left = [str(p) for p in folder.rglob("*") if p.is_file() and (p.suffix == ENDING or not _whole(p, folder))]
    return {
        "by": "a tmpfs of 16 KiB" if mounted else "RLIMIT_FSIZE",
        "results right": _same(found, right),
        "warnings": len(told),
        "half-written files": left,
        "wrong": [] if told and not left and _same(found, right) else ["see above"],
    }


def _whole(path: Path, folder: Path) -> bool:
    if path.suffix != ".npz":
        return True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Store(folder / "store").get(f"{path.parent.name}/{path.stem}") is not None


def read_only(home: Path) -> dict[str, Any]:
    """A store that cannot be written is read; what it lacks is computed and told as not kept."""
    right, _ = _scores(home / "roomy")
    folder = home / "read-only"
    with tiny_disk(folder, kib=4096) as mounted:
        if mounted:
            layer_scores(STUDY, "mnist", epsilons=EPSILONS[:1], store=Store(folder / "store"))
            subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        else:
            (folder / "store").write_text("in the way")
        found, told = _scores(folder / "store")
    missing = len(EPSILONS) - mounted
    return {
        "by": "a tmpfs mounted read-only" if mounted else "a file in the folder's place",
        "results right": _same(found, right),
        "warnings": len(told),
        "wrong": [] if _same(found, right) and len(told) == missing else ["see above"],
    }


def damaged(home: Path, *, entries: int, draw: random.Random) -> dict[str, Any]:
    """Entries cut, flipped or replaced at random: each is noticed, computed again and right afterwards."""
    right, _ = _scores(home / "roomy")
    root = home / "damaged"
    _scores(root)
    paths, unnoticed, wrong, kinds = sorted(root.glob("*/*.npz")), 0, [], {"cut": 0, "flipped": 0, "replaced": 0}
    for number in range(entries):
        path, kind = draw.choice(paths), draw.choice(list(kinds))
        raw = bytearray(path.read_bytes())
        if kind == "cut":
            raw = raw[: draw.randrange(len(raw))]
        elif kind == "flipped":
            raw[draw.randrange(len(raw))] ^= 1 << draw.randrange(8)
        else:
            raw = bytearray(draw.randbytes(len(raw)))
        path.write_bytes(bytes(raw))
        kinds[kind] += 1
        found, told = _scores(root)
        unnoticed += not told  # a bit in a field that no reader uses, as a time stamp in the zip's directory
        if not _same(found, right):
            wrong.append(f"{number}: {kind} {path.name} gives other numbers")
    return {"damages": entries, **kinds, "harmless, so not noticed": unnoticed, "wrong": wrong}


def shared(home: Path, *, processes: int) -> dict[str, Any]:
    """Several processes compute the same things on one store at once: all end well, every entry is whole."""
    root = home / "shared"
    command = [sys.executable, "-c", WRITER, str(root)]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(processes)]
    said = [p.communicate()[1] for p in running]
    codes = [p.returncode for p in running]
    entries = sorted(root.glob("*/*.npz"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = sum(Store(root).get(f"{p.parent.name}/{p.stem}") is not None for p in entries)
    left = len(list(root.rglob(f"*{ENDING}")))
    ok = not any(codes) and whole == len(entries) == 3 * len(EPSILONS) and not left
    return {
        "processes": processes,
        "entries": len(entries),
        "whole": whole,
        "temporary files left": left,
        "wrong": [] if ok else [f"codes {codes}", *said],
    }


def disks(home: Path, *, damages: int = 200, processes: int = 2, seed: int = 0) -> dict[str, Any]:
    """All of them."""
    os.makedirs(home, exist_ok=True)
    return {
        "full disk": full(home),
        "read-only store": read_only(home),
        "damaged entries": damaged(home, entries=damages, draw=random.Random(seed)),
        "two processes on one store": shared(home, processes=processes),
    }
