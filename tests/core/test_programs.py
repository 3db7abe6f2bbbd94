"""torch.export and TorchScript files as models: the same numbers as their network, or a clear refusal."""

from __future__ import annotations

import copy
import json
import threading
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fssd_core.cli import main
from fssd_core.detectors import make_detector
from fssd_core.errors import InputError, ModelError
from fssd_core.extractor import FeatureExtractor
from fssd_core.models import ARCHS, load_model
from fssd_core.models.prepare import prepared_ending, save_prepared, with_facts
from fssd_core.models.program_flag import VARIABLE
from fssd_core.models.tree import choose_layers, module_tree
from fssd_core.precision import in_precision
from fssd_core.runtime import generator
from fssd_core.singularity import estimate_fss, fssd, uniform_noise
from fssd_core.vision import torchvision
from tests.core.program_nets import LAYERS, SHAPE, export, net, script

IMAGES = torch.rand(7, *SHAPE, generator=generator(1))


pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(autouse=True)
def allowed(monkeypatch):
    monkeypatch.setenv(VARIABLE, "1")


def distances(extractor: FeatureExtractor, epsilon: float, gradient: str) -> np.ndarray:
    fss = estimate_fss(extractor, uniform_noise(SHAPE, 20, generator=generator(0)))
    return fssd(extractor, IMAGES, fss, epsilon=epsilon, gradient=gradient).values


@pytest.mark.parametrize("batch", [None, 1, 3, 7], ids=["any number", "one", "three", "seven"])
@pytest.mark.parametrize("end", ["tensor", "tuple", "dict"])
def test_an_exported_program_gives_what_its_network_gives(tmp_path, end, batch):
    eager = FeatureExtractor(net(end), LAYERS, device="cpu")
    loaded = load_model(str(export(net(end), tmp_path / "p.pt2", batch=batch)))
    assert (loaded.arch, loaded.input_shape, loaded.classes) == ("torch.export", SHAPE, 5)
    program = loaded.extractor(LAYERS, device="cpu")
    for size in (None, 2):
        for name, features in eager.features(IMAGES).items():
            torch.testing.assert_close(program.features(IMAGES, batch_size=size)[name], features)
    torch.testing.assert_close(program.logits(IMAGES), eager.logits(IMAGES))
    for epsilon, gradient in ((0.0, "sign"), (0.01, "sign"), (-0.01, "sign"), (0.01, "standardised")):
        wanted = distances(eager, epsilon, gradient)
        np.testing.assert_allclose(distances(program, epsilon, gradient), wanted, rtol=1e-4, atol=1e-5)
    assert not np.array_equal(distances(program, 0.01, "sign"), distances(program, 0.0, "sign"))
    assert not any(p.requires_grad for p in loaded.module.parameters())
    said = " ".join(loaded.notes)
    assert ("one image at a time" if batch == 1 else f"for {batch} images at once") in said or batch is None


def test_an_exported_program_shows_the_layers_of_its_network(tmp_path):
    loaded = load_model(str(export(net(), tmp_path / "p.pt2")))
    eager, program = module_tree(net(), SHAPE), module_tree(loaded.module, SHAPE)
    assert [(n.name, n.kind, n.shape, n.calls, n.parameters, n.macs) for n in program] == [
        (n.name, n.kind, n.shape, n.calls, n.parameters, n.macs) for n in eager
    ]
    assert loaded.taps == choose_layers(net(), eager)
    assert loaded.weight_hash == load_model(str(tmp_path / "p.pt2")).weight_hash
    assert list(loaded.module.state_dict()) == list(net().state_dict())


def test_a_copy_of_a_program_is_its_own(tmp_path):
    loaded = load_model(str(export(net(), tmp_path / "p.pt2", batch=2)))
    twin = copy.deepcopy(loaded.module)
    with torch.no_grad():
        twin.fc.bias += 1
        torch.testing.assert_close(twin(IMAGES), loaded.module(IMAGES) + 1)
    half = in_precision(loaded.extractor(LAYERS, device="cpu"), "bfloat16")
    torch.testing.assert_close(half.logits(IMAGES), loaded.extractor(device="cpu").logits(IMAGES), rtol=0.05, atol=0.05)


