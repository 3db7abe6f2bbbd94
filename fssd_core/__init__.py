"""FSSD: out-of-distribution detection by Feature Space Singularity Distance (Huang et al. 2021)."""

from typing import TYPE_CHECKING, Any

from fssd_core.errors import FssdError
from fssd_core.extractor import FeatureExtractor, default_layers
from fssd_core.singularity import estimate_fss, fssd, fssd_sweep, perturb, uniform_noise
from fssd_core.types import Curve, Faithfulness, LayerScores, Metrics, PointGroup, Projection, Weights

if TYPE_CHECKING:
    from fssd_core.bundle import load_detector

__version__ = "0.1.0"

__all__ = [
    "Curve",
    "Faithfulness",
    "FeatureExtractor",
    "FssdError",
    "LayerScores",
    "Metrics",
    "PointGroup",
    "Projection",
    "Weights",
    "default_layers",
    "estimate_fss",
    "fssd",
    "fssd_sweep",
    "load_detector",
    "perturb",
    "uniform_noise",
]


def __getattr__(name: str) -> Any:
    """`load_detector`, brought in when it is first asked for: it needs scikit-learn, whose import takes a second."""
    if name == "load_detector":
        from fssd_core.bundle import load_detector

        return load_detector
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
