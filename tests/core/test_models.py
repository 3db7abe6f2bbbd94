"""Architectures, registered checkpoints and people's own weight files: the right network, or one clear error."""

from __future__ import annotations

import hashlib
import pickle
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from fssd_core.assets import assets_root
from fssd_core.data import load_data
from fssd_core.errors import InputError, ModelError
from fssd_core.models import ARCHS, find_arch, is_series, list_archs, list_models, load_model, weight_file
from fssd_core.models.nets_more import BiLSTM
from fssd_core.models.program_flag import VARIABLE
from fssd_core.models.registry import REGISTERED
from fssd_core.models.torchvision_nets import WithoutNumbers
from fssd_core.models.weights import read_weights
from fssd_core.runtime import generator
from fssd_core.training import build, save_checkpoint
from fssd_core.vision import torchvision
from tests.core.program_nets import export, net, script

OWN = [name for name, entry in ARCHS.items() if entry.input_shape[1] <= 32 and not name.startswith("wrn-")]
OWN = [name for name in OWN if not name.endswith("-32")]
SMALLEST = [  # of each family
    f"torchvision/{name}"
    for name in (
        *("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "inception_v3", "maxvit_t"),
        *("mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "regnet_x_400mf", "regnet_y_400mf", "resnet18"),
        *("shufflenet_v2_x0_5", "squeezenet1_1", "swin_t", "swin_v2_t", "vgg11", "vit_b_16"),
    )
]
DEMO = assets_root() / "models" / "lenet"


def lenet(classes: int = 10, shape: tuple[int, int, int] = (1, 28, 28), seed: int = 0) -> nn.Module:
    return build("lenet", classes=classes, input_shape=shape, generator=generator(seed))


# --- architectures


@pytest.mark.parametrize("name", OWN)
def test_own_architectures_give_logits_and_taps_after_the_activation(name):
    entry = ARCHS[name]
    module = build(name, classes=7, input_shape=entry.input_shape, generator=generator(0))
    assert module.taps == entry.taps
    seen: dict[str, torch.Tensor] = {}
    for tap in entry.taps:
        module.get_submodule(tap).register_forward_hook(lambda _m, _i, out, tap=tap: seen.__setitem__(tap, out))
    logits = module.eval()(torch.rand(2, *entry.input_shape, generator=generator(1)))
    assert logits.shape == (2, 7)
    assert list(seen) == list(entry.taps)
    assert torch.equal(seen[entry.taps[-1]], logits)
    for tap in entry.taps[:-1]:
        assert tap in ("hidden", "last") or seen[tap].min() >= 0, tap
    classes, shape = entry.measure({k: tuple(v.shape) for k, v in module.state_dict().items()})
    assert (classes, shape) == (7, entry.input_shape)


def test_taps_are_read_before_pooling():
    sizes = {k: f.shape[1] for k, f in load_model("demo/lenet").extractor(device="cpu").features(
        torch.rand(2, 1, 28, 28, generator=generator(0))).items()}  # fmt: skip
    assert sizes == {"conv1": 16 * 24 * 24, "conv2": 32 * 8 * 8, "fc1": 128, "logits": 10}


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("lenet", 80_202),
        ("lenet-authors", 1_199_882),
        ("mlp", 784 * 256 + 256 + 256 * 128 + 128 + 1290),
        ("densenet-small", 20_878),
        ("bilstm", 56_522),
        ("resnet-cifar8", 75_290),
        ("resnet-cifar20", 269_722),  # He et al. 2016: 0.27 M, 0.46 M, 0.66 M, 0.85 M
        ("resnet-cifar32", 464_154),
        ("resnet-cifar44", 658_586),
        ("resnet-cifar56", 853_018),
    ],
)
def test_numbers_of_parameters(name, count):
    module = ARCHS[name].build(10, ARCHS[name].input_shape)
    assert sum(p.numel() for p in module.parameters()) == count


