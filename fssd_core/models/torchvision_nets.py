"""Every torchvision classification network as an architecture 'torchvision/NAME'; weights are the user's, or untrained.

Nothing is downloaded. A first convolution for another number of channels, a vision transformer for another image size
and heads for another number of classes are built as the weights say.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from math import isqrt
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from fssd_core.models.entry import IMAGENET_MEAN, IMAGENET_STD, ArchEntry, Shapes, Spelling
from fssd_core.models.nets import Shape

PREFIX = "torchvision/"
_RESNET_TAPS = ("relu", "layer1", "layer2", "layer3", "layer4", "fc")
_FAMILIES = (  # family, its members (behind the family's name), first weight, last weight, usual side
    ("alexnet", "", "features.0", "classifier.6", 224),
    ("convnext_", "tiny small base large", "features.0.0", "classifier.2", 224),
    ("densenet", "121 161 169 201", "features.conv0", "classifier", 224),
    ("efficientnet_", "b0 b1 b2 b3 b4 b5 b6 b7 v2_s v2_m v2_l", "features.0.0", "classifier.1", 224),
    ("googlenet", "", "conv1.conv", "fc", 224),
    ("inception_v3", "", "Conv2d_1a_3x3.conv", "fc", 299),
    ("maxvit_t", "", "stem.0.0", "classifier.5", 224),
    ("mnasnet", "0_5 0_75 1_0 1_3", "layers.0", "classifier.1", 224),
    ("mobilenet_", "v2", "features.0.0", "classifier.1", 224),
    ("mobilenet_v3_", "small large", "features.0.0", "classifier.3", 224),
    ("regnet_", "x_400mf x_800mf x_1_6gf x_3_2gf x_8gf x_16gf x_32gf", "stem.0", "fc", 224),
    ("regnet_", "y_400mf y_800mf y_1_6gf y_3_2gf y_8gf y_16gf y_32gf y_128gf", "stem.0", "fc", 224),
    ("resnet", "18 34 50 101 152", "conv1", "fc", 224),
    ("resnext", "50_32x4d 101_32x8d 101_64x4d", "conv1", "fc", 224),
    ("wide_resnet", "50_2 101_2", "conv1", "fc", 224),
    ("shufflenet_v2_", "x0_5 x1_0 x1_5 x2_0", "conv1.0", "fc", 224),
    ("squeezenet", "1_0 1_1", "features.0", "classifier.1", 224),
    ("swin_", "t s b", "features.0.0", "head", 224),
    ("swin_v2_", "t s b", "features.0.0", "head", 256),
    ("vgg", "11 11_bn 13 13_bn 16 16_bn 19 19_bn", "features.0", "classifier.6", 224),
    ("vit_", "b_16 b_32 l_16 l_32 h_14", "conv_proj", "heads.head", 224),
)
_SIDES = {"b1": 240, "b2": 288, "b3": 300, "b4": 380, "b5": 456, "b6": 528, "b7": 600, "v2_s": 384, "v2_m": 480,
          "v2_l": 480}  # fmt: skip
_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")


def torchvision_entries() -> Iterator[ArchEntry]:
    """One entry for each of the networks in the table."""
    for family, members, stem, head, usual in _FAMILIES:
        for member in members.split() or [""]:
            name = family + member
            side = _SIDES.get(member, usual) if family == "efficientnet_" else usual
            own = family in ("googlenet", "inception_v3")  # their published weights normalise to -1..1 inside
            yield ArchEntry(
                PREFIX + name,
                f"{name} (torchvision)",
                partial(build_torchvision, name),
                (3, side, side),
                (0.5,) * 3 if own else IMAGENET_MEAN,
                (0.5,) * 3 if own else IMAGENET_STD,
                _RESNET_TAPS if "resne" in family else (),
                f"{stem}.weight",
                f"{head}.weight",
                _vit_side if family == "vit_" else None,
                spellings=_SPELLINGS.get(family, ()),
                ignored=_AUXILIARY if own else (),
            )


def build_torchvision(name: str, classes: int, input_shape: Shape) -> nn.Module:
    """A torchvision network with fresh weights."""
    from fssd_core.vision import torchvision

    options: dict[str, Any] = {}
    if name in ("googlenet", "inception_v3"):
        options = {"init_weights": False, "aux_logits": False, "transform_input": False}
    elif name.startswith("vit_"):
        options = {"image_size": input_shape[1]}
    module = torchvision().models.get_model(name, weights=None, num_classes=classes, **options)
    assert isinstance(module, nn.Module)
    if input_shape[0] != 3:
        first = next(n for n, m in module.named_modules() if isinstance(m, nn.Conv2d))
        replace_module(module, first, conv_for(module.get_submodule(first), input_shape[0]))
    return module


def conv_for(conv: nn.Module, channels: int, **changes: Any) -> nn.Conv2d:
    """A convolution like this one for another number of input channels (and with other changes)."""
    assert isinstance(conv, nn.Conv2d)
    facts: dict[str, Any] = {
        "kernel_size": conv.kernel_size, "stride": conv.stride, "padding": conv.padding, "dilation": conv.dilation,
        "bias": conv.bias is not None,
    }  # fmt: skip
    return nn.Conv2d(channels, conv.out_channels, **{**facts, **changes})


def replace_module(module: nn.Module, name: str, new: nn.Module) -> None:
    """Puts another module at that name."""
    parent, _, last = name.rpartition(".")
    setattr(module.get_submodule(parent), last, new)


class WithoutNumbers(TorchFunctionMode):
    """Inside, weights get shapes without memory or numbers, while what a network computes to build itself stays real.

    (`torch.device('meta')` would take that too, and torchvision's RegNets read it.)
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.empty:
            return func(*args, **{**(kwargs or {}), "device": "meta"})
        return func(*args, **(kwargs or {}))


def _vit_side(shapes: Shapes) -> tuple[int, int]:
    tokens = shapes.get("encoder.pos_embedding", (1, 197, 0))[1]
    patch = shapes["conv_proj.weight"]
    return patch[1], isqrt(max(1, tokens - 1)) * patch[-1]


_SPELLINGS: dict[str, tuple[Spelling, ...]] = {
    # as the weights of 2017 are written: 'denselayer1.norm.1.weight'
    "densenet": (((r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)", r"\1\2"),),),
}
