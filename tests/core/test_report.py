"""The report: its numbers against direct calculation, what it calls out, and that no name becomes markup."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from fssd_core.ensemble import combine
from fssd_core.errors import InputError
from fssd_core.metrics import confusion, fpr_at_tpr, metrics
from fssd_core.operating_point import Choice, outlook
from fssd_core.report import EXAMPLES, Chosen, Report, Side, make_report
from fssd_core.report_charts import Frame, densities, pr_chart, roc_chart, score_range, thinned, ticks
from fssd_core.report_html import report_html
from fssd_core.report_tables import listed, percent
from fssd_core.study import Study, compare
from fssd_core.types import LayerScores, Weights

STUDY = Study()
LAYERS = ("conv1", "conv2", "fc1", "logits")
HOSTILE = '<img src=x onerror="alert(1)">&\'.npz'
WEIGHTS = Weights((1.0, -0.5, 0.25, 2.0), LAYERS, "logistic", "500 ind + 500 ood images of near")
VOID = {"meta", "img", "br", "link", "path", "circle"}


def side(name: str, mean: tuple[float, ...], seed: int, count: int = 120, shape: tuple[int, ...] = (28, 28)) -> Side:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, *shape)).astype(np.uint8)
    return Side(name, LayerScores(rng.normal(mean, 1, (count, 4)), LAYERS), images, np.arange(count) + 1000)


IND = side("ind-set", (5, 5, 5, 5), 0)
NEAR, FAR = side("near", (2, 4.9, 4, 3), 1), side("far", (8, 5, 4, 1), 2, 80)


def made(**changes) -> Report:
    options = {
        "epsilon": 0.02,
        "threshold": 9.0,
        "chosen": Chosen(Choice("tpr", prevalence=0.1), None, "none", "set by hand"),
        "ind": IND,
        "oods": [NEAR, FAR],
        "date": "2026-01-31T12:00:00+00:00",
        "command": "fssd report --model=demo/lenet",
    }
    return make_report(STUDY, changes.pop("weights", WEIGHTS), **{**options, **changes})


@pytest.fixture(scope="module")
def page() -> str:
    fitting = {s.name: compare(STUDY, s.name, IND.distances, s.distances, fit=40) for s in (NEAR, FAR)}
    return report_html(made(fitting=fitting, notes=["near: resized from 32x32 to 28x28 pixels"]))


class Tags(HTMLParser):
    """Every tag and attribute, and whether they are nested properly."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def tags(text: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(text)
    assert parser.open == []
    return parser.seen


