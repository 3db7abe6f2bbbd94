"""'timm/NAME': any classification network of the package timm, where it is installed: `fssd-explorer[timm]`.

timm is imported inside functions alone, and never asked for pretrained weights: those are downloads.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import torch
from torch import nn

from fssd_core.errors import ModelError
from fssd_core.models.entry import ArchEntry
from fssd_core.models.nets import Shape

TIMM = "timm/"


def timm() -> Any:
    """The package.

    Raises:
        ModelError: it is not installed.
    """
    try:
        import timm as package
    except ImportError as error:
        raise ModelError(
            "the package timm is not installed; `pip install 'fssd-explorer[timm]'` adds it, then start again"
        ) from error
    return package


@cache
def timm_entry(name: str) -> ArchEntry:
    """The entry of 'timm/NAME'.

    Raises:
        ModelError: timm is not installed, has no such network, or the network has no single head.
    """
    package, plain = timm(), name.removeprefix(TIMM)
    if not package.is_model(plain):
        near = package.list_models(f"*{plain.split('_')[0].split('.')[0]}*")[:5]
        said = f"; it has {', '.join(near)}" if near else "; `timm.list_models()` shows them"
        raise ModelError(f"timm {package.__version__} has no network {plain!r}{said}")
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        module = package.create_model(plain, pretrained=False)
    facts = dict(module.pretrained_cfg)
    head, stem = facts.get("classifier"), facts.get("first_conv")
    if not isinstance(head, str) or not isinstance(stem, str):
        raise ModelError(f"{name}: a network with one first convolution and one head is needed; this one has others")
    return ArchEntry(
        name,
        f"{plain} (timm)",
        partial(build_timm, plain),
        tuple(facts["input_size"]),
        tuple(facts["mean"]),
        tuple(facts["std"]),
        (),
        f"{stem}.weight",
        f"{head}.weight",
    )


def build_timm(name: str, classes: int, input_shape: Shape) -> nn.Module:
    """A timm network with fresh weights; one for a fixed image size is built for that of `input_shape`."""
    options: dict[str, Any] = {"pretrained": False, "num_classes": classes, "in_chans": input_shape[0]}
    try:
        module = timm().create_model(name, img_size=input_shape[1:], **options)
    except TypeError:  # networks that take every size have no such argument
        module = timm().create_model(name, **options)
    assert isinstance(module, nn.Module)
    return module
