"""The Methods page through AppTest: at once from what ships, its table the store's, the protocol and gaps said."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("streamlit")
from streamlit.testing.v1 import AppTest

from app import methods_state as state
from app.figures.methods import Mark, cost_scatter, overlaid_curves
from fssd_core.assets import assets_root
from fssd_core.bench_open import open_bench
from fssd_core.bench_run import stored_outcome
from fssd_core.benchmarks import BENCHMARKS
from fssd_core.demo import demo_benches
from fssd_core.detectors import DETECTORS
from fssd_core.store import Store
from fssd_core.study import Study
from fssd_core.table2 import shipped_tables
from tests.app.test_views import errors, home, start

__all__ = ["home"]


def page(**params: str | list[str]) -> AppTest:
    return start("methods", against="mnist", **params)


def shipped(protocol: str) -> dict:
    asked = state.asked(Study(), "mnist", protocol, None)
    bench = open_bench(asked)
    store = Store(assets_root() / "nowhere", [assets_root() / "store"])
    names = next(names for other, names in demo_benches() if other == asked)
    return {name: stored_outcome(bench, name, store=store) for name in names}


@pytest.mark.parametrize("protocol", ["paper", "no-ood-labels"])
def test_every_outcome_of_the_demo_ships_and_stands_at_once(protocol, home):
    app = page(protocol=protocol)
    assert errors(app) == ""
    assert not app.button, "nothing is left to compute"
    table = app.dataframe[0].value.set_index("detector")
    outcomes = shipped(protocol)
    assert set(table.index) == set(outcomes)
    for name, outcome in outcomes.items():
        assert table.loc[name, "AUROC"] == outcome.facts["auroc"]
        assert table.loc[name, "low"] <= table.loc[name, "AUROC"] <= table.loc[name, "high"]
    assert table["AUROC"].is_monotonic_decreasing
    assert (table.loc["fssd", "paper AUROC (slides)"], table.loc["odin", "paper AUROC (README)"]) == (0.996, 0.879)
    assert any(m.value.startswith(f"**{protocol}**") for m in app.markdown)
    assert any("Best here: " in m.value for m in app.markdown)
    fails = next(m.value for m in app.markdown if m.value.startswith("- **fssd**"))
    assert len(fails.splitlines()) == 7, "one line for each of the paper's methods"
    if protocol == "paper":
        assert outcomes["fssd"].facts["auroc"] >= 0.995
        assert outcomes["fssd"].facts["fpr80"] <= 0.001
        spec = json.loads(app.get("plotly_chart")[2].proto.spec)
        assert len(spec["data"][0]["y"]) == 3, "near and far: every ood set of the first page"


def test_without_the_training_images_it_asks_for_them_and_without_ood_for_a_set(home):
    app = start("methods", ind="mnist", ood=["photo-patches"], against="photo-patches")
    assert errors(app) == ""
    assert any("labelled images that the network was trained on" in i.value for i in app.info)


def test_the_other_rows_of_table_2_stand_below_with_the_papers_numbers(home):
    app = page(protocol="paper")
    for told in shipped_tables():
        app.selectbox(key="table2_row").set_value(told["title"])
        app.segmented_control(key="table2_protocol").set_value(told["protocol"]).run()
        assert errors(app) == ""
        table = app.dataframe[len(app.dataframe) - 1].value.set_index("detector")
        assert list(table["AUROC"]) == [row["auroc"] for row in told["rows"]]
        slides = BENCHMARKS[told["benchmark"]].slides
        assert table["paper AUROC (slides)"].dropna().to_dict() == {
            name: round(cell[0] / 100, 6) for name, cell in slides.items() if name in table.index
        }
        assert any(f"Best: **{told['rows'][0]['detector']}**" in m.value for m in app.markdown)
        said = " ".join(c.value for c in app.caption)
        assert all(f"{entry['detector']} " in said for entry in told["skipped"])


def test_an_earlier_checkpoint_is_another_comparison(home):
    app = page(step="900")
    assert errors(app) == ""
    runnable = len(DETECTORS) - 3  # an ensemble, dropout and outlier exposure need networks of their own
    assert any(f"{runnable} of {len(DETECTORS)} detectors are not computed" in c.value for c in app.caption)
    assert [b.label for b in app.button] == ["Compute them"]
    assert not app.dataframe, "nothing of the last checkpoint's is shown"


def test_the_figures_draw_the_numbers_they_are_given():
    marks = [Mark("slow", 10.0, 0.9, 0.88, 0.92, "5 forward", 0), Mark("fast", 0.1, 0.8, 0.78, 0.82, "1 forward", None)]
    figure = cost_scatter(marks, mode="light")
    best, grey, bright = figure.data
    assert list(zip(best.x, best.y, strict=True)) == [(0.1, 0.8), (10.0, 0.8), (10.0, 0.9), (10.0, 0.9)]
    assert (list(grey.x), list(grey.y), list(bright.text)) == ([0.1], [0.8], ["slow"])
    low, high = figure.layout.xaxis.range
    assert low < -1
    assert high > 1
    curve = np.array([[0, 0], [0.1, 0.9], [1, 1]])
    drawn = overlaid_curves({"a": curve, "b": curve}, {"b": 0}, kind="roc", corner=False, mode="dark")
    assert [t.name for t in drawn.data] == ["a", "b", "chance"]
    assert list(drawn.data[1].y) == [0, 0.9, 1]
    assert [t.showlegend for t in drawn.data] == [False, True, False]
