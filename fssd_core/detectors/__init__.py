"""Detectors under one interface: `make_detector(name).fit(extractor, ...).scores(images)`, larger = more ind.

To add one: a class with `_learn` and `_score` (or `adapted` for one of pytorch-ood's), a DetectorSpec, a line below.
"""

from __future__ import annotations

from fssd_core.detectors.base import Detector, DetectorSpec, Parameter
from fssd_core.detectors.baselines import ENERGY, MSP
from fssd_core.detectors.fssd import FEATURE_NORM, FSSD
from fssd_core.errors import lookup

DETECTORS: dict[str, DetectorSpec] = {
    "fssd": FSSD,
    "msp": MSP,
    "energy": ENERGY,
    "feature-norm": FEATURE_NORM,
}


def make_detector(name: str, **values: object) -> Detector:
    """An unfitted detector of the table.

    Raises:
        InputError: an unknown detector or parameter, or a value that is not allowed; the message suggests the nearest.
    """
    return lookup(DETECTORS, name, "detector").make(**values)


__all__ = ["DETECTORS", "Detector", "DetectorSpec", "Parameter", "make_detector"]
