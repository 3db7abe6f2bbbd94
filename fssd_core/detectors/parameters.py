"""One declared parameter of a detector: its type, range, default, and the values worth trying."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fssd_core.errors import InputError, did_you_mean

Value = float | int | str
Values = Mapping[str, Value]


@dataclass(frozen=True)
class Parameter:
    """One declared parameter of a detector; command-line flags and widgets are made from it.

    Attributes:
        name: keyword to give it by.
        kind: 'float', 'int', 'choice' (one of `choices`), 'layer' (one of the extractor's; '' for the detector's
            own choice) or
            'models' (references for `load_model`, comma-separated).
        default: its value if not given.
        help: one line: what it does, with its unit.
        low: smallest value allowed.
        high: largest value allowed.
        choices: the values of a 'choice'.
        grid: values tried, the first preferred among equals, where labelled ood images may choose (protocol `paper`).
    """

    name: str
    kind: Literal["float", "int", "choice", "layer", "models"]
    default: Value
    help: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    grid: tuple[Value, ...] = ()

    def check(self, value: object) -> Value:
        """The value as this parameter's type.

        Raises:
            InputError: another type, not finite, out of range or no such choice.
        """
        if self.kind in ("choice", "layer", "models"):
            if not isinstance(value, str):
                example = "demo/lenet-member1" if self.kind == "models" else self.default
                raise InputError(f"{self.name} = {value!r} was given; it is a name, for example {example!r}")
            if self.kind == "choice" and value not in self.choices:
                raise InputError(f"no {self.name} {value!r}{did_you_mean(value, self.choices)}")
            return value
        whole = self.kind == "int"
        if isinstance(value, bool) or not isinstance(value, int | np.integer if whole else int | float | np.number):
            raise InputError(f"{self.name} = {value!r} was given; it is {'a whole' if whole else 'a'} number")
        number = int(value) if whole else float(value)
        low = -np.inf if self.low is None else self.low
        high = np.inf if self.high is None else self.high
        if not np.isfinite(number) or not low <= number <= high:
            raise InputError(f"{self.name} = {value} was given; allowed is {self.allowed()}")
        return number

    def parse(self, text: str) -> Value:
        """The value of a command-line word; errors as `check`."""
        if self.kind in ("choice", "layer", "models"):
            return self.check(text)
        try:
            number = int(text) if self.kind == "int" else float(text)
        except ValueError:
            raise InputError(f"{self.name} = {text!r} was given; allowed is {self.allowed()}") from None
        return self.check(number)

    def allowed(self) -> str:
        """The allowed values in words."""
        if self.kind == "layer":
            return "a layer's name"
        if self.kind == "models":
            return "models' names or weight files, comma-separated"
        if self.kind == "choice":
            return " or ".join(self.choices)
        what = "a whole number" if self.kind == "int" else "a number"
        low = "" if self.low is None else f" from {self.low:g}"
        high = "" if self.high is None else f" to {self.high:g}"
        return what + low + high
