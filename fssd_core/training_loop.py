"""One training, an update at a time: it can be paused, saved as tensors and taken up again exactly.

No global seed is touched.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fssd_core.errors import InputError, ModelError, lookup
from fssd_core.losses import Loss, cross_entropy
from fssd_core.runtime import pick_device

_Optimiser = Callable[[list[nn.Parameter], "Recipe"], torch.optim.Optimizer]


@dataclass(frozen=True)
class Recipe:
    """How to train; the defaults are the FSSD authors' for LeNet.

    Attributes:
        epochs: passes over the data.
        batch_size: images a step.
        optimiser: 'adadelta', 'sgd' (momentum 0.9) or 'adamw'.
        lr: learning rate of the first epoch.
        gamma: factor on the learning rate after each epoch.
        weight_decay: of the optimiser.
        clip: largest length of the gradient of all weights together, longer ones are scaled down; 0 for no limit.
    """

    epochs: int = 14
    batch_size: int = 64
    optimiser: str = "adadelta"
    lr: float = 1.0
    gamma: float = 0.7
    weight_decay: float = 0.0
    clip: float = 0.0

    def __post_init__(self) -> None:
        lookup(OPTIMISERS, self.optimiser, "optimiser")
        if (
            self.epochs < 1
            or self.batch_size < 1
            or not (self.lr > 0 and self.gamma > 0 and self.weight_decay >= 0 and self.clip >= 0)
            or not all(map(math.isfinite, (self.lr, self.gamma, self.weight_decay, self.clip)))
        ):
            raise InputError(
                f"{self}: epochs and batch_size must be at least 1, lr and gamma positive, weight_decay not negative, "
                "nor clip"
            )


OPTIMISERS: dict[str, _Optimiser] = {
    "adadelta": lambda weights, r: torch.optim.Adadelta(weights, lr=r.lr, weight_decay=r.weight_decay),
    "sgd": lambda weights, r: torch.optim.SGD(weights, lr=r.lr, momentum=0.9, weight_decay=r.weight_decay),
    "adamw": lambda weights, r: torch.optim.AdamW(weights, lr=r.lr, weight_decay=r.weight_decay),
}


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The network after `step` updates.

    Attributes:
        step: updates so far; 0 is the untrained network.
        epoch: passes over the data so far.
        state: the state dict, copied to the CPU.
        loss: mean training loss since the checkpoint before; NaN at step 0.
    """

    step: int
    epoch: float
    state: dict[str, Tensor]
    loss: float


