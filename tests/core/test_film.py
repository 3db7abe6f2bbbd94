"""Films against single projections, numpy and scipy; their laws; the way through the store; cancelling."""

from __future__ import annotations

import dataclasses
import importlib.util

import numpy as np
import pytest
from scipy.stats import spearmanr

from fssd_core import film as film_module
from fssd_core import series
from fssd_core.errors import CancelledError, InputError
from fssd_core.film import FILM_VIEWS, Film, film, film_key, make_film, stored_film
from fssd_core.film_measure import about_motion, measured_motion, through_fss
from fssd_core.projection import project
from fssd_core.projection_faithful import ind_mask
from fssd_core.series import Reel, at_step, series_steps
from fssd_core.store import Store
from fssd_core.study import Study
from fssd_core.study_projection import features_projection
from tests.core.series import STEPS, short_series

needs_umap = pytest.mark.skipif(importlib.util.find_spec("umap") is None, reason="umap-learn is not installed")
PLAIN = ("spokes", "pca")


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Study:
    return short_series(tmp_path_factory.mktemp("series"))


@pytest.fixture(scope="module")
def reel(study) -> Reel:
    return Reel(study, "fc1")


@pytest.fixture(scope="module")
def films(reel) -> dict[str, Film]:
    return {view: make_film(reel, view) for view in PLAIN}


def test_the_views_are_the_contracts():
    assert FILM_VIEWS == ("spokes", "umap", "pca")


@pytest.mark.parametrize("view", PLAIN)
def test_shapes_groups_and_units(films, view):
    made = films[view]
    assert made.steps == STEPS
    assert [(g.name, g.kind, g.stop - g.start) for g in made.groups] == [
        ("fmnist:test", "ind", 40), ("mnist", "ood", 20), ("photo-patches", "ood", 20), ("noise", "noise", 20),
    ]  # fmt: skip
    assert made.distance.shape == (3, 100)
    assert made.motion.shape == (2,)
    assert (made.labels[:40] >= 0).all()
    assert (made.labels[40:] == -1).all()
    assert (made.angle is None) == (view == "pca")
    ind = ind_mask(made.groups)
    np.testing.assert_allclose(made.ind_median, np.median(made.distance[:, ind], axis=1), rtol=1e-6)
    if made.angle is not None:
        assert np.abs(np.diff(made.angle, axis=0)).max() <= np.pi + 1e-3
        radius = np.linalg.norm(made.drawn(), axis=2)
        np.testing.assert_allclose(radius, made.distance / made.ind_median[:, None], rtol=1e-5)
        assert [f.rho for f in made.faithfulness] == pytest.approx([1] * 3, abs=1e-4)


def test_each_spoke_picture_is_the_single_projection_with_the_last_ones_order(study, reel, films):
    made = films["spokes"]
    for number, step in enumerate(STEPS):
        features, fss = reel.frame(number)
        single = project(
            "centred-spokes", features, fss, groups=reel.groups, labels=reel.labels, layer="fc1",
            spoke_order=made.notes["spoke_order"],
        )  # fmt: skip
        np.testing.assert_allclose(made.distance[number], single.distance, rtol=1e-6)
        np.testing.assert_allclose(made.drawn()[number], single.xy, rtol=2e-3, atol=2e-3)  # angles in half precision
        assert made.faithfulness[number].trustworthiness == pytest.approx(single.faithfulness.trustworthiness, abs=0.01)
        assert made.faithfulness[number].auroc_true == single.faithfulness.auroc_true
        assert step in made.steps
    last = project("centred-spokes", *reel.frame(-1), groups=reel.groups, labels=reel.labels, layer="fc1")
    assert made.notes["spoke_order"] == list(last.notes["spoke_order"])


