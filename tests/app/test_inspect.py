"""Inspect: the sample in every way it can be given, the operating point, the figures read back, the page by AppTest."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

pytest.importorskip("streamlit")
pytest.importorskip("plotly")
import streamlit as st
from streamlit.testing.v1 import AppTest

from app import inspection, pictures, samples, theme
from app.components.modules import bundle
from app.components.pad import ASSETS, pad, picture_of
from app.figures.inspect import MOST, contributions, layer_positions, score_position, shown_layers
from app.inspection import Scored, operating_point, telling
from fssd_core.assets import assets_root
from fssd_core.data import load_data
from fssd_core.ensemble import SMALLEST, combine, fit_rows, pseudo_ood, uniform
from fssd_core.errors import DataError, InputError
from fssd_core.inspect_measure import Measurement, Neighbours
from fssd_core.inspect_verdict import Inspection, judge
from fssd_core.metrics import threshold_at_tpr
from fssd_core.operating_point import Choice, choose_threshold
from fssd_core.store import Store
from fssd_core.study import Study, compare, layer_scores, open_data
from fssd_core.study_pseudo import stored_pseudo_sweep
from fssd_core.types import LayerScores, Weights
from tests.app.test_views import wait_until

ENTRY = str(Path(__file__).resolve().parents[2] / "app" / "main.py")
INSPECT = str(Path(ENTRY).with_name("views") / "inspect.py")
SHIPPED = Store(Path("/dev/null/store"), [assets_root() / "store"])
STUDY = Study()


# ---- the pad --------------------------------------------------------------------------------------------------------


def told(pixels: np.ndarray) -> dict[str, object]:
    text = base64.b64encode(pixels.astype(np.uint8).tobytes()).decode()
    return {"height": pixels.shape[0], "width": pixels.shape[1], "pixels": text}


def test_the_picture_comes_back_row_by_row():
    drawn = np.arange(12, dtype=np.uint8).reshape(3, 4)
    np.testing.assert_array_equal(picture_of(told(drawn), 4, 3), drawn)


@pytest.mark.parametrize(
    "said",
    [
        None,
        {},
        told(np.zeros((3, 4))),
        told(np.full((3, 4), 255)),
        told(np.arange(12).reshape(4, 3)),
        {"width": 4, "height": 3, "pixels": "no base64!"},
        {"width": 4, "height": 3, "pixels": base64.b64encode(b"short").decode()},
        {"width": 4, "height": 3},
    ],
)
def test_nothing_drawn_and_nonsense_are_no_picture(said):
    assert picture_of(said, 4, 3) is None


def test_a_pad_of_no_size_or_with_another_start_is_refused():
    with pytest.raises(InputError, match="at least 1"):
        pad(width=0)
    with pytest.raises(InputError, match=r"\(28, 28\)"):
        pad(start=np.zeros((3, 3), np.uint8))


def test_the_pads_modules_make_one_script():
    script = bundle(ASSETS / "main.js")
    assert script.count("export default") == 1
    assert "import " not in script


# ---- the sample -----------------------------------------------------------------------------------------------------


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


COLOUR = np.random.default_rng(0).integers(0, 256, size=(40, 60, 3))


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 40, 60)])
def test_an_upload_is_converted_as_a_folder_is_with_a_note(tmp_path, shape):
    (tmp_path / "a.png").write_bytes(png(COLOUR))
    folder = load_data(str(tmp_path), shape=shape)
    sample = samples.from_file("my photo.png", png(COLOUR), shape)
    np.testing.assert_array_equal(sample.pixels, folder.images[0])
    assert sample.title == "my photo.png"
    expected = {
        (1, 28, 28): (
            "The picture was cropped at the centre and resized to 28x28 pixels",
            "The colour picture was turned to grey (luma)",
        ),
        (3, 32, 32): ("The picture was cropped at the centre and resized to 32x32 pixels",),
        (1, 40, 60): ("The colour picture was turned to grey (luma)",),
    }
    assert sample.notes == expected[shape]
    inverted = samples.from_file("x.png", png(COLOUR), shape, inverted=True)
    np.testing.assert_array_equal(inverted.pixels, 255 - sample.pixels)
    assert inverted.notes[-1] == "Black and white are exchanged"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("cut.png", png(COLOUR)[:200], "truncated"),
        ("text.png", b"hello, I am no picture", "not a picture of an allowed kind"),
        ("empty.jpg", b"", "not a picture of an allowed kind"),
        ("../../strange\x00.png", b"GIF89a", "cannot be read"),
    ],
)
def test_a_damaged_upload_is_told_by_its_own_name(name, content, words):
    with pytest.raises(DataError, match=words) as caught:
        samples.from_file(name, content, (1, 28, 28))
    assert str(caught.value).startswith(f"{name} cannot be read")
    assert "/tmp" not in str(caught.value)


def test_a_row_is_a_stable_id_of_the_whole_set():
    sample = samples.from_set(STUDY, "mnist", 4321, root=None)
    whole = load_data("mnist")
    np.testing.assert_array_equal(sample.pixels, whole.images[4321])
    assert sample.truth == str(whole.labels[4321])
    assert samples.from_set(STUDY, "photo-patches", 3, root=None).truth == ""
    for row in (5000, -1):
        with pytest.raises(InputError, match=f"no row {row}; its 5,000 images have rows 0 to 4999"):
            samples.from_set(STUDY, "mnist", row, root=None)


def test_a_drawing_for_a_colour_network_is_grey_with_a_note():
    drawn = np.arange(784, dtype=np.uint8).reshape(28, 28)
    assert samples.from_drawing(drawn, (1, 28, 28)).pixels is drawn
    colour = samples.from_drawing(drawn, (3, 28, 28))
    assert (colour.pixels == drawn[..., None]).all()
    assert colour.notes


# ---- the operating point --------------------------------------------------------------------------------------------


def scored(epsilon: float = 0.0) -> dict[str, Scored]:
    out = {}
    for ref in (STUDY.ind, *STUDY.ood):
        scores = layer_scores(STUDY, ref, epsilons=[epsilon], store=SHIPPED)[epsilon]
        out[ref] = inspection._scored(STUDY, ref, scores)
    return out


@pytest.fixture
def no_root(monkeypatch):
    monkeypatch.setattr(inspection.session, "data_root", lambda: None)


def test_the_held_out_images_are_those_of_the_tuning_page(no_root):
    sets = scored()
    for ref in STUDY.ood:
        comparison = compare(STUDY, ref, sets[STUDY.ind].whole, sets[ref].whole)
        np.testing.assert_array_equal(sets[STUDY.ind].held_out.values, comparison.test_ind.values)
        np.testing.assert_array_equal(sets[ref].held_out.values, comparison.test_ood.values)
    few = inspection._scored(replace(STUDY, samples=3), "mnist", sets["mnist"].whole.take(np.arange(3)))
    assert len(few.held_out) == 3 < SMALLEST


def test_stored_distances_are_found_by_row(no_root):
    mnist = scored()["mnist"]
    images = open_data(STUDY, "mnist")
    np.testing.assert_array_equal(mnist.of("mnist", int(images.rows[7])), mnist.whole.values[7])
    assert mnist.of("mnist", 10**6) is None
    assert mnist.of("fmnist:test", int(images.rows[7])) is None
    assert mnist.of(None, None) is None


def setting(**change: object) -> SimpleNamespace:
    weights = Weights((1.0, -0.5, 0.25, 0.125), ("conv1", "conv2", "fc1", "logits"))
    return SimpleNamespace(
        **{"weights": weights, "epsilon": 0.0, "threshold": 3.5, "choice": Choice(), "ood": None} | change
    )


def test_without_a_setting_alpha_is_what_the_tuning_page_starts_from_at_95_percent(no_root):
    sets = scored()
    found = operating_point(None, sets, STUDY, 0.0)
    ind = sets[STUDY.ind].held_out
    fit = fit_rows(len(sets[STUDY.ind].whole), seed=STUDY.seed)
    pseudo = stored_pseudo_sweep(STUDY, (0.0,), store=inspection.session.store(), root=None)[0.0]
    assert found.weights.rule == "pseudo-ood"
    assert found.weights.alpha == pytest.approx(pseudo_ood(sets[STUDY.ind].whole.take(fit), pseudo).alpha, rel=1e-6)
    assert found.threshold == pytest.approx(threshold_at_tpr(combine(ind, found.weights), 0.95), rel=1e-12)
    assert "at least 95 % of ind accepted" in found.said
    assert "labels used: none (pseudo-ood made from ind images)" in found.said
    again = operating_point(None, scored(0.02), STUDY, 0.02)
    assert again.weights == found.weights
    assert again.threshold != found.threshold


def test_without_a_setting_and_without_pseudo_ood_alpha_is_uniform(no_root, monkeypatch):
    monkeypatch.setattr("app.tuning_pseudo.stored", lambda *_: {})
    sets = scored()
    assert operating_point(None, sets, STUDY, 0.0).weights == uniform(sets[STUDY.ind].whole.layers)


def test_the_rule_of_the_tuning_page_is_applied_at_this_epsilon(no_root):
    sets = scored(0.02)
    by_tpr = operating_point(setting(choice=Choice("tpr", tpr=0.8)), sets, STUDY, 0.02)
    ind = inspection.scores_of(sets[STUDY.ind].held_out, by_tpr.weights)
    assert by_tpr.threshold == threshold_at_tpr(ind, 0.8) != 3.5
    choice = Choice("fpr", fpr=0.1)
    by_fpr = operating_point(setting(choice=choice, ood="mnist"), sets, STUDY, 0.02)
    mnist = inspection.scores_of(sets["mnist"].held_out, by_fpr.weights)
    assert by_fpr.threshold == choose_threshold(ind, mnist, choice)
    alone = operating_point(setting(choice=choice, ood="mnist"), {STUDY.ind: sets[STUDY.ind]}, STUDY, 0.02)
    assert alone.threshold == 3.5
    assert "as found on the Tuning page" in alone.said
    by_hand = operating_point(setting(choice=Choice("hand")), sets, STUDY, 0.02)
    assert by_hand.threshold == 3.5


def test_telling_images_are_what_their_names_say(no_root):
    sets = scored()
    point = operating_point(None, sets, STUDY, 0.0)
    found = telling(sets, STUDY, point)

    def score(place: tuple[str, int]) -> float:
        ref, row = place
        return float(
            inspection.scores_of(LayerScores(sets[ref].of(ref, row)[None], point.weights.layers), point.weights)[0]
        )

    held = {ref: inspection.scores_of(s.held_out, point.weights) for ref, s in sets.items()}
    best_ood = max(held[ref].max() for ref in STUDY.ood)
    assert score(found["false accepts"][0]) == best_ood
    assert {ref for ref, _ in found["false accepts"]} <= set(STUDY.ood)
    assert found["rejected ind"][0][0] == STUDY.ind
    assert score(found["rejected ind"][0]) == held[STUDY.ind].min()
    assert score(found["borderline"][0]) == point.threshold


# ---- figures and pictures -------------------------------------------------------------------------------------------


def inspected(count: int = 3, *, sample: float = 2.0, threshold: float = 4.0) -> tuple[Inspection, LayerScores]:
    layers = tuple(f"layer{k}" for k in range(count))
    rng = np.random.default_rng(1)
    ind = LayerScores(rng.gamma(8, np.arange(1, count + 1), size=(200, count)).astype(np.float32), layers)
    measured = Measurement(
        image=np.zeros((1, 2, 2), np.float32),
        layers=layers,
        epsilon=0.0,
        gradient="sign",
        plain=np.full(count, sample, np.float32),
        distances=np.full(count, sample, np.float32),
        directions=np.zeros((count, 1, 2, 2), np.float32),
        logits=np.zeros(2, np.float32),
        neighbours=Neighbours("layer0", np.arange(1), np.ones(1, np.float32), np.zeros(1, np.int64), 1),
    )
    weights = Weights(tuple(1.0 if k % 2 == 0 else -0.1 for k in range(count)), layers)
    return judge(measured, ind=ind, weights=weights, threshold=threshold), ind


@pytest.mark.parametrize("mode", theme.MODES)
def test_the_bars_are_the_contributions(mode):
    found, _ = inspected()
    (bars,) = contributions(found, mode=mode).data
    assert list(bars.x) == [f.contribution for f in found.layers]
    assert sum(bars.x) == pytest.approx(found.score - found.ind_median)
    assert [c == theme.ACCEPT[mode] for c in bars.marker.color] == [f.contribution >= 0 for f in found.layers]
    assert list(bars.y) == [2, 1, 0], "the first layer on top"
    assert [row[0] for row in bars.customdata] == ["layer0", "layer1", "layer2"]


def test_the_strips_hold_ind_and_the_image_in_units_of_the_ind_median():
    found, ind = inspected()
    figure = layer_positions(found, ind, mode="light")
    marks = [trace for trace in figure.data if trace.mode == "markers"]
    strips = [trace for trace in figure.data if trace.fill == "toself"]
    for mark, strip, finding, column in zip(marks, strips, found.layers, ind.values.T, strict=True):
        assert mark.x[0] == pytest.approx(finding.distance / np.median(column))
        grid, upper = np.array(strip.x[:240]), np.array(strip.y[:240])
        assert grid[upper.argmax()] == pytest.approx(1, abs=0.25), "ind piles up near its median"
    assert figure.layout.xaxis.range[1] > max(m.x[0] for m in marks)
    assert (
        "P 0" in figure.layout.yaxis.ticktext[0]
        or f"{found.layers[0].below:.1%}"[:3] in figure.layout.yaxis.ticktext[0]
    )


@pytest.mark.parametrize("threshold", [4.0, float("inf")])
def test_the_score_figure_holds_threshold_and_image(threshold):
    found, ind = inspected(threshold=threshold)
    scores = combine(ind, found.weights)
    figure = score_position(found, scores, {"mnist": scores - 5, "noise": scores + 5}, mode="dark")
    assert [t.name for t in figure.data] == ["ind", "mnist", "noise", "this image"]
    assert [t.line.color for t in figure.data[:3]] == [theme.IND["dark"], theme.ood(0, "dark"), theme.ood(1, "dark")]
    assert figure.data[3].x == (found.score,)
    assert figure.data[3].marker.color == (theme.ACCEPT if found.accepted else theme.REJECT)["dark"]
    lines = [shape.x0 for shape in figure.layout.shapes]
    assert lines == ([4.0] if np.isfinite(threshold) else [])


def test_of_many_layers_those_that_move_the_score_most_are_shown_in_order():
    found, ind = inspected(30)
    shown = shown_layers(found)
    assert len(shown) == MOST
    hidden = [f for f in found.layers if f not in shown]
    assert min(abs(f.contribution) for f in shown) >= max(abs(f.contribution) for f in hidden)
    order = [f.layer for f in found.layers]
    assert [f.layer for f in shown] == sorted((f.layer for f in shown), key=order.index)
    assert len(contributions(found, mode="light").data[0].x) == MOST
    assert len([t for t in layer_positions(found, ind, mode="light").data if t.mode == "markers"]) == MOST


def test_galleries_escape_words_and_keep_pixels():
    pixels = np.arange(9, dtype=np.uint8).reshape(3, 3)
    html = pictures.gallery([pictures.Picture((pixels,), ('"<b>',), "<script>x</script>", "a & b")], wide=100)
    assert "<script>" not in html
    assert 'alt="&quot;&lt;b&gt;"' in html
    address = html.split('src="data:image/png;base64,')[1].split('"')[0]
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(address)))), pixels)


def test_steps_as_pixels():
    steps = np.array([[[1, 0], [-1, 1]]], np.float32)
    np.testing.assert_array_equal(pictures.direction_pixels(steps), [[255, 128], [0, 255]])
    np.testing.assert_array_equal(pictures.direction_pixels(0.1 * steps), [[255, 128], [0, 255]])
    assert (pictures.direction_pixels(np.zeros((1, 2, 2))) == 128).all()
    assert pictures.to_pixels(np.array([[[-1.0, 2.0]]])).tolist() == [[0, 255]]
    assert pictures.to_pixels(np.zeros((3, 4, 5))).shape == (4, 5, 3)


# ---- the page -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """The folder of the operator's files; one home for all page tests, so that one worker serves them."""
    root = tmp_path_factory.mktemp("inspect")
    (root / "data").mkdir()
    patch = pytest.MonkeyPatch()
    patch.setenv("FSSD_HOME", str(root / "home"))
    patch.setenv("FSSD_DATA_ROOT", str(root / "data"))
    st.cache_resource.clear()
    st.cache_data.clear()
    yield root / "data"
    inspection.session.worker().close()
    patch.undo()
    st.cache_resource.clear()
    st.cache_data.clear()


