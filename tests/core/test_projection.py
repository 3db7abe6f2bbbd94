"""Projections against numpy and scikit-learn, their laws, and what they say about themselves."""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
import subprocess
import sys
import warnings

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.manifold import trustworthiness
from sklearn.metrics import roc_auc_score

from fssd_core import projection_embed, projection_umap
from fssd_core.errors import CancelledError, InputError
from fssd_core.extractor import FeatureExtractor
from fssd_core.projection import VIEWS, group_circles, ind_median, plain_words, project, pseudo_classes, radius
from fssd_core.projection_centred import circle_order
from fssd_core.projection_embed import Offsets, nearest, principal
from fssd_core.projection_faithful import measure
from fssd_core.types import Faithfulness, PointGroup, Projection
from tests import reference

INSTANT = ("pca", "centred-spokes")
CENTRED = ("centred-spokes", "centred-umap")
HAS_UMAP = importlib.util.find_spec("umap") is not None
needs_umap = pytest.mark.skipif(not HAS_UMAP, reason="umap-learn is not installed")
EVERY = [pytest.param(view, marks=needs_umap) if "umap" in view else view for view in VIEWS]


def group(name: str, kind: str, start: int, stop: int) -> PointGroup:
    return PointGroup(name, kind, start, stop, np.arange(stop - start))


GROUPS = (group("fmnist:test", "ind", 0, 96), group("mnist", "ood", 96, 192), group("noise", "noise", 192, 292))


@pytest.fixture(scope="module")
def real() -> dict[str, dict]:
    """What `project` takes, per layer: 96 FashionMNIST, 96 MNIST and 100 noise images through the tiny network."""
    extractor = FeatureExtractor(
        reference.tiny_lenet(), reference.LAYERS, mean=reference.MEAN, std=reference.STD, device="cpu"
    )
    parts = [
        extractor.features(x) for x in (reference.pixels("ind"), reference.pixels("ood"), reference.noise("uniform"))
    ]
    labels = np.full(292, -1, np.int16)
    labels[:96] = reference.vectors()["ind_label"]
    return {
        layer: {
            "features": np.concatenate([p[layer].numpy() for p in parts]),
            "fss": parts[2][layer].numpy().mean(0),
            "groups": GROUPS,
            "labels": labels,
            "layer": layer,
        }
        for layer in reference.LAYERS
    }


@pytest.fixture(scope="module")
def fitted(real) -> dict[str, Projection]:
    """Every view of the tiny network's fc1 that can be drawn here."""
    return {view: project(view, **real["relu3"]) for view in VIEWS if HAS_UMAP or "umap" not in view}


def small(**changes) -> dict:
    """Six points on hand-set places: F* = (1, 1), ind distances 5 and 10 (median 7.5), ood 2.5, noise 0."""
    given = {
        "features": np.array([[4, 5], [1, 6], [7, 9], [1, -9], [1, 3.5], [1, 1]], np.float32),
        "fss": np.array([1, 1], np.float32),
        "groups": (group("a", "ind", 0, 4), group("b", "ood", 4, 5), group("noise", "noise", 5, 6)),
        "labels": np.array([0, 1, 0, 2, -1, -1], np.int16),
        "layer": "hand",
    }
    return given | changes


# the centred views


def test_hand_set_radii_circles_and_scales():
    p = project("centred-spokes", **small())
    np.testing.assert_allclose(p.distance, [5, 5, 10, 10, 2.5, 0], rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(p.xy, axis=1), np.array([5, 5, 10, 10, 2.5, 0]) / 7.5, rtol=1e-6)
    assert p.fss.tolist() == [0.0, 0.0]
    assert ind_median(p) == 7.5
    assert group_circles(p) == pytest.approx({"a": 1.0, "b": 1 / 3, "noise": 0.0}, rel=1e-6)
    np.testing.assert_allclose(radius(p), [2 / 3, 2 / 3, 4 / 3, 4 / 3, 1 / 3, 0], rtol=1e-6)
    np.testing.assert_allclose(radius(p, "absolute"), p.distance)
    np.testing.assert_allclose(radius(p, "log", distance=np.array([0, 7.5, 22.5])), [0, 1, 2])
    with pytest.raises(InputError, match="no radius mode 'mediam'; did you mean 'median'"):
        radius(p, "mediam")


