"""What the Features page shows of chosen images, through AppTest, against the store's own scores; figures; the CSV."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("streamlit")
from sklearn.metrics import average_precision_score, roc_auc_score
from streamlit.testing.v1 import AppTest

from app.charts import page_of
from app.components.cockpit import Setting
from app.components.selecting import Selection, encode
from app.figures.curves import Line, pr_curves, roc_curves
from app.inspection import Scored
from app.selection_panel import table
from app.selection_scores import distances, fit_rows, lacking
from fssd_core import ensemble
from fssd_core.assets import assets_root
from fssd_core.metrics import pr, roc
from fssd_core.operating_point import Choice
from fssd_core.store import Store
from fssd_core.study import Study, open_data, stored_scores
from fssd_core.study_projection import drawn_study, projection_sets, stored_projection
from fssd_core.study_pseudo import stored_pseudo_sweep
from fssd_core.subset import judge_rows
from fssd_core.types import PointGroup, Weights
from tests.app.test_views import errors, home, start  # noqa: F401

STUDY = Study()
LAYERS = ("conv1", "conv2", "fc1", "logits")
KEY = "features-scatter"


@pytest.fixture
def shipped(tmp_path: Path) -> Store:
    return Store(tmp_path / "own", shipped=[assets_root() / "store"])


def drawn(store: Store) -> tuple[PointGroup, ...]:
    return stored_projection(STUDY, "logits", "centred-spokes", store=store).groups


def choose(app: AppTest, groups: tuple[PointGroup, ...], **places: slice) -> dict[str, np.ndarray]:
    """Puts a lasso's state into the page: {group: rows} of what is chosen."""
    flags = np.zeros(groups[-1].stop, bool)
    for group in groups:
        if (at := places.get(group.name.replace(":", "_").replace("-", "_"))) is not None:
            flags[group.start : group.stop][at] = True
    app.session_state[KEY] = {"lasso": encode(flags, groups)}
    app.run()
    chosen = {g.name: g.rows[flags[g.start : g.stop]] for g in groups}
    return {name: rows for name, rows in chosen.items() if len(rows)}


def untuned_scores(store: Store, ref: str) -> tuple[np.ndarray, np.ndarray]:
    """(rows, scores) of the drawn images under alpha of the stored pseudo-ood at epsilon 0."""
    ind = stored_scores(STUDY, STUDY.ind, store=store).take(ensemble.fit_rows(2000, seed=STUDY.seed))
    weights = ensemble.pseudo_ood(ind, stored_pseudo_sweep(STUDY, (0.0,), store=store)[0.0])
    scores = stored_scores(drawn_study(STUDY, ref), ref, store=store)
    return open_data(drawn_study(STUDY, ref), ref).rows, ensemble.combine(scores, weights)


def said(app: AppTest, pattern: str) -> re.Match[str]:
    found = [m for text in (*app.caption, *app.info, *app.markdown) if (m := re.search(pattern, text.value))]
    assert found, (pattern, [t.value for t in (*app.caption, *app.info)])
    return found[0]


def test_a_selection_has_the_stores_numbers_under_the_untuned_setting(home, shipped):  # noqa: F811
    app = start()
    assert said(app, "Press the lasso above the picture")
    groups = drawn(shipped)
    chosen = choose(app, groups, fmnist_test=slice(0, 90, 3), mnist=slice(0, 40), noise=slice(0, 3))
    assert errors(app) == ""
    assert app.subheader[0].value == "Selection: 73 images"
    assert said(app, r"^30 fmnist:test · 40 mnist · 3 noise behind F\*$")
    words = said(app, r"Scored at ε 0 with α pseudo-ood .*as the Tuning page starts; threshold (-?[\d.]+)\.")
    assert "Noise, which F\\* is the mean of, is not scored" in words.string
    _, counts, measures = (frame.value for frame in app.dataframe)
    truth, values = [], []
    for ref in (STUDY.ind, "mnist"):
        rows, scores = untuned_scores(shipped, ref)
        picked = scores[np.isin(rows, chosen[ref])]
        values += list(picked)
        truth += [ref == STUDY.ind] * len(picked)
    known = dict(zip(measures[""], measures["selected"], strict=True))
    assert known["ind : ood"] == "30 : 40"
    assert float(known["AUROC"]) == pytest.approx(roc_auc_score(truth, values), abs=5e-5)
    assert float(known["AUPR-IN"]) == pytest.approx(average_precision_score(truth, values), abs=5e-5)
    assert dict(zip(measures[""], measures["all drawn"], strict=True))["ind : ood"] == "600 : 300"
    assert list(counts["selected"]) == ["30 of 600", "40 of 300"]
    threshold = float(words[1])
    rows, scores = untuned_scores(shipped, "mnist")
    share = (scores[np.isin(rows, chosen["mnist"])] >= threshold).mean()
    assert counts["accepted"][1] == f"{share:.1%}"
    assert len(app.get("plotly_chart")) == 3
    assert "features-scatter" not in app.query_params


