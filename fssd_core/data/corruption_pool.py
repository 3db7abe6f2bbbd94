"""Many corrupted sets on all cores: one pool of processes for a run, cells handed over in order while others are made.

The processes end with the one that started them, even if it is killed.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

import numpy as np

from fssd_core.data.corruptions import Corrupted, check_available, corrupt
from fssd_core.data.images import ImageSet, Pixels, Rows
from fssd_core.errors import InputError, MemoryShortError

Cell = tuple[str, int]
"""(type, severity)."""

CHUNK_PIXELS, CHUNK_IMAGES = 2**19, 250  # one task: about a second's work, so that stopping is quick


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def corrupted_cells(
    images: ImageSet, cells: Sequence[Cell], *, seed: int, workers: int | None = None
) -> Iterator[tuple[Cell, Corrupted]]:
    """The images under every cell, in the cells' order; the same bytes whatever the number of workers.

    Close the iterator (or leave its loop by an exception) to stop: nothing is begun any more, and the processes end.

    Args:
        images: the clean images.
        cells: types and severities.
        seed: of every draw.
        workers: processes; None for one a core, 0 for none (this process does the work).

    Raises:
        InputError: as `corrupt`, or workers below 0.
        MemoryShortError: a process was ended from outside, as happens when memory runs out.
    """
    count = cores() if workers is None else workers
    if count < 0:
        raise InputError(f"{count} workers were asked for; give 1 or more, or 0 to corrupt in this process")
    check_available()
    if count == 0:
        for cell in cells:
            yield cell, corrupt(images.images, *cell, rows=images.rows, seed=seed)
        return
    parts = _parts(images)
    tasks = iter([(cell, part) for cell in cells for part in parts])
    pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), initializer=_start)
    waiting: deque[Future[Corrupted]] = deque()

    def fill() -> None:
        while len(waiting) < max(2 * count, len(parts)) + count and (task := next(tasks, None)) is not None:
            cell, part = task
            with _light_start():
                waiting.append(pool.submit(_work, images.images[part], cell, images.rows[part], seed))

    try:
        fill()
        for cell in cells:
            made = []
            for _ in parts:
                made.append(waiting.popleft().result())
                fill()
            yield cell, _joined(made, parts)
    except BrokenProcessPool as error:
        raise MemoryShortError(
            "a process that corrupts images was ended from outside, probably because memory ran out; "
            "take fewer images or fewer workers"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _parts(images: ImageSet) -> list[slice]:
    pixels = int(np.prod(images.images.shape[1:3]))
    size = max(4, min(CHUNK_IMAGES, CHUNK_PIXELS // pixels))
    return [slice(start, min(start + size, len(images))) for start in range(0, len(images), size)]


def _joined(made: Sequence[Corrupted], parts: Sequence[slice]) -> Corrupted:
    unchanged = [part.start + one.unchanged for one, part in zip(made, parts, strict=True)]
    return Corrupted(np.concatenate([one.images for one in made]), np.concatenate(unchanged))


def _work(images: Pixels, cell: Cell, rows: Rows, seed: int) -> Corrupted:
    return corrupt(images, *cell, rows=rows, seed=seed)


@contextmanager
def _light_start() -> Iterator[None]:
    """A process started inside does not import the program's main module, which would bring torch along.

    multiprocessing finds that module by these two names; what a task needs is found by its own module's name.
    """
    main = vars(sys.modules["__main__"])
    names: tuple[str, ...] = ("__spec__", "__file__")
    kept = {name: main.pop(name) for name in names if name in main}
    main["__spec__"] = None
    try:
        yield
    finally:
        del main["__spec__"]
        main.update(kept)


def _start() -> None:
    """In a new process: ends it as soon as the one that started it is gone, which a killed one cannot say itself."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent,), daemon=True).start()


def _follow(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)