def words(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", " ", text, flags=re.DOTALL))


def test_every_number_is_that_of_the_scores():
    report = made()
    ind, near = combine(IND.distances, WEIGHTS), combine(NEAR.distances, WEIGHTS)
    assert report.measured["near"].metrics == metrics(ind, near)
    assert report.counts["near"] == confusion(ind, near, 9.0)
    counts = report.counts["near"]
    assert report.outlooks["near"] == outlook(counts.tpr, counts.fpr, report.chosen.choice)
    low, high = report.measured["near"].intervals["auroc"]
    assert low < report.measured["near"].metrics.auroc < high
    assert report.layers["far"]["conv1"] == metrics(IND.distances.column("conv1"), FAR.distances.column("conv1")).auroc
    assert report.odd_layers() == {
        "near": {"conv2": "uninformative"},
        "far": {"conv1": "inverted", "conv2": "uninformative"},
    }


def test_the_page_shows_these_numbers(page):
    text = words(page)
    ind = combine(IND.distances, WEIGHTS)
    for other in (NEAR, FAR):
        ood = combine(other.distances, WEIGHTS)
        found = metrics(ind, ood)
        assert f"{other.name} 120 : {len(ood)} {found.auroc:.4f}" in text
        assert percent(fpr_at_tpr(ind, ood, 0.95)) in text
        counts = confusion(ind, ood, 9.0)
        assert f"{counts.fp:,} {percent(counts.fpr)} {counts.tn:,} {percent(counts.tnr)}" in text
        missed = 10_000 * 0.1 * counts.fpr
        assert f"{percent(counts.tnr)} {missed:,.0f}" in text or f"{percent(counts.tnr)} {missed:.3g}" in text
    assert f"accepts {percent(np.mean(ind >= 9))} of 120 held-out ind-set images" in text


def test_the_page_says_the_setting_the_labels_and_what_is_wrong(page):
    text = words(page)
    for part in (
        "alpha 500 ind + 500 ood images of near",
        "epsilon set by hand",
        "threshold none",
        "0.02 pixels, gradient rule 'sign'",
        "9.0: at least 95 % of ind accepted",
        "+1 ", "-0.5 ", "inverted", "uninformative",
        "On far ood lies farther from F* than ind in conv1.",
        "near: resized from 32x32 to 28x28 pixels",
        "10.0 % are ood of that kind",
        "fssd report --model=demo/lenet",
        "fssd-explorer 0.1.0, torch",
        "this detector",
        "logistic on far",
        "2026-01-31T12:00:00+00:00",
    ):  # fmt: skip
        assert part in text, part
    model = made()
    assert model.file_hash in text
    assert model.digest in text


def test_the_page_asks_nothing_of_anybody_and_runs_nothing(page):
    seen = tags(page)
    names = {tag for tag, _ in seen}
    assert not names & {"script", "link", "iframe", "object", "embed", "form", "base"}
    for tag, attributes in seen:
        assert not [name for name in attributes if name.startswith("on")], tag
        for name in ("src", "href", "xlink:href", "srcset"):
            assert attributes.get(name, "data:").startswith("data:image/png;base64,") or name not in attributes
    assert not re.search(r"url\(|@import|https?:", page)
    assert ("meta", {"http-equiv": "Content-Security-Policy", "content": "default-src 'none'; img-src data:; "
            "style-src 'unsafe-inline'"}) in seen  # fmt: skip
    assert "prefers-color-scheme:dark" in page
    assert "@media print" in page
    assert len(page) < 400_000


def test_names_with_markup_stay_text():
    oods = [Side(HOSTILE, NEAR.distances, NEAR.images, NEAR.rows)]
    ind = Side("<script>alert(2)</script>", IND.distances, IND.images, IND.rows)
    weights = Weights(WEIGHTS.alpha, LAYERS, "<b>rule</b>", "</style><script>alert(3)</script>")
    fitting = {HOSTILE: compare(STUDY, HOSTILE, IND.distances, NEAR.distances, fit=40)}
    chosen = Chosen(Choice(), "</dd><script>", "<i>", '"><svg onload=alert(4)>')
    page = report_html(
        made(ind=ind, oods=oods, weights=weights, chosen=chosen, fitting=fitting, model_name='"><script>x</script>',
             command="fssd --ood='<script>'", notes=["<script>note</script>"], also={"<u>": WEIGHTS})
    )  # fmt: skip
    seen = tags(page)
    assert not {tag for tag, _ in seen} & {"script", "u"}
    assert sum(tag == "style" for tag, _ in seen) == 1
    assert not [a for _, attributes in seen for a in attributes if a.startswith("on")]
    images = [attributes for tag, attributes in seen if tag == "img"]
    assert all(attributes["src"].startswith("data:image/png") for attributes in images)
    assert any(HOSTILE in (attributes["alt"] or "") for attributes in images)
    assert page.count("alert(1)") >= 4, "the name is there, as text"


def test_images_at_the_threshold_are_the_nearest_of_every_set():
    report = made()
    ind = combine(IND.distances, WEIGHTS)
    rejected, accepted = report.examples["ind"]
    below = np.sort(ind[ind < 9.0])[::-1][:EXAMPLES]
    above = np.sort(ind[ind >= 9.0])[:EXAMPLES]
    assert [e.score for e in rejected] == below.tolist()
    assert [e.score for e in accepted] == above.tolist()
    first = rejected[0]
    assert ind[first.row - 1000] == first.score
    assert (first.image == IND.images[first.row - 1000]).all()
    for found in report.examples["ood"]:
        assert {e.name for e in found} == {"near", "far"}
        assert [abs(e.score - 9.0) for e in found] == sorted(abs(e.score - 9.0) for e in found)


def test_the_pictures_are_the_images():
    colour = side("near", (2, 4.9, 4, 3), 1, shape=(200, 100, 3))
    report = made(oods=[colour])
    seen = [attributes["src"] for tag, attributes in tags(report_html(report)) if tag == "img"]
    decoded = [np.asarray(Image.open(io.BytesIO(base64.b64decode(s.partition(",")[2])))) for s in seen]
    grey = report.examples["ind"][0] + report.examples["ind"][1]
    assert all((a == b.image).all() for a, b in zip(decoded, grey, strict=False))
    assert {d.shape for d in decoded[len(grey) :]} == {(64, 32, 3)}


def test_scores_that_are_none_are_counted_and_left_out():
    values = NEAR.distances.values.copy()
    values[3, 1], values[7, 0] = np.nan, np.inf
    broken = Side("near", LayerScores(values, LAYERS), NEAR.images, NEAR.rows)
    report = made(oods=[broken])
    assert report.measured["near"].metrics.n_ood == 118
    assert report.notes == (
        "2 of 120 near images have a score that is NaN or infinite; they are left out of every number.",
    )
    kept = np.isfinite(values).all(axis=1)
    expected = metrics(combine(IND.distances, WEIGHTS), combine(NEAR.distances, WEIGHTS)[kept])
    assert report.measured["near"].metrics == expected
    fitting = compare(STUDY, "near", IND.distances, broken.distances, fit=40)
    told = made(oods=[broken], fitting={"near": fitting})
    assert told.transfer is not None, "what has no score is left out of the matrix too"
    assert len(told.notes) == 1


def test_equal_scores_and_a_set_of_one_image_make_a_page():
    flat = Side("near", LayerScores(np.ones((1, 4)), LAYERS), NEAR.images[:1], NEAR.rows[:1])
    same = Side("far", LayerScores(np.ones((9, 4)), LAYERS), NEAR.images[:9], NEAR.rows[:9])
    ind = Side("ind-set", LayerScores(np.ones((5, 4)), LAYERS), IND.images[:5], IND.rows[:5])
    report = made(ind=ind, oods=[flat, same], threshold=2.75)
    assert report.measured["far"].metrics.auroc == 0.5
    page = report_html(report)
    tags(page)
    assert "nan" not in words(page).lower().replace("nan or infinite", "")
    assert "No image is rejected." in page


def test_no_fitting_rows_no_matrix_and_a_reason_where_weights_cannot_be_fitted():
    assert made().transfer is None
    assert "Fitted on one set" not in report_html(made())
    flat = LayerScores(np.ones((20, 4)), LAYERS)
    report = made(fitting={"near": compare(STUDY, "near", flat, flat, fit=5)})
    assert report.transfer is None
    assert report.notes[-1].startswith("No matrix of transferred weights: the 5 images have the same score")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"oods": []}, "sets ind-set were given; a report needs ind and at least one ood set"),
        ({"oods": [NEAR, NEAR]}, "sets ind-set, near, near were given"),
        ({"weights": Weights((0, 0, 0, 0), LAYERS)}, "alpha is 0 in every layer"),
        ({"threshold": float("inf")}, "the threshold is inf, so the detector would accept nothing"),
        ({"threshold": float("-inf")}, "accept everything"),
        (
            {"oods": [Side("near", LayerScores(np.full((2, 4), np.nan), LAYERS), NEAR.images[:2], NEAR.rows[:2])]},
            "none of the 2 images of near has a finite score",
        ),
    ],
)
def test_bad_input_says_what_is_wrong(changes, message):
    with pytest.raises(InputError, match=message):
        made(**changes)