@pytest.mark.parametrize("name", [name for name in OWN if ARCHS[name].options])
def test_activation_and_dropout_are_choices_that_keep_the_names_of_the_weights(name):
    entry = ARCHS[name]
    shape = (1, 28, 28)
    plain = entry.make(10, shape)
    other = entry.make(10, shape, activation="tanh", dropout=0.5)
    assert list(plain.state_dict()) == list(other.state_dict())
    kinds = {type(m) for m in other.modules()}
    assert nn.Tanh in kinds
    assert nn.ReLU not in kinds
    other.load_state_dict(plain.state_dict())
    x = torch.rand(4, *shape, generator=generator(0))
    seen: dict[str, torch.Tensor] = {}
    for tap in entry.taps:
        other.get_submodule(tap).register_forward_hook(lambda _m, _i, out, tap=tap: seen.__setitem__(tap, out))
    assert torch.equal(other.eval()(x), other(x))
    assert any(seen[tap].min() < 0 for tap in entry.taps[:-1])
    assert all(seen[tap].abs().max() <= 1 for tap in entry.taps[:-1]), "tanh stays within 1, and so do its means"
    other.train()
    with torch.random.fork_rng():
        assert not torch.equal(other(x), other(x)), "dropout acts while training"


def test_options_that_an_architecture_does_not_have_and_values_that_cannot_be():
    for name, options, message in (
        (
            "torchvision/resnet18",
            {"activation": "tanh"},
            "has a fixed activation; leave activation 'tanh' out",
        ),
        ("lenet-authors", {"dropout": 0.1}, "'lenet-authors' has a fixed dropout"),
        ("lenet", {"activation": "rely"}, "no activation 'rely'; did you mean 'relu'"),
        ("lenet", {"dropout": 1.0}, "dropout 1.0 was given; it is 0 to below 1"),
    ):
        with pytest.raises(InputError, match=message):
            ARCHS[name].make(10, (1, 28, 28), **options)


def test_the_row_lstm_is_torchs_own_lstm():
    ours = BiLSTM(5, 3).double()
    theirs = nn.LSTM(5, 3, batch_first=True, bidirectional=True).double()
    for direction, suffix in enumerate(("", "_reverse")):
        getattr(theirs, f"weight_ih_l0{suffix}").data = ours.weight_in[direction].data
        getattr(theirs, f"weight_hh_l0{suffix}").data = ours.weight_state[direction].data
        getattr(theirs, f"bias_ih_l0{suffix}").data = ours.bias[direction].data
        getattr(theirs, f"bias_hh_l0{suffix}").data.zero_()
    x = torch.rand(2, 7, 5, generator=generator(0), dtype=torch.float64)
    expected, (last, _) = theirs(x)
    torch.testing.assert_close(ours(x), expected)
    module = ARCHS["bilstm"].make(10, (1, 28, 28))
    ends = module.last(module.hidden(torch.rand(2, 7, 28)))
    assert ends.shape == (2, 128)
    assert torch.equal(type(module.last)(3)(ours(x)), torch.cat([ours(x)[:, -1, :3], ours(x)[:, 0, 3:]], 1))
    torch.testing.assert_close(type(module.last)(3)(expected), torch.cat([last[0], last[1]], 1))


def test_an_lstm_for_long_sequences_starts_with_gates_that_remember_them():
    short = build("bilstm", classes=4, input_shape=(1, 64, 4), generator=generator(0)).hidden
    long = build("bilstm", classes=4, input_shape=(1, 250, 4), generator=generator(0)).hidden
    assert short.bias.abs().max() <= 1 / 8
    assert torch.equal(long.weight_state, short.weight_state)
    enter, forget, *others = long.bias.chunk(4, 1)
    assert torch.equal(enter, -forget)
    assert torch.equal(torch.cat(others, 1), short.bias[:, 128:])
    steps = 1 + forget.exp()  # 1 / (1 - sigmoid(b)): how long a memory lasts
    assert 2 <= steps.min() < 40
    assert 210 < steps.max() <= 250


def test_a_dense_layer_keeps_what_it_was_given():
    block = ARCHS["densenet-small"].make(10, (1, 28, 28)).eval().block1
    x = torch.rand(1, 16, 8, 8, generator=generator(0))
    first = block[0](x)
    assert first.shape == (1, 24, 8, 8)
    assert torch.equal(first[:, :16], x)


def test_residual_shortcut_takes_every_second_pixel_and_pads_the_channels():
    module = ARCHS["resnet-cifar20"].build(10, (3, 32, 32)).eval()
    block = module.layer2[0]
    nn.init.zeros_(block.bn2.weight)  # the residual branch gives zero, the shortcut alone is left
    x = torch.rand(1, 16, 8, 8, generator=generator(0))
    out = block(x)
    assert out.shape == (1, 32, 4, 4)
    assert torch.equal(out[:, 8:24], x[:, :, ::2, ::2])
    assert out[:, :8].abs().max() == 0
    assert out[:, 24:].abs().max() == 0


