"""A short series of the demo's checkpoints in a folder of its own, for tests of everything over checkpoints."""

from __future__ import annotations

from pathlib import Path

from fssd_core.assets import assets_root
from fssd_core.study import Study

STEPS = (0, 100, 13132)


def short_series(folder: Path, steps: tuple[int, ...] = STEPS) -> Study:
    """A small study of the given checkpoints, linked into the folder."""
    for step in steps:
        name = f"step-{step:05d}.safetensors"
        (folder / name).symlink_to(assets_root() / "models" / "lenet" / name)
    return Study(model=str(folder), points=40, ood=("mnist", "photo-patches"), noise_samples=20)
