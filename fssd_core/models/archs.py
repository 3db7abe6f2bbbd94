"""The table of architectures: how each is built, what it takes, how it was normalised, where it is tapped."""

from __future__ import annotations

from difflib import get_close_matches
from functools import partial
from math import isqrt

from fssd_core.errors import ModelError, did_you_mean
from fssd_core.models.entry import IMAGENET_MEAN, IMAGENET_STD, ArchEntry, Shapes
from fssd_core.models.factories import factory_entries
from fssd_core.models.nets import MLP, AuthorsLeNet, CifarResNet, LeNet, Shape
from fssd_core.models.nets_known import CifarResNetB, WideResNet, small_resnet
from fssd_core.models.nets_more import DenseNet, RowLSTM
from fssd_core.models.timm_nets import TIMM, timm_entry
from fssd_core.models.torchvision_nets import PREFIX, torchvision_entries

__all__ = ["ARCHS", "ArchEntry", "find_arch", "list_archs"]


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


def _cifar(depth: int) -> ArchEntry:
    return ArchEntry(
        f"resnet-cifar{depth}", f"ResNet-{depth} for small images (He et al.)", partial(CifarResNet, depth=depth),
        (3, 32, 32), IMAGENET_MEAN, IMAGENET_STD, CifarResNet.taps, "conv1.weight", "linear.weight",
        options=_OPTIONS, small=depth < 20, spellings=(((r"^fc\.", "linear."),),),
    )  # fmt: skip


def _cifar_b(depth: int) -> ArchEntry:
    return ArchEntry(
        f"resnet-cifar{depth}-b", f"ResNet-{depth} for small images, shortcuts with weights",
        partial(CifarResNetB, depth=depth), (3, 32, 32), CIFAR_MEAN, CIFAR_STD, CifarResNetB.taps, "conv1.weight",
        "fc.weight", spellings=(_RESNET_SPELLING,),
    )  # fmt: skip


def _small(depth: int) -> ArchEntry:
    return ArchEntry(
        f"resnet{depth}-32", f"ResNet-{depth} for 32x32 images (3x3 first convolution, no first pooling)",
        partial(small_resnet, f"resnet{depth}"), (3, 32, 32), CIFAR_MEAN, CIFAR_STD,
        ("relu", "layer1", "layer2", "layer3", "layer4", "fc"), "conv1.weight", "fc.weight",
        spellings=(_RESNET_SPELLING,), assumed="the first convolution has stride 1 and no pooling follows it",
    )  # fmt: skip


def _wide(depth: int, widen: int) -> ArchEntry:
    return ArchEntry(
        f"wrn-{depth}-{widen}", f"Wide ResNet {depth}-{widen} for small images",
        partial(WideResNet, depth=depth, widen=widen), (3, 32, 32), CIFAR_MEAN, CIFAR_STD, WideResNet.taps,
        "conv1.weight", "fc.weight",
    )  # fmt: skip


_OPTIONS = ("activation", "dropout")
CIFAR_MEAN, CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
_RESNET_SPELLING = ((r"\.shortcut\.", ".downsample."), (r"^linear\.", "fc."))  # kuangliu, OpenOOD
_FMNIST_MEAN, _FMNIST_STD = (0.2860,), (0.3530,)
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
    *(_cifar(depth) for depth in (8, 14, 20, 32, 44, 56, 110)),
    *(_cifar_b(depth) for depth in (20, 32, 44, 56)),
    *(_small(depth) for depth in (18, 34, 50)),
    *(_wide(depth, widen) for depth, widen in ((16, 4), (16, 8), (28, 10), (34, 10), (40, 2), (40, 4))),
    *torchvision_entries(),
]  # fmt: skip
ARCHS: dict[str, ArchEntry] = {entry.name: entry for entry in _ENTRIES}


def list_archs() -> dict[str, ArchEntry]:
    """All architectures by name, the operator's own factories last."""
    return {**ARCHS, **factory_entries()}


def find_arch(name: str) -> ArchEntry:
    """The entry of that name: of the table ('torchvision/' may be left out), 'timm/NAME', or an operator's factory.

    Raises:
        ModelError: there is none, or the package it needs is not installed.
    """
    for known in (name, PREFIX + name):
        if known in ARCHS:
            return ARCHS[known]
    if name.startswith(TIMM):
        return timm_entry(name)
    factories = factory_entries()
    if name in factories:
        return factories[name]
    if ":" in name:
        raise ModelError(
            f"{name!r} names Python code, which is called only where the operator allows it: start with "
            f"--factory {name}"
        )
    raise ModelError(f"no architecture {name!r}{did_you_mean(name, list_archs()) if _close(name) else _SOME}")


def _close(name: str) -> bool:
    return bool(get_close_matches(name, ARCHS, n=1))


_SOME = (
    "; `fssd list archs` shows all (lenet, mlp, resnet-cifar20, wrn-40-2, torchvision/resnet50, ...), and timm/NAME is "
    "any network of the package timm"
)