@pytest.mark.parametrize(("name", "last"), [("mobilenet_v3_small", "classifier")])
def test_torchvision_architectures_load_with_their_number_of_classes(tmp_path, name, last):
    module = find_arch(name).build(5, (3, 224, 224))
    torch.save({"epoch": 3, "state_dict": module.state_dict()}, tmp_path / "w.pth")
    loaded = load_model(str(tmp_path / "w.pth"), arch=name)
    assert (loaded.classes, loaded.input_shape) == (5, (3, 224, 224))
    assert loaded.taps[-1] == last
    assert loaded.mean == (0.485, 0.456, 0.406)
    features = loaded.extractor(device="cpu").features(torch.rand(1, 3, 64, 64, generator=generator(0)))
    assert features[last].shape == (1, 5)


def test_every_torchvision_architecture_can_be_built_and_its_first_and_last_weight_are_there():
    known = torchvision().models
    assert {n for n in ARCHS if n.startswith("torchvision/")} == {
        f"torchvision/{n}" for n in known.list_models(module=known)
    }
    for name in (*(n for n in ARCHS if "/" not in n), *SMALLEST):
        entry = list_archs()[name]
        with WithoutNumbers():
            state = entry.build(11, entry.input_shape).state_dict()
        assert entry.measure({k: tuple(v.shape) for k, v in state.items()})[0] == 11, name
        modules = {key.rpartition(".")[0] for key in state}
        parents = {m.split(".")[0] for m in modules}
        bare = {"relu", "relu1", "relu2", "relu3", "stem", "pooled", "last"}  # taps without weights
        assert all(t in modules | parents | bare for t in entry.taps), name


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32)])
@pytest.mark.parametrize("name", ["lenet", "lenet-authors", "mlp", "bilstm"])
def test_input_shape_and_classes_are_read_from_the_weights(tmp_path, name, shape):
    module = build(name, classes=4, input_shape=shape, generator=generator(0))
    save_checkpoint(tmp_path / "w.safetensors", module.state_dict(), {"arch": name})
    loaded = load_model(str(tmp_path / "w.safetensors"))
    assert (loaded.classes, loaded.input_shape) == (4, shape)
    image = torch.rand(2, *shape, generator=generator(1))
    if loaded.mean is None:
        assert torch.allclose(loaded.extractor(device="cpu").logits(image), module.eval()(image), atol=1e-6)


# --- registered checkpoints


def test_the_demo_series():
    entry = list_models()[0]
    assert (entry.name, entry.arch) == ("demo/lenet", "lenet")
    assert entry.steps[:9] == (0, 5, 10, 20, 50, 100, 200, 400, 900)
    assert len(entry.steps) >= 14
    assert entry.steps[-1] == 14 * 938
    assert set(entry.accuracy) == set(entry.epochs) == set(entry.steps)
    assert entry.accuracy[entry.steps[-1]] >= 0.91
    assert entry.epochs[entry.steps[-1]] == 14


def test_demo_metadata_and_hash():
    model = load_model("demo/lenet@900")
    path = DEMO / "step-00900.safetensors"
    assert (model.ref, model.arch, model.step) == ("demo/lenet@900", "lenet", 900)
    assert model.weight_hash == hashlib.sha256(path.read_bytes()).hexdigest()
    assert model.taps == ("conv1", "conv2", "fc1", "logits")
    assert {"arch", "taps", "mean", "std", "step", "epoch", "test_accuracy", "seed", "torch"} <= set(model.metadata)
    assert not model.module.training
    for name, tensor in load_file(path).items():
        assert torch.equal(model.module.state_dict()[name], tensor)


def test_the_last_step_is_the_default_and_loads_do_not_share_a_module():
    a, b = load_model("demo/lenet"), load_model("demo/lenet", step=13132)
    assert a.ref == b.ref == "demo/lenet@13132"
    assert a.weight_hash == b.weight_hash
    assert a.module is not b.module


