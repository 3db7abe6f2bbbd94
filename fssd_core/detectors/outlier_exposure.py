"""Outlier exposure (Hendrycks et al. 2019): the training loss; the score is then the plain MSP."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fssd_core.detectors.adapter import adapted
from fssd_core.detectors.base import DetectorSpec
from fssd_core.errors import InputError

Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]


def outlier_exposure(auxiliary: Tensor, *, generator: torch.Generator, weight: float = 0.5) -> Loss:
    """Cross-entropy on ind plus weight times the cross-entropy from the uniform distribution on auxiliary images.

    L = CE(x, y) + weight mean_a (logsumexp f(a) - mean_c f_c(a))  (arXiv:1812.04606, section 3; weight 0.5 as there).
    Each step draws as many auxiliary images as the batch holds. For `fssd_core.training.train(loss=...)`.

    Args:
        auxiliary: (M, C, H, W) images as the module takes them (normalised, if it is), of no test set.
        generator: of the draws.
        weight: of the second term, not negative.

    Raises:
        InputError: no auxiliary image, or a negative weight.
    """
    if len(auxiliary) == 0 or not weight >= 0:
        raise InputError(
            f"{len(auxiliary)} auxiliary images and weight {weight}; give at least 1 image and weight >= 0"
        )

    def loss(module: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        rows = torch.randint(len(auxiliary), (len(images),), generator=generator)
        logits = module(torch.cat([images, auxiliary[rows].to(images)]))
        ind, other = logits[: len(images)], logits[len(images) :]
        total: Tensor = F.cross_entropy(ind, labels) + weight * (torch.logsumexp(other, 1) - other.mean(1)).mean()
        return total

    return loss


OUTLIER_EXPOSURE = DetectorSpec(
    name="outlier-exposure",
    title="Outlier exposure: MSP of a network trained on auxiliary outliers",
    reference="Hendrycks et al. 2019, Deep Anomaly Detection with Outlier Exposure, arXiv:1812.04606",
    cost="1 forward pass; the network is trained with outliers",
    columns="one",
    uses=(),
    parameters=(),
    build=adapted(lambda ood, network, extractor, v: ood.MaxSoftmax(None), "logits"),
    package="pytorch-ood",
    network="a network trained by outlier exposure",
    fails="On images unlike any of the auxiliary ones it was trained against.",
)
