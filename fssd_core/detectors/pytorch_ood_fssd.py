"""FSSD for users of the package pytorch-ood: `FSSD(model, ...)` is one of its detectors, larger = more outlying.

from fssd_core.detectors.pytorch_ood_fssd import FSSD
detector = FSSD(model, ["layer3", "fc"], mean=MEAN, std=STD).fit(train_loader)
scores = detector(x)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from fssd_core import ensemble
from fssd_core.detectors.adapter import pytorch_ood
from fssd_core.errors import InputError, did_you_mean
from fssd_core.extractor import FeatureExtractor
from fssd_core.runtime import generator
from fssd_core.singularity import GRADIENTS, estimate_fss, fssd, uniform_noise
from fssd_core.types import LayerScores, Weights

_RULES = ("uniform", "standardised", "logistic")


class _Fssd:
    """FSSD as a pytorch-ood detector (a StructuredDetector: it reads several layers).

    Inputs are taken as pytorch-ood's loaders give them. With `mean` and `std` they are already normalised,
    x = (pixel - mean) / std, and are turned back, so that noise U[0, 1] and epsilon stay in pixels. Without, they are
    pixels in [0, 1] that the model takes as they are. Either way the model sees the loader's own x (to float rounding),
    never one normalised twice. The model itself is left as it was (hooks, modes, grad flags).

    Args:
        model: any network from images to logits; None for `predict_structured` alone.
        layers: K names as in `model.named_modules()`; None for sensible ones.
        mean: C channel means that the inputs were normalised with.
        std: C channel standard deviations.
        alpha: K signed factors, or a rule: 'uniform' (no labels), 'standardised' (ind images of the fit loader),
            'logistic' (the fit loader must also hold ood images, labels below 0).
        epsilon: perturbation in pixels, signed.
        gradient: 'sign' (the paper) or 'standardised' (the authors' code; depends on the batch).
        noise_samples: S, noise images behind F*.
        seed: of the noise and the logistic rule's folds; no global state is used.

    Raises:
        InputError: unknown rule, gradient, or an epsilon that is not finite.
        ModelError: layers or normalisation that do not fit the model.
    """

    requires_fit = True
    hyperparameter_space: Mapping[str, list[float]] = {"epsilon": [0.0, 0.002, 0.006, 0.02, 0.04, 0.1]}

    if TYPE_CHECKING:

        @property
        def device(self) -> torch.device | None: ...

    def __init__(
        self,
        model: nn.Module | None,
        layers: Sequence[str] | None = None,
        *,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        alpha: str | Sequence[float] = "uniform",
        epsilon: float = 0.0,
        gradient: str = "sign",
        noise_samples: int = 100,
        seed: int = 0,
    ) -> None:
        if isinstance(alpha, str) and alpha not in _RULES:
            raise InputError(f"no alpha rule {alpha!r}{did_you_mean(alpha, _RULES)}; or give one number a layer")
        if gradient not in GRADIENTS:
            raise InputError(f"no gradient rule {gradient!r}{did_you_mean(gradient, GRADIENTS)}")
        if not np.isfinite(epsilon):
            raise InputError(f"epsilon {epsilon} was given; it is a finite number of pixels")
        self.model = model
        self.layers = None if layers is None else tuple(layers)
        self.mean = None if mean is None else tuple(mean)
        self.std = None if std is None else tuple(std)
        self.alpha = alpha if isinstance(alpha, str) else tuple(alpha)
        self.epsilon = float(epsilon)
        self.gradient = gradient
        self.noise_samples = noise_samples
        self.seed = seed
        self.fss: dict[str, Tensor] | None = None
        self.weights: Weights | None = None
        self._extractor: FeatureExtractor | None = None
        if model is not None:
            self.layers = self._open().layers

    def fit(self, data_loader: DataLoader[Any]) -> Any:
        """F* from noise of the loader's image shape, then alpha from its images if the rule asks for them.

        Args:
            data_loader: batches (x, y); y below 0 marks ood images, which only alpha='logistic' looks at.

        Raises:
            ModelNotSetException: there is no model.
            InputError: an empty loader, or too few images for the rule.
        """
        extractor = self._open()
        sides: dict[str, list[np.ndarray[Any, Any]]] = {"ind": [], "ood": []}
        fss = None
        for x, y in data_loader:
            if fss is None:
                noise = uniform_noise(x.shape[1:], self.noise_samples, generator=generator(self.seed))
                fss = estimate_fss(extractor, noise)
            if self.alpha not in ("standardised", "logistic"):
                break  # only the shape was needed
            for side, rows in (("ind", y >= 0), ("ood", y < 0)):
                if rows.any() and (side == "ind" or self.alpha == "logistic"):
                    sides[side].append(self._distances(extractor, x[rows.to(x.device)], fss).values)
        if fss is None:
            raise InputError("the loader has no batch; F* needs the shape of at least one image")
        self.weights = self._weigh(extractor.layers, sides)
        self.fss = fss
        return self

    def fit_structured(self, noise_features: Mapping[str, Tensor] | Sequence[Tensor]) -> Any:
        """F*_k = mean feature of noise at hand, {layer: (S, D_k)} or a list in the layers' order.

        Raises:
            InputError: other layers, or a rule for alpha that needs images.
        """
        named = self._named(noise_features)
        if self.alpha in ("standardised", "logistic"):
            raise InputError(f"alpha {self.alpha!r} is fitted on images; call fit(data_loader), or give numbers")
        self.layers = tuple(named)
        self.weights = self._weigh(self.layers, {})
        self.fss = {layer: value.double().mean(0).float() for layer, value in named.items()}
        return self

    def predict(self, x: Tensor) -> Tensor:
        """(B,) minus sum_k alpha_k FSSD_k of inputs (B, C, H, W), under `no_grad` and `inference_mode` too.

        Raises:
            RequiresFittingException: `fit` was not called.
            ModelNotSetException: there is no model.
        """
        fss, weights = self._fitted()
        extractor = self._open()
        return self._outlying(self._distances(extractor, x, fss), weights, extractor.device)

    def predict_structured(self, features: Mapping[str, Tensor] | Sequence[Tensor]) -> Tensor:
        """(B,) outlier scores of features already at hand, {layer: (B, ...)} or a list in the layers' order.

        Raises:
            RequiresFittingException: not fitted.
            InputError: other layers, or epsilon is not 0 (a perturbation needs the inputs).
        """
        fss, weights = self._fitted()
        if self.epsilon != 0:
            raise InputError(f"epsilon {self.epsilon} needs the inputs to perturb; call predict(x), or set it to 0")
        named = self._named(features)
        columns = [
            torch.linalg.vector_norm(value.detach().flatten(1).to(fss[layer].device) - fss[layer], dim=1)
            for layer, value in named.items()
        ]
        table = torch.stack(columns, 1).float()
        return self._outlying(LayerScores(table.cpu().numpy(), tuple(named)), weights, table.device)

    def _open(self) -> FeatureExtractor:
        """The extractor on the model's own device (it may have been moved since the last call)."""
        if self.model is None:
            raise pytorch_ood("api").ModelNotSetException
        device = self.device or torch.device("cpu")
        if self._extractor is None or self._extractor.device != device:
            self._extractor = FeatureExtractor(self.model, self.layers, mean=self.mean, std=self.std, device=device)
        return self._extractor

    def _distances(self, extractor: FeatureExtractor, x: Tensor, fss: Mapping[str, Tensor]) -> LayerScores:
        with torch.inference_mode(False), torch.enable_grad():  # whatever mode the caller's loop runs in
            pixels = x.detach().clone().to(extractor.device)
            if extractor.mean is not None and extractor.std is not None:
                pixels = pixels * extractor.std + extractor.mean
            return fssd(extractor, pixels, fss, epsilon=self.epsilon, gradient=self.gradient, batch_size=max(1, len(x)))

    def _weigh(self, layers: tuple[str, ...], sides: Mapping[str, Sequence[np.ndarray[Any, Any]]]) -> Weights:
        if not isinstance(self.alpha, str):
            return ensemble.manual(layers, self.alpha)
        if self.alpha == "uniform":
            return ensemble.uniform(layers)
        ind, ood = (
            LayerScores(np.concatenate([np.empty((0, len(layers)), np.float32), *sides[side]]), layers)
            for side in ("ind", "ood")
        )
        if self.alpha == "standardised":
            return ensemble.standardised(ind)
        return ensemble.logistic(ind, ood, seed=self.seed, labels="the fit loader")

    def _fitted(self) -> tuple[dict[str, Tensor], Weights]:
        if self.fss is None or self.weights is None:
            raise pytorch_ood("api").RequiresFittingException
        return self.fss, self.weights

    def _named(self, features: Mapping[str, Tensor] | Sequence[Tensor]) -> dict[str, Tensor]:
        names = self.layers
        if isinstance(features, Mapping):
            names = names or tuple(features)
            features = [features[name] for name in names if name in features]
        if names is None or len(names) != len(features):
            expected = "layers=..." if names is None else ", ".join(names)
            raise InputError(f"features of {len(features)} layers were given; give one tensor for each of {expected}")
        return {name: value.flatten(1) for name, value in zip(names, features, strict=True)}

    @staticmethod
    def _outlying(distances: LayerScores, weights: Weights, device: torch.device) -> Tensor:
        return torch.from_numpy(-ensemble.combine(distances, weights)).float().to(device)


@cache
def fssd_class() -> type[Any]:
    """The class FSSD, made when first asked for, so that importing fssd_core does not import pytorch-ood.

    Raises:
        InputError: pytorch-ood is not installed.
    """
    api = pytorch_ood("api")
    paper = api.Paper(
        title="Feature Space Singularity for Out-of-Distribution Detection",
        venue="SafeAI@AAAI",
        year=2021,
        url="https://arxiv.org/abs/2011.14654",
        code="https://github.com/megvii-research/FSSD_OoD_Detection",
    )
    facts = {
        "__doc__": _Fssd.__doc__,
        "__module__": __name__,
        "info": api.DetectorInfo(paper=paper, tasks={api.Task.CLASSIFICATION}),
    }
    return type("FSSD", (_Fssd, api.StructuredDetector), facts)


def __getattr__(name: str) -> Any:
    if name == "FSSD":
        return fssd_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
