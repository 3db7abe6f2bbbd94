"""Runs: whole checkpoints whatever happens, found again, continued exactly, hostile names refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from fssd_core import runs as runs_module
from fssd_core.data import load_data
from fssd_core.errors import InputError, ModelError
from fssd_core.metrics import auroc
from fssd_core.models import list_models, load_model
from fssd_core.probe import IND_POINTS, OOD_POINTS, class_mean_accuracy, look, make_probe
from fssd_core.run_frame import append_progress, cut_progress, load_frame, load_probe, read_progress
from fssd_core.run_spec import RunSpec, run_steps
from fssd_core.runs import (
    command_run,
    continue_run,
    create_run,
    delete_run,
    find_run,
    launch,
    list_runs,
    read_run,
    start_run,
    write_state,
)
from fssd_core.runtime import threads
from fssd_core.train_process import pause_after, run

TINY = RunSpec(arch="mlp", epochs=2, images=320, batch_size=16, ood=("photo-patches",))


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("FSSD_HOME", str(tmp_path))
    return tmp_path


def wait(condition, seconds: float = 240) -> None:
    """Until the condition holds; another process works towards it."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.05)


# --- specifications


def test_a_specification_fills_in_what_belongs_together_and_survives_json():
    spec = RunSpec(optimiser="adamw")
    assert (spec.lr, spec.test) == (0.001, "fmnist:test")
    assert RunSpec(data="mnist", ood=()).test == "held-out"
    assert RunSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"arch": "lenat"}, "no architecture 'lenat'; did you mean 'lenet'"),
        ({"arch": "resnet18"}, "made for large images.*choose one of lenet"),
        ({"arch": "lenet-authors", "activation": "tanh"}, "fixed activation"),
        ({"loss": "triplets"}, "did you mean 'triplet'"),
        ({"optimiser": "adam"}, "no optimiser 'adam'"),
        ({"epochs": 0}, "epochs"),
        ({"epochs": 201}, "epochs 201 was given; it is a whole number from 1 to 200"),
        ({"batch_size": 1}, "from 2 to 2,048"),
        ({"images": 63}, "from 64 to"),
        ({"seed": -1}, "seed -1"),
        ({"lr": float("nan")}, "lr and gamma positive"),
        ({"lr": 1e9}, "at most 100"),
        ({"epochs": "many"}, "wrong kind"),
        ({"epochs": True}, "whole number"),
        ({"ood": ["mnist", "mnist"]}, "each once"),
        ({"ood": ["fmnist:train"]}, "neither 'fmnist:train' nor 'fmnist:test'"),
        ({"data": " "}, "no training data"),
        ({"dropuot": 0.5}, "no 'dropuot'; did you mean 'dropout'"),
        ({"arch": ["lenet"]}, "wrong kind|no architecture"),
    ],
)
def test_specifications_that_cannot_be(values, message):
    with pytest.raises(InputError, match=message):
        RunSpec.from_json(values)


def test_frames_leave_most_of_the_time_to_the_training_where_they_are_dear():
    assert [round(pause_after(took), 2) for took in (0.01, 0.5, 1.0, 2.0, 5.0)] == [0.8, 0.8, 2.0, 6.0, 18.0]


def test_long_runs_keep_at_most_thirty_ends_of_epochs():
    assert run_steps(157, 3) == (0, 5, 10, 20, 50, 100, 157, 314, 471)
    steps = run_steps(10, 200)
    assert steps[:3] == (0, 5, 70)
    assert steps[-1] == 2000
    assert len(steps) <= 2 + 30


# --- a whole run in this process


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "done"
    folder.mkdir()
    seen: list[tuple[int, int]] = []
    assert run(create_run(TINY, folder=folder), progress=lambda a, b, _: seen.append((a, b))) == "done"
    assert seen == [(step, 40) for step in range(1, 41)]
    return folder


def test_a_finished_run_tells_what_it_did(done):
    info = read_run(done)
    assert (info.state, info.step, info.total, info.spec, info.message) == ("done", 40, 40, TINY, "")
    assert info.seconds > 0
    assert info.checkpoints() == 5
    assert not info.can_continue
    assert [p.name for p in sorted(done.glob("step-*"))] == [f"step-{s:06d}.safetensors" for s in (0, 5, 10, 20, 40)]


def test_its_checkpoints_are_models_with_measured_accuracy(done):
    model = load_model(str(done), step=40)
    assert (model.arch, model.step, model.input_shape, model.mean) == ("mlp", 40, (1, 28, 28), (0.0,))
    assert model.metadata["title"] == "mlp, relu, cross-entropy, seed 0"
    test = load_data("fmnist:test").sample(2000, seed=0)
    predicted = model.extractor(device="cpu").logits(test.tensor()).argmax(1).numpy()
    assert float(model.metadata["test_accuracy"]) == pytest.approx((predicted == test.labels).mean())
    assert float(model.metadata["test_accuracy"]) > 0.3