def start(**params: str) -> AppTest:
    app = AppTest.from_file(ENTRY, default_timeout=90)
    for name, value in params.items():
        app.query_params[name] = value
    return app.switch_page("views/inspect.py").run()


def errors(app: AppTest) -> str:
    assert not app.exception, [e.value for e in app.exception]
    return " ".join(e.value for e in app.error)


def verdict(app: AppTest, *, other_than: str = "") -> str:
    """The sentence, once the worker has answered."""

    def said(app: AppTest) -> list[str]:
        return [h.proto.body for h in app.get("html") if "fssd-verdict" in h.proto.body]

    wait_until(app, lambda app: errors(app) or (said(app) and said(app)[0] != other_than))
    assert errors(app) == ""
    return said(app)[0]


def test_the_page_judges_the_row_of_the_address(data):
    app = start(set="mnist", row="17")
    assert "Accepted as in-distribution: score 1.79 above the threshold 0.78" in verdict(app)
    assert app.selectbox(key="set").value == "mnist"
    assert any("A miss: mnist is chosen as out-of-distribution" in c.value for c in app.caption)
    assert len(app.get("plotly_chart")) == 3
    galleries = [h.proto.body for h in app.get("html") if "fssd-pictures" in h.proto.body]
    assert [g.count("<img") for g in galleries] == [1, 8, 8]
    assert "At ε = 0 nothing is perturbed" in " ".join(c.value for c in app.caption)