def test_tensors_that_a_program_makes_follow_it_to_its_device(tmp_path):
    class Padded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x).flatten(2).mean(2) + torch.arange(2, device=x.device)

    module = load_model(str(export(Padded().eval(), tmp_path / "p.pt2"))).module
    assert module(IMAGES).device.type == "cpu"
    module.to("meta")  # stands for a GPU: tensors of two devices cannot be added
    assert module(IMAGES.to("meta")).device.type == "meta"


def test_detectors_read_the_last_linear_layer_of_a_program(tmp_path):
    torchvision()  # before what imports it in its own way
    pytest.importorskip("pytorch_ood")
    images, labels = torch.rand(60, *SHAPE, generator=generator(2)), torch.arange(60) % 5
    found = []
    for model in (net(), load_model(str(export(net(), tmp_path / "p.pt2", batch=7))).module):
        extractor = FeatureExtractor(model, LAYERS, device="cpu")
        detector = make_detector("vim").fit(extractor, images, labels)
        found.append(detector.scores(IMAGES[:5]).values)
    np.testing.assert_allclose(found[1], found[0], rtol=1e-4)
    with pytest.raises(InputError, match="exported for 7 images at once; export it for any number"):
        make_detector("nac").fit(extractor, images, labels)


def test_a_program_for_any_size_of_image(tmp_path):
    n, side = torch.export.Dim("n"), torch.export.Dim("side", min=8, max=64)
    whole = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).eval()
    made = torch.export.export(whole, (torch.rand(2, 1, 12, 12),), dynamic_shapes=({0: n, 2: side, 3: side},))
    torch.export.save(made, tmp_path / "p.pt2")
    loaded = load_model(str(tmp_path / "p.pt2"))
    assert loaded.input_shape == (1, 12, 12)
    larger = with_facts(loaded, input_shape=(1, 20, 20))
    images = torch.rand(3, 1, 20, 20, generator=generator(0))
    with torch.no_grad():
        torch.testing.assert_close(larger.extractor(device="cpu").logits(images), whole(images))
    with pytest.raises(ModelError, match=r"exported for H = 8 to 64, 70 was given"):
        with_facts(loaded, input_shape=(1, 70, 70))


def test_a_program_of_another_input_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"exported for H = 10, 12 was given"):
        with_facts(load_model(str(export(net(), tmp_path / "p.pt2"))), input_shape=(1, 12, 12))
    flat = nn.Linear(4, 2)
    torch.export.save(torch.export.export(flat, (torch.rand(2, 4),)), tmp_path / "flat.pt2")
    with pytest.raises(ModelError, match=r"a tensor of 2 dimensions .* images are float32 \(N, C, H, W\)"):
        load_model(str(tmp_path / "flat.pt2"))
    half = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten()).half()
    torch.export.save(torch.export.export(half, (torch.rand(2, *SHAPE).half(),)), tmp_path / "half.pt2")
    with pytest.raises(ModelError, match="images are float32"):
        load_model(str(tmp_path / "half.pt2"))
    torch.export.save(torch.export.export(net().train(), (torch.rand(2, *SHAPE),)), tmp_path / "train.pt2")
    with pytest.raises(ModelError, match=r"exported in training mode .* call model.eval\(\)"):
        load_model(str(tmp_path / "train.pt2"))


def test_weights_of_a_program_go_into_an_architecture_that_is_asked_for(tmp_path):
    lenet = ARCHS["lenet"].build(10, (1, 28, 28)).eval()
    path = export(lenet, tmp_path / "p.pt2", shape=(1, 28, 28))
    assert load_model(str(path)).arch == "torch.export"
    loaded = load_model(str(path), arch="lenet")
    assert (loaded.arch, loaded.taps) == ("lenet", ("conv1", "conv2", "fc1", "logits"))
    torch.testing.assert_close(loaded.module.state_dict(), lenet.state_dict())
    with pytest.raises(ModelError, match=r"this is a 'torch.export' program, 'torchscript' was asked for"):
        load_model(str(path), arch="torchscript")


