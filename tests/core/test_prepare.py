"""Facts of a checkpoint, checked and kept in one file, and its normalisation looked at; `fssd model` does the same."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from fssd_core.cli import main
from fssd_core.data import load_data
from fssd_core.errors import InputError, ModelError
from fssd_core.models import load_model
from fssd_core.models.factories import VARIABLE
from fssd_core.models.normalisation import Trial, preset_name, preset_pair, presets, try_normalisations, verdict
from fssd_core.models.prepare import save_prepared, with_facts
from fssd_core.runtime import generator


def test_what_is_prepared_is_read_again_without_a_question(tmp_path):
    model = load_model("demo/lenet")
    changed = with_facts(model, normalisation=((0.25,), (0.5,)), taps=("conv2:channels", "fc1"))
    save_prepared(changed, tmp_path / "w.safetensors", title="mine")
    again = load_model(str(tmp_path / "w.safetensors"))
    assert (again.arch, again.taps, again.mean, again.std) == ("lenet", ("conv2:channels", "fc1"), (0.25,), (0.5,))
    assert (again.input_shape, again.classes, again.step) == ((1, 28, 28), 10, model.step)
    assert again.metadata["from"] == model.weight_hash
    images = torch.rand(3, 1, 28, 28, generator=generator(0))
    found = again.extractor(device="cpu").features(images)
    expected = model.extractor(["conv2"], device="cpu").maps((images - 0.25) / 0.5)["conv2"]
    torch.testing.assert_close(found["conv2:channels"], expected.mean((2, 3)).detach())


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"input_shape": (1, 20, 20)}, "images of shape 1x20x20.*do not fit this model"),
        ({"input_shape": (1, 0, 28)}, "input 1x0x28 was given"),
        ({"input_shape": (1, 5000, 28)}, "height x width, 1 to 1024"),
        ({"normalisation": ((0.5,) * 3, (0.5,) * 3)}, r"each has one number a channel \(1\)"),
        ({"normalisation": ((0.5,), (0.0,))}, "std above 0"),
        ({"taps": ()}, "0 layers were chosen; choose 1 to 64"),
        ({"taps": ("conv3",)}, "no layer 'conv3'"),
        ({"taps": ("conv1:max",)}, "no reading 'max'"),
    ],
)
def test_facts_that_do_not_fit_are_refused(facts, message):
    with pytest.raises(ModelError, match=message):
        with_facts(load_model("demo/lenet"), **facts)


def test_presets_have_one_number_a_channel_and_are_found_again():
    for channels in (1, 3):
        for name, preset in presets(channels).items():
            assert preset_pair(name, channels) == preset.pair
            assert preset_name(preset.pair, channels) == name
            assert preset.pair is None or {len(part) for part in preset.pair} == {channels}
    assert list(presets(2)) == ["none"]
    with pytest.raises(InputError, match="no normalisation for 3 channels 'imagnet'; did you mean 'imagenet'"):
        preset_pair("imagnet", 3)


def test_a_wrong_normalisation_of_the_demo_is_noticed_with_labels():
    model, images = load_model("demo/lenet"), load_data("fmnist:test")
    pairs = {name: preset.pair for name, preset in presets(1).items()}
    names = {pair: name for name, pair in pairs.items()}
    by_name = dict(zip(pairs, try_normalisations(model, images, list(pairs.values())), strict=True))
    assert by_name["none"].accuracy > 0.88
    for name, trial in by_name.items():
        right, words = verdict([trial, *(t for t in by_name.values() if t is not trial)], names)
        assert right == (name == "none"), words
        assert ("With 'none' it is" in words) == (name != "none")


def test_an_untrained_network_is_at_chance_and_its_noise_gives_it_away_without_labels():
    model, images = load_model("demo/lenet@0"), load_data("fmnist:test")
    (trial,) = try_normalisations(model, images, [None])
    right, words = verdict([trial], {None: "none"})
    assert not right
    assert "guessing gives 10.0%" in words
    (trial,) = try_normalisations(model, images.take(np.arange(50)), [None])
    assert trial.count == 50
    assert trial.chance == pytest.approx(0.1 + 3 * np.sqrt(0.09 / 50))


def trial(accuracy: float | None, confidence: tuple[float, float], norm: tuple[float, float]) -> Trial:
    return Trial(None, 100, 10, accuracy, confidence, norm)


@pytest.mark.parametrize(
    ("one", "right"),
    [
        (trial(None, (0.9, 0.5), (4, 2)), True),
        (trial(None, (0.5, 0.9), (4, 2)), False),
        (trial(None, (0.9, 0.5), (2, 4)), False),
        (trial(0.19, (0.9, 0.5), (4, 2)), False),  # chance 0.1 and three errors of 0.03
        (trial(0.20, (0.5, 0.9), (2, 4)), True),  # labels are the better sign
    ],
)
def test_the_rules_of_the_verdict(one, right):
    said, words = verdict([one], {None: "none"})
    assert said == right
    assert ("without labels" in words) == (right and one.accuracy is None)


def test_the_command_shows_and_keeps_a_checkpoint(tmp_path, capsys):
    out = tmp_path / "mine.safetensors"
    arguments = ["model", "demo/lenet", "--normalisation", "fmnist", "--layers", "conv2:channels,logits", "--json",
                 "--check", "fmnist:test", "--out", str(out)]  # fmt: skip
    assert main(arguments) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["arch"], report["parameters"], report["input"]) == ("lenet", 80_202, [1, 28, 28])
    assert report["macs"] == 576 * 16 * 25 + 64 * 32 * 400 + 512 * 128 + 1280
    assert [row["name"] for row in report["modules"]] == ["conv2", "logits"]
    assert not report["check"]["right"]
    assert "With 'none' it is" in report["check"]["words"]
    assert load_model(str(out)).taps == ("conv2:channels", "logits")
    assert main(["model", str(out), "--all"]) == 0
    assert "* conv2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input", "32"], "it is channels x height x width, as 3x32x32"),
        (["--normalisation", "0.5 0.5 0.5"], "has 3 numbers; give 1 means"),
        (["--normalisation", "imagenet"], "no normalisation for 1 channels 'imagenet'"),
        (["--out", "x.pt"], "its ending must be .safetensors"),
        (["--part", "ema"], "has no parts; leave 'ema' out"),
    ],
)
def test_bad_arguments_are_one_clear_line(arguments, message, capsys, tmp_path):
    save_prepared(load_model("demo/lenet"), tmp_path / "w.safetensors")
    assert main(["model", str(tmp_path / "w.safetensors"), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_factory_of_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "nets_of_mine.py").write_text(
        "from torch import nn\ndef make():\n    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))\n"
        "    net.input_shape = (1, 28, 28)\n    return net\n"
    )
    assert main(["--factory", "nets_of_mine:make", "model", "nets_of_mine:make", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parameters"] == 7850
    assert main(["--factory", "nets_of_mine:nothing", "list", "losses"]) == 2
    assert "cannot be imported" in capsys.readouterr().err
