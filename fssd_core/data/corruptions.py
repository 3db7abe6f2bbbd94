"""The corruptions of ImageNet-C (Hendrycks and Dietterich 2019) at five severities: 15 types and 4 extra, seeded.

Pixels are made by the package imagecorruptions-imaug. The draws of an image depend on (seed, type, severity, row) and
on nothing else, so the same seed gives the same bytes, and a subset those of the full set.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import metadata
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from fssd_core.data.images import Pixels, Rows, to_grey
from fssd_core.errors import DataError, InputError, did_you_mean, lookup

GROUPS = ("noise", "blur", "weather", "digital", "extra")
SEVERITIES = (1, 2, 3, 4, 5)
SMALLEST = 32  # pixels a side that the package takes
PACKAGE, PINNED = "imagecorruptions-imaug", "1.1.5"
HOW_TO_INSTALL = (
    'pip install "opencv-python-headless>=4.10" "scikit-image>=0.24" "numba>=0.60", then '
    f"pip install --no-deps {PACKAGE}=={PINNED}"
)


@dataclass(frozen=True)
class CorruptionType:
    """One kind of corruption.

    Attributes:
        name: as ImageNet-C's folders are called.
        title: for people.
        group: one of GROUPS.
        index: enters the seed of every draw; never changed.
        pixel_noise: drawn for each channel on its own, so a grey image gets one draw a pixel.
        seeded: takes its seed as an argument.
    """

    name: str
    title: str
    group: str
    index: int
    pixel_noise: bool = False
    seeded: bool = False


_TYPES = (
    CorruptionType("gaussian_noise", "Gaussian noise", "noise", 0, pixel_noise=True),
    CorruptionType("shot_noise", "Shot noise", "noise", 1, pixel_noise=True),
    CorruptionType("impulse_noise", "Impulse noise", "noise", 2, pixel_noise=True, seeded=True),
    CorruptionType("defocus_blur", "Defocus blur", "blur", 3),
    CorruptionType("glass_blur", "Frosted glass blur", "blur", 4, seeded=True),
    CorruptionType("motion_blur", "Motion blur", "blur", 5),
    CorruptionType("zoom_blur", "Zoom blur", "blur", 6),
    CorruptionType("snow", "Snow", "weather", 7),
    CorruptionType("frost", "Frost", "weather", 8),
    CorruptionType("fog", "Fog", "weather", 9),
    CorruptionType("brightness", "Brightness", "weather", 10),
    CorruptionType("contrast", "Contrast", "digital", 11),
    CorruptionType("elastic_transform", "Elastic transform", "digital", 12),
    CorruptionType("pixelate", "Pixelate", "digital", 13),
    CorruptionType("jpeg_compression", "JPEG compression", "digital", 14),
    CorruptionType("speckle_noise", "Speckle noise", "extra", 15, pixel_noise=True),
    CorruptionType("gaussian_blur", "Gaussian blur", "extra", 16),
    CorruptionType("spatter", "Spatter", "extra", 17),
    CorruptionType("saturate", "Saturate", "extra", 18),
)
TYPES: dict[str, CorruptionType] = {t.name: t for t in _TYPES}

SETS: dict[str, tuple[str, ...]] = {
    "all": tuple(TYPES),
    "imagenet-c": tuple(t.name for t in _TYPES if t.group != "extra"),
    "sixteen": tuple(t.name for t in _TYPES if t.group != "extra" or t.name == "speckle_noise"),
    **{group: tuple(t.name for t in _TYPES if t.group == group) for group in GROUPS},
}
"""Types by a common name. Which 16 the paper's slides meant is not known: 'sixteen' is OUR choice."""


@dataclass(frozen=True, eq=False)
class Corrupted:
    """Corrupted images.

    Attributes:
        images: (N, H, W) or (N, H, W, 3), as given.
        unchanged: (n,) positions of images that the type cannot be applied to and that were left as they are.
    """

    images: Pixels
    unchanged: npt.NDArray[np.int64]


def choose_types(names: Iterable[str]) -> tuple[str, ...]:
    """Type names from types and sets of types ('noise', 'imagenet-c', 'all'), in the table's order, each once.

    Raises:
        InputError: an unknown name, or none at all.
    """
    wanted: set[str] = set()
    for name in names:
        if name not in TYPES and name not in SETS:
            raise InputError(f"no corruption type {name!r}{did_you_mean(name, [*TYPES, *SETS])}")
        wanted |= set(SETS.get(name, (name,)))
    if not wanted:
        raise InputError(f"no corruption type was given; give some of {', '.join(TYPES)}, or {', '.join(SETS)}")
    return tuple(name for name in TYPES if name in wanted)


def check_severities(values: Iterable[int]) -> tuple[int, ...]:
    """The severities, rising, each once.

    Raises:
        InputError: none, or one outside 1..5.
    """
    chosen = tuple(sorted(set(values)))
    if not chosen or not set(chosen) <= set(SEVERITIES):
        raise InputError(f"severities {', '.join(map(str, chosen)) or 'none'} were given; they are 1 to 5")
    return chosen


@cache
def package_version() -> str:
    """Version of the package that makes the pixels; the pinned one where it is not installed."""
    try:
        return metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        return PINNED


