"""FSSD: out-of-distribution detection by Feature Space Singularity Distance (Huang et al. 2021)."""

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
    "perturb",
    "uniform_noise",
]
