"""`fssd train` and `fssd universality`: real trainings from the command line, and one clear line on bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fssd_core.cli import main
from fssd_core.data import genome
from fssd_core.models import load_model
from fssd_core.runs import create_run, read_run, write_state
from tests.core.test_data_layouts import write_genomes

TINY = ["--arch", "mlp", "--images", "160", "--batch-size", "16", "--epochs", "1", "--ood", "mnist"]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("FSSD_HOME", str(tmp_path))
    return tmp_path


def test_train_makes_a_run_that_every_command_opens(capsys):
    assert main(["train", *TINY, "--activation", "tanh", "--loss", "triplet", "--out", "mine", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["state"], report["step"], report["total"], report["model"]) == ("done", 10, 10, "run/mine")
    assert report["checkpoints"] == 3
    assert set(report["layers"]) == {"fc1", "fc2"}
    model = load_model("run/mine")
    assert (model.metadata["activation"], model.metadata["loss"], model.step) == ("tanh", "triplet", 10)
    assert main(["list", "models"]) == 0
    assert "run/mine" in capsys.readouterr().out
    score = ["score", "--model", "run/mine@5", "--ind", "fmnist:test", "--ood", "mnist", "--limit", "60", "--fit", "20"]
    assert main([*score, "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["per_layer_auroc"]) == {"fc1", "fc2"}


def test_train_into_a_folder_prints_a_table_and_the_seed_decides(tmp_path, capsys):
    weights = []
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert main(["train", *TINY, "--seed", seed, "--out", str(tmp_path / name)]) == 0
        weights.append(load_model(str(tmp_path / name)).module.state_dict()["fc1.0.weight"])
    said = capsys.readouterr().out
    assert "done at step 10 of 10" in said
    assert f"--model {tmp_path / 'a'}" in said
    assert "logits     mnist" in said
    assert weights[0].equal(weights[1])
    assert not weights[0].equal(weights[2])


def test_a_run_goes_on_with_resume(tmp_path, capsys):
    from fssd_core.run_spec import RunSpec

    folder = create_run(
        RunSpec(arch="mlp", images=160, batch_size=16, epochs=1, ood=()), folder=tmp_path / "runs" / "x"
    )
    write_state(folder, state="stopped", step=0, total=10)
    assert main(["train", "--out", "x", "--resume"]) == 0
    assert read_run(folder).state == "done"
    assert main(["train", "--out", "x", "--resume"]) == 2
    assert "is done; it cannot go on" in capsys.readouterr().err


def test_a_network_of_reads_is_trained_and_compared(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("FSSD_DATA_ROOT", "")  # put back afterwards; the command sets it
    write_genomes(tmp_path)
    monkeypatch.setattr(genome, "COUNTS", {"genome-ind:train": 64, "genome-ind:test": 32, "genome-ood": 32})
    root = ["--data-root", str(tmp_path)]
    flags = ["--data", "genome-ind:train", "--ood", "genome-ood", "--epochs", "1", "--batch-size", "32", *root]
    assert main(["train", "--arch", "lenet", *flags, "--out", "no"]) == 2
    assert "holds reads of 250 bases, which 'lenet' does not take; choose the architecture 'bilstm'" in (
        capsys.readouterr().err
    )
    assert main(["train", "--arch", "bilstm", *flags, "--out", "reads", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report["layers"]["last"]) == {"genome-ind:test", "genome-ood", "noise"}
    model = load_model("run/reads")
    assert (model.arch, model.input_shape, model.classes) == ("bilstm", (1, 250, 4), 2)
    bench = ["bench", "bacteria-genome", "--model", "run/reads", *root, "--detectors", "fssd,msp"]
    few = ["--fit", "4", "--train-limit", "64", "--limit", "32", "--protocol", "no-ood-labels"]
    assert main([*bench, *few, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["ind"], told["ood"], told["n_ind"], told["n_train"]) == ("genome-ind:test", "genome-ood", 24, 64)
    assert {row["detector"] for row in told["rows"]} == {"fssd", "msp"}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--arch", "lenat"], "did you mean 'lenet'"),
        (["--epochs", "0"], "epochs"),
        (["--dropout", "1.5"], "dropout 1.5 was given; it is 0 to below 1"),
        (["--lr=-1"], "lr and gamma positive"),
        (["--data", "nowhere"], "no data set 'nowhere'"),
        (["--ood", "mnist,mnist"], "each once"),
        (["--out", "../x y"], ""),
        (["--out", "a b"], "is not a run's name"),
        (["--threads", "0"], "--threads 0 was given"),
        (["--resume"], "--resume needs --out"),
        (["--data", "photo-patches", "--ood", ""], "has no labels"),
    ],
)
def test_bad_flags_are_one_clear_line(flags, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = main(["train", *TINY, *flags])
    error = capsys.readouterr().err
    if not message:  # a path with a slash is a folder, wherever it lies
        assert code == 0
        return
    assert code == 2
    assert message in error
    assert error.count("\n") == 1


def test_universality_measures_keeps_and_reports(tmp_path, capsys):
    flags = ["--archs", "mlp", "--activations", "relu", "--losses", "l2,instance", "--images", "160", "--epochs", "1"]
    out, report = tmp_path / "u.json", tmp_path / "u.md"
    assert main(["universality", *flags, "--out", str(out), "--markdown", str(report), "--json"]) == 0
    printed = capsys.readouterr()
    content = json.loads(printed.out)
    assert content == json.loads(out.read_text())
    assert [c["cell"]["loss"] for c in content["cells"]] == ["l2", "instance"]
    assert content["budget"]["images"] == 160
    assert "2 of 2: mlp, relu, instance, seed 0: accuracy" in printed.err
    assert "| mlp | relu | instance |" in report.read_text()
    assert main(["universality", "--results", str(out)]) == 0
    assert "nearer to F* than ind in" in capsys.readouterr().out


def test_the_quick_table_is_measured(capsys):
    assert main(["universality", "--quick", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert len(content["cells"]) == 4
    assert {c["cell"]["loss"] for c in content["cells"]} == {"cross-entropy", "l2", "triplet", "instance"}
    assert all(not c["error"] and c["accuracy"] > 0.4 for c in content["cells"])
    tanh = next(c for c in content["cells"] if c["cell"]["activation"] == "tanh")
    assert tanh["auroc"]["photo-patches"][-1] > 0.85


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--losses", "l3"], "no loss 'l3'"),
        (["--images", "0"], "--images 0 was given; it is 1 to 10,000"),
        (["--seeds", "a"], "--seeds 'a' was given"),
        (["--seeds=-1"], "a seed is 0 or more"),
        (["--out", "x.txt"], "its ending must be one of .json"),
        (["--results", "none.json"], "none.json cannot be read"),
    ],
)
def test_bad_universality_flags(flags, message, capsys):
    assert main(["universality", *flags]) == 2
    assert message in capsys.readouterr().err
