"""Layers of every kind against features computed by hand: calls, tuples, dicts, tokens, time first, shared weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from fssd_core.block_ends import default_layers
from fssd_core.errors import ModelError
from fssd_core.extractor import FeatureExtractor
from fssd_core.models.torchvision_nets import WithoutNumbers, build_torchvision
from fssd_core.models.tree import choose_layers, module_tree
from fssd_core.taps import parse_tap
from tests import reference

IMAGES = torch.rand(3, 1, 4, 6, generator=torch.Generator().manual_seed(0))


def features(net: nn.Module, layers: list[str], images: Tensor = IMAGES) -> dict[str, Tensor]:
    extractor = FeatureExtractor(net, layers, device="cpu")
    found = extractor.features(images)
    again = extractor.features(images, batch_size=2)  # the second pass stops early
    for name in layers:
        torch.testing.assert_close(found[name], again[name])
    return found


class Shared(nn.Module):
    """One linear layer under two names, called three times, with an in-place ReLU between."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(24, 24)
        self.again = self.first
        self.relu = nn.ReLU(inplace=True)
        self.tied = nn.Linear(24, 24)
        self.tied.weight = self.first.weight
        self.fc = nn.Linear(24, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.first(x.flatten(1)))
        x = self.relu(self.again(x))
        return self.fc(self.tied(self.relu(self.first(x))))


def test_a_layer_that_is_called_more_than_once_is_read_at_the_call_that_is_named():
    net = Shared()
    found = features(net, ["first#1", "first#3", "relu#2", "tied", "fc"])
    with torch.no_grad():
        one = net.first(IMAGES.flatten(1))
        two = net.first(one.clamp(min=0)).clamp(min=0)
        three = net.first(two)
        torch.testing.assert_close(found["first#1"], one)
        assert (found["first#1"] < 0).any(), "the in-place ReLU behind it does not change what was tapped"
        torch.testing.assert_close(found["relu#2"], two)
        torch.testing.assert_close(found["first#3"], three)
        torch.testing.assert_close(
            found["tied"], nn.functional.linear(three.clamp(min=0), net.first.weight, net.tied.bias)
        )
    with pytest.raises(ModelError, match="'first#4': 'first' is called 3 times in a forward pass; give #1 to #3"):
        features(net, ["first#4"])
    with pytest.raises(ModelError, match="choose a call, as first#1 or first#2"):
        features(net, ["first"])
    nodes = module_tree(net, (1, 4, 6))
    assert {n.name: n.calls for n in nodes} == {"first": 3, "relu": 3, "tied": 1, "fc": 1}
    assert choose_layers(net, nodes) == ("relu#1", "relu#2", "relu#3", "tied", "fc")


class Outputs(nn.Module):
    def forward(self, x: Tensor) -> object:
        return {"skip": None, "hidden": (x * 2, [x * 3]), "logits": x[:, :2] + 1}


