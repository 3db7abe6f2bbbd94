"""What a layer's name may say: `MODULE`, `MODULE#2` (second call), `MODULE[1]` (an output), `MODULE:cls` (a reading).

Parts come in this order and may be left out. Readings make vectors of long outputs: 'cls' is the first token of
(N, T, D); 'tokens' the mean over all positions of an output whose channels are last; 'channels' the mean over all
positions of one whose channels are second. Without one, everything is read, flattened.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from fssd_core.errors import ModelError, did_you_mean

READINGS = {
    "": "all values, flattened",
    "cls": "the first (class) token",
    "tokens": "the mean over the positions, channels last",
    "channels": "the mean over the positions, channels second",
}
_GRAMMAR = re.compile(
    r"(?P<module>.+?)(?:#(?P<call>[1-9]\d{0,5}))?(?:\[(?P<part>[^\[\]]+)\])?(?::(?P<reading>[a-z]+))?"
)


@dataclass(frozen=True)
class Tap:
    """One thing to read.

    Attributes:
        name: as it was asked for.
        module: name in `named_modules()`.
        call: which call of the module in a forward pass, from 1; None where it is called once.
        part: path into a tuple's or dict's outputs ('1', 'hidden.0'); empty for the output, or its first tensor.
        reading: a key of `READINGS`.
    """

    name: str
    module: str
    call: int | None = None
    part: str = ""
    reading: str = ""


def parse_tap(name: str, modules: Mapping[str, nn.Module] | Iterable[str]) -> Tap:
    """The tap of that name in a network with these modules; a module's own name is always itself.

    Raises:
        ModelError: no such module or reading.
    """
    known = [m for m in modules if m]
    if name in known:
        return Tap(name, name)
    found = _GRAMMAR.fullmatch(name)
    if found is None or found["module"] not in known:
        asked = name if found is None else found["module"]
        raise ModelError(f"the model has no layer {asked!r}{did_you_mean(asked, known)}")
    reading = found["reading"] or ""
    if reading not in READINGS:
        allowed = ", ".join(r for r in READINGS if r)
        raise ModelError(f"layer {name!r}: no reading {reading!r}; readings are {allowed}, or none for all values")
    return Tap(name, found["module"], int(found["call"]) if found["call"] else None, found["part"] or "", reading)


def read_tap(tap: Tap, module: nn.Module, output: object, count: int) -> Tensor:
    """(count, ...) values of a module's output as the tap reads them; the first dimension is always the images'.

    Raises:
        ModelError: no tensor there, a reading that its shape does not have, or no dimension of the images.
    """
    value, path = _part(tap, output)
    value = _images_first(tap, module, value, path, count)
    if tap.reading == "":
        return value
    if value.ndim < 3 or (tap.reading == "cls" and value.ndim != 3):
        wants = "(N, T, D)" if tap.reading == "cls" else "at least three dimensions"
        raise ModelError(
            f"layer {tap.name!r}: its output has shape {_words(value)}, the reading {tap.reading!r} wants {wants}; "
            f"leave {':' + tap.reading!r} out"
        )
    if tap.reading == "cls":
        return value[:, 0]
    return value.flatten(1, -2).mean(1) if tap.reading == "tokens" else value.flatten(2).mean(2)


def first_tensor(output: object) -> tuple[Tensor | None, str]:
    """(tensor, path) of the first tensor in nested tuples, lists and dicts; 'logits' is first in a dict that has it."""
    if isinstance(output, Tensor):
        return output, ""
    items: Iterable[tuple[object, object]] = ()
    if isinstance(output, Mapping):
        items = sorted(output.items(), key=lambda item: item[0] != "logits")
    elif isinstance(output, tuple | list):
        items = enumerate(output)
    for name, inner in items:
        value, path = first_tensor(inner)
        if value is not None:
            return value, f"{name}.{path}".rstrip(".")
    return None, ""


def _part(tap: Tap, output: object) -> tuple[Tensor, str]:
    inner = output
    for step in tap.part.split(".") if tap.part else ():
        if isinstance(inner, Mapping) and step in inner:
            inner = inner[step]
        elif isinstance(inner, tuple | list) and step.isdigit() and int(step) < len(inner):
            inner = inner[int(step)]
        else:
            raise ModelError(f"layer {tap.name!r}: its output has no part {tap.part!r}; it is {_kind(output)}")
    value, path = first_tensor(inner)
    if value is None:
        raise ModelError(f"layer {tap.name!r} returns {_kind(output)}, not a tensor; choose another layer")
    return value, f"{tap.part}.{path}".strip(".")


def _images_first(tap: Tap, module: nn.Module, value: Tensor, path: str, count: int) -> Tensor:
    """Recurrent layers and attention may put time first; torch's own say so, of others the first size must be N."""
    if isinstance(module, nn.RNNBase):
        time_first = not module.batch_first or path.startswith("1")  # the last states are (layers, N, H) either way
    elif isinstance(module, nn.MultiheadAttention):
        time_first = not module.batch_first and path == "0"
    elif isinstance(module, nn.TransformerEncoderLayer | nn.TransformerDecoderLayer):
        time_first = not module.self_attn.batch_first
    elif isinstance(module, nn.TransformerEncoder | nn.TransformerDecoder) and len(module.layers):
        time_first = not module.layers[0].self_attn.batch_first
    else:
        time_first = False
    if time_first and value.ndim > 1:
        value = value.transpose(0, 1)
    if value.ndim == 0 or value.shape[0] != count:
        raise ModelError(
            f"layer {tap.name!r} gives values of shape {_words(value)} for {count} images, so its first dimension is "
            "not the images'; choose another layer"
        )
    return value


def _kind(output: object) -> str:
    if isinstance(output, Mapping):
        return f"a dict of {', '.join(map(str, list(output)[:6]))}"
    return f"{type(output).__name__} of {len(output)}" if isinstance(output, tuple | list) else type(output).__name__


def _words(value: Tensor) -> str:
    return "x".join(str(n) for n in value.shape) or "()"
