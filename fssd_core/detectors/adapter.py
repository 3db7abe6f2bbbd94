"""Any detector of the package pytorch-ood as one of ours: pixels in, its sign turned (there, larger = outlying)."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from fssd_core import vision
from fssd_core.detectors.base import Detector, DetectorSpec, Given, Values, chosen_layer, layer_features
from fssd_core.errors import InputError
from fssd_core.extractor import FeatureExtractor
from fssd_core.runtime import Progress, in_batches
from fssd_core.types import LayerScores

Reads = Literal["logits", "features", "model"]
# (pytorch_ood.detector, network from pixels to logits, extractor, parameter values) -> a pytorch-ood detector
Make = Callable[[ModuleType, "PixelNetwork", FeatureExtractor, Values], Any]


def pytorch_ood(part: str = "detector") -> ModuleType:
    """`pytorch_ood.<part>`, imported on first use.

    Raises:
        InputError: the package is not installed, or something it needs.
    """
    vision.torchvision()  # it imports torchvision, which needs our door
    try:
        return importlib.import_module(f"pytorch_ood.{part}")
    except ModuleNotFoundError as error:
        raise InputError(
            f"this detector needs the package pytorch-ood, which cannot be imported here ({error}); "
            'run: pip install "pytorch-ood>=0.4,<0.5"'
        ) from error


class PixelNetwork(nn.Module):
    """The extractor's network from pixels in [0, 1] to logits, normalising inside; gradients reach the pixels.

    It owns no parameters: nothing done to it (train(), to(), requires_grad_()) reaches the network.
    """

    def __init__(self, extractor: FeatureExtractor) -> None:
        super().__init__()
        self._extractor = extractor
        self.register_buffer("_place", torch.empty(0, device=extractor.device), persistent=False)  # says the device

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] -> (N, C) logits."""
        return self._extractor.taps_and_logits(pixels)[1]


class PytorchOod(Detector):
    """One column: minus the outlier score of a pytorch-ood detector.

    Args:
        spec: the table's entry; a parameter 'layer', if declared, chooses the features.
        values: parameter values.
        make: builds the pytorch-ood detector.
        reads: what the detector takes. 'logits': fit_logits and predict_logits; 'features': fit_features and
            predict_features of one layer, flattened; 'model': fit and predict on images, with gradients on.
    """

    inner: Any

    def __init__(self, spec: DetectorSpec, values: Values, *, make: Make, reads: Reads) -> None:
        super().__init__(spec, values)
        self._make = make
        self._reads = reads

    def _learn(self, given: Given) -> None:
        extractor, ind, labels = given.extractor, given.ind, given.labels
        self._layer = chosen_layer(extractor, self.values.get("layer", ""))
        self.inner = self._make(pytorch_ood(), PixelNetwork(extractor), extractor, self.values)
        if not self.inner.requires_fit:
            return
        if ind is None or labels is None:
            raise InputError(f"detector {self.spec.name!r} is fitted on ind and labels; give ind=, labels=")
        try:
            if self._reads == "model":
                own = torch.Generator()  # a loader without one draws from the global state
                loader = DataLoader(TensorDataset(ind, labels), batch_size=given.batch_size or 256, generator=own)
                with torch.enable_grad():
                    self.inner.fit(loader)
            else:

                def one(rows: slice) -> Tensor:
                    return self._read(extractor, ind[rows]).cpu()

                parts = in_batches(len(ind), one, batch_size=given.batch_size, progress=given.progress)
                read = torch.cat([part for _, part in parts])
                (self.inner.fit_logits if self._reads == "logits" else self.inner.fit_features)(read, labels.cpu())
        except (ValueError, AssertionError) as error:  # what pytorch-ood raises on data it cannot use
            raise InputError(f"detector {self.spec.name!r} cannot be fitted on these images: {error}") from error

    def _score(
        self, extractor: FeatureExtractor, images: Tensor, batch_size: int | None, progress: Progress
    ) -> LayerScores:
        def one(batch: Tensor) -> Tensor:
            if self._reads == "model":
                with torch.enable_grad():
                    outlying: Tensor = self.inner.predict(batch.to(extractor.device))
            else:
                read = self._read(extractor, batch)
                outlying = (self.inner.predict_logits if self._reads == "logits" else self.inner.predict_features)(read)
            return -outlying

        return self._column(images, one, batch_size, progress)

    def _read(self, extractor: FeatureExtractor, batch: Tensor) -> Tensor:
        if self._reads == "features":
            return layer_features(extractor, batch, self._layer)
        with torch.no_grad():
            return extractor.taps_and_logits(batch)[1]


def adapted(make: Make, reads: Reads) -> Callable[[DetectorSpec, Values], Detector]:
    """`DetectorSpec.build` of a pytorch-ood detector."""
    return lambda spec, values: PytorchOod(spec, values, make=make, reads=reads)
