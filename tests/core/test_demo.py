"""The results that ship are what the code computes today, and everything the first page needs is among them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fssd_core.assets import assets_root
from fssd_core.demo import KNOTS, demo_projections, demo_pseudo, demo_scores
from fssd_core.store import Store
from fssd_core.study import (
    Study,
    layer_scores,
    open_data,
    scores_key,
    stored_scores,
)
from fssd_core.study_projection import features_projection, projection_key, stored_projection
from fssd_core.study_pseudo import pseudo_key, pseudo_scores, pseudo_source, stored_pseudo_sweep


@pytest.fixture
def shipped(tmp_path) -> Store:
    return Store(tmp_path, shipped=[assets_root() / "store"])


def test_everything_named_is_shipped_under_todays_keys(shipped):
    for study, data, epsilons in demo_scores():
        for epsilon in epsilons:
            assert shipped.has(scores_key(study, open_data(study, data), epsilon)), (data, epsilon)
    for study, epsilons in demo_pseudo():
        assert list(stored_pseudo_sweep(study, epsilons, store=shipped)) == list(epsilons)
    for study, layer, view in demo_projections():
        assert shipped.has(projection_key(study, layer, view)), (study.step, layer, view)


def test_nothing_else_is_shipped():
    named = {projection_key(*p) for p in demo_projections()}
    for study, data, epsilons in demo_scores():
        named |= {scores_key(study, open_data(study, data), e) for e in epsilons}
    for study, epsilons in demo_pseudo():
        named |= {pseudo_key(study, pseudo_source(study), e) for e in epsilons}
    there = {
        p.relative_to(assets_root() / "store").with_suffix("").as_posix()
        for p in (assets_root() / "store").rglob("*.npz")
    }
    assert there == named


@pytest.mark.parametrize("data", ["fmnist:test", "mnist", "digits8x8"])
def test_a_sample_of_the_shipped_scores_is_what_the_code_computes(shipped, tmp_path, data):
    study = Study()
    found = stored_scores(study, data, store=shipped)
    fresh = layer_scores(study, data, store=Store(tmp_path / "fresh"))[0.0]
    np.testing.assert_allclose(found.values, fresh.values, rtol=1e-4)


def test_the_shipped_pseudo_ood_is_what_the_code_computes(shipped, tmp_path):
    study = Study()
    found = stored_pseudo_sweep(study, [0.0, 0.02], store=shipped)
    fresh = pseudo_scores(study, epsilons=[0.0, 0.02], store=Store(tmp_path / "fresh"))
    for epsilon in found:
        error = np.abs(found[epsilon].values / fresh[epsilon].values - 1)
        assert np.quantile(error, 0.99) < 2e-3  # a pixel may be rounded otherwise on another machine


def test_a_perturbed_shipped_score_is_what_the_code_computes(shipped, tmp_path):
    study = Study()
    found = layer_scores(study, "mnist", epsilons=KNOTS[-3:-1], store=shipped)
    fresh = layer_scores(study, "mnist", epsilons=KNOTS[-3:-1], store=Store(tmp_path / "fresh"))
    for epsilon in found:
        error = np.abs(found[epsilon].values / fresh[epsilon].values - 1)
        assert np.quantile(error, 0.999) < 2e-3  # rare sign flips where the gradient is about zero


@pytest.mark.parametrize(("number", "step"), [(0, None), (3, None), (5, 10)])
def test_a_sample_of_the_shipped_projections_is_what_the_code_computes(shipped, tmp_path, number, step):
    every = [p for p in demo_projections() if step is None or p[0].step == step]
    study, layer, view = every[number if step is None else 0]
    found = stored_projection(study, layer, view, store=shipped)
    fresh = features_projection(study, layer, view, store=Store(tmp_path / "fresh"))
    np.testing.assert_allclose(found.distance, fresh.distance, rtol=1e-4)
    np.testing.assert_allclose(found.xy, fresh.xy, rtol=1e-2, atol=1e-2)
    assert found.faithfulness.rho == pytest.approx(fresh.faithfulness.rho, abs=1e-3)
    assert [g.name for g in found.groups] == [g.name for g in fresh.groups]


@pytest.mark.parametrize("number", [1, 2])
def test_a_shipped_umap_is_as_faithful_as_a_fresh_one(shipped, tmp_path, number):
    pytest.importorskip("umap")
    study, _, view = list(demo_projections())[number]
    assert "umap" in view
    found = stored_projection(study, "logits", view, store=shipped)
    fresh = features_projection(study, "logits", view, store=Store(tmp_path / "fresh"))
    np.testing.assert_allclose(found.distance, fresh.distance, rtol=1e-4)  # its layout may differ between processors
    assert found.faithfulness.rho == pytest.approx(fresh.faithfulness.rho, abs=0.1)
    assert found.faithfulness.trustworthiness == pytest.approx(fresh.faithfulness.trustworthiness, abs=0.05)


def test_the_store_stays_small():
    size = sum(p.stat().st_size for p in Path(assets_root() / "store").rglob("*") if p.is_file())
    assert size <= 6_000_000