class Nested(nn.Module):
    """A dict inside, and a tuple as its own output."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Outputs()
        self.fc = nn.Linear(24, 4)

    def forward(self, x: Tensor) -> object:
        inner = self.inner(x.flatten(1))
        return self.fc(inner["hidden"][1][0]), inner


def test_parts_of_tuples_and_dicts():
    net = Nested()
    found = features(net, ["inner", "inner[hidden]", "inner[hidden.1]", "fc"])
    flat = IMAGES.flatten(1)
    torch.testing.assert_close(found["inner"], flat[:, :2] + 1)  # 'logits' where there is one
    torch.testing.assert_close(found["inner[hidden]"], 2 * flat)
    torch.testing.assert_close(found["inner[hidden.1]"], 3 * flat)
    logits = FeatureExtractor(net, ["fc"], device="cpu").logits(IMAGES)
    torch.testing.assert_close(logits, found["fc"])
    with pytest.raises(ModelError, match=r"no part 'other'; it is a dict of skip, hidden, logits"):
        features(net, ["inner[other]"])
    assert {n.name: n.part for n in module_tree(net, (1, 4, 6))} == {"inner": "logits", "fc": ""}


class Recurrent(nn.Module):
    def __init__(self, *, batch_first: bool, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.rnn = kind(6, 5, num_layers=2, batch_first=batch_first, bidirectional=True)
        self.fc = nn.Linear(10, 2)
        self.batch_first = batch_first

    def forward(self, x: Tensor) -> Tensor:
        rows = x[:, 0] if self.batch_first else x[:, 0].transpose(0, 1)
        out, _ = self.rnn(rows)
        return self.fc(out[:, -1] if self.batch_first else out[-1])


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("count", [3, 4])  # 4 images are as many as layers times directions, and as rows
def test_recurrent_layers_give_the_images_first_whatever_their_order(kind, batch_first, count):
    net = Recurrent(batch_first=batch_first, kind=kind)
    images = torch.rand(count, 1, 4, 6, generator=torch.Generator().manual_seed(1))
    state = "rnn[1.0]" if kind is nn.LSTM else "rnn[1]"
    found = features(net, ["rnn", "rnn:tokens", state], images)
    for k in range(count):  # one image alone has no order to mistake
        rows = images[k, 0][None] if batch_first else images[k, 0][:, None]
        with torch.no_grad():
            out, last = net.rnn(rows)
        torch.testing.assert_close(found["rnn"][k], out.reshape(4, 10).flatten())
        torch.testing.assert_close(found["rnn:tokens"][k], out.reshape(4, 10).mean(0))
        hidden = last[0] if kind is nn.LSTM else last
        torch.testing.assert_close(found[state][k], hidden[:, 0].flatten())


@pytest.mark.parametrize("batch_first", [True, False])
def test_transformer_layers_and_attention_too(batch_first):
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = nn.TransformerEncoderLayer(6, 2, 8, batch_first=batch_first)
            self.attention = nn.MultiheadAttention(6, 2, batch_first=batch_first)
            self.fc = nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            rows = x[:, 0] if batch_first else x[:, 0].transpose(0, 1)
            rows = self.block(rows)
            rows = self.attention(rows, rows, rows)[0]
            return self.fc(rows.mean(1 if batch_first else 0))

    net = Net().eval()
    found = features(net, ["block", "attention:cls", "attention[1]", "fc"])
    for k in range(3):
        rows = IMAGES[k, 0][None] if batch_first else IMAGES[k, 0][:, None]
        with torch.no_grad():
            block = net.block(rows)
            seen, shares = net.attention(block, block, block)
        torch.testing.assert_close(found["block"][k], block.flatten(), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found["attention:cls"][k], seen.reshape(4, 6)[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found["attention[1]"][k], shares.flatten(), rtol=1e-4, atol=1e-5)


def test_readings_by_hand():
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten(2), nn.Flatten(), nn.Linear(48, 2))
    found = features(net, ["0", "0:channels", "0:tokens", "1:tokens", "1:channels", "1:cls"])
    with torch.no_grad():
        maps = net[0](IMAGES)  # (3, 2, 4, 6)
    torch.testing.assert_close(found["0"], maps.flatten(1))
    torch.testing.assert_close(found["0:channels"], maps.mean((2, 3)))
    torch.testing.assert_close(found["0:tokens"], maps.mean((1, 2)))
    torch.testing.assert_close(found["1:tokens"], maps.flatten(2).mean(1))
    torch.testing.assert_close(found["1:channels"], maps.mean((2, 3)))
    torch.testing.assert_close(found["1:cls"], maps.flatten(2)[:, 0])
    for name, words in (
        ("0:cls", r"shape 3x2x4x6, the reading 'cls' wants \(N, T, D\)"),
        ("3:tokens", "leave ':tokens' out"),
    ):
        with pytest.raises(ModelError, match=words):
            features(net, [name])
    with pytest.raises(ModelError, match="no reading 'max'; readings are cls, tokens, channels"):
        parse_tap("0:max", dict(net.named_modules()))


def test_values_without_a_dimension_of_the_images_are_refused_and_marked_in_the_tree():
    class Table(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.queries = nn.Linear(4, 4)
            self.unused = nn.Linear(2, 2)
            self.fc = nn.Linear(24, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(x.flatten(1)) + self.queries(torch.eye(4, device=x.device)).mean()

    net = Table()
    with pytest.raises(ModelError, match="shape 4x4 for 3 images, so its first dimension is not the images'"):
        features(net, ["queries"])
    nodes = {n.name: n for n in module_tree(net, (1, 4, 6))}
    assert "not the images'" in nodes["queries"].why_not
    assert nodes["unused"].why_not == "the forward pass does not reach it"
    assert choose_layers(net, list(nodes.values())) == ("fc",)


def test_costs_by_hand():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 5))
    nodes = {n.name: n for n in module_tree(net, (1, 4, 6))}
    assert nodes["0"].macs == 2 * 2 * 4 * 9
    assert nodes["3"].macs == 16 * 5
    assert nodes["0"].share == pytest.approx(144 / 224)
    assert (nodes["0"].shape, nodes["0"].size, nodes["0"].parameters) == ((2, 2, 4), 16, 20)
    lstm = {n.name: n for n in module_tree(Recurrent(batch_first=True, kind=nn.LSTM), (1, 4, 6))}
    assert lstm["rnn"].macs == 4 * 2 * (4 * 5 * (6 + 5) + 4 * 5 * (10 + 5))  # rows, directions, both layers
    assert lstm["fc"].macs == 20


def test_what_published_costs_say():
    """GMACs of one 224x224 image as torchvision's model pages give them (there called GFLOPS)."""
    for name, published in (("resnet18", 1.81), ("vit_b_32", 4.41), ("maxvit_t", 5.56), ("densenet121", 2.83)):
        with WithoutNumbers():
            module = build_torchvision(name, 1000, (3, 224, 224))
        for parameter in module.parameters():
            parameter.requires_grad_(False)
        nodes = module_tree(module, (3, 224, 224))
        outer = sum(n.macs for n in nodes if n.depth == 0) / 1e9
        assert outer == pytest.approx(published, abs=0.006), name


