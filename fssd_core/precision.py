"""In which numbers a network computes: exact float32, or bfloat16 over channels-last memory, a clear switch."""

from __future__ import annotations

import copy
from collections import Counter

import torch
from torch import nn

from fssd_core.errors import InputError, did_you_mean
from fssd_core.extractor import FeatureExtractor

PRECISIONS = ("float32", "bfloat16")
DEFAULT = "float32"
CONVERTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)  # these very types: a subclass may do more with its weights


def check_precision(precision: str) -> None:
    """Raises InputError for anything but a name in `PRECISIONS`."""
    if precision not in PRECISIONS:
        raise InputError(
            f"no precision {precision!r}{did_you_mean(precision, PRECISIONS)}; known: {', '.join(PRECISIONS)}"
        )


def in_precision(extractor: FeatureExtractor, precision: str) -> FeatureExtractor:
    """The extractor itself for 'float32'; for 'bfloat16' a copy of its network that computes in reduced precision.

    The copy lies channels last; torch's autocast computes convolutions and products of matrices in bfloat16 (their
    weights are converted once, here) and leaves what needs range (softmax, norms, sums) in float32. F*, distances and
    the gradient with respect to pixels are float32 in both.

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
    uses = Counter(id(p) for _, p in module.named_parameters(remove_duplicate=False))
    for part in module.modules():
        if type(part) in CONVERTED and all(uses[id(p)] == 1 for p in part.parameters(recurse=False)):
            part.to(torch.bfloat16)
    reduced = copy.copy(extractor)
    reduced.module = module
    reduced.autocast = torch.bfloat16
    return reduced
