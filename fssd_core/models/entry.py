"""What an architecture's entry says: how it is built, what it takes, how it was normalised, where it is tapped."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from torch import nn

from fssd_core.errors import InputError, ModelError
from fssd_core.models.nets import Shape

Shapes = Mapping[str, tuple[int, ...]]  # of a state dict
Spelling = tuple[tuple[str, str], ...]  # (pattern, replacement) pairs that turn others' names of weights into ours
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
T = TypeVar("T")


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
        taps: layers to read; empty where `choose_layers` chooses.
        stem: key of the first weight, whose second dimension counts the input channels (or pixels).
        head: key of the last weight, whose first dimension counts the classes.
        side: from the shapes of a state dict to (channels, side) of its square input, where the weights fix it.
        options: what can be chosen when it is built: 'activation' ('relu', 'tanh'), 'dropout'; empty where it is fixed.
        small: whether it trains within minutes on a laptop's CPU.
        spellings: other names that the same weights go by in well-known code.
        ignored: beginnings of weights that are not used when images are classified (auxiliary heads).
        assumed: what the weights cannot say and is taken for granted, in words.
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
    spellings: tuple[Spelling, ...] = ()
    ignored: tuple[str, ...] = ()
    assumed: str = ""

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

    def spelled(self, state: Mapping[str, T]) -> list[dict[str, T]]:
        """The state dict under its own names, then under those of each other spelling that changes some."""
        plain = {k: v for k, v in state.items() if not k.startswith(self.ignored)} if self.ignored else dict(state)
        found = [plain]
        for spelling in self.spellings:
            other = {_respelled(name, spelling): value for name, value in plain.items()}
            if len(other) == len(plain) and list(other) != list(plain):
                found.append(other)
        return found


def _respelled(name: str, spelling: Spelling) -> str:
    for pattern, replacement in spelling:
        name = re.sub(pattern, replacement, name)
    return name