def test_block_ends_of_known_families():
    def chosen(name: str) -> tuple[str, ...]:
        with WithoutNumbers():
            module = build_torchvision(name, 10, (3, 224, 224))
        return choose_layers(module, module_tree(module, (3, 224, 224)), pooled=True)

    assert chosen("densenet121") == (
        "features.relu0:channels", "features.denseblock1:channels", "features.transition1:channels",
        "features.denseblock2:channels", "features.transition2", "features.denseblock3:channels",
        "features.transition3", "features.denseblock4", "features.norm5", "classifier",
    )  # fmt: skip
    tokens = [f"encoder.layers.encoder_layer_{k}:cls" for k in range(12)]
    assert chosen("vit_b_32") == ("conv_proj", *tokens, "encoder.ln:cls", "heads")
    swin = chosen("swin_t")
    assert swin[:2] == ("features.0:tokens", "features.1:tokens")
    assert swin[-1] == "head"


def test_the_class_token_of_a_vision_transformer_by_hand():
    torch.manual_seed(0)
    from fssd_core.vision import torchvision

    make = torchvision().models.vision_transformer.VisionTransformer
    net = make(image_size=16, patch_size=8, num_layers=3, num_heads=2, hidden_dim=8, mlp_dim=16, num_classes=3).eval()
    images = torch.rand(2, 3, 16, 16)
    assert default_layers(net)[0] == "conv_proj"
    layers = choose_layers(net, module_tree(net, (3, 16, 16)))
    assert layers == ("conv_proj", "encoder.layers.encoder_layer_0:cls", "encoder.layers.encoder_layer_1:cls",
        "encoder.layers.encoder_layer_2:cls",
                      "encoder.ln:cls", "heads")  # fmt: skip
    found = features(net, [*layers, "encoder.layers.encoder_layer_2:tokens"], images)
    with torch.no_grad():
        tokens = (
            torch.cat([net.class_token.expand(2, -1, -1), net._process_input(images)], 1) + net.encoder.pos_embedding
        )
        for k in range(3):
            tokens = net.encoder.layers[k](tokens)
            torch.testing.assert_close(found[f"encoder.layers.encoder_layer_{k}:cls"], tokens[:, 0])
        torch.testing.assert_close(found["encoder.layers.encoder_layer_2:tokens"], tokens.mean(1))
        torch.testing.assert_close(found["heads"], net.heads(net.encoder.ln(tokens)[:, 0]))


def test_the_network_is_left_as_it_was_by_a_look_at_it():
    net = reference.tiny_lenet().train()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    module_tree(net, tuple(reference.pixels("ind").shape[1:]))
    assert all(m.training for m in net.modules())
    assert all(not m._forward_hooks for m in net.modules())
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    with pytest.raises(ModelError, match=r"images of shape 1x2x2.*do not fit this model"):
        module_tree(net, (1, 2, 2))
