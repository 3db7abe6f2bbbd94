"""The `fssd` command, in process: numbers against scikit-learn, tables against the report, bad input in one line."""

from __future__ import annotations

import csv
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from fssd_core import __version__, ensemble
from fssd_core.bundle import bundle_digest, load_detector, make_bundle, read_bundle, save_bundle
from fssd_core.cli import main
from fssd_core.data import load_data
from fssd_core.models import list_models, load_model
from fssd_core.operating_point import Choice
from fssd_core.store import Store
from fssd_core.study import Study, layer_scores, open_data

LAYERS = ["conv1", "conv2", "fc1", "logits"]
SCORE = ["score", "--model", "demo/lenet", "--ind", "fmnist:test", "--ood", "mnist", "--limit", "120", "--fit", "30"]
EXPORT = ["export", *SCORE[1:]]


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch) -> Path:
    """A store of this file's own, shared by its tests."""
    folder = tmp_path_factory.getbasetemp() / "fssd-home"
    monkeypatch.setenv("FSSD_HOME", str(folder))
    return folder


@pytest.fixture
def run(capsys):
    """(exit code, stdout, stderr) of a command line."""

    def call(*argv: object) -> tuple[int, str, str]:
        code = main([str(a) for a in argv])
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def report(run):
    """The JSON report of a command line that must succeed."""

    def call(*argv: object) -> dict:
        code, out, err = run(*argv, "--json")
        assert code == 0, err
        return json.loads(out)

    return call


def changed(command: list[str], **flags: object) -> list[str]:
    """The command line with some flags given other values, in the form --flag=value."""
    words = list(command)
    for name, value in flags.items():
        flag = "--" + name.replace("_", "-")
        if flag in words:
            place = words.index(flag)
            del words[place : place + 2]
        words.append(f"{flag}={value}")
    return words


def read_table(path: Path) -> dict[str, np.ndarray]:
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    if path.suffix == ".parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        return {name: np.array(values) for name, values in parquet.read_table(path).to_pydict().items()}
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    table = {name: [row[i] for row in rows[1:]] for i, name in enumerate(rows[0])}
    kinds = {"row": np.int64, "score": np.float64}
    words = {"True": True, "False": False}
    return {
        name: np.array([words[v] for v in values])
        if name in ("is_ind", "accepted")
        else np.array(values, dtype=np.float64 if name.startswith("fssd_") else kinds.get(name))
        for name, values in table.items()
    }


