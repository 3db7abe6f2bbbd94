"""How far a drawing can be believed: measured on the drawn points, and said in plain words."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from scipy.stats import rankdata
from sklearn.manifold import trustworthiness
from sklearn.metrics import roc_auc_score

from fssd_core.projection_embed import DIRECT, Offsets
from fssd_core.runtime import generator
from fssd_core.types import Faithfulness, FloatArray, PointGroup, Projection

NEIGHBORS = 15
TRUST_POINTS = 2000
GAP = 0.1  # drawn and true AUROC further apart than this are worth a warning


def measure(
    drawn: FloatArray,
    xy: FloatArray,
    offsets: Offsets,
    distance: FloatArray,
    groups: Sequence[PointGroup],
    *,
    seed: int,
) -> Faithfulness:
    """Compare the drawing with the features.

    Args:
        drawn: (M,) drawn distance to F*.
        xy: (M, 2) drawn points.
        offsets: (M, D).
        distance: (M,) true distance to F*.
        groups: of the M points.
        seed: picks the 2,000 points that trustworthiness is measured on where there are more.
    """
    ind = ind_mask(groups)
    truth = {g.name: _auroc(distance[ind], distance[g.start : g.stop]) for g in groups if g.kind == "ood"}
    seen = {g.name: _auroc(drawn[ind], drawn[g.start : g.stop]) for g in groups if g.kind == "ood"}
    return Faithfulness(
        rho=spearman(drawn, distance),
        rho_ind=spearman(drawn[ind], distance[ind]),
        trustworthiness=trust(xy, offsets, seed=seed),
        auroc_true=truth,
        auroc_drawn=seen,
    )


def ind_mask(groups: Sequence[PointGroup]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """(M,) true for the points of the ind groups."""
    mask = np.zeros(max((g.stop for g in groups), default=0), dtype=np.bool_)
    for group in groups:
        mask[group.start : group.stop] = group.kind == "ind"
    return mask


def spearman(a: FloatArray, b: FloatArray) -> float:
    """Spearman's rank correlation, ties averaged; NaN where one side is constant or there are fewer than 2 points."""
    ranks = np.stack([rankdata(a), rankdata(b)])
    if len(a) < 2 or (np.ptp(ranks, axis=1) == 0).any():
        return math.nan
    return float(np.corrcoef(ranks)[0, 1])


def trust(xy: FloatArray, offsets: Offsets, *, seed: int) -> float:
    """scikit-learn's trustworthiness (Venna and Kaski 2001) with 15 neighbours, on at most 2,000 seeded points."""
    rows = trust_rows(len(offsets), seed)
    points = offsets.rows(rows)
    mode = "use_mm_for_euclid_dist" if offsets.width > 256 else DIRECT
    between = torch.cdist(points, points, compute_mode=mode).numpy()
    neighbors = min(NEIGHBORS, (len(rows) - 1) // 2)
    return float(trustworthiness(between, xy[rows], n_neighbors=neighbors, metric="precomputed"))


def trust_rows(count: int, seed: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """(n,) rows that trustworthiness is measured on, in order."""
    if count <= TRUST_POINTS:
        return np.arange(count)
    return np.sort(torch.randperm(count, generator=generator(seed))[:TRUST_POINTS].numpy())


def _auroc(ind: FloatArray, ood: FloatArray) -> float:
    """AUROC of a distance with ind positive."""
    truth = np.r_[np.ones(len(ind)), np.zeros(len(ood))]
    return float(roc_auc_score(truth, np.r_[ind, ood]))


def plain_words(projection: Projection) -> str:
    """What a reader of the drawing must know: how true its distances and its neighbourhoods are, and where it misleads.

    A group is named where drawn and true AUROC lie more than 0.1 apart or on different sides of 0.5.
    """
    faithful = projection.faithfulness
    sentences = [_about_distance(faithful), _about_neighbours(faithful.trustworthiness)]
    warnings = [words for name in faithful.auroc_true if (words := _about_group(name, faithful))]
    if warnings:
        sentences.append("Careful: " + "; ".join(warnings) + ".")
    return " ".join(sentences)


def _about_distance(faithful: Faithfulness) -> str:
    rho, rho_ind = faithful.rho, faithful.rho_ind
    if math.isnan(rho):
        return "Drawn and true distance to F* cannot be compared: one of them is the same for all points."
    if rho > 0.9995:
        return f"Distance to F* is drawn exactly (Spearman rho {rho:.2f})."
    how = (
        "very closely"
        if rho >= 0.95
        else "closely"
        if rho >= 0.85
        else "roughly"
        if rho >= 0.6
        else "only loosely"
        if rho >= 0.3
        else "hardly or not at all"
    )
    among = "not defined" if math.isnan(rho_ind) else f"{rho_ind:.2f}"
    return f"Drawn distance to F* follows the true distance {how} (Spearman rho {rho:.2f}; among ind alone {among})."


def _about_neighbours(value: float) -> str:
    meaning = (
        "points drawn side by side are nearly always true neighbours"
        if value >= 0.97
        else "points drawn side by side are mostly true neighbours"
        if value >= 0.9
        else "points drawn side by side are often no true neighbours"
        if value >= 0.75
        else "do not read neighbourhoods from this drawing"
    )
    return f"Trustworthiness {value:.2f} of 1: {meaning}."


def _about_group(name: str, faithful: Faithfulness) -> str:
    """The warning about one ood group, empty if its drawing agrees with the truth."""
    true, drawn = faithful.auroc_true[name], faithful.auroc_drawn[name]
    if (true - 0.5) * (drawn - 0.5) < 0:
        near, far = ("nearer to", "farther away") if drawn > 0.5 else ("farther from", "nearer")
        truly = far if abs(true - 0.5) >= 0.05 else "about as far"
        said = f"{name} is drawn {near} F* than ind, but truly lies {truly}"
    elif abs(true - drawn) > GAP:
        said = f"{name} looks {'nearer to' if drawn > true else 'farther from'} F*, against ind, than it truly is"
    else:
        return ""
    return f"{said} (AUROC drawn {drawn:.2f}, true {true:.2f})"