def test_stated_accuracy_is_the_measured_one():
    model = load_model("demo/lenet")
    data = load_data("fmnist:test")
    predicted = model.extractor(device="cpu").logits(data.tensor(), batch_size=1000).argmax(1).numpy()
    stated = float(model.metadata["test_accuracy"])
    assert (predicted == data.labels).mean() == pytest.approx(stated, abs=0.0005)  # another CPU may turn a few


@pytest.mark.parametrize(
    ("ref", "step", "message"),
    [
        ("demo/lnet", None, "did you mean 'demo/lenet'"),
        ("demo/lenet@7", None, "has no step 7; its steps are 0, 5, 10"),
        ("demo/lenet", 7, "has no step 7"),
        ("demo/lenet@x", None, "give one step, as demo/lenet@900"),
        ("demo/lenet@900", 5, "give one step"),
        ("/no/such.pt", None, r"there is no weight file '/no/such\.pt'; check the path"),
    ],
)
def test_unknown_models_and_steps(ref, step, message):
    with pytest.raises(ModelError, match=message):
        load_model(ref, step=step)


def test_a_registered_model_refuses_another_architecture():
    with pytest.raises(ModelError, match="says its architecture is 'lenet', 'mlp' was asked for"):
        load_model("demo/lenet", arch="mlp")


def test_a_folder_of_checkpoints_is_a_series(tmp_path):
    for step in (0, 40):
        save_checkpoint(tmp_path / f"step-{step}.safetensors", lenet(seed=step).state_dict(), {"arch": "lenet"})
    assert load_model(str(tmp_path)).step == 40
    assert load_model(str(tmp_path), step=0).ref == f"{tmp_path}@0"
    with pytest.raises(ModelError, match="has no step 7; its steps are 0, 40"):
        load_model(str(tmp_path), step=7)
    (tmp_path / "none").mkdir()
    with pytest.raises(ModelError, match=r"no checkpoint \(step-\*\.safetensors\) was found"):
        load_model(str(tmp_path / "none"))


# --- runs


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("FSSD_HOME", str(tmp_path))
    return tmp_path


def save_run(home: Path, run_id: str, *steps: int, **facts: object) -> Path:
    folder = home / "runs" / run_id
    for step in steps:
        said = {"arch": "lenet", "title": f"title of {run_id}", "step": step, "epoch": step / 10, **facts}
        save_checkpoint(folder / f"step-{step:05d}.safetensors", lenet(seed=step).state_dict(), said)
    return folder


def test_a_run_is_a_registered_series(home):
    demo = len(list_models())
    assert list_models()[0].name == "demo/lenet"
    assert all(m.name in REGISTERED for m in list_models())
    folder = save_run(home, "first", 0, 5, 40, test_accuracy=0.75)
    (home / "runs" / "empty").mkdir()
    entry = list_models()[demo]
    assert (entry.name, entry.arch, entry.title) == ("run/first", "lenet", "title of first")
    assert entry.steps == (0, 5, 40)
    assert entry.accuracy == dict.fromkeys((0, 5, 40), 0.75)
    assert entry.epochs == {0: 0.0, 5: 0.5, 40: 4.0}
    assert load_model("run/first").ref == "run/first@40"
    assert load_model("run/first@5").step == load_model("run/first", step=5).step == 5
    assert is_series("run/first")
    assert not is_series("run/empty")
    assert not is_series("run/none")
    assert weight_file("run/first") == folder / "step-00040.safetensors"
    save_run(home, "first", 50)
    assert list_models()[demo].steps == (0, 5, 40, 50)
    (folder / "step-00050.safetensors").write_bytes(b"half")
    assert list_models()[demo].steps == (0, 5, 40), "a damaged checkpoint is left out"
    with pytest.raises(ModelError, match="not a whole"):
        load_model("run/first@50")


def test_a_study_of_a_running_run_reads_its_new_last_checkpoint(home):
    from fssd_core.study import Study, open_model

    save_run(home, "growing", 0)
    study = Study(model="run/growing")
    assert open_model(study).step == 0
    save_run(home, "growing", 30)
    assert open_model(study).step == 30


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("run/frist", "no run 'run/frist'; did you mean 'run/first'"),
        ("run/first@7", "has no step 7; its steps are 0, 5"),
        ("run/first@x", "give one step, as run/first@900"),
        ("run/../runs/first", "is not a run's name"),
        ("run/..", "is not a run's name"),
        ("run/", "is not a run's name"),
        ("run//etc/passwd", "is not a run's name"),
        ("run/first/step-00000.safetensors", "is not a run's name"),
        ("run/link", "is a link to another folder"),
    ],
)
def test_runs_that_cannot_be_opened(home, ref, message):
    folder = save_run(home, "first", 0, 5)
    (home / "runs" / "link").symlink_to(folder)
    with pytest.raises(ModelError, match=message):
        load_model(ref)
    assert [m.name for m in list_models() if m.name not in REGISTERED] == ["run/first"]


