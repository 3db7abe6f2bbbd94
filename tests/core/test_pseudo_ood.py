"""Pseudo-ood: what each change does to an image, seeds, sizes, and what must never be made."""

from __future__ import annotations

import numpy as np
import pytest

from fssd_core.data import ImageSet, load_data
from fssd_core.errors import InputError
from fssd_core.pseudo_ood import CHANGES, COUNT, make_pseudo_ood

IND = load_data("fmnist:test").take(np.arange(40))


def changed(name: str, images: np.ndarray, seed: int = 0) -> np.ndarray:
    """One change of (n, H, W) pixels, the others being the same images in reverse."""
    floats = images.astype(np.float32)[..., None]
    return CHANGES[name](floats, floats[::-1], np.random.default_rng(seed))[..., 0]


def test_the_same_images_and_seed_give_the_same_bytes_and_another_seed_others():
    first = make_pseudo_ood(IND, count=100, seed=3)
    assert first.images.dtype == np.uint8
    assert first.shape == IND.shape
    assert (make_pseudo_ood(IND, count=100, seed=3).images == first.images).all()
    assert (make_pseudo_ood(IND, count=100, seed=4).images != first.images).mean() > 0.1
    assert first.name == "pseudo-ood of fmnist:test"


def test_every_change_gives_its_share_and_leaves_the_source_alone():
    before = IND.images.copy()
    made = make_pseudo_ood(IND, count=55, seed=0)
    assert len(made) == 55
    assert (IND.images == before).all()
    assert len(make_pseudo_ood(IND, seed=0)) == COUNT
    shares = [len(range(i, 55, len(CHANGES))) for i in range(len(CHANGES))]
    ends = np.cumsum(shares)
    blacks_and_whites = made.images[ends[4] : ends[5]]  # 'binary' is the sixth
    assert list(CHANGES)[5] == "binary"
    assert set(np.unique(blacks_and_whites)) == {0, 255}


def test_a_change_does_not_move_when_the_count_of_another_does():
    few, many = make_pseudo_ood(IND, count=30, seed=1), make_pseudo_ood(IND, count=31, seed=1)
    assert (many.images[4:] == few.images[3:]).all(), "only the first change has one image more"


@pytest.mark.parametrize("shape", [(28, 28), (32, 32, 3), (8, 8), (9, 20), (64, 48, 3)])
def test_any_size_and_channel_count(shape):
    images = np.random.default_rng(0).integers(0, 256, (3, *shape)).astype(np.uint8)
    made = make_pseudo_ood(ImageSet("x", images), count=20, seed=0)
    assert made.images.shape == (20, *shape)


@pytest.mark.parametrize("value", [0, 128, 255])
def test_constant_images_stay_finite(value):
    made = make_pseudo_ood(ImageSet("flat", np.full((2, 28, 28), value, np.uint8)), count=20, seed=0)
    assert np.isfinite(made.images).all()
    assert not made.images[8:10].any(), "the outline of nothing"
    assert (made.images[2:8] == value).all(), "pasted, blurred and warped, a plain area stays plain"


def test_one_image_is_enough():
    assert len(make_pseudo_ood(IND.take(np.array([0])), count=10, seed=0)) == 10


def test_tiles_are_moved_not_changed():
    images = IND.images[:8]
    out = changed("jigsaw", images)
    assert all((np.sort(a, axis=None) == np.sort(b, axis=None)).all() for a, b in zip(out, images, strict=True))
    assert (out != images).any(axis=(1, 2)).all()


def test_a_pasted_rectangle_comes_from_the_other_image():
    dark, bright = np.zeros((1, 30, 30), np.float32)[..., None], np.full((1, 30, 30, 1), 9, np.float32)
    for seed in range(20):
        out = CHANGES["cut-paste"](dark, bright, np.random.default_rng(seed))[0, ..., 0]
        rows, columns = np.flatnonzero(out.any(1)), np.flatnonzero(out.any(0))
        assert (out[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] == 9).all()
        assert 10 <= len(rows) <= 20
        assert 10 <= len(columns) <= 20


def test_blur_keeps_the_mean_of_the_inside_and_lowers_the_contrast():
    point = np.zeros((1, 29, 29))
    point[0, 14, 14] = 255
    out = changed("blur", point)
    assert out.sum() == pytest.approx(255, rel=0.02)
    assert out.max() < 20


def test_noise_under_the_own_spectrum_keeps_mean_and_spread():
    images = IND.images[:10].astype(np.float64)
    for name, close in (("phase-noise", 0.15), ("smooth-noise", 0.01)):
        out = changed(name, images)
        np.testing.assert_allclose(out.mean(axis=(1, 2)), images.mean(axis=(1, 2)), rtol=1e-3)
        np.testing.assert_allclose(out.std(axis=(1, 2)), images.std(axis=(1, 2)), rtol=close)


def test_the_outline_stays_within_its_image():
    images = np.zeros((2, 28, 28))
    images[1, 10:20, 10:20] = 200
    out = changed("edges", images)
    assert not out[0].any(), "nothing leaks from the neighbouring image"
    assert out[1].max() == pytest.approx(200)
    assert out[1, 15, 15] == 0


def test_zoom_shows_a_part_and_shrink_shows_all_of_it():
    ramp = np.tile(np.arange(0, 280, 10, dtype=np.float32), (1, 28, 1))
    spans = [np.ptp(changed(name, ramp, seed=5)) for name in ("zoom", "shrink")]
    assert 0.2 * 270 < spans[0] < 0.55 * 270
    assert spans[1] > 0.8 * 270


@pytest.mark.parametrize("name", ["fmnist-inverted", "fmnist-rotated", "fmnist-shuffled"])
def test_no_change_is_a_set_that_the_demo_tests_on(name):
    images = IND.images
    test = load_data(name).take(np.arange(len(IND))).images.astype(np.float64)
    for change in CHANGES:
        out = changed(change, images)
        same = np.abs(out - test).reshape(len(IND), -1).mean(1) < 1
        assert not same.any(), (change, name)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: make_pseudo_ood(ImageSet("s", np.zeros((3, 7, 28), np.uint8)), seed=0), "28x7 pixels; at least 8x8"),
        (lambda: make_pseudo_ood(IND, count=9, seed=0), "9 pseudo-ood images and seed 0"),
        (lambda: make_pseudo_ood(IND, seed=-1), "seed -1"),
    ],
)
def test_bad_input_says_what_is_wrong(call, words):
    with pytest.raises(InputError, match=words):
        call()
