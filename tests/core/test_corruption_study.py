"""The study's slow half: what is kept, what is computed again, distributed sets, and the command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fssd_core import cli_common
from fssd_core.cli import main
from fssd_core.corruption_detectors import parse_detectors
from fssd_core.corruption_study import CorruptionStudy, Opened, corruption_scores, stored_corruption
from fssd_core.data import load_data
from fssd_core.data.corruptions import corrupt
from fssd_core.detectors import DETECTORS
from fssd_core.errors import CancelledError, InputError
from fssd_core.runtime import silent
from fssd_core.singularity import fssd
from fssd_core.store import Store
from fssd_core.study import Study, open_data, open_singularity

pytest.importorskip("imagecorruptions", reason="imagecorruptions-imaug is not installed")
ROOT = Path(__file__).resolve().parents[2]
STUDY = Study(samples=24, ood=(), noise_samples=20)
SPEC = CorruptionStudy(STUDY, ("fssd", "feature-norm"), ("fog", "shot_noise"), (1, 4))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("store"))
    return store, corruption_scores(SPEC, store=store, workers=0)


def test_scores_are_those_of_the_corrupted_images(made):
    _, result = made
    assert result.types == ("shot_noise", "fog")
    assert (result.computed, result.stored) == (3 * 5, 0)
    images = open_data(STUDY, STUDY.ind)
    np.testing.assert_array_equal(result.rows, images.rows)
    fog = corrupt(images.images, "fog", 4, rows=images.rows, seed=STUDY.seed).images
    extractor, _, fss = open_singularity(STUDY)
    tensor = replace(images, images=fog).tensor()
    expected = fssd(extractor, tensor, fss)
    np.testing.assert_allclose(result.detectors["fssd"].cells[1, 1], expected.values, rtol=1e-5)
    np.testing.assert_array_equal(result.cell_predicted[1, 1], extractor.logits(tensor).argmax(1))
    clean, cells = result.accuracy()
    assert clean == np.mean(result.predicted == images.labels)
    assert cells[1, 1] == np.mean(result.cell_predicted[1, 1] == images.labels)


def test_what_is_stored_is_not_computed_again_and_more_adds_to_it(made):
    store, result = made
    again = corruption_scores(SPEC, store=store, workers=0)
    assert (again.computed, again.stored) == (0, 15)
    np.testing.assert_array_equal(again.detectors["fssd"].cells, result.detectors["fssd"].cells)
    found = stored_corruption(replace(SPEC, severities=(4,)), store=store)
    np.testing.assert_array_equal(found.detectors["fssd"].cells, result.detectors["fssd"].cells[:, 1:])
    wider = replace(SPEC, types=("noise", "fog"), severities=(1,))
    assert stored_corruption(wider, store=store) is None
    more = corruption_scores(wider, store=store, workers=0)
    assert (more.computed, more.stored) == (2 * 3, 3 * 3)


def test_every_fact_a_score_depends_on_changes_its_key(made):
    del made
    base, cell = Opened(SPEC), ("fog", 4)
    keys = {base.key("fssd", cell), base.key("fssd", None), base.key("fssd", ("fog", 1)), base.key("predicted", cell)}
    keys.add(base.key("feature-norm", cell))
    for study in (
        replace(STUDY, seed=1),
        replace(STUDY, epsilon=0.01),
        replace(STUDY, noise_samples=21),
        replace(STUDY, step=900),
        replace(STUDY, samples=23),
        replace(STUDY, layers=("fc1", "logits")),
    ):
        opened = Opened(replace(SPEC, study=study))
        label = next(iter(opened.runs))
        keys.add(opened.key(label, cell))
    assert len(keys) == 11


def test_stopping_keeps_what_is_done(tmp_path):
    store = Store(tmp_path)

    def stop(done: int, total: int, what: str) -> None:
        if done == 3:
            raise CancelledError

    with pytest.raises(CancelledError):
        corruption_scores(SPEC, store=store, workers=0, progress=stop)
    resumed = corruption_scores(SPEC, store=store, workers=0)
    assert (resumed.computed, resumed.stored) == (2 * 3, 3 * 3)


def test_detectors_by_text():
    runs = parse_detectors(["fssd", "msp:temperature=2"], replace(STUDY, epsilon=0.02))
    assert [r.label for r in runs] == ["fssd:epsilon=0.02", "msp:temperature=2"]
    assert runs[1].make().values == {"temperature": 2.0}
    assert parse_detectors(["fssd"], STUDY)[0].label == "fssd"
    for texts, words in (
        (["fsdd"], "did you mean 'fssd'"),
        (["msp:temprature=2"], "did you mean 'temperature'"),
        (["msp:temperature"], "msp:parameter=value"),
        (["msp:temperature=hot"], "a number"),
        (["msp", "msp"], "twice"),
        ([], "no detector"),
    ):
        with pytest.raises(InputError, match=words):
            parse_detectors(texts, STUDY)


def test_every_detector_of_the_table_gives_its_facts_or_a_clear_error():
    study = replace(STUDY, samples=8)
    for name in DETECTORS:
        opened = Opened(CorruptionStudy(study, (name,), ("fog",), (1,)))
        if set(DETECTORS[name].uses) <= {"noise", "ind", "labels"}:
            assert len(opened.key(name, ("fog", 1))) > 64
        else:
            with pytest.raises(InputError, match=name):
                opened.key(name, ("fog", 1))


def test_fit_images_are_never_tested_ones(tmp_path):
    from fssd_core.corruption_detectors import fit_images

    assert fit_images(STUDY, open_data(STUDY, STUDY.ind), ref=None, root=None).name == "fmnist:train"
    images = load_data("fmnist:test")
    path = tmp_path / "own.npz"
    np.savez(path, images=images.images[:40], labels=images.labels[:40])
    own = replace(STUDY, ind=str(path))
    tested = open_data(own, own.ind)
    fit = fit_images(own, tested, ref=None, root=None)
    assert sorted([*fit.rows, *tested.rows]) == list(range(40))
    whole = replace(own, samples=None)
    with pytest.raises(InputError, match="all 40 images"):
        fit_images(whole, open_data(whole, own.ind), ref=None, root=None)


def distributed(root: Path, count: int = 20, *, same: bool = True) -> tuple[Path, Path]:
    """(clean .npz, CIFAR-C folder) of the same images, the set darkened by severity."""
    images = load_data("fmnist:test")
    order = np.arange(count) if same else np.arange(count)[::-1]
    np.savez(root / "clean.npz", images=images.images[:count], labels=images.labels[:count])
    folder = root / "set-c"
    folder.mkdir()
    colour = np.repeat(images.images[order][..., None], 3, axis=3)
    for kind, strength in (("fog", 20), ("my_own", 30)):
        np.save(
            folder / f"{kind}.npy",
            np.concatenate([np.clip(colour + strength * s, 0, 255) for s in range(1, 6)]).astype(np.uint8),
        )
    np.save(folder / "labels.npy", np.tile(images.labels[order], 5).astype(np.uint8))
    return root / "clean.npz", folder


@pytest.mark.parametrize("same", [True, False])
def test_a_distributed_set_is_paired_by_its_labels_or_compared_as_two_groups(tmp_path, same):
    clean, folder = distributed(tmp_path, same=same)
    study = replace(STUDY, ind=str(clean), samples=10)
    spec = CorruptionStudy(study, ("fssd",), root=str(folder))
    result = corruption_scores(spec, store=Store(tmp_path / "store"), workers=0)
    assert result.types == ("fog", "my_own")
    assert result.paired is same
    assert result.detectors["fssd"].cells.shape == (2, 5, 10, 4)
    assert any("two groups" in note for note in result.notes) is not same
    if same:
        np.testing.assert_array_equal(result.labels, result.cell_labels)
    again = corruption_scores(spec, store=Store(tmp_path / "store"), workers=0)
    assert again.computed == 0
    os.utime(folder / "fog.npy", ns=(1, 1))
    assert corruption_scores(spec, store=Store(tmp_path / "store"), workers=0).computed == 2 * 5


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    code = main(["corruptions", "--model", "demo/lenet", "--ind", "fmnist:test", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


SMALL = ("--limit", "24", "--types", "fog,shot_noise,snow", "--severities", "1,4", "--workers", "0", "--draws", "50")


CELLS = [f"{kind} {level}" for kind in ("shot_noise", "snow", "fog") for level in (1, 4)][:5]


def test_off_a_terminal_the_command_says_on_stderr_how_far_it_is(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("FSSD_HOME", str(tmp_path))
    monkeypatch.setattr(cli_common, "EVERY", 0.0)
    code, out, err = run(capsys, *SMALL, "--detectors", "feature-norm", "--json")
    assert code == 0
    told = [line for line in err.splitlines() if line.startswith("fssd: corruptions of fmnist:test")]
    assert told[0] == "fssd: corruptions of fmnist:test: 0 of 7"
    places = [line.split(", ")[1] for line in told[1:]]
    assert places == [f"{cell}: {k} of 7" for k, cell in enumerate(CELLS, 2)], "the seventh ends it"
    assert json.loads(out)["computed"] == 14
    monkeypatch.setattr(cli_common, "EVERY", 1e9)
    assert run(capsys, *SMALL, "--detectors", "energy")[2] == "", "a command that is over soon says nothing"


def test_the_command_prints_rows_and_the_claim(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("FSSD_HOME", str(tmp_path))
    table = tmp_path / "rows.csv"
    code, out, _ = run(capsys, *SMALL, "--detectors", "fssd,feature-norm", "--json", "--out", str(table))
    assert code == 0
    report = json.loads(out)
    assert len(report["rows"]) == 2 * 3 * 2
    row = report["rows"][3]
    assert (row["detector"], row["type"], row["group"], row["severity"]) == ("fssd", "snow", "weather", 4)
    assert row["auroc_ci"][0] <= row["auroc"] <= row["auroc_ci"][1]
    assert 0 <= row["accuracy"] <= 1
    assert (report["computed"], report["stored"], report["images"]) == (3 * 7, 0, 24)
    assert {c["verdict"] for c in report["claim"]} <= {"holds", "does not hold", "not decided"}
    assert len(report["claim"]) == 2
    assert len(table.read_text().splitlines()) == 13
    code, out, _ = run(capsys, *SMALL, "--detectors", "fssd,feature-norm", "--alpha", "standardised")
    assert code == 0
    assert "12 clean images" in out, "the other half fitted alpha"
    assert "| 4 | " in out
    assert "0 results computed, 21 from the store" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--types", "foggy"), "did you mean 'fog'"),
        (("--severities", "7"), "1 to 5"),
        (("--severities", "one"), "give levels as 1,3,5"),
        (("--detectors", "odim"), "no detector 'odim'"),
        (("--detectors", ""), "no detector ''"),
        (("--root", "/nowhere"), "is no folder"),
        (("--workers", "-1"), "-1 workers"),
        (("--draws", "0"), "--draws 0"),
        (("--alpha", "1,2"), "4 layers"),
        (("--limit", "0"), "0 samples"),
        (("--seed", "-1"), "--seed -1"),
    ],
)
def test_bad_flags_are_one_clear_line_and_code_2(capsys, tmp_path, monkeypatch, arguments, words):
    monkeypatch.setenv("FSSD_HOME", str(tmp_path))
    given = ("--limit", "4", "--types", "fog", "--severities", "1", "--workers", "0", "--detectors", "fssd")
    code, _, err = run(capsys, *given, *arguments)
    assert code == 2
    assert words in err
    assert len(err.strip().splitlines()) == 1


def running(root: int) -> list[int]:
    """Processes started by that one, and theirs."""
    parents = {}
    for folder in filter(str.isdigit, os.listdir("/proc")):
        try:
            parents[int(folder)] = int(Path("/proc", folder, "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, IndexError):
            continue
    found, added = {root}, True
    while added:
        new = {pid for pid, parent in parents.items() if parent in found} - found
        found |= new
        added = bool(new)
    return sorted(found - {root})


def test_killed_and_started_again_it_computes_only_what_is_missing(tmp_path):
    command = [
        *(sys.executable, "-m", "fssd_core.cli", "corruptions", "--model", "demo/lenet", "--ind", "fmnist:test"),
        *("--detectors", "fssd,feature-norm", "--limit", "60", "--types", "noise,fog", "--workers", "2", "--json"),
    ]
    env = {**os.environ, "FSSD_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
    place = tmp_path / "home" / "store" / "corruption"
    first = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: len(list(place.glob("*.npz"))) >= 9 or first.poll() is not None)
    helpers = running(first.pid)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert len(helpers) >= 2
    until(lambda: not any(alive(pid) for pid in helpers))
    kept = len(list(place.glob("*.npz")))
    whole = 3 * (1 + 4 * 5)
    assert 9 <= kept < whole, "it was killed too late to show anything"
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    assert (report["computed"], report["stored"]) == (whole - kept, kept)
    spec = CorruptionStudy(Study(samples=60, ood=()), ("fssd",), ("noise", "fog"))
    resumed = stored_corruption(spec, store=Store(tmp_path / "home" / "store"))
    direct = corruption_scores(spec, store=Store(tmp_path / "fresh"), workers=0, progress=silent)
    np.testing.assert_allclose(resumed.detectors["fssd"].cells, direct.detectors["fssd"].cells, rtol=1e-5)


def alive(pid: int) -> bool:
    """Whether the process runs; one that has ended may still be listed until somebody asks for its outcome."""
    try:
        return Path("/proc", str(pid), "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def until(true, seconds: float = 200) -> None:
    """Waits until something is true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
