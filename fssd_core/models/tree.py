"""A network's modules as a tree, with what one forward pass shows: output shapes, calls and each one's share of cost.

The pass runs on torch's 'meta' device where it can (shapes without numbers), else on real pixels. Cost is counted in
multiply-accumulates of one image: convolutions, matrix products and attention as torch's FlopCounterMode finds them,
recurrent layers by their weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from fssd_core.block_ends import MAX_LAYERS, default_layers, kind_name
from fssd_core.errors import ModelError, first_line
from fssd_core.models.nets import Shape
from fssd_core.runtime import evaluated, images_at_once
from fssd_core.taps import Tap, first_tensor, read_tap

LARGE = 65_536  # values an image: a map above this is read as channel means where the user does not say otherwise
_COUNT = 3  # images of the pass: an odd number, so that a first dimension of another meaning is seen


@dataclass(frozen=True)
class Node:
    """One module.

    Attributes:
        name: in `named_modules()`; what a tap is called by.
        kind: its class.
        depth: how many modules it lies in, 0 at the top.
        shape: of one image's output, of its first call; None where it gives no tensor by image, or is not called.
        calls: in one forward pass; 0 where it is not reached.
        part: path of the tensor that is read, where the output is a tuple or dict.
        parameters: how many weights it holds, with all modules inside.
        macs: multiply-accumulates of one image, with all modules inside.
        share: of the whole network's.
        why_not: why it cannot be read; empty where it can.
    """

    name: str
    kind: str
    depth: int
    shape: tuple[int, ...] | None
    calls: int
    part: str
    parameters: int
    macs: int
    share: float
    why_not: str

    @property
    def size(self) -> int:
        """Values that one image gives there."""
        return prod(self.shape) if self.shape else 0


def module_tree(module: nn.Module, input_shape: Shape) -> list[Node]:
    """All modules below the network, in the order of `named_modules()`.

    Raises:
        ModelError: the network refuses images of that shape.
    """
    seen = _look(module, input_shape)
    macs = {name: count // _count(module) for name, count in seen.macs.items()}
    total = max(1, macs.get("", 0))
    nodes = []
    for name, inner in module.named_modules():
        if name:
            shape, part, why_not = seen.outputs.get(name, (None, "", "the forward pass does not reach it"))
            parameters = sum(p.numel() for p in inner.parameters())
            own = macs[name] if name in macs else _inside(name, macs)
            nodes.append(
                Node(name, kind_name(inner), name.count("."), shape, seen.calls.get(name, 0), part, parameters,
                     own, own / total, why_not)
            )  # fmt: skip
    return nodes


def choose_layers(module: nn.Module, nodes: Sequence[Node], *, pooled: bool = False) -> tuple[str, ...]:
    """The block ends of `default_layers` that a forward pass reaches, with the readings they need.

    A module called k times gives k layers (#1 to #k); tokens behind a class token are read there (:cls).

    Args:
        module: the network.
        nodes: its `module_tree`.
        pooled: read outputs above 65,536 values an image as means over the positions (:channels, :tokens).

    Raises:
        ModelError: none of them can be read.
    """
    known = {node.name: node for node in nodes}
    class_token, last = has_class_token(module), channels_come_last(module)
    names: list[str] = []
    for name in default_layers(module):
        node = known.get(name)
        if node is None:  # a name with a reading, as the module's own `taps` may have
            names.append(name)
        elif not node.why_not:
            reading = suggested_reading(node, class_token=class_token, channels_last=last, pooled=pooled)
            calls = [f"#{k + 1}" for k in range(node.calls)] if node.calls > 1 else [""]
            names += [f"{name}{call}{':' * bool(reading)}{reading}" for call in calls]
    if not names:
        raise ModelError("no block end of this network can be read; name the layers to read")
    return tuple(names if len(names) <= MAX_LAYERS else [*names[: MAX_LAYERS - 1], names[-1]])


def has_class_token(module: nn.Module) -> bool:
    """Whether it is a transformer whose first token stands for the class (torchvision, timm and most others)."""
    return any(name.rpartition(".")[2] in ("class_token", "cls_token") for name, _ in module.named_parameters())


def channels_come_last(module: nn.Module) -> bool:
    """Whether its maps are (N, H, W, C), as in Swin transformers."""
    return any("Swin" in kind_name(inner) for inner in module.modules())


def suggested_reading(node: Node, *, class_token: bool, channels_last: bool, pooled: bool) -> str:
    """A key of `taps.READINGS` for this output."""
    shape = node.shape or ()
    if class_token and len(shape) == 2:
        return "cls"
    if not pooled or node.size <= LARGE or len(shape) < 2:
        return ""
    return "tokens" if channels_last or len(shape) == 2 else "channels"


def _inside(name: str, macs: dict[str, int]) -> int:
    """MACs of a list of modules, which is never called itself: those of its members."""
    return sum(n for inner, n in macs.items() if inner.rpartition(".")[0] == name)


class _Seen:
    def __init__(self) -> None:
        self.calls: dict[str, int] = {}
        self.outputs: dict[str, tuple[tuple[int, ...] | None, str, str]] = {}
        self.macs: dict[str, int] = {}


def _look(module: nn.Module, input_shape: Shape) -> _Seen:
    try:
        return _forward(module, input_shape, meta=True)
    except Exception:  # noqa: BLE001 - whatever a foreign network does that 'meta' tensors cannot: look at real ones
        try:
            return _forward(module, input_shape, meta=False)
        except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
            words = "x".join(map(str, input_shape))
            first = first_line(error)
            raise ModelError(
                f"images of shape {words} (channels x height x width) do not fit this model: {first}; give its input "
                "shape"
            ) from error


def _forward(module: nn.Module, input_shape: Shape, *, meta: bool) -> _Seen:
    seen = _Seen()
    own = next(module.parameters(), torch.empty(0)).device
    count = _count(module)
    pixels = torch.zeros(count, *input_shape, device="meta" if meta else own)
    recurrent: dict[str, int] = {}

    def hook_for(name: str) -> Any:
        def hook(inner: nn.Module, inputs: Any, output: object) -> None:
            seen.calls[name] = seen.calls.get(name, 0) + 1
            seen.outputs.setdefault(name, _output(Tap(name, name), inner, output, count))
            if isinstance(inner, nn.RNNBase) and inputs:
                steps = inputs[0].shape[1 if inner.batch_first else 0]
                weights = sum(p.numel() for n, p in inner.named_parameters() if n.startswith("weight"))
                recurrent[name] = recurrent.get(name, 0) + count * steps * weights

        return hook

    names = {name: inner for name, inner in module.named_modules() if name}
    handles = [inner.register_forward_hook(hook_for(name)) for name, inner in names.items()]
    counter = FlopCounterMode(display=False)
    try:
        with evaluated(module), torch.no_grad(), counter:
            if meta:
                state = {**dict(module.named_parameters()), **dict(module.named_buffers())}
                functional_call(module, {k: torch.empty_like(v, device="meta") for k, v in state.items()}, (pixels,))
            else:
                module(pixels)
    finally:
        for handle in handles:
            handle.remove()
    counts = {name: sum(kinds.values()) // 2 for name, kinds in counter.get_flop_counts().items()}
    root = type(module).__name__
    for name, total in counts.items():
        if name == "Global" or name.startswith(f"{root}."):
            seen.macs["" if name == "Global" else name.removeprefix(f"{root}.")] = total
    _add_recurrent(seen, recurrent)
    return seen


def _add_recurrent(seen: _Seen, recurrent: dict[str, int]) -> None:
    """Recurrent kernels are one operation that the counter does not know: added here to them and all around them."""
    for name, count in recurrent.items():
        missing = count - seen.macs.get(name, 0)
        if missing > 0:
            parts = name.split(".")
            for depth in range(len(parts) + 1):
                around = ".".join(parts[:depth])
                seen.macs[around] = seen.macs.get(around, 0) + missing


def _count(module: nn.Module) -> int:
    """Images of the pass; as many as an exported program takes at once."""
    low, high = images_at_once(module)
    return min(max(_COUNT, low), high)


def _output(tap: Tap, module: nn.Module, output: object, count: int) -> tuple[tuple[int, ...] | None, str, str]:
    """(shape of one image's values, path of the tensor, why it cannot be read)."""
    try:
        value = read_tap(tap, module, output, count)
    except ModelError as error:
        return None, "", str(error).partition(": ")[2] or str(error)
    return tuple(value.shape[1:]), first_tensor(output)[1], ""