def test_its_last_frame_is_what_its_last_checkpoint_gives(done):
    frame, probe = load_frame(done), load_probe(done)
    assert frame is not None
    assert probe is not None
    assert (frame.step, frame.layers) == (40, ("fc1", "fc2", "logits"))
    assert [(g.name, g.kind, g.stop - g.start) for g in probe.groups] == [
        ("fmnist:test", "ind", IND_POINTS), ("photo-patches", "ood", OOD_POINTS), ("noise", "noise", 100)
    ]  # fmt: skip
    features = load_model(str(done)).extractor(["fc2"], device="cpu").features(
        make_probe(load_data("fmnist:test"), {"photo-patches": load_data("photo-patches")}, seed=0).images
    )["fc2"].numpy()  # fmt: skip
    fss = features[-100:].mean(0, dtype=np.float64)
    expected = np.linalg.norm(features - fss, axis=1)
    np.testing.assert_allclose(frame.distance[1], expected, rtol=1e-4)
    line = read_progress(done)[-1]
    ind, ood = expected[:600], expected[600:750]
    said = line["layers"]["fc2"]["photo-patches"]
    assert said["auroc"] == pytest.approx(auroc(ind, ood), abs=1e-4)
    assert said["ratio"] == pytest.approx(ood.mean() / ind.mean(), rel=1e-4)
    picture = frame.projection(probe, "fc2")
    assert np.hypot(*picture.xy.T) == pytest.approx(expected / np.median(ind), rel=1e-3)
    assert picture.labels[:600].tolist() == load_data("fmnist:test").sample(600, seed=0).labels.tolist()
    with pytest.raises(InputError, match="watches no layer 'conv1'"):
        frame.projection(probe, "conv1")


def test_progress_has_a_line_at_every_checkpoint_and_numbers_for_every_layer(done):
    lines = read_progress(done)
    assert {0, 5, 10, 20, 40} <= {line["step"] for line in lines}
    assert lines[0]["loss"] is None
    assert all(set(line["layers"]) == {"fc1", "fc2", "logits"} for line in lines)
    assert lines[-1]["epoch"] == 2
    assert lines[-1]["accuracy"] > 0.3
    assert lines[0]["layers"]["fc1"]["fmnist:test"] == {
        "mean": lines[0]["layers"]["fc1"]["fmnist:test"]["mean"],
        "ratio": 1.0,
    }


def test_half_a_line_and_damaged_files_are_left_out(tmp_path):
    append_progress(tmp_path, {"step": 1, "loss": float("nan")})
    append_progress(tmp_path, {"step": 7, "loss": 0.1234567891})
    with (tmp_path / "progress.jsonl").open("a") as file:
        file.write('{"step": 9, "lo')
    assert read_progress(tmp_path) == [{"step": 1, "loss": None}, {"step": 7, "loss": 0.123457}]
    cut_progress(tmp_path, 1)
    assert read_progress(tmp_path) == [{"step": 1, "loss": None}]
    (tmp_path / "frame.npz").write_bytes(b"PK\x03\x04half")
    (tmp_path / "probe.npz").write_bytes(b"")
    assert load_frame(tmp_path) is None
    assert load_probe(tmp_path) is None


def test_class_means_by_hand():
    points = torch.tensor([[1.0, 0.0], [2.0, 0.2], [0.0, 3.0]])
    tested = torch.tensor([[9.0, 1.0], [0.1, 0.5], [1.0, 0.9]])
    assert class_mean_accuracy(points, torch.tensor([4, 4, 7]), tested, torch.tensor([4, 7, 7])) == pytest.approx(2 / 3)


def test_looking_changes_nothing_in_the_training(done):
    module = load_model(str(done)).module.train()
    probe = make_probe(load_data("fmnist:test"), {}, seed=0, ind_points=50)
    before = torch.get_rng_state()
    from fssd_core.extractor import FeatureExtractor

    look(probe, FeatureExtractor(module, device="cpu"))
    assert module.training
    assert all(p.requires_grad for p in module.parameters())
    assert torch.equal(torch.get_rng_state(), before)


# --- unusual images and losses


