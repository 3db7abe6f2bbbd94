"""Corrupted pixels are the package's own, seeded image by image; every size; one clear error without the package."""

from __future__ import annotations

import importlib.util
import os
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fssd_core.data import ImageSet, corruptions
from fssd_core.data.corruption_pool import corrupted_cells
from fssd_core.data.corruptions import SETS, TYPES, choose_types, corrupt, hardly_changes
from fssd_core.errors import DataError, InputError

package = pytest.importorskip("imagecorruptions", reason="imagecorruptions-imaug is not installed")


@pytest.fixture(scope="module")
def pristine():
    """The package's module as published, without our caches."""
    place = importlib.util.find_spec("imagecorruptions.corruptions").origin
    spec = importlib.util.spec_from_file_location("imagecorruptions.pristine", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def colour(height: int = 40, width: int = 36, count: int = 3) -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (count, 5, 5, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(c).resize((width, height))) for c in coarse])


@pytest.mark.parametrize("kind", TYPES)
def test_colour_pixels_are_the_packages_own_for_the_same_draws(kind, pristine):
    images, severity = colour(), 1 + TYPES[kind].index % 5
    made = corrupt(images, kind, severity, rows=np.array([7, 3, 9]), seed=11)
    for image, row, found in zip(images, (7, 3, 9), made.images, strict=True):
        state = np.random.SeedSequence((11, TYPES[kind].index, severity, row)).generate_state(4)
        np.random.seed(state)  # noqa: NPY002
        seed = {"seed": int(state[0])} if kind in ("impulse_noise", "glass_blur") else {}
        expected = np.uint8(getattr(pristine, kind)(Image.fromarray(image), severity, **seed))
        np.testing.assert_array_equal(found, expected)
    assert made.unchanged.size == 0


@pytest.mark.parametrize(
    "kind", ["gaussian_noise", "impulse_noise", "motion_blur", "frost", "elastic_transform", "spatter"]
)
def test_the_same_seed_gives_the_same_bytes_also_for_a_subset_and_leaves_the_global_state(kind):
    images, rows = colour(28, 28, 6)[..., 0], np.arange(6)
    np.random.seed(5)  # noqa: NPY002
    expected_draw = np.random.RandomState(5).rand()
    first = corrupt(images, kind, 5, rows=rows, seed=3)
    assert np.random.rand() == expected_draw  # noqa: NPY002
    np.testing.assert_array_equal(corrupt(images, kind, 5, rows=rows, seed=3).images, first.images)
    np.testing.assert_array_equal(
        corrupt(images[4:1:-2], kind, 5, rows=rows[4:1:-2], seed=3).images, first.images[4:1:-2]
    )
    assert (corrupt(images, kind, 5, rows=rows, seed=4).images != first.images).any()
    assert (corrupt(images, kind, 5, rows=rows + 6, seed=3).images != first.images).any()


def test_grey_noise_has_imagenet_cs_strength_once_a_pixel():
    grey = np.full((4, 64, 64), 128, np.uint8)
    made = corrupt(grey, "gaussian_noise", 2, rows=np.arange(4), seed=0).images.astype(float) / 255
    assert made.std() == pytest.approx(0.12, rel=0.02)  # luma of three draws would give 0.080


@pytest.mark.parametrize(
    "kind", ["defocus_blur", "motion_blur", "fog", "contrast", "pixelate", "brightness", "zoom_blur"]
)
def test_grey_is_what_colour_with_equal_channels_gives(kind):
    grey = colour()[..., 1]
    of_colour = corrupt(np.repeat(grey[..., None], 3, axis=3), kind, 3, rows=np.arange(3), seed=0).images
    np.testing.assert_array_equal(of_colour[..., 0], of_colour[..., 2])
    np.testing.assert_array_equal(corrupt(grey, kind, 3, rows=np.arange(3), seed=0).images, of_colour[..., 0])


