"""The shipped assets are the stated ones, small enough, and the command rebuilds them."""

from __future__ import annotations

import gzip
import hashlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from fssd_core import assets
from fssd_core.assets import DEBIAN, assets_root, fashion, list_hashes, main
from fssd_core.data import load_data
from fssd_core.ensemble import combine
from fssd_core.errors import DataError
from fssd_core.metrics import metrics
from fssd_core.models import load_model
from fssd_core.runtime import generator
from fssd_core.singularity import estimate_fss, fssd, uniform_noise
from fssd_core.types import LayerScores, Weights

MIB = 1_000_000
needs_debian = pytest.mark.skipif(not DEBIAN.exists(), reason="package dataset-fashion-mnist is not installed")


def stated() -> dict[str, str]:
    text = (assets_root() / "PROVENANCE.md").read_text(encoding="utf-8")
    return {name: digest for digest, name in re.findall(r"^([0-9a-f]{64})  (\S+)$", text, re.MULTILINE)}


def test_every_asset_has_the_stated_hash():
    assert stated() == list_hashes()


def test_sizes():
    files = [p for p in assets_root().rglob("*") if p.is_file()]
    store = sum(p.stat().st_size for p in files if p.relative_to(assets_root()).parts[0] == "store")
    assert sum(p.stat().st_size for p in files) <= 25 * MIB
    assert store <= 9 * MIB
    assert max(p.stat().st_size for p in files if p.suffix == ".safetensors") <= 350_000


def test_no_asset_holds_a_pickle():
    files = list((assets_root() / "data").glob("*.npz"))
    assert len(files) == 3
    for path in files:
        with np.load(path, allow_pickle=False) as file:
            assert all(file[key].dtype.kind in "uiU" for key in file.files)


def test_provenance_names_source_and_licence_of_each_data_file():
    text = (assets_root() / "PROVENANCE.md").read_text(encoding="utf-8")
    for path in (assets_root() / "data").iterdir():
        (line,) = [line for line in text.splitlines() if line.startswith(f"| `{path.name}`")]
        assert len([cell for cell in line.split("|") if cell.strip()]) == 4
    assert "Zalando" in text
    assert "CC BY-SA 3.0" in text


@pytest.fixture(scope="module")
def scores() -> dict[str, LayerScores]:
    model = load_model("demo/lenet")
    extractor = model.extractor(device="cpu")
    fss = estimate_fss(extractor, uniform_noise(model.input_shape, 100, generator=generator(0)))
    return {
        name: fssd(extractor, load_data(name).sample(1000, seed=0).tensor(), fss)
        for name in ("fmnist:test", "photo-patches", "mnist")
    }


def test_the_demo_network_detects_photo_patches_without_any_fit(scores):
    uniform = Weights((1.0,) * 4, ("conv1", "conv2", "fc1", "logits"))
    ind, ood = (combine(scores[n], uniform) for n in ("fmnist:test", "photo-patches"))
    assert metrics(ind, ood).auroc >= 0.97


def test_the_demo_network_separates_mnist_by_a_logistic_fit(scores):
    from sklearn.linear_model import LogisticRegression

    ind, ood = scores["fmnist:test"].values, scores["mnist"].values
    order = np.random.default_rng(0).permutation(1000)
    fit, test = order[:500], order[500:]
    x = np.concatenate([ind[fit], ood[fit]])
    mean, std = x.mean(0), x.std(0)
    model = LogisticRegression(C=1e4, max_iter=1000).fit((x - mean) / std, np.repeat([1, 0], 500))
    a, b = (model.decision_function((s[test] - mean) / std) for s in (ind, ood))
    assert metrics(a, b).auroc >= 0.995
    assert model.coef_.min() < 0  # early layers are inverted on this pair, so alpha must be signed


@needs_debian
def test_the_data_command_gives_the_shipped_bytes(tmp_path, monkeypatch):
    pytest.importorskip("mlxtend")
    before = list_hashes()
    monkeypatch.setenv("FSSD_ASSETS", str(tmp_path))
    assert main(["build", "--only", "data"]) == 0
    for path in (tmp_path / "data").iterdir():
        with np.load(path) as new, np.load(Path(__file__).parents[2] / "assets" / "data" / path.name) as old:
            assert new.files == old.files
            for key in new.files:
                assert np.array_equal(new[key], old[key])
                assert new[key].dtype == old[key].dtype
    assert set(stated()) == set(list_hashes()) == {k for k in before if k.startswith("data/")}