# --- people's own files


def test_the_choices_of_a_training_are_read_from_the_metadata(tmp_path):
    path = tmp_path / "w.safetensors"
    made = ARCHS["resnet-cifar8"].make(5, (1, 28, 28), activation="tanh", dropout=0.25)
    facts = {"arch": "resnet-cifar8", "activation": "tanh", "dropout": 0.25, "input_shape": (1, 28, 28)}
    save_checkpoint(path, made.state_dict(), facts)
    loaded = load_model(str(path))
    assert (loaded.input_shape, loaded.classes, loaded.mean) == ((1, 28, 28), 5, None)
    assert loaded.module.dropout.p == 0.25
    x = torch.rand(2, 1, 28, 28, generator=generator(0))
    assert torch.equal(loaded.module(x), made.eval()(x))
    save_file(made.state_dict(), path)
    assert load_model(str(path)).arch == "resnet-cifar8", "recognised without metadata, as ReLU"
    for odd in ({"activation": "gelu"}, {"dropout": "much"}, {"input_shape": "[0, 28, 28]"}, {"input_shape": "28"}):
        save_checkpoint(path, made.state_dict(), {**facts, **odd})
        with pytest.raises(ModelError, match="cannot be used"):
            load_model(str(path))
    save_checkpoint(path, made.state_dict(), {**facts, "input_shape": "[3, 28, 28]"})
    with pytest.raises(ModelError, match=r"do not fit 'resnet-cifar8'.*of another shape"):
        load_model(str(path))


@pytest.mark.parametrize("wrap", ["plain", "state_dict", "model_state_dict", "module.", "_orig_mod.", "both", "half"])
def test_every_usual_way_of_saving_weights(tmp_path, wrap):
    module = lenet()
    state: dict[str, object] = dict(module.state_dict())
    if wrap in ("module.", "_orig_mod."):
        state = {wrap + k: v for k, v in state.items()}
    elif wrap == "both":
        state = {"epoch": 2, "lr": 0.1, "state_dict": {"module." + k: v for k, v in state.items()}}
    elif wrap == "half":
        state = {k: v.half() for k, v in module.half().float().state_dict().items()}
    elif wrap != "plain":
        state = {wrap: state, "optimizer": {"state": {}}}
    torch.save(state, tmp_path / "w.pt")
    loaded = load_model(str(tmp_path / "w.pt"), arch="lenet")
    for name, tensor in module.state_dict().items():
        assert torch.equal(loaded.module.state_dict()[name], tensor)
    assert loaded.step is None
    assert loaded.metadata == {}


def test_an_architecture_is_recognised_where_the_weights_fit_one_alone_and_asked_for_otherwise(tmp_path):
    save_file(lenet().state_dict(), tmp_path / "w.safetensors")
    assert load_model(str(tmp_path / "w.safetensors")).arch == "lenet"
    torch.save({"module." + k: v for k, v in lenet().state_dict().items()}, tmp_path / "w.pt")
    assert load_model(str(tmp_path / "w.pt")).arch == "lenet"
    save_file({"odd": torch.zeros(2)}, tmp_path / "odd.safetensors")
    with pytest.raises(ModelError, match=r"\(odd \.\.\.\) fit none of the known; give --arch, one of lenet"):
        load_model(str(tmp_path / "odd.safetensors"))


def test_weights_of_another_architecture_are_listed_shortly(tmp_path):
    torch.save(ARCHS["resnet-cifar20"].build(10, (3, 32, 32)).state_dict(), tmp_path / "w.pt")
    with pytest.raises(ModelError) as caught:
        load_model(str(tmp_path / "w.pt"), arch="resnet-cifar32")
    text = str(caught.value)
    assert "do not fit 'resnet-cifar32': " in text
    assert "missing (layer1.3.conv1.weight, " in text
    assert "They fit 'resnet-cifar20'" in text
    assert len(text) < 500
    with pytest.raises(ModelError, match=r"missing \(conv1.0.weight.*unexpected"):
        load_model(str(tmp_path / "w.pt"), arch="lenet")
    with pytest.raises(ModelError, match="no architecture 'resnet-cifr20'; did you mean 'resnet-cifar20'"):
        load_model(str(tmp_path / "w.pt"), arch="resnet-cifr20")


