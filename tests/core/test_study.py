"""Study and its steps on the bundled demo: keys, the store, cancelling, and what was shipped against a fresh run."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from fssd_core import ensemble
from fssd_core.data import load_data
from fssd_core.errors import CancelledError, DataError, InputError, ModelError
from fssd_core.metrics import auroc
from fssd_core.pseudo_ood import make_pseudo_ood
from fssd_core.runtime import generator
from fssd_core.singularity import estimate_fss, fssd, uniform_noise
from fssd_core.store import Store
from fssd_core.study import (
    Study,
    compare,
    layer_scores,
    open_data,
    open_model,
    open_singularity,
    scores_key,
    stored_scores,
    study_layers,
    weights_by_rule,
)
from fssd_core.study_projection import VIEWS, features_projection, stored_projection
from fssd_core.study_pseudo import pseudo_key, pseudo_scores, pseudo_source, stored_pseudo_sweep

SMALL = Study(samples=60, points=40, ood=("mnist", "photo-patches"))


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path)


def test_json_round_trip_and_hash():
    study = dataclasses.replace(SMALL, layers=("fc1", "logits"), epsilon=-0.01, step=100)
    again = Study.from_json(json.loads(json.dumps(study.to_json())))
    assert again == study
    assert hash(again) == hash(study)
    with pytest.raises(InputError, match="did you mean 'samples'"):
        Study.from_json({"sampels": 3})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": 0}, "at least 1"),
        ({"points": 2}, "at least 4"),
        ({"noise_samples": 0}, "at least 1"),
        ({"seed": -1}, "0 or more"),
        ({"epsilon": float("nan")}, "in pixels"),
        ({"epsilon": 3.0}, "-1 to 1"),
        ({"gradient": "sgn"}, "did you mean 'sign'"),
        ({"ood": ("mnist", "mnist")}, "twice"),
        ({"ood": ("fmnist:test",)}, "both ind and ood"),
    ],
)
def test_bad_studies_are_refused_with_the_reason(change, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(SMALL, **change)


def test_scores_are_algorithm_1_on_the_drawn_images(store):
    found = layer_scores(SMALL, "mnist", store=store)[0.0]
    model = open_model(SMALL)
    extractor = model.extractor()
    noise = uniform_noise(model.input_shape, 100, generator=generator(0))
    images = load_data("mnist").sample(60, seed=0)
    expected = fssd(extractor, images.tensor(), estimate_fss(extractor, noise))
    assert found.layers == expected.layers == study_layers(SMALL)
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-5)


def test_results_come_back_from_the_store_unchanged(store, monkeypatch):
    assert stored_scores(SMALL, "mnist", store=store) is None
    first = layer_scores(SMALL, "mnist", epsilons=[0.0, 0.01], store=store)
    monkeypatch.setattr("fssd_core.study.fssd_sweep", lambda *a, **k: pytest.fail("computed again"))
    again = layer_scores(SMALL, "mnist", epsilons=[0.01, 0.0], store=store)
    assert list(again) == [0.01, 0.0]
    for epsilon in first:
        np.testing.assert_array_equal(first[epsilon].values, again[epsilon].values)
    np.testing.assert_array_equal(stored_scores(SMALL, "mnist", store=store).values, first[0.0].values)


def test_a_sweep_computes_only_what_is_missing(store, monkeypatch):
    import fssd_core.study as module

    asked, original = [], module.fssd_sweep

    def watched(*args, epsilons, **rest):
        asked.append(list(epsilons))
        return original(*args, epsilons=epsilons, **rest)

    monkeypatch.setattr(module, "fssd_sweep", watched)
    layer_scores(SMALL, "mnist", epsilons=[0.0, 0.02], store=store)
    layer_scores(SMALL, "mnist", epsilons=[0.0, 0.01, 0.02, 0.05], store=store)
    assert asked == [[0.0, 0.02], [0.01, 0.05]]


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"samples": 61},
        {"noise_samples": 20},
        {"step": 0},
        {"layers": ("fc1",)},
    ],
)
def test_the_key_depends_on_what_the_result_depends_on(change):
    other = dataclasses.replace(SMALL, **change)
    assert scores_key(SMALL, open_data(SMALL, "mnist"), 0.0) != scores_key(other, open_data(other, "mnist"), 0.0)


def test_the_key_ignores_what_the_result_does_not_depend_on():
    other = dataclasses.replace(SMALL, ood=(), points=50, gradient="standardised")
    assert scores_key(SMALL, open_data(SMALL, "mnist"), 0.0) == scores_key(other, open_data(other, "mnist"), 0.0)
    assert scores_key(SMALL, open_data(SMALL, "mnist"), 0.1) != scores_key(other, open_data(other, "mnist"), 0.1)


def test_cancelling_keeps_nothing_half_done(store, tmp_path):
    def stop(done, total, what):
        raise CancelledError("stop")

    with pytest.raises(CancelledError):
        layer_scores(SMALL, "mnist", store=store, progress=stop)
    assert not list(tmp_path.rglob("*.npz"))


def test_pseudo_scores_are_algorithm_1_on_images_made_from_the_fitting_rows(store, monkeypatch):
    assert stored_pseudo_sweep(SMALL, [0.0, 0.02], store=store) == {}
    found = pseudo_scores(SMALL, epsilons=[0.0, 0.02], store=store)
    source = pseudo_source(SMALL)
    rows = {*source.rows.tolist()}
    comparison = compare(SMALL, "mnist", *(layer_scores(SMALL, ref, store=store)[0.0] for ref in (SMALL.ind, "mnist")))
    ind = open_data(SMALL, SMALL.ind)
    assert rows == {*ind.rows[comparison.split.fit_ind].tolist()}
    assert not rows & {*ind.rows[comparison.split.test_ind].tolist()}
    extractor, _, fss = open_singularity(SMALL)
    expected = fssd(extractor, make_pseudo_ood(source, seed=SMALL.seed).tensor(), fss)
    np.testing.assert_allclose(found[0.0].values, expected.values, rtol=1e-5)
    monkeypatch.setattr("fssd_core.pseudo_ood.make_pseudo_ood", lambda *a, **k: pytest.fail("made again"))
    again = stored_pseudo_sweep(SMALL, [0.0, 0.01, 0.02], store=store)
    assert list(again) == [0.0, 0.02]
    np.testing.assert_array_equal(again[0.02].values, found[0.02].values)
    np.testing.assert_array_equal(pseudo_scores(SMALL, store=store)[0.0].values, found[0.0].values)


@pytest.mark.parametrize("change", [{"seed": 1}, {"samples": 61}, {"step": 0}, {"layers": ("fc1",)}, {"ind": "mnist"}])
def test_the_pseudo_key_depends_on_what_the_result_depends_on(change):
    other = dataclasses.replace(SMALL, **{"ood": (), **change})
    keys = {pseudo_key(s, pseudo_source(s), 0.0) for s in (SMALL, other)}
    assert len(keys) == 2
    same = dataclasses.replace(SMALL, ood=("digits8x8",), points=50)
    assert pseudo_key(same, pseudo_source(same), 0.0) in keys


def test_the_pseudo_rule_needs_no_ood_and_other_rules_no_pseudo(store):
    comparison = compare(SMALL, "mnist", *(layer_scores(SMALL, ref, store=store)[0.0] for ref in (SMALL.ind, "mnist")))
    made = pseudo_scores(SMALL, store=store)[0.0]
    weights = weights_by_rule("pseudo-ood", comparison, pseudo=lambda: made)
    assert weights == ensemble.pseudo_ood(comparison.fit_ind, made)
    for rule in ("uniform", "standardised", "logistic", "1,2,3,4"):
        weights_by_rule(rule, comparison, pseudo=lambda: pytest.fail("asked for"))
    with pytest.raises(InputError, match=r"did you mean 'pseudo-ood'.*uniform, standardised, pseudo-ood"):
        weights_by_rule("pseudo_ood", comparison)


@pytest.mark.parametrize("view", ["centred-spokes", "pca"])
@pytest.mark.parametrize("step", [None, 0])
def test_projection_and_its_way_through_the_store(store, view, step):
    study = dataclasses.replace(SMALL, step=step)
    assert stored_projection(study, "logits", view, store=store) is None
    made = features_projection(study, "logits", view, store=store)
    assert [g.name for g in made.groups] == ["fmnist:test", "mnist", "photo-patches", "noise"]
    assert [g.stop - g.start for g in made.groups] == [40, 20, 20, 100]
    found = stored_projection(study, "logits", view, store=store)
    for name in ("xy", "fss", "distance", "labels"):
        np.testing.assert_array_equal(getattr(found, name), getattr(made, name))
    assert found.faithfulness == made.faithfulness
    rows = open_data(study, "fmnist:test", count=40).rows
    np.testing.assert_array_equal(found.groups[0].rows, rows)
    scores = layer_scores(dataclasses.replace(study, samples=40), "fmnist:test", store=store)[0.0]
    np.testing.assert_allclose(made.distance[:40], scores.column("logits"), rtol=1e-4)


def test_spokes_keep_their_order_over_the_checkpoints(store):
    final = features_projection(SMALL, "logits", "centred-spokes", store=store)
    early = features_projection(dataclasses.replace(SMALL, step=10), "logits", "centred-spokes", store=store)
    assert {int(k) for k in final.notes["spokes"]} == set(range(10))
    assert early.notes["spokes"] == final.notes["spokes"]


def test_bad_layers_views_and_data_are_refused(store, tmp_path):
    with pytest.raises(InputError, match="did you mean 'logits'"):
        features_projection(SMALL, "logit", "pca", store=store)
    with pytest.raises(InputError, match="did you mean 'umap'"):
        features_projection(SMALL, "logits", "umpa", store=store)
    with pytest.raises(DataError):
        layer_scores(SMALL, str(tmp_path / "missing.npz"), store=store)
    with pytest.raises(ModelError):
        study_layers(dataclasses.replace(SMALL, model=str(tmp_path / "missing.safetensors")))


def test_views_are_the_projections():
    assert set(VIEWS) == {"centred-spokes", "centred-umap", "umap", "pca"}


def test_comparison_never_tests_on_what_it_fitted(store):
    scores = {ref: layer_scores(SMALL, ref, store=store)[0.0] for ref in (SMALL.ind, "mnist")}
    comparison = compare(SMALL, "mnist", scores[SMALL.ind], scores["mnist"])
    assert not set(comparison.split.fit_ind) & set(comparison.split.test_ind)
    assert not set(comparison.split.fit_ood) & set(comparison.split.test_ood)
    assert len(comparison.fit_ind) == len(comparison.test_ind) == 30
    for rule in ("uniform", "standardised", "logistic", "1,-1,0.5,0"):
        weights = weights_by_rule(rule, comparison)
        assert weights.layers == study_layers(SMALL)
        assert ("mnist" in weights.labels) == (rule == "logistic")
    with pytest.raises(InputError, match="did you mean 'logistic'"):
        weights_by_rule("logistics", comparison)
    with pytest.raises(InputError, match="one value a layer"):
        weights_by_rule("1,2", comparison)


def test_the_issues_own_numbers_hold_on_the_full_sets(store):
    """FashionMNIST against MNIST with logistic alpha, and against photo patches without any ood label."""
    study = dataclasses.replace(SMALL, samples=None)
    scores = {ref: layer_scores(study, ref, store=store)[0.0] for ref in (study.ind, *study.ood)}
    from fssd_core.ensemble import combine

    for ref, rule, least in (("mnist", "logistic", 0.995), ("photo-patches", "uniform", 0.97)):
        comparison = compare(study, ref, scores[study.ind], scores[ref])
        weights = weights_by_rule(rule, comparison)
        value = auroc(combine(comparison.test_ind, weights), combine(comparison.test_ood, weights))
        assert value >= least, (ref, rule, value)
