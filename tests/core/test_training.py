"""Training: checkpoints at the right steps, seeded, and nothing global is touched."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from fssd_core.data import load_data
from fssd_core.errors import CancelledError, InputError, ModelError
from fssd_core.models import load_model
from fssd_core.runtime import generator, threads
from fssd_core.training import (
    OPTIMISERS,
    Recipe,
    accuracy,
    build,
    checkpoint_steps,
    cross_entropy,
    save_checkpoint,
    train,
)


@pytest.fixture(autouse=True)
def one_thread():
    with threads(1):
        yield


def fashion(count: int = 80) -> tuple[torch.Tensor, torch.Tensor]:
    data = load_data("fmnist:train").sample(count, seed=0)
    return torch.from_numpy(data.images.copy()).unsqueeze(1), torch.from_numpy(data.labels.copy())


def run(seed: int = 0, arch: str = "lenet", **options: object):
    images, labels = fashion()
    draws = generator(seed)
    module = build(arch, classes=10, input_shape=(1, 28, 28), generator=draws)
    settings = {"recipe": Recipe(epochs=2, batch_size=16), "device": "cpu"} | options
    return module, list(train(module, images, labels, generator=draws, **settings))  # type: ignore[arg-type]


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[k], b[k]) for k in a)


def test_checkpoint_steps_are_log_spaced_then_by_epoch():
    assert checkpoint_steps(938, 3) == (0, 5, 10, 20, 50, 100, 200, 400, 900, 938, 1876, 2814)
    assert checkpoint_steps(20, 2) == (0, 5, 10, 20, 40)
    assert checkpoint_steps(1, 1) == (0, 1)


def test_checkpoints_come_at_the_wanted_steps_with_their_epoch_and_loss():
    module, points = run()
    assert [p.step for p in points] == [0, 5, 10]
    assert [p.epoch for p in points] == [0, 1, 2]
    assert math.isnan(points[0].loss)
    assert 0 < points[2].loss < points[1].loss < 3
    assert same(points[-1].state, module.state_dict())
    assert not same(points[0].state, points[1].state)


def test_training_ends_after_the_last_wanted_step():
    seen: list[tuple[int, int, str]] = []
    _, points = run(checkpoints=[3, 0, 3], progress=lambda *a: seen.append(a))
    assert [p.step for p in points] == [0, 3]
    assert seen == [(1, 3, "steps"), (2, 3, "steps"), (3, 3, "steps")]


def test_the_same_seed_gives_the_same_weights_and_another_one_does_not():
    a, b, c = run(0)[1], run(0)[1], run(1)[1]
    assert all(same(x.state, y.state) for x, y in zip(a, b, strict=True))
    assert not same(a[0].state, c[0].state)


def test_global_generators_are_neither_used_nor_changed():
    # dropout draws from torch's global generator, so the authors' network is the one to look at
    results = []
    for outside in (1, 2):
        torch.manual_seed(outside)
        np.random.seed(outside)  # noqa: NPY002
        before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
        results.append(run(arch="lenet-authors", checkpoints=[2])[1][-1].state)
        assert torch.equal(torch.get_rng_state(), before)
        assert np.array_equal(np.random.get_state()[1], numpy_before)  # type: ignore[index]  # noqa: NPY002
    assert same(*results)


def test_dropout_differs_from_step_to_step():
    masks = []

    def spy(module: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        masks.append(torch.nn.functional.dropout(torch.ones(64)))
        return cross_entropy(module, images, labels)

    run(loss=spy, checkpoints=[2])
    assert not torch.equal(masks[0], masks[1])


@pytest.mark.parametrize("clip", [0.0, 0.01])
def test_one_step_is_the_optimisers_own(clip):
    images, labels = fashion(8)
    draws = generator(0)
    module = build("mlp", classes=10, input_shape=(1, 28, 28), generator=draws)
    other = build("mlp", classes=10, input_shape=(1, 28, 28), generator=generator(5))
    other.load_state_dict(module.state_dict())
    recipe = Recipe(epochs=1, batch_size=8, optimiser="sgd", lr=0.1, weight_decay=0.01, clip=clip)
    list(train(module, images, labels, generator=draws, recipe=recipe, mean=[0.5], std=[0.25], device="cpu"))
    optimiser = torch.optim.SGD(other.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    torch.nn.functional.cross_entropy(other((images.float() / 255 - 0.5) / 0.25), labels).backward()
    length = torch.stack([w.grad.square().sum() for w in other.parameters()]).sum().sqrt()
    assert length > 0.01
    for weights in other.parameters() if clip else ():
        weights.grad *= clip / length
    optimiser.step()
    for name, tensor in other.state_dict().items():
        torch.testing.assert_close(module.state_dict()[name], tensor)


def test_uint8_and_float_images_train_the_same_network():
    images, labels = fashion(64)
    states = []
    for given in (images, images.float() / 255):
        draws = generator(0)
        module = build("mlp", classes=10, input_shape=(1, 28, 28), generator=draws)
        list(train(module, given, labels, generator=draws, recipe=Recipe(epochs=1), device="cpu"))
        states.append(module.state_dict())
    assert same(*states)


def test_the_learning_rate_falls_by_gamma_an_epoch(monkeypatch):
    made: list[torch.optim.Optimizer] = []
    plain = OPTIMISERS["sgd"]
    monkeypatch.setitem(OPTIMISERS, "sgd", lambda w, r: made.append(plain(w, r)) or made[0])
    rates: list[float] = []
    run(
        recipe=Recipe(epochs=3, batch_size=16, optimiser="sgd", lr=0.1, gamma=0.5),
        progress=lambda done, total, what: rates.append(made[0].param_groups[0]["lr"]),
    )
    assert rates == pytest.approx([0.1] * 4 + [0.05] * 5 + [0.025] * 5 + [0.0125])


def test_training_learns_something():
    images, labels = fashion(2000)
    module = build("mlp", classes=10, input_shape=(1, 28, 28), generator=generator(0))
    before = accuracy(module, images, labels)
    recipe = Recipe(epochs=3, batch_size=50, optimiser="adamw", lr=2e-3)
    list(train(module, images, labels, generator=generator(0), recipe=recipe, device="cpu"))
    assert before < 0.3
    assert accuracy(module, images, labels) > 0.7


def test_accuracy_is_the_share_of_right_answers_and_keeps_the_mode():
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.tensor([0.0, 1.0, 0.0]))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert not self.training
            return self.bias.expand(len(x), 3)

    module = Constant().train()
    labels = torch.tensor([1, 1, 0, 2] * 600)
    assert accuracy(module, torch.zeros(2400, 1, 2, 2), labels) == 0.5
    assert module.training


def test_training_can_be_cancelled():
    def stop(done: int, total: int, what: str) -> None:
        if done == 2:
            raise CancelledError("stopped")

    with pytest.raises(CancelledError):
        run(progress=stop)


def test_a_diverging_training_is_an_error():
    with pytest.raises(ModelError, match="loss is not finite at step 5; use a smaller learning rate"):
        run(recipe=Recipe(epochs=2, batch_size=16, optimiser="sgd", lr=1e30))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimiser": "adadelt"}, "no optimiser 'adadelt'; did you mean 'adadelta'"),
        ({"epochs": 0}, "epochs and batch_size must be at least 1"),
        ({"lr": 0.0}, "lr and gamma positive"),
        ({"weight_decay": -1.0}, "weight_decay not negative"),
        ({"clip": -1.0}, "nor clip"),
        ({"clip": float("nan")}, "nor clip"),
    ],
)
def test_recipes_that_cannot_be(options, message):
    with pytest.raises(InputError, match=message):
        Recipe(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"checkpoints": [11]}, r"checkpoints \[11\] were asked for; 2 epochs have steps 0 to 10"),
        ({"checkpoints": []}, "have steps 0 to 10"),
        ({"mean": [0.5]}, "must be given together"),
    ],
)
def test_bad_arguments_are_refused_before_the_first_step(options, message):
    with pytest.raises(InputError, match=message):
        run(**options)


def test_images_and_labels_must_fit():
    module = build("mlp", classes=10, input_shape=(1, 28, 28), generator=generator(0))
    for images, labels in (
        (torch.zeros(0, 1, 28, 28), torch.zeros(0).long()),
        (torch.zeros(3, 1, 28, 28), torch.zeros(2)),
    ):
        with pytest.raises(InputError, match="give one label an image"):
            train(module, images, labels, generator=generator(0))  # at once, not at the first checkpoint


def test_a_saved_checkpoint_is_ordinary_safetensors_and_loads_again(tmp_path):
    module, points = run(checkpoints=[0])
    path = tmp_path / "deep" / "step-0.safetensors"
    facts = {"arch": "lenet", "mean": (0.25,), "std": [0.5], "step": 0, "classes": ("a", "b"), "title": "t"}
    save_checkpoint(path, points[0].state, facts)
    assert same(load_file(path), module.state_dict())
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    assert metadata == {k: v if isinstance(v, str) else json.dumps(v) for k, v in facts.items()}
    loaded = load_model(str(path))
    assert (loaded.step, loaded.mean, loaded.std) == (0, (0.25,), (0.5,))
    first = path.read_bytes()
    save_checkpoint(path, dict(reversed(points[0].state.items())), dict(reversed(facts.items())))
    assert path.read_bytes() == first
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_batch_norm_counters_and_halves_are_saved(tmp_path):
    state = {"n": torch.tensor(7), "h": torch.ones(3).half(), "t": torch.arange(6.0).reshape(2, 3).T}
    save_checkpoint(tmp_path / "x.safetensors", state, {})
    assert same(load_file(tmp_path / "x.safetensors"), state)
    with pytest.raises(ModelError, match=r"'c' of type torch\.complex64"):
        save_checkpoint(tmp_path / "y.safetensors", {"c": torch.zeros(1, dtype=torch.complex64)}, {})


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path, monkeypatch):
    import os

    from fssd_core.atomic import write_bytes

    write_bytes(tmp_path / "a", b"old")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_bytes(tmp_path / "a", b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"
