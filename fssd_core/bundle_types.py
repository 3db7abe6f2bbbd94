"""Bundle: a tuned detector as one frozen value, every number checked when it is made."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from fssd_core.errors import InputError, did_you_mean
from fssd_core.extractor import MAX_LAYERS
from fssd_core.operating_point import SAID
from fssd_core.singularity import GRADIENTS
from fssd_core.types import Metrics, Weights

Shape = tuple[int, int, int]
Interval = tuple[float, float]
MAX_BATCH = 2**20


@dataclass(frozen=True)
class Measured:
    """What a detector achieved on ind against one ood set.

    Attributes:
        ood: reference of the ood set.
        metrics: numbers over all thresholds, with n_ind and n_ood.
        tpr: share of ind accepted at the bundle's threshold.
        fpr: share of ood accepted there.
        intervals: {name of `Metrics`, 'tpr' or 'fpr': (low, high)}; may be empty.
        level: coverage of the intervals.
    """

    ood: str
    metrics: Metrics
    tpr: float
    fpr: float
    intervals: dict[str, Interval] = field(default_factory=dict)
    level: float = 0.95

    def __post_init__(self) -> None:
        numbers = [*vars(self.metrics).values(), self.tpr, self.fpr, self.level]
        _finite(f"measured numbers against {self.ood}", [*numbers, *(v for i in self.intervals.values() for v in i)])


@dataclass(frozen=True, eq=False)
class Bundle:
    """Everything a tuned FSSD detector is, but for the network's own weights. Made by `make_bundle`, never by hand.

    Attributes:
        weights: alpha, raw (not scaled), its rule and the labels it was fitted on; its layers are the bundle's.
        fss: {layer: F*_k (D_k,) float32}.
        epsilon: perturbation in pixels, signed.
        gradient: 'sign' or 'standardised'.
        batch_size: images at once; with epsilon != 0 and 'standardised' the scores depend on it.
        threshold: accepted as ind where score >= threshold.
        chosen: how the threshold was chosen: {'by': 'tpr', 'value': 0.95, 'words': '...'}, 'on' says on which images.
        epsilon_labels: which labels were used to choose epsilon, in plain words.
        reference: what the network was loaded by when the bundle was made.
        arch: name in `list_archs()`.
        step: training step, if known.
        weights_sha256: `weights_digest` of the network: names, types, shapes and values.
        input_shape: (C, H, W).
        mean: C channel means in pixels; None if the network takes plain pixels.
        std: C channel standard deviations.
        noise_samples: S, noise images behind F*.
        seed: of the noise, the draw of samples and the splits.
        probe: (K,) distances of a fixed picture (`probe_image`), by which a network with another forward pass is found.
        ind: in-distribution data it was made with.
        ood: ood data it was made with.
        measured: what it achieved.
        versions: {'fssd-explorer', 'torch', 'numpy'} at the time.
        date: when it was made, ISO 8601, as the caller said.
    """

    weights: Weights
    fss: dict[str, npt.NDArray[np.float32]]
    epsilon: float
    gradient: str
    batch_size: int
    threshold: float
    chosen: dict[str, Any]
    epsilon_labels: str
    reference: str
    arch: str
    step: int | None
    weights_sha256: str
    input_shape: Shape
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    noise_samples: int
    seed: int
    probe: tuple[float, ...]
    ind: str
    ood: tuple[str, ...]
    measured: tuple[Measured, ...]
    versions: dict[str, str]
    date: str

    def __post_init__(self) -> None:
        for name in ("epsilon", "threshold"):
            object.__setattr__(self, name, float(getattr(self, name)))
        for name in ("input_shape", "mean", "std", "probe", "ood", "measured"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else tuple(value))
        self._check_weights()
        self._check_fss()
        self._check_setting()
        self._check_model()

    @property
    def layers(self) -> tuple[str, ...]:
        """The K layers, in the order of the score columns."""
        return self.weights.layers

    @property
    def depends_on_batch(self) -> bool:
        """Whether an image's score depends on the images scored with it ('standardised' with epsilon != 0)."""
        return self.epsilon != 0 and self.gradient == "standardised"

    def _check_weights(self) -> None:
        layers = self.layers
        if not 1 <= len(layers) <= MAX_LAYERS or len(set(layers)) != len(layers):
            raise InputError(f"layers {', '.join(layers)} were given; a bundle has 1 to {MAX_LAYERS}, each once")
        _finite("alpha", self.weights.alpha)
        if not any(self.weights.alpha):
            raise InputError("alpha is 0 in every layer, so every image has the same score; weigh at least one layer")

    def _check_fss(self) -> None:
        if tuple(self.fss) != self.layers:
            raise InputError(f"F* has layers {', '.join(self.fss)}, alpha has {', '.join(self.layers)}; give the same")
        for layer, value in self.fss.items():
            if value.dtype != np.float32 or value.ndim != 1 or not len(value):
                raise InputError(f"F* of {layer} is {value.dtype} {value.shape}; it must be float32 (D,), D at least 1")
            _finite(f"F* of {layer}", value)
        if len(self.probe) != len(self.layers):
            raise InputError(f"{len(self.probe)} probe distances were given for {len(self.layers)} layers")
        _finite("probe distances", self.probe)

    def _check_setting(self) -> None:
        _finite("epsilon", [self.epsilon])
        if abs(self.epsilon) > 1:
            raise InputError(f"epsilon {self.epsilon} was given; it is in pixels, -1 to 1")
        if self.gradient not in GRADIENTS:
            raise InputError(f"no gradient rule {self.gradient!r}{did_you_mean(self.gradient, GRADIENTS)}")
        if not np.isfinite(self.threshold):
            raise InputError(
                f"the threshold is {self.threshold}, so the detector would accept "
                f"{'everything' if self.threshold < 0 else 'nothing'}; choose a finite one (another target or cost)"
            )
        if self.chosen.get("by") not in SAID or not isinstance(self.chosen.get("words"), str):
            raise InputError(f"chosen = {self.chosen} was given; it needs `by`, one of {', '.join(SAID)}, and `words`")
        _finite("numbers of `chosen`", [v for v in self.chosen.values() if not isinstance(v, str)])
        if not 1 <= self.batch_size <= MAX_BATCH or self.noise_samples < 1 or not 0 <= self.seed < 2**63:
            raise InputError(
                f"batch size {self.batch_size}, {self.noise_samples} noise images and seed {self.seed} were given; "
                f"a batch has 1 to {MAX_BATCH} images, at least 1 noise image is needed, a seed is 0 to 2**63 - 1"
            )
        try:
            datetime.fromisoformat(self.date)
        except (ValueError, TypeError):
            raise InputError(f"date {self.date!r} was given; it is ISO 8601, as 2026-01-31T12:00:00+00:00") from None

    def _check_model(self) -> None:
        if len(self.input_shape) != 3 or min(self.input_shape) < 1:
            raise InputError(f"input shape {self.input_shape} was given; it is (channels, height, width)")
        if (self.mean is None) != (self.std is None):
            raise InputError("mean and std must be given together")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None:
                _finite(name, values)
                if len(values) != self.input_shape[0] or (name == "std" and min(values) <= 0):
                    raise InputError(f"{name} {values} was given; one value a channel is needed, std above 0")
        if not re.fullmatch(r"[0-9a-f]{64}", self.weights_sha256):
            raise InputError(f"weights_sha256 {self.weights_sha256!r} is no SHA-256 (64 hexadecimal digits)")


def _finite(what: str, values: Sequence[Any] | npt.NDArray[Any]) -> None:
    bad = int((~np.isfinite(np.asarray(values, dtype=np.float64))).sum()) if len(values) else 0
    if bad:
        raise InputError(
            f"{bad} of {len(values)} values of {what} are NaN or infinite; a bundle has finite numbers only"
        )
