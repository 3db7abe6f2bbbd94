"""Sets that torchvision fetches: read from files in the published formats, and clear words when they are not there."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest

from fssd_core.data import DATA, load_data
from fssd_core.data.downloads import DOWNLOADS
from fssd_core.errors import DataError
from fssd_core.vision import torchvision


def idx(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
    path.write_bytes(head + array.astype(np.uint8).tobytes())


@pytest.mark.parametrize(
    ("name", "folder"), [("mnist:test", "MNIST"), ("kmnist:test", "KMNIST"), ("fmnist-full:test", "FashionMNIST")]
)
def test_idx_files_on_disk_are_read(tmp_path, name, folder):
    digits = load_data("mnist").sample(20, seed=0)
    raw = tmp_path / folder / "raw"
    for part in ("t10k", "train"):  # torchvision looks for all four
        idx(raw / f"{part}-images-idx3-ubyte", digits.images)
        idx(raw / f"{part}-labels-idx1-ubyte", digits.labels)
    data = load_data(name, root=tmp_path)
    assert data.name == name
    assert np.array_equal(data.images, digits.images)
    assert np.array_equal(data.labels, digits.labels)
    assert len(data.classes) == 10
    assert load_data(name, root=tmp_path) is data
    assert load_data(name, root=tmp_path, shape=(3, 32, 32)).shape == (3, 32, 32)
    whole = (raw / "t10k-images-idx3-ubyte").read_bytes()
    (raw / "t10k-images-idx3-ubyte").write_bytes(whole[:500])
    with pytest.raises(DataError, match="not on disk, or not whole"):
        load_data(name, root=tmp_path)


def test_cifar_files_on_disk_are_read(tmp_path, monkeypatch):
    pixels = np.random.default_rng(0).integers(256, size=(5, 3, 32, 32), dtype=np.uint8)
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    batch = pickle.dumps({"data": pixels.reshape(5, -1), "labels": [3, 1, 4, 1, 5]})
    meta = pickle.dumps({"label_names": [f"class {k}" for k in range(10)]})
    (folder / "test_batch").write_bytes(batch)
    (folder / "batches.meta").write_bytes(meta)
    cifar = torchvision().datasets.CIFAR10
    monkeypatch.setattr(cifar, "train_list", [])
    monkeypatch.setattr(cifar, "test_list", [["test_batch", hashlib.md5(batch).hexdigest()]])
    digest = hashlib.md5(meta).hexdigest()
    monkeypatch.setattr(cifar, "meta", {"filename": "batches.meta", "key": "label_names", "md5": digest})
    data = load_data("cifar10:test", root=tmp_path)
    assert data.shape == (3, 32, 32)
    assert np.array_equal(data.images, pixels.transpose(0, 2, 3, 1))
    assert data.labels.tolist() == [3, 1, 4, 1, 5]
    assert data.classes[3] == "class 3"
    (folder / "test_batch").write_bytes(batch[:-9])  # the published checksum no longer holds: never unpickled
    with pytest.raises(DataError, match="not on disk, or not whole"):
        load_data("cifar10:test", root=tmp_path)


def test_svhn_files_on_disk_are_read(tmp_path, monkeypatch):
    from scipy.io import savemat

    pixels = np.random.default_rng(0).integers(256, size=(4, 32, 32, 3), dtype=np.uint8)
    savemat(tmp_path / "test_32x32.mat", {"X": pixels.transpose(1, 2, 3, 0), "y": np.array([[10], [1], [2], [3]])})
    digest = hashlib.md5((tmp_path / "test_32x32.mat").read_bytes()).hexdigest()
    svhn = torchvision().datasets.SVHN
    monkeypatch.setitem(svhn.split_list, "test", ["nowhere", "test_32x32.mat", digest])
    data = load_data("svhn:test", root=tmp_path)
    assert np.array_equal(data.images, pixels)
    assert data.labels.tolist() == [0, 1, 2, 3]  # the file's 10 stands for digit 0


@pytest.mark.parametrize("name", list(DOWNLOADS))
def test_a_set_that_is_not_there_says_where_to_put_it(tmp_path, name):
    with pytest.raises(DataError) as caught:
        load_data(name, root=tmp_path)
    text = str(caught.value)
    assert f"{name!r} is not on disk" in text
    assert "download=True" in text
    assert f"put {DOWNLOADS[name].files} into {tmp_path}" in text
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["cifar10:test", "svhn:test", "kmnist:test"])
def test_a_download_without_network_is_one_clear_error(tmp_path, monkeypatch, name):
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")  # nothing listens there
    for variable in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(DataError, match=r"could not be downloaded \(.+\); check the network, or put"):
        load_data(name, root=tmp_path, download=True)


def test_every_entry_names_a_torchvision_data_set_and_a_licence():
    datasets = torchvision().datasets
    for name, entry in DOWNLOADS.items():
        assert hasattr(datasets, entry.factory), name
        assert entry.files
        assert DATA[name].licence


def test_the_root_comes_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("FSSD_DATA_ROOT", str(tmp_path / "here"))
    with pytest.raises(DataError, match="here by hand"):
        load_data("svhn:test")