class Training:
    """One training, an update at a time.

    Args:
        module: what to train, in place; left on the device.
        images: (N, C, H, W), uint8 or float in [0, 1].
        labels: (N,) classes; any whole numbers for a loss that does not look at them.
        generator: CPU generator of the order of images, of dropout and of what the loss draws.
        recipe: optimiser and schedule.
        mean: C channel means in pixels; None for plain pixels.
        std: C channel standard deviations.
        loss: from the module, a batch of normalised images and its labels to a scalar; the parameters of a loss that is
            an `nn.Module` are trained too.
        device: 'cpu', 'cuda', 'mps'; None picks the best.

    Attributes:
        step: updates so far.
        per_epoch: updates in one pass over the images.
        total: updates that the recipe asks for.

    Raises:
        InputError: no images, or labels that do not fit.
    """

    def __init__(
        self,
        module: nn.Module,
        images: Tensor,
        labels: Tensor,
        *,
        generator: torch.Generator,
        recipe: Recipe,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        loss: Loss = cross_entropy,
        device: str | None = None,
    ) -> None:
        if len(images) == 0 or labels.shape != (len(images),):
            raise InputError(f"{len(images)} images and labels of shape {tuple(labels.shape)}; give one label an image")
        target = pick_device(device)
        self._to_input = normaliser(mean, std, target)
        self.module = module.to(target)
        self.images, self.labels, self.recipe, self._loss = images, labels, recipe, loss
        own = list(loss.parameters()) if isinstance(loss, nn.Module) else []
        self._optimiser = OPTIMISERS[recipe.optimiser]([*module.parameters(), *own], recipe)
        self._generator, self._stream = generator, Stream(generator)
        self._order = torch.empty(0, dtype=torch.int64)
        self._losses: list[Tensor] = []
        self.step = 0
        self.per_epoch = -(-len(images) // recipe.batch_size)
        self.total = self.per_epoch * recipe.epochs

    def advance(self) -> Tensor:
        """Makes one update and gives its loss, detached; each epoch takes the images in a new order."""
        within = self.step % self.per_epoch
        if within == 0:
            self._order = torch.randperm(len(self.images), generator=self._generator)
        rows = self._order[within * self.recipe.batch_size :][: self.recipe.batch_size]
        self.module.train()
        batch = self._to_input(self.images[rows])
        with self._stream:
            value = self._loss(self.module, batch, self.labels[rows].to(batch.device))
        self._optimiser.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        if self.recipe.clip:
            weights = [w for group in self._optimiser.param_groups for w in group["params"]]
            torch.nn.utils.clip_grad_norm_(weights, self.recipe.clip)
        self._optimiser.step()
        self._losses.append(value.detach())
        self.step += 1
        if self.step % self.per_epoch == 0:
            for group in self._optimiser.param_groups:
                group["lr"] *= self.recipe.gamma
        return self._losses[-1]

    def checkpoint(self) -> Checkpoint:
        """The network as it is now, with the mean loss since the checkpoint before.

        Raises:
            ModelError: that loss is not finite.
        """
        mean = float(torch.stack(self._losses).mean()) if self._losses else float("nan")
        if self._losses and not math.isfinite(mean):
            raise ModelError(f"the training loss is not finite at step {self.step}; use a smaller learning rate")
        self._losses = []
        return Checkpoint(self.step, self.step / self.per_epoch, _copied(self.module), mean)

    def state(self) -> dict[str, Tensor]:
        """Everything that the next update depends on, as tensors by name: `restore` goes on as if nothing had been."""
        out = {f"module.{k}": v for k, v in _copied(self.module).items()}
        if isinstance(self._loss, nn.Module):
            out |= {f"loss.{k}": v for k, v in _copied(self._loss).items()}
        for number, values in self._optimiser.state_dict()["state"].items():
            for name, value in values.items():
                if isinstance(value, Tensor):
                    out[f"optimiser.{number}.{name}"] = value.detach().cpu().clone()
        return out | {
            "lr": torch.tensor(self._optimiser.param_groups[0]["lr"], dtype=torch.float64),
            "step": torch.tensor(self.step),
            "order": self._order,
            "losses": torch.stack(self._losses).cpu() if self._losses else torch.empty(0),
            "generator": self._generator.get_state(),
            "stream": self._stream.state,
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Takes up the training of `state()`; images, labels and recipe must be those of that one.

        Raises:
            ModelError: the state of another network, loss or optimiser.
        """
        try:
            self.module.load_state_dict(_part(state, "module."))
            if isinstance(self._loss, nn.Module):
                self._loss.load_state_dict(_part(state, "loss."))
            kept: dict[int, dict[str, Tensor]] = {}
            for key, value in _part(state, "optimiser.").items():
                number, _, name = key.partition(".")
                kept.setdefault(int(number), {})[name] = value
            groups = self._optimiser.state_dict()["param_groups"]
            self._optimiser.load_state_dict(
                {"state": kept, "param_groups": [{**g, "lr": float(state["lr"])} for g in groups]}
            )
            self.step, self._order = int(state["step"]), state["order"].clone()
            device = next(self.module.parameters()).device
            self._losses = list(state["losses"].to(device, copy=True))
            self._generator.set_state(state["generator"])
            self._stream.state = state["stream"].clone()
        except (KeyError, ValueError, RuntimeError, TypeError) as error:
            raise ModelError(f"the saved training does not fit this one ({str(error).splitlines()[0]})") from error


class Stream:
    """Inside, torch's global CPU generator runs on a stream of its own; outside it is as it was.

    Attributes:
        state: of that stream, a ByteTensor.
    """

    def __init__(self, generator: torch.Generator) -> None:
        seed = int(torch.randint(2**62, (1,), generator=generator))
        self.state = torch.Generator().manual_seed(seed).get_state()
        self._outer = self.state

    def __enter__(self) -> None:
        self._outer = torch.get_rng_state()
        torch.set_rng_state(self.state)

    def __exit__(self, *_: object) -> None:
        self.state = torch.get_rng_state()
        torch.set_rng_state(self._outer)


def _copied(module: nn.Module) -> dict[str, Tensor]:
    return {k: v.detach().cpu().clone() for k, v in module.state_dict().items()}


def _part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def normaliser(
    mean: Sequence[float] | None, std: Sequence[float] | None, device: torch.device
) -> Callable[[Tensor], Tensor]:
    """From stored images to the module's input on the device."""
    if (mean is None) != (std is None):
        raise InputError(f"mean {mean} and std {std} must be given together")
    shift = torch.tensor(mean or (0.0,), device=device).view(-1, 1, 1)
    scale = torch.tensor(std or (1.0,), device=device).view(-1, 1, 1)

    def to_input(images: Tensor) -> Tensor:
        pixels = images.to(device)
        pixels = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels
        return (pixels - shift) / scale

    return to_input
