"""The one door to torchvision: every import of it in this project goes through here.

A CPU build of torch with torchvision's CUDA-built wheel lacks two operators that torchvision registers fakes for
when imported; they are declared first, and only then. On a matching pair of builds this does nothing.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

import torch


@cache
def torchvision() -> ModuleType:
    """The torchvision package with `models`, `datasets` and `transforms` imported."""
    import importlib

    if torch.version.cuda is None:
        library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
        for name in ("nms", "qnms"):
            try:
                library.define(  # type: ignore[no-untyped-call]
                    f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
                )
            except RuntimeError:  # a matching CPU build has declared it already
                continue
        _KEEP.append(library)
    package = importlib.import_module("torchvision")
    for part in ("models", "datasets", "transforms"):
        importlib.import_module(f"torchvision.{part}")
    return package


_KEEP: list[object] = []  # a Library's operators vanish when it is collected
