"""ODIN (Liang et al. 2018), computed by the package pytorch-ood in pixels."""

from __future__ import annotations

from fssd_core.detectors.adapter import adapted
from fssd_core.detectors.base import DetectorSpec
from fssd_core.detectors.parameters import Parameter

ODIN = DetectorSpec(
    name="odin",
    title="ODIN: temperature and perturbed input",
    reference="Liang et al. 2018, Enhancing The Reliability of Out-of-distribution Image Detection in Neural Networks, "
    "arXiv:1706.02690",
    cost="2 forward passes, 1 backward pass",
    columns="one",
    uses=(),
    parameters=(
        Parameter(
            "temperature", "float", 1000.0, "T that divides the logits", low=1e-3, high=1e6,
            grid=(1000.0, 1.0, 10.0, 100.0),
        ),
        Parameter(
            "epsilon", "float", 0.0014,
            "perturbation in pixels, x - epsilon sign(grad of the class's loss); a gradient of 0 moves nothing "
            "(the FSSD authors' code moves such pixels by +epsilon)",
            low=-1.0, high=1.0, grid=(0.0014, 0.0, 0.0005, 0.001, 0.002, 0.0024, 0.005, 0.01, 0.05, 0.1, 0.2),
        ),
    ),
    build=adapted(
        lambda ood, network, extractor, v: ood.ODIN(network, eps=v["epsilon"], temperature=v["temperature"]), "model"
    ),
    package="pytorch-ood",
    passes=lambda values, layers: (2, 1),
    fails="Without images to choose temperature and epsilon by; the best pair differs from one ood set to the next.",
)  # fmt: skip