@pytest.mark.parametrize("layer", reference.LAYERS)
def test_spokes_draw_the_true_distance_of_the_authors(real, layer):
    given = real[layer] | {"fss": reference.vectors()[f"fss_uniform_{reference.LAYERS.index(layer)}"]}
    p = project("centred-spokes", **given)
    k = reference.LAYERS.index(layer)
    theirs = np.concatenate([reference.vectors()[f"distance_uniform_{g}_eps0"][:, k] for g in ("ind", "ood")])
    drawn = np.linalg.norm(p.xy.astype(np.float64), axis=1)
    np.testing.assert_allclose(drawn[:192], theirs / np.median(theirs[:96]), rtol=2e-4)
    np.testing.assert_allclose(drawn, p.distance / np.median(p.distance[:96]), rtol=1e-6)
    assert p.faithfulness.rho > 0.99999
    assert p.faithfulness.auroc_drawn == pytest.approx(p.faithfulness.auroc_true, abs=1e-9)


def test_spokes_put_the_classes_near_their_spokes(real):
    p = project("centred-spokes", **real["fc2"])
    assert p.notes["classes"] == "labels"
    assert sorted(p.notes["spokes"]) == sorted(p.notes["spoke_order"]) == list(range(10))
    spokes = np.exp(1j * np.array([p.notes["spokes"][c] for c in range(10)]))
    drawn = p.xy[:96] @ np.array([1, 1j])
    near = np.abs(np.angle(drawn[:, None] / spokes)).argmin(1)
    labels = real["fc2"]["labels"][:96]
    ring = np.array([p.notes["spoke_order"].index(c) for c in range(10)])
    apart = (ring[near] - ring[labels]) % 10
    assert np.mean(np.minimum(apart, 10 - apart) <= 1) > 0.9  # its own spoke or the one beside it
    off = [np.degrees(np.angle(drawn[labels == c].sum() / spokes[c])) for c in range(10)]
    assert np.abs(off).mean() < 25  # spokes are 36 degrees apart; an arbitrary drawing is off by 90


def test_a_point_on_a_class_direction_is_drawn_on_its_spoke():
    corners = np.eye(6, dtype=np.float32) - 1 / 6
    points = np.concatenate([corners, 2 * corners, 0.1 * corners])
    groups = (group("a", "ind", 0, 12), group("b", "ood", 12, 18))
    labels = np.r_[np.tile(np.arange(6), 2), [-1] * 6]
    p = project("centred-spokes", points, np.zeros(6), groups=groups, labels=labels, layer="x")
    drawn = np.arctan2(p.xy[:, 1], p.xy[:, 0])
    spokes = np.array([p.notes["spokes"][c] for c in range(6)] * 3)
    assert np.abs(np.angle(np.exp(1j * (drawn - spokes)))).max() < 0.01


def test_a_given_spoke_order_is_kept(real):
    order = [3, 1, 4, 0, 5, 9, 2, 6, 8, 7]
    p = project("centred-spokes", **real["fc2"], spoke_order=order)
    assert p.notes["spoke_order"] == order
    assert p.notes["spokes"] == pytest.approx({c: 2 * np.pi * k / 10 for k, c in enumerate(order)})
    wider = project("centred-spokes", **small(), spoke_order=[5, 0, 2, 1])
    assert wider.notes["spokes"][0] == pytest.approx(np.pi / 2)
    with pytest.raises(InputError, match=r"lacks the classes \[0\]"):
        project("centred-spokes", **small(), spoke_order=[1, 2])
    with pytest.raises(InputError, match="a class twice"):
        project("centred-spokes", **small(), spoke_order=[0, 1, 2, 1])


