"""The pages through AppTest, from the entry script: demo, own files, and every error a user can cause."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("streamlit")
from safetensors.numpy import load_file, save_file
from streamlit.testing.v1 import AppTest

from fssd_core.assets import assets_root

ENTRY = str(Path(__file__).resolve().parents[2] / "app" / "main.py")
LAST = sorted((assets_root() / "models" / "lenet").glob("*.safetensors"))[-1]


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A user's own, empty store, and a data root for the files of the test."""
    import streamlit as st

    monkeypatch.setenv("FSSD_HOME", str(tmp_path / "home"))
    root = tmp_path / "data"
    root.mkdir()
    monkeypatch.setenv("FSSD_DATA_ROOT", str(root))
    st.cache_resource.clear()
    st.cache_data.clear()
    yield root
    st.cache_resource.clear()


def start(page: str = "", **params: str | list[str]) -> AppTest:
    app = AppTest.from_file(ENTRY, default_timeout=90)
    for name, value in params.items():
        app.query_params[name] = value
    app.run()
    if page:
        app.switch_page(f"views/{page}.py").run()
    return app


def wait_until(app: AppTest, condition: Callable[[AppTest], object]) -> AppTest:
    """Runs the page until its worker's results are shown; by the clock, since a slow machine needs more runs."""
    end = time.monotonic() + 120
    while not condition(app):
        assert time.monotonic() < end, "the page never came to rest"
        time.sleep(0.05)
        app.run()
    return app


def errors(app: AppTest) -> str:
    assert not app.exception, [e.value for e in app.exception]
    return " ".join(e.value for e in app.error)


def components(app: AppTest) -> list:
    return list(app.get("bidi_component"))


def test_the_first_page_shows_the_demo_at_once(home):
    app = start()
    assert errors(app) == ""
    said = next(m.value for m in app.markdown if "Mean distance to F" in m.value).splitlines()
    assert re.search(r"photo-patches\*\* at \*\*0\.2\d\*\* · AUROC 0\.99\d · :green-badge\[", said[1])
    assert re.search(r"mnist\*\* at \*\*1\.\d\d\*\* .*:red-badge\[theory fails: farther", said[3])
    assert components(app)
    assert json.loads(app.get("plotly_chart")[0].proto.spec)["data"]
    assert any("Spearman rho 1.00" in c.value for c in app.caption)
    assert not (home.parent / "home" / "store").exists(), "the demo needs nothing computed"


@pytest.mark.parametrize("layer", ["conv1", "conv2", "fc1"])
def test_every_layer_is_shown_at_once(home, layer):
    app = start(layer=layer)
    assert errors(app) == ""
    assert app.sidebar.selectbox(key="layer").value == layer
    assert components(app)


def test_the_film_slider_moves_the_checkpoint(home):
    app = start()
    app.select_slider(key="film_step").set_value(100).run()
    assert errors(app) == ""
    assert app.sidebar.selectbox(key="step").value == 100
    assert components(app)


def test_the_tuning_page_shows_the_demo_and_says_which_labels_were_used(home):
    app = start("tuning")
    assert errors(app) == ""
    assert len(components(app)) >= 2
    table = app.dataframe[0].value
    assert list(table["ood"]) == ["photo-patches", "fmnist-inverted", "mnist"]
    assert set(table["labels used for alpha"]) == {"none (pseudo-ood made from ind images), fitted at ε 0"}
    assert [round(float(text.split()[0]), 1) for text in table["AUROC"]] == [1.0, 1.0, 0.9]
    assert not app.warning


def test_the_about_page_stands(home):
    app = start("about")
    assert errors(app) == ""
    assert len(app.latex) == 4


def test_no_ood_set_is_explained(home):
    app = start()
    app.sidebar.multiselect(key="ood").set_value([]).run()
    assert errors(app) == ""
    assert any("Choose at least one ood set" in i.value for i in app.info)
    app.switch_page("views/tuning.py").run()
    assert any("Choose at least one ood set" in i.value for i in app.info)


