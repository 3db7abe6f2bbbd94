"""The table of architectures: how each is built, what it takes, how it was normalised, where it is tapped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import isqrt
from typing import Any

from torch import nn

from fssd_core.errors import ModelError
from fssd_core.models import dropout
from fssd_core.models.nets import MLP, AuthorsLeNet, CifarResNet, LeNet, Shape

Shapes = Mapping[str, tuple[int, ...]]  # of a state dict
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class ArchEntry:
    """One architecture.

    Attributes:
        name: the name for `--arch`.
        title: what it is, for people.
        build: (classes, (C, H, W)) -> module with fresh weights.
        input_shape: (C, H, W) it usually takes.
        mean: channel means it is usually trained with; None for plain pixels.
        std: channel standard deviations.
        taps: layers to read; empty where `default_layers` chooses.
        stem: key of the first weight, whose second dimension counts the input channels (or pixels).
        head: key of the last weight, whose first dimension counts the classes.
        side: from the shapes of a state dict to the side of its square input, where the weights fix it.
    """

    name: str
    title: str
    build: Callable[[int, Shape], nn.Module]
    input_shape: Shape
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    taps: tuple[str, ...]
    stem: str
    head: str
    side: Callable[[Shapes], tuple[int, int]] | None = None

    def measure(self, shapes: Shapes) -> tuple[int, Shape]:
        """(classes, (C, H, W)) that a state dict of these shapes was made for.

        Raises:
            ModelError: its first or last weight is missing.
        """
        for what, key in (("first", self.stem), ("last", self.head)):
            if len(shapes.get(key, ())) < 2:
                raise ModelError(f"the {what} weight of {self.name!r}, {key!r}, is missing")
        if self.side is not None:
            channels, side = self.side(shapes)
            return shapes[self.head][0], (channels, side, side)
        return shapes[self.head][0], (shapes[self.stem][1], *self.input_shape[1:])


def _lenet_side(shapes: Shapes) -> tuple[int, int]:
    return shapes["conv1.0.weight"][1], 4 * isqrt(shapes.get("fc1.0.weight", (0, 512))[1] // 32) + 12


def _authors_side(shapes: Shapes) -> tuple[int, int]:
    return shapes["conv1.weight"][1], 2 * isqrt(shapes.get("fc1.weight", (0, 9216))[1] // 64) + 4


def _mlp_side(shapes: Shapes) -> tuple[int, int]:
    pixels = shapes["fc1.0.weight"][1]
    side = isqrt(pixels)
    return (1, side) if side * side == pixels else (3, isqrt(pixels // 3))


def _torchvision(name: str, classes: int, input_shape: Shape) -> nn.Module:
    """A torchvision network with fresh weights."""
    from fssd_core.vision import torchvision

    options: dict[str, Any] = {"init_weights": False} if name.startswith(("googlenet", "inception")) else {}
    module = torchvision().models.get_model(name, weights=None, num_classes=classes, **options)
    assert isinstance(module, nn.Module)
    return module


def _imagenet(name: str, title: str, stem: str, head: str, taps: tuple[str, ...] = ()) -> ArchEntry:
    build = partial(_torchvision, name)
    return ArchEntry(name, title, build, (3, 224, 224), IMAGENET_MEAN, IMAGENET_STD, taps, stem, head)


def _cifar(depth: int) -> ArchEntry:
    build = partial(CifarResNet, depth=depth)
    title = f"ResNet-{depth} for 32x32 images (He et al.)"
    name = f"resnet-cifar{depth}"
    taps = CifarResNet.taps
    return ArchEntry(
        name, title, build, (3, 32, 32), IMAGENET_MEAN, IMAGENET_STD, taps, "conv1.weight", "linear.weight"
    )


_FMNIST_MEAN, _FMNIST_STD = (0.2860,), (0.3530,)
_RESNET_TAPS = ("relu", "layer1", "layer2", "layer3", "layer4", "fc")
_GREY: Shape = (1, 28, 28)
_ENTRIES = [
    ArchEntry(
        "lenet", "LeNet of this project, 80,202 parameters", LeNet, _GREY, None, None, LeNet.taps,
        "conv1.0.weight", "logits.weight", _lenet_side,
    ),
    ArchEntry(
        "lenet-authors", "LeNet of the FSSD authors, 1.2 M parameters", AuthorsLeNet, _GREY, _FMNIST_MEAN, _FMNIST_STD,
        AuthorsLeNet.taps, "conv1.weight", "fc2.weight", _authors_side,
    ),
    ArchEntry(
        "mlp", "Two hidden layers, 256 and 128 units", MLP, _GREY, None, None, MLP.taps,
        "fc1.0.weight", "logits.weight", _mlp_side,
    ),
    ArchEntry(
        "lenet-dropout", "LeNet of this project with two dropout layers", dropout.DropoutLeNet, _GREY, None, None,
        dropout.DropoutLeNet.taps, "conv1.0.weight", "logits.1.weight", dropout.side_of,
    ),
    *(_cifar(depth) for depth in (20, 32, 44, 56, 110)),
    *(
        _imagenet(name, f"{title} (torchvision)", "conv1.weight", "fc.weight", _RESNET_TAPS)
        for name, title in (
            ("resnet18", "ResNet-18"), ("resnet34", "ResNet-34"), ("resnet50", "ResNet-50"),
            ("resnet101", "ResNet-101"), ("resnet152", "ResNet-152"), ("wide_resnet50_2", "Wide ResNet-50-2"),
            ("resnext50_32x4d", "ResNeXt-50 32x4d"),
        )
    ),
    _imagenet("densenet121", "DenseNet-121 (torchvision)", "features.conv0.weight", "classifier.weight"),
    _imagenet("vgg16", "VGG-16 (torchvision)", "features.0.weight", "classifier.6.weight"),
    _imagenet("vgg16_bn", "VGG-16 with batch norm (torchvision)", "features.0.weight", "classifier.6.weight"),
    _imagenet("mobilenet_v3_small", "MobileNet V3 small (torchvision)", "features.0.0.weight", "classifier.3.weight"),
    _imagenet("efficientnet_b0", "EfficientNet-B0 (torchvision)", "features.0.0.weight", "classifier.1.weight"),
    _imagenet("convnext_tiny", "ConvNeXt-T (torchvision)", "features.0.0.weight", "classifier.2.weight"),
    _imagenet("vit_b_16", "ViT-B/16 (torchvision)", "conv_proj.weight", "heads.head.weight"),
]  # fmt: skip
ARCHS: dict[str, ArchEntry] = {entry.name: entry for entry in _ENTRIES}


def list_archs() -> dict[str, ArchEntry]:
    """All architectures by name."""
    return dict(ARCHS)
