"""Which images may be looked at for what: two protocols, and parts that share no image by construction.

`paper`: alpha and every parameter are chosen with labelled images of the ood set that is tested on (as by Huang et al.
2021). `no-ood-labels`: nothing of any ood set is seen before the test; parameters have their defaults. Both test on the
same images. Only `deal` makes the parts, and each stage takes the part it may see, not the sets.
"""

from __future__ import annotations

import hashlib
from dataclasses import InitVar, dataclass

import numpy as np
import numpy.typing as npt

from fssd_core.data.images import ImageSet
from fssd_core.errors import InputError, lookup

PROTOCOLS = {
    "paper": "parameters and alpha chosen on labelled images of the tested ood set",
    "no-ood-labels": "nothing of any ood set seen before the test, parameters at their defaults",
}
FIT = 500  # images a side for alpha, and again for the parameters
SMALLEST = 8  # images a side: two for each of three stages, and some to test on

_MADE = object()


@dataclass(frozen=True, eq=False)
class FitPart:
    """What alpha may be fitted on.

    Attributes:
        ind: ind images.
        ood: labelled ood images; None where no ood labels may be used.
    """

    ind: ImageSet
    ood: ImageSet | None


@dataclass(frozen=True, eq=False)
class TunePart:
    """What parameters may be chosen on, besides `FitPart`: labelled images of both sides."""

    ind: ImageSet
    ood: ImageSet


@dataclass(frozen=True, eq=False)
class TestPart:
    """What numbers are measured on, and nothing else is done with."""

    __test__ = False  # no test case, whatever pytest thinks of the name

    ind: ImageSet
    ood: ImageSet


@dataclass(frozen=True, eq=False)
class Deal:
    """The parts of one comparison; no image, by its pixels, is in two of them.

    Attributes:
        protocol: 'paper' or 'no-ood-labels'.
        seed: of the draw.
        train: images that detectors learn the familiar from; None if there are none.
        fit: for alpha.
        tune: for parameters; None under 'no-ood-labels'.
        test: for the numbers.
        notes: what was left out, and why.
    """

    protocol: str
    seed: int
    train: ImageSet | None
    fit: FitPart
    tune: TunePart | None
    test: TestPart
    notes: tuple[str, ...] = ()
    _token: InitVar[object] = None

    def __post_init__(self, _token: object) -> None:
        if _token is not _MADE:
            raise TypeError("parts are dealt by fssd_core.protocol.deal alone, so that no image is in two of them")

    def fingerprint(self) -> str:
        """SHA-256 over the protocol and every image of every part."""
        digest = hashlib.sha256(self.protocol.encode())
        tune = (None, None) if self.tune is None else (self.tune.ind, self.tune.ood)
        for part in (self.train, self.fit.ind, self.fit.ood, *tune, self.test.ind, self.test.ood):
            digest.update(b"none;" if part is None else part.fingerprint().encode())
        return digest.hexdigest()


def deal(
    train: ImageSet | None, ind: ImageSet, ood: ImageSet, *, protocol: str = "paper", fit: int = FIT, seed: int = 0
) -> Deal:
    """Shuffles each side by the seed and cuts it: `fit` images for alpha, `fit` for parameters, the rest to test on.

    An image that occurs again (equal pixels) is used once, and one that is among the training images, or on both sides,
    is left out of the later set: train before ind before ood. A side with fewer than 4 * fit images gives a quarter
    each. The test images are the same under both protocols.

    Raises:
        InputError: unknown protocol, a side too small, `fit` below 2 or a negative seed.
    """
    lookup(PROTOCOLS, protocol, "protocol")
    if fit < 2 or seed < 0:
        raise InputError(f"fit = {fit} images and seed = {seed} were given; fit is at least 2, a seed at least 0")
    seen: set[bytes] = set()
    notes: list[str] = []
    if train is not None:
        _fresh(train, seen)
    sides = []
    for stream, side in enumerate((ind, ood)):
        positions = _fresh(side, seen)
        if left := len(side) - len(positions):
            notes.append(f"{left} of {len(side)} images of {side.name} occur twice or in an earlier set; left out")
        if len(positions) < SMALLEST:
            raise InputError(
                f"{side.name}: {len(positions)} different images are too few to fit, tune and test on; give at least "
                f"{SMALLEST}"
            )
        order = positions[np.random.default_rng([seed, stream]).permutation(len(positions))]
        cut = min(fit, len(order) // 4)
        if cut < fit:
            notes.append(f"{side.name} has {len(order)} images, so {cut} instead of {fit} go to each fitting stage")
        sides.append([side.take(np.sort(rows)) for rows in (order[:cut], order[cut : 2 * cut], order[2 * cut :])])
    (a_ind, b_ind, test_ind), (a_ood, b_ood, test_ood) = sides
    labelled = protocol == "paper"
    return Deal(
        protocol=protocol,
        seed=seed,
        train=train,
        fit=FitPart(a_ind, a_ood if labelled else None),
        tune=TunePart(b_ind, b_ood) if labelled else None,
        test=TestPart(test_ind, test_ood),
        notes=tuple(notes),
        _token=_MADE,
    )


def _fresh(images: ImageSet, seen: set[bytes]) -> npt.NDArray[np.int64]:
    """Positions of the images whose pixels were not seen before; all are seen afterwards."""
    positions = []
    for position, digest in enumerate(images.image_digests):
        if digest not in seen:
            seen.add(digest)
            positions.append(position)
    return np.array(positions, dtype=np.int64)
