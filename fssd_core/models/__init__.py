"""Trained networks: registered checkpoints and runs by name, people's own by file, and the table of architectures."""

from fssd_core.models.archs import ARCHS, ArchEntry, find_arch, list_archs
from fssd_core.models.registry import is_series, weight_file
from fssd_core.models.table import LoadedModel, ModelEntry, list_models, load_model

__all__ = [
    "ARCHS",
    "ArchEntry",
    "LoadedModel",
    "ModelEntry",
    "find_arch",
    "is_series",
    "list_archs",
    "list_models",
    "load_model",
    "weight_file",
]