def test_buttons_lead_to_telling_images_and_epsilon_perturbs(data):
    app = start()
    before = verdict(app)
    app.button(key="pick:rejected ind").click().run()
    rejected = verdict(app, other_than=before)
    assert "Rejected as out-of-distribution" in rejected
    assert "none of 1,500 ind images scores lower" in rejected
    assert any("A false alarm: fmnist:test" in c.value for c in app.caption)
    first = app.number_input(key="row").value
    app.button(key="pick:rejected ind").click().run()
    again = verdict(app, other_than=rejected)
    assert app.number_input(key="row").value != first, "again leads to the next"
    app.select_slider(key="inspect-epsilon:0").set_value(0.02).run()
    moved = verdict(app, other_than=again)
    assert "threshold 0.78" not in moved
    assert "away from F*" in " ".join(c.value for c in app.caption)


def test_a_row_outside_is_told_and_the_page_goes_on(data):
    app = start(set="mnist", row="5000")
    assert "no row 5000" in errors(app)
    app.number_input(key="row").set_value(17).run()
    assert "score 1.79" in verdict(app)


def test_a_drawing_is_judged_and_an_empty_pad_explained(data):
    app = start(source="Draw")
    assert "Draw something" in app.info[0].value
    app.session_state["_drawing"] = load_data("mnist").images[17]
    app.run()
    assert "score 1.79" in verdict(app)


