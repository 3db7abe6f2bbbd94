"""LeNet of this project with two dropout layers, for Monte Carlo dropout."""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt

import torch.nn.functional as F
from torch import Tensor, nn

from fssd_core.models.nets import LeNet, Shape


class DropoutLeNet(nn.Module):
    """As `LeNet`, with dropout 0.25 before the hidden units and 0.5 before the logits (the FSSD authors' rates).

    The taps have LeNet's names; dropout is a part of fc1 and logits, so in eval mode they read the same values.
    """

    taps = LeNet.taps

    def __init__(self, classes: int, input_shape: Shape) -> None:
        super().__init__()
        plain = LeNet(classes, input_shape)
        self.conv1, self.conv2 = plain.conv1, plain.conv2
        self.fc1 = nn.Sequential(nn.Dropout(0.25), *plain.fc1)
        self.logits = nn.Sequential(nn.Dropout(0.5), plain.logits)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, classes)."""
        x = F.max_pool2d(self.conv1(x), 2)
        x = F.max_pool2d(self.conv2(x), 2)
        logits: Tensor = self.logits(self.fc1(x.flatten(1)))
        return logits


def side_of(shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, int]:
    """(channels, side) of the square input that a state dict of these shapes was made for."""
    return shapes["conv1.0.weight"][1], 4 * isqrt(shapes.get("fc1.1.weight", (0, 512))[1] // 32) + 12
