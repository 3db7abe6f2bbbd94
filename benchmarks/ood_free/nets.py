"""The networks of the study: trained once by the demo's recipe and kept, four for development, six for the report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from fssd_core.assets import fashion
from fssd_core.data import load_data
from fssd_core.models import LoadedModel, load_model
from fssd_core.models.archs import ARCHS
from fssd_core.runtime import generator, threads
from fssd_core.training import Recipe, accuracy, build, save_checkpoint, train

DEVELOPMENT = ("lenet-100", "mlp-100", "lenet-101", "mlp-101")
REPORT = ("lenet-0", "lenet-1", "lenet-2", "mlp-0", "mlp-1", "mlp-2")
EPOCHS, BATCH = 14, 64
FIT = 10_000
Arrays = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]


def network(name: str, work: Path) -> LoadedModel:
    """The network 'lenet-1': from the bundled demo, from the folder, or trained now (minutes) and kept there.

    Seeds from 100 are development networks: trained on the 50,000 images that are not in fmnist:train.
    """
    if name == "lenet-0":
        return load_model("demo/lenet")
    path = work / "nets" / f"{name}.safetensors"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        print(f"training {name} ...", flush=True)
        _train(name, path)
    return load_model(str(path))


def fit_images(name: str) -> Arrays:
    """10,000 of the network's own training images, with classes: what detectors are fitted on."""
    if not is_development(name):
        bundled = load_data("fmnist:train")
        assert bundled.labels is not None
        return bundled.images, bundled.labels
    images, labels = _not_bundled()
    rows = np.sort(np.random.default_rng(1).choice(len(images), FIT, replace=False))
    return images[rows], labels[rows]


def is_development(name: str) -> bool:
    """Whether the network is one that choices are made on."""
    return int(name.rpartition("-")[2]) >= 100


def _not_bundled() -> Arrays:
    images, labels = fashion("train")
    rows = np.setdiff1d(np.arange(len(images)), load_data("fmnist:train").rows)
    return images[rows], labels[rows].astype(np.int64)


def _train(name: str, path: Path) -> None:
    arch, _, seed = name.rpartition("-")
    images, labels = _not_bundled() if is_development(name) else fashion("train")
    held = load_data("fmnist:train" if is_development(name) else "fmnist:test")
    assert held.labels is not None
    facts = {"arch": arch, "taps": ",".join(ARCHS[arch].taps), "mean": (0.0,), "std": (1.0,), "seed": int(seed)}
    pixels = {"mean": (0.0,), "std": (1.0,)}
    draws = generator(int(seed))
    module = build(arch, classes=10, input_shape=(1, 28, 28), generator=draws)
    x, y = torch.tensor(images).unsqueeze(1), torch.tensor(labels).long()
    last = -(-len(x) // BATCH) * EPOCHS
    with threads(1):
        run = train(
            module, x, y, generator=draws, recipe=Recipe(epochs=EPOCHS, batch_size=BATCH), checkpoints=[last],
            device="cpu", **pixels,
        )  # fmt: skip
        for point in run:
            right = accuracy(module, torch.tensor(held.images).unsqueeze(1), torch.tensor(held.labels), **pixels)
            save_checkpoint(path, point.state, {**facts, "step": point.step, "test_accuracy": right})
            print(f"{name}: accuracy {right:.4f} on images it has not seen", flush=True)
