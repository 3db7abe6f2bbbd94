"""jvp along a training gradient against real gradient steps, and the kernel against explicit Jacobians."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fssd_core.errors import InputError, ModelError
from fssd_core.extractor import FeatureExtractor
from fssd_core.kernel import gradient_products, pulls
from fssd_core.models.nets import MLP, CifarResNet, LeNet
from fssd_core.runtime import generator
from fssd_core.speed_measure import moved_along
from fssd_core.tangent import Tangent, norm, random_like, scaled


class _Tiny(nn.Module):
    """3x3 pixels, 4 hidden units, 3 classes."""

    def __init__(self, *, inplace: bool = False) -> None:
        super().__init__()
        self.hidden = nn.Linear(9, 4)
        self.act = nn.Tanh() if not inplace else nn.ReLU(inplace=True)
        self.logits = nn.Linear(4, 3)

    def forward(self, x):
        return self.logits(self.act(self.hidden(x.flatten(1))))


class _Recurrent(nn.Module):
    """Bi-LSTM over the rows of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.LSTM(8, 5, batch_first=True, bidirectional=True)
        self.logits = nn.Linear(10, 3)

    def forward(self, x):
        return self.logits(self.rows(x[:, 0])[0][:, -1])


def _small(name: str) -> tuple[nn.Module, tuple[int, ...], tuple[str, ...]]:
    torch.manual_seed(0)
    if name == "lenet":
        return LeNet(10, (1, 28, 28)), (1, 28, 28), LeNet.taps
    if name == "mlp":
        return MLP(10, (1, 12, 12)), (1, 12, 12), MLP.taps
    if name == "tiny":
        return _Tiny(), (1, 3, 3), ("hidden", "act", "logits")
    if name == "resnet":
        return _settled(CifarResNet(10, (3, 16, 16), depth=8)), (3, 16, 16), CifarResNet.taps
    return _Recurrent(), (1, 8, 8), ("logits",)


def _settled(net: nn.Module) -> nn.Module:
    """Batch-norm statistics other than the fresh 0 and 1."""
    with torch.no_grad():
        net.train()
        for _ in range(3):
            net(torch.rand(16, 3, 16, 16) ** 2)
    return net.eval()


def _case(name: str, *, double: bool = True, count: int = 6):
    net, shape, layers = _small(name)
    net = (net.double() if double else net).eval()
    kind = torch.float64 if double else torch.float32
    draws = generator(1)
    images, train = (torch.rand(count, *shape, generator=draws).to(kind) for _ in range(2))
    labels = torch.randint(0, 3, (count,), generator=draws)
    return Tangent(FeatureExtractor(net, layers, device="cpu")), images, train, labels


@pytest.mark.parametrize("name", ["lenet", "mlp", "resnet", "tiny", "lstm"])
def test_the_velocity_is_that_of_a_real_gradient_step(name):
    """(F(theta - lr g) - F(theta)) / lr -> J v as lr -> 0; batch norm in eval mode included."""
    tangent, images, train, labels = _case(name)
    gradient, loss = tangent.gradient(train, labels, batch_size=4)
    own = copy.deepcopy(tangent.extractor.module)
    value = F.cross_entropy(own(train), labels)
    value.backward()
    assert loss == pytest.approx(float(value.detach()), rel=1e-12)
    for key, weight in own.named_parameters():
        torch.testing.assert_close(gradient[key], weight.grad, rtol=1e-9, atol=1e-12)
    before, moved = tangent.push(images, scaled(gradient, -1.0))
    lr = 1e-6 / norm(gradient)
    with torch.no_grad():
        for weight in own.parameters():
            weight -= lr * weight.grad
    after = FeatureExtractor(own, tangent.extractor.layers, device="cpu").taps(images)
    for layer in tangent.extractor.layers:
        step = (after[layer] - before[layer]) / lr
        error = torch.linalg.vector_norm(step - moved[layer]) / torch.linalg.vector_norm(moved[layer])
        assert float(error) < 1e-4, (layer, float(error))


def test_features_and_weights_are_untouched():
    tangent, images, train, labels = _case("resnet", double=False)
    net = tangent.extractor.module
    state = {k: v.clone() for k, v in net.state_dict().items()}
    net.train()
    features, _ = tangent.push(images, tangent.gradient(train, labels)[0])
    tangent.pull_back(images, "pooled", torch.ones(64))
    assert net.training
    assert all(torch.equal(v, state[k]) for k, v in net.state_dict().items())
    assert not any(module._forward_hooks for module in net.modules())
    expected = tangent.extractor.taps(images)
    for layer, value in expected.items():
        torch.testing.assert_close(features[layer], value, rtol=1e-4, atol=1e-5)


