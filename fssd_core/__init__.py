"""FSSD: out-of-distribution detection by Feature Space Singularity Distance (Huang et al. 2021)."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fssd_core.bundle import load_detector
    from fssd_core.errors import FssdError
    from fssd_core.extractor import FeatureExtractor, default_layers
    from fssd_core.singularity import estimate_fss, fssd, fssd_sweep, perturb, uniform_noise
    from fssd_core.types import Curve, Faithfulness, LayerScores, Metrics, PointGroup, Projection, Weights

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

_HOMES = {
    "bundle": ("load_detector",),
    "errors": ("FssdError",),
    "extractor": ("FeatureExtractor", "default_layers"),
    "singularity": ("estimate_fss", "fssd", "fssd_sweep", "perturb", "uniform_noise"),
    "types": ("Curve", "Faithfulness", "LayerScores", "Metrics", "PointGroup", "Projection", "Weights"),
}


def __getattr__(name: str) -> Any:
    """A public name, brought in when it is first asked for: importing torch or scikit-learn takes a second each."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"fssd_core.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
