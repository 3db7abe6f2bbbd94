"""A straight port of the authors' loop: a whole forward and a whole backward pass a layer, again for every epsilon.

It follows the published code (MIT licence) in what it computes and in which passes it makes, so that the engine can be
compared with it on the same machine; the rule of the gradient is the authors' (`standardised`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class AuthorsLoop:
    """FSSD as published: one layer at a time, parameters with gradients."""

    def __init__(
        self,
        module: nn.Module,
        layers: Sequence[str],
        mean: Sequence[float],
        std: Sequence[float],
        *,
        device: str = "cpu",
    ) -> None:
        self.module = module.eval().to(device)
        self.layers = list(layers)
        self.mean = torch.tensor(mean, device=device).view(-1, 1, 1)
        self.std = torch.tensor(std, device=device).view(-1, 1, 1)
        self.seen: dict[str, Tensor] = {}
        modules = dict(module.named_modules())
        for layer in self.layers:
            modules[layer].register_forward_hook(self._keep(layer))

    def _keep(self, layer: str):
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            self.seen[layer] = output.flatten(1)

        return hook

    def features(self, normalised: Tensor, layer: str) -> Tensor:
        self.module(normalised)
        return self.seen[layer]

    def fss(self, noise: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            normalised = (noise.to(self.mean.device) - self.mean) / self.std
            return {layer: self.features(normalised, layer).mean(0) for layer in self.layers}

    def scores(self, images: Tensor, fss: dict[str, Tensor], epsilon: float, batch_size: int = 100) -> Tensor:
        """(N, K)."""
        columns = []
        for layer in self.layers:
            parts = []
            for start in range(0, len(images), batch_size):
                x = ((images[start : start + batch_size].to(self.mean.device) - self.mean) / self.std).requires_grad_(
                    True
                )
                loss = -(self.features(x, layer) - fss[layer]).norm(dim=1).mean()
                loss.backward()
                g = x.grad
                g = (g - g.mean()) / g.std()
                with torch.no_grad():
                    moved = self.features(x + epsilon * g / self.std, layer)
                    parts.append((moved - fss[layer]).norm(dim=1))
            columns.append(torch.cat(parts))
        return torch.stack(columns, 1)
