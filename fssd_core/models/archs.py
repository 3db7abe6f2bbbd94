"""The table of architectures: how each is built, what it takes, how it was normalised, where it is tapped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import isqrt
from typing import Any

from torch import nn

from fssd_core.errors import InputError, ModelError
from fssd_core.models import dropout
from fssd_core.models.nets import MLP, AuthorsLeNet, CifarResNet, LeNet, Shape
from fssd_core.models.nets_more import DenseNet, RowLSTM

Shapes = Mapping[str, tuple[int, ...]]  # of a state dict
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class ArchEntry:
    """One architecture.

    Attributes:
        name: the name for `--arch`.
        title: what it is, for people.
        build: (classes, (C, H, W)) -> module with fresh weights; takes `options` as keywords.
        input_shape: (C, H, W) it usually takes.
        mean: channel means it is usually trained with; None for plain pixels.
        std: channel standard deviations.
        taps: layers to read; empty where `default_layers` chooses.
        stem: key of the first weight, whose second dimension counts the input channels (or pixels).
        head: key of the last weight, whose first dimension counts the classes.
        side: from the shapes of a state dict to (channels, side) of its square input, where the weights fix it.
        options: what can be chosen when it is built: 'activation' ('relu', 'tanh'), 'dropout'; empty where it is fixed.
        small: whether it trains within minutes on a laptop's CPU.
    """

    name: str
    title: str
    build: Callable[..., nn.Module]
    input_shape: Shape
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    taps: tuple[str, ...]
    stem: str
    head: str
    side: Callable[[Shapes], tuple[int, int]] | None = None
    options: tuple[str, ...] = ()
    small: bool = False

    def make(self, classes: int, input_shape: Shape, *, activation: str = "relu", dropout: float = 0.0) -> nn.Module:
        """A module with fresh weights.

        Args:
            classes: number of logits.
            input_shape: (C, H, W).
            activation: 'relu' or 'tanh'.
            dropout: share of units left out while training, 0 to below 1.

        Raises:
            InputError: an option that this architecture does not have, or a value outside what is allowed.
        """
        self.check(activation, dropout)
        chosen = {"activation": activation, "dropout": dropout}
        return self.build(classes, input_shape, **{k: v for k, v in chosen.items() if k in self.options})

    def check(self, activation: str, dropout: float) -> None:
        """Raises InputError for an option that this architecture does not have, or a dropout outside 0..1."""
        if not 0 <= dropout < 1:
            raise InputError(f"dropout {dropout} was given; it is 0 to below 1")
        for option, value, usual in (("activation", activation, "relu"), ("dropout", dropout, 0.0)):
            if value != usual and option not in self.options:
                raise InputError(f"{self.name!r} has a fixed {option}; leave {option} {value!r} out")

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


def _rows_side(shapes: Shapes) -> tuple[int, int]:
    """Rows are as long as a square image is wide; one that 3 divides is taken for RGB."""
    row = shapes["hidden.weight_in"][2]
    return (1, row) if row % 3 else (3, row // 3)


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
    return ArchEntry(
        f"resnet-cifar{depth}", f"ResNet-{depth} for small images (He et al.)", partial(CifarResNet, depth=depth),
        (3, 32, 32), IMAGENET_MEAN, IMAGENET_STD, CifarResNet.taps, "conv1.weight", "linear.weight",
        options=_OPTIONS, small=depth < 20,
    )  # fmt: skip


_OPTIONS = ("activation", "dropout")
_FMNIST_MEAN, _FMNIST_STD = (0.2860,), (0.3530,)
_RESNET_TAPS = ("relu", "layer1", "layer2", "layer3", "layer4", "fc")
_GREY: Shape = (1, 28, 28)
_ENTRIES = [
    ArchEntry(
        "lenet", "LeNet of this project, 80,202 parameters", LeNet, _GREY, None, None, LeNet.taps,
        "conv1.0.weight", "logits.weight", _lenet_side, _OPTIONS, True,
    ),
    ArchEntry(
        "lenet-authors", "LeNet of the FSSD authors, 1.2 M parameters", AuthorsLeNet, _GREY, _FMNIST_MEAN, _FMNIST_STD,
        AuthorsLeNet.taps, "conv1.weight", "fc2.weight", _authors_side,
    ),
    ArchEntry(
        "mlp", "Two hidden layers, 256 and 128 units", MLP, _GREY, None, None, MLP.taps,
        "fc1.0.weight", "logits.weight", _mlp_side, _OPTIONS, True,
    ),
    ArchEntry(
        "densenet-small", "DenseNet for small images, 20,878 parameters", DenseNet, _GREY, None, None, DenseNet.taps,
        "stem.0.weight", "logits.weight", None, _OPTIONS, True,
    ),
    ArchEntry(
        "bilstm", "Bidirectional LSTM over the rows, 56,522 parameters", RowLSTM, _GREY, None, None, RowLSTM.taps,
        "hidden.weight_in", "logits.weight", _rows_side, _OPTIONS, True,
    ),
    ArchEntry(
        "lenet-dropout", "LeNet of this project with two dropout layers", dropout.DropoutLeNet, _GREY, None, None,
        dropout.DropoutLeNet.taps, "conv1.0.weight", "logits.1.weight", dropout.side_of,
    ),
    *(_cifar(depth) for depth in (8, 14, 20, 32, 44, 56, 110)),
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