def test_without_labels_the_spokes_are_clusters_and_the_notes_say_so(real):
    given = real["fc2"] | {"labels": np.full(292, -1)}
    p = project("centred-spokes", **given, seed=3)
    assert p.notes["classes"] == "k-means"
    assert "k-means" in p.notes["remarks"][0]
    assert len(p.notes["spokes"]) == 10
    assert (p.labels == -1).all()
    assert project("centred-spokes", **given, seed=3, spoke_order=[1, 0]).notes["spokes"] == p.notes["spokes"]
    labels = pseudo_classes(given["features"], given["fss"], np.arange(292) < 96, seed=3)
    np.testing.assert_array_equal(project("centred-spokes", **given | {"labels": labels}).xy, p.xy)


def test_pseudo_classes_find_separate_directions():
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(4), 20)
    points = np.eye(4)[truth] * rng.uniform(1, 9, (80, 1)) + rng.normal(0, 0.01, (80, 4))
    labels = pseudo_classes(points, np.zeros(4), np.arange(80) < 70, count=4)
    assert (labels[70:] == -1).all()
    assert len({(t, c) for t, c in zip(truth[:70], labels[:70], strict=True)}) == 4


def test_circle_order_is_the_best_of_all(real):
    fc1 = real["relu3"]
    means = np.stack([fc1["features"][fc1["labels"] == c].mean(0) for c in range(8)])
    unit = (means - means.mean(0)) / np.linalg.norm(means - means.mean(0), axis=1, keepdims=True)
    similarity = unit @ unit.T

    def total(tour):
        return sum(similarity[a, b] for a, b in zip(tour, (*tour[1:], tour[0]), strict=True))

    order = circle_order(similarity)
    best = max(total((0, *rest)) for rest in itertools.permutations(range(1, 8)))
    assert order[0] == 0
    assert order[1] < order[-1]
    assert total(order) == pytest.approx(best, abs=1e-9)


def test_circle_order_finds_a_shuffled_ring():
    places = np.random.default_rng(1).permutation(30)
    angle = 2 * np.pi * places / 30
    order = circle_order(np.cos(angle[:, None] - angle))
    steps = np.diff(places[list(order)], append=places[order[0]]) % 30
    assert set(steps.tolist()) in ({1}, {29})


def test_circle_order_cannot_be_shortened_by_turning_a_piece_round():
    places = np.random.default_rng(0).normal(size=(40, 3))
    cost = np.linalg.norm(places[:, None] - places, axis=2)

    def length(tour):
        return cost[tour, np.roll(tour, -1)].sum()

    order = np.array(circle_order(1 - cost))
    assert sorted(order) == list(range(40))
    for i, j in itertools.combinations(range(1, 41), 2):
        turned = np.r_[order[:i], order[i:j][::-1], order[j:]]
        assert length(turned) > length(order) - 1e-9


# PCA


@pytest.mark.parametrize("layer", ["pool1", "pool2", "fc2"])  # Gram matrix, moment matrix, few features
def test_pca_is_numpys_svd_about_fss(real, layer):
    p = project("pca", **real[layer])
    centred = real[layer]["features"].astype(np.float64) - real[layer]["fss"]
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    oracle = u[:, :2] * s[:2]
    np.testing.assert_allclose(np.abs(p.xy), np.abs(oracle), atol=1e-4 * s[0])
    np.testing.assert_allclose(p.notes["explained"], (s**2 / (s**2).sum())[:2], rtol=1e-4)
    assert p.fss.tolist() == [0.0, 0.0]
    assert (np.linalg.norm(p.xy, axis=1) <= p.distance * (1 + 1e-5)).all()
    largest = np.abs(p.xy).argmax(0)
    assert (p.xy[largest, [0, 1]] > 0).all()


def test_iterated_directions_agree_with_the_exact_ones(real, monkeypatch):
    offsets = Offsets(real["pool1"]["features"], real["pool1"]["fss"])
    exact, share = principal(offsets, 10, seed=0)
    monkeypatch.setattr(projection_embed, "EXACT", 100)
    rounds = []
    iterated, near = principal(offsets, 10, seed=0, progress=lambda done, total, what: rounds.append((done, total)))
    assert rounds == [(0, 4), (1, 4), (2, 4), (3, 4)]
    np.testing.assert_allclose(near[:3], share[:3], rtol=1e-4)
    np.testing.assert_allclose(iterated[:, :3], exact[:, :3], atol=2e-3 * np.abs(exact).max())
    again, _ = principal(offsets, 10, seed=0)
    assert again.tobytes() == iterated.tobytes()


