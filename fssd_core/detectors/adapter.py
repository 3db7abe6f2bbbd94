"""Any detector of the package pytorch-ood as one of ours: pixels in, its sign turned (there, larger = outlying)."""

from __future__ import annotations

import importlib
import weakref
from collections.abc import Callable
from types import ModuleType
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from fssd_core import vision
from fssd_core.detectors.base import Detector, DetectorSpec, Given, chosen_layer, layer_features
from fssd_core.detectors.parameters import Values
from fssd_core.detectors.reading import Head, pooled
from fssd_core.errors import InputError
from fssd_core.extractor import FeatureExtractor
from fssd_core.runtime import Progress, in_batches
from fssd_core.types import LayerScores

Reads = Literal["logits", "features", "penultimate", "penultimate-maps", "head-gradients", "model"]
# (pytorch_ood.detector, network, extractor, parameter values) -> a pytorch-ood detector. The network is a PixelNetwork
# (pixels to logits) or, for what reads before the head, the head itself (features to logits).
Make = Callable[[ModuleType, nn.Module, FeatureExtractor, Values], Any]


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


class LastRead:
    """What was last read from one network and one set of images: a detector fitted again with other values reads it.

    Both are held weakly and compared by identity; after weights or images were written to, they are read again.
    """

    def __init__(self) -> None:
        self._last: tuple[Any, Any, list[int], dict[tuple[str, str], Tensor]] | None = None

    def get(
        self, extractor: FeatureExtractor, images: Tensor, what: tuple[str, str], read: Callable[[], Tensor]
    ) -> Tensor:
        """A copy of what `read` gave for these, which is called where it is not held."""
        tensors = [images, *extractor.module.parameters(), *extractor.module.buffers()]
        if any(tensor.is_inference() for tensor in tensors):  # nobody counts what is written to these
            return read()
        versions, last = [tensor._version for tensor in tensors], self._last  # one attribute, for the threads' sake
        if last is None or last[0]() is not extractor or last[1]() is not images or last[2] != versions:
            last = weakref.ref(extractor), weakref.ref(images), versions, {}
        if what not in last[3]:
            last[3][what] = read()
            self._last = last
        return last[3][what].clone()


_LAST_READ = LastRead()


class PytorchOod(Detector):
    """One column: minus the outlier score of a pytorch-ood detector.

    Args:
        spec: the table's entry; a parameter 'layer', if declared and given, chooses the features.
        values: parameter values.
        make: builds the pytorch-ood detector.
        reads: what the detector takes. 'logits': fit_logits and predict_logits; 'features': fit_features and
            predict_features of one layer, flattened; 'penultimate': the same of the last linear layer's input, or of a
            layer's maps averaged over space where a parameter 'layer' names one; 'penultimate-maps': that input as
            (N, D, 1, 1) maps; 'head-gradients': that input, by predict, with gradients on; 'model': fit and predict on
            images, with gradients on.
    """

    inner: Any

    def __init__(self, spec: DetectorSpec, values: Values, *, make: Make, reads: Reads) -> None:
        super().__init__(spec, values)
        self._make = make
        self._reads = reads
        self._layer = ""
        self._head: Head | None = None

    def _learn(self, given: Given) -> None:
        extractor, ind = given.extractor, given.ind
        self._layer = chosen_layer(extractor, self.values.get("layer", ""))
        network: nn.Module = PixelNetwork(extractor)
        before_head = self._reads in ("penultimate", "penultimate-maps", "head-gradients")
        if before_head and not self.values.get("layer"):
            if ind is None:
                raise InputError(f"detector {self.spec.name!r} finds the last linear layer with an image; give ind=")
            self._head = Head(extractor, ind, self.spec.name)
            network = self._head.layer
            if self._reads == "penultimate-maps":
                network = nn.Sequential(nn.Flatten(), network)
        self.inner = self._make(pytorch_ood(), network, extractor, self.values)
        if not self.inner.requires_fit:
            return
        labels = given.labels
        if labels is None and ind is not None and "labels" not in self.spec.uses and self.spec.uses:
            labels = torch.zeros(len(ind), dtype=torch.int64)  # looked at only for their sign: 0 is ind
        if ind is None or labels is None:
            raise InputError(f"detector {self.spec.name!r} is fitted on ind and labels; give ind=, labels=")
        try:
            self._fit_inner(given, ind, labels)
        except (ValueError, AssertionError) as error:  # what pytorch-ood raises on data it cannot use
            raise InputError(
                f"detector {self.spec.name!r} cannot be fitted on these images: "
                f"{str(error) or 'labels are 0 to C - 1, and every class must occur'}"
            ) from error

    def _fit_inner(self, given: Given, ind: Tensor, labels: Tensor) -> None:
        if self._reads == "model":
            with torch.enable_grad():
                self.inner.fit(loader_of(ind, labels, given.batch_size))
            return

        def one(rows: slice) -> Tensor:
            return self._read(given.extractor, ind[rows]).cpu()

        def read_all() -> Tensor:
            parts = in_batches(len(ind), one, batch_size=given.batch_size, progress=given.progress)
            return torch.cat([part for _, part in parts])

        what = self._layer if self._reads == "features" or self.values.get("layer") else ""
        read = _LAST_READ.get(given.extractor, ind, (self._reads, what), read_all)
        fit = {"logits": "fit_logits", "penultimate-maps": "fit_feature_maps"}.get(self._reads, "fit_features")
        getattr(self.inner, fit)(read, labels.cpu())

    def _score(
        self, extractor: FeatureExtractor, images: Tensor, batch_size: int | None, progress: Progress
    ) -> LayerScores:
        predict = {
            "logits": "predict_logits", "model": "predict", "head-gradients": "predict",
            "penultimate-maps": "predict_feature_maps",
        }.get(self._reads, "predict_features")  # fmt: skip

        def one(batch: Tensor) -> Tensor:
            gradients = self._reads in ("model", "head-gradients")
            read = batch.to(extractor.device) if self._reads == "model" else self._read(extractor, batch)
            with torch.set_grad_enabled(gradients):
                outlying: Tensor = getattr(self.inner, predict)(read)
            return -outlying

        return self._column(images, one, batch_size, progress)

    def _read(self, extractor: FeatureExtractor, batch: Tensor) -> Tensor:
        if self._reads == "features":
            return layer_features(extractor, batch, self._layer)
        if self._head is not None:
            features = self._head.features(extractor, batch)
            return features[:, :, None, None] if self._reads == "penultimate-maps" else features
        with torch.no_grad():
            if self._reads == "penultimate":
                return pooled(extractor.maps(batch, [self._layer])[self._layer])
            return extractor.taps_and_logits(batch)[1]


def adapted(make: Make, reads: Reads) -> Callable[[DetectorSpec, Values], Detector]:
    """`DetectorSpec.build` of a pytorch-ood detector."""
    return lambda spec, values: PytorchOod(spec, values, make=make, reads=reads)


def loader_of(images: Tensor, labels: Tensor, batch_size: int | None) -> DataLoader[tuple[Tensor, ...]]:
    """Images and labels in their order, as pytorch-ood's detectors take them."""
    own = torch.Generator()  # a loader without one draws from the global state
    return DataLoader(TensorDataset(images, labels), batch_size=batch_size or 256, generator=own)
