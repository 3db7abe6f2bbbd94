"""What a run of training is: everything that decides its outcome, checked, as JSON in its folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fssd_core.data import list_data
from fssd_core.errors import InputError, did_you_mean, lookup
from fssd_core.losses import LOSSES
from fssd_core.models.archs import ARCHS
from fssd_core.models.nets import ACTIVATIONS
from fssd_core.models.torchvision_nets import PREFIX
from fssd_core.training import checkpoint_steps
from fssd_core.training_loop import OPTIMISERS, Recipe

MAX_EPOCHS = 200
MAX_BATCH = 2048
MAX_OOD = 6
KEPT_EPOCHS = 30  # most checkpoints at ends of epochs
USUAL_LR = {"adadelta": 1.0, "sgd": 0.05, "adamw": 0.001}
OWN_TEST = "held-out"


@dataclass(frozen=True)
class RunSpec:
    """One training, hashable and JSON-able.

    Attributes:
        arch: name in `list_archs()`.
        activation: 'relu' or 'tanh'.
        dropout: share of units left out while training.
        loss: name in `LOSSES`.
        data: training images: a data reference, with labels unless the loss uses none.
        test: in-distribution images to measure on: a data reference, or 'held-out' for a sixth of `data` (at most
            1,000) that is not trained on; None for the test set that belongs to `data`, else 'held-out'.
        images: training images drawn by seed; None for all.
        ood: ood sets to watch.
        optimiser, lr, gamma, weight_decay, clip, epochs, batch_size: as in `Recipe`; lr None is the optimiser's usual.
        seed: of weights, order, dropout, noise and samples.
    """

    arch: str = "lenet"
    activation: str = "relu"
    dropout: float = 0.0
    loss: str = "cross-entropy"
    data: str = "fmnist:train"
    test: str | None = None
    images: int | None = None
    ood: tuple[str, ...] = ("photo-patches", "fmnist-inverted", "mnist")
    optimiser: str = "adadelta"
    lr: float | None = None
    gamma: float = 0.7
    weight_decay: float = 0.0
    clip: float = 0.0
    epochs: int = 10
    batch_size: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "ood", tuple(self.ood))
        entry = ARCHS.get(PREFIX + self.arch) or lookup(ARCHS, self.arch, "architecture")
        lookup(ACTIVATIONS, self.activation, "activation")
        lookup(LOSSES, self.loss, "loss")
        lookup(OPTIMISERS, self.optimiser, "optimiser")
        entry.check(self.activation, self.dropout)
        if entry.input_shape[1] > 64:
            own = ", ".join(n for n, e in ARCHS.items() if e.input_shape[1] <= 64)
            raise InputError(f"{self.arch!r} is made for large images and is not trained here; choose one of {own}")
        if self.lr is None:
            object.__setattr__(self, "lr", USUAL_LR[self.optimiser])
        if self.test is None:
            object.__setattr__(self, "test", _test_of(self.data))
        self.recipe()
        _between("epochs", self.epochs, 1, MAX_EPOCHS)
        _between("batch_size", self.batch_size, 2, MAX_BATCH)
        _between("seed", self.seed, 0, 2**62)
        if self.images is not None:
            _between("images", self.images, self.batch_size, 10**7)
        if self.lr is not None and self.lr > 100:
            raise InputError(f"lr {self.lr:g} was given; it is above 0 and at most 100")
        if len(self.ood) > MAX_OOD or len({*self.ood, self.data, self.test}) != len(self.ood) + 2:
            raise InputError(
                f"ood sets {', '.join(self.ood)} were given; name at most {MAX_OOD}, each once, and neither "
                f"{self.data!r} nor {self.test!r}"
            )
        if not str(self.data).strip():
            raise InputError("no training data were given; `fssd list data` shows the names")

    def recipe(self) -> Recipe:
        """Optimiser and schedule."""
        return Recipe(
            self.epochs, self.batch_size, self.optimiser, self.lr or 0.0, self.gamma, self.weight_decay, self.clip
        )  # fmt: skip

    @property
    def title(self) -> str:
        """'lenet, tanh, triplet, seed 0'."""
        more = f", dropout {self.dropout:g}" if self.dropout else ""
        return f"{self.arch}, {self.activation}, {self.loss}{more}, seed {self.seed}"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values that `from_json` reads back."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> RunSpec:
        """The specification of `to_json`'s values.

        Raises:
            InputError: unknown names, or values of another kind.
        """
        if not isinstance(values, Mapping):
            raise InputError(f"the specification of a run is a {type(values).__name__}, not an object")
        known = {f.name for f in dataclasses.fields(RunSpec)}
        for name in values:
            if name not in known:
                raise InputError(f"a run has no {name!r}{did_you_mean(name, known)}")
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        try:
            return RunSpec(**plain)
        except (TypeError, AttributeError) as error:
            raise InputError(f"the specification of a run has a value of the wrong kind ({error})") from error


def run_steps(per_epoch: int, epochs: int) -> tuple[int, ...]:
    """`checkpoint_steps`, at most 30 of them at ends of epochs, the last epoch's among them."""
    every = -(-epochs // KEPT_EPOCHS)
    ends = {per_epoch * e for e in range(1, epochs + 1) if e % every == 0 or e == epochs}
    return tuple(s for s in checkpoint_steps(per_epoch, epochs) if s < per_epoch or s in ends)


def _between(name: str, value: int, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InputError(f"{name} {value!r} was given; it is a whole number from {low:,} to {high:,}")


def _test_of(data: str) -> str:
    name, colon, part = str(data).rpartition(":")
    partner = f"{name}:test"
    return partner if colon and part == "train" and partner in {d.name for d in list_data()} else OWN_TEST