@pytest.mark.parametrize("trace", [True, False], ids=["traced", "scripted"])
def test_torchscript_weights_go_into_the_architecture_they_fit(tmp_path, trace):
    torch.manual_seed(0)
    lenet = ARCHS["lenet"].build(10, (1, 28, 28)).eval()
    path = script(lenet, tmp_path / "s.pt", trace=trace, shape=(1, 28, 28))
    loaded = load_model(str(path))
    assert (loaded.arch, loaded.taps) == ("lenet", ("conv1", "conv2", "fc1", "logits"))
    assert "its weights fit this architecture, which gives what it gives" in loaded.notes[0]
    images = torch.rand(3, 1, 28, 28, generator=generator(0))
    with torch.no_grad():
        torch.testing.assert_close(loaded.module(images), lenet(images))
    assert load_model(str(path), arch="torchscript").taps == ("output",)


def test_torchscript_that_computes_more_than_the_architecture_is_run_whole(tmp_path):
    class Halved(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = ARCHS["lenet"].build(10, (1, 28, 28))

        def forward(self, x: Tensor) -> Tensor:
            return self.net((x - 0.5) / 0.5)

    loaded = load_model(str(script(Halved().eval(), tmp_path / "s.pt", shape=(1, 28, 28))))
    assert (loaded.arch, loaded.taps, loaded.classes) == ("torchscript", ("output",), 10)
    assert "its weights fit 'lenet', which gives other values" in loaded.notes[0]


@pytest.mark.parametrize("trace", [True, False], ids=["traced", "scripted"])
def test_torchscript_as_one_layer_gives_what_its_network_gives(tmp_path, trace):
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(256, 5)).eval()
    path = script(module, tmp_path / "s.pt", trace=trace)
    if not trace:
        with pytest.raises(ModelError, match=r"images of 1x224x224, 1x32x32.* do not fit the TorchScript program"):
            load_model(str(path))
        return
    loaded = load_model(str(path))
    assert (loaded.arch, loaded.input_shape, loaded.taps, loaded.classes) == ("torchscript", SHAPE, ("output",), 5)
    assert "only its output can be read" in loaded.notes[0]
    eager, program = FeatureExtractor(module, ["4"], device="cpu"), loaded.extractor(device="cpu")
    for epsilon, gradient in ((0.0, "sign"), (0.01, "sign"), (0.01, "standardised")):
        wanted = distances(eager, epsilon, gradient)
        np.testing.assert_allclose(distances(program, epsilon, gradient), wanted, rtol=1e-4, atol=1e-5)
    assert not np.array_equal(distances(program, 0.01, "sign"), distances(program, 0.0, "sign"))
    assert sum(p.numel() for p in loaded.module.parameters()) == sum(p.numel() for p in module.parameters())
    assert not any(p.requires_grad for p in loaded.module.parameters())
    assert copy.deepcopy(loaded.module)(IMAGES).shape == (7, 5)


