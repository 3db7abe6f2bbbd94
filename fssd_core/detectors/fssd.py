"""FSSD as a detector (Huang et al. 2021, Algorithm 1), and the plain feature norm it must beat."""

from __future__ import annotations

import torch
from torch import Tensor

from fssd_core.detectors.base import Detector, DetectorSpec, Given, Parameter, chosen_layer, layer_features
from fssd_core.extractor import FeatureExtractor
from fssd_core.runtime import Progress
from fssd_core.singularity import GRADIENTS, estimate_fss, fssd
from fssd_core.types import LayerScores


class Fssd(Detector):
    """K columns, the distances ||F_k(x~_k) - F*_k||; `ensemble.combine` makes them one score."""

    fss: dict[str, Tensor]

    def _learn(self, given: Given) -> None:
        assert given.noise is not None
        self.fss = estimate_fss(given.extractor, given.noise, batch_size=given.batch_size)

    def _score(
        self, extractor: FeatureExtractor, images: Tensor, batch_size: int | None, progress: Progress
    ) -> LayerScores:
        epsilon, gradient = float(self.values["epsilon"]), str(self.values["gradient"])
        with torch.enable_grad():  # the perturbation needs it, whatever mode the caller is in
            return fssd(
                extractor,
                images,
                self.fss,
                epsilon=epsilon,
                gradient=gradient,
                batch_size=batch_size,
                progress=progress,
            )


class FeatureNorm(Detector):
    """One column, ||F_k(x)||: FSSD with F* put at 0. Near the logits it tells nearly the same story, without noise."""

    layer: str

    def _learn(self, given: Given) -> None:
        self.layer = chosen_layer(given.extractor, self.values["layer"])

    def _score(
        self, extractor: FeatureExtractor, images: Tensor, batch_size: int | None, progress: Progress
    ) -> LayerScores:
        def norm(batch: Tensor) -> Tensor:
            length: Tensor = torch.linalg.vector_norm(layer_features(extractor, batch, self.layer), dim=1)
            return length

        return self._column(images, norm, batch_size, progress)


FSSD = DetectorSpec(
    name="fssd",
    title="FSSD: distance to the feature space singularity",
    reference="Huang et al. 2021, Feature Space Singularity for Out-of-Distribution Detection, arXiv:2011.14654",
    cost="1 forward pass; with epsilon 1 + K forward and K backward passes, K layers",
    columns="one a layer",
    uses=("noise",),
    parameters=(
        Parameter("epsilon", "float", 0.0, "perturbation in pixels, signed; 0 for none", low=-1.0, high=1.0),
        Parameter(
            "gradient",
            "choice",
            GRADIENTS[0],
            "rule of the perturbation: sign (the paper, positive moves away from F*) or standardised (the authors' "
            "code, positive moves toward F*, depends on the batch)",
            choices=GRADIENTS,
        ),
    ),
    build=Fssd,
)

FEATURE_NORM = DetectorSpec(
    name="feature-norm",
    title="Feature norm: distance to 0 instead of to F*",
    reference="a rival without a paper of its own: FSSD with F* = 0",
    cost="1 forward pass",
    columns="one",
    uses=(),
    parameters=(Parameter("layer", "layer", "", "layer whose features are measured; empty for the last one"),),
    build=FeatureNorm,
)
