"""Leaks by hash: exact counts on sets made to leak, and none where there is none."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fssd_core import ensemble
from fssd_core.cli import main
from fssd_core.data import ImageSet, load_data
from fssd_core.leaks import find_leaks, shared
from fssd_core.study import Study

RNG = np.random.default_rng(3)
IND = RNG.integers(256, size=(60, 28, 28), dtype=np.uint8)
OOD = RNG.integers(256, size=(40, 28, 28), dtype=np.uint8)
STUDY = Study(ind="a", ood=("b",))


def found(ind: np.ndarray, ood: np.ndarray, fit: int = 10) -> list[tuple[str, float]]:
    leaks = find_leaks(STUDY, {"a": ImageSet("a", ind), "b": ImageSet("b", ood)}, fit=fit)
    return [(leak.words, leak.share) for leak in leaks]


def test_sets_without_a_common_image_have_no_leak():
    assert found(IND, OOD) == []
    off = OOD.copy()
    off[3] = IND[5]
    off[3, 0, 0] ^= 1  # one pixel by one step: another image
    assert found(IND, off) == []


def test_images_on_both_sides_are_counted_with_their_rows():
    ood = OOD.copy()
    ood[[4, 9]] = IND[[50, 51]]
    [(words, share)] = found(IND, ood)
    assert words.startswith("2 of 40 images of b are also in a (row 4, 9): no detector")
    assert share == 2 / 40
    a, b = shared(ImageSet("a", IND), ImageSet("b", ood))
    assert (a.tolist(), b.tolist()) == ([50, 51], [4, 9])


def test_common_images_are_looked_for_in_the_whole_sets():
    ood = OOD.copy()
    ood[:20] = IND[:20]
    whole = {"a": ImageSet("a", IND), "b": ImageSet("b", ood)}
    drawn = {"a": whole["a"].take(np.arange(30, 60)), "b": whole["b"].take(np.arange(20))}
    assert find_leaks(STUDY, drawn, fit=5) == ()
    [leak] = find_leaks(STUDY, drawn, whole=whole, fit=5)
    assert leak.words.startswith("20 of 40 images of b are also in a (row 0, 1, 2 ...)")
    assert leak.share == 0.5


def test_colour_and_grey_sets_share_nothing():
    a, b = shared(ImageSet("a", IND), ImageSet("b", np.repeat(IND[..., None], 3, axis=3)))
    assert len(a) == len(b) == 0


@pytest.mark.parametrize("side", ["a", "b"])
def test_test_images_among_the_fitted_ones_are_counted(side):
    images = (IND if side == "a" else OOD).copy()
    rows = ensemble.split(60, 40, fit=10, seed=STUDY.seed)
    fitted, tested = (rows.fit_ind, rows.test_ind) if side == "a" else (rows.fit_ood, rows.test_ood)
    images[tested[:7]] = images[fitted[0]]
    images[tested[8]] = images[tested[9]]  # twice among the test images: no leak
    [(words, share)] = found(images, OOD) if side == "a" else found(IND, images)
    assert words.startswith(f"7 of {len(tested)} test images of {side} are also among the 10 that alpha")
    assert share == 7 / len(tested)


def test_training_images_taken_as_ind_are_told():
    study = Study(ind="fmnist:train", ood=("mnist",), samples=300)
    sets = {ref: load_data(ref).sample(300, seed=0) for ref in ("fmnist:train", "mnist")}
    [leak] = find_leaks(study, sets)
    assert leak.words.startswith("300 of 300 images of fmnist:train are in fmnist:train, which the network was trained")
    assert leak.share == 1


def test_the_command_line_tells_of_a_leak(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FSSD_HOME", str(tmp_path / "home"))
    ind = load_data("fmnist:test").images[:40]
    ood = np.concatenate([ind[:30], OOD[:10]])
    np.savez(tmp_path / "ind.npz", images=ind)
    np.savez(tmp_path / "ood.npz", images=ood)
    command = ["score", "--model", "demo/lenet", "--ind", str(tmp_path / "ind.npz"), "--ood", str(tmp_path / "ood.npz")]
    assert main([*command, "--json"]) == 0
    out, err = capsys.readouterr()
    assert "fssd: leak: 30 of 40 images of " in err
    [told] = json.loads(out)["leaks"]
    assert told.startswith("30 of 40 images of ")