def test_one_kind_alone_and_noise_alone_are_explained(home, shipped):  # noqa: F811
    app = start()
    groups = drawn(shipped)
    choose(app, groups, mnist=slice(5, 6))
    assert said(app, "No ROC or precision-recall curve: the selection has 1 image with a score, none of them in-distr")
    assert app.subheader[0].value == "Selection: 1 image"
    choose(app, groups, noise=slice(0, 100))
    assert said(app, "Noise is what F")
    assert len(app.get("plotly_chart")) == 1
    assert errors(app) == ""


def test_the_tuned_setting_is_used_and_images_that_alpha_was_fitted_on_are_named(home, shipped):  # noqa: F811
    app = start()
    groups = drawn(shipped)
    weights = Weights((0.0, 0.0, -1.0, 0.5), LAYERS, "logistic", "500 ind + 500 ood images of mnist")
    app.session_state["_setting"] = Setting(weights, 0.0, -3.25, Choice("hand"), "mnist")
    chosen = choose(app, groups, fmnist_test=slice(0, 600), mnist=slice(0, 300))
    words = said(app, r"threshold -3.25\. (\d+) of the selected images are among those that alpha may have been fitted")
    fitted = sum(np.isin(chosen[ref], fit_rows(STUDY, ref, root=None)).sum() for ref in (STUDY.ind, "mnist"))
    assert int(words[1]) == fitted > 0
    assert "α logistic (labels used: 500 ind + 500 ood images of mnist)" in words.string
    scores = {ref: stored_scores(drawn_study(STUDY, ref), ref, store=shipped).values for ref in chosen}
    combined = {ref: -v[:, 2].astype(float) + 0.5 * v[:, 3] for ref, v in scores.items()}
    measures = app.dataframe[2].value
    auroc = roc_auc_score([1] * 600 + [0] * 300, np.concatenate([combined[STUDY.ind], combined["mnist"]]))
    assert measures["selected"][1] == measures["all drawn"][1] == f"{auroc:.4f}"


def test_ids_stay_while_layer_and_page_change(home, shipped):  # noqa: F811
    app = start()
    choose(app, drawn(shipped), mnist=slice(0, 7), photo_patches=slice(0, 2))
    app.sidebar.selectbox(key="layer").set_value("conv2").run()
    assert app.subheader[0].value == "Selection: 9 images"
    app.switch_page("views/about.py").run()
    app.switch_page("views/features.py").run()
    assert app.subheader[0].value == "Selection: 9 images"


def test_drawn_images_that_the_tuning_sample_has_keep_its_very_distances(shipped):
    groups = {g.name: g for g in drawn(shipped)}
    whole = stored_scores(STUDY, "mnist", store=shipped)
    rows = open_data(STUDY, "mnist").rows
    changed = Scored("mnist", type(whole)(whole.values + 1, whole.layers), rows, np.arange(len(rows)))
    found = distances(STUDY, groups["mnist"], 0.0, changed, store=shipped, root=None)
    plain = distances(STUDY, groups["mnist"], 0.0, None, store=shipped, root=None)
    shared = np.isin(groups["mnist"].rows, rows)
    assert 0 < shared.sum() < 300
    np.testing.assert_array_equal(found.values[~shared], plain.values[~shared])
    place = {int(r): i for i, r in enumerate(rows)}
    np.testing.assert_array_equal(
        found.values[shared], changed.whole.values[[place[int(r)] for r in groups["mnist"].rows[shared]]]
    )
    np.testing.assert_allclose(plain.values[shared], found.values[shared] - 1, rtol=1e-4)


