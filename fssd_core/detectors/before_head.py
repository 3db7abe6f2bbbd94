"""Detectors that read the features before the last linear layer, computed by the package pytorch-ood."""

from __future__ import annotations

from typing import Any

from torch import nn

from fssd_core.detectors.adapter import Make, Reads, adapted
from fssd_core.detectors.base import DetectorSpec, Passes, one_forward
from fssd_core.detectors.parameters import Parameter, Values
from fssd_core.detectors.reading import NEEDS_HEAD

_LAYER = Parameter("layer", "layer", "", "layer whose features are read; empty for the input of the last linear layer")


def _percentile(default: float, help_: str, *grid: float) -> Parameter:
    return Parameter("percentile", "float", default, help_, low=0.0, high=0.99, grid=(default, *grid))


def _one_backward(values: Values, layers: int) -> tuple[int, int]:
    return 1, 1


def _spec(
    name: str, title: str, reference: str, make: Make, *parameters: Parameter, fails: str, reads: Reads = "penultimate",
    uses: tuple[str, ...] = ("ind",), cost: str = "1 forward pass", passes: Passes = one_forward,
) -> DetectorSpec:  # fmt: skip
    return DetectorSpec(
        name=name,
        title=title,
        reference=reference,
        cost=cost,
        columns="one",
        uses=uses,
        parameters=parameters,
        build=adapted(make, reads),
        package="pytorch-ood",
        passes=passes,
        network=NEEDS_HEAD,
        fails=fails,
    )


def _vim(ood: Any, head: nn.Module, extractor: object, v: Values) -> Any:
    assert isinstance(head, nn.Linear)
    width = head.in_features
    return ood.ViM(None, d=min(width - 1, max(1, round(float(v["share"]) * width))), w=head.weight, b=_bias(head))


def _dice(ood: Any, head: nn.Module, extractor: object, v: Values) -> Any:
    assert isinstance(head, nn.Linear)
    return ood.DICE(None, w=head.weight, b=_bias(head), p=v["share"])


def _bias(head: nn.Linear) -> Any:
    return head.weight.new_zeros(head.out_features) if head.bias is None else head.bias


