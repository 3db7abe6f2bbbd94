"""Other people's checkpoints: recognised by names and shapes whatever they were saved inside, and never executed."""

from __future__ import annotations

import argparse
import sys
import types
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fssd_core.errors import InputError, ModelError
from fssd_core.models import find_arch, load_model
from fssd_core.models.factories import VARIABLE, allow_factories
from fssd_core.models.recognise import MisfitError, fits, fitting_archs, own_shapes
from fssd_core.runtime import generator


def made(arch: str, classes: int = 10, channels: int = 3) -> dict[str, Tensor]:
    """A state dict with numbers that are not the usual start."""
    entry = find_arch(arch)
    shape = (channels, *entry.input_shape[1:])
    draw = generator(1)
    state = {k: torch.rand(v, generator=draw) / 10 for k, v in own_shapes(entry.name, classes, shape).items()}
    return {k: v.long() if k.endswith("tracked") else v for k, v in state.items()}


def numberless(arch: str, classes: int, side: int = 224) -> types.SimpleNamespace:
    """A weight file of shapes alone."""
    shapes = own_shapes(f"torchvision/{arch}", classes, (3, side, side))
    return types.SimpleNamespace(state={k: torch.empty(v, device="meta") for k, v in shapes.items()})


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


# --- recognised by names and shapes


@pytest.mark.parametrize(
    ("arch", "classes", "channels"),
    [
        ("resnet-cifar20", 10, 3), ("resnet-cifar20-b", 100, 3), ("resnet18-32", 10, 3), ("wrn-16-4", 10, 3),
        ("torchvision/resnet18", 7, 3), ("torchvision/resnet18", 7, 1), ("torchvision/squeezenet1_1", 3, 3),
        ("torchvision/shufflenet_v2_x0_5", 1000, 3), ("torchvision/mobilenet_v3_small", 2, 3),
    ],
)  # fmt: skip
def test_the_architecture_the_classes_and_the_channels_are_those_of_the_weights(tmp_path, arch, classes, channels):
    path = saved(tmp_path / "w.pt", {"net": made(arch, classes, channels), "acc": 91.2, "epoch": 199})
    loaded = load_model(str(path))
    assert (loaded.arch, loaded.classes, loaded.input_shape[0]) == (arch, classes, channels)
    assert (loaded.mean is None) == (channels == 1)


def test_one_member_of_every_torchvision_family_is_told_from_all_others():
    for name in ("densenet121", "efficientnet_b0", "regnet_y_400mf", "swin_t", "vgg11_bn", "vit_b_32", "googlenet"):
        state = {
            k: torch.empty(v, device="meta") for k, v in own_shapes(f"torchvision/{name}", 5, (3, 224, 224)).items()
        }
        found = fits(types.SimpleNamespace(state=state))
        assert [(fit.entry.name, fit.classes) for fit in found] == [(f"torchvision/{name}", 5)]


def test_a_vision_transformer_for_another_image_size():
    found = fits(numberless("vit_b_16", 10, 96))
    assert [(fit.entry.name, fit.input_shape) for fit in found] == [("torchvision/vit_b_16", (3, 96, 96))]


def as_kuangliu(name: str) -> str:
    return name.replace(".downsample.", ".shortcut.").replace("fc.", "linear.")


@pytest.mark.parametrize(
    "rename",
    [
        lambda k: k, as_kuangliu, lambda k: f"module.{as_kuangliu(k)}", lambda k: f"model.{k}", lambda k: f"net.{k}",
        lambda k: f"_orig_mod.module.{k}", lambda k: f"module.model.{k}", lambda k: f"1.{k}",
    ],
)  # fmt: skip
def test_other_names_of_the_same_weights_give_the_same_network(tmp_path, rename):
    state = made("resnet18-32")
    plain = load_model(str(saved(tmp_path / "plain.pt", state)))
    other = load_model(str(saved(tmp_path / "other.pt", {rename(k): v for k, v in state.items()})))
    images = torch.rand(2, 3, 32, 32, generator=generator(0))
    with torch.no_grad():
        assert torch.equal(other.module(images), plain.module(images))
    assert any("stride 1" in note for note in other.notes)