def test_shapes_are_compared(tmp_path):
    state = dict(lenet().state_dict())
    state["conv2.0.weight"] = torch.zeros(32, 16, 3, 3)
    del state["conv2.0.bias"]
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(ModelError) as caught:
        load_model(str(tmp_path / "w.safetensors"), arch="lenet")
    assert "1 missing (conv2.0.bias)" in str(caught.value)
    assert "1 of another shape (conv2.0.weight (32, 16, 3, 3) instead of (32, 16, 5, 5))" in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(tmp_path, value):
    state = lenet().state_dict()
    state["fc1.0.weight"][3, 5] = value
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match=r"'fc1.0.weight' have 1 of 65536 values that are NaN or infinite"):
        load_model(str(tmp_path / "w.safetensors"), arch="lenet")


class _Mark:
    """A trap: unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    mark = tmp_path / "ran"
    torch.save({"state_dict": lenet().state_dict(), "trap": _Mark(mark)}, tmp_path / "evil.pt")
    (tmp_path / "bare.pth").write_bytes(pickle.dumps(_Mark(mark)))
    for name, lines in (
        ("evil.pt", "torch.save(checkpoint['state_dict'], 'weights.pt')"),
        ("bare.pth", "torch.save(model.state_dict(), 'weights.pt')"),
    ):
        with pytest.raises(ModelError) as caught:
            load_model(str(tmp_path / name), arch="lenet")
        assert "was refused" in str(caught.value)
        assert "weights_only=False)\n" in str(caught.value)
        assert lines in str(caught.value)
        assert not mark.exists()
    torch.load(tmp_path / "evil.pt", weights_only=False)  # the trap was a real one
    assert mark.exists()


def test_a_whole_pickled_model_gives_the_two_lines_that_convert_it(tmp_path):
    torch.save(lenet(), tmp_path / "model.pt")
    with pytest.raises(ModelError, match="holds Python objects") as caught:
        load_model(str(tmp_path / "model.pt"), arch="lenet")
    lines = [line.strip() for line in str(caught.value).splitlines()[1:]]
    exec("\n".join(lines).replace("'weights.pt'", repr(str(tmp_path / "weights.pt"))), {"torch": torch})
    assert load_model(str(tmp_path / "weights.pt"), arch="lenet").classes == 10


@pytest.mark.parametrize("kind", ["pt2", "pt"])
def test_a_program_is_refused_without_the_operators_flag(tmp_path, monkeypatch, kind):
    monkeypatch.delenv(VARIABLE, raising=False)
    path = tmp_path / f"p.{kind}"
    export(net(), path) if kind == "pt2" else script(net(), path)
    what = "an exported program" if kind == "pt2" else "a TorchScript program"
    words = f"this is {what}.*opened only where the operator started with --allow-exported-programs"
    for read in (load_model, lambda ref: read_weights(Path(ref))):
        with pytest.raises(ModelError, match=words) as caught:
            read(str(path))
    lines = [line.strip() for line in str(caught.value).splitlines()[1:]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec("\n".join(lines).replace("'weights.pt'", repr(str(tmp_path / "weights.pt"))), {"torch": torch})
    torch.testing.assert_close(dict(read_weights(tmp_path / "weights.pt").state), dict(net().state_dict()))


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_damaged_files(tmp_path, suffix):
    path = tmp_path / f"w.{suffix}"
    if suffix == "pt":
        torch.save(lenet().state_dict(), path)
    else:
        save_file(lenet().state_dict(), path)
    whole = path.read_bytes()
    for size in (1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(ModelError, match="copy or save it again"):
            load_model(str(path), arch="lenet")
    path.write_bytes(b"")
    with pytest.raises(ModelError, match="the file is empty"):
        load_model(str(path), arch="lenet")
    path.write_bytes(b"<html>404: not found</html>" * 50)
    with pytest.raises(ModelError, match="copy or save it again"):
        load_model(str(path), arch="lenet")


def test_other_files_and_contents(tmp_path):
    (tmp_path / "w.h5").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"weight files end in \.safetensors, \.pt.*ends in '\.h5'"):
        load_model(str(tmp_path / "w.h5"), arch="lenet")
    torch.save({"epoch": 3, "optimizer": {}}, tmp_path / "w.pt")
    with pytest.raises(ModelError, match=r"no state dict was found in it \(it holds a dict of epoch, optimizer\)"):
        load_model(str(tmp_path / "w.pt"), arch="lenet")
    torch.save(torch.zeros(3), tmp_path / "t.pt")
    with pytest.raises(ModelError, match="it holds Tensor"):
        load_model(str(tmp_path / "t.pt"), arch="lenet")


@pytest.mark.parametrize(
    ("metadata", "mean", "std"),
    [
        ({}, None, None),
        ({"mean": "[0.25]", "std": "[0.5]"}, (0.25,), (0.5,)),
        ({"mean": "0.25", "std": "0.5"}, (0.25,), (0.5,)),
        ({"mean": "null", "std": "null"}, None, None),
    ],
)
def test_normalisation_is_read_from_the_metadata(tmp_path, metadata, mean, std):
    save_file(lenet().state_dict(), tmp_path / "w.safetensors", {"arch": "lenet", "taps": "conv2,logits", **metadata})
    loaded = load_model(str(tmp_path / "w.safetensors"))
    assert (loaded.mean, loaded.std) == (mean, std)
    assert loaded.taps == ("conv2", "logits")
    image = torch.rand(3, 1, 28, 28, generator=generator(0))
    inside = image if mean is None else (image - 0.25) / 0.5
    with torch.no_grad():
        expected = loaded.module(inside)
    assert torch.allclose(loaded.extractor(device="cpu").logits(image), expected, atol=1e-6)


@pytest.mark.parametrize(
    "metadata", [{"mean": "x", "std": "1"}, {"mean": "1,2", "std": "1,2"}, {"mean": "1", "std": "0"}]
)
def test_normalisation_that_cannot_be_used(tmp_path, metadata):
    save_file(lenet().state_dict(), tmp_path / "w.safetensors", {"arch": "lenet", **metadata})
    with pytest.raises(ModelError, match="metadata `mean` and `std` cannot be used"):
        load_model(str(tmp_path / "w.safetensors"))


def test_loading_draws_nothing_from_the_global_generator():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    load_model("demo/lenet@0")
    build("mlp", classes=10, input_shape=(1, 28, 28), generator=generator(0))
    assert torch.equal(torch.get_rng_state(), before)


def test_unknown_architectures_to_build():
    with pytest.raises(InputError, match="no architecture 'lenat'; did you mean 'lenet'"):
        build("lenat", classes=10, input_shape=(1, 28, 28), generator=generator(0))


def test_an_unknown_layer_is_named():
    with pytest.raises(ModelError, match="no layer 'conv3'; did you mean"):
        load_model("demo/lenet").extractor(["conv3"])


@pytest.mark.parametrize(
    "content", [b"junk", b"", b"\x80", b"\x80\x02", b"PK\x03\x04", bytes(range(256)), b"\x80\x02}q\x00."]
)
def test_bytes_that_are_no_weights_are_one_clear_error(tmp_path, content):
    (tmp_path / "w.pt").write_bytes(content)
    with pytest.raises(ModelError, match=r"w\.pt: "):
        load_model(str(tmp_path / "w.pt"), arch="lenet")


def test_the_demos_other_networks_are_float16_files_read_as_float32():
    from fssd_core.checkpoint_file import read_tensors

    names = [entry.name for entry in list_models() if entry.name.startswith("demo/lenet-")]
    assert names == [f"demo/{n}" for n in (*(f"lenet-member{k}" for k in (1, 2, 3, 4)), "lenet-dropout", "lenet-oe")]
    for name in names:
        model = load_model(name)
        (path,) = (assets_root() / "models" / name.removeprefix("demo/")).glob("*.safetensors")
        kept = read_tensors(path)
        assert path.stat().st_size < 165_000
        assert {t.dtype for t in kept.values()} == {torch.float16}
        for weight, tensor in model.module.state_dict().items():
            assert tensor.dtype == torch.float32
            assert torch.equal(tensor, kept[weight].float())
        assert float(model.metadata["test_accuracy"]) > 0.9
