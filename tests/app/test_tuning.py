"""The Tuning page's own parts: what it says of bad sets, where it starts, what is in the address, what leaves it."""

from __future__ import annotations

import csv
import html
import io
import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("streamlit")
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from streamlit.testing.v1 import AppTest

from app import tuning_checks, tuning_presets, tuning_report, tuning_state
from app.components.cockpit import Setting
from app.export_panel import _table
from app.theme import IND, OOD
from app.tuning_scores import distances_at
from fssd_core import ensemble, report_style
from fssd_core.assets import assets_root
from fssd_core.data import load_data
from fssd_core.demo import KNOTS
from fssd_core.ensemble import combine
from fssd_core.metrics import confusion, metrics
from fssd_core.operating_point import Choice
from fssd_core.store import Store
from fssd_core.study import Study, compare, stored_sweep
from fssd_core.types import LayerScores, Weights
from tests.app.test_views import ENTRY, LAST, components, errors, home, save_npz, start, wait_until

__all__ = ["home"]
STUDY = Study()


@pytest.fixture(scope="module")
def sweeps() -> dict[str, dict[float, LayerScores]]:
    store = Store(Path("/nowhere"), shipped=[assets_root() / "store"])
    return {ref: stored_sweep(STUDY, ref, KNOTS, store=store) for ref in (STUDY.ind, *STUDY.ood)}


def setting(**changes) -> Setting:
    weights = Weights((0.25, -0.6, 1.0, -0.1), ("conv1", "conv2", "fc1", "logits"), "pseudo-ood", "none (made)")
    return Setting(**{"weights": weights, "epsilon": 0.0, "threshold": 0.9, "choice": Choice(), "ood": None, **changes})


# ---- what is wrong with the sets -----------------------------------------------------------------------------------


def notes(values: dict[str, np.ndarray], names: tuple[str, ...] = ("mnist",)) -> list[str]:
    study = Study(ood=names)
    swept = {ref: {0.0: LayerScores(v, ("a", "b"))} for ref, v in values.items()}
    plain = {ref: compare(study, ref, swept[study.ind][0.0], swept[ref][0.0]) for ref in names}
    rows = {ref: np.arange(len(v)) + 70 for ref, v in values.items()}
    return list(tuning_checks.notes(study, swept, rows, plain))