def test_the_demos_films_are_its_projections(tmp_path):
    """The registered series: same drawing as the Features page at every step."""
    study = Study(points=20, ood=("mnist",), noise_samples=10)
    store = Store(tmp_path)
    made = film(study, "logits", "spokes", store=store)
    assert made.steps == series_steps(study)
    assert len(made.steps) >= 14
    for step in (5, made.steps[-1]):
        single = features_projection(at_step(study, step), "logits", "centred-spokes", store=store)
        np.testing.assert_allclose(made.drawn()[made.steps.index(step)], single.xy, rtol=2e-3, atol=2e-3)


def test_the_shared_plane_is_numpys(reel, films):
    """Singular value decomposition of all checkpoints' offsets, one below the other."""
    offsets = np.concatenate([f.astype(np.float64) - s for f, s in (reel.frame(t) for t in range(3))])
    _, values, axes = np.linalg.svd(offsets, full_matrices=False)
    expected = offsets @ axes[:2].T
    found = films["pca"].xy.reshape(-1, 2)
    signs = np.sign((expected * found).sum(0))
    assert np.abs(found - expected * signs).max() < 2e-3 * np.abs(expected).max()
    shares = np.square(values[:2]) / np.square(values).sum()
    assert films["pca"].notes["explained_axes"] == pytest.approx(list(shares), rel=1e-3)
    inside = np.square(expected).sum(1).reshape(3, -1).sum(1) / np.square(offsets).sum(1).reshape(3, -1).sum(1)
    assert films["pca"].notes["explained"] == pytest.approx(list(inside), rel=2e-3)


@pytest.mark.parametrize("view", PLAIN)
def test_motion_is_scipys_rank_correlation_of_drawn_and_true_ways(reel, films, view):
    made = films[view]
    for t in range(2):
        true = np.linalg.norm(reel.frame(t + 1)[0].astype(np.float64) - reel.frame(t)[0], axis=1)
        drawn = np.linalg.norm(np.diff(made.drawn().astype(np.float64), axis=0)[t], axis=1)
        assert made.motion[t] == pytest.approx(spearmanr(drawn, true).statistic, abs=1e-5)


def test_features_that_do_not_fit_into_memory_give_the_same_film(study, films, monkeypatch):
    monkeypatch.setattr(series, "KEPT", 0)
    again = Reel(study, "fc1")
    for view in PLAIN:
        made = make_film(again, view)
        assert not again._frames
        np.testing.assert_allclose(made.distance, films[view].distance, rtol=1e-6)
        np.testing.assert_allclose(made.drawn(), films[view].drawn(), rtol=1e-3, atol=1e-3)


def test_without_labels_the_spokes_are_clusters_of_the_last_checkpoint(study, tmp_path):
    from fssd_core.data import load_data

    some = load_data("fmnist:test").sample(40, seed=0)
    np.savez(tmp_path / "plain.npz", images=some.images)
    made = film(
        dataclasses.replace(study, ind=str(tmp_path / "plain.npz")), "logits", "spokes", store=Store(tmp_path / "s")
    )
    assert made.notes["classes"] == "k-means"
    assert "k-means" in made.notes["remarks"][0]
    assert (made.labels == -1).all()


def test_a_path_through_the_star_is_counted():
    """Half the points turn round F* by half a circle, half by a little."""
    start = np.array([[1, 0], [0, 1], [2, 0], [0, 2]], np.float32)
    end = np.array([[-1, 0.1], [0.1, 1], [-2, 0.1], [0.2, 2]], np.float32)
    still = np.stack([start, end, end])
    assert through_fss(still) == [0.5, 0.0]
    assert np.isnan(measured_motion(still, np.ones((2, 4)))).all()
    assert "nothing moves" in about_motion("pca", np.array([np.nan, np.nan], np.float32))


