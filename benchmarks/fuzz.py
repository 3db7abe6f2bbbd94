"""Damaged inputs of every kind, each read as a user's file would be: only clear errors, no crash, no hang.

    python -m benchmarks.fuzz --inputs 10000 --seed 0 --json benchmarks/results/fuzz.json

Readers run in a process of their own under a limit of memory; its parent watches the clock. Every input is made anew
from (seed, kind, number): `--kind npz --only 17` repeats one and shows its traceback.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.fuzz_kinds import KINDS, make_input
from fssd_core.errors import FssdError

ROOM = 3 * 2**30  # bytes of address space beyond what the warm process has


@dataclass
class Told:
    """What became of the inputs of one kind."""

    inputs: int = 0
    read: int = 0
    refused: int = 0
    bugs: int = 0
    crashes: int = 0
    hangs: int = 0
    slowest_s: float = 0.0
    most_memory_mib: float = 0.0
    first_bugs: dict[str, str] = field(default_factory=dict)


def run_kind(kind: str, numbers: list[int], *, seed: int) -> Told:
    """Reads these inputs of a kind, starting a new process where one died or hung."""
    told, left = Told(inputs=len(numbers)), list(numbers)
    while left:
        left = left[_watch(kind, left, seed, told) :]
    return told


def _watch(kind: str, numbers: list[int], seed: int, told: Told) -> int:
    """How many inputs one process got through, the one it died of among them."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(kind, numbers, seed, theirs))
    process.start()
    theirs.close()
    count = 0
    try:
        while count < len(numbers):
            if not ours.poll(KINDS[kind].limit):
                told.hangs += 1
                told.first_bugs.setdefault("hang", f"number {numbers[count]}")
                return count + 1
            try:
                what, words, seconds, memory = ours.recv()
            except EOFError:
                process.join(10)
                told.crashes += 1
                told.first_bugs.setdefault(f"crash, exit code {process.exitcode}", f"number {numbers[count]}")
                return count + 1
            setattr(told, what, getattr(told, what) + 1)
            told.slowest_s = max(told.slowest_s, round(seconds, 2))
            told.most_memory_mib = max(told.most_memory_mib, round(memory, 1))
            if what == "bugs":
                told.first_bugs.setdefault(words, f"number {numbers[count]}")
            count += 1
        return count
    finally:
        if process.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with the workers that a page may have started
        process.join()
        ours.close()


def _serve(kind: str, numbers: list[int], seed: int, told: Connection) -> None:
    os.setsid()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FSSD_HOME"], os.environ["FSSD_DATA_ROOT"] = f"{folder}/home", ""
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libraries' own words on damaged files
        before = _limit_memory() if kind != "addresses (URL parameters)" else _peak()
        for number in numbers:
            start = time.perf_counter()
            what, words = try_input(kind, number, Path(folder), seed=seed)
            told.send((what, words, time.perf_counter() - start, _peak() - before))


def try_input(kind: str, number: int, folder: Path, *, seed: int) -> tuple[str, str]:
    """('read', ''), ('refused', the message) or ('bugs', where the traceback ends)."""
    ending, content = make_input(kind, number, seed=seed)
    path = folder / f"input-{number}{ending}"
    path.write_bytes(content)
    try:
        KINDS[kind].read(path)
    except FssdError as error:
        return ("refused", str(error)) if str(error).strip() else ("bugs", "an error without words")
    except Exception as error:  # noqa: BLE001 - anything else is what is looked for
        last = traceback.extract_tb(error.__traceback__)
        own = next((f for f in reversed(last) if "fssd_core" in f.filename or "/app/" in f.filename), last[-1])
        return "bugs", f"{type(error).__name__}: {str(error)[:100]} ({Path(own.filename).name}:{own.lineno})"
    finally:
        path.unlink(missing_ok=True)
    return "read", ""


def _peak() -> float:
    """MiB that the process held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _limit_memory() -> float:
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + ROOM, resource.RLIM_INFINITY))
    return _peak()


def shares(inputs: int, kinds: list[str]) -> dict[str, int]:
    """{kind: inputs}, at least `inputs` together."""
    total = sum(KINDS[kind].share for kind in kinds)
    return {kind: -int(-inputs * KINDS[kind].share // total) for kind in kinds}


def _warm() -> None:
    """Imports before the fork what the readers need."""
    import pyarrow.parquet  # noqa: F401
    import torch

    import fssd_core.models
    import fssd_core.study  # noqa: F401

    torch.set_num_threads(1)


def _rows(told: dict[str, Told]) -> Iterator[str]:
    names = ("inputs", "read", "refused", "bugs", "crashes", "hangs", "slowest_s", "most_memory_mib")
    yield f"{'kind':<36}" + "".join(f"{name:>16}" for name in names)
    for kind, one in told.items():
        yield f"{kind:<36}" + "".join(f"{getattr(one, name):>16}" for name in names)


def main(argv: list[str] | None = None) -> int:
    """0 where only clear errors came, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", help="one kind (the beginning of its name)")
    parser.add_argument("--only", type=int, help="one input of that kind, with its traceback")
    parser.add_argument("--save", type=Path, help="with --only: write the input there")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args(argv)
    kinds = [kind for kind in KINDS if kind.lower().startswith((options.kind or "").lower())]
    if not kinds:
        parser.error(f"no kind {options.kind!r}; there are {', '.join(KINDS)}")
    _warm()
    if options.only is not None:
        return _repeat(kinds[0], options.only, options.seed, options.save)
    started, told = time.perf_counter(), {}
    for kind, count in shares(options.inputs, kinds).items():
        told[kind] = run_kind(kind, list(range(count)), seed=options.seed)
        print(f"{kind}: {told[kind]}", flush=True)
    counts = Counter({k: sum(getattr(t, k) for t in told.values()) for k in ("inputs", "bugs", "crashes", "hangs")})
    print("\n".join(_rows(told)))
    print(f"{dict(counts)} in {time.perf_counter() - started:.0f} s")
    if options.json:
        figures = {"seed": options.seed, **counts, "kinds": {kind: asdict(one) for kind, one in told.items()}}
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 1 if counts["bugs"] + counts["crashes"] + counts["hangs"] else 0


def _repeat(kind: str, number: int, seed: int, save: Path | None) -> int:
    ending, content = make_input(kind, number, seed=seed)
    folder = Path(tempfile.mkdtemp())
    path = folder / f"input{ending}"
    path.write_bytes(content)
    if save:
        shutil.copy(path, save)
    print(f"{kind} {number}: {len(content)} bytes {content[:80]!r}")
    try:
        print("read:", KINDS[kind].read(path))
    except FssdError as error:
        print(f"refused: {error}")
    finally:
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