def corrupt(images: Pixels, kind: str, severity: int, *, rows: Rows, seed: int) -> Corrupted:
    """The images under one corruption, pixels in 0..255 as before.

    The parameters are ImageNet-C's at every size. Sides below 32 pixels are padded by reflection and cropped back.
    Grey images go through as three equal channels and come back as luma; noise is drawn once a pixel, not three times.
    NumPy's global random state is used and put back, so call it from one thread at a time.

    Args:
        images: (N, H, W) or (N, H, W, 3) uint8.
        kind: a name of TYPES.
        severity: 1 to 5.
        rows: (N,) stable ids of the images, 0 or more.
        seed: 0 or more.

    Raises:
        InputError: an unknown type, a severity outside 1..5, a negative seed, or the package is not installed.
        DataError: images of another type or shape, or rows that do not fit.
    """
    spec = lookup(TYPES, kind, "corruption type")
    check_severities([severity])
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] != 3):
        raise DataError(
            f"images of shape {images.shape} and type {images.dtype} were given; "
            "allowed is uint8 (N, H, W) or (N, H, W, 3)"
        )
    if len(rows) != len(images) or seed < 0 or (len(rows) and min(rows) < 0):
        raise InputError(
            f"{len(rows)} rows for {len(images)} images and seed {seed}: give one row an image, and none below 0"
        )
    made, unchanged = [], []
    with _global_state():
        for position, (image, row) in enumerate(zip(images, rows, strict=True)):
            state = np.random.SeedSequence((seed, spec.index, severity, int(row))).generate_state(4)
            np.random.seed(state)  # noqa: NPY002 - the package draws from the global state
            changed = _one(image, spec, severity, int(state[0]))
            if changed is None:
                unchanged.append(position)
            made.append(image if changed is None else changed)
    pixels = np.stack(made) if made else images.copy()
    return Corrupted(pixels, np.array(unchanged, dtype=np.int64))


def _one(image: Pixels, spec: CorruptionType, severity: int, seed: int) -> Pixels | None:
    """One image (H, W) or (H, W, 3) corrupted; None where the result has values that are not finite."""
    grey = image.ndim == 2
    height, width = image.shape[:2]
    top, left = (max(0, math.ceil((SMALLEST - side) / 2)) for side in (height, width))
    pads = [(top, top), (left, left), (0, 0)][: image.ndim]
    padded = np.pad(image, pads, mode="reflect") if top or left else image
    if grey and not spec.pixel_noise:
        padded = np.repeat(padded[..., None], 3, axis=2)
    given = {"seed": seed} if spec.seeded else {}
    with np.errstate(all="ignore"):  # spatter divides by the largest drop, which may be 0
        out = np.asarray(getattr(_package(), spec.name)(Image.fromarray(padded), severity, **given))
    if not np.isfinite(out).all():
        return None
    pixels: Pixels = out.astype(np.uint8)[top : top + height, left : left + width]  # truncated, as ImageNet-C does
    return to_grey(pixels[None])[0] if pixels.ndim == 3 and grey else pixels


@contextmanager
def _global_state() -> Iterator[None]:
    before = np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002


class _Quick:
    """cv2 as the package sees it: pictures of frost are read, and scaled to one size, once."""

    def __init__(self, cv2: Any) -> None:
        self._cv2 = cv2
        self.imread = cache(cv2.imread)
        self._scaled: dict[tuple[int, tuple[int, int], int], Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cv2, name)

    def resize(self, picture: Any, *, dsize: tuple[int, int], interpolation: int) -> Any:
        slot = (id(picture), dsize, interpolation)  # pictures come from the cache above, so ids stay theirs
        if slot not in self._scaled:
            self._scaled[slot] = self._cv2.resize(picture, dsize=dsize, interpolation=interpolation)
        return self._scaled[slot]


@lru_cache(maxsize=1)
def _package() -> Any:
    """The package's module of corruptions, quickened: same pixels, less reading, printing and compiling."""
    try:
        metadata.version(PACKAGE)  # another package of the same import name has other corruptions
        module = importlib.import_module("imagecorruptions.corruptions")
        cv2, numba = importlib.import_module("cv2"), importlib.import_module("numba")
    except (ImportError, metadata.PackageNotFoundError) as error:
        raise InputError(
            f"corrupting images needs the package {PACKAGE}, which cannot be used here ({error}); run: {HOW_TO_INSTALL}"
        ) from error
    cv2.setNumThreads(1)  # the images are shared among processes already
    names = vars(module)
    names["cv2"] = _Quick(cv2)
    names["print"] = lambda *words: None  # zoom_blur tells every image whose side is no multiple of its zoom
    try:
        shuffle = names["_shuffle_pixels_njit_glass_blur"]
        names["_shuffle_pixels_njit_glass_blur"] = numba.njit(cache=True)(shuffle.py_func)
    except RuntimeError:
        pass  # nowhere to keep compiled code: compiled anew in each process
    return module


def check_available() -> None:
    """Raises the InputError that says what to install, before anything else is done."""
    _package()


def title_of_type(name: str) -> str:
    """The type's title; of an unknown one its name with blanks."""
    return TYPES[name].title if name in TYPES else name.replace("_", " ").capitalize()


def group_of_type(name: str) -> str:
    """The type's group, 'other' of an unknown one."""
    return TYPES[name].group if name in TYPES else "other"


def hardly_changes(kinds: Sequence[str], *, grey: bool) -> str | None:
    """What must be said of types that leave grey images nearly as they are."""
    if grey and "saturate" in kinds:
        return "saturate changes the colour of pixels: grey images stay as they are at severities 1 to 3"
    return None
