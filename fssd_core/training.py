"""Training with log-spaced checkpoints: `train` yields, `save_checkpoint` writes them. No global seed is touched."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fssd_core.atomic import write_bytes
from fssd_core.errors import InputError, ModelError, lookup
from fssd_core.models.archs import ARCHS
from fssd_core.runtime import Progress, pick_device, silent

LOG_STEPS = (0, 5, 10, 20, 50, 100, 200, 400, 900)
Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]  # (module, normalised images (B, C, H, W), labels (B,)) -> scalar
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
    """

    epochs: int = 14
    batch_size: int = 64
    optimiser: str = "adadelta"
    lr: float = 1.0
    gamma: float = 0.7
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        lookup(OPTIMISERS, self.optimiser, "optimiser")
        if self.epochs < 1 or self.batch_size < 1 or self.lr <= 0 or self.gamma <= 0 or self.weight_decay < 0:
            raise InputError(
                f"{self}: epochs and batch_size must be at least 1, lr and gamma positive, weight_decay not negative"
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


def cross_entropy(module: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of the logits."""
    return F.cross_entropy(module(images), labels)


def checkpoint_steps(per_epoch: int, epochs: int) -> tuple[int, ...]:
    """0, 5, 10, 20, 50, 100, 200, 400, 900 as far as the first epoch reaches, then the end of each epoch."""
    return (*(s for s in LOG_STEPS if s < per_epoch), *(per_epoch * e for e in range(1, epochs + 1)))


def build(
    arch: str,
    *,
    classes: int,
    input_shape: tuple[int, int, int],
    generator: torch.Generator,
    activation: str = "relu",
    dropout: float = 0.0,
) -> nn.Module:
    """A fresh network of a known architecture, its weights drawn from the generator.

    Raises:
        InputError: unknown architecture, or an option that it does not have.
    """
    entry = lookup(ARCHS, arch, "architecture")
    with _Stream(generator):
        return entry.make(classes, input_shape, activation=activation, dropout=dropout)


def train(
    module: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    generator: torch.Generator,
    recipe: Recipe | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    loss: Loss = cross_entropy,
    checkpoints: Iterable[int] | None = None,
    progress: Progress = silent,
    device: str | None = None,
) -> Iterator[Checkpoint]:
    """Trains the module in place and yields a Checkpoint at each wanted step.

    Args:
        module: what to train; left on the device.
        images: (N, C, H, W), uint8 or float in [0, 1].
        labels: (N,) classes.
        generator: CPU generator of the order of images and of dropout.
        recipe: optimiser and schedule.
        mean: C channel means in pixels; None for plain pixels.
        std: C channel standard deviations.
        loss: from the module, a batch of normalised images and its labels to a scalar.
        checkpoints: steps to yield at; None for `checkpoint_steps`. Training ends after the last of them.
        progress: told after each step; may raise CancelledError.
        device: 'cpu', 'cuda', 'mps'; None picks the best.

    Raises:
        InputError: no images, labels that do not fit, or no checkpoint within the recipe's epochs.
        ModelError: the loss is not finite.
    """
    recipe = recipe or Recipe()
    if len(images) == 0 or labels.shape != (len(images),):
        raise InputError(f"{len(images)} images and labels of shape {tuple(labels.shape)}; give one label an image")
    per_epoch = -(-len(images) // recipe.batch_size)
    wanted = sorted(set(checkpoint_steps(per_epoch, recipe.epochs) if checkpoints is None else checkpoints))
    last = per_epoch * recipe.epochs
    if not wanted or wanted[0] < 0 or wanted[-1] > last:
        raise InputError(f"checkpoints {wanted} were asked for; {recipe.epochs} epochs have steps 0 to {last}")
    target = pick_device(device)
    to_input = _normaliser(mean, std, target)
    return _run(module.to(target), images, labels, recipe, wanted, loss, to_input, generator, progress)


def _run(
    module: nn.Module,
    images: Tensor,
    labels: Tensor,
    recipe: Recipe,
    wanted: list[int],
    loss: Loss,
    to_input: Callable[[Tensor], Tensor],
    generator: torch.Generator,
    progress: Progress,
) -> Iterator[Checkpoint]:
    """The loop behind `train`, whose arguments were checked."""
    optimiser = OPTIMISERS[recipe.optimiser](list(module.parameters()), recipe)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimiser, recipe.gamma)
    per_epoch = -(-len(images) // recipe.batch_size)
    stream = _Stream(generator)
    losses: list[Tensor] = []
    for step, rows in _batches(len(images), recipe, generator):
        if step in wanted:
            yield _checkpoint(module, step, per_epoch, losses)
            losses = []
        if rows is None or step == wanted[-1]:
            return
        module.train()
        batch = to_input(images[rows])
        with stream:
            value = loss(module, batch, labels[rows].to(batch.device))
        optimiser.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(value.detach())
        if (step + 1) % per_epoch == 0:
            schedule.step()
        progress(step + 1, wanted[-1], "steps")


def accuracy(
    module: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> float:
    """Share of images (N, C, H, W; uint8 or float in [0, 1]) whose largest logit is their label's."""
    device = next(module.parameters()).device
    to_input = _normaliser(mean, std, device)
    training = module.training
    module.eval()
    try:
        with torch.no_grad():
            right = sum(
                int((module(to_input(x)).argmax(1).cpu() == y).sum().item())
                for x, y in zip(torch.split(images, 1000), torch.split(labels, 1000), strict=True)
            )
    finally:
        module.train(training)
    return right / len(images)


def save_checkpoint(path: Path, state: Mapping[str, Tensor], metadata: Mapping[str, object]) -> None:
    """Writes a .safetensors file atomically; the same state and metadata always give the same bytes.

    Args:
        path: where to.
        state: tensors by name.
        metadata: facts about them; anything but text is written as JSON. `arch`, `activation`, `dropout`,
            `input_shape`, `mean`, `std`, `taps` and `step` are read again by `load_model`.
    """
    text = {k: v if isinstance(v, str) else json.dumps(v) for k, v in metadata.items()}
    header: dict[str, object] = {"__metadata__": dict(sorted(text.items()))}
    parts, start = [], 0
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        if tensor.dtype not in _DTYPES:
            raise ModelError(f"weights {name!r} of type {tensor.dtype} cannot be saved")
        part = tensor.reshape(-1).view(torch.uint8).numpy().tobytes()
        header[name] = {
            "dtype": _DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, start + len(part)],
        }  # fmt: skip
        start += len(part)
        parts.append(part)
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    write_bytes(path, len(head).to_bytes(8, "little") + head + b"".join(parts))


_DTYPES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64"}


def _batches(count: int, recipe: Recipe, generator: torch.Generator) -> Iterator[tuple[int, Tensor | None]]:
    """(step, rows of its batch), each epoch in a new order; at the end (steps, None)."""
    step = 0
    for _ in range(recipe.epochs):
        for rows in torch.split(torch.randperm(count, generator=generator), recipe.batch_size):
            yield step, rows
            step += 1
    yield step, None


def _checkpoint(module: nn.Module, step: int, per_epoch: int, losses: list[Tensor]) -> Checkpoint:
    mean = float(torch.stack(losses).mean()) if losses else float("nan")
    if losses and not math.isfinite(mean):
        raise ModelError(f"the training loss is not finite at step {step}; use a smaller learning rate")
    state = {k: v.detach().cpu().clone() for k, v in module.state_dict().items()}
    return Checkpoint(step, step / per_epoch, state, mean)


def _normaliser(
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


class _Stream:
    """Inside, torch's global CPU generator runs on a stream of its own; outside it is as it was."""

    def __init__(self, generator: torch.Generator) -> None:
        seed = int(torch.randint(2**62, (1,), generator=generator))
        self._own = torch.Generator().manual_seed(seed).get_state()
        self._outer = self._own

    def __enter__(self) -> None:
        self._outer = torch.get_rng_state()
        torch.set_rng_state(self._own)

    def __exit__(self, *_: object) -> None:
        self._own = torch.get_rng_state()
        torch.set_rng_state(self._outer)
