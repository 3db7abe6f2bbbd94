"""Baselines computed by the package pytorch-ood."""

from __future__ import annotations

from fssd_core.detectors.adapter import adapted
from fssd_core.detectors.base import DetectorSpec, Parameter

_TEMPERATURE = Parameter("temperature", "float", 1.0, "T that divides the logits; 1 as trained", low=1e-3, high=1e4)

MSP = DetectorSpec(
    name="msp",
    title="Maximum softmax probability",
    reference="Hendrycks and Gimpel 2017, A Baseline for Detecting Misclassified and Out-of-Distribution Examples in "
    "Neural Networks, arXiv:1610.02136",
    cost="1 forward pass",
    columns="one",
    uses=(),
    parameters=(_TEMPERATURE,),
    build=adapted(lambda ood, network, extractor, v: ood.MaxSoftmax(None, t=v["temperature"]), "logits"),
    package="pytorch-ood",
)

ENERGY = DetectorSpec(
    name="energy",
    title="Energy: T log sum exp of the logits",
    reference="Liu et al. 2020, Energy-based Out-of-distribution Detection, arXiv:2010.03759",
    cost="1 forward pass",
    columns="one",
    uses=(),
    parameters=(_TEMPERATURE,),
    build=adapted(lambda ood, network, extractor, v: ood.EnergyBased(None, t=v["temperature"]), "logits"),
    package="pytorch-ood",
)
