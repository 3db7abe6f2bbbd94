"""FeatureExtractor: exact numbers on hand-set weights, nothing leaks, bad networks are refused with a reason."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from fssd_core.errors import ModelError
from fssd_core.extractor import FeatureExtractor, default_layers
from tests import reference


def hand_set() -> nn.Sequential:
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2), nn.ReLU(), nn.Linear(2, 1))
    net[1].weight.data = torch.tensor([[1.0, 0, 0, 0], [0, -1.0, 0, 0]])
    net[1].bias.data.zero_()
    net[3].weight.data = torch.tensor([[2.0, 3.0]])
    net[3].bias.data = torch.tensor([0.5])
    return net


IMAGE = torch.tensor([[[[0.8, 0.4], [0.2, 0.6]]]])


def test_exact_features_on_hand_set_weights():
    taps, logits = FeatureExtractor(hand_set(), ["1", "2"], device="cpu").features_and_logits(IMAGE)
    torch.testing.assert_close(taps["1"], torch.tensor([[0.8, -0.4]]))
    torch.testing.assert_close(taps["2"], torch.tensor([[0.8, 0.0]]))
    torch.testing.assert_close(logits, torch.tensor([[2.1]]))


def test_normalises_inside():
    extractor = FeatureExtractor(hand_set(), ["1"], mean=[0.5], std=[0.25], device="cpu")
    torch.testing.assert_close(extractor.features(IMAGE)["1"], torch.tensor([[1.2, 0.4]]))


def test_logits_are_the_networks_own_and_equal_the_reference():
    extractor = FeatureExtractor(
        reference.tiny_lenet(), reference.LAYERS, mean=reference.MEAN, std=reference.STD, device="cpu"
    )
    for group in ("ind", "ood"):
        expected = torch.from_numpy(reference.vectors()[f"logits_{group}"])
        torch.testing.assert_close(extractor.logits(reference.pixels(group)), expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(extractor.features(reference.pixels(group))["fc2"], expected, rtol=1e-4, atol=1e-4)


class Noisy(nn.Module):
    """Dropout and batch norm, which must stay in eval, and an in-place ReLU behind a tap."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3)
        self.norm = nn.BatchNorm2d(3)
        self.relu = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.9)
        self.fc = nn.Linear(3 * 36, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.drop(self.relu(self.norm(self.conv(x)))).flatten(1))


def noisy() -> Noisy:
    torch.manual_seed(0)
    return Noisy()


def test_an_in_place_relu_does_not_change_what_was_tapped():
    images = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    net = noisy()
    taps, _ = FeatureExtractor(net, ["norm", "relu"], device="cpu").features_and_logits(images)
    with torch.no_grad():
        expected = net.eval().norm(net.conv(images)).flatten(1)
    torch.testing.assert_close(taps["norm"], expected)
    assert (taps["norm"] < 0).any()
    torch.testing.assert_close(taps["relu"], expected.clamp(min=0))


def test_the_module_is_left_as_it_was():
    net = noisy().train()
    net.norm.eval()
    net.conv.weight.requires_grad_(False)
    before = copy.deepcopy(net.state_dict())
    extractor = FeatureExtractor(net, device="cpu")
    images = torch.rand(4, 1, 8, 8)
    extractor.features(images)
    extractor.logits(images)
    with pytest.raises(ModelError):
        extractor.features(torch.rand(4, 3, 8, 8))
    assert [m.training for m in net.modules()] == [True, True, False, True, True, True]
    assert not net.conv.weight.requires_grad
    assert net.conv.bias.requires_grad
    assert all(not m._forward_hooks for m in net.modules())
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_stops_after_the_last_tap():
    net = hand_set()
    calls = []
    net[3].register_forward_hook(lambda *_: calls.append(1))
    extractor = FeatureExtractor(net, ["2"], device="cpu")
    extractor.features(IMAGE)
    assert calls == [1]  # the first pass runs to the end, to see layers that are called twice
    extractor.features(IMAGE)
    assert calls == [1]


