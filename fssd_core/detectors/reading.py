"""What detectors read from a network besides its taps: the last linear layer, its input, pooled feature maps."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from fssd_core.block_ends import kind_of
from fssd_core.errors import InputError
from fssd_core.extractor import FeatureExtractor
from fssd_core.runtime import images_at_once

NEEDS_HEAD = "a linear layer as the last step"


class Head:
    """The network's last linear layer, found by running one image: its output is the logits.

    Attributes:
        layer: a frozen copy, features (N, D) -> logits (N, C).

    Raises:
        InputError: the network does not end in one linear layer on (N, D) features.
    """

    layer: nn.Linear

    def __init__(self, extractor: FeatureExtractor, image: Tensor, detector: str) -> None:
        called: list[tuple[nn.Module, Tensor, Tensor]] = []
        handles = [
            module.register_forward_hook(lambda m, inputs, output: called.append((m, inputs[0], output)))
            for module in extractor.module.modules()
            if issubclass(kind_of(module), nn.Linear)
        ]
        try:
            with torch.no_grad():
                logits = extractor.taps_and_logits(image[:1])[1]
        finally:
            for handle in handles:
                handle.remove()
        if not called or called[-1][1].ndim != 2 or not torch.equal(called[-1][2][:1], logits):
            raise InputError(
                f"detector {detector!r} reads the features before the last linear layer, and this network does not end "
                "in one (nn.Linear on one vector an image); choose another detector, or one network without a layer "
                "behind its logits"
            )
        self._module = called[-1][0]
        self.layer = _linear(self._module).requires_grad_(False).eval()

    def features(self, extractor: FeatureExtractor, images: Tensor) -> Tensor:
        """(n, D) input of the last linear layer for one batch, without graph."""
        seen: list[Tensor] = []

        def keep(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
            seen.append(inputs[0])

        handle = self._module.register_forward_pre_hook(keep)
        try:
            with torch.no_grad():
                extractor.taps_and_logits(images)
        finally:
            handle.remove()
        low, high = images_at_once(extractor.module)
        if low <= len(images) <= high:
            return seen[-1].detach()
        return torch.cat(seen)[: len(images)].detach()  # a program that took them in parts, the last one filled up


def _linear(module: nn.Module) -> nn.Linear:
    """A copy of a linear layer; of one inside an exported program, its weights in one of torch's."""
    if isinstance(module, nn.Linear):
        return copy.deepcopy(module)
    state = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
    classes, width = state["weight"].shape
    made = nn.Linear(width, classes, bias="bias" in state, device=state["weight"].device)
    made.load_state_dict(state)
    return made


def pooled(features: Tensor) -> Tensor:
    """(N, C, ...) feature maps averaged over space, (N, T, D) tokens over tokens, (N, D) as they are: (N, D)."""
    if features.ndim == 3:
        return features.mean(1)
    return features.flatten(2).mean(2) if features.ndim > 3 else features
