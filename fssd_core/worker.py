"""Serves study steps in a process of their own: one JSON object a line on stdin, events as JSON lines on stdout.

Request: {"id": 1, "call": "layer_scores", "study": {...}, "args": {...}}. Events: {"id": 1, "done": 3, "total": 8,
"what": "..."} while it runs, then {"id": 1, "ok": true} or {"id": 1, "error": "...", "bug": false}, with the bytes of
"memory" that it still holds. Results land in the Store; to cancel, end the process: entries are written whole or not.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from fssd_core.bench_open import Asked, open_bench
from fssd_core.bench_run import bench_call
from fssd_core.corruption_call import corruptions_call
from fssd_core.data import load_data
from fssd_core.dynamics import dynamics
from fssd_core.errors import FssdError, lookup
from fssd_core.film import film
from fssd_core.inspect_sample import measure_call
from fssd_core.kernel import kernel
from fssd_core.memory import trim
from fssd_core.runtime import Progress
from fssd_core.speed import speed
from fssd_core.store import Store
from fssd_core.study import Study, layer_scores
from fssd_core.study_projection import features_projection
from fssd_core.study_pseudo import pseudo_scores

POLITE = 5  # the pages of all sessions come first where cores are short

Call = Callable[[Study, dict[str, Any], Store, Path | None, Progress], object]


def _scores(study: Study, args: dict[str, Any], store: Store, root: Path | None, progress: Progress) -> object:
    for number, ref in enumerate(args["data"]):

        def told(done: int, total: int, what: str, number: int = number) -> None:
            whole = len(args["data"])
            progress(number * total + done, whole * total, what)

        layer_scores(study, ref, epsilons=args.get("epsilons"), store=store, root=root, progress=told)
    return None


def _pseudo(study: Study, args: dict[str, Any], store: Store, root: Path | None, progress: Progress) -> object:
    return pseudo_scores(study, epsilons=args.get("epsilons"), store=store, root=root, progress=progress)


def _projection(study: Study, args: dict[str, Any], store: Store, root: Path | None, progress: Progress) -> object:
    return features_projection(study, args["layer"], args["view"], store=store, root=root, progress=progress)


def _film(study: Study, args: dict[str, Any], store: Store, root: Path | None, progress: Progress) -> object:
    return film(study, args["layer"], args["view"], store=store, root=root, progress=progress)


def _dynamics(study: Study, args: dict[str, Any], store: Store, root: Path | None, progress: Progress) -> object:
    return dynamics(study, store=store, root=root, progress=progress)


def _speed(study: Study, args: dict[str, Any], store: Store, root: Path | None, progress: Progress) -> object:
    return speed(study, store=store, root=root, progress=progress)


def _kernel(study: Study, args: dict[str, Any], store: Store, root: Path | None, progress: Progress) -> object:
    return kernel(study, args["layer"], store=store, root=root, progress=progress)


def _download(study: Study, args: dict[str, Any], store: Store, root: Path | None, progress: Progress) -> object:
    return load_data(args["data"], root=root, download=True)


def _bench(study: Study, args: dict[str, Any], store: Store, root: Path | None, progress: Progress) -> object:
    bench = open_bench(Asked(**args["asked"]), root=root)
    return bench_call(bench, args["detectors"], store=store, progress=progress)


CALLS: dict[str, Call] = {
    "layer_scores": _scores,
    "pseudo_scores": _pseudo,
    "projection": _projection,
    "download": _download,
    "dynamics": _dynamics,
    "film": _film,
    "inspect": measure_call,
    "kernel": _kernel,
    "speed": _speed,
    "bench": _bench,
    "corruptions": corruptions_call,
}


def serve(requests: IO[str], events: IO[str]) -> None:
    """Answers requests until the input ends."""

    def say(**event: Any) -> None:
        events.write(json.dumps(event) + "\n")
        events.flush()

    for line in requests:
        request = json.loads(line)
        number = request["id"]
        last = 0.0

        def answer(number: int = number, **event: Any) -> None:
            say(id=number, memory=trim(), **event)

        def progress(done: int, total: int, what: str, number: int = number) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last > 0.1 or done >= total:
                last = now
                say(id=number, done=done, total=total, what=what)

        try:
            root = Path(request["root"]) if request.get("root") else None
            store = Store(Path(request["store"]), [Path(p) for p in request.get("shipped", [])])
            call = lookup(CALLS, request["call"], "worker call")
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                call(Study.from_json(request["study"]), request.get("args", {}), store, root, progress)
            notes = [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
            answer(ok=True, warnings=notes)
        except FssdError as error:
            answer(error=str(error), bug=False)
        except Exception as error:  # noqa: BLE001 - the page shows it as a bug, with its traceback in the log
            traceback.print_exc()
            answer(error=f"{type(error).__name__}: {error}", bug=True)


def main() -> None:
    """Entry point of `python -m fssd_core.worker`."""
    events = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints goes to the log, not among the events
    if hasattr(os, "nice"):
        os.nice(POLITE)
    serve(sys.stdin, events)


if __name__ == "__main__":
    main()
