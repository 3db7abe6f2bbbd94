"""Where the bundled assets lie, and the one command that rebuilds them: `python -m fssd_core.assets build`."""

from __future__ import annotations

import os
from pathlib import Path


def assets_root() -> Path:
    """The folder of the bundled data, checkpoints and results: $FSSD_ASSETS, else `assets/` of the source tree."""
    if given := os.environ.get("FSSD_ASSETS"):
        return Path(given).expanduser()
    return Path(__file__).resolve().parents[1] / "assets"