def test_normalisation_and_in_place_layers_are_respected():
    net = _Tiny(inplace=True).double().eval()
    extractor = FeatureExtractor(net, ("hidden", "act", "logits"), mean=(0.3,), std=(0.5,), device="cpu")
    extractor.mean, extractor.std = extractor.mean.double(), extractor.std.double()
    images = torch.rand(5, 1, 3, 3, generator=generator(0)).double()
    features, _ = Tangent(extractor).push(images, dict(net.named_parameters()))
    hidden = ((images - 0.3) / 0.5).flatten(1) @ net.hidden.weight.T + net.hidden.bias
    torch.testing.assert_close(features["hidden"], hidden.detach())
    torch.testing.assert_close(features["act"], hidden.relu().detach())


@pytest.mark.parametrize(
    ("name", "layer"), [("tiny", "hidden"), ("tiny", "act"), ("tiny", "logits"), ("lstm", "logits")]
)
def test_the_kernel_is_the_product_of_explicit_jacobians(name, layer):
    """Trace of J(x) J(x_m)^T, each J by torch.autograd one output at a time."""
    tangent, images, train, _ = _case(name)
    width = 3 if layer == "logits" else 4
    products, own, trained = gradient_products(tangent, layer, torch.eye(width).double(), images, train)
    left, right = _jacobians(tangent, layer, images), _jacobians(tangent, layer, train)  # (N, D, P)
    torch.testing.assert_close(products.sum(0), torch.einsum("ndp,mdp->nm", left, right))
    torch.testing.assert_close(own.sum(0), left.square().sum((1, 2)))
    torch.testing.assert_close(trained.sum(0), right.square().sum((1, 2)))


@pytest.mark.parametrize("layer", ["hidden", "act", "logits"])
def test_the_slides_identity_holds(layer):
    """-sum_m J(x) J(x_m)^T dL_m, from explicit Jacobians and the loss' gradient at the layer, equals J(x) v."""
    tangent, images, train, labels = _case("tiny")
    gradient, _ = tangent.gradient(train, labels)
    velocity = tangent.push(images, scaled(gradient, -1.0))[1][layer]
    left, right = _jacobians(tangent, layer, images), _jacobians(tangent, layer, train)
    block = torch.einsum("ndp,mep->nmde", left, right)  # (N, M, D, D)
    torch.testing.assert_close(
        -torch.einsum("nmde,me->nd", block, _loss_gradients(tangent, layer, train, labels)), velocity
    )
    each = torch.stack(list(pulls(tangent, layer, images, train, labels)))
    torch.testing.assert_close(each.mean(0), velocity)


def test_random_signs_estimate_the_trace_within_their_stated_error():
    tangent, images, train, _ = _case("mlp", count=4)
    exact = gradient_products(tangent, "fc2", torch.eye(128).double(), images, train)[0].sum(0)
    signs = (torch.randint(0, 2, (256, 128), generator=generator(3)) * 2 - 1).double()
    drawn = gradient_products(tangent, "fc2", signs, images, train)[0]
    error = drawn.std(0) / 16
    assert float(((drawn.mean(0) - exact) / error).abs().max()) < 4
    assert float((error / exact.abs()).median()) < 0.1


def test_pieces_change_nothing(monkeypatch):
    tangent, images, train, _ = _case("tiny", count=7)
    whole = gradient_products(tangent, "act", torch.eye(4).double(), images, train)
    monkeypatch.setattr("fssd_core.kernel._PIECE", 2 * sum(w.numel() for w in tangent.weights.values()))
    for a, b in zip(whole, gradient_products(tangent, "act", torch.eye(4).double(), images, train), strict=True):
        torch.testing.assert_close(a, b)


