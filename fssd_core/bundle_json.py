"""A bundle's facts as JSON values and back; whatever has another type than it should is an InputError."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeGuard

import numpy.typing as npt

from fssd_core.bundle_types import Bundle, Measured
from fssd_core.errors import InputError
from fssd_core.types import Metrics, Weights

_COUNTS = ("n_ind", "n_ood")


def facts_of(bundle: Bundle) -> dict[str, Any]:
    """JSON values of everything but F*; `bundle_of` reads them back."""
    return {
        "detector": {
            "layers": list(bundle.layers),
            "alpha": list(bundle.weights.alpha),
            "alpha_rule": bundle.weights.rule,
            "alpha_labels": bundle.weights.labels,
            "epsilon": bundle.epsilon,
            "epsilon_labels": bundle.epsilon_labels,
            "gradient": bundle.gradient,
            "batch_size": bundle.batch_size,
            "depends_on_batch": bundle.depends_on_batch,
            "threshold": bundle.threshold,
            "threshold_chosen": dict(bundle.chosen),
        },
        "model": {
            "reference": bundle.reference,
            "arch": bundle.arch,
            "step": bundle.step,
            "weights_sha256": bundle.weights_sha256,
            "input_shape": list(bundle.input_shape),
            "mean": None if bundle.mean is None else list(bundle.mean),
            "std": None if bundle.std is None else list(bundle.std),
        },
        "fss": {
            "noise_samples": bundle.noise_samples,
            "seed": bundle.seed,
            "sizes": [len(v) for v in bundle.fss.values()],
            "probe": list(bundle.probe),
        },
        "data": {"ind": bundle.ind, "ood": list(bundle.ood)},
        "measured": [_measured_facts(m) for m in bundle.measured],
        "versions": dict(bundle.versions),
        "date": bundle.date,
    }


def bundle_of(facts: Mapping[str, Any], fss: Mapping[str, npt.NDArray[Any]]) -> Bundle:
    """The bundle of `facts_of` and F*.

    Raises:
        InputError: a fact is missing, of another type or out of range, or F* has other layers.
    """
    top = _Facts(facts, "")
    detector, model, noise, data = (top.part(name) for name in ("detector", "model", "fss", "data"))
    layers = detector.texts("layers")
    if set(fss) != set(layers):
        raise InputError(f"F* has layers {', '.join(sorted(fss))}, the facts say {', '.join(layers)}")
    chosen = detector.part("threshold_chosen").values
    if not all(isinstance(v, str) or _is_number(v) for v in chosen.values()):
        raise InputError("threshold_chosen holds more than words and numbers")
    return Bundle(
        weights=Weights(
            detector.numbers("alpha"), layers, rule=detector.text("alpha_rule"), labels=detector.text("alpha_labels")
        ),
        fss={layer: _frozen(fss[layer]) for layer in layers},
        epsilon=detector.number("epsilon"),
        gradient=detector.text("gradient"),
        batch_size=detector.whole("batch_size"),
        threshold=detector.number("threshold"),
        chosen=dict(chosen),
        epsilon_labels=detector.text("epsilon_labels"),
        reference=model.text("reference"),
        arch=model.text("arch"),
        step=None if model.values.get("step") is None else model.whole("step"),
        weights_sha256=model.text("weights_sha256"),
        input_shape=_shape(model),
        mean=None if model.values.get("mean") is None else model.numbers("mean"),
        std=None if model.values.get("std") is None else model.numbers("std"),
        noise_samples=noise.whole("noise_samples"),
        seed=noise.whole("seed"),
        probe=noise.numbers("probe"),
        ind=data.text("ind"),
        ood=data.texts("ood"),
        measured=tuple(_measured(_Facts(m, f"measured[{i}]")) for i, m in enumerate(top.sequence("measured"))),
        versions={str(k): str(v) for k, v in top.part("versions").values.items()},
        date=top.text("date"),
    )


def _measured_facts(measured: Measured) -> dict[str, Any]:
    return {
        "ood": measured.ood,
        **{k: v if k in _COUNTS else float(v) for k, v in dataclasses.asdict(measured.metrics).items()},
        "tpr": float(measured.tpr),
        "fpr": float(measured.fpr),
        "level": float(measured.level),
        "intervals": {name: [float(low), float(high)] for name, (low, high) in measured.intervals.items()},
    }


def _measured(facts: _Facts) -> Measured:
    names = [f.name for f in dataclasses.fields(Metrics)]
    numbers: dict[str, Any] = {k: facts.whole(k) if k in _COUNTS else facts.number(k) for k in names}
    intervals = {}
    inside = facts.part("intervals")
    for name in inside.values:
        pair = inside.numbers(name)
        if len(pair) != 2:
            raise InputError(f"interval {name} has {len(pair)} ends")
        intervals[name] = (pair[0], pair[1])
    return Measured(
        facts.text("ood"),
        Metrics(**numbers),
        facts.number("tpr"),
        facts.number("fpr"),
        intervals,
        facts.number("level"),
    )


def _shape(model: _Facts) -> tuple[int, int, int]:
    sides = model.sequence("input_shape")
    if len(sides) != 3 or not all(isinstance(n, int) and not isinstance(n, bool) for n in sides):
        raise InputError(f"input_shape is {str(sides)[:80]}, expected 3 whole numbers")
    return sides[0], sides[1], sides[2]


def _frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    array = array.view()
    array.flags.writeable = False
    return array


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


class _Facts:
    """One JSON object, asked for values of a type."""

    def __init__(self, values: object, where: str) -> None:
        if not isinstance(values, dict):
            raise InputError(f"{where or 'the whole'} is no object")
        self.values: dict[str, Any] = values
        self.where = where

    def part(self, name: str) -> _Facts:
        return _Facts(self.values.get(name), self._path(name))

    def text(self, name: str) -> str:
        value = self.values.get(name)
        return value if isinstance(value, str) else self._refuse(name, "a text")

    def number(self, name: str) -> float:
        value = self.values.get(name)
        return float(value) if _is_number(value) else self._refuse(name, "a number")

    def whole(self, name: str) -> int:
        value = self.values.get(name)
        return int(value) if _is_number(value) and isinstance(value, int) else self._refuse(name, "a whole number")

    def sequence(self, name: str) -> list[Any]:
        value = self.values.get(name)
        return value if isinstance(value, list) else self._refuse(name, "a list")

    def numbers(self, name: str) -> tuple[float, ...]:
        values = self.sequence(name)
        return tuple(map(float, values)) if all(map(_is_number, values)) else self._refuse(name, "numbers")

    def texts(self, name: str) -> tuple[str, ...]:
        values = self.sequence(name)
        return tuple(values) if all(isinstance(v, str) for v in values) else self._refuse(name, "texts")

    def _path(self, name: str) -> str:
        return f"{self.where}.{name}" if self.where else name

    def _refuse(self, name: str, expected: str) -> Any:
        raise InputError(f"{self._path(name)} is {str(self.values.get(name))[:80]!r}, expected {expected}")