@pytest.mark.parametrize("view", PLAIN)
def test_through_the_store(study, tmp_path, monkeypatch, view):
    store = Store(tmp_path)
    assert stored_film(study, "logits", view, store=store) is None
    first = film(study, "logits", view, store=store)
    monkeypatch.setattr(film_module, "make_film", lambda *a, **k: pytest.fail("computed again"))
    for again in (film(study, "logits", view, store=store), stored_film(study, "logits", view, store=store)):
        for name in ("distance", "angle", "xy", "ind_median", "motion", "labels"):
            np.testing.assert_array_equal(getattr(again, name), getattr(first, name))
        assert again.faithfulness == first.faithfulness
        assert again.steps == first.steps
        assert set(again.notes) == set(first.notes)
        for a, b in zip(again.groups, first.groups, strict=True):
            np.testing.assert_array_equal(a.rows, b.rows)


def test_the_key_depends_on_what_the_film_depends_on(study, tmp_path):
    own = film_key(study, "logits", "spokes")
    for change in ({"points": 42}, {"seed": 1}, {"noise_samples": 21}, {"ood": ("mnist",)}):
        assert film_key(dataclasses.replace(study, **change), "logits", "spokes") != own
    assert film_key(study, "fc1", "spokes") != own
    assert film_key(study, "logits", "pca") != own
    shorter = short_series(tmp_path, STEPS[:2])
    assert film_key(shorter, "logits", "spokes") != own
    for change in ({"step": 100}, {"samples": 7}, {"epsilon": 0.1}):
        assert film_key(dataclasses.replace(study, **change), "logits", "spokes") == own


def test_cancelling_keeps_nothing(study, tmp_path):
    def stop(done: int, total: int, what: str) -> None:
        if "faithfulness" in what:
            raise CancelledError("stop")

    with pytest.raises(CancelledError):
        film(study, "logits", "spokes", store=Store(tmp_path), progress=stop)
    assert not list(tmp_path.rglob("*.npz"))


def test_progress_never_goes_back(study):
    told: list[int] = []
    make_film(Reel(study, "logits"), "pca", progress=lambda done, total, what: told.append(done))
    assert told == sorted(told)
    assert (told[0], told[-1]) == (0, 100)


def test_bad_input_is_refused_with_the_reason(study, tmp_path, monkeypatch):
    store = Store(tmp_path / "store")
    with pytest.raises(InputError, match="did you mean 'spokes'"):
        film(study, "logits", "spoke", store=store)
    with pytest.raises(InputError, match="did you mean 'logits'"):
        film(study, "logit", "pca", store=store)
    (tmp_path / "one").mkdir()
    one = short_series(tmp_path / "one", STEPS[:1])
    with pytest.raises(InputError, match="has 1 checkpoint; motion needs at least 2"):
        film(one, "logits", "pca", store=store)
    monkeypatch.setattr(Reel, "measure", lambda self: (np.zeros((3, 100), np.float32), np.ones((2, 100), np.float32)))
    with pytest.raises(InputError, match="at step 0 more than half of the ind points of logits lie exactly on F"):
        film(study, "logits", "pca", store=store)


@needs_umap
def test_the_aligned_umap_keeps_neighbours(reel, monkeypatch):
    """Short fits: neighbourhoods and distances are kept, the same seed gives the same angles, epochs are told."""
    monkeypatch.setattr("fssd_core.projection_umap.ALIGNED_EPOCHS", 60)
    told: list[str] = []
    made = make_film(reel, "umap", progress=lambda done, total, what: told.append(what))
    np.testing.assert_array_equal(make_film(reel, "umap").angle, made.angle)
    assert min(f.trustworthiness for f in made.faithfulness[1:]) > 0.75
    assert [f.rho for f in made.faithfulness] == pytest.approx([1] * 3, abs=1e-4)
    assert any("umap epochs" in what for what in told)
    assert "regulariser" in made.notes["remarks"][-1]

    def stop(done: int, total: int, what: str) -> None:
        if "neighbours" in what:
            raise CancelledError("stop")

    with pytest.raises(CancelledError):
        make_film(reel, "umap", progress=stop)