LEADING = """
import streamlit as st
from app import samples
if st.button("go"):
    samples.open_sample("mnist", 17)
"""


def test_other_pages_lead_here(data, tmp_path):
    (tmp_path / "home.py").write_text(LEADING)
    (tmp_path / "main.py").write_text(
        "import streamlit as st\nfrom app import sidebar\n"
        f"page = st.navigation([st.Page({str(tmp_path / 'home.py')!r}), st.Page({INSPECT!r})])\n"
        "sidebar.show()\npage.run()\n"
    )
    app = AppTest.from_file(str(tmp_path / "main.py"), default_timeout=90).run()
    assert errors(app) == ""
    app.button[0].click().run()
    assert "score 1.79" in verdict(app)
    assert (app.selectbox(key="set").value, app.number_input(key="row").value) == ("mnist", 17)


def test_weights_with_nan_are_one_clear_message(data):
    weights = load_file(sorted((assets_root() / "models" / "lenet").glob("*.safetensors"))[-1])
    first = next(iter(weights))
    save_file({**weights, first: np.full_like(weights[first], np.nan)}, data / "nan.safetensors")
    inspection.session.offered.clear()
    app = start(model="nan.safetensors")
    app.sidebar.selectbox(key="arch").set_value("lenet").run()
    wait_until(app, errors)
    assert "NaN" in errors(app)
    app.sidebar.selectbox(key="model").set_value("demo/lenet").run()
    assert "threshold 0.78" in verdict(app)
