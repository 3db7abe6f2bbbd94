"""The series over checkpoints against numpy and scikit-learn, through the store, the worker and the command line."""

from __future__ import annotations

import dataclasses
import io
import json
from itertools import pairwise

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from fssd_core import dynamics as dynamics_module
from fssd_core import worker
from fssd_core.cli import main
from fssd_core.dynamics import QUANTILES, Dynamics, dynamics, stored_dynamics
from fssd_core.errors import CancelledError, InputError
from fssd_core.models import load_model
from fssd_core.runtime import generator
from fssd_core.series import series_name
from fssd_core.singularity import uniform_noise
from fssd_core.store import Store
from fssd_core.study import Study, study_layers
from fssd_core.study_projection import projection_sets
from fssd_core.training import save_checkpoint
from tests.core.series import STEPS, short_series


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Study:
    return short_series(tmp_path_factory.mktemp("series"))


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def made(study, store) -> Dynamics:
    return dynamics(study, store=store)


@pytest.fixture(scope="module")
def features(study) -> list[dict[str, dict[str, np.ndarray]]]:
    """Per checkpoint {group: {layer: (N, D) float64}}, plainly."""
    noise = uniform_noise((1, 28, 28), 20, generator=generator(0))
    out = []
    for step in STEPS:
        extractor = load_model(study.model, step=step).extractor()
        images = {ref: s.tensor() for ref, s in projection_sets(study).items()} | {"noise": noise}
        out.append(
            {
                ref: {k: v.numpy().astype(np.float64) for k, v in extractor.features(x).items()}
                for ref, x in images.items()
            }
        )
    return out


def test_names_and_what_the_checkpoints_state(made, study):
    assert made.steps == STEPS
    assert made.layers == study_layers(study)
    assert made.groups == (("fmnist:test", "ind"), ("mnist", "ood"), ("photo-patches", "ood"), ("noise", "noise"))
    assert made.quantiles == QUANTILES
    assert made.epochs[0] == 0
    assert made.epochs[-1] == 14
    facts = load_model("demo/lenet").metadata
    assert made.accuracy[-1] == float(facts["test_accuracy"])
    assert made.loss[-1] == float(facts["train_loss"])
    assert np.isnan(made.loss[0])


def test_every_number_is_the_plain_formulas(made, features):
    for t, at in enumerate(features):
        for k, layer in enumerate(made.layers):
            star = at["noise"][layer].mean(0)
            distance = {ref: np.linalg.norm(f[layer] - star, axis=1) for ref, f in at.items()}
            assert made.ind_median[t, k] == pytest.approx(np.median(distance["fmnist:test"]), rel=1e-5)
            for g, (ref, kind) in enumerate(made.groups):
                assert made.mean[t, k, g] == pytest.approx(distance[ref].mean(), rel=1e-5)
                assert made.ratio[t, k, g] == pytest.approx(distance[ref].mean() / made.ind_median[t, k], rel=1e-5)
                assert made.bands[t, k, g] == pytest.approx(np.quantile(distance[ref], QUANTILES), rel=1e-5)
                assert made.norm[t, k, g] == pytest.approx(np.linalg.norm(at[ref][layer], axis=1).mean(), rel=1e-5)
                if kind == "ind":
                    assert np.isnan(made.auroc[t, k, g])
                    continue
                truth = np.r_[np.ones(40), np.zeros(len(distance[ref]))]
                expected = roc_auc_score(truth, np.r_[distance["fmnist:test"], distance[ref]])
                assert made.auroc[t, k, g] == pytest.approx(expected, abs=2e-3)  # a near tie may fall either way


def test_speed_is_the_way_a_step(made, features):
    for t, (before, after) in enumerate(pairwise(features)):
        between = STEPS[t + 1] - STEPS[t]
        for k, layer in enumerate(made.layers):
            shift = after["noise"][layer].mean(0) - before["noise"][layer].mean(0)
            assert made.fss_speed[t, k] == pytest.approx(np.linalg.norm(shift) / between, rel=1e-4)
            for g, (ref, _) in enumerate(made.groups):
                way = after[ref][layer] - before[ref][layer]
                assert made.speed[t, k, g] == pytest.approx(np.linalg.norm(way, axis=1).mean() / between, rel=1e-5)
                apart = np.linalg.norm(way - shift, axis=1).mean() / between
                assert made.relative_speed[t, k, g] == pytest.approx(apart, rel=1e-4)


def test_rounds_change_nothing(study, made, tmp_path, monkeypatch):
    monkeypatch.setattr(dynamics_module, "HELD", 1)
    monkeypatch.setattr(dynamics_module, "BATCH", 16)
    again = dynamics(study, store=Store(tmp_path))
    for name in ("mean", "bands", "norm", "speed", "relative_speed", "fss_speed"):
        np.testing.assert_allclose(getattr(again, name), getattr(made, name), rtol=1e-5)
    np.testing.assert_allclose(again.auroc, made.auroc, atol=2e-3)


