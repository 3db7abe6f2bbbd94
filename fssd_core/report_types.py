"""The values behind a report: a set's held-out images, how the numbers were chosen, and all that the page says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fssd_core.bundle_types import Measured
from fssd_core.data.images import Pixels
from fssd_core.metrics import Confusion
from fssd_core.operating_point import Choice, Outlook, in_words
from fssd_core.study import Study
from fssd_core.summary import INVERTED, UNINFORMATIVE
from fssd_core.transfer import Transfer
from fssd_core.types import LayerScores, Weights

Column = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Side:
    """The held-out images of one set.

    Attributes:
        name: of the set, as it is to be called.
        distances: (N, K) at the detector's epsilon.
        images: (N, H, W) or (N, H, W, 3).
        rows: (N,) row of each image in its set.
    """

    name: str
    distances: LayerScores
    images: Pixels
    rows: npt.NDArray[np.int64]

    def finite(self) -> tuple[Side, int]:
        """(the images whose distances are all finite, how many others there are)."""
        kept = np.flatnonzero(np.isfinite(self.distances.values).all(axis=1))
        side = Side(self.name, self.distances.take(kept), self.images[kept], self.rows[kept])
        return side, len(self.rows) - len(kept)


@dataclass(frozen=True)
class Chosen:
    """How the numbers of a detector were chosen, and whose labels were used for it, in plain words.

    Attributes:
        choice: the rule for the threshold, and the prevalence to expect.
        threshold_words: how the threshold was chosen; None for the rule's own words.
        threshold_labels: ood labels behind the threshold ('none', '1,500 test images of mnist').
        epsilon_labels: ood labels behind epsilon.
    """

    choice: Choice
    threshold_words: str | None = None
    threshold_labels: str = "none"
    epsilon_labels: str = "none"


@dataclass(frozen=True, eq=False)
class Example:
    """One image beside the threshold.

    Attributes:
        name: of its set.
        row: in its set.
        score: under the detector.
        image: (H, W) or (H, W, 3).
    """

    name: str
    row: int
    score: float
    image: Pixels


@dataclass(frozen=True, eq=False)
class Report:
    """All that the page says; made by `make_report`.

    Attributes:
        study: network, layers, gradient rule, noise, seed.
        model_name: as the network is to be called.
        arch: of the network.
        step: training step, if known.
        file_hash: SHA-256 of the weight file.
        digest: of the network's weights, as in a bundle.
        weights: alpha.
        epsilon: in pixels.
        threshold: accepted where score >= threshold.
        chosen: how these were chosen.
        ind_name: of the ind set.
        ind_scores: (N,) scores of the held-out ind images.
        ood_scores: the same of every ood set, by name.
        measured: numbers with intervals, by ood set.
        counts: at the threshold, by ood set.
        outlooks: at the stated prevalence, by ood set.
        layers: {ood set: {layer: AUROC of its distance alone}}.
        transfer: weights fitted on one set and tested on another; None where they cannot be fitted.
        examples: {'ind' or 'ood': (just rejected, just accepted)}, the nearest to the threshold first.
        notes: what must be known of the data.
        command: that gives the same numbers.
        versions: of what computed it.
        date: ISO 8601, as the caller said.
    """

    study: Study
    model_name: str
    arch: str
    step: int | None
    file_hash: str
    digest: str
    weights: Weights
    epsilon: float
    threshold: float
    chosen: Chosen
    ind_name: str
    ind_scores: Column
    ood_scores: dict[str, Column]
    measured: dict[str, Measured]
    counts: dict[str, Confusion]
    outlooks: dict[str, Outlook]
    layers: dict[str, dict[str, float]]
    transfer: Transfer | None
    examples: dict[str, tuple[list[Example], list[Example]]]
    notes: tuple[str, ...]
    command: str
    versions: dict[str, str]
    date: str

    @property
    def threshold_words(self) -> str:
        """How the threshold was chosen."""
        return self.chosen.threshold_words or in_words(self.chosen.choice, self.threshold)

    def odd_layers(self) -> dict[str, dict[str, str]]:
        """{ood set: {layer: 'inverted' or 'uninformative'}}: where the theory fails for a layer alone."""
        return {
            name: {layer: _verdict(value) for layer, value in values.items() if value < UNINFORMATIVE}
            for name, values in self.layers.items()
        }


def _verdict(value: float) -> str:
    return "inverted" if value < INVERTED else "uninformative"
