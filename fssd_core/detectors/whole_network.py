"""pytorch-ood's detectors that look into the network's layers: Gram matrices, RankFeat, neuron activation coverage.

pytorch-ood wants them as a chain of modules, which most networks are not; here the extractor's taps stand in for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from fssd_core.detectors.adapter import loader_of, pytorch_ood
from fssd_core.detectors.base import Detector, DetectorSpec, Given, chosen_layer
from fssd_core.detectors.parameters import Parameter
from fssd_core.errors import InputError
from fssd_core.extractor import FeatureExtractor
from fssd_core.runtime import ANY_NUMBER, Progress, images_at_once
from fssd_core.types import LayerScores


def _loader(given: Given) -> DataLoader[tuple[Tensor, ...]]:
    assert given.ind is not None
    labels = torch.zeros(len(given.ind), dtype=torch.int64) if given.labels is None else given.labels
    return loader_of(given.ind, labels, given.batch_size)


def _any_number(extractor: FeatureExtractor, detector: str) -> None:
    """Raises InputError for a program that takes its images in parts, which hooks of one pass cannot follow."""
    if (most := images_at_once(extractor.module)[1]) < ANY_NUMBER:
        raise InputError(
            f"detector {detector!r} looks into one forward pass, and this program was exported for {most} images at "
            "once; export it for any number (dynamic_shapes), or choose another detector"
        )


class _Chain:
    """K + 1 callables in place of a chain of modules: the first runs the network, each hands out the next tap."""

    def __init__(self, extractor: FeatureExtractor) -> None:
        self._extractor = extractor
        self._maps: Iterator[Tensor] = iter(())
        self._logits = torch.empty(0)
        self.layers: list[Callable[[Tensor], Tensor]] = [self._first, *[self._next] * (len(extractor.layers) - 1)]

    def _first(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            maps, self._logits = self._extractor.maps_and_logits(images)
        self._maps = iter([maps[layer] for layer in self._extractor.layers])
        return self._next(images)

    def _next(self, _before: Tensor) -> Tensor:
        value = next(self._maps)
        return value if value.ndim != 3 else value.transpose(1, 2)  # tokens (N, T, D): D are the channels

    def head(self, _last: Tensor) -> Tensor:
        """The logits of the images that went through the chain."""
        return self._logits


class Gram(Detector):
    """One column: minus the summed deviations of the layers' Gram matrices from their range in training."""

    inner: Any

    def _learn(self, given: Given) -> None:
        assert given.labels is not None
        chain = _Chain(given.extractor)
        classes = int(given.labels.max()) + 1
        assert given.ind is not None
        with torch.no_grad():
            outputs = given.extractor.taps_and_logits(given.ind[:1])[1].shape[1]
        if classes != outputs:
            raise InputError(
                f"detector 'gram' needs training images of all {outputs} classes; labels go to {classes - 1}"
            )
        self.inner = pytorch_ood().Gram(
            chain.head, chain.layers, outputs, num_poles_list=list(range(1, int(self.values["orders"]) + 1))
        )
        self.inner.to(given.extractor.device)
        with torch.random.fork_rng(devices=[]):  # it draws its held-out tenth from torch's global generator
            torch.manual_seed(int(self.values["seed"]))
            try:
                self.inner.fit(_loader(given))
            except (ValueError, AssertionError) as error:
                raise InputError(f"detector 'gram' cannot be fitted on these images: {error}") from error

    def _score(
        self, extractor: FeatureExtractor, images: Tensor, batch_size: int | None, progress: Progress
    ) -> LayerScores:
        return self._column(images, lambda batch: -self.inner.predict(batch), batch_size, progress)


class RankFeat(Detector):
    """One column: energy of the logits after the first singular component of one layer's maps was taken out."""

    inner: Any

    def _learn(self, given: Given) -> None:
        extractor = given.extractor
        assert given.ind is not None
        _any_number(extractor, "rankfeat")
        maps = extractor.maps(given.ind[:1])
        plain = [layer for layer in extractor.layers if extractor.tap(layer).module == layer]
        spatial = [layer for layer in plain if maps[layer].ndim == 4]
        if not spatial:
            raise InputError("detector 'rankfeat' needs a layer of feature maps (N, C, H, W); this network has none")
        name = str(self.values["layer"])
        layer = spatial[-1] if not name else chosen_layer(extractor, name)
        if layer not in spatial:
            raise InputError(f"layer {layer!r} has no feature maps (N, C, H, W); give one of {', '.join(spatial)}")
        module = dict(extractor.module.named_modules())[layer]
        images = torch.empty(0)

        def backbone(batch: Tensor) -> Tensor:
            nonlocal images
            images = batch
            with torch.no_grad():
                return extractor.maps(batch, [layer])[layer]

        def head(changed: Tensor) -> Tensor:
            handle = module.register_forward_hook(lambda _module, _inputs, _output: changed)
            try:
                with torch.no_grad():
                    return extractor.taps_and_logits(images)[1]
            finally:
                handle.remove()

        self.inner = pytorch_ood().RankFeat(backbone, head)

    def _score(
        self, extractor: FeatureExtractor, images: Tensor, batch_size: int | None, progress: Progress
    ) -> LayerScores:
        return self._column(images, lambda batch: -self.inner.predict(batch.to(extractor.device)), batch_size, progress)