def drawn(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(5, 1, (count, 2))


def test_good_sets_need_no_words():
    assert notes({"fmnist:test": drawn(200), "mnist": drawn(200, 1)}) == []


def test_images_without_a_score_are_counted_and_named():
    bad = drawn(200, 1)
    bad[3, 0], bad[150, 1] = np.nan, np.inf
    (said,) = notes({"fmnist:test": drawn(200), "mnist": bad})
    assert said.startswith("**mnist**: 2 images of 200 have a score that is NaN or infinite")
    assert "rows 73, 220. Check" in said
    bad[:40] = np.nan
    (said,) = notes({"fmnist:test": drawn(200), "mnist": bad})
    assert "41 images of 200" in said
    assert "rows 70, 71, 72, 73, 74, 75, 76, 77 and 33 more" in said


def test_copies_small_sets_and_a_dead_network_are_told():
    (said,) = notes({"fmnist:test": drawn(200), "mnist": np.full((200, 2), 3.0)})
    assert "all 200 images have the very same distances" in said
    (said,) = notes({"fmnist:test": drawn(200), "mnist": drawn(20, 1)})
    assert said.startswith("**mnist** is small: 10 images to fit alpha on and 10 to test on. One image stands for 10 %")
    (said,) = notes({"fmnist:test": np.ones((200, 2)), "mnist": np.ones((200, 2))})
    assert said.startswith("All 400 images of every set have the very same distances: the network gives the same")


def test_sets_too_small_to_split_are_left_out_with_words():
    study = Study(ood=("mnist", "photo-patches", "digits8x8"))
    kept, said = tuning_checks.usable(study, {"mnist": 1, "photo-patches": 3, "digits8x8": 4})
    assert kept == ("digits8x8",)
    assert said[0].startswith("**mnist** has 1 image, too few to fit on some and test on others; give at least 4")
    assert "3 images" in said[1]


def test_the_split_is_told_in_its_true_numbers():
    study = Study(ood=("mnist", "photo-patches"))
    ind = LayerScores(drawn(2000), ("a", "b"))
    plain = {ref: compare(study, ref, ind, LayerScores(drawn(n, 1), ("a", "b"))) for ref, n in
             (("mnist", 2000), ("photo-patches", 30))}  # fmt: skip
    assert "(500 of fmnist:test, 500 of mnist, 15 of photo-patches)" in tuning_checks.split_words(study, plain)
    del plain["photo-patches"]
    assert tuning_checks.split_words(study, plain).endswith("is among the 500 a set that alpha may be fitted on")


# ---- where the page starts, and the address -------------------------------------------------------------------------


def test_the_default_is_the_preset_without_ood_labels_where_it_is_there():
    uniform = ensemble.uniform(("a", "b"))
    pseudo = Weights((1, -2), ("a", "b"), "pseudo-ood", "none")
    logistic = Weights((3, 1), ("a", "b"), "logistic", "500 of mnist")
    assert tuning_presets.default({"uniform": uniform, "logistic on mnist": logistic}) is uniform
    offered = {"uniform": uniform, "pseudo-ood, ε 0.02": pseudo, "logistic on mnist": logistic}
    assert tuning_presets.default(offered) is pseudo
    said = [tuning_state._said_alpha(w, offered) for w in (pseudo, pseudo.normalised(), uniform, logistic)]
    assert said == ["", "", "uniform", "1,0.3333333333"]
    assert tuning_state._said_alpha(uniform, {"uniform": uniform}) == ""


def numbers(app: AppTest) -> list[float]:
    assert errors(app) == ""
    return [float(text.split()[0]) for text in app.dataframe[0].value["AUROC"]]


def settled(app: AppTest) -> AppTest:
    return wait_until(app, lambda app: errors(app) or app.dataframe)


def test_uniform_in_the_address_is_uniform_and_nonsense_starts_from_the_default(home):
    default = numbers(start("tuning"))
    app = AppTest.from_file(ENTRY, default_timeout=90)
    app.query_params["alpha"] = "uniform"
    app.run()
    app.switch_page("views/tuning.py").run()
    assert numbers(app) != default
    assert set(app.dataframe[0].value["labels used for alpha"]) == {"none"}
    app = start("tuning", alpha="1,2")
    assert any("does not fit 4 layers; starting from pseudo-ood" in w.value for w in app.warning)
    assert numbers(app) == default


def test_a_new_study_starts_uniform_and_goes_over_to_the_default_once_that_is_computed(home):
    app = settled(start("tuning", n="200", ood="mnist"))
    labels = set(app.dataframe[0].value["labels used for alpha"])
    assert labels == {"none"}
    uniform = numbers(app)[0]
    fitted = {"none (pseudo-ood made from ind images), fitted at ε 0"}
    wait_until(app, lambda app: set(app.dataframe[0].value["labels used for alpha"]) == fitted)
    assert numbers(app)[0] > 0.6 > uniform


# ---- bad files in the page itself -----------------------------------------------------------------------------------


def said(app: AppTest) -> str:
    assert not app.exception, [e.value for e in app.exception]
    return " ".join([*(w.value for w in app.warning), *(i.value for i in app.info), *(e.value for e in app.error)])


def test_one_image_copies_a_few_and_odd_sizes_are_explained(home):
    digits = load_data("mnist").images
    save_npz(home / "one.npz", images=digits[:1])
    save_npz(home / "few.npz", images=digits[:20])
    save_npz(home / "copies.npz", images=np.repeat(digits[:1], 120, axis=0))
    save_npz(home / "colour.npz", images=np.random.default_rng(0).integers(0, 256, (120, 40, 32, 3)).astype(np.uint8))
    app = start("tuning", n="200", ood="one.npz")
    wait_until(app, lambda app: "one.npz" in said(app))
    assert "one.npz** has 1 image, too few" in said(app)
    assert "No ood set is left to test on" in said(app)
    names = [str(home / f"{name}.npz") for name in ("one", "few", "copies", "colour")]
    app.sidebar.multiselect(key="ood").set_value(names).run()
    app.switch_page("views/tuning.py").run()
    settled(app)
    for part in (
        "one.npz** has 1 image",
        "few.npz** is small: 10 images to fit alpha on and 10 to test on",
        "copies.npz**: all 120 images have the very same distances",
        "colour was turned to grey (luma)",
        "resized from 32x40 to 28x28",
    ):
        assert part in said(app), part
    assert list(app.dataframe[0].value["ood"]) == ["few.npz", "copies.npz", "colour.npz"]
    assert components(app)


def test_a_network_that_overflows_for_some_images_says_how_many_and_where(home):
    weights = load_file(LAST)
    weights["logits.weight"] = weights["logits.weight"] * np.float32(7e17)
    weights["logits.bias"] = weights["logits.bias"] * np.float32(7e17)
    save_file(weights, home / "huge.safetensors", metadata=safe_open(LAST, "np").metadata())
    app = start("tuning", n="200", model="huge.safetensors")
    wait_until(app, errors)
    found = re.search(r"(\d+) of 200 images have distances that are not finite at epsilon 0 in logits", errors(app))
    assert found, errors(app)
    assert 0 < int(found[1]) < 200
    assert "leave out that layer" in errors(app)


# ---- what leaves the page -------------------------------------------------------------------------------------------


def test_scores_as_csv_and_parquet_are_equal_and_agree_with_the_page(sweeps):
    parquet = pytest.importorskip("pyarrow.parquet")
    raw = {kind: _table(kind, STUDY, setting(), sweeps, None) for kind in (".csv", ".parquet")}
    rows = list(csv.DictReader(io.StringIO(raw[".csv"].decode(), newline="")))
    table = parquet.read_table(io.BytesIO(raw[".parquet"])).to_pylist()
    assert len(rows) == len(table) == sum(len(s[0.0]) for s in sweeps.values())
    assert list(rows[0]) == list(table[0])
    for kind, text in {"row": int, "score": float, "fssd_fc1": float, "accepted": lambda v: v == "True"}.items():
        assert [text(row[kind]) for row in rows] == [row[kind] for row in table]
    assert [row["data"] for row in rows] == [row["data"] for row in table]
    mnist = [row for row in table if row["data"] == "mnist"]
    scores = combine(sweeps["mnist"][0.0], setting().weights)
    assert [row["score"] for row in mnist] == scores.tolist()
    assert [row["row"] for row in mnist] == load_data("mnist").sample(2000, seed=0).rows.tolist()
    assert sum(row["accepted"] for row in mnist) == int((scores >= 0.9).sum())


def test_an_image_without_a_score_keeps_its_row_and_is_rejected(sweeps):
    broken = {ref: dict(sweep) for ref, sweep in sweeps.items()}
    values = sweeps["mnist"][0.0].values.copy()
    values[5, 2] = np.nan
    broken["mnist"][0.0] = LayerScores(values, setting().weights.layers)
    for epsilon in (0.0, 0.001):
        rows = list(csv.DictReader(io.StringIO(_table(".csv", STUDY, setting(epsilon=epsilon), broken, None).decode())))
        mnist = [row for row in rows if row["data"] == "mnist"]
        assert len(mnist) == 2000
        assert (mnist[5]["score"], mnist[5]["accepted"]) == ("nan", "False")
        assert "nan" not in {row["score"] for row in mnist[6:]}


def test_distances_between_the_knots_keep_every_image_in_its_place(sweeps):
    sweep = sweeps["mnist"]
    between = distances_at(sweep, 0.015).values
    ends = np.stack([sweep[0.006].values, sweep[0.02].values])
    bounds = ends.min(axis=0), ends.max(axis=0)
    assert (between >= bounds[0] - 1e-4).all()
    assert (between <= bounds[1] + 1e-4).all()
    assert distances_at(sweep, 0.02) is sweep[0.02]


@pytest.fixture(scope="module")
def page(sweeps) -> str:
    given = setting(ood="mnist", choice=Choice("fpr", fpr=0.1, prevalence=0.2))
    store = Store(Path("/nowhere"), shipped=[assets_root() / "store"])
    return tuning_report.report_bytes(STUDY, given, sweeps, also={}, store=store, root=None).decode()


def test_the_report_has_the_pages_numbers(page, sweeps):
    text = re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))
    for ref in STUDY.ood:
        plain = compare(STUDY, ref, sweeps[STUDY.ind][0.0], sweeps[ref][0.0])
        ind, ood = (combine(side, setting().weights) for side in (plain.test_ind, plain.test_ood))
        found, counts = metrics(ind, ood), confusion(ind, ood, 0.9)
        assert f"{ref} 1,500 : 1,500 {found.auroc:.4f}" in text
        assert f" {counts.fp:,} " in text
        assert f" {counts.tn:,} " in text


