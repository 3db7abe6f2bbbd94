"""Does concentration toward F* hold whatever is trained? Architectures x activations x losses, layer by layer.

Every cell is trained anew on the same images with the same budget and measured before and after; its numbers are kept
in the Store, so that an interrupted table goes on where it stopped.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fssd_core.data import ImageSet, load_data
from fssd_core.errors import CancelledError, FssdError, InputError, lookup
from fssd_core.extractor import FeatureExtractor
from fssd_core.losses import LOSSES, hidden_layer
from fssd_core.metrics import auroc
from fssd_core.models.archs import ARCHS
from fssd_core.models.nets import ACTIVATIONS
from fssd_core.probe import class_mean_accuracy
from fssd_core.runtime import Progress, generator, silent
from fssd_core.singularity import estimate_fss, fssd, uniform_noise
from fssd_core.store import Store, key
from fssd_core.training import accuracy, build
from fssd_core.training_loop import Recipe, Stream, Training

VERSION = 1
ARCH_NAMES = ("mlp", "lenet", "bilstm", "densenet-small", "resnet-cifar8")
OOD = ("photo-patches", "fmnist-inverted", "mnist", "fmnist-rotated", "uniform-noise")
IND, TRAINED_ON = "fmnist:test", "fmnist:train"


@dataclass(frozen=True)
class Cell:
    """One network of the table."""

    arch: str
    activation: str
    loss: str
    seed: int = 0

    def __post_init__(self) -> None:
        lookup(ARCHS, self.arch, "architecture")
        lookup(ACTIVATIONS, self.activation, "activation")
        lookup(LOSSES, self.loss, "loss")

    @property
    def title(self) -> str:
        """'lenet, tanh, triplet, seed 0'."""
        return f"{self.arch}, {self.activation}, {self.loss}, seed {self.seed}"


@dataclass(frozen=True)
class Budget:
    """What every cell gets, the same for all.

    Attributes:
        images: training images, drawn by the cell's seed.
        epochs: passes over them.
        batch_size: images a step.
        optimiser: as in `Recipe`.
        lr: learning rate of the first epoch.
        gamma: factor on it after each epoch.
        measured: images of ind and of each ood set that are measured (those that there are, where fewer).
        noise: images behind F*.
    """

    images: int = 10_000
    epochs: int = 4
    batch_size: int = 64
    optimiser: str = "adamw"
    lr: float = 1e-3
    gamma: float = 0.7
    measured: int = 1_000
    noise: int = 100

    def recipe(self) -> Recipe:
        """How it is trained."""
        return Recipe(self.epochs, self.batch_size, self.optimiser, self.lr, self.gamma)


@dataclass(frozen=True)
class CellResult:
    """What one cell gave; of a failed one only `error`.

    Attributes:
        cell: the network.
        layers: K layers that the loss trains, in order.
        auroc: ood set -> K AUROCs of ||F_k - F*_k|| (ind positive, larger = ind), after training.
        ratio: ood set -> K mean distances over the ind mean, after training.
        auroc_untrained, ratio_untrained: the same before the first step.
        accuracy: on the ind test images.
        accuracy_by: 'logits', or 'class means' of the last hidden layer (labels for this number only where the loss
            uses none).
        seconds: of training and measuring by the clock of the machine that did it, whatever else it did meanwhile.
        error: why there are no numbers.
    """

    cell: Cell
    layers: tuple[str, ...] = ()
    auroc: dict[str, list[float]] = field(default_factory=dict)
    ratio: dict[str, list[float]] = field(default_factory=dict)
    auroc_untrained: dict[str, list[float]] = field(default_factory=dict)
    ratio_untrained: dict[str, list[float]] = field(default_factory=dict)
    accuracy: float = float("nan")
    accuracy_by: str = ""
    seconds: float = 0.0
    error: str = ""

    @property
    def said(self) -> str:
        """One line for people."""
        if self.error:
            return f"{self.cell.title}: {self.error}"
        numbers = ", ".join(f"{name} {self.auroc[name][-1]:.3f}" for name in OOD)
        return f"{self.cell.title}: accuracy {self.accuracy:.3f}, AUROC in {self.layers[-1]}: {numbers}"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values that `from_json` reads back; numbers that are not there (NaN) become None."""
        values = dataclasses.asdict(self)
        return {**values, "accuracy": None if np.isnan(self.accuracy) else self.accuracy}

    @staticmethod
    def from_json(values: dict[str, Any]) -> CellResult:
        """The result of `to_json`'s values."""
        accuracy = float("nan") if values["accuracy"] is None else values["accuracy"]
        made = {"cell": Cell(**values["cell"]), "layers": tuple(values["layers"]), "accuracy": accuracy}
        return CellResult(**{**values, **made})


def all_cells(
    archs: Sequence[str] = ARCH_NAMES,
    activations: Sequence[str] = tuple(ACTIVATIONS),
    losses: Sequence[str] = tuple(LOSSES),
    seeds: Sequence[int] = (0,),
) -> list[Cell]:
    """Every combination, architecture by architecture."""
    return [Cell(a, f, o, s) for a in archs for f in activations for o in losses for s in seeds]