class _WithGraph(nn.Module):
    """The network with a graph behind its activations although its weights are frozen: the pixels ask for gradients."""

    def __init__(self, extractor: FeatureExtractor) -> None:
        super().__init__()
        self._extractor = extractor

    def forward(self, pixels: Tensor) -> Tensor:
        pixels = pixels.detach().to(self._extractor.device).requires_grad_(True)
        return self._extractor.taps_and_logits(pixels)[1]


class NeuronCoverage(Detector):
    """One column: how well each neuron's state was covered in training, averaged, over the layers before the logits."""

    inner: Any

    def _learn(self, given: Given) -> None:
        extractor = given.extractor
        _any_number(extractor, "nac")
        modules = dict(extractor.module.named_modules())
        names = dict.fromkeys(extractor.tap(layer).module for layer in extractor.layers[:-1] or extractor.layers)
        self._watched = [modules[name] for name in names]
        self.inner = pytorch_ood().NACUE(
            _WithGraph(extractor), self._watched, m_bins=self.values["bins"], alpha=self.values["steepness"],
            o_star=self.values["full"],
        )  # fmt: skip
        with torch.enable_grad():
            self.inner.fit(_loader(given))

    def _score(
        self, extractor: FeatureExtractor, images: Tensor, batch_size: int | None, progress: Progress
    ) -> LayerScores:
        def one(batch: Tensor) -> Tensor:
            try:
                outlying: Tensor = self.inner.predict(batch)
                return -outlying
            finally:
                self.inner._remove_hooks()  # it leaves them behind when the network refuses the images

        return self._column(images, one, batch_size, progress)


GRAM = DetectorSpec(
    name="gram",
    title="Gram matrices of every layer",
    reference="Sastry and Oore 2020, Detecting Out-of-Distribution Examples with Gram Matrices, arXiv:1912.12510",
    cost="1 forward pass and Gram matrices of several orders",
    columns="one",
    uses=("ind", "labels"),
    parameters=(
        Parameter("orders", "int", 5, "Gram matrices of order 1 to this", low=1, high=10, grid=(5, 1, 2, 3)),
        Parameter("seed", "int", 0, "of the held-out tenth that scales the layers", low=0),
    ),
    build=Gram,
    package="pytorch-ood",
    fails="Where styles agree and content differs: a Gram matrix keeps which channels go together, not where.",
)
RANKFEAT = DetectorSpec(
    name="rankfeat",
    title="RankFeat: energy without the first singular component",
    reference="Song et al. 2022, RankFeat: Rank-1 Feature Removal for Out-of-distribution Detection, arXiv:2209.08590",
    cost="2 forward passes and a singular value decomposition",
    columns="one",
    uses=("ind",),
    parameters=(
        Parameter("layer", "layer", "", "layer whose maps are changed; empty for the last one with feature maps"),
    ),
    build=RankFeat,
    package="pytorch-ood",
    passes=lambda values, layers: (2, 0),
    network="a layer of feature maps",
    fails="In small networks, where the first singular component carries the class itself.",
)
NAC = DetectorSpec(
    name="nac",
    title="Neuron activation coverage",
    reference="Liu et al. 2024, Neuron Activation Coverage: Rethinking Out-of-distribution Detection and "
    "Generalization, arXiv:2306.02879",
    cost="1 forward pass, a backward pass a layer",
    columns="one",
    uses=("ind",),
    parameters=(
        Parameter("bins", "int", 50, "of each neuron's histogram", low=2, high=1000, grid=(50, 500)),
        Parameter(
            "steepness", "float", 100.0, "of the sigmoid of a neuron's state", low=0.1, high=1e5,
            grid=(100.0, 1.0, 10.0, 1000.0),
        ),
        Parameter("full", "int", 50, "training images that cover a bin fully", low=1, high=100_000, grid=(50, 500)),
    ),
    build=NeuronCoverage,
    package="pytorch-ood",
    passes=lambda values, layers: (1, max(1, layers - 1)),
    fails="With the wrong bins and steepness, which must be chosen for the network.",
)  # fmt: skip
