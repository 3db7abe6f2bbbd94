"""The Corruptions page through AppTest: at once from what ships, following alpha and choices; clear where not."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("streamlit")
from streamlit.testing.v1 import AppTest

from app import corruption_state, session
from fssd_core.assets import assets_root
from fssd_core.corruption_demo import demo_corruptions
from fssd_core.corruption_study import stored_corruption
from fssd_core.corruption_table import metric_table
from fssd_core.store import Store
from tests.app.test_views import errors, home, start

__all__ = ["home"]


def page(**params: str | list[str]) -> AppTest:
    return start("corruptions", **params)


def figure(app: AppTest, number: int) -> dict:
    return json.loads(app.get("plotly_chart")[number].proto.spec)


def mean_lines(app: AppTest) -> dict[str, list[float]]:
    return {t["name"]: values(t["y"]) for t in figure(app, 0)["data"] if t["mode"] == "lines+markers"}


def values(packed: object) -> list[float]:
    """Numbers of a trace, which Plotly may send as base64."""
    if isinstance(packed, dict):
        import base64

        return np.frombuffer(base64.b64decode(packed["bdata"]), dtype=packed["dtype"]).tolist()
    return list(packed)


def strip_of(app: AppTest) -> str:
    return next(h for h in (e.proto.body for e in app.get("html")) if '<div class="fssd-strip">' in h)


def test_the_demo_stands_at_once_and_computes_nothing(home):
    app = page()
    assert errors(app) == ""
    assert len(app.get("plotly_chart")) == 7
    assert len(re.findall("<li class", strip_of(app))) == 1 + 19 * 5
    lines = mean_lines(app)
    assert list(lines)[:2] == ["FSSD", "MSP"]
    assert all(b > a for a, b in zip(lines["FSSD"], lines["FSSD"][1:], strict=False)), "worse images are easier to tell"
    assert any("comparisons: holds in" in m.value for m in app.markdown)
    assert any("475 clean images" in c.value or "clean images of fmnist:test" in c.value for c in app.caption)
    assert not (home.parent / "home" / "store").exists()


def press(app: AppTest, label: str) -> None:
    next(b for b in app.button if b.label == label).click().run()


def test_the_numbers_are_the_stores_without_the_images_that_alpha_saw(home):
    app = page()
    press(app, "uniform")
    whole = stored_corruption(demo_corruptions(), store=Store(Path("/dev/null/x"), [assets_root() / "corruptions"]))
    split_rows = corruption_state.tuned(session_study(), 0.0).fitted_rows
    tested = whole.take(np.flatnonzero(~np.isin(whole.rows, split_rows)))
    assert 0 < len(tested.rows) < len(whole.rows)
    expected = metric_table(*tested.detectors["fssd"].combined()).mean(axis=0)
    np.testing.assert_allclose(mean_lines(app)["FSSD"], expected, atol=1e-12)
    seen, rival = np.isin(whole.rows, split_rows), tested.detectors["mahalanobis"]
    alpha = 1 / whole.detectors["mahalanobis"].clean[seen].astype(float).std(axis=0, ddof=1)
    other = metric_table(rival.clean @ alpha, rival.cells @ alpha).mean(axis=0)
    np.testing.assert_allclose(mean_lines(app)["Mahalanobis"], other, atol=1e-3)


def session_study():
    from fssd_core.study import Study

    return Study()


def test_presets_and_sliders_move_fssd_alone(home):
    app = page()
    start = mean_lines(app)
    assert any("Labels used for alpha: none" in c.value for c in app.caption), "pseudo-ood needs no ood image"
    press(app, "uniform")
    before = mean_lines(app)
    assert before["FSSD"] != start["FSSD"]
    slider = next(s for s in app.slider if s.key == "corruption-alpha:conv1")
    assert slider.value == 1.0
    slider.set_value(-0.5).run()
    after = mean_lines(app)
    assert errors(app) == ""
    assert after["FSSD"] != before["FSSD"]
    assert after["MSP"] == before["MSP"]
    preset = next(b for b in app.button if b.label.startswith("logistic on mnist"))
    preset.click().run()
    assert any("labels" in c.value.lower() and "mnist" in c.value for c in app.caption)
    assert mean_lines(app)["FSSD"] not in (before["FSSD"], after["FSSD"])
    press(app, "uniform")
    assert mean_lines(app) == before
    press(app, "pseudo-ood")
    assert mean_lines(app) == start


def test_a_metric_types_and_detectors_can_be_chosen(home):
    app = page()
    app.selectbox(key="corruption-metric").set_value("fpr95").run()
    assert errors(app) == ""
    assert mean_lines(app)["FSSD"][0] > mean_lines(app)["FSSD"][-1], "fewer corrupted images are accepted"
    app.segmented_control(key="corruption-types").set_value("ImageNet-C's 15").run()
    assert len(figure(app, 3)["data"][0]["y"]) == 15
    assert len(re.findall("<li class", strip_of(app))) == 1 + 15 * 5
    app.multiselect(key="corruption-detectors").set_value(["energy"]).run()
    assert list(mean_lines(app)) == ["FSSD", "Energy"]
    app.multiselect(key="corruption-detectors").set_value([]).run()
    assert errors(app) == ""
    assert list(mean_lines(app)) == ["FSSD"]


def test_another_image_brings_its_own_pictures(home):
    app = page()
    box = app.selectbox(key="corruption-image")
    first = strip_of(app)
    rows = [o for o in box.options if "Trouser" in o]
    assert rows
    spec = corruption_state.Opened(demo_corruptions())
    from fssd_core.corruption_demo import demo_strip_rows

    other = next(row for row in demo_strip_rows(spec) if row != box.value)
    box.set_value(other).run()
    assert errors(app) == ""
    assert strip_of(app) != first


def test_what_is_not_computed_is_offered_and_computed(home):
    pytest.importorskip("imagecorruptions", reason="imagecorruptions-imaug is not installed")
    app = page(step="900")
    assert errors(app) == ""
    assert not app.get("plotly_chart")
    app.selectbox(key="corruption-images").set_value(100).run()
    app.multiselect(key="corruption-detectors").set_value([]).run()
    app.segmented_control(key="corruption-types").set_value("Some").run()
    app.multiselect(key="corruption-some").set_value(["fog", "contrast"]).run()
    next(b for b in app.button if "Compute what is missing" in b.label).click().run()
    until = time.monotonic() + 240
    while not app.get("plotly_chart") and not errors(app) and time.monotonic() < until:
        time.sleep(0.5)
        app.run()
    assert errors(app) == ""
    assert list(mean_lines(app)) == ["FSSD"]
    assert len(figure(app, 3)["data"][0]["y"]) == 2, "only the chosen types were computed"


def test_a_distributed_set_below_the_data_root_is_offered(home):
    from tests.core.test_corrupted_sets import cifar, imagenet, mnist

    for made in (cifar(home / "CIFAR-10-C"), mnist(home / "sets" / "mnist_c"), imagenet(home / "Tiny-ImageNet-C")):
        assert made.is_dir()
    (home / "pictures").mkdir()
    assert sorted(Path(p).name for p in corruption_state.offered_sets()) == ["CIFAR-10-C", "Tiny-ImageNet-C", "mnist_c"]
    app = page()
    assert errors(app) == ""
    assert len(app.selectbox(key="corruption-set").options) == 4
    assert session.SHIPPED[-1].name == "corruptions"
