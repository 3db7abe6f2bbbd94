"""Data sets by name, and loaders of people's own: `load_data(ref)` gives an ImageSet."""

from fssd_core.data.images import ImageSet
from fssd_core.data.table import DATA, DataEntry, list_data, load_data

__all__ = ["DATA", "DataEntry", "ImageSet", "list_data", "load_data"]
