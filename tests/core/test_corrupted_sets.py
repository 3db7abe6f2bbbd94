"""Corrupted sets in the layouts in which they are distributed, small: read right, and refused with a reason."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fssd_core.data.corrupted_sets import open_corrupted
from fssd_core.errors import DataError

WNIDS = ("n01440764", "n01443537", "n01484850")


def cifar(root: Path, count: int = 4, types: tuple[str, ...] = ("fog", "gaussian_noise")) -> Path:
    """type.npy (5 x n, 32, 32, 3) in order of severity, labels.npy; pixel [0, 0, 0] says type, severity and image."""
    root.mkdir(parents=True)
    for number, kind in enumerate(types):
        images = np.zeros((5 * count, 32, 32, 3), np.uint8)
        images[:, 0, 0, 0] = np.arange(5 * count)
        images[:, 0, 0, 1] = number
        np.save(root / f"{kind}.npy", images)
    np.save(root / "labels.npy", np.tile(np.arange(count) % 10, 5).astype(np.uint8))
    return root


def mnist(root: Path, count: int = 5) -> Path:
    """type/{train,test}_{images,labels}.npy, images (n, 28, 28, 1), with `identity`."""
    for number, kind in enumerate(("identity", "fog", "zigzag")):
        folder = root / kind
        folder.mkdir(parents=True)
        for part, size in (("train", 2 * count), ("test", count)):
            images = np.full((size, 28, 28, 1), number, np.uint8)
            images[:, 3, 4, 0] = np.arange(size)
            np.save(folder / f"{part}_images.npy", images)
            np.save(folder / f"{part}_labels.npy", np.arange(size) % 10)
    return root


def imagenet(root: Path, group: str = "", size: int = 64, types: tuple[str, ...] = ("fog", "shot_noise")) -> Path:
    """[group/]type/severity/wnid/*.JPEG, the same pictures in every cell; their grey says the severity."""
    for kind in types:
        for severity in range(1, 6):
            for wnid in WNIDS:
                for i in range(2):
                    path = root / group / kind / str(severity) / wnid / f"ILSVRC2012_val_{i:08d}.JPEG"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    Image.new("RGB", (size, size), (40 * severity,) * 3).save(path)
    return root


def test_cifar_c_is_read_in_order_of_severity(tmp_path):
    held = open_corrupted(cifar(tmp_path / "CIFAR-10-C"))
    assert (held.types, held.severities, held.count) == (("gaussian_noise", "fog"), (1, 2, 3, 4, 5), 4)
    cell = held.load("gaussian_noise", 3, shape=(3, 32, 32), rows=np.array([1, 3]))
    assert cell.images[:, 0, 0, 0].tolist() == [9, 11]
    assert cell.images[:, 0, 0, 1].tolist() == [1, 1]
    assert cell.labels.tolist() == [1, 3]
    assert cell.rows.tolist() == [1, 3]
    assert held.load("fog", 1, shape=(1, 28, 28)).shape == (1, 28, 28)
    assert "10,000" in held.notes[0]


def test_mnist_c_has_one_level_and_identity_is_no_corruption(tmp_path):
    held = open_corrupted(mnist(tmp_path / "mnist_c"))
    assert (held.types, held.severities, held.count) == (("fog", "zigzag"), (1,), 5)
    cell = held.load("zigzag", 1, shape=(1, 28, 28))
    assert cell.images.shape == (5, 28, 28)
    assert cell.images[:, 3, 4].tolist() == [0, 1, 2, 3, 4]
    assert cell.images[2, 0, 0] == 2
    assert any("one level" in note for note in held.notes)


@pytest.mark.parametrize(("group", "size"), [("", 64), ("weather", 224)])
def test_imagenet_c_folders_with_or_without_their_groups(tmp_path, group, size):
    held = open_corrupted(imagenet(tmp_path / "set", group, size))
    assert held.types == ("shot_noise", "fog")
    assert (held.severities, held.count, held.classes) == ((1, 2, 3, 4, 5), 6, WNIDS)
    cell = held.load("fog", 4, shape=(3, size, size), rows=np.array([0, 5]))
    assert cell.labels.tolist() == [0, 2]
    assert abs(int(cell.images[1, 5, 5, 0]) - 160) <= 2
    assert held.load("fog", 4, shape=(1, 28, 28), rows=np.array([2])).images.shape == (1, 28, 28)
    assert any("Tiny-ImageNet-C 200" in note for note in held.notes)


def test_only_the_types_asked_for_are_looked_at(tmp_path):
    root = imagenet(tmp_path / "set")
    shutil.rmtree(root / "fog" / "3")
    assert open_corrupted(root, types=["shot_noise"]).types == ("shot_noise",)
    with pytest.raises(DataError, match="it has fog, shot_noise"):
        open_corrupted(root, types=["snow"])


def test_a_changed_file_changes_the_stamp_and_another_row_does_too(tmp_path):
    root = imagenet(tmp_path / "set")
    held, rows = open_corrupted(root), np.array([0, 1])
    before = held.stamp("fog", 2, rows)
    assert held.stamp("fog", 2, np.array([0, 2])) != before
    assert held.stamp("fog", 3, rows) != before
    Image.new("RGB", (64, 64)).save(root / "fog" / "2" / WNIDS[0] / "ILSVRC2012_val_00000000.JPEG", quality=30)
    assert held.stamp("fog", 2, rows) != before


def short(path: Path, count: int) -> None:
    np.save(path, np.load(path)[:count])


def cut(path: Path) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])


def relabel(path: Path) -> None:
    labels = np.load(path)
    labels[-1] = 9
    np.save(path, labels)


BAD_CIFAR = {
    "count": (lambda r: short(r / "fog.npy", 19), "fog.npy has 19 images, labels.npy has 20"),
    "labels": (lambda r: short(r / "labels.npy", 19), "19 labels; 5 severities need a multiple of 5 .50,000"),
    "order": (lambda r: relabel(r / "labels.npy"), "labels of the 5 severities differ"),
    "float": (lambda r: np.save(r / "fog.npy", np.zeros((20, 32, 32, 3), np.float32)), "uint8"),
    "shape": (lambda r: np.save(r / "fog.npy", np.zeros((20, 3, 32, 32), np.uint8)), "shape"),
    "size": (lambda r: np.save(r / "fog.npy", np.zeros((20, 28, 28, 3), np.uint8)), "all types must have the same"),
    "cut": (lambda r: cut(r / "fog.npy"), "damaged or cut off"),
    "pickle": (lambda r: np.save(r / "fog.npy", np.array([{}] * 20)), "damaged or cut off"),
    "no types": (lambda r: [p.unlink() for p in r.glob("[fg]*.npy")], "no type.npy"),
}


@pytest.mark.parametrize("case", BAD_CIFAR)
def test_a_damaged_cifar_c_is_one_clear_error(tmp_path, case):
    spoil, words = BAD_CIFAR[case]
    root = cifar(tmp_path / "CIFAR-100-C")
    spoil(root)
    with pytest.raises(DataError, match=words):
        open_corrupted(root)


BAD_MNIST = {
    "no labels": (lambda r: (r / "fog" / "test_labels.npy").unlink(), "test_labels.npy is not"),
    "other labels": (lambda r: relabel(r / "fog" / "test_labels.npy"), "other labels"),
    "count": (lambda r: short(r / "zigzag" / "test_images.npy", 4), "4 images, test_labels.npy has 5"),
}


@pytest.mark.parametrize("case", BAD_MNIST)
def test_a_damaged_mnist_c_is_one_clear_error(tmp_path, case):
    spoil, words = BAD_MNIST[case]
    root = mnist(tmp_path / "mnist_c")
    spoil(root)
    with pytest.raises(DataError, match=words):
        open_corrupted(root)


BAD_FOLDERS = {
    "severity": (lambda r: shutil.rmtree(r / "fog" / "3"), "severity 3 is missing"),
    "picture": (
        lambda r: (r / "fog" / "3" / WNIDS[1] / "ILSVRC2012_val_00000001.JPEG").unlink(),
        "5 pictures, 6 in the cells before it; n01443537/ILSVRC2012_val_00000001.JPEG is missing",
    ),
    "one more": (
        lambda r: shutil.copytree(r / "fog" / "3" / WNIDS[0], r / "fog" / "3" / "n9"),
        "n9/ILSVRC2012_val_00000000.JPEG is not in the others",
    ),
    "empty": (lambda r: [p.unlink() for p in r.rglob("*.JPEG")], "0 pictures"),
    "another layout": (lambda r: [shutil.rmtree(p) for p in r.iterdir()], "known layouts"),
}


@pytest.mark.parametrize("case", BAD_FOLDERS)
def test_a_damaged_imagenet_c_is_one_clear_error(tmp_path, case):
    spoil, words = BAD_FOLDERS[case]
    root = imagenet(tmp_path / "Tiny-ImageNet-C")
    spoil(root)
    with pytest.raises(DataError, match=words):
        open_corrupted(root)


def test_a_damaged_picture_and_wrong_names_are_told(tmp_path):
    root = imagenet(tmp_path / "set")
    cut(root / "fog" / "1" / WNIDS[0] / "ILSVRC2012_val_00000000.JPEG")
    held = open_corrupted(root)
    with pytest.raises(DataError, match=r"ILSVRC2012_val_00000000\.JPEG is damaged"):
        held.load("fog", 1, shape=(3, 64, 64))
    with pytest.raises(DataError, match="did you mean 'fog'"):
        held.load("fogg", 1, shape=(3, 64, 64))
    with pytest.raises(DataError, match="no severity 6"):
        held.load("fog", 6, shape=(3, 64, 64))
    with pytest.raises(DataError, match="is no folder"):
        open_corrupted(tmp_path / "nowhere")
