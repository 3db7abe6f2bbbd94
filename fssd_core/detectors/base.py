"""What every detector is: a spec (name, paper, cost, declared parameters) and a class with `fit` and `scores`."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fssd_core.detectors.parameters import Parameter, Value, Values
from fssd_core.errors import InputError, ModelError, did_you_mean
from fssd_core.extractor import FeatureExtractor, check_images
from fssd_core.runtime import Progress, in_batches, silent
from fssd_core.types import LayerScores

Passes = Callable[[Values, int], tuple[int, int]]  # (parameter values, K layers) -> (forward, backward) passes an image


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

    def passes(self) -> tuple[int, int]:
        """(forward, backward) passes an image of `scores`, once fitted.

        Raises:
            InputError: not fitted yet.
        """
        return self.spec.passes(self.values, len(self._fitted().layers))

    def retuned(self, **values: object) -> Detector:
        """A copy with other values of parameters that only `scores` reads; what was fitted is shared.

        Raises:
            InputError: a parameter that `fit` reads too, an unknown one, or a value that is not allowed.
        """
        if fixed := sorted(set(values) - set(self.spec.late)):
            late = ", ".join(self.spec.late) or "none"
            raise InputError(
                f"detector {self.spec.name!r} must be fitted again to change {', '.join(fixed)}; parameters that can "
                f"change without: {late}"
            )
        other = copy.copy(self)
        other.values = self.spec.check({**self.values, **values})
        return other

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
        extractor = self._fitted()
        check_images(images)
        if len(images) == 0:
            raise InputError(f"0 images were given; detector {self.spec.name!r} needs at least 1")
        if bad := int((~torch.isfinite(images).flatten(1).all(1)).sum()):
            raise ModelError(f"{bad} of {len(images)} images have pixels that are not finite; leave those images out")
        return self._score(extractor, images, batch_size, progress)

    def _fitted(self) -> FeatureExtractor:
        if self.extractor is None:
            raise InputError(f"detector {self.spec.name!r} is not fitted yet; call fit(extractor, ...) first")
        return self.extractor

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
        return self._columns(images, lambda batch: one(batch).reshape(-1, 1), (self.spec.name,), batch_size, progress)

    def _columns(
        self,
        images: Tensor,
        one: Callable[[Tensor], Tensor],
        names: tuple[str, ...],
        batch_size: int | None,
        progress: Progress,
    ) -> LayerScores:
        """Named columns from `one`: (n, C, H, W) -> (n, K)."""
        table = np.empty((len(images), len(names)), dtype=np.float32)
        for rows, part in in_batches(
            len(images), lambda rows: one(images[rows]), batch_size=batch_size, progress=progress
        ):
            table[rows] = part.detach().cpu().double().numpy()
        if bad := int((~np.isfinite(table).all(axis=1)).sum()):
            raise ModelError(
                f"{bad} of {len(table)} images have {self.spec.name} scores that are not finite; "
                "check the weights and the images for NaN"
            )
        return LayerScores(table, names)


def one_forward(values: Values, layers: int) -> tuple[int, int]:
    """The passes of a detector that runs the network once."""
    return 1, 0


@dataclass(frozen=True)
class DetectorSpec:
    """One line of the table of detectors.

    Attributes:
        name: key in the table.
        title: for people.
        reference: the paper.
        cost: network passes an image, in words.
        passes: the same as numbers, (forward, backward), from the parameter values and the number K of layers.
        columns: score columns, in words.
        uses: what `fit` must be given: any of 'noise', 'ind', 'labels'.
        parameters: declared parameters.
        build: makes the detector from its spec and checked values.
        package: optional package that it needs, '' for none.
        network: what it asks of the network, '' for nothing beyond logits.
        fails: in one sentence for people, when it fails.
        late: parameters that only `scores` reads, so that `Detector.retuned` may change them.
        version: raised whenever the detector gives other scores for the same input, so that stored ones are not used.
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
    passes: Passes = one_forward
    network: str = ""
    fails: str = ""
    late: tuple[str, ...] = ()
    version: int = 1

    def make(self, **values: object) -> Detector:
        """An unfitted detector; parameters left out have their defaults.

        Raises:
            InputError: an unknown parameter, or a value that is not allowed.
        """
        return self.build(self, self.check(values))

    def check(self, values: Mapping[str, object]) -> dict[str, Value]:
        """Every declared parameter's value, its default where none is given.

        Raises:
            InputError: an unknown parameter, or a value that is not allowed.
        """
        known = {p.name: p for p in self.parameters}
        for name in values:
            if name not in known:
                hint = did_you_mean(name, known) if known else "; it has none"
                raise InputError(f"detector {self.name!r} has no parameter {name!r}{hint}")
        return {name: p.check(values.get(name, p.default)) for name, p in known.items()}


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
