"""What a network is trained to do: cross-entropy, squared error, triplets, and instance discrimination without labels.

A loss maps (module, normalised images (B, C, H, W), labels (B,)) to a scalar. One that is an `nn.Module` has parameters
of its own, which are trained along and are no part of the network's checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fssd_core.block_ends import default_layers
from fssd_core.errors import InputError
from fssd_core.runtime import evaluated

Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]
MARGIN = 0.2
TEMPERATURE = 0.2


def cross_entropy(module: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of the logits."""
    return F.cross_entropy(module(images), labels)


def squared_error(module: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """L2 loss: mean over images of ||logits - one_hot(label)||^2."""
    logits = module(images)
    wanted = F.one_hot(labels, logits.shape[1]).to(logits.dtype)
    error: Tensor = (logits - wanted).square().sum(1).mean()
    return error


def triplet(module: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Semi-hard triplet loss of the last hidden layer, on the unit sphere; the logits are not trained by it."""
    return semi_hard(F.normalize(hidden(module, images), dim=1), labels)


class InstanceDiscrimination(nn.Module):
    """Each image is a class of its own: two changed views of it must be more alike than views of others (NT-Xent).

    Labels are never looked at. The last hidden layer goes through a linear head of this loss (its only parameters) onto
    the unit sphere; the network's logits are not trained by it.

    Args:
        width: of the last hidden layer.
        directions: of the sphere.
        temperature: of the softmax over similarities.
    """

    def __init__(self, width: int, *, directions: int = 64, temperature: float = TEMPERATURE) -> None:
        super().__init__()
        self.head = nn.Linear(width, directions, bias=False)
        self.temperature = temperature

    def forward(self, module: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """The loss of one batch; `labels` are there for the common signature only."""
        del labels
        views = torch.cat([augment(images), augment(images)])
        first, second = F.normalize(self.head(hidden(module, views)), dim=1).chunk(2)
        return nt_xent(first, second, temperature=self.temperature)


@dataclass(frozen=True)
class LossEntry:
    """One loss.

    Attributes:
        name: the name for `--loss`.
        title: what it is, for people.
        make: (module, (C, H, W)) -> the loss, whose own weights come from torch's current generator.
        supervised: whether it uses labels.
        trains_logits: whether the logits learn; else the last hidden layer is the last one that does.
    """

    name: str
    title: str
    make: Callable[[nn.Module, tuple[int, int, int]], Loss]
    supervised: bool
    trains_logits: bool


def _instance(module: nn.Module, input_shape: tuple[int, int, int]) -> Loss:
    device = next(module.parameters()).device
    with evaluated(module), torch.no_grad():
        width = hidden(module, torch.zeros(1, *input_shape, device=device)).shape[1]
    return InstanceDiscrimination(width).to(device)


_ENTRIES = (
    LossEntry("cross-entropy", "cross-entropy", lambda *_: cross_entropy, True, True),
    LossEntry("l2", "L2 (squared error to one-hot)", lambda *_: squared_error, True, True),
    LossEntry("triplet", "triplet (semi-hard, last hidden layer)", lambda *_: triplet, True, False),
    LossEntry("instance", "instance discrimination, no labels", _instance, False, False),
)
LOSSES: dict[str, LossEntry] = {entry.name: entry for entry in _ENTRIES}


def hidden_layer(module: nn.Module) -> str:
    """Name of the layer before the logits.

    Raises:
        InputError: the network has no hidden layer.
    """
    layers = default_layers(module)
    if len(layers) < 2:
        raise InputError(f"the network has one layer only ({', '.join(layers)}); this loss needs a hidden layer")
    return layers[-2]


def hidden(module: nn.Module, images: Tensor) -> Tensor:
    """(N, D) output of the last hidden layer, flattened, part of the graph."""
    seen: list[Tensor] = []
    handle = module.get_submodule(hidden_layer(module)).register_forward_hook(lambda *parts: seen.append(parts[2]))
    try:
        module(images)
    finally:
        handle.remove()
    return seen[0].flatten(1)


def semi_hard(points: Tensor, labels: Tensor, *, margin: float = MARGIN) -> Tensor:
    """Mean over pairs (a, p) of one class of max(0, margin + d(a, p) - d(a, n)), d the squared distance.

    The negative n is the nearest one farther from a than p, and the farthest of all where none is (Schroff et al. 2015,
    section 3.2). 0 where no class has two points, or there is only one class.

    Args:
        points: (N, D) on the unit sphere.
        labels: (N,).
        margin: how much farther a negative should be.
    """
    distance = (2 - 2 * points @ points.T).clamp_min(0)  # (N, N)
    same = labels[:, None] == labels[None, :]
    positive = same & ~torch.eye(len(points), dtype=torch.bool, device=points.device)
    anchors, partners = torch.nonzero(positive & (~same).any(1, keepdim=True), as_tuple=True)
    if len(anchors) == 0:
        return points.sum() * 0
    with torch.no_grad():
        pairs = zip(torch.split(anchors, 4096), torch.split(partners, 4096), strict=True)
        chosen = torch.cat([_negatives(distance, same, a, p) for a, p in pairs])
    return (margin + distance[anchors, partners] - distance[anchors, chosen]).clamp_min(0).mean()


def _negatives(distance: Tensor, same: Tensor, anchors: Tensor, partners: Tensor) -> Tensor:
    """(n,) row of each pair's semi-hard negative."""
    far, other = distance[anchors], ~same[anchors]  # (n, N)
    beyond = other & (far > distance[anchors, partners][:, None])
    nearest = far.masked_fill(~beyond, float("inf")).argmin(1)
    farthest = far.masked_fill(~other, float("-inf")).argmax(1)
    return torch.where(beyond.any(1), nearest, farthest)


def nt_xent(first: Tensor, second: Tensor, *, temperature: float = TEMPERATURE) -> Tensor:
    """Normalised temperature-scaled cross-entropy over the 2N views of N images (Chen et al. 2020, equation 1).

    Mean over views i of -log(exp(s(i, j) / T) / sum_{k != i} exp(s(i, k) / T)), j the other view of the same image.

    Args:
        first: (N, D) on the unit sphere, one view an image.
        second: (N, D), the other views in the same order.
        temperature: T.
    """
    views = torch.cat([first, second])  # (2N, D)
    alike = views @ views.T / temperature
    alike = alike.masked_fill(torch.eye(len(views), dtype=torch.bool, device=views.device), float("-inf"))
    partner = torch.arange(len(views), device=views.device).roll(len(first))
    return F.cross_entropy(alike, partner)


def augment(
    images: Tensor,
    *,
    generator: torch.Generator | None = None,
    crop: float = 0.7,
    shift: float = 0.1,
    noise: float = 0.05,
) -> Tensor:
    """Another view of each image: a square crop scaled up again, moved, with Gaussian noise; edges are repeated.

    Args:
        images: (N, C, H, W).
        generator: on the CPU; None for torch's own, which `train` sets to a stream of its own.
        crop: smallest side of the crop, as a share of the image's; the side is uniform from there to 1.
        shift: largest move each way, as a share of the side.
        noise: standard deviation, in the images' unit.
    """
    count = len(images)
    draws = torch.rand(3, count, generator=generator)
    scale = crop + (1 - crop) * draws[0]
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = scale
    theta[:, :, 2] = 2 * shift * (2 * draws[1:].T - 1)  # the grid runs from -1 to 1
    grid = F.affine_grid(theta, list(images.shape), align_corners=False).to(images.device)
    moved = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    if noise == 0:
        return moved
    return moved + noise * torch.randn(images.shape, generator=generator).to(images.device)