def save_npz(path: Path, **arrays: np.ndarray) -> str:
    np.savez(path, **arrays)
    return str(path)


def truncated(path: Path, source: Path) -> str:
    raw = source.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    return str(path)


BAD_DATA = {
    "damaged": (lambda p: truncated(p, assets_root() / "data" / "mnist.npz"), "not a whole .npz"),
    "no images": (lambda p: save_npz(p, pictures=np.zeros((5, 28, 28), np.uint8)), "images"),
    "float": (lambda p: save_npz(p, images=np.zeros((5, 28, 28), np.float32)), "uint8"),
    "empty": (lambda p: save_npz(p, images=np.zeros((0, 28, 28), np.uint8)), "0 images"),
    "wrong shape": (lambda p: save_npz(p, images=np.zeros((28, 28), np.uint8)), "shape"),
    "labels": (
        lambda p: save_npz(p, images=np.zeros((5, 28, 28), np.uint8), labels=np.zeros(3, np.int64)),
        "labels",
    ),
}


@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data_is_one_clear_message_and_the_app_goes_on(home, case):
    make, words = BAD_DATA[case]
    make(home / "bad.npz")
    app = start(ood="bad.npz")
    assert words in errors(app) or words.capitalize() in errors(app), errors(app)
    app.sidebar.multiselect(key="ood").set_value(["mnist"]).run()
    assert errors(app) == ""


def test_an_empty_folder_is_not_offered_and_a_broken_picture_is_told(home):
    (home / "empty").mkdir()
    (home / "pictures").mkdir()
    (home / "pictures" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    app = start()
    options = app.sidebar.multiselect(key="ood").options
    assert "empty" not in options
    assert "pictures" in options
    app.sidebar.multiselect(key="ood").set_value([str(home / "pictures")]).run()
    assert "pictures" in errors(app)


def nan_weights(path: Path) -> str:
    weights = load_file(LAST)
    first = next(iter(weights))
    weights[first] = np.full_like(weights[first], np.nan)
    save_file(weights, path)
    return str(path)


def plain_weights(path: Path) -> str:
    save_file(load_file(LAST), path)
    return str(path)


def odd_weights(path: Path) -> str:
    save_file({"strange.weight": np.zeros((3, 3), np.float32)}, path)
    return str(path)


BAD_WEIGHTS = {
    "damaged": (lambda p: truncated(p, LAST), "", "not a whole .safetensors"),
    "wrong architecture": (plain_weights, "mlp", "mlp"),
    "unknown architecture": (odd_weights, "", "fit none of the known"),
    "NaN": (nan_weights, "lenet", "NaN"),
}


@pytest.mark.parametrize("case", BAD_WEIGHTS)
def test_bad_weights_are_one_clear_message_and_the_app_goes_on(home, case):
    make, arch, words = BAD_WEIGHTS[case]
    make(home / "weights.safetensors")
    app = start(model="weights.safetensors")
    if arch:
        app.sidebar.selectbox(key="arch").set_value(arch).run()
    wait_until(app, errors)
    assert words.lower() in errors(app).lower(), errors(app)
    assert not app.sidebar.error, "the message belongs on the page: a narrow screen hides the sidebar"
    app.sidebar.selectbox(key="model").set_value("demo/lenet").run()
    assert errors(app) == ""


def test_own_weights_give_the_same_pictures_as_the_demos(home):
    plain_weights(home / "mine.safetensors")
    app = start(model="mine.safetensors")
    assert errors(app) == "", "the architecture is recognised"
    app.sidebar.selectbox(key="arch").set_value("lenet").run()
    assert errors(app) == ""


def test_grey_images_for_a_colour_network_are_converted_with_a_note_or_refused(home):
    save_npz(
        home / "colour.npz",
        images=np.zeros((40, 32, 32, 3), np.uint8) + np.arange(40, dtype=np.uint8)[:, None, None, None],
    )
    app = start(ood="colour.npz")
    wait_until(app, lambda app: errors(app) or components(app))
    said = errors(app) + " ".join(w.value for w in app.warning)
    assert "colour.npz" in said
    assert "28" in said
