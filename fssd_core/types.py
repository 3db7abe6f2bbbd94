"""The values that travel between the slow half (torch) and the fast half (NumPy): frozen, shapes checked when made.

Letters in shapes: N samples, K layers, D_k features of layer k, M points of a projection, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from fssd_core.errors import InputError

FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class LayerScores:
    """Score columns of one data set: FSSD gives one a layer, most detectors give a single one.

    Attributes:
        values: (N, K) float32; larger = more in-distribution.
        layers: K column names.
    """

    values: npt.NDArray[np.float32]
    layers: tuple[str, ...]

    def __post_init__(self) -> None:
        values = np.asarray(self.values, dtype=np.float32)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "layers", tuple(self.layers))
        if values.ndim != 2 or values.shape[1] != len(self.layers):
            raise InputError(f"layer scores of shape {values.shape} do not fit {len(self.layers)} layer names")

    def __len__(self) -> int:
        return int(self.values.shape[0])

    def column(self, layer: str) -> npt.NDArray[np.float32]:
        """(N,) scores of one layer."""
        if layer not in self.layers:
            raise InputError(f"no layer {layer!r} in these scores; they have {', '.join(self.layers)}")
        return self.values[:, self.layers.index(layer)]

    def take(self, rows: IntArray) -> LayerScores:
        """The scores of the given rows, in that order."""
        return LayerScores(self.values[rows], self.layers)


@dataclass(frozen=True)
class Weights:
    """alpha of Algorithm 1: one signed factor a layer, and which labels it was made from.

    Attributes:
        alpha: K factors on the raw distances. Only their ratios matter to AUROC.
        layers: K layer names.
        rule: 'uniform', 'standardised', 'pseudo-ood', 'logistic' or 'manual'.
        labels: which labels were used, in plain words ('none', '500 ind + 500 ood images of mnist').
    """

    alpha: tuple[float, ...]
    layers: tuple[str, ...]
    rule: str = "manual"
    labels: str = "none"

    def __post_init__(self) -> None:
        object.__setattr__(self, "alpha", tuple(float(a) for a in self.alpha))
        object.__setattr__(self, "layers", tuple(self.layers))
        if len(self.alpha) != len(self.layers):
            raise InputError(
                f"{len(self.alpha)} alpha values for {len(self.layers)} layers ({', '.join(self.layers)}); "
                "give one value a layer"
            )
        if not np.isfinite(self.alpha).all():
            raise InputError(f"alpha {self.alpha} has a value that is not finite")

    def normalised(self) -> Weights:
        """The same ranking with max |alpha| = 1 (alpha counts only up to a positive factor)."""
        top = max((abs(a) for a in self.alpha), default=0.0)
        if top == 0.0:
            return self
        return Weights(tuple(a / top for a in self.alpha), self.layers, self.rule, self.labels)


@dataclass(frozen=True, eq=False)
class Curve:
    """One curve over all thresholds.

    Attributes:
        x: (T,) false positive rate (ROC) or recall (PR).
        y: (T,) true positive rate (ROC) or precision (PR).
        thresholds: (T,) score thresholds: accepted as ind where score >= threshold; inf where nothing is accepted.
    """

    x: FloatArray
    y: FloatArray
    thresholds: FloatArray


@dataclass(frozen=True)
class Metrics:
    """Numbers of one ind-against-ood comparison, all in 0..1; ind is the positive class.

    Attributes:
        auroc: area under the ROC curve; 0.5 is chance, below it the score is inverted.
        aupr_in: average precision with ind positive (depends on the ratio n_ind : n_ood).
        aupr_out: average precision with ood positive and the score's sign turned.
        fpr80: share of ood accepted where 80 % of ind is accepted.
        fpr95: the same at 95 %.
        detection_error: smallest mean of miss rate and false alarm rate, min over t of (1 - TPR + FPR) / 2.
        n_ind: ind samples.
        n_ood: ood samples.
    """

    auroc: float
    aupr_in: float
    aupr_out: float
    fpr80: float
    fpr95: float
    detection_error: float
    n_ind: int
    n_ood: int


@dataclass(frozen=True)
class Faithfulness:
    """How far a drawing can be believed, measured on the drawn points.

    Attributes:
        rho: Spearman rank correlation of drawn and true distance to F*, all points.
        rho_ind: the same over ind points only.
        trustworthiness: share of drawn neighbourhoods that are true (scikit-learn, 15 neighbours), 0..1.
        auroc_true: per ood group name, AUROC of the true distance (ind positive, larger = ind).
        auroc_drawn: the same of the drawn distance.
    """

    rho: float
    rho_ind: float
    trustworthiness: float
    auroc_true: dict[str, float] = field(default_factory=dict)
    auroc_drawn: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class PointGroup:
    """One group of a projection's points.

    Attributes:
        name: data reference, or 'noise'.
        kind: 'ind', 'ood' or 'noise'.
        start: first row of the group in the projection.
        stop: one past its last row.
        rows: (stop - start,) row of each point in its data set, a stable id; for noise the draw's number.
    """

    name: str
    kind: str
    start: int
    stop: int
    rows: IntArray


@dataclass(frozen=True, eq=False)
class Projection:
    """Points of one layer drawn in the plane, F* included.

    Attributes:
        view: 'umap', 'pca', 'centred-umap' or 'centred-spokes'.
        layer: the layer's name.
        xy: (M, 2) float32; for the centred views radius 1 is the ind median distance and F* is the origin.
        fss: (2,) float32, where F* is drawn.
        distance: (M,) float32, true ||F(x) - F*||.
        groups: ind first, then the ood groups, then noise; they cover 0..M in order.
        labels: (M,) int16 class of the ind points, -1 elsewhere.
        faithfulness: measured on these points.
        notes: what else the page must say ('explained variance 0.71', spoke names and angles ...).
    """

    view: str
    layer: str
    xy: npt.NDArray[np.float32]
    fss: npt.NDArray[np.float32]
    distance: npt.NDArray[np.float32]
    groups: tuple[PointGroup, ...]
    labels: npt.NDArray[np.int16]
    faithfulness: Faithfulness
    notes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        points = len(self.xy)
        if self.xy.shape != (points, 2) or self.distance.shape != (points,) or self.labels.shape != (points,):
            raise InputError(f"projection arrays disagree: {self.xy.shape}, {self.distance.shape}, {self.labels.shape}")
        edges = [0, *(g.stop for g in self.groups)]
        if [g.start for g in self.groups] != edges[:-1] or edges[-1] != points:
            raise InputError("the groups of a projection must cover its points in order")

    def members(self, kind: str) -> Sequence[PointGroup]:
        """The groups of one kind."""
        return [g for g in self.groups if g.kind == kind]
