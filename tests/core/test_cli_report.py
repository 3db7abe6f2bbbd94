"""`fssd report`: its numbers against `fssd score`, its own command against itself, and bad input in one line."""

from __future__ import annotations

import html
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from fssd_core.cli import main
from fssd_core.data import load_data

BASE = ["--model", "demo/lenet", "--ind", "fmnist:test", "--limit", "120", "--fit", "30"]
REPORT = ["report", *BASE, "--ood", "mnist"]


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch) -> Path:
    """A store of this file's own, shared by its tests; a fixed date."""
    folder = tmp_path_factory.getbasetemp() / "fssd-home-report"
    monkeypatch.setenv("FSSD_HOME", str(folder))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1770000000")
    return folder


@pytest.fixture
def run(capsys):
    """(exit code, stdout, stderr) of a command line."""

    def call(*argv: object) -> tuple[int, str, str]:
        code = main([str(a) for a in argv])
        return code, *capsys.readouterr()

    return call


def words(path: Path) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<style>.*?</style>|<[^>]+>", " ", path.read_text(), flags=re.S)))


def command_of(path: Path) -> list[str]:
    return shlex.split(html.unescape(re.search(r"<pre><code>(.*?)</code>", path.read_text(), re.DOTALL)[1]))


@pytest.mark.parametrize("alpha", ["pseudo-ood", "logistic", "standardised", "0.1,-0.9,1,0"])
def test_every_set_has_the_numbers_of_score(run, tmp_path, alpha):
    out = tmp_path / "r.html"
    code, said, err = run(*REPORT, "--ood", "photo-patches", f"--alpha={alpha}", "--out", out, "--json")
    assert code == 0, err
    found = json.loads(said)
    for ood in ("mnist", "photo-patches") if alpha != "logistic" else ("mnist",):
        code, said, err = run("score", *BASE, "--ood", ood, f"--alpha={alpha}", "--json")
        scored = json.loads(said)
        assert found["measured"][ood]["auroc"] == scored["auroc"]
        assert found["measured"][ood]["fpr95"] == scored["fpr95"]
        assert found["alpha"] == scored["alpha"]
        assert f"{scored['auroc']:.4f}" in words(out)
    labels = "not known: it was given" if "," in alpha else scored["labels_used"]
    assert f"alpha {labels}" in words(out)


def test_the_threshold_is_chosen_on_rows_set_aside_as_export_does(run, tmp_path):
    out, bundle = tmp_path / "r.html", tmp_path / "d.fssd"
    found = json.loads(run(*REPORT, "--tpr=0.9", "--out", out, "--json")[1])
    made = json.loads(run("export", *BASE, "--ood", "mnist", "--tpr=0.9", "--out", bundle, "--json")[1])
    assert found["threshold"] == made["threshold"]
    assert found["measured"]["mnist"]["tpr"] == made["tpr"]
    assert "at least 90 % of ind accepted, chosen on 30 fmnist:test images kept apart from the test" in words(out)
    assert "threshold none" in words(out)


def test_a_threshold_by_fpr_names_the_labels_of_all_sets(run, tmp_path):
    out = tmp_path / "r.html"
    assert run(*REPORT, "--ood", "photo-patches", "--fpr=0.1", "--out", out)[0] == 0
    assert "threshold 60 ood images of mnist, photo-patches" in words(out)


@pytest.mark.parametrize(
    "flags",
    [
        ["--alpha=pseudo-ood", "--ood=photo-patches", "--prevalence=0.01", "--images=500"],
        ["--alpha=1,-2,0.5,1", "--threshold=-3.5", "--chosen=by 'eye'", "--labels=alpha=a guess", "--epsilon=0.01"],
        ["--layers=fc1,logits", "--noise-samples=20", "--seed=3", "--fpr=0.2", "--gradient=standardised"],
    ],
)  # fmt: skip
def test_the_command_in_the_page_writes_the_same_page(run, tmp_path, monkeypatch, flags):
    first = tmp_path / "first.html"
    assert run(*REPORT, *flags, "--out", first)[0] == 0
    command = command_of(first)
    assert command[:2] == ["fssd", "report"]
    monkeypatch.chdir(tmp_path)
    assert main(command[1:]) == 0
    assert (tmp_path / "report.html").read_bytes() == first.read_bytes()


def test_given_labels_and_words_stand_in_the_page(run, tmp_path):
    out = tmp_path / "r.html"
    flags = [
        "--labels=alpha=500 of mnist",
        "--labels=epsilon=none",
        "--labels=threshold=none at all",
        "--chosen=by eye",
    ]
    code, said, _ = run(*REPORT, "--alpha=1,1,1,1", "--threshold=9", "--epsilon=0.01", *flags, "--out", out)
    assert code == 0
    assert "threshold 9: by eye" in said
    for part in ("alpha 500 of mnist", "epsilon none", "threshold none at all", "9.0: by eye", "0.01 pixels"):
        assert part in words(out), part


def test_a_file_whose_name_is_markup_stays_text(run, tmp_path):
    path = tmp_path / "<img src=x onerror=alert(1)>.npz"
    np.savez(path, images=load_data("fmnist-rotated").images[:40])
    code, _, err = run("report", *BASE, "--ood", path, "--out", tmp_path / "r.html")
    assert code == 0, err
    text = (tmp_path / "r.html").read_text()
    assert "<img src=x" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;.npz" in text


def test_a_conversion_is_noted(run, tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "colour.npz", images=rng.integers(0, 256, (30, 40, 32, 3)).astype(np.uint8))
    assert run("report", *BASE, "--ood", tmp_path / "colour.npz", "--out", tmp_path / "r.html")[0] == 0
    assert "colour.npz: colour was turned to grey (luma)" in words(tmp_path / "r.html")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--out=r.pdf"], "ending must be one of .html"),
        (["--out=nowhere/r.html"], "there is no folder nowhere"),
        (["--out=r.html", "--alpha=pseudo"], "did you mean 'pseudo-ood'"),
        (["--out=r.html", "--chosen=so"], "--chosen was given without --threshold"),
        (["--out=r.html", "--labels=beta=x"], "it is WHAT=WORDS, WHAT one of alpha, epsilon, threshold"),
        (["--out=r.html", "--labels=alpha"], "it is WHAT=WORDS"),
        (["--out=r.html", "--ood=mnist"], "name a set twice"),
        (["--out=r.html", "--ood= "], "--ood is empty"),
        (["--out=r.html", "--tpr=1.5"], "a true positive rate of 1.5 was given"),
        (["--out=r.html", "--prevalence=0"], "a prevalence of 0"),
        (["--out=r.html", "--tpr=0"], "accept nothing"),
        (["--out=r.html", "--alpha=0,0,0,0"], "alpha is 0 in every layer"),
        (["--out=r.html", "--seed=-1"], "--seed -1 was given"),
    ],
)
def test_bad_input_is_one_clear_line(run, tmp_path, monkeypatch, flags, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*REPORT, *flags)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
    assert not list(tmp_path.glob("*.html"))


def test_a_rule_is_given_once(capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*REPORT, "--tpr=0.9", "--threshold=3", "--out=r.html"])
    assert stopped.value.code == 2
    assert "not allowed with" in capsys.readouterr().err
