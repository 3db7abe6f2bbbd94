"""The results that ship are what the code computes today, and everything the first page needs is among them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fssd_core.assets import assets_root
from fssd_core.bench_open import open_bench
from fssd_core.bench_run import outcome_key
from fssd_core.demo import (
    KNOTS,
    build_demo_store,
    demo_benches,
    demo_films,
    demo_kernels,
    demo_projections,
    demo_pseudo,
    demo_scores,
)
from fssd_core.dynamics import dynamics_key, stored_dynamics
from fssd_core.film import DISTANCE, film_key, make_film, stored_film
from fssd_core.kernel import kernel, kernel_key, stored_kernel
from fssd_core.series import Reel, at_step
from fssd_core.speed import speed_key, stored_speed, training_images
from fssd_core.store import Store
from fssd_core.study import (
    Study,
    layer_scores,
    open_data,
    open_singularity,
    scores_key,
    stored_scores,
)
from fssd_core.study_projection import features_projection, projection_key, stored_projection
from fssd_core.study_pseudo import pseudo_key, pseudo_scores, pseudo_source, stored_pseudo_sweep
from fssd_core.tangent import Tangent, scaled


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
    for study, layer, view in demo_films():
        assert shipped.has(film_key(study, layer, view)), (layer, view)
        assert shipped.has(film_key(study, layer, DISTANCE)), layer
    for study, layer in demo_kernels():
        assert shipped.has(kernel_key(study, layer)), (study.step, layer)
    assert shipped.has(dynamics_key(Study()))
    assert shipped.has(speed_key(Study()))
    for asked, detectors in demo_benches():
        assert [d for d in detectors if not shipped.has(outcome_key(open_bench(asked), d))] == [], asked


def test_nothing_else_is_shipped():
    named = {projection_key(*p) for p in demo_projections()} | {film_key(*f) for f in demo_films()}
    named |= {film_key(study, layer, DISTANCE) for study, layer, _ in demo_films()}
    named |= {kernel_key(*k) for k in demo_kernels()} | {dynamics_key(Study()), speed_key(Study())}
    for study, data, epsilons in demo_scores():
        named |= {scores_key(study, open_data(study, data), e) for e in epsilons}
    for study, epsilons in demo_pseudo():
        named |= {pseudo_key(study, pseudo_source(study), e) for e in epsilons}
    for asked, detectors in demo_benches():
        bench = open_bench(asked)
        named |= {outcome_key(bench, name) for name in detectors}
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


@pytest.fixture(scope="module")
def reel() -> Reel:
    """Today's features of the logits at every checkpoint."""
    return Reel(Study(), "logits")


@pytest.mark.parametrize("view", ["spokes", "umap", "pca"])
def test_a_shipped_film_is_of_todays_features(shipped, reel, view):
    """Distances of every point and checkpoint, in every view; the UMAP's pictures are as faithful as they say."""
    found, distance = stored_film(Study(), "logits", view, store=shipped), reel.measure()[0]
    np.testing.assert_allclose(found.distance, distance, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(found.labels, reel.labels)
    assert [g.name for g in found.groups] == [g.name for g in reel.groups]
    assert found.steps == reel.steps
    assert min(f.trustworthiness for f in found.faithfulness[2:]) > 0.75
    if view == "umap":
        assert min(f.rho for f in found.faithfulness) > 0.999
        assert "regulariser" in " ".join(found.notes["remarks"])


def test_a_shipped_film_is_what_the_code_draws(shipped, reel):
    found, fresh = stored_film(Study(), "logits", "spokes", store=shipped), make_film(reel, "spokes")
    np.testing.assert_allclose(found.drawn(), fresh.drawn(), rtol=1e-2, atol=1e-2)
    np.testing.assert_allclose(found.motion, fresh.motion, atol=0.02)
    assert found.notes["spoke_order"] == fresh.notes["spoke_order"]


def test_shipped_series_agree_with_shipped_films(shipped):
    """Two ways to the same numbers: the series' means are the films' distances averaged by group."""
    series = stored_dynamics(Study(), store=shipped)
    for k, layer in enumerate(series.layers):
        made = stored_film(Study(), layer, "spokes", store=shipped)
        for g, group in enumerate(made.groups):
            np.testing.assert_allclose(
                made.distance[:, group.start : group.stop].mean(1), series.mean[:, k, g], rtol=1e-4
            )


def test_a_shipped_speed_and_kernel_are_what_the_code_computes(shipped, tmp_path):
    study = at_step(Study(), 100)
    speeds = stored_speed(study, store=shipped)
    extractor, _, _ = open_singularity(study)
    tangent, train = Tangent(extractor), training_images(study)
    gradient, loss = tangent.gradient(train.tensor(), torch.tensor(train.labels))
    t = speeds.steps.index(100)
    assert speeds.loss[t] == pytest.approx(loss, rel=1e-4)
    pushed = tangent.push(open_data(study, study.ind, count=600).tensor(), scaled(gradient, -1.0))[1]
    for k, layer in enumerate(speeds.layers):
        assert speeds.exact[t, k, 0] == pytest.approx(float(pushed[layer].norm(dim=1).mean()), rel=1e-3)
    found, fresh = (kernel(study, "logits", store=s) for s in (shipped, Store(tmp_path / "fresh")))
    np.testing.assert_allclose(found.raw, fresh.raw, rtol=1e-3, atol=1e-2)
    assert stored_kernel(study, "logits", store=shipped) is not None


def test_only_what_is_missing_is_added(tmp_path, monkeypatch):
    """`assets build --only store --missing` leaves what is there as it is."""
    import fssd_core.demo as demo

    made: list[Path] = []
    for name in ("demo_scores", "demo_pseudo", "demo_projections", "demo_kernels", "demo_films", "demo_benches"):
        monkeypatch.setattr(demo, name, lambda: iter(()))

    def step(study: Study, *, store: Store, progress: object) -> None:
        store.root.mkdir(parents=True, exist_ok=True)
        made.append(store.root)

    for name in ("dynamics", "speed"):
        monkeypatch.setattr(demo, name, step)
    (tmp_path / "store" / "old").mkdir(parents=True)
    build_demo_store(tmp_path / "store", missing=True)
    assert (tmp_path / "store" / "old").exists()
    build_demo_store(tmp_path / "store")
    assert not (tmp_path / "store" / "old").exists()
    assert made == [tmp_path / "store"] * 2 + [tmp_path / ".store.new"] * 2


def test_the_store_stays_small():
    size = sum(p.stat().st_size for p in Path(assets_root() / "store").rglob("*") if p.is_file())
    assert size <= 9_000_000
