"""Leaks, found by hash: equal images on both sides, or among those alpha is fitted on and those it is tested on.

Images are compared as the network sees them (in its shape, after cropping and resizing), bit by bit. A picture saved
twice as JPEG is another picture: what is found is certain, what is not found is not excluded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fssd_core import ensemble
from fssd_core.data import DATA, ImageSet, load_data
from fssd_core.study import Study, open_model

Positions = npt.NDArray[np.int64]
SMALL = 0.01  # of a set's test images: below it no number that is shown changes in its second digit
_SAID = {"FashionMNIST": "fmnist:train"}  # what the shipped checkpoints say: the 10,000 here are some of their 60,000


@dataclass(frozen=True)
class Leak:
    """One leak.

    Attributes:
        words: what was found, what it does to the numbers, and what to do.
        share: of the images concerned, 0..1.
    """

    words: str
    share: float


def digests(images: ImageSet) -> npt.NDArray[np.void]:
    """(N,) 16-byte hashes of the images' pixels."""
    return np.frombuffer(b"".join(images.image_digests), dtype="V16")


def shared(these: ImageSet, others: ImageSet) -> tuple[Positions, Positions]:
    """Positions of the images of each set that occur in the other; sets of another shape share none."""
    if these.images.shape[1:] != others.images.shape[1:]:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    a, b = digests(these), digests(others)
    return _among(a, b), _among(b, a)


def find_leaks(
    study: Study, sets: Mapping[str, ImageSet], *, whole: Mapping[str, ImageSet] | None = None, fit: int = 500
) -> tuple[Leak, ...]:
    """The leaks among a study's sets, and between ind and what the network was trained on; () where none was found.

    Args:
        study: whose seed splits the sets.
        sets: {reference: images as scored}, ind and every ood set: what is fitted on, tested on and trained on.
        whole: {reference: all images of the set}, in which common images are looked for; None for those scored.
        fit: images a side that alpha may be fitted on.
    """
    hashes = {ref: digests(images) for ref, images in sets.items()}
    ind = hashes[study.ind]
    notes = _trained_on(study, sets[study.ind], ind)
    notes += _within(study.ind, ind, _fitted(study, len(ind), len(ind), fit)[0])
    for ref in study.ood:
        if ref in hashes:
            notes += _on_both_sides(study.ind, ref, whole or sets)
            notes += _within(ref, hashes[ref], _fitted(study, len(ind), len(hashes[ref]), fit)[1])
    return tuple(notes)


def whole_sets(study: Study, *, root: Path | None = None) -> dict[str, ImageSet]:
    """{reference: all images of the set, in the network's shape} of ind and every ood set."""
    shape = open_model(study).input_shape
    return {ref: load_data(ref, shape=shape, root=root) for ref in (study.ind, *study.ood)}


def _on_both_sides(ind: str, ref: str, sets: Mapping[str, ImageSet]) -> list[Leak]:
    images = sets[ref]
    common, _ = shared(images, sets[ind])
    if not len(common):
        return []
    words = (
        f"{len(common):,} of {len(images):,} images of {ref} are also in {ind} (row {_rows(images, common)}): "
        "no detector can tell them apart. Take them out of one side"
    )
    return [Leak(words, len(common) / len(images))]


def _within(ref: str, hashes: npt.NDArray[np.void], fitted: Positions | None) -> list[Leak]:
    """Test images that occur among the images alpha is fitted on."""
    if fitted is None:
        return []
    tested = np.setdiff1d(np.arange(len(hashes)), fitted)
    leaked = len(_among(hashes[tested], hashes[fitted]))
    if not leaked:
        return []
    words = (
        f"{leaked:,} of {len(tested):,} test images of {ref} are also among the {len(fitted):,} that alpha may be "
        "fitted on (the set holds images twice): numbers with a fitted alpha are too good. Keep each image once"
    )
    return [Leak(words, leaked / len(tested))]


def _trained_on(study: Study, ind: ImageSet, hashes: npt.NDArray[np.void]) -> list[Leak]:
    """Ind images among those the network was trained on, where its checkpoint says which and they are here."""
    said = open_model(study).metadata.get("data", "").partition(",")[0]
    name = _SAID.get(said, said)
    if name not in DATA or DATA[name].kind == "download":  # a name from a file: only sets of the table are opened
        return []
    found = len(_among(hashes, digests(load_data(name, shape=ind.shape))))
    if not found:
        return []
    words = (
        f"{found:,} of {len(ind):,} images of {study.ind} are in {name}, which the network was trained on: it is surer "
        "of these than of new ones. Take images it never saw as ind"
    )
    return [Leak(words, found / len(ind))]


def _fitted(study: Study, ind: int, ood: int, fit: int) -> tuple[Positions | None, Positions | None]:
    if min(ind, ood) < ensemble.SMALLEST:
        return None, None
    rows = ensemble.split(ind, ood, fit=fit, seed=study.seed)
    return rows.fit_ind, rows.fit_ood


def _among(these: npt.NDArray[np.void], others: npt.NDArray[np.void]) -> Positions:
    known = set(others.tolist())
    return np.array([k for k, value in enumerate(these.tolist()) if value in known], dtype=np.int64)


def _rows(images: ImageSet, positions: Positions) -> str:
    some = ", ".join(str(row) for row in images.rows[positions[:3]])
    return f"{some}{' ...' if len(positions) > 3 else ''}"