def test_torch_refuses_hooks_inside_torchscript(tmp_path):
    """Why only the output is offered: were this to change, the layers could be read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit.load is deprecated
        program = torch.jit.load(str(script(net(), tmp_path / "s.pt")))
    with pytest.raises(RuntimeError, match="register_forward_hook is not supported"):
        program.conv.register_forward_hook(lambda *_: None)


def test_torchscript_for_a_number_of_images_and_in_training_mode(tmp_path):
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(100, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(x.reshape(4, 100))

    fixed = Fixed().eval()
    loaded = load_model(str(script(fixed, tmp_path / "s.pt", batch=4)))
    assert "just 4 images at once" in " ".join(loaded.notes)
    with torch.no_grad():
        wanted = nn.functional.linear(IMAGES.flatten(1), fixed.fc.weight, fixed.fc.bias)
    torch.testing.assert_close(loaded.extractor(device="cpu").features(IMAGES)["output"], wanted)
    with pytest.raises(ModelError, match="saved in training mode"):
        load_model(str(script(net().train(), tmp_path / "t.pt")))


@pytest.mark.parametrize("kind", ["pt2", "pt"])
def test_a_prepared_program_keeps_its_facts(tmp_path, kind):
    path = tmp_path / f"p.{kind}"
    loaded = load_model(str(export(net(), path, batch=2) if kind == "pt2" else script(net(), path)))
    taps = ("block", "fc") if kind == "pt2" else ("output",)
    chosen = with_facts(loaded, normalisation=((0.25,), (0.5,)), taps=taps)
    assert prepared_ending(chosen) == f".{kind}"
    for name in ("a", "b"):
        save_prepared(chosen, tmp_path / f"{name}.{kind}", title="mine")
    assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
    again = load_model(str(tmp_path / f"a.{kind}"))
    assert (again.mean, again.std, again.taps, again.input_shape) == ((0.25,), (0.5,), taps, SHAPE)
    with torch.no_grad():
        torch.testing.assert_close(again.extractor(device="cpu").logits(IMAGES), net()((IMAGES - 0.25) / 0.5))
    again = load_model(str(tmp_path / f"a.{kind}"))
    save_prepared(with_facts(again, normalisation=None), tmp_path / f"c.{kind}")
    assert load_model(str(tmp_path / f"c.{kind}")).mean is None


def test_the_command_line_opens_programs_with_the_flag_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FSSD_HOME", str(tmp_path / "home"))
    path = export(net(), tmp_path / "p.pt2")
    monkeypatch.delenv(VARIABLE)
    assert main(["model", str(path)]) == 2
    told = capsys.readouterr().err
    assert "this is an exported program (torch.export), which is code" in told
    assert "--allow-exported-programs" in told
    monkeypatch.setenv(VARIABLE, "")  # and taken back after the test
    flag = "--allow-exported-programs"
    assert main([flag, "model", str(path), "--out", str(tmp_path / "x.safetensors")]) == 2
    assert "its ending must be .pt2" in capsys.readouterr().err
    assert main([flag, "model", str(path), "--normalisation", "0.3 0.4", "--out", str(tmp_path / "mine.pt2")]) == 0
    said = capsys.readouterr().out
    assert "torch.export, 5 classes" in said
    assert "note: it is an exported program (torch.export)" in said
    score = ["score", "--model", str(tmp_path / "mine.pt2"), "--ind", "fmnist:test", "--ood", "mnist"]
    assert main([flag, *score, "--limit", "40", "--fit", "10", "--epsilon", "0.01", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["layers"] == ["block", "act#1", "act#2", "fc"]
    assert 0 <= report["auroc"] <= 1


def test_a_bundle_of_a_program_is_read_back(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FSSD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv(VARIABLE, "")
    path = export(net(), tmp_path / "p.pt2", batch=8)
    flag, bundle = "--allow-exported-programs", str(tmp_path / "d.fssd")
    common = ["--model", str(path), "--ind", "fmnist:test", "--ood", "mnist", "--limit", "40", "--fit", "10"]
    assert main([flag, "export", *common, "--alpha", "uniform", "--tpr", "0.9", "--out", bundle]) == 0
    assert main([flag, "apply", "--bundle", bundle, "--data", "mnist", "--out", str(tmp_path / "v.csv")]) == 0
    capsys.readouterr()


def test_a_progress_bars_lock_that_somebody_keeps_stops_no_program(tmp_path):
    lock = pytest.importorskip("tqdm.std").TqdmDefaultWriteLock.th_lock
    program = load_model(str(export(net(), tmp_path / "p.pt2"))).module
    kept, enough, done = threading.Event(), threading.Event(), threading.Event()

    def keep() -> None:
        with lock:
            kept.set()
            enough.wait(60)

    def run() -> None:
        program(IMAGES)
        done.set()

    for work in (keep, run):
        threading.Thread(target=work, daemon=True).start()
        kept.wait(10)
    try:
        assert done.wait(30)
    finally:
        enough.set()
