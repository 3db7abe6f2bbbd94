"""What every detector is: a spec (name, paper, cost, declared parameters) and a class with `fit` and `scores`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from fssd_core.errors import InputError, ModelError, did_you_mean
from fssd_core.extractor import FeatureExtractor, check_images
from fssd_core.runtime import Progress, in_batches, silent
from fssd_core.types import LayerScores

Value = float | int | str
Values = Mapping[str, Value]


@dataclass(frozen=True)
class Parameter:
    """One declared parameter of a detector; command-line flags and widgets are made from it.

    Attributes:
        name: keyword to give it by.
        kind: 'float', 'int', 'choice' (one of `choices`) or 'layer' (one of the extractor's; '' for the last).
        default: its value if not given.
        help: one line: what it does, with its unit.
        low: smallest value allowed.
        high: largest value allowed.
        choices: the values of a 'choice'.
    """

    name: str
    kind: Literal["float", "int", "choice", "layer"]
    default: Value
    help: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()

    def check(self, value: object) -> Value:
        """The value as this parameter's type.

        Raises:
            InputError: another type, not finite, out of range or no such choice.
        """
        if self.kind in ("choice", "layer"):
            if not isinstance(value, str):
                raise InputError(f"{self.name} = {value!r} was given; it is a name, for example {self.default!r}")
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
        if self.kind in ("choice", "layer"):
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
        if self.kind == "choice":
            return " or ".join(self.choices)
        what = "a whole number" if self.kind == "int" else "a number"
        low = "" if self.low is None else f" from {self.low:g}"
        high = "" if self.high is None else f" to {self.high:g}"
        return what + low + high


@dataclass(frozen=True, eq=False)
class Given:
    """What `Detector.fit` was given."""

    extractor: FeatureExtractor
    ind: Tensor | None
    labels: Tensor | None
    noise: Tensor | None
    batch_size: int | None
    progress: Progress


class Detector(ABC):
    """Images in, score columns out. The network is never changed: not its modes, its grad flags, nor its hooks.

    Made by `DetectorSpec.make`, which checks the parameters.

    Attributes:
        spec: the table's entry.
        values: every declared parameter's value.
        extractor: the network, once fitted.
    """

    def __init__(self, spec: DetectorSpec, values: Values) -> None:
        self.spec = spec
        self.values = dict(values)
        self.extractor: FeatureExtractor | None = None

    def fit(
        self,
        extractor: FeatureExtractor,
        ind: Tensor | None = None,
        labels: Tensor | None = None,
        *,
        noise: Tensor | None = None,
        batch_size: int | None = None,
        progress: Progress = silent,
    ) -> Detector:
        """Learns what the detector needs and returns it; `spec.uses` says what that is, the rest may be left out.

        Args:
            extractor: the network and its K layers.
            ind: (N, C, H, W) ind training images in [0, 1].
            labels: (N,) their classes, int64.
            noise: (S, C, H, W) noise images in [0, 1], from `uniform_noise`.
            batch_size: images at once; halved on out-of-memory.
            progress: told after each batch; may raise CancelledError.

        Raises:
            InputError: something the detector uses was left out.
        """
        given = Given(extractor, ind, labels, noise, batch_size, progress)
        for need in self.spec.uses:
            if getattr(given, need) is None:
                raise InputError(
                    f"detector {self.spec.name!r} is fitted on {' and '.join(self.spec.uses)}; give {need}="
                )
        self._learn(given)
        self.extractor = extractor
        return self

    def scores(self, images: Tensor, *, batch_size: int | None = None, progress: Progress = silent) -> LayerScores:
        """(N, K) or (N, 1) float32 scores, larger = more in-distribution.

        Args:
            images: (N, C, H, W) in [0, 1].
            batch_size: images at once; halved on out-of-memory.
            progress: told after each batch; may raise CancelledError.

        Raises:
            InputError: not fitted yet, or no images.
            ModelError: images that do not fit the network, or scores that are not finite.
        """
        if self.extractor is None:
            raise InputError(f"detector {self.spec.name!r} is not fitted yet; call fit(extractor, ...) first")
        check_images(images)
        if len(images) == 0:
            raise InputError(f"0 images were given; detector {self.spec.name!r} needs at least 1")
        return self._score(self.extractor, images, batch_size, progress)

    @abstractmethod
    def _learn(self, given: Given) -> None:
        """What `fit` keeps; everything in `spec.uses` is there."""

    @abstractmethod
    def _score(
        self, extractor: FeatureExtractor, images: Tensor, batch_size: int | None, progress: Progress
    ) -> LayerScores:
        """What `scores` returns, for at least one image."""

    def _column(
        self, images: Tensor, one: Callable[[Tensor], Tensor], batch_size: int | None, progress: Progress
    ) -> LayerScores:
        """One column named after the detector, from `one`: (n, C, H, W) -> (n,)."""
        parts = [
            part.detach().cpu().double().numpy()
            for _, part in in_batches(
                len(images), lambda rows: one(images[rows]), batch_size=batch_size, progress=progress
            )
        ]
        column = np.concatenate(parts).astype(np.float32)
        if bad := int((~np.isfinite(column)).sum()):
            raise ModelError(
                f"{bad} of {len(column)} images have {self.spec.name} scores that are not finite; "
                "check the weights and the images for NaN"
            )
        return LayerScores(column[:, None], (self.spec.name,))


@dataclass(frozen=True)
class DetectorSpec:
    """One line of the table of detectors.

    Attributes:
        name: key in the table.
        title: for people.
        reference: the paper.
        cost: network passes an image, in words.
        columns: score columns, in words.
        uses: what `fit` must be given: any of 'noise', 'ind', 'labels'.
        parameters: declared parameters.
        build: makes the detector from its spec and checked values.
        package: optional package that it needs, '' for none.
    """

    name: str
    title: str
    reference: str
    cost: str
    columns: str
    uses: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    build: Callable[[DetectorSpec, Values], Detector]
    package: str = ""

    def make(self, **values: object) -> Detector:
        """An unfitted detector; parameters left out have their defaults.

        Raises:
            InputError: an unknown parameter, or a value that is not allowed.
        """
        known = {p.name: p for p in self.parameters}
        for name in values:
            if name not in known:
                hint = did_you_mean(name, known) if known else "; it has none"
                raise InputError(f"detector {self.name!r} has no parameter {name!r}{hint}")
        return self.build(self, {name: p.check(values.get(name, p.default)) for name, p in known.items()})


def chosen_layer(extractor: FeatureExtractor, name: Value) -> str:
    """The extractor's layer of that name, its last one for ''.

    Raises:
        InputError: no such layer.
    """
    if name == "":
        return extractor.layers[-1]
    if name not in extractor.layers:
        raise InputError(f"no layer {name!r} is read{did_you_mean(str(name), extractor.layers)}")
    return str(name)


def layer_features(extractor: FeatureExtractor, images: Tensor, layer: str) -> Tensor:
    """(n, D_k) features of one batch, without graph, on the extractor's device."""
    with torch.no_grad():
        return extractor.taps(images, [layer])[layer]
