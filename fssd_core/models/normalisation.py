"""How the pixels a network takes were normalised: the usual choices, and whether the one in use looks wrong.

With labels the sign is an accuracy near chance. Without, familiar images are compared with uniform noise: a network fed
as it was trained is surer of them. The second sign is weak (docs/your-own-model.md has figures), and the words say so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from fssd_core.data import ImageSet
from fssd_core.errors import lookup
from fssd_core.models.entry import IMAGENET_MEAN, IMAGENET_STD
from fssd_core.models.table import LoadedModel
from fssd_core.runtime import Progress, generator, silent
from fssd_core.singularity import uniform_noise

Pair = tuple[tuple[float, ...], tuple[float, ...]] | None

ENOUGH = 100  # labelled images that tell a trained network from guessing


@dataclass(frozen=True)
class Preset:
    """A usual normalisation: `pair` is (mean, std) in pixels, None for plain pixels in [0, 1]."""

    name: str
    title: str
    pair: Pair


_COLOUR = (
    Preset("none", "none: pixels in 0..1", None),
    Preset("imagenet", "ImageNet", (IMAGENET_MEAN, IMAGENET_STD)),
    Preset("half", "-1..1 (mean 0.5, std 0.5)", ((0.5,) * 3, (0.5,) * 3)),
    Preset("cifar10", "CIFAR-10", ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))),
    Preset("cifar10-2023", "CIFAR-10 with std 0.2023 (kuangliu)", ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))),
    Preset("cifar100", "CIFAR-100", ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762))),
    Preset("svhn", "SVHN", ((0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970))),
    Preset("clip", "CLIP", ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))),
)
_GREY = (
    Preset("none", "none: pixels in 0..1", None),
    Preset("half", "-1..1 (mean 0.5, std 0.5)", ((0.5,), (0.5,))),
    Preset("mnist", "MNIST", ((0.1307,), (0.3081,))),
    Preset("fmnist", "FashionMNIST", ((0.2860,), (0.3530,))),
)


def presets(channels: int) -> dict[str, Preset]:
    """The usual normalisations for that many channels, by name; only plain pixels for others than 1 and 3."""
    known = {1: _GREY, 3: _COLOUR}.get(channels, _GREY[:1])
    return {preset.name: preset for preset in known}


def preset_pair(name: str, channels: int) -> Pair:
    """(mean, std) of a preset.

    Raises:
        InputError: no such preset for that many channels.
    """
    return lookup(presets(channels), name, f"normalisation for {channels} channels").pair


def preset_name(pair: Pair, channels: int) -> str | None:
    """The preset that this is, None for numbers of the user's own."""
    return next((name for name, preset in presets(channels).items() if preset.pair == pair), None)


@dataclass(frozen=True)
class Trial:
    """What a network does with one normalisation.

    Attributes:
        pair: (mean, std).
        count: images looked at.
        classes: of the network.
        accuracy: on labelled images; None without labels that can be its classes.
        confidence: mean of the largest softmax value, (images, noise).
        norm: mean length of the features of the layer before the logits, (images, noise).
    """

    pair: Pair
    count: int
    classes: int
    accuracy: float | None
    confidence: tuple[float, float]
    norm: tuple[float, float]

    @property
    def chance(self) -> float:
        """Accuracy of guessing, with three standard errors on top: at or below it nothing was recognised."""
        p = 1 / self.classes
        return p + 3 * sqrt(p * (1 - p) / self.count)

    @property
    def suspicious(self) -> bool:
        """Whether something looks wrong."""
        if self.accuracy is not None:
            return self.accuracy <= self.chance
        return self.confidence[0] <= self.confidence[1] or self.norm[0] <= self.norm[1]


def try_normalisations(
    model: LoadedModel,
    images: ImageSet,
    pairs: Sequence[Pair],
    *,
    count: int = 300,
    seed: int = 0,
    progress: Progress = silent,
) -> list[Trial]:
    """What the network does with each of these normalisations.

    Args:
        model: the network.
        images: a set like those it was trained on; labels are used where they can be its classes.
        pairs: (mean, std), None for plain pixels.
        count: images drawn from the set, and noise images.
        seed: of the draw and the noise.
        progress: told after each normalisation.
    """
    drawn = images.sample(count, seed=seed).fitted(model.input_shape)
    pixels = drawn.tensor()
    noise = uniform_noise(model.input_shape, min(100, count), generator=generator(seed))
    labels = None if drawn.labels is None else torch.tensor(drawn.labels)
    if labels is not None and (len(labels) == 0 or int(labels.max()) >= model.classes or int(labels.min()) < 0):
        labels = None
    trials = []
    for k, pair in enumerate(pairs):
        mean, std = pair or (None, None)
        layers = model.taps[-2:-1] or model.taps
        extractor = type(model)(**{**vars(model), "mean": mean, "std": std}).extractor(layers)
        (ind, ind_logits), (out, out_logits) = (extractor.features_and_logits(x) for x in (pixels, noise))
        accuracy = None if labels is None else float((ind_logits.argmax(1) == labels).float().mean())
        trials.append(
            Trial(pair, len(pixels), model.classes, accuracy, (_sure(ind_logits), _sure(out_logits)),
                  (_length(ind), _length(out)))
        )  # fmt: skip
        progress(k + 1, len(pairs), "normalisations tried")
    return trials


def verdict(trials: Sequence[Trial], names: Mapping[Pair, str]) -> tuple[bool, str]:
    """(whether the first trial's normalisation looks right, a sentence on it and on a better one).

    Args:
        trials: the normalisation in use first, then others.
        names: for people, by (mean, std).
    """
    used, others = trials[0], trials[1:]
    if used.accuracy is not None:
        best = max(others, key=lambda t: t.accuracy or 0, default=used)
        shares = (used.accuracy, best.accuracy or 0.0)
        error = sqrt(sum(p * (1 - p) for p in shares) / used.count)  # of their difference, were they of two samples
        better = shares[1] > shares[0] + 2 * error
        also = f" With {names[best.pair]!r} it is {best.accuracy:.1%}: try that." if better else ""
        if used.suspicious:
            none = " No other usual normalisation helps: is the order of classes the network's?" if others else ""
            few = f" {used.count} images tell little: give {ENOUGH} or more." * (used.count < ENOUGH)
            return False, (
                f"Accuracy is {used.accuracy:.1%} on {used.count} labelled images, and guessing gives "
                f"{1 / used.classes:.1%}: the normalisation, the order of channels or the labels may be wrong, or the "
                f"network is not trained.{also or none}{few}"
            )
        return not better, f"Accuracy is {used.accuracy:.1%} on {used.count} labelled images.{also}"
    words = (
        f"Mean confidence is {used.confidence[0]:.2f} on {used.count} of these images and {used.confidence[1]:.2f} on "
        f"noise; features are {used.norm[0]:.3g} and {used.norm[1]:.3g} long."
    )
    if used.suspicious:
        return False, (
            f"{words} A network is usually surer of images it knows: the normalisation may be wrong, or these are not "
            "such images. Labels would tell."
        )
    return True, f"{words} Nothing looks wrong, but without labels a wrong normalisation can pass unseen."


def _sure(logits: Tensor) -> float:
    return float(logits.softmax(1).amax(1).mean())


def _length(features: Mapping[str, Tensor]) -> float:
    return float(next(iter(features.values())).norm(dim=1).mean())