def test_what_is_lacking_comes_one_draw_after_the_other(tmp_path, shipped):
    assert lacking(STUDY, [STUDY.ind, "mnist"], 0.0, store=shipped, root=None) is None
    empty = Store(tmp_path / "empty")
    study, refs = lacking(STUDY, [STUDY.ind, "mnist"], 0.01, store=empty, root=None)
    assert (study.samples, study.epsilon, refs) == (2000, 0.01, [STUDY.ind])
    entry = stored_scores(STUDY, STUDY.ind, store=shipped)
    from fssd_core.study import scores_key

    empty.put(scores_key(STUDY, open_data(STUDY, STUDY.ind), 0.0), {"values": entry.values}, {})
    study, refs = lacking(STUDY, [STUDY.ind, "mnist", "photo-patches"], 0.0, store=empty, root=None)
    assert (study.samples, refs) == (600, [STUDY.ind])
    study, refs = lacking(STUDY, ["mnist", "photo-patches"], 0.0, store=empty, root=None)
    assert (study.samples, refs) == (300, ["mnist", "photo-patches"])


def test_the_csv_has_one_line_an_image_and_leaves_noise_without_a_score(shipped):
    groups = {g.name: g for g in drawn(shipped)}
    rows = tuple(sorted(int(r) for r in groups["mnist"].rows[[4, 9]]))
    chosen = Selection({"mnist": rows, "noise": (3,)})
    scores = distances(STUDY, groups["mnist"], 0.0, None, store=shipped, root=None)
    weights = Weights((1.0, 1.0, 1.0, 1.0), LAYERS, "uniform", "none")
    whole = judge_rows("mnist", "ood", groups["mnist"].rows, scores, weights=weights, threshold=80.0)
    picked = whole.take(chosen.of(groups["mnist"]))
    lines = list(csv.reader(io.StringIO(table(STUDY, [groups["mnist"], groups["noise"]], chosen, [picked]).decode())))
    assert lines[0] == ["group", "row", "fssd_conv1", "fssd_conv2", "fssd_fc1", "fssd_logits", "score", "accepted"]
    assert [line[:2] for line in lines[1:]] == [
        ["mnist", str(rows[0])],
        ["mnist", str(rows[1])],
        ["noise behind F*", "3"],
    ]
    for line, score in zip(lines[1:3], picked.scores, strict=True):
        assert float(line[6]) == score == pytest.approx(sum(map(float, line[2:6])))
        assert line[7] == str(bool(score >= 80))
    assert lines[3][2:] == [""] * 6


def test_the_drawn_study_draws_what_the_picture_shows():
    for ref, images in projection_sets(STUDY).items():
        assert open_data(drawn_study(STUDY, ref), ref).rows.tolist() == images.rows.tolist()


# ---- figures --------------------------------------------------------------------------------------------------------


def lines() -> list[Line]:
    ind, ood = np.array([3.0, 4, 5]), np.array([1.0, 4])
    return [Line("selected", roc(ind, ood), 0.9), Line("all drawn", roc(ood, ind), 0.2)]


def test_curves_hold_their_points_and_say_their_area():
    figure = roc_curves(lines(), mode="light")
    assert list(figure.data[0].x) == list(lines()[0].curve.x)
    assert [t.name for t in figure.data[:2]] == ["selected · AUROC 0.900", "all drawn · AUROC 0.200"]
    assert list(figure.data[2].y) == [0, 1]  # chance
    curve = pr([3.0, 4, 5], [1.0, 4])
    figure = pr_curves([Line("selected", curve, 0.8)], chance=0.6, mode="dark")
    assert list(figure.data[0].y) == list(curve.y)
    assert figure.data[0].line.shape == "vh"
    assert list(figure.data[1].y) == [0.6, 0.6]


def test_the_steps_as_drawn_enclose_the_average_precision():
    ind, ood = np.random.default_rng(0).normal(1, 1, 40), np.random.default_rng(1).normal(0, 1, 30)
    curve = pr(ind, ood)
    area = np.sum(np.diff(curve.x) * curve.y[1:])  # 'vh': up at the old recall, then along at the new precision
    assert area == pytest.approx(average_precision_score([1] * 40 + [0] * 30, np.concatenate([ind, ood])))


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_a_figures_page_needs_nothing_else_and_keeps_the_figure(mode):
    figure = roc_curves(lines(), mode=mode)
    page = page_of(figure, title="A <b> & C", mode=mode)
    assert "plotly.js v" in page
    assert not re.search(r"<(script|link)[^>]+(src|href)=[\"']?http", page)
    assert "<title>A &lt;b&gt; &amp; C</title>" in page
    assert ("#171614" in page) == (mode == "dark")
    assert figure.layout.paper_bgcolor is None, "the page's own figure stays as it was"
