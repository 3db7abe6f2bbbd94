"""ImageSet and the named sets: exact bytes, stable rows, and messages that help."""

from __future__ import annotations

import hashlib
import threading

import numpy as np
import pytest
import torch

from fssd_core.data import DATA, ImageSet, list_data, load_data
from fssd_core.data.images import to_grey
from fssd_core.errors import DataError

# SHA-256 over type, shape, bytes and labels: these sets must be the same on every machine, or stored results are lost
FINGERPRINTS = {
    "fmnist:test": "625de12ca193",
    "fmnist:train": "0b38697f0f56",
    "mnist": "4ea2a5458237",
    "digits8x8": "08da7df38b14",
    "photo-patches": "01245d80c24f",
    "fmnist-inverted": "30d7fbf5c1fd",
    "fmnist-rotated": "79cffe34d725",
    "fmnist-shuffled": "8ce8871652dc",
    "uniform-noise": "8231eee36918",
}
OFFLINE = [entry for entry in list_data() if entry.kind in ("bundled", "derived")]


def tiny(count: int = 4, **kwargs: object) -> ImageSet:
    images = np.arange(count * 6, dtype=np.uint8).reshape(count, 2, 3)
    return ImageSet("tiny", images, **kwargs)  # type: ignore[arg-type]


@pytest.mark.parametrize("entry", OFFLINE, ids=lambda e: e.name)
def test_every_named_set_is_what_its_entry_says_and_always_the_same_bytes(entry):
    data = load_data(entry.name)
    assert (data.name, len(data), data.shape) == (entry.name, entry.count, entry.shape)
    assert data.fingerprint()[:12] == FINGERPRINTS[entry.name]
    assert not data.images.flags.writeable
    assert entry.title
    assert entry.source
    assert entry.licence
    assert load_data(entry.name) is data


def test_the_table_has_every_kind_and_unique_names():
    assert [e.name for e in OFFLINE] == list(FINGERPRINTS)
    assert {e.kind for e in list_data()} == {"bundled", "derived", "by-hand", "download"}
    assert {"cifar10:test", "cifar100:test", "svhn:test", "kmnist:test", "mnist:test"} <= set(DATA)


def test_bundled_labels_and_classes_are_the_published_ones():
    test, train, digits = (load_data(n) for n in ("fmnist:test", "fmnist:train", "mnist"))
    assert np.bincount(test.labels).tolist() == [1000] * 10
    assert np.bincount(digits.labels).tolist() == [500] * 10
    assert test.labels[:10].tolist() == [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]  # as in t10k-labels-idx1-ubyte
    assert test.classes[9] == "Ankle boot"
    assert digits.classes == tuple("0123456789")
    assert len(set(train.rows.tolist())) == 10_000
    assert 0 <= train.rows.min() < train.rows.max() < 60_000
    assert (np.diff(train.rows) > 0).all()


def test_derived_sets_are_the_stated_changes_of_fmnist():
    base = load_data("fmnist:test")
    assert np.array_equal(load_data("fmnist-inverted").images, 255 - base.images)
    turned = load_data("fmnist-rotated")
    assert np.array_equal(turned.images[7], np.rot90(base.images[7]))
    shuffled = load_data("fmnist-shuffled")
    assert np.array_equal(
        np.sort(shuffled.images.reshape(10_000, -1), axis=1), np.sort(base.images.reshape(10_000, -1), axis=1)
    )
    assert not np.array_equal(shuffled.images, base.images)
    assert all(load_data(n).labels is None for n in ("fmnist-inverted", "fmnist-rotated", "fmnist-shuffled"))


def test_photo_patches_are_cut_from_scikit_learns_photographs():
    from sklearn.datasets import load_sample_images

    photos = [to_grey(photo[None])[0] for photo in load_sample_images().images]
    windows = [np.lib.stride_tricks.sliding_window_view(p, (28, 28)) for p in photos]
    for patch in load_data("photo-patches").images[:20]:
        candidates = [w[(w[..., 0, 0] == patch[0, 0]) & (w[..., 9, 9] == patch[9, 9])] for w in windows]
        assert any((c == patch).all(axis=(1, 2)).any() for c in candidates)