@pytest.fixture
def files(tmp_path) -> dict[str, Path]:
    """Real files of people's own, whole and damaged."""
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (40, 28, 28), dtype=np.uint8)
    np.savez(tmp_path / "mine.npz", images=images)
    np.savez(tmp_path / "three.npz", images=images[:3])
    np.savez(tmp_path / "floats.npz", images=images / 255)
    np.savez(tmp_path / "no-images.npz", pixels=images)
    np.savez(tmp_path / "black.npz", images=np.zeros((40, 28, 28), np.uint8))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "mine.npz").read_bytes()[:500])
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("hello")
    for name, count in (("pictures", 12), ("colour", 6)):
        (tmp_path / name).mkdir()
        for i in range(count):
            pixels = images[i] if name == "pictures" else draw.integers(0, 256, (40, 50, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{i:02}.png")
    torch.save(load_model("demo/lenet").module.state_dict(), tmp_path / "weights.pt")
    torch.save({"odd": torch.zeros(3)}, tmp_path / "odd.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "weights.pt").read_bytes()[:5000])
    bad = load_model("demo/lenet").module.state_dict()
    bad["logits.bias"][2] = math.nan
    torch.save(bad, tmp_path / "nan.pt")
    return {path.name: path for path in tmp_path.iterdir()}


# --- fssd score


def test_the_report_says_what_was_done(report):
    got = report(*SCORE, "--epsilon", "0.01", "--alpha=-0.1,0.9,0,2e-3")
    assert list(got) == [
        "model", "arch", "ind", "ood", "epsilon", "gradient", "precision", "shared_perturbation", "noise_samples",
        "seed", "layers", "alpha", "alpha_rule", "labels_used", "n_ind", "n_ood", "auroc", "aupr_in", "aupr_out",
        "fpr80", "fpr95", "detection_error", "per_layer_auroc", "seconds", "leaks",
    ]  # fmt: skip
    assert (got["model"], got["ind"], got["ood"]) == ("demo/lenet", "fmnist:test", "mnist")
    assert (got["epsilon"], got["gradient"], got["noise_samples"], got["seed"]) == (0.01, "sign", 100, 0)
    assert got["layers"] == LAYERS == list(got["per_layer_auroc"])
    assert (got["alpha"], got["alpha_rule"], got["labels_used"]) == ([-0.1, 0.9, 0, 0.002], "manual", "none")
    assert (got["n_ind"], got["n_ood"]) == (90, 90)
    assert 0 < got["seconds"] < 600


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npz"])
@pytest.mark.parametrize("alpha", ["uniform", "standardised", "logistic", "-0.1,0.9,0,2e-3"])
def test_the_table_agrees_with_the_report_recomputed_by_scikit_learn(report, tmp_path, suffix, alpha):
    path = tmp_path / f"scores{suffix}"
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    got = report(*SCORE, f"--alpha={alpha}", "--out", path)
    table = read_table(path)
    assert list(table) == ["data", "row", "is_ind", "split", *(f"fssd_{layer}" for layer in LAYERS), "score"]
    assert {len(column) for column in table.values()} == {240}
    test = table["split"] == "test"
    assert (~test).sum() == 60
    is_ind = table["is_ind"].astype(bool)
    assert (is_ind == (table["data"] == "fmnist:test")).all()
    truth, scores = is_ind[test], table["score"][test]
    distances = np.stack([table[f"fssd_{layer}"] for layer in LAYERS], 1)
    np.testing.assert_allclose(distances @ got["alpha"], table["score"], rtol=1e-12, atol=1e-12)
    assert got["auroc"] == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
    assert got["aupr_in"] == pytest.approx(average_precision_score(truth, scores), abs=1e-12)
    assert got["aupr_out"] == pytest.approx(average_precision_score(~truth, -scores), abs=1e-12)
    fpr, tpr, _ = roc_curve(truth, scores, drop_intermediate=False)
    assert got["fpr80"] == pytest.approx(fpr[np.argmax(tpr >= 0.8)], abs=1e-12)
    assert got["fpr95"] == pytest.approx(fpr[np.argmax(tpr >= 0.95)], abs=1e-12)
    assert got["detection_error"] == pytest.approx(((1 - tpr + fpr) / 2).min(), abs=1e-12)
    for k, layer in enumerate(LAYERS):
        assert got["per_layer_auroc"][layer] == pytest.approx(roc_auc_score(truth, distances[test, k]), abs=1e-12)


def test_the_distances_are_the_studys_own(run, tmp_path):
    code, _, _ = run(*SCORE, "--epsilon=0.01", "--seed=3", "--out", tmp_path / "s.npz")
    assert code == 0
    table = read_table(tmp_path / "s.npz")
    study = Study(samples=120, ood=("mnist",), epsilon=0.01, seed=3)
    for ref in ("fmnist:test", "mnist"):
        mine = table["data"] == ref
        expected = layer_scores(study, ref, store=Store(tmp_path / "other"))[0.01]
        for layer in LAYERS:
            np.testing.assert_array_equal(table[f"fssd_{layer}"][mine], expected.column(layer).astype(np.float64))
        np.testing.assert_array_equal(table["row"][mine], open_data(study, ref).rows)


def test_labels_used_are_named(report):
    assert report(*SCORE)["labels_used"] == "none"
    assert report(*SCORE, "--alpha=standardised")["labels_used"].startswith("none (ind images only")
    assert report(*SCORE, "--alpha=logistic")["labels_used"] == "30 ind + 30 ood images of mnist"


def test_layers_gradient_noise_and_seed_reach_the_report(report):
    flags = {"layers": "fc1,conv1", "gradient": "standardised", "epsilon": -0.01, "noise_samples": 20, "seed": 5}
    got = report(*changed(SCORE, **flags))
    assert got["layers"] == ["fc1", "conv1"]
    assert {name: got[name] for name in ("gradient", "epsilon", "noise_samples", "seed")} == {
        name: flags[name] for name in ("gradient", "epsilon", "noise_samples", "seed")
    }


def test_a_second_run_reads_the_store(report, home):
    command = changed(SCORE, seed=11, limit=60)
    first = report(*command)
    entries = {p: p.stat().st_mtime_ns for p in home.rglob("*.npz")}
    assert entries
    second = report(*command)
    assert {p: p.stat().st_mtime_ns for p in home.rglob("*.npz")} == entries
    assert {k: v for k, v in first.items() if k != "seconds"} == {k: v for k, v in second.items() if k != "seconds"}


def test_people_read_a_table(run):
    code, out, err = run(*SCORE, "--alpha", "logistic")
    assert (code, err) == (0, "")
    assert "demo/lenet: fmnist:test (90 tested) against mnist (90)" in out
    assert "alpha logistic; labels used: 30 ind + 30 ood images of mnist; epsilon 0" in out
    assert out.count("inverted: ood lies farther from F* than ind") == 4
    for name in ("auroc", "aupr_in", "aupr_out", "fpr80", "fpr95", "detection_error", "seconds"):
        assert f"\n{name} " in out


def test_own_npz_folder_and_weights(run, report, files):
    got = report(*changed(SCORE, ood=files["mine.npz"], model=files["weights.pt"], arch="lenet"))
    registered = report(*changed(SCORE, ood=files["mine.npz"]))
    recognised = report(*changed(SCORE, ood=files["mine.npz"], model=files["weights.pt"]))
    assert {**recognised, "arch": "lenet", "seconds": 0} == {**got, "seconds": 0}
    assert (got["n_ood"], got["arch"]) == (20, "lenet")
    assert got["auroc"] == registered["auroc"]
    assert report(*changed(SCORE, ood=files["pictures"]))["n_ood"] == 6
    code, out, err = run(*changed(SCORE, ood=files["colour"]))
    assert code == 0
    assert "against" in out
    assert "fssd: note: 6 of 6 pictures were cropped at the centre and resized to 28x28 pixels" in err
    assert "6 colour pictures were turned to grey" in err


BAD_SCORE = [
    ({"model": "demo/lnet"}, "did you mean 'demo/lenet'"),
    ({"model": "demo/lenet@7"}, "has no step 7; its steps are 0, 5"),
    ({"model": "{cut.pt}"}, "damaged, cut off or not written by torch.save"),
    ({"model": "{nan.pt}", "arch": "lenet"}, "NaN or infinite"),
    ({"model": "{odd.pt}"}, "give --arch, one of lenet"),
    ({"model": "{odd.pt}", "arch": "lenet"}, "the weights do not fit 'lenet'"),
    ({"model": "{weights.pt}", "arch": "lnet"}, "no architecture 'lnet'; did you mean 'lenet'"),
    ({"model": "{text.txt}"}, "weight files end in .safetensors"),
    ({"model": "{empty}"}, "no checkpoint"),
    ({"model": ""}, "--model is empty"),
    ({"arch": "mlp"}, "says its architecture is 'lenet', 'mlp' was asked for"),
    ({"ind": "fmnist:tset"}, "did you mean 'fmnist:test'"),
    ({"ind": " "}, "--ind is empty"),
    ({"ood": ""}, "--ood is empty"),
    ({"ood": "fmnist:test"}, "is both ind and ood"),
    ({"ood": "{empty}/none.npz"}, "no file or folder"),
    ({"ood": "{empty}"}, "the folder is empty"),
    ({"ood": "{cut.npz}"}, "not a whole .npz file"),
    ({"ood": "{text.txt}"}, "end in '.txt' are not read as images"),
    ({"ood": "{floats.npz}"}, "uint8 (0..255) is needed"),
    ({"ood": "{no-images.npz}"}, "no array `images`"),
    ({"ood": "{three.npz}"}, "3 ood images are too few"),
    ({"ind": "{black.npz}", "alpha": "standardised"}, "same score in every layer"),
    ({"ood": "kmnist:test", "data_root": "{empty}"}, "--download"),
    ({"layers": "conv9"}, "has no layer 'conv9'; did you mean 'conv2'"),
    ({"layers": "fc1,fc1"}, "name a layer twice"),
    ({"layers": "fc1,"}, "has no layer ''"),
    ({"epsilon": "nan"}, "it is in pixels, -1 to 1"),
    ({"epsilon": "3"}, "it is in pixels, -1 to 1"),
    ({"gradient": "sgn"}, "did you mean 'sign'"),
    ({"noise_samples": "0"}, "at least 1"),
    ({"noise_samples": "99999999999"}, "memory ran out"),
    ({"alpha": "logistc"}, "did you mean 'logistic'"),
    ({"alpha": "1,2"}, "2 alpha values for 4 layers"),
    ({"alpha": "1,2,3,nan"}, "not finite"),
    ({"alpha": "1,2,3,"}, "4 comma-separated numbers"),
    ({"limit": "0"}, "give at least 1"),
    ({"limit": "2"}, "too few to fit on some and test on others"),
    ({"fit": "1"}, "fit is at least 2"),
    ({"seed": "-1"}, "it is 0 to 9223372036854775807"),
    ({"seed": "99999999999999999999"}, "it is 0 to"),
    ({"out": "scores.xlsx"}, "must be one of .csv, .parquet, .npz"),
    ({"out": "{empty}/no/scores.csv"}, "there is no folder"),
    ({"out": ""}, "must be one of"),
]


def filled(flags: dict[str, str], files: dict[str, Path]) -> dict[str, str]:
    for name, path in files.items():
        flags = {k: v.replace("{" + name + "}", str(path)) for k, v in flags.items()}
    return flags


def assert_refused(result: tuple[int, str, str], message: str) -> None:
    code, out, err = result
    assert code == 2
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 1, err
    assert lines[0].startswith("fssd: ")
    assert message in lines[0]


@pytest.mark.parametrize(("flags", "message"), BAD_SCORE, ids=lambda v: str(v)[:50])
def test_bad_input_is_one_clear_line(run, files, flags, message):
    assert_refused(run(*changed(SCORE, **filled(flags, files))), message)


def test_a_folder_with_a_tables_name_is_refused_before_anything_is_computed(run, tmp_path, monkeypatch):
    (tmp_path / "dir.csv").mkdir()
    monkeypatch.setattr("fssd_core.cli_common.layer_scores", lambda *a, **k: pytest.fail("computed in vain"))
    for out in (tmp_path / "dir.csv", tmp_path / "x.txt"):
        assert run(*SCORE, "--out", out)[0] == 2


@pytest.mark.parametrize("argv", [[], ["scor"], ["score"], ["score", "--ind", "x"], [*SCORE, "--epsilon", "big"]])
def test_what_is_no_command_gets_usage_and_code_2(argv, capsys):
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    assert "usage: fssd" in capsys.readouterr().err


def test_a_full_disk_leaves_the_old_table(run, tmp_path, monkeypatch):
    path = tmp_path / "s.csv"
    path.write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    run(*SCORE)  # so that the store has it all
    monkeypatch.setattr("os.replace", full)
    assert_refused(run(*SCORE, "--out", path), "No space left on device")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["s.csv"]


def test_parquet_without_pyarrow_says_what_to_do(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert_refused(run(*SCORE, "--out", tmp_path / "s.parquet"), "needs pyarrow: pip install pyarrow")
    assert not list(tmp_path.iterdir())


def test_a_defect_keeps_its_traceback(run, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("a bug")

    monkeypatch.setattr("fssd_core.cli_common.layer_scores", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        run(*SCORE)


def test_stopping_says_so(run, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("fssd_core.cli_common.layer_scores", stopped)
    assert run(*SCORE) == (130, "", "fssd: stopped; what was finished is kept\n")


# --- fssd list


def test_list_as_json(report):
    everything = report("list")
    assert list(everything) == ["models", "archs", "data", "detectors", "losses", "benchmarks"]
    for what, rows in everything.items():
        assert report("list", what) == {what: rows}
        assert len({row["name"] for row in rows}) == len(rows) > 0
    demo = everything["models"][0]
    assert demo["name"] == "demo/lenet"
    assert demo["steps"] == list(list_models()[0].steps)
    assert {row["name"] for row in everything["data"]} >= {"fmnist:test", "mnist", "photo-patches", "uniform-noise"}
    assert {row["name"] for row in everything["archs"]} >= {"lenet", "mlp", "resnet-cifar20"}
    assert {row["name"] for row in everything["detectors"]} >= {"fssd", "msp", "energy"}


def test_list_for_people_names_the_same(run, report):
    code, out, err = run("list")
    assert (code, err) == (0, "")
    for what, rows in report("list").items():
        assert f"{what}:\n" in out
        assert all(f"\n  {row['name']} " in out for row in rows)


def test_version(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"fssd-explorer {__version__}\n"


# --- fssd export and fssd apply


def test_export_chooses_where_alpha_was_not_fitted_and_measures_elsewhere(report, tmp_path):
    path = tmp_path / "d.fssd"
    got = report(*EXPORT, "--alpha=logistic", "--epsilon=0.01", "--tpr=0.9", "--out", path)
    report(*SCORE, "--alpha=logistic", "--epsilon=0.01", "--out", tmp_path / "s.npz")
    table = read_table(tmp_path / "s.npz")
    fit, ind = table["split"] == "fit", table["is_ind"].astype(bool)
    other, ood = table["score"][~fit & ind], table["score"][~fit & ~ind]
    assert (other[::2] >= got["threshold"]).sum() == 41  # at least 90 % of 45
    assert got["tpr"] == (other[1::2] >= got["threshold"]).mean()
    assert got["fpr"] == (ood >= got["threshold"]).mean()
    labels = [1] * 45 + [0] * 90
    assert got["auroc"] == pytest.approx(roc_auc_score(labels, np.concatenate([other[1::2], ood])), abs=1e-12)
    assert got["threshold"] not in table["score"]  # between two scores, so that rounding turns no verdict
    assert got["threshold_chosen"] == {
        "by": "tpr", "value": 0.9, "words": "at least 90 % of ind accepted", "on": "45 ind images of fmnist:test",
    }  # fmt: skip
    bundle = read_bundle(path)
    assert bundle_digest(bundle) == got["digest"]
    assert (list(bundle.layers), list(bundle.weights.alpha)) == (LAYERS, got["alpha"])
    assert (bundle.epsilon, bundle.threshold, bundle.gradient) == (0.01, got["threshold"], "sign")
    assert bundle.weights.labels == "30 ind + 30 ood images of mnist"
    (measured,) = bundle.measured
    assert (measured.ood, measured.tpr, measured.fpr, measured.metrics.n_ind) == ("mnist", got["tpr"], got["fpr"], 45)


def test_export_of_an_alpha_that_was_not_fitted_chooses_on_the_rows_set_aside(report, tmp_path):
    got = report(*EXPORT, "--alpha=uniform", "--tpr=0.9", "--out", tmp_path / "d.fssd")
    report(*SCORE, "--alpha=uniform", "--out", tmp_path / "s.npz")
    table = read_table(tmp_path / "s.npz")
    fit, ind = table["split"] == "fit", table["is_ind"].astype(bool)
    assert (table["score"] >= got["threshold"])[fit & ind].sum() == 27  # 90 % of 30, exactly
    assert got["tpr"] == (table["score"] >= got["threshold"])[~fit & ind].mean()
    assert got["n_ind"] == 90


def test_export_by_fpr_names_the_labels_and_by_hand_keeps_the_number(report, tmp_path):
    got = report(*EXPORT, "--fpr=0.1", "--out", tmp_path / "a.fssd")
    assert got["threshold_chosen"]["on"] == "30 ood images of mnist"
    report(*SCORE, "--out", tmp_path / "s.npz")
    table = read_table(tmp_path / "s.npz")
    fitted_ood = (table["split"] == "fit") & ~table["is_ind"].astype(bool)
    assert (table["score"][fitted_ood] >= got["threshold"]).sum() == 3
    got = report(*EXPORT, "--threshold=-12.5", "--alpha=-1,0,0,1", "--out", tmp_path / "b.fssd")
    assert got["threshold"] == -12.5
    assert got["threshold_chosen"] == {"by": "hand", "value": -12.5, "words": "set by hand to -12.5"}


def test_export_is_reproducible(run, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1767225600")
    for name in ("a.fssd", "b.fssd"):
        code, out, _ = run(*EXPORT, "--tpr=0.95", "--out", tmp_path / name)
        assert code == 0
        assert f"wrote {tmp_path / name} (digest " in out
        assert "at least 95 % of ind accepted on 30 ind images of fmnist:test" in out
    assert (tmp_path / "a.fssd").read_bytes() == (tmp_path / "b.fssd").read_bytes()
    assert read_bundle(tmp_path / "a.fssd").date == "2026-01-01T00:00:00+00:00"


@pytest.fixture(scope="module")
def bundle_file(tmp_path_factory) -> Path:
    """epsilon != 0 and negative alpha; the threshold is one of the scores."""
    study = Study(samples=120, ood=("mnist",), epsilon=0.02)
    weights = ensemble.manual(LAYERS, (-0.25, 1.5, -3, 0.125))
    folder = tmp_path_factory.mktemp("bundle")
    table = layer_scores(study, "mnist", store=Store(folder / "store"))[0.02]
    threshold = float(np.sort(ensemble.combine(table, weights))[60])
    bundle = make_bundle(study, weights, epsilon=0.02, threshold=threshold, chosen=Choice("hand"), date="2026-01-01")
    save_bundle(folder / "d.fssd", bundle)
    np.savez(folder / "expected.npz", values=table.values, rows=open_data(study, "mnist").rows)
    return folder / "d.fssd"


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npz"])
def test_apply_writes_the_studys_own_verdicts(report, tmp_path, bundle_file, suffix):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    out = tmp_path / f"verdicts{suffix}"
    got = report("apply", "--bundle", bundle_file, "--data", "mnist", "--limit", "120", "--out", out)
    table = read_table(out)
    bundle = read_bundle(bundle_file)
    assert list(table) == ["row", *(f"fssd_{layer}" for layer in LAYERS), "score", "accepted"]
    with np.load(bundle_file.parent / "expected.npz") as expected:
        values, rows = expected["values"], expected["rows"]
    np.testing.assert_array_equal(table["row"], rows)
    np.testing.assert_array_equal(np.stack([table[f"fssd_{k}"] for k in LAYERS], 1), values.astype(np.float64))
    scores = values.astype(np.float64) @ np.array([-0.25, 1.5, -3, 0.125])
    np.testing.assert_allclose(table["score"], scores, rtol=1e-14)
    np.testing.assert_array_equal(table["accepted"], table["score"] >= bundle.threshold)
    assert got == {
        "bundle": str(bundle_file),
        "digest": bundle_digest(bundle),
        "model": "demo/lenet",
        "data": "mnist",
        "images": 120,
        "accepted": 60,
        "accepted_share": 0.5,
        "threshold": bundle.threshold,
        "threshold_chosen": bundle.chosen,
        "depends_on_batch": False,
        "seconds": got["seconds"],
    }


def test_apply_says_the_share(run, bundle_file):
    code, out, err = run("apply", "--bundle", bundle_file, "--data", "mnist", "--limit", "120")
    assert (code, err) == (0, "")
    assert out.startswith("mnist: 60 of 120 images accepted as in-distribution (50.00%) at threshold ")
    assert len(out.splitlines()) == 1


def test_apply_to_own_files_with_a_given_model(run, files, bundle_file):
    out = files["empty"] / "v.npz"
    for data, count in (("mine.npz", 40), ("pictures", 12), ("colour", 6)):
        code, _, err = run(
            "apply", "--bundle", bundle_file, "--data", files[data], "--model", files["weights.pt"], "--out", out
        )
        assert code == 0, err
        assert ("turned to grey" in err) == (data == "colour")
        images = load_data(str(files[data]), shape=(1, 28, 28)).fitted((1, 28, 28))
        table = read_table(out)
        assert len(table["row"]) == count
        np.testing.assert_array_equal(table["accepted"], load_detector(bundle_file).verdicts(images.tensor()))


def test_batch_dependence_is_said(run, report, tmp_path):
    code, _, err = run(*EXPORT, "--gradient=standardised", "--epsilon=0.01", "--tpr=0.9", "--out", tmp_path / "d.fssd")
    assert code == 0
    assert "score depends on the 256 images scored with it" in err
    code, _, err = run("apply", "--bundle", tmp_path / "d.fssd", "--data", "mnist", "--limit=20")
    assert code == 0
    assert "score depends on the 256 images scored with it" in err
    assert report("apply", "--bundle", tmp_path / "d.fssd", "--data", "mnist", "--limit=20")["depends_on_batch"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"bundle": "{empty}/none.fssd"}, "no file"),
        ({"bundle": "{text.txt}"}, "is no bundle (no zip file)"),
        ({"bundle": "{mine.npz}"}, "a zip without bundle.json"),
        ({"bundle": "{weights.pt}"}, "is no bundle (a zip of another kind"),
        ({"data": "mnits"}, "did you mean 'mnist'"),
        ({"data": ""}, "--data is empty"),
        ({"data": "{cut.npz}"}, "not a whole .npz file"),
        ({"model": "demo/lenet@900"}, "has other weights"),
        ({"model": "{nan.pt}"}, "NaN or infinite"),
        ({"model": ""}, "--model is empty"),
        ({"limit": "0"}, "give at least 1"),
        ({"out": "v.txt"}, "must be one of .csv, .parquet, .npz"),
        ({"out": "{empty}/no/v.csv"}, "there is no folder"),
    ],
)
def test_apply_refuses_bad_input_in_one_line(run, files, bundle_file, flags, message):
    command = ["apply", "--bundle", str(bundle_file), "--data", "mnist", "--limit", "10"]
    assert_refused(run(*changed(command, **filled(flags, files))), message)


def test_apply_refuses_damaged_bundles_in_one_line(run, tmp_path, bundle_file):
    content = bundle_file.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    for damaged in (content[:-10], content[: len(content) // 2], bytes(flipped), b""):
        (tmp_path / "x.fssd").write_bytes(damaged)
        assert_refused(run("apply", "--bundle", tmp_path / "x.fssd", "--data", "mnist"), str(tmp_path / "x.fssd"))


def test_a_bundle_of_another_step_does_not_follow_the_last(run, report, tmp_path):
    report(*changed(EXPORT, model="demo/lenet@900", tpr=0.9, out=tmp_path / "d.fssd"))
    command = ("apply", "--bundle", tmp_path / "d.fssd", "--data", "mnist", "--limit=10")
    assert report(*command)["images"] == 10
    assert_refused(run(*command, "--model", "demo/lenet"), "made for 'demo/lenet@900' at step 900")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"tpr": "0.95", "out": "{empty}/d.zip"}, "must be one of .fssd"),
        ({"tpr": "1.5"}, "true positive rate of 1.5"),
        ({"fpr": "nan"}, "false positive rate of nan"),
        ({"tpr": "0"}, "would accept nothing"),
        ({"threshold": "inf"}, "would accept nothing"),
        ({"threshold": "nan"}, "the threshold is NaN"),
        ({"tpr": "0.9", "alpha": "0,0,0,0"}, "alpha is 0 in every layer"),
        ({"tpr": "0.9", "model": "{cut.pt}"}, "damaged, cut off"),
    ],
)
def test_export_refuses_bad_input_in_one_line(run, files, flags, message):
    command = changed(EXPORT, **{"out": str(files["empty"] / "d.fssd"), **filled(flags, files)})
    assert_refused(run(*command), message)
    assert not list(files["empty"].iterdir())


@pytest.mark.parametrize("rules", [[], ["--tpr=0.9", "--fpr=0.1"]])
def test_export_needs_exactly_one_rule(rules, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        main([*EXPORT, *rules, "--out", str(tmp_path / "d.fssd")])
    assert caught.value.code == 2
    assert "--tpr" in capsys.readouterr().err


def test_the_installed_command_gives_the_same_verdicts_in_a_process_of_its_own(report, tmp_path, bundle_file):
    """The `fssd` script itself; a machine without it installed runs the module."""
    script = Path(sys.executable).with_name("fssd")
    command = [str(script)] if script.exists() else [sys.executable, "-m", "fssd_core.cli"]
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    out = tmp_path / "process.npz"
    argv = ["apply", "--bundle", str(bundle_file), "--data", "mnist", "--limit", "300", "--json"]
    done = subprocess.run(
        [*command, *argv, "--out", str(out)], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
    )
    assert (done.returncode, done.stderr) == (0, f"fssd: wrote {out}\n")
    here = report(*argv[:-1], "--out", tmp_path / "here.npz")
    there = json.loads(done.stdout)
    assert {**there, "seconds": 0} == {**here, "seconds": 0}
    mine, theirs = read_table(tmp_path / "here.npz"), read_table(out)
    for name in mine:
        np.testing.assert_array_equal(theirs[name], mine[name])
