"""FSSD as a detector (Huang et al. 2021, Algorithm 1), and the plain feature norm it must beat."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fssd_core.detectors.base import Detector, DetectorSpec, Given, chosen_layer, layer_features
from fssd_core.detectors.parameters import Parameter
from fssd_core.extractor import FeatureExtractor
from fssd_core.runtime import Progress, silent
from fssd_core.singularity import GRADIENTS, estimate_fss, fssd, fssd_sweep
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

    def sweep(
        self, images: Tensor, epsilons: Sequence[float], *, batch_size: int | None = None, progress: Progress = silent
    ) -> dict[float, LayerScores]:
        """Scores at several epsilons: one forward graph and K gradients, shared by all of them."""
        with torch.enable_grad():
            return fssd_sweep(
                self._fitted(), images, self.fss, epsilons=epsilons, gradient=str(self.values["gradient"]),
                batch_size=batch_size, progress=progress,
            )  # fmt: skip


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


EPSILONS = (
    *(0.0, 0.0001, 0.0002, 0.0004, 0.0006, 0.0008, 0.001, 0.002, 0.004, 0.006, 0.008),
    *(0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.14, 0.16, 0.18, 0.2),
)
"""The 22 values that the authors' code chooses from."""

FSSD = DetectorSpec(
    name="fssd",
    title="FSSD: distance to the feature space singularity",
    reference="Huang et al. 2021, Feature Space Singularity for Out-of-Distribution Detection, arXiv:2011.14654",
    cost="1 forward pass; with epsilon 1 + K forward and K backward passes, K layers",
    columns="one a layer",
    uses=("noise",),
    parameters=(
        Parameter(
            "epsilon", "float", 0.0, "perturbation in pixels, signed; 0 for none", low=-1.0, high=1.0, grid=EPSILONS
        ),
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
    passes=lambda values, layers: (1 + layers, layers) if values["epsilon"] else (1, 0),
    late=("epsilon", "gradient"),
    fails="Where unfamiliar images make features as large as familiar ones, so that layers are inverted and nobody has "
    "labels to turn their signs.",
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
    fails="Where unfamiliar images make features as large as familiar ones.",
)