# ---- charts --------------------------------------------------------------------------------------------------------


def test_charts_are_well_formed_and_hold_the_curves():
    ind, ood = combine(IND.distances, WEIGHTS), combine(NEAR.distances, WEIGHTS)
    for chart, extra in ((densities, {"ind_name": "a<b"}), (roc_chart, {}), (pr_chart, {})):
        root = ElementTree.fromstring(chart(ind, {"x & y": ood}, 9.0, **extra))
        assert root.get("role") == "img"
        assert "x & y" in root.get("aria-label")
        assert "nan" not in ElementTree.tostring(root, "unicode")


def test_the_operating_point_lies_on_the_roc_curve():
    ind, ood = np.array([1.0, 2, 3, 4]), np.array([0.0, 1, 1.5, 3.5])
    root = ElementTree.fromstring(roc_chart(ind, {"x": ood}, 2.0))
    point = next(e for e in root.iter() if e.tag == "circle")
    expected = Frame(300, 220, (0.0, 0.0), (1.0, 1.0)).at(0.25, 0.75)
    assert (float(point.get("cx")), float(point.get("cy"))) == pytest.approx(tuple(expected), abs=0.05)


def test_a_frame_maps_its_corners():
    frame = Frame(100, 80, (-1.0, 0.0), (1.0, 10.0), left=10, right=10, top=5, bottom=15)
    assert frame.at([-1, 1, 0], [0, 10, 5]).tolist() == [[10, 65], [90, 5], [50, 35]]


@pytest.mark.parametrize(
    ("low", "high", "wanted", "expected"),
    [(0, 1, 5, [0, 0.2, 0.4, 0.6, 0.8, 1]), (-3.2, 6, 6, [-2, 0, 2, 4, 6]), (0, 1e-4, 4, [0, 5e-5, 1e-4])],
)
def test_ticks_are_round(low, high, wanted, expected):
    assert ticks(low, high, wanted) == expected


def test_the_drawn_range_holds_the_threshold_and_leaves_outliers():
    sides = [np.r_[np.zeros(999), 1e6], np.ones(1000)]
    low, high = score_range(sides, 5.0)
    assert low < 0
    assert 5 < high < 6
    low, high = score_range([np.full(3, 7.0)], 7.0)
    assert low < 7 < high


def test_thinning_keeps_the_ends_and_stays_near():
    places = np.stack([np.linspace(0, 100, 5000), np.linspace(0, 10, 5000) ** 2], axis=1)
    few = thinned(places)
    assert len(few) < 600
    assert (few[[0, -1]] == places[[0, -1]]).all()
    assert np.abs(np.interp(places[:, 0], few[:, 0], few[:, 1]) - places[:, 1]).max() < 0.3


def test_words():
    assert [percent(v) for v in (0, 0.004, 0.5, 0.996, 1)] == ["0.0 %", "0.40 %", "50.0 %", "99.60 %", "100.0 %"]
    assert [listed(v) for v in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]
