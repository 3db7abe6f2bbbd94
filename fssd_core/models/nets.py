"""Small networks written for their taps: each tap is a submodule that ends in its activation, before any pooling.

The activation ('relu' or 'tanh') and dropout are chosen when a network is built; its weights keep their names.
"""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from fssd_core.errors import lookup

Shape = tuple[int, int, int]
ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh}


def activated(name: str) -> nn.Module:
    """A fresh activation module.

    Raises:
        InputError: neither 'relu' nor 'tanh'.
    """
    return lookup(ACTIVATIONS, name, "activation")()


class LeNet(nn.Module):
    """Two 5x5 convolutions (16 and 32 channels), each activated and 2x2 max-pooled, then 128 hidden units.

    80,202 parameters for 1x28x28 and 10 classes. Taps: conv1, conv2, fc1 (activated, before pooling), logits. Dropout
    acts on the hidden units.
    """

    taps = ("conv1", "conv2", "fc1", "logits")

    def __init__(self, classes: int, input_shape: Shape, *, activation: str = "relu", dropout: float = 0.0) -> None:
        super().__init__()
        channels, height, width = input_shape
        pixels = _lenet_side(height) * _lenet_side(width)
        self.conv1 = nn.Sequential(nn.Conv2d(channels, 16, 5), activated(activation))
        self.conv2 = nn.Sequential(nn.Conv2d(16, 32, 5), activated(activation))
        self.fc1 = nn.Sequential(nn.Linear(32 * pixels, 128), activated(activation))
        self.dropout = nn.Dropout(dropout)
        self.logits = nn.Linear(128, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, classes)."""
        x = F.max_pool2d(self.conv1(x), 2)
        x = F.max_pool2d(self.conv2(x), 2)
        logits: Tensor = self.logits(self.dropout(self.fc1(x.flatten(1))))
        return logits


class AuthorsLeNet(nn.Module):
    """The LeNet of the FSSD authors' code: 3x3 convolutions (32 and 64), pooling, 128 hidden units; 1.2 M parameters.

    The keys of its state dict are theirs (conv1, conv2, fc1, fc2), so the taps are the ReLUs behind them.
    """

    taps = ("relu1", "relu2", "relu3", "fc2")

    def __init__(self, classes: int, input_shape: Shape) -> None:
        super().__init__()
        channels, height, width = input_shape
        self.conv1 = nn.Conv2d(channels, 32, 3)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.relu2 = nn.ReLU()
        self.dropout1 = nn.Dropout(0.25)
        self.fc1 = nn.Linear(64 * ((height - 4) // 2) * ((width - 4) // 2), 128)
        self.relu3 = nn.ReLU()
        self.dropout2 = nn.Dropout(0.5)
        self.fc2 = nn.Linear(128, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, classes)."""
        x = self.relu2(self.conv2(self.relu1(self.conv1(x))))
        x = self.dropout1(F.max_pool2d(x, 2)).flatten(1)
        logits: Tensor = self.fc2(self.dropout2(self.relu3(self.fc1(x))))
        return logits


class MLP(nn.Module):
    """Two hidden layers of 256 and 128 units on the flattened pixels; dropout acts on both."""

    taps = ("fc1", "fc2", "logits")

    def __init__(self, classes: int, input_shape: Shape, *, activation: str = "relu", dropout: float = 0.0) -> None:
        super().__init__()
        channels, height, width = input_shape
        self.fc1 = nn.Sequential(nn.Linear(channels * height * width, 256), activated(activation))
        self.fc2 = nn.Sequential(nn.Linear(256, 128), activated(activation))
        self.dropout = nn.Dropout(dropout)
        self.logits = nn.Linear(128, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, classes)."""
        x = self.dropout(self.fc1(x.flatten(1)))
        logits: Tensor = self.logits(self.dropout(self.fc2(x)))
        return logits


class CifarResNet(nn.Module):
    """Residual network for small images (He et al. 2016, section 4.2): 6n + 2 layers, shortcuts without weights.

    Taps: stem (conv1, normalised, activated), layer1..layer3, pooled (64 channel means), linear (the logits). Dropout
    acts on the channel means.
    """

    taps = ("stem", "layer1", "layer2", "layer3", "pooled", "linear")

    def __init__(
        self, classes: int, input_shape: Shape, *, depth: int, activation: str = "relu", dropout: float = 0.0
    ) -> None:
        super().__init__()
        widths = (16, 16, 32, 64)
        self.conv1 = nn.Conv2d(input_shape[0], 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.stem = activated(activation)
        stages = [
            _stage(a, b, (depth - 2) // 6, stride=1 if k == 0 else 2, activation=activation)
            for k, (a, b) in enumerate(pairwise(widths))
        ]
        self.layer1, self.layer2, self.layer3 = stages
        self.pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(64, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, classes)."""
        x = self.stem(self.bn1(self.conv1(x)))
        x = self.pooled(self.layer3(self.layer2(self.layer1(x))))
        logits: Tensor = self.linear(self.dropout(x))
        return logits


class _Block(nn.Module):
    """Two 3x3 convolutions and a shortcut of option A: every second pixel, missing channels filled with zeros."""

    def __init__(self, before: int, after: int, stride: int, activation: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.inner = activated(activation)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.outer = activated(activation)
        self.stride = stride
        self.missing = after - before

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(self.inner(self.bn1(self.conv1(x)))))
        side = self.missing // 2
        shortcut = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, side, self.missing - side))
        activated: Tensor = self.outer(out + shortcut)
        return activated


def _stage(before: int, after: int, blocks: int, *, stride: int, activation: str) -> nn.Sequential:
    first = _Block(before, after, stride, activation)
    return nn.Sequential(first, *(_Block(after, after, 1, activation) for _ in range(blocks - 1)))


def _lenet_side(side: int) -> int:
    """Pixels left of a side after 5x5, pool 2, 5x5, pool 2."""
    return ((side - 4) // 2 - 4) // 2
