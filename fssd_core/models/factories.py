"""Networks made by the operator's own Python code, 'package.module:function', named when the program was started.

Only `--factory` (or $FSSD_FACTORIES, where it is kept for the worker process) can name one: nothing that comes from a
browser or a file does. The function is called as `function(classes, input_shape)`, or without arguments where it takes
none, and gives an `nn.Module`; attributes `input_shape`, `classes`, `mean`, `std` and `taps` of it are read.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from torch import nn

from fssd_core.errors import InputError, ModelError
from fssd_core.models.entry import ArchEntry
from fssd_core.models.nets import Shape

VARIABLE = "FSSD_FACTORIES"


def allow_factories(names: Iterable[str]) -> None:
    """Lets these factories be used in this process and those it starts, and sees that they are there.

    Raises:
        InputError: not 'package.module:function', or it cannot be imported.
    """
    names = list(dict.fromkeys(names))
    for name in names:
        _function(name)
    os.environ[VARIABLE] = ",".join(dict.fromkeys([*allowed(), *names]))


def allowed() -> list[str]:
    """The factories that the operator named."""
    return [name for name in os.environ.get(VARIABLE, "").split(",") if name]


def factory_entries() -> dict[str, ArchEntry]:
    """An entry for each; what it takes and gives is measured when it is built."""
    return {name: _entry(name) for name in allowed()}


def is_factory(ref: str) -> bool:
    """Whether a model reference is one of the operator's factories."""
    return ref in allowed()


def build_factory(name: str, classes: int | None = None, input_shape: Shape | None = None) -> nn.Module:
    """The network that a factory gives.

    Raises:
        ModelError: it fails, or gives something else.
    """
    function = _function(name)
    needed = inspect.signature(function).parameters
    values: dict[str, Any] = {"classes": classes, "input_shape": input_shape}
    try:
        module = function(**{k: v for k, v in values.items() if k in needed and v is not None})
    except Exception as error:
        raise ModelError(f"factory {name}: it failed with {type(error).__name__}: {error}") from error
    if not isinstance(module, nn.Module):
        raise ModelError(f"factory {name}: it gave {type(module).__name__}; it must return one torch.nn.Module")
    return module


def _entry(name: str) -> ArchEntry:
    return ArchEntry(name, f"{name} (the operator's own)", partial(build_factory, name), (3, 224, 224), None, None, (),
                     "", "")  # fmt: skip


def _function(name: str) -> Callable[..., object]:
    module, _, attribute = name.partition(":")
    if not module or not attribute.isidentifier() or "," in name:
        raise InputError(f"--factory {name!r} was given; it is package.module:function")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # as `python -m` has it; behind everything that is installed
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(f"--factory {name}: it cannot be imported ({error}); it is package.module:function") from error
    if not callable(found):
        raise InputError(f"--factory {name}: {attribute} is {type(found).__name__}, not a function")
    return found  # type: ignore[no-any-return]
