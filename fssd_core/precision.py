"""In which numbers a network computes: exact float32, or bfloat16 over channels-last memory, a clear switch."""

from __future__ import annotations

import copy

import torch

from fssd_core.errors import InputError, did_you_mean
from fssd_core.extractor import FeatureExtractor

PRECISIONS = ("float32", "bfloat16")
DEFAULT = "float32"


def check_precision(precision: str) -> None:
    """Raises InputError for anything but a name in `PRECISIONS`."""
    if precision not in PRECISIONS:
        raise InputError(
            f"no precision {precision!r}{did_you_mean(precision, PRECISIONS)}; known: {', '.join(PRECISIONS)}"
        )


def in_precision(extractor: FeatureExtractor, precision: str) -> FeatureExtractor:
    """The extractor itself for 'float32'; for 'bfloat16' a copy of its network that computes in reduced precision.

    The copy's weights stay float32 and lie channels last; torch's autocast computes convolutions and products of
    matrices in bfloat16 and leaves what needs range (softmax, norms, sums) in float32. F*, distances and the gradient
    with respect to pixels are float32 in both.

    Args:
        extractor: float32; it is not changed.
        precision: a name in `PRECISIONS`.

    Raises:
        InputError: another name.
    """
    check_precision(precision)
    if precision == DEFAULT:
        return extractor
    module = copy.deepcopy(extractor.module).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    reduced = copy.copy(extractor)
    reduced.module = module
    reduced.autocast = torch.bfloat16
    return reduced
