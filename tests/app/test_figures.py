"""Figures read back: the numbers in them are the numbers given."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("plotly")

from app import theme
from app.figures.distances import GAP, Ridge, ridgelines


def ridges() -> list[Ridge]:
    grid = np.linspace(0, 2, 5)
    return [
        Ridge("FashionMNIST", "ind", 0, grid, np.array([0, 1, 4, 1, 0.0]), 1.0),
        Ridge("photo patches", "ood", 0, grid, np.array([0, 8, 2, 0, 0.0]), 0.5, "300 images, AUROC 0.98"),
        Ridge("MNIST", "ood", 1, grid, np.array([0, 0, 0, 2, 0.0]), 1.4),
    ]


@pytest.mark.parametrize("mode", theme.MODES)
def test_each_hump_has_height_one_on_its_base_line_and_its_groups_colour(mode):
    figure = ridgelines(ridges(), layer="fc1", mode=mode)
    humps = [trace for trace in figure.data if trace.fill == "tonexty"]
    assert [h.name for h in humps] == ["FashionMNIST", "photo patches", "MNIST"]
    for number, (hump, base) in enumerate(zip(humps, [2 * GAP, GAP, 0], strict=True)):
        assert min(hump.y) == pytest.approx(base)
        assert max(hump.y) == pytest.approx(base + 1)
        expected = theme.IND[mode] if number == 0 else theme.ood(number - 1, mode)
        assert hump.line.color == expected
    assert "AUROC 0.98" in humps[1].hovertemplate


def test_means_title_and_units_are_there():
    figure = ridgelines(ridges(), layer="fc1", mode="light")
    means = [trace.x[0] for trace in figure.data if trace.line.dash == "dot"]
    assert means == [1.0, 0.5, 1.4]
    assert figure.layout.title.text == "True distance to F* in fc1"
    assert "ind median" in figure.layout.xaxis.title.text


@pytest.mark.parametrize("mode", theme.MODES)
def test_the_transfer_matrix_holds_its_numbers_and_frames_the_cells_that_saw_labels(mode):
    from app.figures.transfer import transfer_matrix
    from fssd_core.ensemble import uniform
    from fssd_core.transfer import Transfer

    table = np.array([[0.9, 0.1], [0.99, 0.3]])
    own = np.array([[False, False], [True, False]])
    figure = transfer_matrix(
        Transfer(("uniform", "logistic on a"), ("a", "b"), table, (uniform(("x",)),) * 2, own), mode=mode
    )
    assert np.array_equal(figure.data[0].z, table)
    assert list(figure.data[0].x) == ["a", "b"]
    assert [(s.x0 + s.x1) / 2 for s in figure.layout.shapes] == [0]
    assert [(s.y0 + s.y1) / 2 for s in figure.layout.shapes] == [1]