def test_groups_speeds_are_those_of_their_rows(monkeypatch):
    """Norms, motion relative to F* and outward rate from the plain formulas, whatever the batch size."""
    tangent, images, train, labels = _case("tiny", count=9)
    parts = [slice(0, 4), slice(4, 6), slice(6, 9)]
    velocity = scaled(tangent.gradient(train, labels)[0], -1.0)
    features, moved = tangent.push(images, velocity)
    fss = {layer: value[6:].mean(0) for layer, value in features.items()}
    monkeypatch.setattr("fssd_core.speed_measure.BATCH", 2)
    found = moved_along(tangent, velocity, images, parts, fss)
    for k, layer in enumerate(tangent.extractor.layers):
        star = moved[layer][6:].mean(0)
        size, apart = moved[layer].norm(dim=1), (moved[layer] - star).norm(dim=1)
        offset = features[layer] - fss[layer]
        outward = ((moved[layer] - star) * offset).sum(1) / offset.norm(dim=1)
        for g, part in enumerate(parts):
            assert found.mean[k, g] == pytest.approx(float(size[part].mean()))
            assert found.sd[k, g] == pytest.approx(float(size[part].std(correction=0)))
            assert found.relative[k, g] == pytest.approx(float(apart[part].mean()))
            assert found.outward[k, g] == pytest.approx(float(outward[part].mean()))
        assert found.fss[k] == pytest.approx(float(star.norm()))


def test_the_outward_rate_is_the_change_of_the_distance():
    tangent, images, train, labels = _case("mlp", count=8)
    velocity = scaled(tangent.gradient(train, labels)[0], -1.0)
    parts, layer = [slice(0, 5), slice(5, 8)], "logits"
    features = tangent.push(images, velocity)[0]
    found = moved_along(tangent, velocity, images, parts, {k: v[5:].mean(0) for k, v in features.items()})
    own, size = copy.deepcopy(tangent.extractor.module), 1e-6
    with torch.no_grad():
        for key, weight in own.named_parameters():
            weight += size * velocity[key]
    after = FeatureExtractor(own, tangent.extractor.layers, device="cpu").taps(images)[layer]
    before = features[layer]
    change = ((after - after[5:].mean(0)).norm(dim=1) - (before - before[5:].mean(0)).norm(dim=1)) / size
    k = tangent.extractor.layers.index(layer)
    assert found.outward[k, 0] == pytest.approx(float(change[:5].mean()), rel=1e-4)


@pytest.mark.parametrize("by_tensor", [False, True])
def test_random_directions_keep_the_length(by_tensor):
    tangent, _, train, labels = _case("mlp")
    velocity = tangent.gradient(train, labels)[0]
    drawn = random_like(velocity, generator=generator(5), by_tensor=by_tensor)
    assert norm(drawn) == pytest.approx(norm(velocity))
    shares = [float(drawn[n].norm() / velocity[n].norm()) for n in velocity]
    assert np.allclose(shares, 1) == by_tensor
    again = random_like(velocity, generator=generator(5), by_tensor=by_tensor)
    assert all(torch.equal(drawn[n], again[n]) for n in drawn)


def test_unknown_labels_and_diverged_networks_are_refused():
    tangent, _, train, labels = _case("tiny")
    with pytest.raises(InputError, match="labels go from 0 to 7, the network has 3 outputs"):
        tangent.gradient(train, torch.tensor([0, 1, 2, 7, 0, 0]))
    with pytest.raises(InputError, match="one label an image"):
        tangent.gradient(train, labels[:2])
    tangent.loss = lambda logits, truth: logits.sum() * float("nan")
    with pytest.raises(ModelError, match="diverged"):
        tangent.gradient(train, labels)


def _jacobians(tangent: Tangent, layer: str, images: torch.Tensor) -> torch.Tensor:
    """(N, D, P) by plain autograd, one image and output at a time, without torch.func."""
    net = copy.deepcopy(tangent.extractor.module)
    rows = []
    for image in images:
        caught = []
        handle = dict(net.named_modules())[layer].register_forward_hook(lambda m, i, o, caught=caught: caught.append(o))
        net(image[None])
        handle.remove()
        outputs = caught[0].flatten()
        grads = [torch.autograd.grad(o, list(net.parameters()), retain_graph=True, allow_unused=True) for o in outputs]
        blank = [torch.zeros_like(p) for p in net.parameters()]
        rows.append(torch.stack([_flat(g, blank) for g in grads]))
    return torch.stack(rows)


def _flat(parts, blank) -> torch.Tensor:
    return torch.cat([(b if p is None else p).flatten() for p, b in zip(parts, blank, strict=True)])


def _loss_gradients(tangent: Tangent, layer: str, train: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(M, D) dL/dF_k(x_m) of the mean loss."""
    net, caught = copy.deepcopy(tangent.extractor.module), []
    dict(net.named_modules())[layer].register_forward_hook(lambda m, i, o: caught.append(o))
    loss = F.cross_entropy(net(train), labels)
    return torch.autograd.grad(loss, caught[0])[0]