def test_rebatching_changes_nothing():
    extractor = FeatureExtractor(noisy(), device="cpu")
    images = torch.rand(10, 1, 8, 8)
    whole = extractor.features(images)
    for size in (1, 3):
        for layer, value in extractor.features(images, batch_size=size).items():
            torch.testing.assert_close(value, whole[layer])


class Blocks(nn.Module):
    """The shape of a residual network: stem, stages, pool, head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3)
        self.bn1 = nn.BatchNorm2d(4)
        self.relu = nn.ReLU()
        self.layer1 = nn.Sequential(Noisy(), Noisy())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(4, 2)


def test_default_layers_are_block_ends_after_the_activation():
    assert default_layers(reference.tiny_lenet()) == ("relu1", "relu2", "relu3", "fc2")
    assert default_layers(Blocks()) == ("relu", "layer1", "fc")
    plain = nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 3))
    )
    assert default_layers(plain) == ("0.1", "0.3", "0.4")
    own = reference.tiny_lenet()
    own.taps = ("pool1", "fc2")
    assert default_layers(own) == ("pool1", "fc2")
    with pytest.raises(ModelError, match="no layer with weights"):
        default_layers(nn.Sequential(nn.ReLU()))


def with_value(value: float) -> nn.Module:
    net = hand_set()
    net[1].weight.data[0, 0] = value
    return net


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.unused = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.fc(x.flatten(1)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FeatureExtractor(hand_set(), ["4"]), "no layer '4'"),
        (lambda: FeatureExtractor(reference.tiny_lenet(), ["rlu1"]), "did you mean 'relu1'"),
        (lambda: FeatureExtractor(hand_set(), ["1", "1"]), "twice"),
        (lambda: FeatureExtractor(hand_set(), []), "choose 1 to 64"),
        (lambda: FeatureExtractor(with_value(float("nan"))), "'1.weight' has 1 of 8 values that are NaN"),
        (lambda: FeatureExtractor(with_value(float("inf"))), "NaN or infinite"),
        (lambda: FeatureExtractor(hand_set(), mean=[0.5]), "must be given together"),
        (lambda: FeatureExtractor(hand_set(), mean=[0.5], std=[0.0]), "must be positive"),
        (lambda: FeatureExtractor(hand_set(), ["1"]).features(IMAGE[0]), r"\(N, C, H, W\)"),
        (lambda: FeatureExtractor(hand_set(), ["1"]).features((IMAGE * 255).byte()), "uint8"),
        (lambda: FeatureExtractor(hand_set(), ["1"]).features(torch.rand(2, 1, 5, 5)), "1x5x5"),
        (lambda: FeatureExtractor(noisy(), ["fc"]).features(torch.rand(2, 3, 8, 8)), "3x8x8"),
        (lambda: FeatureExtractor(noisy(), mean=[0.5], std=[1.0]).features(torch.rand(2, 3, 8, 8)), "3 channels"),
        (lambda: FeatureExtractor(Twice(), ["fc"]).features(IMAGE), "more than once"),
        (lambda: FeatureExtractor(Twice(), ["unused"]).features(IMAGE), "not reached"),
    ],
)
def test_bad_input_gets_a_clear_error(make, message):
    with pytest.raises(ModelError, match=message):
        make()


def test_features_keep_the_graph_in_taps_and_drop_it_in_features():
    extractor = FeatureExtractor(hand_set(), ["1"], device="cpu")
    image = IMAGE.clone().requires_grad_(True)
    assert extractor.taps(image)["1"].requires_grad
    assert not extractor.features(image)["1"].requires_grad


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU on this machine")
def test_the_gpu_agrees_with_the_cpu():
    images = reference.pixels("ind")
    make = {"layers": reference.LAYERS, "mean": reference.MEAN, "std": reference.STD}
    cpu = FeatureExtractor(reference.tiny_lenet(), device="cpu", **make).features(images)
    gpu = FeatureExtractor(reference.tiny_lenet(), device="cuda", **make).features(images)
    for layer in reference.LAYERS:
        torch.testing.assert_close(gpu[layer], cpu[layer], rtol=1e-3, atol=1e-3)