def test_working_in_pieces_changes_nothing(real, monkeypatch):
    whole = {view: project(view, **real["pool1"]) for view in INSTANT}
    monkeypatch.setattr(projection_embed, "_KEPT", 0)
    monkeypatch.setattr(projection_embed, "_PIECE", 1152 * 50)
    for view, before in whole.items():
        after = project(view, **real["pool1"])
        np.testing.assert_allclose(after.xy, before.xy, atol=1e-4 * np.abs(before.xy).max())
        np.testing.assert_array_equal(after.distance, before.distance)


# laws


@pytest.mark.parametrize("view", INSTANT)
def test_turning_and_moving_the_space_change_nothing(real, view):
    given, rng = real["relu3"], np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(64, 64)))[0]
    shift = rng.normal(size=64)
    turned = given | {"features": given["features"] @ turn + shift, "fss": given["fss"] @ turn + shift}
    before, after = project(view, **given), project(view, **turned)
    np.testing.assert_allclose(after.xy, before.xy, atol=2e-4 * np.abs(before.xy).max())
    assert after.faithfulness.trustworthiness == pytest.approx(before.faithfulness.trustworthiness, abs=1e-3)


@pytest.mark.parametrize("view", INSTANT)
@pytest.mark.parametrize("factor", [0.125, 1e-9, 1e12])
def test_scaling_the_space_scales_only_what_has_its_unit(real, view, factor):
    given = real["relu3"]
    scaled = given | {"features": given["features"] * factor, "fss": given["fss"] * factor}
    before, after = project(view, **given), project(view, **scaled)
    unit = factor if view == "pca" else 1
    np.testing.assert_allclose(after.xy, before.xy * unit, atol=1e-5 * unit * np.abs(before.xy).max())
    np.testing.assert_allclose(after.distance, before.distance * factor, rtol=1e-5)


@pytest.mark.parametrize("view", INSTANT)
def test_the_order_of_points_changes_nothing(real, view):
    given, order = real["relu3"], np.r_[np.random.default_rng(0).permutation(96), np.arange(96, 292)]
    shuffled = given | {"features": given["features"][order], "labels": given["labels"][order]}
    before, after = project(view, **given), project(view, **shuffled)
    np.testing.assert_allclose(after.xy, before.xy[order], atol=1e-4 * np.abs(before.xy).max())


@pytest.mark.parametrize("view", EVERY)
def test_the_same_seed_gives_the_same_bytes(real, fitted, view):
    again = project(view, **real["relu3"] | {"features": real["relu3"]["features"].copy()})
    assert again.xy.tobytes() == fitted[view].xy.tobytes()
    assert again.fss.tobytes() == fitted[view].fss.tobytes()
    assert again.faithfulness == fitted[view].faithfulness


@needs_umap
def test_another_seed_gives_another_umap(real, fitted):
    assert project("umap", **real["relu3"], seed=1).xy.tobytes() != fitted["umap"].xy.tobytes()


# faithfulness


@pytest.mark.parametrize("view", EVERY)
def test_faithfulness_is_what_scipy_and_sklearn_say(real, fitted, view):
    p = fitted[view]
    features, fss = (real["relu3"][key].astype(np.float64) for key in ("features", "fss"))
    true = np.linalg.norm(features - fss, axis=1)
    drawn = np.linalg.norm(p.xy.astype(np.float64) - p.fss, axis=1)
    ind = np.r_[np.ones(96), np.zeros(96)]
    assert p.faithfulness.rho == pytest.approx(spearmanr(drawn, true)[0], abs=1e-6)
    assert p.faithfulness.rho_ind == pytest.approx(spearmanr(drawn[:96], true[:96])[0], abs=1e-6)
    assert p.faithfulness.trustworthiness == pytest.approx(trustworthiness(features, p.xy, n_neighbors=15), abs=1e-4)
    assert p.faithfulness.auroc_true == {"mnist": pytest.approx(roc_auc_score(ind, true[:192]), abs=1e-9)}
    assert p.faithfulness.auroc_drawn == {"mnist": pytest.approx(roc_auc_score(ind, drawn[:192]), abs=1e-3)}
    assert p.notes["trust_points"] == 292


