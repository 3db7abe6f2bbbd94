"""The engine's switches: reduced precision, one shared perturbation, batch from free memory, graph released early."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from torch import nn

from fssd_core.bundle import make_bundle
from fssd_core.cli import main
from fssd_core.ensemble import combine, uniform
from fssd_core.errors import InputError
from fssd_core.extractor import FeatureExtractor
from fssd_core.metrics import auroc
from fssd_core.precision import in_precision
from fssd_core.runtime import fitting_batch, tf32, to_device
from fssd_core.singularity import _as_it_lies, _distance, estimate_fss, fssd, fssd_sweep
from fssd_core.store import Store
from fssd_core.study import Study, layer_scores, open_data, scores_key, study_layers
from tests import reference

SMALL = Study(samples=40, points=40, ood=("mnist",), epsilon=0.01)


@pytest.fixture(scope="module")
def extractor() -> FeatureExtractor:
    return FeatureExtractor(
        reference.tiny_lenet(), reference.LAYERS, mean=reference.MEAN, std=reference.STD, device="cpu"
    )


@pytest.fixture(scope="module")
def fss(extractor):
    return estimate_fss(extractor, reference.noise("uniform"))


def test_bfloat16_agrees_in_distances_and_in_auroc(extractor, fss):
    reduced = in_precision(extractor, "bfloat16")
    scores = {}
    for group in ("ind", "ood"):
        images = reference.pixels(group)[:48]
        exact, fast = (fssd(e, images, fss, epsilon=0.01) for e in (extractor, reduced))
        error = np.abs(fast.values - exact.values) / exact.values
        assert 0 < error.max() < 0.05
        assert error.mean() < 0.01
        scores[group] = [combine(s, uniform(s.layers)) for s in (exact, fast)]
    a, b = (auroc(scores["ind"][i], scores["ood"][i]) for i in (0, 1))
    assert abs(a - b) < 0.01


def test_the_switch_leaves_the_network_as_it_was(extractor, fss):
    before = fssd(extractor, reference.pixels("ind")[:8], fss, epsilon=0.01).values
    in_precision(extractor, "bfloat16").features(reference.pixels("ind")[:8])
    assert all(p.dtype == torch.float32 for p in extractor.module.parameters())
    np.testing.assert_array_equal(fssd(extractor, reference.pixels("ind")[:8], fss, epsilon=0.01).values, before)
    assert in_precision(extractor, "float32") is extractor
    with pytest.raises(InputError, match="did you mean 'bfloat16'"):
        in_precision(extractor, "bfloat")


def test_keys_of_exact_results_do_not_know_the_switches_and_others_do():
    images = open_data(SMALL, "mnist")
    others = [dataclasses.replace(SMALL, precision="bfloat16"), dataclasses.replace(SMALL, shared=True)]
    keys = {scores_key(study, images, 0.01) for study in (SMALL, *others)}
    assert len(keys) == 3
    assert scores_key(others[1], images, 0.0) == scores_key(SMALL, images, 0.0)
    with pytest.raises(InputError, match="no precision 'half'"):
        dataclasses.replace(SMALL, precision="half")


def test_a_study_computes_in_its_precision_and_a_bundle_refuses_it(tmp_path):
    store = Store(tmp_path)
    exact = layer_scores(SMALL, "mnist", store=store)[0.01].values
    reduced = dataclasses.replace(SMALL, precision="bfloat16")
    fast = layer_scores(reduced, "mnist", store=store)[0.01].values
    assert not np.array_equal(exact, fast)
    np.testing.assert_allclose(fast, exact, rtol=0.05)
    for study in (reduced, dataclasses.replace(SMALL, shared=True)):
        with pytest.raises(InputError, match="tune it in float32"):
            make_bundle(study, uniform(study_layers(study)), epsilon=0.01, threshold=0.0, chosen={}, date="2026-01-01")


def test_the_command_line_has_both_switches(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FSSD_HOME", str(tmp_path))
    score = ["score", "--model", "demo/lenet", "--ind", "fmnist:test", "--ood", "mnist", "--limit", "20", "--fit", "5"]
    found = {}
    for flags in ((), ("--precision", "bfloat16"), ("--shared-perturbation",)):
        assert main([*score, "--epsilon", "0.02", "--json", *flags]) == 0
        found[flags] = json.loads(capsys.readouterr().out)
    assert [r["precision"] for r in found.values()] == ["float32", "bfloat16", "float32"]
    assert [r["shared_perturbation"] for r in found.values()] == [False, False, True]
    assert len(list(tmp_path.rglob("layer_scores/*.npz"))) == 6  # no mode answers for another
    assert main([*score, "--precision", "float16"]) == 2
    assert "did you mean 'bfloat16'" in capsys.readouterr().err
    assert (
        main(["export", *score[1:], "--shared-perturbation", "--tpr", "0.95", "--out", str(tmp_path / "a.fssd")]) == 2
    )
    assert "tune it in float32" in capsys.readouterr().err


def test_a_shared_perturbation_of_one_layer_is_the_exact_one(extractor, fss):
    single = FeatureExtractor(reference.tiny_lenet(), ["relu3"], mean=reference.MEAN, std=reference.STD, device="cpu")
    images = reference.pixels("ind")[:20]
    exact, fast = (fssd(single, images, fss, epsilon=0.02, shared=s).values for s in (False, True))
    assert (np.abs(fast - exact) / exact < 1e-4).mean() > 0.9  # sign flips where the gradient is about zero


def test_a_shared_perturbation_is_one_image_moved_along_the_sum_of_log_distances(extractor, fss):
    images = reference.pixels("ood")[:6]
    x = images.clone().requires_grad_(True)
    taps = extractor.taps(x)
    total = sum((taps[k] - fss[k]).norm(dim=1).log().sum() for k in extractor.layers)
    moved = images + 0.02 * torch.autograd.grad(total, x)[0].sign()
    expected = fssd(extractor, moved, fss).values
    sweep = fssd_sweep(extractor, images, fss, epsilons=[0.0, 0.02], shared=True)
    np.testing.assert_allclose(sweep[0.02].values, expected, rtol=1e-3)
    np.testing.assert_array_equal(sweep[0.0].values, fssd(extractor, images, fss).values)


def test_passes_are_those_of_the_floor_and_no_parameter_has_a_gradient(monkeypatch):
    net = reference.tiny_lenet()
    counts = {"whole": 0, "conv2": 0, "backward": 0}
    net.conv2.register_forward_hook(lambda *_: counts.__setitem__("conv2", counts["conv2"] + 1))
    net.fc2.register_forward_hook(lambda *_: counts.__setitem__("whole", counts["whole"] + 1))
    extractor = FeatureExtractor(net, reference.LAYERS, device="cpu")
    fss = estimate_fss(extractor, reference.noise("uniform"))
    counts.update(whole=0, conv2=0)
    original = torch.autograd.grad
    monkeypatch.setattr(
        torch.autograd,
        "grad",
        lambda *a, **k: (counts.__setitem__("backward", counts["backward"] + 1), original(*a, **k))[1],
    )
    images = reference.pixels("ind")[:5]
    fssd_sweep(extractor, images, fss, epsilons=[0.0, 0.01, 0.02], batch_size=5)
    assert counts == {
        "whole": 1 + 2 * 1,
        "conv2": 1 + 2 * 3,
        "backward": 4,
    }  # F, K B_k, E F_k: pool1 stops before conv2
    counts.update(whole=0, conv2=0, backward=0)
    fssd_sweep(extractor, images, fss, epsilons=[0.0, 0.01, 0.02], shared=True, batch_size=5)
    assert counts == {"whole": 3, "conv2": 3, "backward": 1}
    assert all(p.grad is None for p in net.parameters())


def test_the_graph_is_gone_before_the_perturbed_passes(extractor, fss, monkeypatch):
    import weakref

    original, graphs, alive = extractor.taps, [], []

    def watched(batch, layers=None):
        if not torch.is_grad_enabled():
            alive.append(sum(ref() is not None for ref in graphs))
        taps = original(batch, layers)
        if torch.is_grad_enabled():
            graphs.extend(weakref.ref(t) for t in taps.values())
        return taps

    monkeypatch.setattr(extractor, "taps", watched)
    fssd(extractor, reference.pixels("ind")[:5], fss, epsilon=0.01)
    assert alive == [0, 0, 0, 0]


def test_the_batch_follows_free_memory_and_changes_nothing(extractor, fss, monkeypatch):
    images = reference.pixels("ind")
    whole = fssd(extractor, images, fss, epsilon=0.01).values
    per_image = extractor.image_bytes(images[0])
    floats = 8 * 24 * 24 * 2 + 8 * 12 * 12 + 16 * 8 * 8 * 2 + 256 + 64 * 2 + 10 + 784
    assert per_image == 3 * 4 * floats
    monkeypatch.setattr("fssd_core.runtime._free_memory", lambda: 2 * 10 * per_image)
    assert fitting_batch(per_image, torch.device("cpu")) == 10
    assert fitting_batch(10**18, torch.device("cpu")) == 1
    done = []
    small = fssd(extractor, images, fss, epsilon=0.01, progress=lambda a, b, _: done.append(a)).values
    assert done[:3] == [0, 10, 20]
    np.testing.assert_allclose(small, whole, rtol=1e-4)


def test_an_out_of_memory_in_the_backward_pass_halves_the_batch(extractor, fss, monkeypatch):
    images = reference.pixels("ind")[:40]
    whole = fssd(extractor, images, fss, epsilon=0.01).values
    original, sizes = torch.autograd.grad, []

    def small_card(outputs, inputs, **rest):
        sizes.append(len(inputs))
        if len(inputs) > 10:
            raise torch.OutOfMemoryError("CUDA out of memory (as a card would say)")
        return original(outputs, inputs, **rest)

    monkeypatch.setattr(torch.autograd, "grad", small_card)
    halved = fssd(extractor, images, fss, epsilon=0.01, batch_size=40).values
    assert sizes[:3] == [40, 20, 10]
    assert max(sizes[3:]) == 10
    np.testing.assert_allclose(halved, whole, rtol=1e-4)


def test_tf32_is_put_back():
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    with tf32(True):
        assert torch.backends.cuda.matmul.allow_tf32
        assert torch.backends.cudnn.allow_tf32
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == before


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU on this machine")
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 2e-3), ("bfloat16", 5e-2)])
def test_the_gpu_agrees_in_both_precisions(precision, tolerance):
    make = {"layers": reference.LAYERS, "mean": reference.MEAN, "std": reference.STD}
    scores = []
    for device in ("cpu", "cuda"):
        extractor = FeatureExtractor(reference.tiny_lenet(), device=device, **make)
        fss = estimate_fss(extractor, reference.noise("uniform"))
        chosen = in_precision(extractor, precision) if device == "cuda" else extractor
        scores.append(fssd(chosen, reference.pixels("ind"), fss, epsilon=0.01).values)
    error = np.abs(scores[1] - scores[0]) / scores[0]
    assert (error < tolerance).mean() > 0.99


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU on this machine")
def test_the_way_to_the_gpu_is_pinned_and_changes_nothing():
    batch = torch.rand(3, 1, 4, 4)
    moved = to_device(batch, torch.device("cuda"))
    torch.cuda.synchronize()
    assert torch.equal(moved.cpu(), batch)


def test_layers_that_share_no_batch_norm_state_stay_in_eval():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU()).train()
    reduced = in_precision(FeatureExtractor(net, ["2"], device="cpu"), "bfloat16")
    reduced.features(torch.rand(4, 1, 8, 8))
    assert torch.equal(reduced.module[1].running_mean, torch.zeros(2))
    assert net.training


@pytest.mark.parametrize("shape", [(100, 36864), (7, 3), (5, 300_001)])
def test_distance_and_its_gradient_are_autograds_own_to_the_last_bit(shape):
    features, singularity = torch.randn(shape), torch.randn(shape[1])
    features[0] = singularity
    one, other = features.clone().requires_grad_(), features.clone().requires_grad_()
    plain, ours = torch.linalg.vector_norm(one - singularity, dim=1), _distance(other, singularity)
    assert torch.equal(plain, ours)
    assert torch.equal(*(torch.autograd.grad(d.sum(), x)[0] for d, x in ((plain, one), (ours, other))))


def test_maps_that_lie_channels_last_have_the_same_distance():
    maps, singularity = torch.randn(3, 4, 5, 6), torch.randn(120)
    lying = maps.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(_distance(*_as_it_lies(lying, singularity)), _distance(maps.flatten(1), singularity))
    assert _as_it_lies(lying, singularity)[0].data_ptr() == lying.data_ptr()


def test_weights_are_converted_once_but_not_where_they_are_shared_or_of_another_type():
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 144), nn.Linear(144, 144))
    net[4].weight = net[3].weight
    module = in_precision(FeatureExtractor(net, ["4"], device="cpu"), "bfloat16").module
    kinds = {name: p.dtype for name, p in module.named_parameters(remove_duplicate=False)}
    assert kinds["0.weight"] == torch.bfloat16
    assert {kinds["1.weight"], kinds["3.weight"], kinds["4.weight"]} == {torch.float32}
    assert module[4].weight is module[3].weight
