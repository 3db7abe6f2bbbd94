"""Training with log-spaced checkpoints: `train` yields, `save_checkpoint` writes them. No global seed is touched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from fssd_core.checkpoint_file import save_checkpoint
from fssd_core.errors import InputError, lookup
from fssd_core.losses import Loss, cross_entropy
from fssd_core.models.archs import ARCHS
from fssd_core.runtime import Progress, evaluated, silent
from fssd_core.training_loop import OPTIMISERS, Checkpoint, Recipe, Stream, Training, normaliser

__all__ = [
    "OPTIMISERS",
    "Checkpoint",
    "Loss",
    "Recipe",
    "Training",
    "accuracy",
    "build",
    "checkpoint_steps",
    "cross_entropy",
    "save_checkpoint",
    "train",
]

LOG_STEPS = (0, 5, 10, 20, 50, 100, 200, 400, 900)


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
    with Stream(generator):
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
        module, images, labels, generator, recipe, mean, std, loss, device: as for `Training`.
        checkpoints: steps to yield at; None for `checkpoint_steps`. Training ends after the last of them.
        progress: told after each step; may raise CancelledError.

    Raises:
        InputError: no images, labels that do not fit, or no checkpoint within the recipe's epochs.
        ModelError: the loss is not finite.
    """
    run = Training(
        module, images, labels, generator=generator, recipe=recipe or Recipe(), mean=mean, std=std, loss=loss,
        device=device,
    )  # fmt: skip
    epochs = run.recipe.epochs
    wanted = sorted(set(checkpoint_steps(run.per_epoch, epochs) if checkpoints is None else checkpoints))
    if not wanted or wanted[0] < 0 or wanted[-1] > run.total:
        raise InputError(f"checkpoints {wanted} were asked for; {epochs} epochs have steps 0 to {run.total}")
    return _at_checkpoints(run, wanted, progress)


def _at_checkpoints(run: Training, wanted: list[int], progress: Progress) -> Iterator[Checkpoint]:
    for step in wanted:
        while run.step < step:
            run.advance()
            progress(run.step, wanted[-1], "steps")
        yield run.checkpoint()


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
    to_input = normaliser(mean, std, device)
    with evaluated(module), torch.no_grad():
        right = sum(
            int((module(to_input(x)).argmax(1).cpu() == y).sum().item())
            for x, y in zip(torch.split(images, 1000), torch.split(labels, 1000), strict=True)
        )
    return right / len(images)