def test_the_report_says_that_the_threshold_saw_the_labels_it_is_tested_on(page):
    text = html.unescape(page)
    assert "the held-out images of mnist, the very ones that are tested on" in text
    assert "at most 10 % of ood accepted, chosen on the held-out images of fmnist:test and mnist" in text
    assert "none (made)" in text
    assert "20.0 % are ood of that kind" in text


def test_the_reports_command_writes_the_same_numbers(page, tmp_path, monkeypatch):
    import shlex

    from fssd_core.cli import main

    command = shlex.split(html.unescape(re.search(r"<pre><code>(.*?)</code>", page, re.DOTALL)[1]))
    monkeypatch.setenv("FSSD_HOME", str(tmp_path))
    from fssd_core import cli_report

    monkeypatch.setattr(cli_report, "Store", lambda: Store(tmp_path, shipped=[assets_root() / "store"]))
    monkeypatch.chdir(tmp_path)
    assert main(command[1:]) == 0
    again = (tmp_path / "report.html").read_text()
    for heading in ("Result on held-out images", "Scores", "Layers", "At the threshold", "Images nearest"):
        part = re.compile(rf"<h2>{heading}.*?</section>", re.DOTALL)
        assert part.search(again)[0] == part.search(page)[0], heading


def test_a_report_between_the_knots_says_that_it_interpolates(sweeps, tmp_path):
    given = setting(epsilon=0.015)
    text = tuning_report.report_bytes(STUDY, given, sweeps, also={}, store=Store(tmp_path), root=None).decode()
    assert "Distances at epsilon 0.015 are interpolated" in text
    at_knot = tuning_report.report_bytes(
        STUDY, setting(epsilon=0.02), sweeps, also={}, store=Store(tmp_path), root=None
    )
    assert "interpolated" not in at_knot.decode()


def test_an_uploads_folder_stays_on_the_server(tmp_path, monkeypatch, sweeps):
    path = tmp_path / "secret-folder" / "mine.npz"
    path.parent.mkdir()
    np.savez(path, images=load_data("mnist").images[:40])
    study = Study(ood=(str(path),))
    swept = {STUDY.ind: {0.0: sweeps[STUDY.ind][0.0]}, str(path): {0.0: sweeps["mnist"][0.0].take(np.arange(40))}}
    text = tuning_report.report_bytes(study, setting(), swept, also={}, store=Store(tmp_path), root=None).decode()
    assert "secret-folder" not in text
    assert "--ood=mine.npz" in text


def test_the_reports_colours_are_the_dashboards():
    assert report_style.IND == IND
    assert {mode: tuple(colours[:7]) for mode, colours in OOD.items()} == report_style.OOD
