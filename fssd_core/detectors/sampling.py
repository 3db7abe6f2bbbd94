"""Several networks instead of one: deep ensembles of trained members, and Monte Carlo dropout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from fssd_core.detectors.base import Detector, DetectorSpec, Given
from fssd_core.detectors.parameters import Parameter, Values
from fssd_core.errors import InputError
from fssd_core.extractor import FeatureExtractor
from fssd_core.runtime import Progress, generator
from fssd_core.types import LayerScores

# those that do nothing in eval mode and multiply by a mask in training; AlphaDropout also shifts, so it is left out
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


class DeepEnsemble(Detector):
    """One column: the members' largest softmax probabilities, averaged (as the FSSD authors' code does).

    Member 0 is the extractor's own network; the others come from the parameter `members`, or from `ensemble_of`.
    """

    others: tuple[FeatureExtractor, ...] = ()

    def _learn(self, given: Given) -> None:
        if not self.others:
            self.others = _open(str(self.values["members"]), given.extractor)

    def _score(
        self, extractor: FeatureExtractor, images: Tensor, batch_size: int | None, progress: Progress
    ) -> LayerScores:
        def one(batch: Tensor) -> Tensor:
            with torch.no_grad():
                sure = [m.taps_and_logits(batch)[1].softmax(1).max(1).values for m in (extractor, *self.others)]
            return torch.stack(sure).mean(0)

        return self._column(images, one, batch_size, progress)

    def passes(self) -> tuple[int, int]:
        """One forward pass a member."""
        self._fitted()
        return 1 + len(self.others), 0


def ensemble_of(others: Sequence[FeatureExtractor]) -> DeepEnsemble:
    """An unfitted deep ensemble of the network that `fit` gets and these others.

    Raises:
        InputError: no other network.
    """
    if not others:
        raise InputError("0 other members were given; an ensemble needs at least 1 besides the network itself")
    detector = DeepEnsemble(DEEP_ENSEMBLE, DEEP_ENSEMBLE.check({}))
    detector.others = tuple(others)
    return detector


def member_names(text: str) -> list[str]:
    """The other members of a deep ensemble, as its parameter `members` names them, comma-separated."""
    return [name.strip() for name in text.split(",") if name.strip()]


def _open(references: str, extractor: FeatureExtractor) -> tuple[FeatureExtractor, ...]:
    from fssd_core.models import load_model

    names = member_names(references)
    if not names:
        raise InputError(
            "detector 'deep-ensemble' needs members besides the network itself: members=demo/lenet-member1,... "
            "(names of `fssd list models`, or weight files of networks trained the same way with other seeds)"
        )
    return tuple(load_model(name).extractor(device=extractor.device) for name in names)


Masks = dict[tuple[nn.Module, int], Tensor]  # by layer and number of its call within a pass


class McDropout(Detector):
    """One column: the largest of the softmax averaged over T passes with dropout (Gal and Ghahramani 2016).

    Each pass is one sample of the network: every call of a dropout layer draws one mask, the same for all images, so a
    score depends neither on the batch nor on the order. Only dropout is switched on, by hooks that are removed again;
    modes, batch norm and torch's global generator stay as they are.
    """

    def _learn(self, given: Given) -> None:
        layers = [m for m in given.extractor.module.modules() if isinstance(m, DROPOUTS)]
        if not any(layer.p > 0 for layer in layers):
            raise InputError(
                "detector 'mc-dropout' needs a network with dropout layers (nn.Dropout with p > 0), and this one has "
                f"{'none' if not layers else 'only such with p = 0'}; take one trained with it (demo/lenet-dropout)"
            )

    def _score(
        self, extractor: FeatureExtractor, images: Tensor, batch_size: int | None, progress: Progress
    ) -> LayerScores:
        count, seed = int(self.values["passes"]), int(self.values["seed"])
        masks: list[Masks] = [{} for _ in range(count)]
        draws = generator(seed)

        def one(batch: Tensor) -> Tensor:
            total: Tensor | None = None
            for drawn in masks:
                with torch.no_grad(), _masked(extractor.module, drawn, draws):
                    share = extractor.taps_and_logits(batch)[1].softmax(1) / count
                total = share if total is None else total + share
            assert total is not None
            largest: Tensor = total.max(1).values
            return largest

        return self._column(images, one, batch_size, progress)


@contextmanager
def _masked(module: nn.Module, drawn: Masks, draws: torch.Generator) -> Iterator[None]:
    """Inside one forward pass, each call of a dropout layer multiplies by its mask in `drawn`, drawn when first met."""
    calls: Counter[nn.Module] = Counter()

    def hook(layer: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        assert isinstance(layer, DROPOUTS)
        call = layer, calls[layer]
        calls[layer] += 1
        if call not in drawn:
            whole_channels = not isinstance(layer, nn.Dropout)
            shape = (1, output.shape[1], *(1 for _ in output.shape[2:])) if whole_channels else (1, *output.shape[1:])
            keep = 1 - layer.p
            kept = torch.rand(shape, generator=draws) < keep
            drawn[call] = kept.float() / keep if keep > 0 else torch.zeros(shape)
        return output * drawn[call].to(output)

    handles = [layer.register_forward_hook(hook) for layer in module.modules() if isinstance(layer, DROPOUTS)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _mc_passes(values: Values, layers: int) -> tuple[int, int]:
    return int(values["passes"]), 0


DEEP_ENSEMBLE = DetectorSpec(
    name="deep-ensemble",
    title="Deep ensemble: mean MSP of several networks",
    reference="Lakshminarayanan et al. 2017, Simple and Scalable Predictive Uncertainty Estimation using Deep "
    "Ensembles, arXiv:1612.01474; mean of the members' largest probabilities, as in the FSSD authors' code",
    cost="1 forward pass a member",
    columns="one",
    uses=(),
    parameters=(
        Parameter("members", "models", "", "the other members, as for --model, comma-separated; empty for none"),
    ),
    build=DeepEnsemble,
    passes=lambda values, layers: (1 + len(member_names(str(values["members"]))), 0),
    network="members trained with other seeds",
    fails="Where all members are sure of the same wrong class.",
)
MC_DROPOUT = DetectorSpec(
    name="mc-dropout",
    title="Monte Carlo dropout",
    reference="Gal and Ghahramani 2016, Dropout as a Bayesian Approximation: Representing Model Uncertainty in Deep "
    "Learning, arXiv:1506.02142",
    cost="T forward passes",
    columns="one",
    uses=(),
    parameters=(
        Parameter("passes", "int", 30, "T, forward passes with dropout", low=1, high=10_000),
        Parameter("seed", "int", 0, "of the dropout masks", low=0),
    ),
    build=McDropout,
    passes=_mc_passes,
    network="dropout layers",
    late=("passes", "seed"),
    fails="Where the network stays sure of a wrong class whichever units are dropped.",
)
