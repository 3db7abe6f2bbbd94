"""The page 'Why it concentrates' through AppTest, and its figures read back."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
import pytest

pytest.importorskip("streamlit")

from app import speed_lines, theme
from app.figures.dynamics import MEASURES, SpeedLine, common_limits, kernel_block, speed_curves
from fssd_core.assets import assets_root
from fssd_core.dynamics import stored_dynamics
from fssd_core.kernel import stored_kernel
from fssd_core.speed import stored_speed
from fssd_core.speed_words import ratios
from fssd_core.store import Store
from fssd_core.study import Study
from tests.app.test_views import errors, home, start  # noqa: F401

LINES = [
    SpeedLine("clothes", "ind", 0, np.ones(3)),
    SpeedLine("patches", "ood", 0, np.array([0.5, 0.4, 0.2]), np.array([0.4, 0.3, 0.1]), np.array([0.6, 0.5, 0.3])),
    SpeedLine("digits", "ood", 1, np.array([2.0, np.nan, 3.0])),
    SpeedLine("noise", "noise", 2, np.array([0.7, 0.8, 0.9])),
]


@pytest.fixture(scope="module")
def shipped(tmp_path_factory) -> Store:
    return Store(tmp_path_factory.mktemp("store"), [assets_root() / "store"])


@pytest.mark.parametrize("mode", theme.MODES)
def test_curves_hold_their_numbers_colours_and_intervals(mode):
    figure = speed_curves(
        (0, 100, 10_000), LINES, title="exact", subtitle="how", limits=common_limits(LINES), mode=mode
    )
    curves = [trace for trace in figure.data if trace.fill is None]
    assert [c.name for c in curves] == ["clothes", "patches", "digits", "noise"]
    assert [c.line.color for c in curves] == [
        theme.IND[mode],
        theme.ood(0, mode),
        theme.ood(1, mode),
        theme.NOISE[mode],
    ]
    assert list(curves[1].y) == [0.5, 0.4, 0.2]
    assert list(curves[1].customdata) == ["step 0", "step 100", "step 10,000"]
    band = next(trace for trace in figure.data if trace.fill == "toself")
    assert list(band.y) == [0.6, 0.5, 0.3, 0.1, 0.3, 0.4]
    assert list(band.x) == [*curves[1].x, *curves[1].x[::-1]]
    assert figure.layout.xaxis.ticktext == ("0", "10", "100", "1k", "10k")
    assert list(curves[0].x) == [figure.layout.xaxis.tickvals[i] for i in (0, 2, 4)]
    low, high = (10**v for v in figure.layout.yaxis.range)
    assert low < 0.2
    assert high > 3


def test_limits_ignore_what_is_no_number():
    lines = [SpeedLine("a", "ood", 0, np.array([np.nan, np.inf, 0.0, 0.5]))]
    assert common_limits(lines) == pytest.approx((0.45, 1.375))
    assert common_limits([]) == pytest.approx((0.72, 1.375))


@pytest.mark.parametrize("mode", theme.MODES)
@pytest.mark.parametrize("measure", list(MEASURES))
def test_the_block_shows_every_pair_with_its_groups_and_classes(shipped, measure, mode):
    block = stored_kernel(Study(step=13132), "logits", store=shipped)
    names = [f"class {i}" for i in range(10)]
    titles = {g.name: g.name.upper() for g in block.groups}
    figure = kernel_block(block, measure, titles=titles, class_names=names, mode=mode)
    heat = figure.data[0]
    values = getattr(block, measure)
    shown = np.array(heat.z)
    assert shown.shape == values.shape == (80, 32)
    if measure == "cosine":
        np.testing.assert_allclose(shown, values)
    elif measure == "outward":
        np.testing.assert_allclose(np.sign(shown) * np.abs(shown) ** 4, values, rtol=1e-5)
    else:
        inside = values > values.max() * 1e-6
        np.testing.assert_allclose(10 ** shown[inside], values[inside], rtol=1e-5)
    assert heat.zmin < heat.zmax
    assert f"{values[0, 0]:.4g}" in heat.customdata[0][0]
    assert f"FMNIST:TEST, row {block.groups[0].rows[0]}, class {block.labels[0]}" in heat.customdata[0][0]
    strips = [s for s in figure.layout.shapes if s.type == "rect"]
    assert [s.fillcolor for s in strips] == [
        theme.IND[mode], theme.ood(0, mode), theme.ood(1, mode), theme.ood(2, mode), theme.NOISE[mode],
    ]  # fmt: skip
    assert [(s.y0 + 0.5, s.y1 + 0.5) for s in strips] == [(g.start, g.stop) for g in block.groups]
    assert len(figure.layout.xaxis.ticktext) == len(set(block.train_labels.tolist()))
    assert list(figure.layout.xaxis.ticktext) == [names[i] for i in sorted(set(block.train_labels.tolist()))]


def test_panels_and_table_are_the_measured_numbers(shipped):
    speeds, moves = stored_speed(Study(), store=shipped), stored_dynamics(Study(), store=shipped)
    for relative in (False, True):
        exact, control, trained = speed_lines.panels(speeds, moves, "fc1", relative=relative)
        found = ratios(speeds, relative=relative)
        np.testing.assert_array_equal(exact.lines[2].values, found.ratio[:, 2, 2])
        np.testing.assert_array_equal(exact.lines[2].low, found.low[:, 2, 2])
        np.testing.assert_array_equal(control.lines[2].values, found.control[:, 2, 2])
        way = moves.relative_speed if relative else moves.speed
        np.testing.assert_allclose(trained.lines[2].values, way[:, 2, 2] / way[:, 2, 0])
        assert all(a < s < b for s, a, b in zip(trained.steps, moves.steps[:-1], moves.steps[1:], strict=True))
    rows = speed_lines.table(speeds, moves)
    assert len(rows) == 4 * 4
    row = next(r for r in rows if (r["layer"], r["set"]) == ("logits", "mnist"))
    assert row["gradient"] == pytest.approx(np.median(speeds.exact[:, 3, 3] / speeds.exact[:, 3, 0]))
    assert row["end distance"] == pytest.approx(moves.ratio[-1, 3, 3])


def test_the_page_shows_the_demo_at_once(home):  # noqa: F811
    app = start("speed", layer="fc1")
    assert errors(app) == ""
    assert app.latex[0].value.count("frac{dF(x)}{d\\theta}") == 2
    charts = [json.loads(c.proto.spec) for c in app.get("plotly_chart")]
    assert len(charts) == 3 + 4 + 1
    titles = [c["layout"]["title"]["text"] for c in charts]
    assert titles[:3] == ["By the training gradient", "In random directions", "As really trained"]
    assert titles[-1] == "Cosine of the gradients · fc1 · step 13,132"
    said = " ".join(m.value for m in app.markdown)
    assert re.search(r"Over 4 layers and 3 ood sets: ind lastingly moves faster in \d+ of 12 pairs", said)
    assert "-badge[holds] ind moves faster than photo-patches at all 23 checkpoints" in said
    assert "Does a slow set end near F" in said
    assert "random directions" in said
    assert not (home.parent / "home" / "store").exists(), "the demo needs nothing computed"
    app.segmented_control(key="kernel_measure").set_value("pull").run()
    assert errors(app) == ""
    assert json.loads(app.get("plotly_chart")[-1].proto.spec)["layout"]["title"]["text"].startswith("Speed that")
    app.segmented_control(key="speed_frame").set_value("relative").run()
    assert errors(app) == ""


def test_what_is_not_measured_waits_for_a_click(home):  # noqa: F811
    app = start("speed", ood=["digits8x8"])
    assert errors(app) == ""
    assert any("has not been measured yet" in i.value for i in app.info)
    assert any("Measure the speed at 23 checkpoints" in b.label for b in app.button)


def test_a_lone_checkpoint_and_unlabelled_ind_are_explained(home):  # noqa: F811
    from safetensors.numpy import load_file, save_file

    last = sorted((assets_root() / "models" / "lenet").glob("*.safetensors"))[-1]
    save_file(load_file(last), home / "one.safetensors", metadata={"arch": "lenet"})
    np.savez(home / "plain.npz", images=np.zeros((30, 28, 28), np.uint8) + np.arange(30, dtype=np.uint8)[:, None, None])
    app = start("speed", model="one.safetensors")
    assert errors(app) == ""
    assert any("motion needs at least 2" in i.value for i in app.info)
    app = start("speed", ind="plain.npz")
    assert "has no labels, so the training loss and its gradient are unknown" in errors(app)


def test_the_legend_names_every_group_once():
    groups = (("fmnist:test", "ind"), ("mnist", "ood"), ("noise", "noise"))
    html = speed_lines.legend(groups, "light")
    assert html.count('<span style="white-space') == 3
    assert "fmnist:test (ind) = 1" in html
    assert theme.ood(0, "light") in html
    assert set(speed_lines.SHAPES) >= {theme.group_marker(k, i) for k in ("ind", "ood", "noise") for i in range(10)}
    assert dataclasses.fields(SpeedLine)[0].name == "title"
