"""Networks for 32x32 images as other people's well-known code writes them, so that their checkpoints load.

Names of weights are theirs: `CifarResNetB` (chenyaofo/pytorch-cifar-models), `small_resnet` (kuangliu/pytorch-cifar and
OpenOOD, in torchvision's spelling), `WideResNet` (xternalz, used by Hendrycks et al. 2019 and Liu et al. 2020).
"""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from fssd_core.models.nets import Shape
from fssd_core.models.torchvision_nets import build_torchvision, conv_for, replace_module


class CifarResNetB(nn.Module):
    """Residual network of 6n + 2 layers (He et al. 2016, section 4.2) whose shortcuts are 1x1 convolutions (option B).

    Taps: stem, layer1..layer3, pooled (64 channel means), fc (the logits).
    """

    taps = ("relu", "layer1", "layer2", "layer3", "pooled", "fc")

    def __init__(self, classes: int, input_shape: Shape, *, depth: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(input_shape[0], 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        blocks = (depth - 2) // 6
        stages = [_stage(a, b, blocks, 1 if k == 0 else 2) for k, (a, b) in enumerate(pairwise((16, 16, 32, 64)))]
        self.layer1, self.layer2, self.layer3 = stages
        self.pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.fc = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, classes)."""
        x = self.relu(self.bn1(self.conv1(x)))
        logits: Tensor = self.fc(self.pooled(self.layer3(self.layer2(self.layer1(x)))))
        return logits


class _BlockB(nn.Module):
    """Two 3x3 convolutions and a shortcut, a 1x1 convolution where the shape changes."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.downsample = (
            None
            if (before, stride) == (after, 1)
            else nn.Sequential(nn.Conv2d(before, after, 1, stride=stride, bias=False), nn.BatchNorm2d(after))
        )

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(out + (x if self.downsample is None else self.downsample(x)))


def _stage(before: int, after: int, blocks: int, stride: int) -> nn.Sequential:
    return nn.Sequential(_BlockB(before, after, stride), *(_BlockB(after, after, 1) for _ in range(blocks - 1)))


def small_resnet(name: str, classes: int, input_shape: Shape) -> nn.Module:
    """torchvision's ResNet with a 3x3 first convolution of stride 1 and no first pooling."""
    module = build_torchvision(name, classes, (3, 224, 224))
    first = conv_for(module.get_submodule("conv1"), input_shape[0], kernel_size=3, stride=1, padding=1)
    replace_module(module, "conv1", first)
    replace_module(module, "maxpool", nn.Identity())
    return module


class WideResNet(nn.Module):
    """Wide residual network of 6n + 4 layers with normalisation and activation first (Zagoruyko and Komodakis 2016).

    Taps: conv1, block1, block2 (before the next normalisation), relu (after the last), pooled, fc (the logits).
    """

    taps = ("conv1", "block1", "block2", "relu", "pooled", "fc")

    def __init__(self, classes: int, input_shape: Shape, *, depth: int, widen: int) -> None:
        super().__init__()
        widths = (16, 16 * widen, 32 * widen, 64 * widen)
        self.conv1 = nn.Conv2d(input_shape[0], 16, 3, padding=1, bias=False)
        stages = [_WideStage(a, b, (depth - 4) // 6, 1 if k == 0 else 2) for k, (a, b) in enumerate(pairwise(widths))]
        self.block1, self.block2, self.block3 = stages
        self.bn1 = nn.BatchNorm2d(widths[-1])
        self.relu = nn.ReLU()
        self.pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.fc = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, classes)."""
        x = self.block3(self.block2(self.block1(self.conv1(x))))
        logits: Tensor = self.fc(self.pooled(self.relu(self.bn1(x))))
        return logits


class _WideStage(nn.Module):
    def __init__(self, before: int, after: int, blocks: int, stride: int) -> None:
        super().__init__()
        inside = [_WideBlock(after if k else before, after, 1 if k else stride) for k in range(blocks)]
        self.layer = nn.Sequential(*inside)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x)
        return out


class _WideBlock(nn.Module):
    """Normalise, activate, 3x3, twice; where the width changes, the shortcut too reads what was activated."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(before)
        self.conv1 = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.convShortcut = None if before == after else nn.Conv2d(before, after, 1, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.bn1(x))
        out: Tensor = self.conv2(F.relu(self.bn2(self.conv1(active))))
        return out + (x if self.convShortcut is None else self.convShortcut(active))