def test_lightning_leaves_other_weights_out_and_says_so(tmp_path):
    state = {f"model.{k}": v for k, v in made("resnet-cifar20").items()}
    content = {"state_dict": {**state, "loss.weight": torch.ones(10)}, "pytorch-lightning_version": "2.5", "epoch": 3}
    loaded = load_model(str(saved(tmp_path / "w.ckpt", content)))
    assert loaded.arch == "resnet-cifar20"
    assert "the prefix 'model.' was taken off the names, and 1 without it left out (loss.weight)" in loaded.notes


def test_an_average_beside_the_weights_is_named_and_can_be_asked_for(tmp_path):
    state, ema = made("resnet-cifar20"), {k: v * 2 for k, v in made("resnet-cifar20").items()}
    path = saved(tmp_path / "w.pth", {"model": {"state_dict": state}, "state_dict_ema": ema})
    usual, average = load_model(str(path)), load_model(str(path), part="state_dict_ema")
    assert torch.equal(average.module.conv1.weight, 2 * usual.module.conv1.weight)
    assert usual.notes == ("the weights are those of 'model.state_dict'; the file also holds 'state_dict_ema'",)
    with pytest.raises(ModelError, match="no state dict 'state_dict_em'; did you mean 'state_dict_ema'"):
        load_model(str(path), part="state_dict_em")
    swa = {"n_averaged": torch.tensor(5), **{f"module.{k}": v for k, v in state.items()}}
    assert torch.equal(load_model(str(saved(tmp_path / "s.pt", swa))).module.conv1.weight, usual.module.conv1.weight)


@pytest.mark.parametrize(
    ("mean", "std", "place"), [("mean", "std", "normalize."), ("mu", "sigma", ""), ("mean", "std", "0.")]
)
def test_a_model_that_normalises_inside_is_not_normalised_twice(tmp_path, mean, std, place):
    state = made("resnet-cifar20")
    inside = {
        f"{place}{mean}": torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1),
        f"{place}{std}": torch.full((1, 3, 1, 1), 0.25),
    }
    rest = "1." if place == "0." else "model."
    loaded = load_model(str(saved(tmp_path / "w.pt", {**inside, **{rest + k: v for k, v in state.items()}})))
    assert loaded.mean == pytest.approx((0.4, 0.5, 0.6))
    assert loaded.std == (0.25, 0.25, 0.25)
    assert any("nothing is normalised twice" in note for note in loaded.notes)


def test_old_densenet_names_and_auxiliary_heads(tmp_path):
    state = {
        k: torch.empty(v, device="meta") for k, v in own_shapes("torchvision/densenet121", 4, (3, 224, 224)).items()
    }
    old = {k.replace(".norm1.", ".norm.1.").replace(".conv2.", ".conv.2."): v for k, v in state.items()}
    assert list(old) != list(state)
    assert fitting_archs(types.SimpleNamespace(state=old)) == ["torchvision/densenet121"]
    state = {k: torch.empty(v, device="meta") for k, v in own_shapes("torchvision/googlenet", 4, (3, 224, 224)).items()}
    (fit,) = fits(
        types.SimpleNamespace(state={**state, "aux1.fc2.bias": torch.zeros(4), "aux2.fc2.bias": torch.zeros(4)})
    )
    assert fit.notes == ("2 weights of auxiliary heads are not used",)