@pytest.mark.parametrize("size", [(28, 28), (5, 7), (1, 1), (30, 64)])
def test_small_images_keep_their_size(size):
    for images in (colour(*size), colour(*size)[..., 0]):
        for kind in ("shot_noise", "defocus_blur", "snow", "jpeg_compression", "elastic_transform"):
            made = corrupt(images, kind, 4, rows=np.arange(3), seed=0).images
            assert (made.shape, made.dtype) == (images.shape, np.uint8)


def test_an_image_that_spatter_cannot_be_applied_to_stays_and_is_counted():
    images = colour(28, 28, 3)[..., 0]
    rows = np.arange(2000, 2400)
    made = corrupt(np.resize(images, (400, 28, 28)), "spatter", 1, rows=rows, seed=0)
    assert 0 < len(made.unchanged) < 40, "drops are missing on few images"
    for at in made.unchanged:
        np.testing.assert_array_equal(made.images[at], images[at % 3])


def test_types_by_name_and_by_set():
    assert choose_types(["fog", "noise"]) == ("gaussian_noise", "shot_noise", "impulse_noise", "fog")
    assert len(choose_types(["all"])) == 19
    assert len(SETS["imagenet-c"]) == 15
    assert len(SETS["sixteen"]) == 16
    assert [t.index for t in TYPES.values()] == list(range(19)), "an index enters every seed and may not change"
    assert "grey" in hardly_changes(["saturate"], grey=True)
    assert hardly_changes(["saturate"], grey=False) is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"kind": "foggy"}, "did you mean 'fog'"),
        ({"severity": 6}, "1 to 5"),
        ({"severity": 0}, "1 to 5"),
        ({"seed": -1}, "none below 0"),
        ({"rows": np.arange(2)}, "2 rows for 3 images"),
        ({"images": np.zeros((3, 28, 28), np.float32)}, "uint8"),
        ({"images": np.zeros((3, 28, 28, 4), np.uint8)}, "shape"),
    ],
)
def test_bad_input_is_one_clear_error(arguments, words):
    given = {"images": colour(), "kind": "fog", "severity": 1, "rows": np.arange(3), "seed": 0, **arguments}
    with pytest.raises((InputError, DataError), match=words):
        corrupt(given.pop("images"), given.pop("kind"), given.pop("severity"), **given)


def test_without_the_package_both_commands_are_told(monkeypatch):
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(corruptions.metadata, "version", missing)
    corruptions._package.cache_clear()
    corruptions.package_version.cache_clear()
    with pytest.raises(InputError) as caught:
        corrupt(colour(), "fog", 1, rows=np.arange(3), seed=0)
    assert 'pip install "opencv-python-headless' in str(caught.value)
    assert "pip install --no-deps imagecorruptions-imaug==1.1.5" in str(caught.value)
    assert corruptions.package_version() == "1.1.5", "stored results are found without it"
    monkeypatch.undo()
    corruptions._package.cache_clear()
    corruptions.package_version.cache_clear()


def test_processes_make_the_same_bytes_and_end_when_stopped(monkeypatch):
    images = ImageSet("x", np.resize(colour(28, 28, 3)[..., 0], (40, 28, 28)), rows=np.arange(100, 140))
    cells = [("shot_noise", 1), ("spatter", 2), ("fog", 5), ("snow", 2)]
    alone = dict(corrupted_cells(images, cells, seed=2, workers=0))
    monkeypatch.setattr("fssd_core.data.corruption_pool.CHUNK_IMAGES", 16)
    stream = corrupted_cells(images, cells, seed=2, workers=2)
    for _ in range(3):
        cell, made = next(stream)
        np.testing.assert_array_equal(made.images, alone[cell].images)
        np.testing.assert_array_equal(made.unchanged, alone[cell].unchanged)
    assert children()
    stream.close()
    assert children() == []


def children() -> list[int]:
    """This process's own corrupting processes."""
    found = []
    for folder in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = Path("/proc", folder, "cmdline").read_bytes()
            parent = int(Path("/proc", folder, "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, IndexError):
            continue
        if parent == os.getpid() and b"spawn_main" in line:
            found.append(int(folder))
    return found
