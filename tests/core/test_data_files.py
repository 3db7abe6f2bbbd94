"""People's own data: real files, really damaged, and messages that say what to do."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fssd_core.data import load_data
from fssd_core.data import npz as npz_module
from fssd_core.data import pictures as pictures_module
from fssd_core.errors import DataError

RNG = np.random.default_rng(5)
GREY = RNG.integers(256, size=(6, 9, 7), dtype=np.uint8)


def write(path: Path, **arrays: object) -> str:
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    return str(path)


def picture(path: Path, array: np.ndarray, mode: str | None = None, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path, **options)  # type: ignore[arg-type]


# --- .npz


@pytest.mark.parametrize("tail", [(), (1,), (3,)])
def test_npz_grey_and_colour(tmp_path, tail):
    images = RNG.integers(256, size=(6, 9, 7, *tail), dtype=np.uint8)
    ref = write(
        tmp_path / "a.npz", images=images, labels=np.arange(6, dtype=np.uint8) % 2, classes=np.array(["a", "b"])
    )
    data = load_data(ref)
    assert data.name == ref
    assert data.shape == (3 if tail == (3,) else 1, 9, 7)
    assert np.array_equal(data.images.reshape(images.shape), images)
    assert data.labels.tolist() == [0, 1] * 3
    assert data.classes == ("a", "b")
    assert data.notes == ()
    assert load_data(ref) is data


def test_npz_needs_neither_labels_nor_classes_and_other_arrays_do_not_matter(tmp_path):
    data = load_data(write(tmp_path / "a.npz", images=GREY, extra=np.zeros(3)))
    assert data.labels is None
    assert data.classes == ()


def test_npz_is_read_again_when_it_changed(tmp_path):
    ref = write(tmp_path / "a.npz", images=GREY)
    before = load_data(ref).fingerprint()
    write(tmp_path / "a.npz", images=255 - GREY)
    os.utime(ref, ns=(1, 10**18))
    assert load_data(ref).fingerprint() != before


def test_npz_is_brought_to_a_shape(tmp_path):
    data = load_data(write(tmp_path / "a.npz", images=GREY), shape=(3, 14, 14))
    assert data.shape == (3, 14, 14)
    assert data.notes[0] == "cropped at the centre and resized from 7x9 to 14x14 pixels"


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": GREY, "y": GREY}, "no array `images`; the file has x, y"),
        ({"images": GREY / np.float32(255)}, r"type float32.*\(images \* 255\)\.round"),
        ({"images": GREY > 7}, r"type bool.*astype\('uint8'\) \* 255"),
        ({"images": GREY.astype(np.uint16)}, r"type uint16.*// 257"),
        ({"images": GREY[0]}, r"shape \(9, 7\); allowed is \(N, H, W\)"),
        ({"images": GREY[None, ..., None, None]}, "allowed is"),
        ({"images": np.zeros((2, 3, 8, 8), np.uint8)}, r"channels first; give images\.transpose\(0, 2, 3, 1\)"),
        ({"images": np.zeros((2, 8, 8, 4), np.uint8)}, "C 1 or 3"),
        ({"images": GREY[:0]}, "0 images; at least 1"),
        ({"images": GREY, "labels": np.zeros(5, int)}, r"`labels` has shape \(5,\).*6 images need \(6,\)"),
        ({"images": GREY, "labels": np.zeros(6)}, "type float64.*whole numbers"),
        ({"images": GREY, "labels": np.full(6, 2), "classes": np.array(["a", "b"])}, "labels go up to 2.*only 2 names"),
        ({"images": GREY, "classes": np.arange(3)}, "`classes` must be a list of names"),
    ],
)
def test_npz_that_does_not_fit(tmp_path, arrays, message):
    ref = write(tmp_path / "bad.npz", **arrays)
    with pytest.raises(DataError, match=message) as caught:
        load_data(ref)
    assert ref in str(caught.value)


@pytest.mark.parametrize("key", ["images", "labels"])
def test_pickles_in_an_npz_are_never_opened(tmp_path, key):
    class Mark:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    evil = np.empty(6, dtype=object)
    evil[:] = [Mark() for _ in range(6)]
    ref = write(tmp_path / "evil.npz", **{"images": GREY, key: evil})
    with pytest.raises(DataError, match="Python objects"):
        load_data(ref)
    assert not (tmp_path / "ran").exists()
    with np.load(ref, allow_pickle=True) as file:  # the trap was a real one
        _ = file[key]
    assert (tmp_path / "ran").exists()


def test_a_truncated_npz(tmp_path):
    whole = Path(write(tmp_path / "a.npz", images=GREY)).read_bytes()
    for size in (0, 10, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.npz").write_bytes(whole[:size])
        with pytest.raises(DataError, match=r"not a whole \.npz file"):
            load_data(str(tmp_path / "cut.npz"))


def test_flipped_bytes_in_an_npz_are_noticed_everywhere(tmp_path):
    np.savez(tmp_path / "a.npz", images=GREY)  # stored, not packed: only the checksum can tell
    whole = bytearray((tmp_path / "a.npz").read_bytes())
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        data_end = archive.start_dir
    for place in (data_end - 1, data_end - 200, 60):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        (tmp_path / f"{place}.npz").write_bytes(damaged)
        with pytest.raises(DataError, match=r"damaged|no array"):
            load_data(str(tmp_path / f"{place}.npz"))


@pytest.mark.parametrize("content", [b"", b"hello", pickle.dumps([1, 2]), b"\x93NUMPY\x01\x00"])
def test_other_files_called_npz(tmp_path, content):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"not a whole \.npz.*savez_compressed"):
        load_data(str(tmp_path / "x.npz"))


def test_an_npz_that_claims_more_pixels_than_memory_is_refused_before_reading(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (10**6, 1000, 1000)})
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w") as archive:
        archive.writestr("images.npy", header.getvalue())
    with pytest.raises(DataError, match=r"931\.3 GiB; at most 2 GiB"):
        load_data(str(tmp_path / "bomb.npz"))
    assert npz_module.MAX_BYTES == 2 * 2**30


# --- folders


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [
        ("png", None),
        ("bmp", None),
        ("tiff", None),
        ("gif", None),
        ("webp", None),
        ("jpg", None),
        ("png", "P"),
        ("png", "1"),
    ],
)
def test_every_kind_of_picture_is_read(tmp_path, suffix, mode):
    flat = np.full((8, 8), 255, np.uint8)
    options = {"lossless": True} if suffix == "webp" else {}
    picture(tmp_path / f"a.{suffix}", flat, mode, **options)
    data = load_data(str(tmp_path), shape=(1, 8, 8))
    assert data.shape == (1, 8, 8)
    assert np.abs(data.images.astype(int) - 255).max() <= 1


def test_a_folder_with_a_subfolder_a_class(tmp_path):
    for row, name in enumerate(["cat/1.png", "cat/2.png", "dog/deep/1.png", "dog/2.png"]):
        picture(tmp_path / name, np.full((4, 4), 10 * row, np.uint8))
    picture(tmp_path / ".hidden" / "x.png", GREY[0])
    data = load_data(str(tmp_path))
    assert data.classes == ("cat", "dog")
    assert data.labels.tolist() == [0, 0, 1, 1]
    assert data.images[:, 0, 0].tolist() == [0, 10, 30, 20]  # dog/2.png before dog/deep/1.png
    assert data.rows.tolist() == [0, 1, 2, 3]
    assert data.notes == ()


def test_pictures_in_and_below_the_folder_have_no_classes(tmp_path):
    picture(tmp_path / "a.png", GREY[0])
    picture(tmp_path / "sub" / "b.png", GREY[1])
    data = load_data(str(tmp_path))
    assert data.labels is None
    assert "no class labels" in data.notes[0]


def test_mixed_sizes_go_to_the_commonest_by_centre_crop(tmp_path):
    wide = np.zeros((4, 8), np.uint8)
    wide[:, 2:6] = 90
    picture(tmp_path / "a.png", GREY[0, :4, :4])
    picture(tmp_path / "b.png", GREY[1, :4, :4])
    picture(tmp_path / "c.png", wide)
    data = load_data(str(tmp_path))
    assert data.shape == (1, 4, 4)
    assert np.array_equal(data.images[0], GREY[0, :4, :4])
    assert (data.images[2] == 90).all()
    assert data.notes == ("1 of 3 pictures were cropped at the centre and resized to 4x4 pixels",)


def test_one_size_stays_as_it_is_and_a_shape_is_obeyed(tmp_path):
    picture(tmp_path / "a.png", GREY[0])
    assert load_data(str(tmp_path)).shape == (1, 9, 7)
    out = load_data(str(tmp_path), shape=(3, 14, 14))
    assert out.shape == (3, 14, 14)
    assert len(out.notes) == 2


def test_colour_wins_in_a_mixed_folder_and_the_shape_decides(tmp_path):
    colour = np.zeros((4, 4, 3), np.uint8)
    colour[..., 0] = 255
    picture(tmp_path / "a.png", colour)
    picture(tmp_path / "b.png", np.full((4, 4), 50, np.uint8))
    data = load_data(str(tmp_path))
    assert data.images[:, 0, 0].tolist() == [[255, 0, 0], [50, 50, 50]]
    assert data.notes == ("1 grey pictures were repeated over 3 colour channels",)
    grey = load_data(str(tmp_path), shape=(1, 4, 4))
    assert grey.images[:, 0, 0].tolist() == [76, 50]
    assert grey.notes == ("1 colour pictures were turned to grey (luma)",)


def test_transparency_lies_over_black(tmp_path):
    rgba = np.full((4, 4, 4), 200, np.uint8)
    rgba[:2, :, 3] = 0
    rgba[2:, :, 3] = 255
    picture(tmp_path / "a.png", rgba)
    assert load_data(str(tmp_path)).images[0, :, 0, 0].tolist() == [0, 0, 200, 200]


def test_sixteen_bit_pictures_are_scaled(tmp_path):
    deep = (np.arange(16, dtype=np.uint16) * 4369).reshape(4, 4)  # 0 .. 65535
    picture(tmp_path / "a.png", deep)
    picture(tmp_path / "b.tiff", deep)
    data = load_data(str(tmp_path))
    assert data.images.reshape(2, -1).tolist() == [[17 * k for k in range(16)]] * 2


def test_float_tiffs_must_lie_in_0_to_1(tmp_path):
    picture(tmp_path / "a.tiff", np.full((4, 4), 0.2, np.float32))
    picture(tmp_path / "b.tiff", np.full((4, 4), 7.0, np.float32))
    data = load_data(str(tmp_path))
    assert (data.images == 51).all()
    assert data.notes == ("1 of 2 files could not be read: b.tiff (pixel values of mode F lie outside 0..1)",)


def test_exif_orientation_is_followed(tmp_path):
    array = np.zeros((6, 10), np.uint8)
    array[:, :5] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turned a quarter clockwise for viewing
    picture(tmp_path / "a.png", array, exif=exif)
    data = load_data(str(tmp_path))
    assert data.shape == (1, 10, 6)
    assert data.images[0, :5].mean() > 250
    assert data.images[0, 5:].mean() < 5


def test_broken_files_are_counted_and_named_and_the_others_go_on(tmp_path):
    for name in ("a.png", "b.png", "c.png", "d.jpg"):
        picture(tmp_path / name, RNG.integers(256, size=(40, 40), dtype=np.uint8))
    flipped = bytearray((tmp_path / "b.png").read_bytes())
    flipped[len(flipped) // 2] ^= 0xFF
    (tmp_path / "b.png").write_bytes(flipped)
    for name in ("c.png", "d.jpg"):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    (tmp_path / "notes.txt").write_text("no picture")
    data = load_data(str(tmp_path))
    assert len(data) == 1
    assert data.rows.tolist() == [0]
    assert data.notes[-1].startswith("4 of 5 files could not be read: b.png (")
    assert data.notes[-1].endswith("and 1 more")
    assert "c.png" in data.notes[-1]


def test_a_folder_without_files_or_without_pictures(tmp_path):
    with pytest.raises(DataError, match="the folder is empty; put PNG"):
        load_data(str(tmp_path))
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "b.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"2 of 2 files could not be read: a\.txt \(not a picture"):
        load_data(str(tmp_path))


def test_decompression_bombs_are_not_opened(tmp_path, monkeypatch):
    picture(tmp_path / "a.png", GREY[0])
    picture(tmp_path / "big.png", np.zeros((300, 300), np.uint8))
    monkeypatch.setattr(pictures_module, "MAX_PIXELS", 80_000)
    data = load_data(str(tmp_path))
    assert len(data) == 1
    assert "big.png (300x300 is more than" in data.notes[0]


def test_large_pictures_without_a_wanted_shape_are_made_smaller(tmp_path):
    picture(tmp_path / "a.png", np.zeros((600, 1200), np.uint8))
    data = load_data(str(tmp_path))
    assert data.shape == (1, 256, 512)
    assert data.notes == ("1 of 1 pictures were resized to 512x256 pixels",)


def test_more_pictures_than_memory_are_refused_before_reading(tmp_path, monkeypatch):
    picture(tmp_path / "a.png", GREY[0])
    monkeypatch.setattr(pictures_module, "MAX_BYTES", 62)
    with pytest.raises(DataError, match="1 pictures of 7x9 pixels are more than"):
        load_data(str(tmp_path))


def test_a_folder_is_read_again_when_a_file_was_added(tmp_path):
    picture(tmp_path / "a.png", GREY[0])
    first = load_data(str(tmp_path))
    assert load_data(str(tmp_path)) is first
    picture(tmp_path / "b.png", GREY[1])
    assert len(load_data(str(tmp_path))) == 2
