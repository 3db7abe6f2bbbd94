"""Losses: exact numbers on tiny inputs, plain loops as oracles, no labels where none may be used."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fssd_core.errors import InputError
from fssd_core.losses import (
    LOSSES,
    InstanceDiscrimination,
    augment,
    cross_entropy,
    hidden,
    nt_xent,
    semi_hard,
    squared_error,
    triplet,
)
from fssd_core.models import ARCHS
from fssd_core.runtime import generator
from fssd_core.training import Recipe, Training, build, train


class Fixed(nn.Module):
    """Gives its parameter as hidden layer and logits, whatever it is fed."""

    taps = ("fc", "logits")

    def __init__(self, values: list[list[float]]) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.tensor(values))
        self.fc, self.logits = nn.Identity(), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(self.fc(self.values[: len(x)]))


NOTHING = torch.zeros(2, 1, 4, 4)


def test_cross_entropy_and_squared_error_by_hand():
    module = Fixed([[0.0, 0.0], [math.log(3), 0.0]])
    labels = torch.tensor([0, 1])
    assert cross_entropy(module, NOTHING, labels).item() == pytest.approx((math.log(2) + math.log(4)) / 2)
    expected = (1 + 0 + math.log(3) ** 2 + 1) / 2  # ||(0,0) - (1,0)||^2 and ||(log 3, 0) - (0, 1)||^2
    assert squared_error(module, NOTHING, labels).item() == pytest.approx(expected)


def corners(*degrees: float) -> Tensor:
    angle = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    return torch.stack([angle.cos(), angle.sin()], 1)


def test_semi_hard_triplets_by_hand():
    # squared distance of two unit vectors: 2 - 2 cos
    points, labels = corners(0, 60, 90, 180), torch.tensor([0, 0, 1, 1])
    between = lambda a, b: 2 - 2 * math.cos(math.radians(a - b))  # noqa: E731
    terms = [
        between(0, 60) - between(0, 90),  # anchor 0: both negatives lie beyond the partner, the nearer one is 90
        between(60, 0) - between(60, 180),  # anchor 60: 90 lies nearer than the partner, 180 beyond it
        between(90, 180) - between(90, 0),  # anchor 90: none beyond the partner (2 > 2 is false), the farthest is 0
        between(180, 90) - between(180, 60),
    ]
    wanted = sum(max(0.0, 0.2 + t) for t in terms) / 4
    assert semi_hard(points, labels).item() == pytest.approx(wanted)
    assert wanted == pytest.approx(0.05, abs=1e-12)  # 0.2 from anchor 90 alone


def by_loops(points: Tensor, labels: Tensor, margin: float) -> float:
    distance = torch.cdist(points, points) ** 2
    terms = []
    for a in range(len(points)):
        others = [n for n in range(len(points)) if labels[n] != labels[a]]
        for p in range(len(points)):
            if p == a or labels[p] != labels[a] or not others:
                continue
            beyond = [float(distance[a, n]) for n in others if distance[a, n] > distance[a, p]]
            negative = min(beyond) if beyond else max(float(distance[a, n]) for n in others)
            terms.append(max(0.0, margin + float(distance[a, p]) - negative))
    return sum(terms) / len(terms) if terms else 0.0


@pytest.mark.parametrize("seed", range(4))
def test_semi_hard_triplets_are_those_of_plain_loops(seed):
    draws = generator(seed)
    points = F.normalize(torch.randn(17, 3, generator=draws, dtype=torch.float64), dim=1)
    labels = torch.randint(4, (17,), generator=draws)
    for margin in (0.0, 0.2, 1.0):
        assert semi_hard(points, labels, margin=margin).item() == pytest.approx(by_loops(points, labels, margin))


@pytest.mark.parametrize("labels", [[0, 1, 2], [1, 1, 1]])
def test_a_batch_without_triplets_costs_nothing_and_can_be_differentiated(labels):
    points = corners(0, 50, 100).requires_grad_()
    value = semi_hard(points, torch.tensor(labels))
    value.backward()
    assert value.item() == 0
    assert points.grad is not None
    assert points.grad.abs().max() == 0


def test_the_triplet_loss_looks_at_directions_of_the_hidden_layer_only():
    labels = torch.tensor([0, 0, 1, 1])
    near = Fixed([[1.0, 0.0], [0.5, 0.8], [0.0, 1.0], [-1.0, 0.1]])
    far = Fixed([[3.0, 0.0], [0.5, 0.8], [0.0, 9.0], [-1.0, 0.1]])
    images = torch.zeros(4, 1, 4, 4)
    assert triplet(near, images, labels).item() == pytest.approx(triplet(far, images, labels).item())
    assert triplet(near, images, labels).item() == pytest.approx(
        by_loops(F.normalize(near.values.detach().double(), dim=1), labels, 0.2), abs=1e-6
    )


def test_nt_xent_by_hand():
    one = corners(0)
    assert nt_xent(one, corners(70)).item() == pytest.approx(0, abs=1e-12), "one image: its other view is all there is"
    # two images, views alike, images at right angles: each view sees its partner (s = 1) and two others (s = 0)
    points = corners(0, 90)
    expected = -math.log(math.exp(1 / 0.5) / (math.exp(1 / 0.5) + 2))
    assert nt_xent(points, points, temperature=0.5).item() == pytest.approx(expected)


def test_nt_xent_is_that_of_plain_loops():
    draws = generator(3)
    first, second = (F.normalize(torch.randn(5, 4, generator=draws, dtype=torch.float64), dim=1) for _ in "ab")
    views = torch.cat([first, second])
    total = 0.0
    for i in range(10):
        alike = [math.exp(float(views[i] @ views[k]) / 0.2) if k != i else 0.0 for k in range(10)]
        total -= math.log(alike[(i + 5) % 10] / sum(alike))
    assert nt_xent(first, second).item() == pytest.approx(total / 10)


def test_augmentations_are_seeded_and_can_be_none_at_all():
    images = torch.rand(3, 2, 8, 8, generator=generator(0))
    still = augment(images, generator=generator(1), crop=1, shift=0, noise=0)
    torch.testing.assert_close(still, images, atol=1e-6, rtol=0)
    a, b, c = (augment(images, generator=generator(s)) for s in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert a.shape == images.shape
    grey = torch.full((2, 1, 8, 8), 0.25)
    assert torch.allclose(augment(grey, noise=0, generator=generator(0)), grey), "edges are repeated, nothing is padded"
    assert (augment(grey, noise=0.1, generator=generator(0)) - grey).std() == pytest.approx(0.1, rel=0.2)


def test_a_crop_shows_the_middle_larger():
    ramp = torch.linspace(0, 1, 8).expand(1, 1, 8, 8)
    crop = augment(ramp, crop=0.5, shift=0, noise=0, generator=generator(0))
    scale = 0.5 + 0.5 * torch.rand(3, 1, generator=generator(0))[0].item()
    assert (crop[..., -1] - crop[..., 0]).mean().item() == pytest.approx(scale, rel=1e-5)


@pytest.mark.parametrize("name", [n for n, e in ARCHS.items() if e.small])
def test_every_loss_trains_every_small_architecture(name):
    for loss in LOSSES.values():
        module = build(name, classes=3, input_shape=(1, 28, 28), generator=generator(0))
        images = torch.rand(12, 1, 28, 28, generator=generator(1))
        labels = torch.arange(12) % 3
        before = {k: v.clone() for k, v in module.named_parameters()}
        made = loss.make(module, (1, 28, 28))
        recipe = Recipe(epochs=1, batch_size=12, optimiser="sgd", lr=0.5)
        list(train(module, images, labels, generator=generator(2), recipe=recipe, loss=made, device="cpu"))
        last = module.taps[-1]
        moved = {k for k, v in module.named_parameters() if not torch.equal(v, before[k])}
        trunk = {k for k in before if not k.startswith(f"{last}.")}
        assert moved >= {k for k in trunk if not k.endswith("bias")}, (loss.name, trunk - moved)
        assert any(k.startswith(f"{last}.") for k in moved) == loss.trains_logits, loss.name


def test_instance_discrimination_never_sees_a_label_and_trains_its_head():
    results = []
    for labels in (torch.arange(8), torch.full((8,), -1)):
        module = build("mlp", classes=10, input_shape=(1, 6, 6), generator=generator(0))
        with torch.random.fork_rng():
            torch.manual_seed(0)
            loss = LOSSES["instance"].make(module, (1, 6, 6))
        assert isinstance(loss, InstanceDiscrimination)
        head = loss.head.weight.detach().clone()
        images = torch.rand(8, 1, 6, 6, generator=generator(1))
        recipe = Recipe(epochs=3, batch_size=8, optimiser="adamw", lr=1e-3)
        points = list(train(module, images, labels, generator=generator(2), recipe=recipe, loss=loss, device="cpu"))
        assert not torch.equal(loss.head.weight, head)
        assert set(points[-1].state) == set(module.state_dict()), "the head is no part of the checkpoint"
        results.append(points[-1].state)
    assert all(torch.equal(results[0][k], results[1][k]) for k in results[0])


def test_hidden_is_the_layer_before_the_logits():
    module = build("lenet", classes=10, input_shape=(1, 28, 28), generator=generator(0)).eval()
    x = torch.rand(2, 1, 28, 28, generator=generator(1))
    assert torch.equal(module.logits(hidden(module, x)), module(x))
    with pytest.raises(InputError, match="one layer only"):
        hidden(nn.Sequential(nn.Linear(2, 2)), torch.zeros(1, 2))


@pytest.mark.parametrize(("loss", "optimiser"), [("cross-entropy", "adadelta"), ("instance", "adamw"), ("l2", "sgd")])
def test_a_training_taken_up_again_goes_on_exactly(loss, optimiser):
    images = torch.rand(50, 1, 28, 28, generator=generator(1))
    labels = torch.arange(50) % 10

    def fresh() -> Training:
        draws = generator(0)
        module = build("lenet", classes=10, input_shape=(1, 28, 28), generator=draws, dropout=0.5)
        with torch.random.fork_rng():
            torch.manual_seed(5)
            made = LOSSES[loss].make(module, (1, 28, 28))
        recipe = Recipe(epochs=3, batch_size=16, optimiser=optimiser, lr=0.01, gamma=0.5)
        return Training(module, images, labels, generator=draws, recipe=recipe, loss=made, device="cpu")

    whole = fresh()
    for _ in range(11):
        whole.advance()
    first = fresh()
    for _ in range(6):  # in the middle of the second epoch
        first.advance()
    kept = first.state()
    second = fresh()
    second.restore({k: v.clone() for k, v in kept.items()})
    assert second.step == 6
    for _ in range(5):
        second.advance()
    a, b = whole.checkpoint(), second.checkpoint()
    assert (a.step, a.epoch, a.loss) == (b.step, b.epoch, b.loss)
    assert all(torch.equal(a.state[k], b.state[k]) for k in a.state)
    assert all(torch.equal(whole.state()[k], v) for k, v in second.state().items())