QUICK_CELLS = (
    Cell("lenet", "relu", "cross-entropy"),
    Cell("mlp", "tanh", "l2"),
    Cell("mlp", "relu", "triplet"),
    Cell("mlp", "relu", "instance"),
)
QUICK_BUDGET = Budget(images=3_000, epochs=2, measured=300, noise=50)


def measure_cells(
    cells: Sequence[Cell], budget: Budget, *, store: Store, device: str | None = None, progress: Progress = silent
) -> Iterator[CellResult]:
    """The cells' results in order, from the store or trained now; a cell that fails is a hole and the rest goes on.

    Args:
        cells: the networks.
        budget: of each.
        store: where results are looked for and kept; failures are not kept.
        device: 'cpu', 'cuda', 'mps'; None picks the best.
        progress: told after each step of training; may raise CancelledError.
    """
    sets = {ref: load_data(ref) for ref in (TRAINED_ON, IND, *OOD)}
    prints = {ref: images.fingerprint() for ref, images in sets.items()}
    for number, cell in enumerate(cells):
        entry_key = key("universality", VERSION, dataclasses.asdict(cell), dataclasses.asdict(budget), prints)
        if (entry := store.get(entry_key)) is not None:
            yield CellResult.from_json(entry.meta["result"])
            continue

        def told(done: int, total: int, what: str, number: int = number, title: str = cell.title) -> None:
            progress(number * total + done, len(cells) * total, f"{what} of {title}")

        try:
            result = measure_cell(cell, budget, sets, device=device, progress=told)
        except CancelledError:
            raise
        except FssdError as error:
            yield CellResult(cell, error=str(error))
            continue
        store.put(entry_key, {"auroc": np.array([result.auroc[name] for name in OOD])}, {"result": result.to_json()})
        yield result


def measure_cell(
    cell: Cell, budget: Budget, sets: dict[str, ImageSet], *, device: str | None = None, progress: Progress = silent
) -> CellResult:
    """Trains one cell and measures it before and after.

    Raises:
        ModelError: the training diverged.
        InputError: no labels for a loss that needs them.
    """
    started = time.perf_counter()
    entry = LOSSES[cell.loss]
    images, labels, classes = _training_set(sets[TRAINED_ON], budget, cell.seed)
    shape = sets[TRAINED_ON].shape
    draws = generator(cell.seed)
    module = build(cell.arch, classes=classes, input_shape=shape, generator=draws, activation=cell.activation)
    with Stream(draws):
        loss = entry.make(module, shape)
    training = Training(module, images, labels, generator=draws, recipe=budget.recipe(), loss=loss, device=device)
    layers = ARCHS[cell.arch].taps if entry.trains_logits else ARCHS[cell.arch].taps[:-1]
    extractor = FeatureExtractor(module, layers, device=next(module.parameters()).device)
    before = _measured(extractor, sets, budget, cell.seed)
    while training.step < training.total:
        training.advance()
        progress(training.step, training.total, "steps")
    training.checkpoint()  # raises if the loss is not finite
    after = _measured(extractor, sets, budget, cell.seed)
    test = sets[IND].sample(2 * budget.measured, seed=cell.seed)
    right, by = _accuracy(training.module, test, images, labels, entry.trains_logits)
    return CellResult(
        cell, tuple(layers), *after, *before, accuracy=right, accuracy_by=by,
        seconds=round(time.perf_counter() - started, 1),
    )  # fmt: skip


def _training_set(full: ImageSet, budget: Budget, seed: int) -> tuple[Tensor, Tensor, int]:
    drawn = full.sample(budget.images, seed=seed)
    if drawn.labels is None:
        raise InputError(f"{full.name!r} has no labels")
    pixels = torch.from_numpy(drawn.images.copy()).unsqueeze(1)
    return pixels, torch.from_numpy(drawn.labels.copy()), len(full.classes)


def _measured(
    extractor: FeatureExtractor, sets: dict[str, ImageSet], budget: Budget, seed: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """({ood: K AUROCs}, {ood: K ratios of mean distances})."""
    noise = uniform_noise(sets[IND].shape, budget.noise, generator=generator(seed))
    fss = estimate_fss(extractor, noise, batch_size=256)
    distance = {
        ref: fssd(extractor, sets[ref].sample(budget.measured, seed=seed).tensor(), fss, batch_size=256).values
        for ref in (IND, *OOD)
    }
    ind = distance[IND].astype(np.float64)  # (N, K)
    columns = range(ind.shape[1])
    separation = {ref: [float(auroc(ind[:, k], distance[ref][:, k])) for k in columns] for ref in OOD}
    ratio = {
        ref: [float(distance[ref][:, k].mean(dtype=np.float64) / ind[:, k].mean()) for k in columns] for ref in OOD
    }
    return separation, ratio


def _accuracy(
    module: torch.nn.Module, test: ImageSet, images: Tensor, labels: Tensor, by_logits: bool
) -> tuple[float, str]:
    if test.labels is None:
        return float("nan"), ""
    truth = torch.from_numpy(test.labels.copy())
    if by_logits:
        return accuracy(module, torch.from_numpy(test.images.copy()).unsqueeze(1), truth), "logits"
    layer = hidden_layer(module)
    extractor = FeatureExtractor(module, [layer], device=next(module.parameters()).device)
    known = extractor.features(images[:2000].float() / 255)[layer]
    return class_mean_accuracy(known, labels[:2000], extractor.features(test.tensor())[layer], truth), "class means"
