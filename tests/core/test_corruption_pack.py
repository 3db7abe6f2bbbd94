"""Packed corruption results: equal stays equal, order stays, exact where it can be, and what rounding moved is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fssd_core.assets import assets_root
from fssd_core.corruption_demo import demo_corruptions
from fssd_core.corruption_pack import LEVELS, largest_change, pack, read_pack, rounding_notes, unpack
from fssd_core.corruption_study import Opened, stored_corruption
from fssd_core.corruption_table import CorruptionScores, metric_table
from fssd_core.data.corruptions import corrupt
from fssd_core.singularity import fssd
from fssd_core.store import Entry, Store
from fssd_core.study import open_singularity

SHIPPED = Store(Path("/dev/null/none"), [assets_root() / "corruptions"])


def scores(images: int = 50, seed: int = 0) -> CorruptionScores:
    """Two columns; the second has many equal scores, as the softmax has at 1."""
    rng = np.random.default_rng(seed)
    clean, cells = rng.normal(3, 1, (images, 2)), rng.normal(0, 2, (3, 2, images, 2))
    for part in (clean, cells):
        part[..., 1] = np.minimum(part[..., 1], 1.0)
    return CorruptionScores("x", "X", ("a", "b"), clean.astype(np.float32), cells.astype(np.float32))


def test_few_values_come_back_exactly():
    clean = np.array([[1.5], [np.float32(0.1)]], np.float32)
    cells = np.array([0.25, 1.5, -7.0], np.float32).reshape(1, 1, 3, 1)
    back = unpack(pack(clean, cells, levels=4))
    np.testing.assert_array_equal(back[0], clean)
    np.testing.assert_array_equal(back[1], cells)


def test_rounding_keeps_order_and_ties_and_fills_its_levels():
    exact = scores()
    back = unpack(pack(exact.clean, exact.cells, levels=20))
    for k in range(2):
        before = np.concatenate([exact.clean[:, k], exact.cells[..., k].reshape(-1)])
        after = np.concatenate([back[0][:, k], back[1][..., k].reshape(-1)])
        ordered = after[np.argsort(before, kind="stable")]
        assert (np.diff(ordered) >= 0).all()
        assert len(set(after[before == 1.0])) <= 1
        assert set(after) <= set(before), "each stands for scores that were there"
    first = np.unique(np.concatenate([back[0][:, 0], back[1][..., 0].reshape(-1)]), return_counts=True)[1]
    assert len(first) == 20
    assert first.max() <= 18, "350 scores on 20 levels"


def test_more_levels_move_less_and_all_levels_nothing():
    exact = scores(images=100)
    moved = []
    for levels in (8, 64, 65_536):
        clean, cells = unpack(pack(exact.clean, exact.cells, levels=levels))
        moved.append(largest_change(exact, replace(exact, clean=clean, cells=cells)))
    assert moved[0] > moved[1] > moved[2] == 0
    assert moved[1] < 0.01
    table, other = (metric_table(*s.combined()) for s in (exact, replace(exact, clean=exact.clean + 1)))
    assert largest_change(exact, replace(exact, clean=exact.clean + 1)) == pytest.approx(np.abs(table - other).max())


def test_a_pack_is_read_cell_by_cell_and_says_that_it_is_rounded():
    exact = scores()
    rounded = {"levels": 20, "largest_auroc_change": 0.00321}
    meta = {"types": ["fog", "snow", "frost"], "severities": [1, 4], "columns": ["a", "b"], "rounded": rounded}
    arrays = pack(exact.clean, exact.cells, levels=20)
    found = read_pack(Entry(arrays, {**meta, "unchanged": {"snow:4": 2}}))
    np.testing.assert_array_equal(found["snow", 4][0], unpack(arrays)[1][1, 1])
    assert (found["snow", 4][1]["unchanged"], found["fog", 1][1]["unchanged"]) == (2, 0)
    assert "20 values a column, which moved no cell's AUROC by more than 0.003" in rounding_notes([meta, {}])[0]
    assert rounding_notes([{}]) == []


def places_apart(pool: np.ndarray, shipped: np.ndarray, exact: np.ndarray) -> float:
    """The largest share of the pool between a shipped score and the exact one."""
    worst = 0.0
    for k in range(pool.shape[1]):
        ranked = np.sort(pool[:, k])
        low, high = np.minimum(shipped[:, k], exact[:, k]), np.maximum(shipped[:, k], exact[:, k])
        between = np.searchsorted(ranked, high, side="left") - np.searchsorted(ranked, low, side="right")
        worst = max(worst, float(between.max()) / len(ranked))
    return worst


@pytest.fixture(scope="module")
def shipped():
    found = stored_corruption(demo_corruptions(), store=SHIPPED)
    assert found is not None, "assets/corruptions lacks what the page shows; python -m fssd_core.assets build"
    return found


def test_the_shipped_scores_are_computed_ones(shipped):
    assert shipped.cell_predicted.shape == (19, 5, 500)
    assert any(f"{LEVELS:,} values" in note for note in shipped.notes)
    opened = Opened(demo_corruptions())
    extractor, _, fss = open_singularity(opened.spec.study)
    some = opened.images.take(np.arange(60))
    np.testing.assert_array_equal(shipped.rows, opened.images.rows)
    clean = fssd(extractor, some.tensor(), fss).values
    scored = shipped.detectors["fssd"]
    pool = np.concatenate([scored.clean, scored.cells.reshape(-1, 4)])
    assert places_apart(pool, scored.clean[:60], clean) <= 1 / LEVELS
    pytest.importorskip("imagecorruptions", reason="imagecorruptions-imaug is not installed")
    made = replace(some, images=corrupt(some.images, "fog", 3, rows=some.rows, seed=0).images).tensor()
    place = shipped.types.index("fog"), shipped.severities.index(3)
    foggy = fssd(extractor, made, fss).values
    assert places_apart(pool, scored.cells[place][:60], foggy) <= 1 / LEVELS
    assert np.median(np.abs(scored.cells[place][:60] / foggy - 1)) < 0.002
    np.testing.assert_array_equal(shipped.cell_predicted[place][:60], extractor.logits(made).argmax(1))