def test_digits8x8_are_scikit_learns_digits():
    from sklearn.datasets import load_digits

    digits = load_digits()
    data = load_data("digits8x8")
    assert np.array_equal(data.labels, digits.target)
    small = torch.tensor(digits.images / 16 * 255).unsqueeze(1)
    scaled = torch.nn.functional.interpolate(small, size=(28, 28), mode="bilinear")[:, 0].numpy()
    assert np.abs(scaled - data.images).max() <= 1.5  # Pillow works in whole numbers


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 300, 300)])
def test_uniform_noise_comes_at_the_wanted_shape_and_is_uniform(shape):
    data = load_data("uniform-noise", shape=shape)
    assert data.shape == shape
    assert len(data) == min(2000, 2**26 // int(np.prod(shape)))
    counts = np.bincount(data.images[:40].ravel(), minlength=256)
    assert abs(data.images[:40].mean() - 127.5) < 1.5
    assert counts.min() > 0
    assert data.notes == ()  # drawn, not resized


def test_uniform_noise_is_not_the_noise_behind_the_singularity():
    from fssd_core.runtime import generator
    from fssd_core.singularity import uniform_noise

    data = load_data("uniform-noise").tensor(np.arange(100)).flatten()
    for seed in range(3):
        fss_noise = uniform_noise((1, 28, 28), 100, generator=generator(seed)).flatten()
        assert abs(np.corrcoef(data, fss_noise)[0, 1]) < 0.02


def test_tensor_is_pixels_over_255_channels_first():
    colour = ImageSet("c", np.arange(2 * 2 * 3 * 3, dtype=np.uint8).reshape(2, 2, 3, 3))
    grey = tiny().tensor()
    assert grey.shape == (4, 1, 2, 3)
    assert grey[1, 0, 1, 2] == pytest.approx(11 / 255)
    assert colour.shape == (3, 2, 3)
    pixels = colour.tensor(np.array([1]))
    assert pixels.shape == (1, 3, 2, 3)
    assert pixels[0, 2, 1, 0] == pytest.approx(colour.images[1, 1, 0, 2] / 255)
    assert float(load_data("fmnist:test").tensor(np.arange(3)).max()) == 1.0


def test_tensor_is_a_copy_so_that_sets_stay_as_they_are():
    data = tiny()
    data.tensor().zero_()
    assert data.images.sum() == np.arange(24).sum()
    with pytest.raises(ValueError, match="read-only"):
        data.images[0] = 1


def test_rows_survive_take_and_sample():
    data = tiny(6, labels=np.array([0, 1, 2, 3, 4, 5]), rows=np.array([10, 20, 30, 40, 50, 60]))
    taken = data.take(np.array([5, 0, 3])).take(np.array([2, 0]))
    assert taken.rows.tolist() == [40, 60]
    assert taken.labels.tolist() == [3, 5]
    assert np.array_equal(taken.images, data.images[[3, 5]])


def test_sample_is_seeded_ordered_and_without_repeats():
    data = load_data("mnist")
    a, b, c = data.sample(100, seed=0), data.sample(100, seed=0), data.sample(100, seed=1)
    assert np.array_equal(a.rows, b.rows)
    assert not np.array_equal(a.rows, c.rows)
    assert (np.diff(a.rows) > 0).all()
    assert np.array_equal(a.images, data.images[a.rows])
    assert data.sample(None, seed=0) is data
    assert data.sample(10**6, seed=0) is data
    with pytest.raises(DataError, match="0 samples were asked for; give 1 to 5000"):
        data.sample(0, seed=0)


def test_fingerprint_depends_on_content_and_not_on_the_name():
    images = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    prints = [
        ImageSet("a", images).fingerprint(),
        ImageSet("a", images.reshape(2, 3, 2)).fingerprint(),
        ImageSet("a", images, labels=np.array([0, 1])).fingerprint(),
        ImageSet("a", images, labels=np.array([1, 0])).fingerprint(),
        ImageSet("a", 255 - images).fingerprint(),
    ]
    assert len(set(prints)) == 5
    assert ImageSet("b", images.copy(), rows=np.array([4, 5])).fingerprint() == prints[0]
    digest = hashlib.sha256(b"|u1(2, 2, 3);" + images.tobytes() + b"none;").hexdigest()
    assert prints[0] == digest


def test_fitted_changes_channels_and_size_and_says_so():
    data = ImageSet("g", np.full((2, 10, 20), 7, np.uint8), labels=np.array([1, 2]), rows=np.array([3, 4]))
    out = data.fitted((3, 28, 28))
    assert out.images.shape == (2, 28, 28, 3)
    assert (out.images == 7).all()
    assert out.notes == (
        "cropped at the centre and resized from 20x10 to 28x28 pixels",
        "grey was repeated over 3 colour channels",
    )
    assert out.rows.tolist() == [3, 4]
    assert data.fitted((1, 10, 20)) is data


def test_fitted_crops_the_centre():
    image = np.zeros((1, 4, 8), np.uint8)
    image[:, :, 2:6] = 200  # the middle square
    assert (ImageSet("m", image).fitted((1, 4, 4)).images == 200).all()


def test_colour_becomes_luma():
    colours = np.array([[[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]]], np.uint8)
    out = ImageSet("c", colours).fitted((1, 1, 4))
    assert out.images.tolist() == [[[76, 150, 29, 255]]]  # 0.299, 0.587, 0.114 of 255
    assert out.notes == ("colour was turned to grey (luma)",)


def test_load_data_brings_a_named_set_to_a_shape():
    data = load_data("mnist", shape=(3, 32, 32))
    assert data.shape == (3, 32, 32)
    assert data.name == "mnist"
    assert load_data("mnist", shape=(3, 32, 32)) is data


@pytest.mark.parametrize("shape", [(2, 28, 28), (1, 0, 28), (4, 3, 3)])
def test_shapes_that_no_image_can_have(shape):
    with pytest.raises(DataError, match="1 or 3"):
        load_data("mnist", shape=shape)
    with pytest.raises(DataError, match="1 or 3"):
        load_data("uniform-noise", shape=shape)


@pytest.mark.parametrize(
    ("images", "kwargs", "message"),
    [
        (np.zeros((0, 2, 2), np.uint8), {}, "at least 1 image"),
        (np.zeros((2, 2), np.uint8), {}, r"allowed is uint8 \(N, H, W\)"),
        (np.zeros((2, 2, 2), np.float32), {}, "type float32"),
        (np.zeros((2, 2, 2, 2), np.uint8), {}, r"\(2, 2, 2, 2\)"),
        (np.zeros((2, 2, 2), np.uint8), {"labels": np.zeros(3)}, r"labels of shape \(3,\) do not fit 2 images"),
        (np.zeros((2, 2, 2), np.uint8), {"rows": np.zeros(1)}, r"rows of shape \(1,\)"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(images, kwargs, message):
    with pytest.raises(DataError, match=message):
        ImageSet("bad", images, **kwargs)


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("fmnist:tst", "did you mean 'fmnist:test'"),
        ("  ", "an empty data reference"),
        ("/no/such.npz", "no file or folder '/no/such.npz'; give an .npz with `images`"),
        ("~nobody/x", "no file or folder"),
        ("x" * 5000, "cannot be read|no data set"),
    ],
)
def test_unknown_references_say_what_is_allowed(ref, message):
    with pytest.raises(DataError, match=message):
        load_data(ref)


def test_a_damaged_bundled_file_is_named(monkeypatch, tmp_path):
    from fssd_core.assets import assets_root
    from fssd_core.data.bundled import bundled

    whole = (assets_root() / "data" / "mnist.npz").read_bytes()
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("FSSD_ASSETS", str(tmp_path))
    with pytest.raises(DataError, match=r"mnist\.npz.*restore the file"):
        bundled("mnist")
    (tmp_path / "data" / "mnist.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"assets build --only data"):
        bundled("mnist")


def test_threads_may_load_at_once():
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(load_data("mnist").fingerprint())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [load_data("mnist").fingerprint()] * 4