@needs_debian
def test_the_models_command_trains_what_is_shipped(tmp_path, monkeypatch):
    """The first steps of the real training, on the real 60,000 images, end in the shipped weights."""
    shipped = assets_root() / "models" / "lenet"
    monkeypatch.setenv("FSSD_ASSETS", str(tmp_path))
    monkeypatch.setattr(assets, "DEMO_CHECKPOINTS", (0, 5))
    (tmp_path / "models" / "lenet").mkdir(parents=True)
    (tmp_path / "models" / "lenet" / "old").touch()
    assert main(["build", "--only", "models"]) == 0
    made = sorted((tmp_path / "models" / "lenet").iterdir())
    assert [p.name for p in made] == ["step-00000.safetensors", "step-00005.safetensors"]
    assert [p.name for p in (tmp_path / "models").iterdir()] == ["lenet"]
    for path in made:
        old, new = load_file(shipped / path.name), load_file(path)
        for key in old:
            torch.testing.assert_close(new[key], old[key], rtol=0, atol=1e-4)


@needs_debian
def test_a_training_that_fails_leaves_the_old_checkpoints(tmp_path, monkeypatch):
    monkeypatch.setenv("FSSD_ASSETS", str(tmp_path))
    monkeypatch.setattr(assets, "DEMO_CHECKPOINTS", (10**9,))
    (tmp_path / "models" / "lenet").mkdir(parents=True)
    (tmp_path / "models" / "lenet" / "old").touch()
    assert main(["build", "--only", "models"]) == 2
    assert [p.name for p in (tmp_path / "models").rglob("*")] == ["lenet", "old"]


@needs_debian
def test_other_pixels_and_damaged_sources_are_refused(tmp_path, capsys):
    whole = (DEBIAN / "t10k-images-idx3-ubyte.gz").read_bytes()
    labels = (DEBIAN / "t10k-labels-idx1-ubyte.gz").read_bytes()
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(labels)
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="the file cannot be read"):
        fashion("t10k", tmp_path)
    content = bytearray(gzip.decompress(whole))
    content[5000] ^= 1
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(bytes(content), 1))
    with pytest.raises(DataError, match="not the published ones"):
        fashion("t10k", tmp_path)


@needs_debian
def test_shipped_test_images_are_the_published_ones():
    images, labels = fashion("t10k")
    data = load_data("fmnist:test")
    assert np.array_equal(data.images, images)
    assert np.array_equal(data.labels, labels)
    train_images, train_labels = fashion("train")
    part = load_data("fmnist:train")
    assert np.array_equal(part.images, train_images[part.rows])
    assert np.array_equal(part.labels, train_labels[part.rows])


def test_without_any_source_the_command_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FSSD_ASSETS", str(tmp_path))
    monkeypatch.setenv("FSSD_DATA_ROOT", str(tmp_path / "root"))
    for variable in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    for variable in ("no_proxy", "NO_PROXY", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    assert main(["build", "--only", "data", "--source", str(tmp_path)]) == 2
    assert "could not be downloaded" in capsys.readouterr().err


def test_hashes_are_renewed_below_the_text(tmp_path, monkeypatch):
    (tmp_path / "PROVENANCE.md").write_text("# Mine\n\ntext\n\n## Hashes\n\nold\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.npz").write_bytes(b"x")
    (tmp_path / ".store.new").mkdir()
    (tmp_path / ".store.new" / "half.npz").touch()  # unfinished work is not listed
    monkeypatch.setenv("FSSD_ASSETS", str(tmp_path))
    command = [sys.executable, "-m", "fssd_core.assets", "hashes"]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2])
    digest = hashlib.sha256(b"x").hexdigest()
    expected = f"# Mine\n\ntext\n\n## Hashes\n\n```\n{digest}  data/a.npz\n```\n"
    assert (tmp_path / "PROVENANCE.md").read_text() == expected
