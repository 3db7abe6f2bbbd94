"""What is kept in memory between steps (models, extractors, F*): one budget, the least recently used goes first."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch

from fssd_core.errors import InputError

P = ParamSpec("P")
R = TypeVar("R")
USUAL_SHARE = 8  # of the machine's memory, where $FSSD_MEMORY does not say how much


class Kept:
    """Values by key, at most `budget` bytes of them (the newest one always stays), least recently used out first."""

    def __init__(self, budget: Callable[[], int]) -> None:
        self._budget = budget
        self._values: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._lock = threading.Lock()
        self._making: dict[Hashable, threading.Lock] = {}
        self.held = 0

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Hashable, make: Callable[[], R]) -> R:
        """The value of the key, made where it is not kept, by one thread at a time; errors are not kept."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                found: R = self._values[key][0]
                return found
            making = self._making.setdefault(key, threading.Lock())
        with making:  # twenty sessions that open at once wait for one making instead of making twenty
            with self._lock:
                if key in self._values:
                    found = self._values[key][0]
                    return found  # noqa: RET504 - the type is said above
            try:
                value = make()  # outside the lock of all: a download may take minutes
                size = size_of(value)
            except BaseException:
                with self._lock:
                    self._making.pop(key, None)
                raise
            with self._lock:
                self._making.pop(key, None)
                self._values[key] = (value, size)
                self.held += size
                while self.held > self._budget() and len(self._values) > 1:
                    self._forget(next(iter(self._values)))
        return value

    def clear(self) -> None:
        """Releases everything."""
        with self._lock:
            self._values.clear()
            self.held = 0

    def _forget(self, key: Hashable) -> None:
        if key in self._values:
            self.held -= self._values.pop(key)[1]


@functools.cache
def budget() -> int:
    """Bytes that a process keeps: $FSSD_MEMORY in MiB, else an eighth of the machine's memory.

    Raises:
        InputError: $FSSD_MEMORY is no number of MiB.
    """
    text = os.environ.get("FSSD_MEMORY", "")
    if not text:
        return installed() // USUAL_SHARE
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"FSSD_MEMORY={text!r} was given; it is a whole number of MiB, 1 or more")
    return int(text) * 2**20


KEPT = Kept(budget)


def kept(function: Callable[P, R]) -> Callable[P, R]:
    """The function, its values kept by its arguments (hashable) in the process's one budget."""

    @functools.wraps(function)
    def found(*args: P.args, **kwargs: P.kwargs) -> R:
        key = (function.__module__, function.__qualname__, args, tuple(sorted(kwargs.items())))
        return KEPT.get(key, lambda: function(*args, **kwargs))

    return found


def size_of(value: object) -> int:
    """Bytes of the tensors and arrays that a value holds, looked for in containers and attributes; at least 1 KiB."""
    return 1024 + _size(value, set(), 0)


def _size(value: object, seen: set[int], depth: int) -> int:
    if id(value) in seen or depth > 6:
        return 0
    seen.add(id(value))
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, torch.nn.Module):
        return sum(_size(t, seen, 0) for t in (*value.parameters(), *value.buffers()))
    if isinstance(value, dict):
        return sum(_size(v, seen, depth + 1) for v in value.values())
    if isinstance(value, list | tuple):
        return sum(_size(v, seen, depth + 1) for v in value)
    if type(value).__module__.startswith("fssd_core"):
        return sum(_size(v, seen, depth + 1) for v in vars(value).values()) if hasattr(value, "__dict__") else 0
    return 0


def installed() -> int:
    """Bytes of main memory that this process may use: the machine's, or its control group's limit; 4 GiB if unknown."""
    try:
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 4 * 2**30
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            with open(name) as file:
                whole = min(whole, int(file.read()))
        except (OSError, ValueError):
            continue
    return whole


def resident() -> int:
    """Bytes of main memory that this process holds now; 0 where the system does not say."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def trim() -> int:
    """Gives freed memory back to the system, where that can be asked for; bytes still held."""
    gc.collect()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library: it keeps what was freed
            ctypes.CDLL("libc.so.6").malloc_trim(0)
    return resident()