def test_through_the_store_and_the_worker(study, made, store, tmp_path):
    again = stored_dynamics(study, store=store)
    for name in ("mean", "bands", "ind_median", "norm", "auroc", "speed", "accuracy", "loss"):
        np.testing.assert_array_equal(getattr(again, name), getattr(made, name))
    assert (again.steps, again.groups, again.layers, again.quantiles) == (
        made.steps, made.groups, made.layers, made.quantiles,
    )  # fmt: skip
    assert stored_dynamics(dataclasses.replace(study, points=42), store=store) is None
    events = io.StringIO()
    request = {"id": 3, "call": "dynamics", "study": study.to_json(), "args": {}, "store": str(tmp_path)}
    worker.serve(io.StringIO(json.dumps(request) + "\n"), events)
    told = [json.loads(line) for line in events.getvalue().splitlines()]
    assert told[-1].pop("memory") > 0  # bytes, resident
    assert told[-1] == {"id": 3, "ok": True, "warnings": []}
    assert told[-2]["done"] == told[-2]["total"] > 0
    np.testing.assert_allclose(stored_dynamics(study, store=Store(tmp_path)).mean, made.mean, rtol=1e-6)


def test_a_series_that_states_nothing_has_no_accuracy(tmp_path):
    loaded = load_model("demo/lenet")
    for step in (0, 7):
        save_checkpoint(tmp_path / f"step-{step}.safetensors", loaded.module.state_dict(), {"arch": "lenet"})
    found = dynamics(Study(model=str(tmp_path), points=8, ood=(), noise_samples=4), store=Store(tmp_path / "s"))
    assert found.accuracy is None
    assert found.loss is None
    assert np.isnan(found.epochs).all()
    assert (found.speed == 0).all(), "equal weights: nothing moves"
    assert [name for name, _ in found.groups] == ["fmnist:test", "noise"]


def test_cancelling_keeps_nothing_and_bad_series_are_refused(study, tmp_path):
    def stop(done: int, total: int, what: str) -> None:
        if "step 100" in what:
            raise CancelledError("stop")

    with pytest.raises(CancelledError):
        dynamics(study, store=Store(tmp_path), progress=stop)
    assert not list(tmp_path.rglob("*.npz"))
    one = f"{study.model}/step-00100.safetensors"
    with pytest.raises(InputError, match="is a single network without checkpoints; motion needs at least 2"):
        dynamics(dataclasses.replace(study, model=one), store=Store(tmp_path))


def test_a_series_is_named_without_its_step():
    assert series_name(Study(model="demo/lenet@900")) == "demo/lenet"
    assert series_name(Study(model="demo/lenet")) == "demo/lenet"
    assert series_name(Study(model="a@b/net")) == "a@b/net"


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("FSSD_HOME", str(tmp_path / "home"))

    def call(*argv: str) -> tuple[int, str, str]:
        code = main(["dynamics", *argv])
        return code, *capsys.readouterr()

    return call


def test_the_command_prints_the_same_numbers(run, study, made, tmp_path):
    flags = ["--model", study.model, "--ood", "mnist,photo-patches", "--points", "40", "--noise-samples", "20"]
    code, out, err = run(*flags, "--json", "--out", str(tmp_path / "rows.csv"))
    assert code == 0, err
    report = json.loads(out)
    assert report["steps"] == list(STEPS)
    assert len(report["rows"]) == 3 * 4 * 4 == len((tmp_path / "rows.csv").read_text().splitlines()) - 1
    for row in report["rows"]:
        t, k = STEPS.index(row["step"]), made.layers.index(row["layer"])
        g = [name for name, _ in made.groups].index(row["group"])
        assert row["mean_distance"] == pytest.approx(made.mean[t, k, g], rel=1e-6)
        assert row["ratio"] == pytest.approx(made.ratio[t, k, g], rel=1e-6)
        assert (row["auroc"] is None) == (row["kind"] == "ind")
        assert (row["speed"] is None) == (t == 0)
    code, out, _ = run(*flags)
    assert code == 0
    assert f"{made.mean[2, 3, 1]:.4g}" in out


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--model", "demo/lenet", "--ood", "mnits"], "did you mean 'mnist'"),
        (["--model", "demo/lenet", "--points", "2"], "at least 4"),
        (["--model", ""], "--model is empty"),
        (["--model", "demo/lenet", "--out", "x.txt"], "ending must be one of"),
        (["--model", "nowhere.safetensors"], "no weight file"),
    ],
)
def test_bad_flags_are_one_clear_line(run, flags, words):
    code, out, err = run(*flags)
    assert (code, out) == (2, "")
    assert words in err
    assert len(err.splitlines()) == 1


def test_the_exact_speed_is_printed_on_request(run, study):
    flags = ["--model", study.model, "--ood", "mnist", "--points", "8", "--noise-samples", "4", "--layers", "logits"]
    code, out, err = run(*flags, "--exact", "--json")
    assert code == 0, err
    report = json.loads(out)
    by_group = {(row["step"], row["group"]): row for row in report["rows"]}
    assert by_group[100, "fmnist:test"]["exact_speed_ratio"] == 1
    assert by_group[100, "mnist"]["exact_speed_ratio"] > 0
    assert by_group[100, "mnist"]["random_ratio"] > 0
    assert list(report["statements"]) == ["logits"]
    code, out, _ = run(*flags, "--exact")
    assert code == 0
    assert report["statements"]["logits"][0] in out
    assert report["outcome"] in out