@pytest.mark.parametrize("view", EVERY)
def test_real_drawings_are_of_use(fitted, view):
    f = fitted[view].faithfulness
    assert f.trustworthiness > 0.8
    assert f.rho > (0.99999 if view in CENTRED else 0.6)


@needs_umap
def test_umap_draws_fss_among_the_noise(fitted):
    p = fitted["umap"]
    apart = np.linalg.norm(p.xy - p.fss, axis=1)
    assert apart[192:].mean() < 0.5 * apart[:96].mean()


def scene(count: int = 400):
    """Points of the plane about the origin: 200 ind, and 200 ood of half the distance."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(count, 2))
    points[count // 2 :] *= 0.5
    groups = (group("a", "ind", 0, count // 2), group("b", "ood", count // 2, count))
    return points, groups, Offsets(points.astype(np.float32), np.zeros(2, np.float32))


def test_a_perfect_drawing_is_faithful_and_a_shuffled_one_is_not():
    points, groups, offsets = scene()
    distance = np.linalg.norm(points, axis=1)
    perfect = measure(distance, points, offsets, distance, groups, seed=0)
    assert (perfect.rho, perfect.rho_ind, perfect.trustworthiness) == pytest.approx((1, 1, 1))
    assert perfect.auroc_drawn == perfect.auroc_true
    wrong = np.random.default_rng(1).permutation(points)
    shuffled = measure(np.linalg.norm(wrong, axis=1), wrong, offsets, distance, groups, seed=0)
    assert abs(shuffled.rho) < 0.1
    assert shuffled.trustworthiness < 0.6
    assert shuffled.auroc_drawn["b"] == pytest.approx(0.5, abs=0.1)


def test_trustworthiness_of_many_points_is_measured_on_a_seeded_sample(monkeypatch):
    points, groups, offsets = scene(2500)
    distance = np.linalg.norm(points, axis=1)
    noisy = points + np.random.default_rng(2).normal(0, 0.3, points.shape)
    one, same, other = (measure(distance, noisy, offsets, distance, groups, seed=s).trustworthiness for s in (0, 0, 1))
    assert one == same != other
    assert one == pytest.approx(trustworthiness(points, noisy, n_neighbors=15), abs=0.01)
    p = project("pca", offsets.features, offsets.fss, groups=groups, labels=np.zeros(2500), layer="plane")
    assert p.notes["trust_points"] == 2000


# plain words


def with_faithfulness(**numbers) -> Projection:
    p = project("pca", **small())
    return dataclasses.replace(p, faithfulness=Faithfulness(**numbers))


def test_plain_words_name_what_misleads():
    p = with_faithfulness(
        rho=0.64,
        rho_ind=0.3,
        trustworthiness=0.973,
        auroc_true={"mnist": 0.37, "cifar": 0.99, "rotated": 0.70, "inverted": 0.60, "svhn": 0.8, "blur": 0.48},
        auroc_drawn={"mnist": 0.81, "cifar": 0.73, "rotated": 0.79, "inverted": 0.49, "svhn": 0.95, "blur": 0.7},
    )
    words = plain_words(p)
    assert "roughly (Spearman rho 0.64; among ind alone 0.30)" in words
    assert "Trustworthiness 0.97 of 1: points drawn side by side are nearly always true neighbours." in words
    assert "mnist is drawn nearer to F* than ind, but truly lies farther away (AUROC drawn 0.81, true 0.37)" in words
    assert "cifar looks farther from F*, against ind, than it truly is (AUROC drawn 0.73, true 0.99)" in words
    assert "inverted is drawn farther from F* than ind, but truly lies nearer (AUROC drawn 0.49, true 0.60)" in words
    assert "svhn looks nearer to F*, against ind, than it truly is (AUROC drawn 0.95, true 0.80)" in words
    assert "blur is drawn nearer to F* than ind, but truly lies about as far (AUROC drawn 0.70, true 0.48)" in words
    assert "rotated" not in words


def test_plain_words_are_calm_where_nothing_misleads():
    p = with_faithfulness(
        rho=0.97, rho_ind=0.9, trustworthiness=0.8, auroc_true={"mnist": 0.4}, auroc_drawn={"mnist": 0.45}
    )
    assert plain_words(p) == (
        "Drawn distance to F* follows the true distance very closely (Spearman rho 0.97; among ind alone 0.90). "
        "Trustworthiness 0.80 of 1: points drawn side by side are often no true neighbours."
    )


def test_plain_words_of_a_centred_view_and_of_constant_distances(real):
    words = plain_words(project("centred-spokes", **real["fc2"]))
    assert words.startswith("Distance to F* is drawn exactly (Spearman rho 1.00). Trustworthiness 0.")
    assert "Careful" not in words
    circle = np.stack([np.cos(np.arange(8)), np.sin(np.arange(8))], axis=1) * 0 + [[1, 0], [0, 1]] * 4
    p = project("pca", circle, np.zeros(2), groups=(group("a", "ind", 0, 8),), labels=np.zeros(8), layer="x")
    assert np.isnan(p.faithfulness.rho)
    assert "cannot be compared" in plain_words(p)


def test_an_invented_concentration_is_warned_of():
    points, groups, offsets = scene()
    distance = np.linalg.norm(points, axis=1)
    far = np.where(np.arange(400) < 200, distance, 3 * distance + 1)  # ood truly farther than ind
    faithful = measure(distance, points, offsets, far, groups, seed=0)
    p = project("pca", offsets.features, offsets.fss, groups=groups, labels=np.zeros(400), layer="plane")
    assert "b is drawn nearer to F* than ind" in plain_words(dataclasses.replace(p, faithfulness=faithful))
    assert "Careful" not in plain_words(p)


# progress and cancelling


@pytest.mark.parametrize("view", EVERY)
def test_progress_runs_from_0_to_100(real, fitted, view):
    told = []
    project(view, **real["relu3"], progress=lambda done, total, what: told.append((done, total, what)))
    done = [d for d, _, _ in told]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, 100)
    assert {total for _, total, _ in told} == {100}
    if "umap" in view:
        assert sum("umap epochs" in what for _, _, what in told) >= projection_umap.EPOCHS


@needs_umap
@pytest.mark.parametrize("view", ["umap", "centred-umap"])
def test_a_fit_is_cancelled_between_epochs_and_leaves_cleanly(real, fitted, view):
    import numba

    threads, epochs = numba.get_num_threads(), []

    def cancel(done, total, what):
        if "umap epochs" in what:
            epochs.append(done)
            if len(epochs) == 20:
                raise CancelledError("stopped")

    with pytest.raises(CancelledError, match="stopped"):
        project(view, **real["relu3"], progress=cancel)
    assert len(epochs) == 20
    assert numba.get_num_threads() == threads
    assert project(view, **real["relu3"]).xy.tobytes() == fitted[view].xy.tobytes()


@pytest.mark.parametrize("view", INSTANT)
def test_instant_views_can_be_cancelled(real, view):
    def cancel(done, total, what):
        if done >= 85:
            raise CancelledError("stopped")

    with pytest.raises(CancelledError):
        project(view, **real["fc2"], progress=cancel)


# edges


def nan_at(row: int) -> np.ndarray:
    features = small()["features"].copy()
    features[row, 1] = np.nan
    return features


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"view": "tsne"}, "no projection view 'tsne'"),
        ({"view": "umpa"}, "did you mean 'umap'"),
        ({"features": nan_at(2)}, r"1 of 6 feature vectors of hand hold NaN or infinity; check"),
        ({"fss": np.array([np.inf, 0])}, r"F\* of hand hold NaN or infinity"),
        ({"features": np.ones((6, 2))}, "all 6 feature vectors of hand are the same"),
        ({"features": np.ones((6, 3))}, r"do not fit; give \(M, D\)"),
        ({"labels": np.zeros(5)}, "do not fit"),
        ({"groups": (group("a", "ind", 0, 4),)}, r"cover rows 0\.\.4, there are 6 points"),
        ({"groups": (group("a", "ood", 0, 6),)}, "no group of kind 'ind'"),
        ({"groups": (group("a", "ind", 0, 6), group("b", "ood", 6, 6))}, "group 'b' has no points"),
        ({"n_neighbors": 1}, "n_neighbors 1 was given; it must be at least 2"),
        ({"min_dist": 1.5}, r"min_dist 1.5 was given; it must lie in 0\.\.1"),
    ],
)
def test_bad_input_is_one_clear_line(changes, message):
    given = small(view="pca") | changes
    with pytest.raises(InputError, match=message):
        project(given.pop("view"), **given)


def test_too_few_points_and_ind_on_fss():
    two = {"groups": (group("a", "ind", 0, 2),), "labels": np.zeros(2)}
    with pytest.raises(InputError, match="2 points of hand were given; a drawing needs at least 3"):
        project("pca", **small(features=np.eye(2), **two))
    at_fss = small(features=np.array([[1, 1], [1, 1], [1, 1], [2, 2], [3, 3], [1, 1]]))
    with pytest.raises(InputError, match=r"more than half of the ind points of hand lie exactly on F\*"):
        project("centred-spokes", **at_fss)
    assert project("pca", **at_fss).xy[0].tolist() == [0, 0]


@pytest.mark.parametrize("view", EVERY)
@pytest.mark.parametrize("width", [1, 2, 3000])
def test_three_points_can_be_drawn(view, width):
    features = np.random.default_rng(0).normal(size=(3, width))
    groups = (group("a", "ind", 0, 2), group("b", "ood", 2, 3))
    p = project(view, features, np.zeros(width), groups=groups, labels=[0, 1, -1], layer="x")
    assert p.xy.shape == (3, 2)
    assert np.isfinite(p.xy).all()
    assert np.isfinite(p.faithfulness.trustworthiness)


def test_repeated_points_and_points_on_fss_can_be_drawn(fitted):
    features = np.repeat(small()["features"], 10, axis=0)
    groups = (group("a", "ind", 0, 40), group("b", "ood", 40, 50), group("noise", "noise", 50, 60))
    given = small(features=features, groups=groups, labels=np.repeat(small()["labels"], 10))
    for view in fitted:
        p = project(view, **given)
        assert np.isfinite(p.xy).all()
        if view in CENTRED:
            assert (p.xy[50:] == 0).all()


def test_read_only_features_are_taken_without_a_warning(real):
    features = real["relu3"]["features"].copy()
    features.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for view in INSTANT:
            project(view, **real["relu3"] | {"features": features})


def test_nearest_is_brute_force(real):
    import torch
    from sklearn.neighbors import NearestNeighbors

    points = real["fc2"]["features"]
    index, distance = nearest(torch.from_numpy(points), 15)
    oracle, rows = NearestNeighbors(n_neighbors=15, algorithm="brute").fit(points.astype(np.float64)).kneighbors()
    np.testing.assert_array_equal(index[:, 0], np.arange(292))
    np.testing.assert_array_equal(index[:, 1:], rows[:, :14])
    np.testing.assert_allclose(distance[:, 1:], oracle[:, :14], rtol=1e-4)


def test_without_umap_the_other_views_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(InputError, match="umap-learn is not installed; pip install umap-learn, or choose 'pca'"):
        project("umap", **small())
    assert project("pca", **small()).view == "pca"


def test_importing_projection_does_not_import_umap():
    code = "import sys, fssd_core.projection; sys.exit('umap' in sys.modules or 'numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
