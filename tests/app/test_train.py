"""The Train and Universality pages, run headless: a run is started, found again, stopped, deleted; honest words."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app import theme
from app.figures.training import auroc_curves, distance_curves, loss_and_accuracy
from app.figures.universality import universality_map
from fssd_core.models import list_models
from fssd_core.run_spec import RunSpec
from fssd_core.runs import command_run, create_run, list_runs, read_run, write_state
from fssd_core.train_process import run
from fssd_core.universality import OOD
from fssd_core.universality_report import claims, failures, shipped_results

ENTRY = str(Path(__file__).parents[2] / "app" / "main.py")
TINY = RunSpec(arch="mlp", images=160, batch_size=16, epochs=1, ood=("photo-patches", "mnist"))


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    import streamlit as st

    monkeypatch.setenv("FSSD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FSSD_DATA_ROOT", "")
    st.cache_resource.clear()
    st.cache_data.clear()
    yield tmp_path / "home"
    for info in list_runs():
        if info.active:
            command_run(info.id, "stop")


def start(page: str = "train", **params: str) -> AppTest:
    app = AppTest.from_file(ENTRY, default_timeout=90)
    for name, value in params.items():
        app.query_params[name] = value
    app.run()
    return app.switch_page(f"views/{page}.py").run()


def errors(app: AppTest) -> str:
    assert not app.exception, [e.value for e in app.exception]
    return " ".join(e.value for e in app.error)


def said(app: AppTest) -> str:
    return " ".join(m.value for m in app.markdown)


def finished() -> Path:
    folder = create_run(TINY)
    assert run(folder) == "done"
    return folder


def test_an_empty_page_offers_a_run(home):
    app = start()
    assert errors(app) == ""
    assert app.selectbox(key="t_arch").value == "lenet"
    assert app.number_input(key="t_lr:adadelta").value == 1.0
    app.selectbox(key="t_optimiser").set_value("adamw").run()
    assert app.number_input(key="t_lr:adamw").value == 0.001
    assert any("None yet" in c.value for c in app.caption)


def test_a_run_is_started_and_trains_beside_the_page(home):
    app = start()
    app.selectbox(key="t_arch").set_value("mlp")
    app.number_input(key="t_epochs").set_value(200)
    app.button(key="t_start").click().run()
    assert errors(app) == ""
    (info,) = list_runs()
    assert (info.spec.arch, info.spec.epochs) == ("mlp", 200)
    assert app.query_params["runs"] == [info.id] or app.query_params["runs"] == info.id
    end = time.monotonic() + 120
    while read_run(info.folder).step < 20 and time.monotonic() < end:
        time.sleep(0.2)
    app.run()
    assert "Mean distance to F\\* in **logits**" in said(app)
    assert len(app.get("plotly_chart")) == 3
    assert len(app.get("bidi_component")) == 2
    other = start()  # another session, without anything in its address
    assert any(b.label == "Stop run" for b in other.button)
    next(b for b in other.button if b.label == "Stop run").click().run()
    while read_run(info.folder).active and time.monotonic() < end:
        time.sleep(0.2)
    app.run()
    assert read_run(info.folder).state == "stopped"
    assert any(b.label == "Continue" for b in app.button)
    assert f"run/{info.id}" in [m.name for m in list_models()]


def test_a_finished_run_is_shown_opened_in_features_and_deleted(home):
    folder = finished()
    app = start()
    assert errors(app) == ""
    assert len(app.get("plotly_chart")) == 0, "finished runs are shown when asked for"
    app.button(key=f"show:{folder.name}").click().run()
    assert len(app.get("plotly_chart")) == 3
    assert app.selectbox(key="t_layer").options == ["fc1", "fc2", "logits"]
    app.selectbox(key="t_layer").set_value("fc1").run()
    assert "in **fc1**" in said(app)
    chart = json.loads(app.get("plotly_chart")[0].proto.spec)
    assert chart["layout"]["title"]["text"] == "Mean distance to F* in fc1, ind = 1"
    app.button(key=f"open:panel:features:{folder.name}").click().run()
    assert errors(app) == ""
    assert app.title[0].value == "Features around F*"
    assert app.sidebar.selectbox(key="model").value == f"run/{folder.name}"
    app.switch_page("views/train.py").run()
    app.button(key=f"delete:{folder.name}").click().run()
    assert not folder.exists()
    assert errors(app) == ""


def test_an_interrupted_run_says_where_it_stands(home):
    folder = finished()
    write_state(folder, state="running", pid=2**22 + 1, born="long ago", step=10, total=400)
    app = start(runs=folder.name)
    assert errors(app) == ""
    (warning,) = app.warning
    assert (
        f"Interrupted at step 10 of 400: {read_run(folder).checkpoints()} whole checkpoints are kept" in warning.value
    )
    assert any(b.label == "Continue" for b in app.button)


def test_two_active_runs_leave_no_room_and_odd_addresses_are_ignored(home):
    for _ in range(2):
        create_run(TINY)  # made, its process not heard of yet: it counts
    app = start(runs="../../etc,no-such-run")
    assert errors(app) == ""
    app.button(key="t_start").click().run()
    assert "2 runs are active already" in errors(app)


def test_what_cannot_be_trained_is_told_and_no_run_is_made(home):
    app = start()
    app.selectbox(key="t_data").set_value("photo-patches").run()
    app.button(key="t_start").click().run()
    assert "has no labels, and this loss needs them" in errors(app)
    assert list_runs() == []


def test_damaged_runs_do_not_break_the_page(home):
    folder = finished()
    (folder / "spec.json").write_text("{")
    (folder / "frame.npz").write_bytes(b"half")
    app = start(runs=folder.name)
    assert "cannot be read" in errors(app)
    app.button(key=f"delete:{folder.name}").click().run()
    assert not folder.exists()


def test_the_universality_page_states_what_its_numbers_give(home):
    results, _ = shipped_results()
    app = start("universality")
    assert errors(app) == ""
    whole = claims(results)[0]
    assert f"in {whole.near} of {whole.total}, farther in {whole.inverted}" in said(app)
    assert any(f"Where it fails: {len(failures(results))} of" in s.value for s in app.subheader)
    for value, when in (("ratio", "untrained"), ("auroc", "change")):
        app.segmented_control(key="u_value").set_value(value)
        app.segmented_control(key="u_when").set_value(when).run()
        assert errors(app) == ""


# --- figures


def lines() -> list[dict]:
    def at(step: int, ratio: float, auroc: float) -> dict:
        groups = {"ind": {"mean": 2.0, "ratio": 1.0}, "mnist": {"mean": 2 * ratio, "ratio": ratio, "auroc": auroc}}
        return {
            "step": step,
            "loss": None if step == 0 else 1 / step,
            "accuracy": 0.5,
            "layers": {"a": groups, "b": groups},
        }

    return [at(0, 1.2, 0.3), at(10, 0.8, 0.7), at(1000, 0.4, 0.9)]


def test_distance_curves_hold_the_ratios_over_the_step():
    groups = [("ind", "ind", "ind"), ("mnist", "MNIST", "ood")]
    figure = distance_curves(lines(), "b", groups, mode="light")
    assert [t.name for t in figure.data] == ["ind", "MNIST"]
    assert list(figure.data[1].y) == [1.2, 0.8, 0.4]
    assert list(figure.data[1].customdata) == [0, 10, 1000]
    assert list(figure.data[1].x) == [0.6, 10, 1000], "step 0 has a place on the logarithmic axis"
    assert figure.layout.xaxis.ticktext[0] == "0"
    assert figure.data[1].line.color == theme.ood(0, "light")


def test_auroc_curves_have_one_line_a_layer():
    figure = auroc_curves(lines(), "mnist", "MNIST", index=2, mode="dark")
    assert [t.name for t in figure.data] == ["a", "b"]
    assert list(figure.data[0].y) == [0.3, 0.7, 0.9]
    assert figure.data[1].line.color == theme.ood(2, "dark")
    assert figure.data[0].line.color != figure.data[1].line.color
    assert auroc_curves([], "mnist", "MNIST", index=0, mode="dark").data == ()


def test_loss_and_accuracy_leave_out_what_is_not_known():
    figure = loss_and_accuracy(lines(), mode="light")
    assert list(figure.data[0].y) == [0.1, 0.001]
    assert list(figure.data[1].y) == [0.5] * 3


def test_the_universality_map_frames_what_fails():
    results, _ = shipped_results()
    whole = [r for r in results if not r.error]
    figure = universality_map(whole, value="auroc", when="trained", layer=-1, mode="light")
    assert figure.data[0].text[0][0] == f"{whole[0].auroc[OOD[0]][-1]:.2f}"
    assert len(figure.layout.shapes) == len(failures(whole))
    change = universality_map(whole, value="ratio", when="change", layer=0, mode="dark")
    first = whole[0]
    assert change.data[0].text[0][2] == f"{first.ratio['mnist'][0] - first.ratio_untrained['mnist'][0]:+.2f}"
    assert len(change.layout.shapes) == 0
