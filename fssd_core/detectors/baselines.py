"""Baselines that need the logits alone, computed by the package pytorch-ood."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from fssd_core.detectors.adapter import Make, adapted
from fssd_core.detectors.base import DetectorSpec
from fssd_core.detectors.parameters import Parameter

_TEMPERATURE = Parameter(
    "temperature", "float", 1.0, "T that divides the logits; 1 as trained", low=1e-3, high=1e4, grid=(1.0, 10.0, 100.0)
)


class _EveryClass:
    """OpenMax without a fault of pytorch-ood 0.4.0: it measures distances only to classes predicted in the batch.

    One row a class, predicted as that class, is scored along and left out again, so a score no longer depends on the
    images scored with it.
    """

    requires_fit = True

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def fit_logits(self, logits: Tensor, labels: Tensor) -> None:
        self._inner.fit_logits(logits, labels)

    def predict_logits(self, logits: Tensor) -> Tensor:
        every = torch.eye(logits.shape[1], device=logits.device, dtype=logits.dtype)
        scores: Tensor = self._inner.predict_logits(torch.cat([logits, every]))
        return scores[: len(logits)]


def _from_logits(
    name: str, title: str, reference: str, make: Make, *parameters: Parameter, fails: str, fitted: bool = False
) -> DetectorSpec:
    return DetectorSpec(
        name=name,
        title=title,
        reference=reference,
        cost="1 forward pass",
        columns="one",
        uses=("ind", "labels") if fitted else (),
        parameters=parameters,
        build=adapted(make, "logits"),
        package="pytorch-ood",
        fails=fails,
    )


MSP = _from_logits(
    "msp",
    "Maximum softmax probability (Base)",
    "Hendrycks and Gimpel 2017, A Baseline for Detecting Misclassified and Out-of-Distribution Examples in "
    "Neural Networks, arXiv:1610.02136",
    lambda ood, network, extractor, v: ood.MaxSoftmax(None, t=v["temperature"]),
    replace(_TEMPERATURE, grid=()),  # the Base of every comparison: nothing of it is chosen
    fails="Where the network is sure of a wrong class: confidence says nothing about familiarity.",
)
MAX_LOGIT = _from_logits(
    "max-logit",
    "Largest logit",
    "Hendrycks et al. 2022, Scaling Out-of-Distribution Detection for Real-World Settings, arXiv:1911.11132",
    lambda ood, network, extractor, v: ood.MaxLogit(None),
    fails="Where unfamiliar images are bright or rich in contrast, so that all activations, and the logits, are large.",
)
ENERGY = _from_logits(
    "energy",
    "Energy: T log sum exp of the logits",
    "Liu et al. 2020, Energy-based Out-of-distribution Detection, arXiv:2010.03759",
    lambda ood, network, extractor, v: ood.EnergyBased(None, t=v["temperature"]),
    _TEMPERATURE,
    fails="As the largest logit: where unfamiliar images make large logits.",
)
GEN = _from_logits(
    "gen",
    "Generalised entropy",
    "Liu et al. 2023, GEN: Pushing the Limits of Softmax-Based Out-of-Distribution Detection, CVPR",
    lambda ood, network, extractor, v: ood.GEN(None, gamma=v["gamma"]),
    Parameter("gamma", "float", 0.1, "exponent of p (1 - p)", low=1e-3, high=2.0, grid=(0.1, 0.01, 0.5, 1.0)),
    fails="Where the network is sure of a wrong class, as MSP.",
)
ENTROPY = _from_logits(
    "entropy",
    "Entropy of the softmax",
    "Chan et al. 2021, Entropy Maximization and Meta Classification for Out-of-Distribution Detection in Semantic "
    "Segmentation, arXiv:2012.06575",
    lambda ood, network, extractor, v: ood.Entropy(None),
    fails="Where the network is sure of a wrong class, as MSP.",
)
KL_MATCHING = _from_logits(
    "kl-matching",
    "KL matching to typical softmax outputs",
    "Hendrycks et al. 2022, Scaling Out-of-Distribution Detection for Real-World Settings, arXiv:1911.11132",
    lambda ood, network, extractor, v: ood.KLMatching(None),
    fitted=True,
    fails="With few classes: familiar images vary about as much around the typical output as others do.",
)
OPENMAX = _from_logits(
    "openmax",
    "OpenMax: probability of an unknown class",
    "Bendale and Boult 2016, Towards Open Set Deep Networks, arXiv:1511.06233",
    lambda ood, network, extractor, v: _EveryClass(ood.OpenMax(None, tailsize=v["tailsize"], alpha=v["alpha"])),
    Parameter(
        "tailsize", "int", 25, "training images a class in the Weibull tail", low=2, high=1000, grid=(25, 10, 50)
    ),
    Parameter("alpha", "int", 10, "classes whose logits are revised", low=1, high=1000, grid=(10, 3)),
    fitted=True,
    fails="Where the Weibull tails, fitted to a few extreme training images, are poorly known; many scores tie at 0.",
)
