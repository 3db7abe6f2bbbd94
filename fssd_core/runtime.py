"""Device, batch size, seeded generators, progress and cancellation: what every long step shares."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import torch
from torch import nn
from torch.utils import _pytree as pytree

from fssd_core.errors import InputError, MemoryShortError

T = TypeVar("T")


class Progress(Protocol):
    """Told how far a long step is. To cancel the step, raise CancelledError from it."""

    def __call__(self, done: int, total: int, what: str) -> None:
        """`done` of `total` units of `what` are finished."""


def silent(done: int, total: int, what: str) -> None:
    """A Progress that says nothing."""


def part(progress: Progress, low: int, high: int) -> Progress:
    """A Progress whose whole is the share low..high of 100 of the given one."""

    def told(done: int, total: int, what: str) -> None:
        progress(round(low + (high - low) * done / max(total, 1)), 100, what)

    return told


def pick_device(name: str | None = None) -> torch.device:
    """The named device, else CUDA, else MPS, else the CPU.

    Raises:
        InputError: the named device does not exist here.
    """
    if name is None:
        name = os.environ.get("FSSD_DEVICE") or (
            "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        )
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        cause = str(error).splitlines()[0]
        raise InputError(f"device {name!r} cannot be used here ({cause}); give 'cpu', 'cuda' or 'mps'") from error
    return device


def describe_device(device: torch.device) -> str:
    """One line for people: what computes, and its memory."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return f"GPU {torch.cuda.get_device_name(device)}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
    if device.type == "mps":
        return "GPU Apple MPS"
    return f"CPU, {torch.get_num_threads()} threads, {_free_memory() / 2**30:.1f} GiB free"


def _free_memory() -> int:
    """Free bytes of main memory, 4 GiB where the system does not say."""
    try:
        with open("/proc/meminfo") as lines:
            for line in lines:
                if line.startswith("MemAvailable"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 4 * 2**30


def fitting_batch(bytes_per_image: int, device: torch.device, *, most: int = 256) -> int:
    """How many images at once fit into half of the device's free memory: 1 to `most`."""
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else _free_memory()
    return max(1, min(most, free // 2 // max(1, bytes_per_image)))


def generator(seed: int) -> torch.Generator:
    """A CPU generator, so that the same seed draws the same numbers whatever the device."""
    return torch.Generator().manual_seed(seed)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this is the device's or the system's way of saying that memory ran out."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)


def in_batches(
    count: int,
    work: Callable[[slice], T],
    *,
    batch_size: int | None = None,
    progress: Progress = silent,
    what: str = "images",
) -> Iterator[tuple[slice, T]]:
    """(rows, work(rows)) over 0..count in order; a batch that runs out of memory is halved and tried again.

    Args:
        count: how many rows there are.
        work: computes one slice of rows.
        batch_size: rows at once; 256 if None. Halving lasts for the rest of the run.
        progress: told after each batch; may raise CancelledError.
        what: the unit for progress.

    Raises:
        MemoryShortError: a single row does not fit.
        InputError: batch_size below 1.
    """
    size = 256 if batch_size is None else batch_size
    if size < 1:
        raise InputError(f"batch size {size} was given; it must be at least 1")
    start = 0
    progress(0, count, what)
    while start < count:
        rows = slice(start, min(start + size, count))
        try:
            result = work(rows)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            if rows.stop - rows.start == 1:
                raise MemoryShortError(
                    "a single image does not fit into memory; choose fewer layers, a smaller image or another device"
                ) from error
            size = max(1, (rows.stop - rows.start) // 2)
            continue
        yield rows, result
        start = rows.stop
        progress(start, count, what)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Torch on `count` CPU threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Lets CUDA multiply float32 in TF32 (10 bits of mantissa) inside the block, or forbids it; the CPU has no TF32."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def to_device(batch: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The batch on the device; to CUDA through pinned memory, so that the copy runs beside the computing."""
    if device.type == "cuda" and batch.device.type == "cpu":
        return batch.pin_memory().to(device, non_blocking=True)
    return batch.to(device)


ANY_NUMBER = 2**31  # images at once, where nothing limits them


def images_at_once(module: nn.Module) -> tuple[int, int]:
    """(fewest, most) images that a network takes at once; a program may have been exported for a number of them."""
    found = getattr(module, "images_at_once", None)
    return found if isinstance(found, tuple) else (1, ANY_NUMBER)


def pieces(images: torch.Tensor, batch: tuple[int, int]) -> Iterator[torch.Tensor]:
    """The images in parts of at most batch[1], the last one filled up to batch[0] by repeating its last image."""
    low, high = batch
    whole = images if len(images) else images.new_zeros(1, *images.shape[1:])
    for start in range(0, len(whole), high):
        part = whole[start : start + high]
        lack = low - len(part)
        yield torch.cat([part, part[-1:].expand(lack, *part.shape[1:])]) if lack > 0 else part


def joined(outputs: list[Any], count: int) -> Any:
    """Outputs of parts one after the other, what was filled up taken off."""
    first, spec = pytree.tree_flatten(outputs[0])
    rows = [pytree.tree_flatten(output)[0] for output in outputs]
    values = [
        torch.cat([row[k] for row in rows])[:count] if isinstance(value, torch.Tensor) and value.ndim else value
        for k, value in enumerate(first)
    ]
    return pytree.tree_unflatten(values, spec)


@contextmanager
def evaluated(module: nn.Module) -> Iterator[None]:
    """Eval mode inside; every inner module's mode as it was afterwards."""
    modes = [(inner, inner.training) for inner in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for inner, training in modes:
            inner.training = training
