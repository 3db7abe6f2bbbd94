"""Detectors under one interface: `make_detector(name).fit(extractor, ...).scores(images)`, larger = more ind.

To add one: a class with `_learn` and `_score` (or `adapted` for one of pytorch-ood's), a DetectorSpec, a line below.
"""

from __future__ import annotations

from fssd_core.detectors.base import Detector, DetectorSpec
from fssd_core.detectors.baselines import ENERGY, ENTROPY, GEN, KL_MATCHING, MAX_LOGIT, MSP, OPENMAX
from fssd_core.detectors.before_head import BEFORE_HEAD
from fssd_core.detectors.fssd import FEATURE_NORM, FSSD
from fssd_core.detectors.mahalanobis import MAHALANOBIS
from fssd_core.detectors.odin import ODIN
from fssd_core.detectors.ood_free import FSSD_OOD_FREE
from fssd_core.detectors.outlier_exposure import OUTLIER_EXPOSURE
from fssd_core.detectors.parameters import Parameter
from fssd_core.detectors.sampling import DEEP_ENSEMBLE, MC_DROPOUT
from fssd_core.detectors.whole_network import GRAM, NAC, RANKFEAT
from fssd_core.errors import lookup

DETECTORS: dict[str, DetectorSpec] = {
    "fssd": FSSD,
    "fssd-ood-free": FSSD_OOD_FREE,
    "msp": MSP,
    "odin": ODIN,
    "mahalanobis": MAHALANOBIS,
    "deep-ensemble": DEEP_ENSEMBLE,
    "mc-dropout": MC_DROPOUT,
    "outlier-exposure": OUTLIER_EXPOSURE,
    "energy": ENERGY,
    "max-logit": MAX_LOGIT,
    "gen": GEN,
    "entropy": ENTROPY,
    "kl-matching": KL_MATCHING,
    "openmax": OPENMAX,
    **{spec.name: spec for spec in BEFORE_HEAD},
    "gram": GRAM,
    "rankfeat": RANKFEAT,
    "nac": NAC,
    "feature-norm": FEATURE_NORM,
}


def make_detector(name: str, **values: object) -> Detector:
    """An unfitted detector of the table.

    Raises:
        InputError: an unknown detector or parameter, or a value that is not allowed; the message suggests the nearest.
    """
    return lookup(DETECTORS, name, "detector").make(**values)


__all__ = ["DETECTORS", "Detector", "DetectorSpec", "Parameter", "make_detector"]