def test_what_does_not_fit_is_listed_whole(tmp_path):
    state = made("resnet-cifar20")
    del state["linear.bias"]
    state["extra"] = torch.ones(1)
    state["bn1.weight"] = torch.ones(17)
    with pytest.raises(MisfitError) as caught:
        load_model(str(saved(tmp_path / "w.pt", state)), arch="resnet-cifar20")
    misfit = caught.value.misfit
    assert misfit.missing == ("linear.bias",)
    assert misfit.unexpected == ("extra",)
    assert misfit.other == (("bn1.weight", (17,), (16,)),)
    assert (
        "1 missing (linear.bias); 1 unexpected (extra); 1 of another shape (bn1.weight (17,) instead of (16,))"
        in str(caught.value)
    )


# --- the networks themselves, against the well-known code they stand for


class TheirWideBlock(nn.Module):
    """BasicBlock of xternalz/WideResNet-pytorch, in eval mode."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.bn1, self.bn2 = nn.BatchNorm2d(before), nn.BatchNorm2d(after)
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.equal = before == after
        self.convShortcut = (not self.equal and nn.Conv2d(before, after, 1, stride, 0, bias=False)) or None

    def forward(self, x: Tensor) -> Tensor:
        if not self.equal:
            x = F.relu(self.bn1(x))
        else:
            out = F.relu(self.bn1(x))
        out = self.conv2(F.relu(self.bn2(self.conv1(out if self.equal else x))))
        return torch.add(x if self.equal else self.convShortcut(x), out)


@pytest.mark.parametrize(("before", "after", "stride"), [(16, 32, 1), (32, 32, 1), (32, 64, 2)])
def test_a_wide_block_is_theirs(before, after, stride):
    from fssd_core.models.nets_known import _WideBlock

    theirs, ours = TheirWideBlock(before, after, stride).eval(), _WideBlock(before, after, stride).eval()
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, before, 8, 8, generator=generator(0))
    with torch.no_grad():
        assert torch.equal(ours(x), theirs(x))


# --- nothing in a file is executed


class Trap:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_lightning_hyperparameters_are_refused_by_name_with_the_lines_that_convert_them(tmp_path):
    content = {"state_dict": made("resnet-cifar20"), "hyper_parameters": argparse.Namespace(lr=0.1)}
    path = saved(tmp_path / "w.ckpt", content)
    with pytest.raises(ModelError, match=r"holds Python objects \(argparse\.Namespace\), not only weights") as caught:
        load_model(str(path))
    lines = "\n".join(line.strip() for line in str(caught.value).splitlines()[1:])
    exec(lines.replace("'weights.pt'", repr(str(tmp_path / "weights.pt"))), {"torch": torch})
    assert load_model(str(tmp_path / "weights.pt")).arch == "resnet-cifar20"


@pytest.mark.parametrize("place", ["state_dict", "beside", "tuple", "ema"])
def test_a_trap_anywhere_in_a_checkpoint_leaves_no_mark(tmp_path, place):
    mark, state = tmp_path / "ran", made("resnet-cifar20")
    content = {
        "state_dict": {"state_dict": {**state, "trap": Trap(mark)}}, "beside": {"net": state, "x": [Trap(mark)]},
        "tuple": (state, Trap(mark)), "ema": {"model": state, "ema": {"shadow": Trap(mark)}},
    }[place]  # fmt: skip
    path = saved(tmp_path / "evil.pt", content)
    for call in (
        lambda: load_model(str(path)),
        lambda: load_model(str(path), arch="resnet-cifar20"),
    ):
        with pytest.raises(ModelError, match="was refused"):
            call()
    assert not mark.exists()
    torch.load(path, weights_only=False)
    assert mark.exists(), "the trap was a real one"


# --- untrained networks, timm, and the operator's own code


def test_a_network_of_torchvision_without_a_file_is_untrained_and_always_the_same():
    first, again = load_model("torchvision/squeezenet1_1"), load_model("torchvision/squeezenet1_1")
    assert (first.arch, first.classes, first.step) == ("torchvision/squeezenet1_1", 1000, 0)
    assert first.weight_hash == again.weight_hash
    assert len(first.weight_hash) == 64
    assert "weights are random (seed 0)" in first.notes[0]
    with pytest.raises(ModelError, match="no architecture 'torchvision/resnet5'; did you mean 'torchvision/resnet"):
        load_model("torchvision/resnet5")


def test_timm_is_an_extra_that_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ModelError, match=r"timm is not installed; `pip install 'fssd-explorer\[timm\]'` adds it"):
        load_model(str(saved(tmp_path / "w.pt", {"a.weight": torch.zeros(2, 2)})), arch="timm/resnet18")


def test_timm_networks_by_name(tmp_path):
    timm = pytest.importorskip("timm")
    module = timm.create_model("vit_tiny_patch16_224", num_classes=5, img_size=64)
    loaded = load_model("timm/vit_tiny_patch16_224")
    assert (loaded.classes, loaded.input_shape) == (1000, (3, 224, 224))
    assert [t for t in loaded.taps if t.startswith("blocks.")] == [f"blocks.{k}:cls" for k in range(12)]
    path = saved(tmp_path / "w.pt", timm.create_model("resnet18", num_classes=5, in_chans=1).state_dict())
    loaded = load_model(str(path), arch="timm/resnet18")
    assert (loaded.classes, loaded.input_shape) == (5, (1, 224, 224))
    with pytest.raises(ModelError, match="has no network 'resnet1x'"):
        find_arch("timm/resnet1x")
    assert module.num_classes == 5


@pytest.fixture
def own_code(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_nets_for_test.py").write_text(
        "from torch import nn\n"
        "def make(classes=4, input_shape=(1, 8, 8)):\n"
        "    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, classes))\n"
        "    net.input_shape, net.mean, net.std = (1, 8, 8), (0.5,), (0.25,)\n"
        "    return net\n"
        "def broken():\n    raise RuntimeError('no such file')\n"
        "def other():\n    return 3\n"
        "value = 7\n"
    )
    yield "own_nets_for_test:make"
    sys.modules.pop("own_nets_for_test", None)


def test_a_factory_is_used_only_where_the_operator_named_it(own_code, tmp_path):
    with pytest.raises(ModelError, match="no model"):
        load_model(own_code)
    path = saved(tmp_path / "w.pt", {"1.weight": torch.ones(16, 64), "1.bias": torch.ones(16),
                                     "3.weight": torch.ones(6, 16), "3.bias": torch.zeros(6)})  # fmt: skip
    with pytest.raises(ModelError, match="Python code, which is called only where the operator allows"):
        load_model(str(path), arch=own_code)
    allow_factories([own_code])
    loaded = load_model(own_code)
    assert (loaded.classes, loaded.input_shape, loaded.mean, loaded.std) == (4, (1, 8, 8), (0.5,), (0.25,))
    assert loaded.taps == ("2", "3")
    loaded = load_model(str(path), arch=own_code)
    assert (loaded.classes, loaded.input_shape, loaded.mean) == (6, (1, 8, 8), (0.5,))
    image = torch.full((1, 1, 8, 8), 0.75)
    assert loaded.extractor(device="cpu").logits(image).tolist() == [[16 * 65.0] * 6]


def test_factories_that_cannot_be_used(own_code):
    for name, words in (
        ("own_nets_for_test", "it is package.module:function"),
        ("own_nets_for_test:nothing", "cannot be imported"),
        ("no_such_module_here:make", "cannot be imported"),
        ("own_nets_for_test:value", "int, not a function"),
    ):
        with pytest.raises(InputError, match=words):
            allow_factories([name])
    allow_factories(["own_nets_for_test:broken", "own_nets_for_test:other"])
    with pytest.raises(ModelError, match="failed with RuntimeError: no such file"):
        load_model("own_nets_for_test:broken")
    with pytest.raises(ModelError, match="it gave int"):
        load_model("own_nets_for_test:other")