KNN = _spec(
    "knn",
    "Distance to the k-th nearest training features",
    "Sun et al. 2022, Out-of-Distribution Detection with Deep Nearest Neighbors, arXiv:2204.06507",
    lambda ood, head, extractor, v: ood.KNN(None, k=v["k"]),
    Parameter("k", "int", 50, "which neighbour", low=1, high=10_000, grid=(50, 1, 5, 10, 20, 100, 200)),
    _LAYER,
    cost="1 forward pass and a search among the training features",
    fails="Where directions of features mix: only the direction counts, the length is divided away.",
)
VIM = _spec(
    "vim",
    "ViM: virtual logit from the features' residual",
    "Wang et al. 2022, ViM: Out-Of-Distribution with Virtual-logit Matching, arXiv:2203.10807",
    _vim,
    Parameter(
        "share", "float", 0.5, "share of the feature directions in the principal space", low=0.01, high=0.99,
        grid=(0.5, 0.1, 0.25, 0.75, 0.9),
    ),
    fails="Where unfamiliar images keep to the training features' own directions.",
)  # fmt: skip
REACT = _spec(
    "react",
    "ReAct: energy of clipped features",
    "Sun et al. 2021, ReAct: Out-of-distribution Detection With Rectified Activations, arXiv:2111.12797",
    lambda ood, head, extractor, v: ood.ReAct(None, head, percentile=v["percentile"]),
    _percentile(0.9, "share of training activations below the clip", 0.85, 0.95, 0.98, 0.7),
    reads="penultimate-maps",
    fails="Where unfamiliar images do not show abnormally large activations.",
)
ASH = _spec(
    "ash",
    "ASH: energy of pruned and rescaled features",
    "Djurisic et al. 2023, Extremely Simple Activation Shaping for Out-of-Distribution Detection, arXiv:2209.09858",
    lambda ood, head, extractor, v: ood.ASH(None, head, variant=v["variant"], percentile=v["percentile"]),
    _percentile(0.65, "share of an image's activations set to 0", 0.8, 0.9, 0.95),
    Parameter(
        "variant", "choice", "ash-s", "what is done with the kept ones: scale, binarise or leave",
        choices=("ash-s", "ash-b", "ash-p"), grid=("ash-s", "ash-b", "ash-p"),
    ),
    reads="penultimate-maps",
    fails="In small networks, whose few features are all needed; it was made for wide ImageNet networks.",
)  # fmt: skip
SCALE = _spec(
    "scale",
    "SCALE: energy of rescaled features",
    "Xu et al. 2024, Scaling for Training Time and Post-hoc Out-of-distribution Detection Enhancement, "
    "arXiv:2310.00227",
    lambda ood, head, extractor, v: ood.SCALE(None, head, percentile=v["percentile"]),
    _percentile(0.65, "share of an image's activations counted as small", 0.75, 0.85, 0.9, 0.95),
    reads="penultimate-maps",
    fails="Where unfamiliar images spread their activation as widely over the features as familiar ones.",
)
LTS = _spec(
    "lts",
    "LTS: energy of rescaled logits",
    "Djurisic et al. 2025, Logit Scaling for Out-of-Distribution Detection, arXiv:2409.01175",
    lambda ood, head, extractor, v: ood.LTS(None, head, p=v["top"]),
    Parameter(
        "top", "float", 0.05, "share of largest activations compared with", low=1e-3, high=1.0, grid=(0.05, 0.1, 0.3)
    ),
    fails="As SCALE.",
)
VRA = _spec(
    "vra",
    "VRA: energy of features clipped on both sides",
    "Xu et al. 2023, VRA: Variational Rectified Activation for Out-of-distribution Detection, arXiv:2302.11966",
    lambda ood, head, extractor, v: ood.VRA(None, head, lower_percentile=v["lower"], upper_percentile=v["upper"]),
    Parameter("lower", "float", 0.01, "share of training activations below the lower clip", low=0, high=0.5),
    Parameter(
        "upper", "float", 0.99, "share of training activations below the upper clip", low=0.5, high=1,
        grid=(0.99, 0.95, 0.9, 0.8),
    ),
    reads="penultimate-maps",
    fails="As ReAct.",
)  # fmt: skip
SHE = _spec(
    "she",
    "SHE: likeness to a class's stored mean pattern",
    "Zhang et al. 2023, Out-of-Distribution Detection based on In-Distribution Data Patterns Memorization with Modern "
    "Hopfield Energy, ICLR",
    lambda ood, head, extractor, v: ood.SHE(None, head),
    uses=("ind", "labels"),
    fails="Where unfamiliar images have long feature vectors: an inner product takes length for likeness.",
)
FDBD = _spec(
    "fdbd",
    "fDBD: distance to the decision boundaries",
    "Liu and Qin 2024, Fast Decision Boundary based Out-of-Distribution Detector, arXiv:2312.11536",
    lambda ood, head, extractor, v: ood.fDBD(None, head),
    fails="Where unfamiliar images fall deep inside a class's region.",
)
NNGUIDE = _spec(
    "nnguide",
    "NNGuide: energy guided by nearest neighbours",
    "Park et al. 2023, Nearest Neighbor Guidance for Out-of-Distribution Detection, arXiv:2309.14888",
    lambda ood, head, extractor, v: ood.NNGuide(None, head, k=v["k"]),
    Parameter("k", "int", 10, "neighbours averaged over", low=1, high=10_000, grid=(10, 1, 50, 100)),
    cost="1 forward pass and a search among the training features",
    fails="Where the energy it guides is misled by large logits.",
)
RMD = _spec(
    "rmd",
    "Relative Mahalanobis distance",
    "Ren et al. 2021, A Simple Fix to Mahalanobis Distance for Improving Near-OOD Detection, arXiv:2106.09022",
    lambda ood, head, extractor, v: ood.RMD(None),
    _LAYER,
    uses=("ind", "labels"),
    fails="On far ood sets: what all images share is subtracted, and with it what makes strange images strange.",
)
MAHALANOBIS_PLAIN = _spec(
    "mahalanobis-plain",
    "Mahalanobis distance on one layer",
    "Lee et al. 2018, A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial Attacks, "
    "arXiv:1807.03888; one layer, no perturbation",
    lambda ood, head, extractor, v: ood.Mahalanobis(None),
    _LAYER,
    uses=("ind", "labels"),
    fails="Where unfamiliar images differ in another layer than the one looked at.",
)
GMM = _spec(
    "gmm",
    "One Gaussian a class",
    "class-conditional Gaussians with a covariance each; a classical baseline without a paper of its own",
    lambda ood, head, extractor, v: ood.GMM(None, reg=v["ridge"]),
    Parameter(
        "ridge", "float", 1e-3, "added to the covariances' diagonals", low=1e-8, high=10, grid=(1e-3, 1e-2, 0.1, 1.0)
    ),
    _LAYER,
    uses=("ind", "labels"),
    fails="With few training images a class: each class needs a covariance of its own.",
)
DICE = _spec(
    "dice",
    "DICE: energy through the strongest weights",
    "Sun and Li 2022, DICE: Leveraging Sparsification for Out-of-Distribution Detection, arXiv:2111.09805",
    _dice,
    Parameter(
        "share", "float", 0.5, "share of the last layer's weights left out", low=0, high=0.99,
        grid=(0.5, 0.1, 0.3, 0.7, 0.9),
    ),
    fails="Where most weights matter, as in small networks.",
)  # fmt: skip
NCI = _spec(
    "nci",
    "NCI: nearness of the centred features to the class's weights",
    "Liu and Qin 2025, Detecting Out-of-Distribution Through the Lens of Neural Collapse, arXiv:2311.01479",
    lambda ood, head, extractor, v: ood.NCI(None, head, alpha=v["alpha"]),
    Parameter("alpha", "float", 0.0, "weight of the features' length", low=0, high=1, grid=(0.0, 1e-4, 1e-3, 1e-2)),
    fails="Before training has run long enough for features to collapse onto class directions.",
)
PNML = _spec(
    "pnml",
    "pNML regret of the last layer",
    "Bibas et al. 2021, Single Layer Predictive Normalized Maximum Likelihood for Out-of-Distribution Detection, "
    "arXiv:2110.09246",
    lambda ood, head, extractor, v: ood.PNML(None, head),
    fails="Where every direction of the few features occurs in training.",
)
GRADNORM = _spec(
    "gradnorm",
    "GradNorm: gradient of the last layer towards the uniform output",
    "Huang et al. 2021, On the Importance of Gradients for Detecting Distributional Shifts in the Wild, "
    "arXiv:2110.00218",
    lambda ood, head, extractor, v: ood.GradNorm(
        head, param_filter=lambda name: name == "weight", temperature=v["temperature"]
    ),
    Parameter("temperature", "float", 1.0, "T that divides the logits", low=1e-3, high=1e4, grid=(1.0, 2.0, 10.0)),
    reads="head-gradients",
    cost="1 forward pass, 1 backward pass through the last layer only",
    passes=_one_backward,
    fails="With few classes: the score is the features' length times the distance from uniform, and length misleads.",
)
GRAD_UNCERTAINTY = _spec(
    "grad-uncertainty",
    "Gradient of the last layer towards all labels at once",
    "Lee and AlRegib 2020, Gradients as a Measure of Uncertainty in Neural Networks, arXiv:2008.08030; last layer, no "
    "classifier on top",
    lambda ood, head, extractor, v: ood.GradUncertainty(head, param_filter=lambda name: name == "weight"),
    reads="head-gradients",
    cost="1 forward pass, 1 backward pass through the last layer only",
    passes=_one_backward,
    fails="As GradNorm.",
)
BEFORE_HEAD = (
    KNN, VIM, REACT, ASH, SCALE, LTS, VRA, SHE, FDBD, NNGUIDE, RMD, MAHALANOBIS_PLAIN, GMM, DICE, NCI, PNML, GRADNORM,
    GRAD_UNCERTAINTY,
)  # fmt: skip
