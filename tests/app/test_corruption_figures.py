"""The corruption figures and the strip read back: the numbers in them are the numbers given."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest

pytest.importorskip("plotly")
from PIL import Image

from app import theme
from app.corruption_strip import strip_html, strip_style
from app.figures.corruptions import (
    DIFFERENCES,
    METHODS,
    cell_curves,
    cell_heatmap,
    difference_heatmap,
    method_style,
    severity_boxes,
    severity_lines,
    threshold_lines,
)
from app.figures.heatmap import STEPS
from fssd_core.corruption_table import spread
from fssd_core.metrics import roc

TABLES = {"FSSD": np.array([[0.6, 0.9], [0.8, 0.95]]), "MSP": np.array([[0.5, 0.6], [0.7, 0.9]])}
TYPES = ["Fog", "Snow"]


@pytest.mark.parametrize("mode", theme.MODES)
def test_every_method_is_seen_on_both_backgrounds_and_told_without_colour(mode):
    for colour in METHODS[mode]:
        assert theme.contrast(colour, theme.BACKGROUND[mode]) >= 3
    styles = [method_style(place, mode) for place in range(len(METHODS[mode]))]
    assert len({symbol for _, symbol, _ in styles}) == len(styles)


@pytest.mark.parametrize("mode", theme.MODES)
def test_a_line_a_detector_with_its_mean_and_band(mode):
    figure = severity_lines((1, 5), {n: spread(t) for n, t in TABLES.items()}, metric="AUROC", types=2, mode=mode)
    lines = {t.name: t for t in figure.data if t.mode == "lines+markers"}
    np.testing.assert_allclose(lines["FSSD"].y, [0.7, 0.925])
    np.testing.assert_allclose(lines["FSSD"].customdata[0], [np.sqrt(0.02), 0.6, 0.8])
    band = next(t for t in figure.data if t.name == "MSP" and t.fill == "toself")
    np.testing.assert_allclose(
        band.y, [0.6 + np.sqrt(0.02), 0.75 + np.sqrt(0.045), 0.75 - np.sqrt(0.045), 0.6 - np.sqrt(0.02)]
    )
    assert lines["FSSD"].line.color == METHODS[mode][0]
    assert "over 2 types" in figure.layout.yaxis.title.text


def test_boxes_hold_every_type_by_name():
    figure = severity_boxes((1, 5), TYPES, TABLES, metric="AUROC", mode="light")
    box = figure.data[1]
    assert list(zip(box.x, box.text, box.y, strict=True)) == [
        ("1", "Fog", 0.5),
        ("5", "Fog", 0.6),
        ("1", "Snow", 0.7),
        ("5", "Snow", 0.9),
    ]


@pytest.mark.parametrize("mode", theme.MODES)
def test_heatmaps_hold_their_numbers_and_turn_their_scale_where_low_is_good(mode):
    high = cell_heatmap(TABLES["FSSD"], TYPES, (1, 5), metric="AUROC", low_is_good=False, mode=mode).data[0]
    low = cell_heatmap(TABLES["FSSD"], TYPES, (1, 5), metric="FPR95", low_is_good=True, mode=mode).data[0]
    np.testing.assert_array_equal(high.z, TABLES["FSSD"])
    assert (high.zmin, high.zmax, list(high.y)) == (0, 1, TYPES)
    assert [c for _, c in low.colorscale] == [c for _, c in reversed(high.colorscale)]
    assert [at for at, _ in low.colorscale] == sorted(at for at, _ in low.colorscale)
    difference = difference_heatmap(
        TABLES["FSSD"] - TABLES["MSP"], TYPES, (1, 5), first="FSSD", second="MSP", mode=mode
    )
    assert difference.data[0].zmax == -difference.data[0].zmin == pytest.approx(0.3)


@pytest.mark.parametrize("mode", theme.MODES)
def test_digits_can_be_read_on_every_colour_of_a_heatmap(mode):
    for steps in (STEPS[mode], DIFFERENCES[mode]):
        at, channels = zip(*((at, [int(c[i : i + 2], 16) for i in (1, 3, 5)]) for at, c in steps), strict=True)
        for place in np.linspace(0, 1, 101):
            mixed = [round(float(np.interp(place, at, c))) for c in zip(*channels, strict=True)]
            colour = "#" + "".join(f"{c:02x}" for c in mixed)
            assert theme.contrast(colour, theme.TEXT[mode]) >= 4.5, (place, colour)


def test_shares_start_at_the_clean_images():
    shares = {"classified right": (0.9, np.array([0.8, 0.4]), np.array([0.1, 0.2]))}
    line = threshold_lines((1, 5), shares, mode="dark").data[0]
    assert list(line.x) == [0, 1, 5]
    assert list(line.y) == [0.9, 0.8, 0.4]
    assert list(line.error_y.array) == [0, 0.1, 0.2]


def test_curves_of_a_cell_and_the_diagonal_of_chance():
    curve = roc([2.0, 3.0], [1.0, 2.5])
    figure = cell_curves({"FSSD 0.75": curve}, kind="roc", mode="light")
    assert list(figure.data[0].x) == [0, 1]
    np.testing.assert_array_equal(figure.data[1].y, curve.y)
    assert len(cell_curves({"FSSD": curve}, kind="pr", mode="light").data) == 1


def test_the_strip_shows_each_picture_with_its_own_score_and_verdict():
    clean = np.full((4, 6), 200, np.uint8)
    strip = np.arange(2 * 3, dtype=np.uint8).reshape(2, 3, 1, 1) * np.ones((4, 6), np.uint8) * 10
    style = strip_style(clean, strip, mode="light")
    sprite = np.asarray(Image.open(io.BytesIO(base64.b64decode(re.search(r"base64,([^)]+)", style)[1]))))
    assert sprite.shape == (3 * 4, 3 * 6)
    assert (sprite[:4] == 200).all()
    assert sprite[4 + 4 + 1, 6 * 2 + 1] == 50, "second type, third severity"
    scores = np.array([[5.0, 4.0, 1.0], [6.0, 0.5, 0.25]])
    said = np.array([["Bag", "Bag", "Coat"], ["Bag", "Bag", "<b>"]])
    page = strip_html(
        [("Fog", "weather"), ("Snow", "weather")], (1, 3, 5), scores, said, threshold=2.0, clean=(7.0, "Bag")
    )
    cells = re.findall(r'<li class="(\w+)" title="([^"]+)"', page)
    assert [verdict for verdict, _ in cells] == ["accepted"] * 3 + ["rejected", "accepted", "rejected", "rejected"]
    assert cells[3][1] == "Fog, severity 5: score 1.00, rejected; the network says Coat"
    assert "says <b>" not in page
    places = re.findall(r"background-position:([\d.]+)% ([\d.]+)%", page)
    assert places[0] == ("0", "0")
    assert places[-1] == ("100", "100")


def test_large_pictures_are_made_small_for_the_strip():
    style = strip_style(np.zeros((224, 112, 3), np.uint8), np.zeros((1, 5, 224, 112, 3), np.uint8), mode="dark")
    sprite = Image.open(io.BytesIO(base64.b64decode(re.search(r"base64,([^)]+)", style)[1])))
    assert sprite.size == (5 * 32, 2 * 64)