def test_a_run_without_labels_and_with_colour(tmp_path):
    draws = np.random.default_rng(0)
    np.savez(tmp_path / "mine.npz", images=draws.integers(0, 255, (80, 40, 30, 3), dtype=np.uint8))
    spec = RunSpec(arch="resnet-cifar8", loss="instance", data=str(tmp_path / "mine.npz"), ood=("uniform-noise",),
                   epochs=1, batch_size=16, optimiser="sgd", lr=0.01)  # fmt: skip
    folder = create_run(spec)
    assert run(folder) == "done", read_run(folder).message
    model = load_model(f"run/{folder.name}")
    assert model.input_shape == (3, 32, 32)
    assert model.taps[-1] == "pooled", "the logits are not trained by this loss"
    assert "test_accuracy" not in model.metadata
    probe = load_probe(folder)
    assert probe is not None
    assert not probe.labelled
    assert probe.images.shape == (13 + 150 + 100, 32, 32, 3)  # a sixth is held out
    assert read_progress(folder)[-1]["accuracy"] is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": "no-such-set", "test": "fmnist:test"}, "no data set 'no-such-set'"),
        ({"data": "photo-patches", "ood": ()}, "has no labels, and this loss needs them"),
        ({"data": "digits8x8", "batch_size": 2000, "images": 2000, "ood": ()}, "take a smaller batch"),
        ({"lr": 100.0, "optimiser": "sgd", "loss": "l2"}, "smaller learning rate|diverged"),
    ],
)
def test_runs_that_fail_say_why(change, message):
    folder = create_run(RunSpec(**{**TINY.to_json(), **change}))
    assert run(folder) == "failed"
    info = read_run(folder)
    assert info.state == "failed"
    import re

    assert re.search(message, info.message), info.message


# --- processes


def slow() -> RunSpec:
    return RunSpec(arch="mlp", epochs=200, images=640, batch_size=16, ood=("photo-patches",))


def step_of(folder: Path) -> int:
    return read_run(folder).step


def test_a_run_is_paused_resumed_and_stopped_and_only_two_run_at_once():
    first = start_run(slow())
    assert first.state in ("starting", "running")
    wait(lambda: step_of(first.folder) > 5)
    command_run(first.id, "pause")
    wait(lambda: read_run(first.folder).state == "paused")
    still = step_of(first.folder)
    create_run(TINY)  # a run that was made but whose process has not spoken yet counts
    with pytest.raises(InputError, match=r"2 runs are active already: .*stop one"):
        start_run(TINY)
    assert step_of(first.folder) == still
    command_run(first.id, "resume")
    wait(lambda: step_of(first.folder) > still)
    with pytest.raises(InputError, match="is running; stop it first"):
        delete_run(first.id)
    with pytest.raises(InputError, match="only a stopped, interrupted or failed run can go on"):
        continue_run(first.id)
    with pytest.raises(InputError, match="no command 'halt'; known: pause, resume, stop"):
        command_run(first.id, "halt")
    command_run(first.id, "stop")
    wait(lambda: read_run(first.folder).state == "stopped")
    info = read_run(first.folder)
    assert info.can_continue
    assert f"step-{info.step:06d}.safetensors" in {p.name for p in info.folder.iterdir()}, "where it stopped is kept"
    delete_run(first.id)
    assert not first.folder.exists()


def test_a_killed_run_leaves_whole_checkpoints_says_so_and_goes_on_exactly(tmp_path):
    spec = RunSpec(arch="lenet", epochs=2, images=640, batch_size=16, ood=("photo-patches",), dropout=0.5)
    whole = create_run(spec)
    with threads(1):  # as in a process of its own: the number of threads changes the last digits
        assert run(whole) == "done"
    for _ in range(5):  # on a busy machine the run may end before the signal reaches it
        folder = create_run(spec)
        child = launch(folder)
        wait(lambda at=folder: len(list(at.glob("step-*.safetensors"))) >= 3)
        child.send_signal(signal.SIGKILL)
        child.wait()
        info = read_run(folder)
        if info.state != "done":
            break
    assert info.state == "interrupted"
    assert info.can_continue
    for path in folder.glob("step-*.safetensors"):
        assert load_file(path).keys() == load_file(whole / path.name).keys()
    for leftover in folder.glob("*.tmp"):
        leftover.unlink()
    with threads(1):
        assert run(folder) == "done"
    assert [p.name for p in sorted(folder.glob("step-*"))] == [p.name for p in sorted(whole.glob("step-*"))]
    for path in sorted(whole.glob("step-*.safetensors")):
        ours, theirs = load_file(folder / path.name), load_file(path)
        assert all(torch.equal(ours[k], theirs[k]) for k in theirs), path.name
    steps = [line["step"] for line in read_progress(folder)]
    assert steps == sorted(set(steps))
    assert steps[-1] == 80


def test_a_full_disk_is_said_and_the_run_goes_on_once_there_is_room(monkeypatch):
    folder = create_run(TINY)
    with monkeypatch.context() as patch:

        def full(*args, **kwargs):
            raise OSError(28, "No space left on device")

        patch.setattr("fssd_core.train_process.save_checkpoint", full)
        assert run(folder) == "failed"
        info = read_run(folder)
        assert "No space left on device" in info.message
        assert "defect" not in info.message
        assert info.can_continue
        patch.setattr("fssd_core.train_process.write_state", full)  # not even its state can be written
        assert run(folder) == "failed"
    old = folder / "step-000010.safetensorsabc.tmp"
    old.write_bytes(b"half")
    os.utime(old, (time.time() - 60,) * 2)
    assert run(folder) == "done"
    assert not old.exists(), "what a killed writer left is swept"


@pytest.mark.parametrize("delay", [0.0, 0.05])
def test_a_kill_at_any_moment_leaves_no_half_checkpoint(delay):
    folder = create_run(slow())
    child = launch(folder)
    wait(lambda: (folder / "step-000000.safetensors").exists())
    time.sleep(delay)
    child.kill()
    child.wait()
    for path in folder.glob("step-*.safetensors"):
        load_file(path)
    entry = next(m for m in list_models() if m.name == f"run/{folder.name}")
    assert load_model(entry.name).step == entry.steps[-1]


def test_a_run_ends_with_the_process_that_started_it():
    folder = create_run(slow())
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom fssd_core.runs import launch, read_run\n"
        f"folder = Path({str(folder)!r})\nlaunch(folder)\n"
        "while read_run(folder).step < 6: time.sleep(0.05)\n"
    )
    import sys

    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
    wait(lambda: not read_run(folder).active)
    info = read_run(folder)
    assert (info.state, info.message) == ("interrupted", "the dashboard ended")
    assert load_model(f"run/{folder.name}").step == info.step, "it kept where it stood"


def test_terminating_a_run_keeps_where_it_stands():
    folder = create_run(slow())
    child = launch(folder)
    wait(lambda: step_of(folder) >= 5)
    child.terminate()
    assert child.wait(120) == 1
    assert read_run(folder).state == "interrupted"
    assert (folder / f"step-{step_of(folder):06d}.safetensors").exists()


# --- folders


def test_a_dead_process_id_or_another_process_of_that_number_is_not_the_run():
    folder = create_run(TINY)
    write_state(folder, state="running", pid=os.getpid(), born="another time", step=7)
    (folder / "log.txt").write_text("first\nlast words\n")
    info = read_run(folder)
    assert (info.state, info.step, info.message) == ("interrupted", 7, "last words")
    write_state(folder, state="running", pid=os.getpid(), born=runs_module.born(os.getpid()))
    assert read_run(folder).state == "running"
    child = subprocess.Popen(["sleep", "60"])
    stamp = runs_module.born(child.pid)
    child.kill()
    time.sleep(0.1)  # a zombie until it is waited for
    write_state(folder, state="paused", pid=child.pid, born=stamp)
    assert read_run(folder).state == "interrupted"
    child.wait()
    assert runs_module.born(child.pid) is None


@pytest.mark.parametrize("name", ["..", "a/b", "", ".hidden", "a b", "x" * 81, "../../etc", "a\x00b"])
def test_hostile_names_reach_no_folder(name, home):
    (home / "runs").mkdir()
    for do in (find_run, delete_run, continue_run, lambda n: command_run(n, "stop")):
        with pytest.raises(ModelError, match="is not a run's name"):
            do(name)
    with pytest.raises(ModelError, match="no run"):
        find_run("not-there")


def test_a_link_is_no_run_and_is_not_deleted_through(home, tmp_path):
    outside = tmp_path / "precious"
    outside.mkdir()
    (outside / "file").touch()
    (home / "runs").mkdir()
    (home / "runs" / "link").symlink_to(outside)
    with pytest.raises(ModelError, match="is a link"):
        delete_run("link")
    assert list_runs() == []
    assert (outside / "file").exists()


def test_damaged_runs_are_listed_as_such_and_can_be_deleted(home):
    folder = create_run(TINY)
    for content in ("{", "[]", '{"epochs": "x"}', '{"what": 1}'):
        (folder / "spec.json").write_text(content)
        (info,) = list_runs()
        assert info.state == "damaged"
        assert info.message
    (folder / "spec.json").write_text(json.dumps(TINY.to_json()))
    for content in ("[1]", '{"step": "x"}', '{"seconds": []}'):
        (folder / "run.json").write_text(content)
        assert list_runs()[0].state == "damaged"
    delete_run(folder.name)
    assert list_runs() == []


def test_a_folder_that_is_taken_is_refused(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "notes.txt").touch()
    with pytest.raises(InputError, match="is there already and not empty"):
        create_run(TINY, folder=folder)
    assert [p.name for p in folder.iterdir()] == ["notes.txt"]
