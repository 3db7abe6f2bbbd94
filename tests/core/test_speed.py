"""Moving speed and kernel as study steps, and every sentence made from them on numbers set by hand."""

from __future__ import annotations

import dataclasses
import io
import json

import numpy as np
import pytest
import torch

from fssd_core import worker
from fssd_core.data import ImageSet, load_data
from fssd_core.dynamics import Dynamics, dynamics
from fssd_core.errors import CancelledError, DataError, InputError
from fssd_core.kernel import Kernel, kernel, stored_kernel
from fssd_core.kernel_words import kernel_statements
from fssd_core.models import load_model
from fssd_core.runtime import generator
from fssd_core.series import at_step
from fssd_core.singularity import uniform_noise
from fssd_core.speed import Speed, speed, stored_speed, training_images
from fssd_core.speed_words import headline, outcome, ratios, statements
from fssd_core.store import Store
from fssd_core.study import Study
from fssd_core.study_projection import projection_sets
from fssd_core.types import PointGroup
from tests.core.series import STEPS, short_series


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Study:
    return dataclasses.replace(short_series(tmp_path_factory.mktemp("series")), layers=("fc1", "logits"))


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def made(study, store) -> Speed:
    return speed(study, train_images=60, store=store)


def test_the_exact_speed_is_a_small_real_step_of_gradient_descent(study, made):
    """theta - lr g applied to the demo network itself; its features' way over lr is the speed."""
    train = training_images(study, count=60)
    noise = uniform_noise((1, 28, 28), 20, generator=generator(0)).double()
    loaded = load_model(study.model, step=100)
    net = loaded.module.double()
    loss = torch.nn.functional.cross_entropy(net(train.tensor().double()), torch.tensor(train.labels))
    loss.backward()
    size = torch.stack([p.grad.norm() for p in net.parameters()]).norm()
    assert made.train == "fmnist:train"
    assert made.loss[1] == pytest.approx(loss.item(), rel=1e-4)
    assert made.gradient[1] == pytest.approx(size.item(), rel=1e-4)
    groups = {ref: s.tensor().double() for ref, s in projection_sets(study).items()} | {"noise": noise}
    extractor = loaded.extractor(("fc1", "logits"), device="cpu")

    def features() -> dict[str, dict[str, torch.Tensor]]:
        with torch.no_grad():
            return {ref: extractor.taps(x) for ref, x in groups.items()}

    before, lr = features(), 1e-7
    with torch.no_grad():
        for weight in net.parameters():
            weight -= lr * weight.grad
    after = features()
    for k, layer in enumerate(made.layers):
        star = (after["noise"][layer].mean(0) - before["noise"][layer].mean(0)) / lr
        assert made.fss[1, k] == pytest.approx(float(star.norm()), rel=2e-3)
        for g, (ref, _) in enumerate(made.groups):
            way = (after[ref][layer] - before[ref][layer]) / lr
            assert made.exact[1, k, g] == pytest.approx(float(way.norm(dim=1).mean()), rel=2e-3)
            assert made.relative[1, k, g] == pytest.approx(float((way - star).norm(dim=1).mean()), rel=2e-3)
            offsets = [f[ref][layer] - f["noise"][layer].mean(0) for f in (before, after)]
            outward = (offsets[1].norm(dim=1) - offsets[0].norm(dim=1)) / lr
            assert made.outward[1, k, g] == pytest.approx(float(outward.mean()), rel=5e-3, abs=1e-3)


def test_controls_have_their_shape_and_differ(made):
    assert made.control.shape == made.control_relative.shape == (2, 4, 3, 2, 4)
    assert made.counts == (40, 20, 20, 20)
    assert (made.control > 0).all()
    assert not np.allclose(made.control[0], made.control[1])
    spread = made.control.std(1) / made.control.mean(1)
    assert spread.max() < 0.7, "speeds in random directions agree roughly between draws"


def test_through_the_store_the_worker_and_cancelling(study, made, store, tmp_path):
    again = stored_speed(study, train_images=60, store=store)
    for field in dataclasses.fields(Speed):
        one, two = getattr(again, field.name), getattr(made, field.name)
        assert np.array_equal(one, two) if isinstance(one, np.ndarray) else one == two, field.name
    assert stored_speed(study, train_images=61, store=store) is None
    assert stored_speed(dataclasses.replace(study, seed=1), train_images=60, store=store) is None
    short = dataclasses.replace(study, points=8, ood=(), noise_samples=4)
    events = io.StringIO()
    calls = [("speed", {}), ("kernel", {"layer": "logits"}), ("film", {"layer": "logits", "view": "pca"})]
    for number, (call, args) in enumerate(calls):
        request = {"id": number, "call": call, "study": short.to_json(), "args": args, "store": str(tmp_path)}
        worker.serve(io.StringIO(json.dumps(request) + "\n"), events)
    told = [json.loads(line) for line in events.getvalue().splitlines()]
    assert [e["id"] for e in told if e.get("ok")] == [0, 1, 2]
    for number in range(3):
        assert max(e["done"] / e["total"] for e in told if e["id"] == number and "done" in e) == 1
    assert stored_speed(short, store=Store(tmp_path)).counts == (8, 4)

    def stop(done: int, total: int, what: str) -> None:
        if done:
            raise CancelledError("stop")

    with pytest.raises(CancelledError):
        speed(short, store=Store(tmp_path / "other"), progress=stop)
    assert not list((tmp_path / "other").rglob("*.npz"))


def test_training_images_are_the_train_part_or_ind_itself(study, tmp_path):
    assert training_images(study, count=12).name == "fmnist:train"
    some = load_data("fmnist:test").sample(30, seed=0)
    np.savez(tmp_path / "with.npz", images=some.images, labels=some.labels)
    np.savez(tmp_path / "without.npz", images=some.images)
    own = dataclasses.replace(study, ind=str(tmp_path / "with.npz"))
    assert len(training_images(own, count=12)) == 12
    with pytest.raises(DataError, match="has no labels, so the training loss and its gradient are unknown"):
        training_images(dataclasses.replace(study, ind=str(tmp_path / "without.npz")))


def test_labels_the_network_does_not_know_are_refused(study, store, tmp_path):
    some = load_data("fmnist:test").sample(30, seed=0)
    np.savez(tmp_path / "far.npz", images=some.images, labels=some.labels + 5)
    with pytest.raises(InputError, match="outputs; give the images it was trained on"):
        speed(dataclasses.replace(study, ind=str(tmp_path / "far.npz")), store=store)


def by_id(ref: str, rows: np.ndarray) -> ImageSet:
    """The images of a set with these stable ids, in that order."""
    full = load_data(ref)
    return full.take(np.array([int(np.flatnonzero(full.rows == row)[0]) for row in rows]))


@pytest.fixture(scope="module")
def block(study, store) -> Kernel:
    return kernel(at_step(study, 13132), "logits", store=store)


def test_the_kernel_block_is_sorted_normalised_and_kept(study, store, block):
    assert block.raw.shape == block.cosine.shape == block.pull.shape == block.outward.shape == (64, 32)
    assert [(g.kind, g.stop - g.start) for g in block.groups] == [("ind", 16), ("ood", 16), ("ood", 16), ("noise", 16)]
    assert (np.diff(block.train_labels) >= 0).all()
    assert (np.diff(block.labels[:16]) >= 0).all()
    assert np.abs(block.cosine).max() <= 1 + 1e-5
    np.testing.assert_array_equal(block.train_labels, by_id("fmnist:train", block.train_rows).labels)
    np.testing.assert_array_equal(block.labels[:16], load_data("fmnist:test").labels[block.groups[0].rows])
    assert (block.error, block.step) == (0.0, 13132)
    assert block.reduction == "the trace over all 10 outputs"
    again = stored_kernel(at_step(study, 13132), "logits", store=store)
    np.testing.assert_array_equal(again.pull, block.pull)
    assert stored_kernel(at_step(study, 0), "logits", store=store) is None
    with pytest.raises(InputError, match="did you mean 'logits'"):
        kernel(study, "logit", store=store)


def test_a_pull_is_what_training_on_one_image_does(study, block):
    """One real step on training image m alone moves the first ind image by its pull."""
    loaded = load_model(study.model, step=13132)
    net, column = loaded.module.double(), 7
    train = by_id("fmnist:train", block.train_rows[[column]])
    image = by_id("fmnist:test", block.groups[0].rows[:1]).tensor().double()
    torch.nn.functional.cross_entropy(net(train.tensor().double()), torch.tensor(train.labels)).backward()
    with torch.no_grad():
        before = net(image)
        lr = 1e-7
        for weight in net.parameters():
            weight -= lr * weight.grad
        moved = (net(image) - before) / lr
    assert float(moved.norm()) == pytest.approx(float(block.pull[0, column]), rel=1e-2, abs=1e-6)


def by_hand(exact: np.ndarray, control: np.ndarray | None = None, *, sd: float = 0.1, steps=(0, 5, 100, 1000)) -> Speed:
    """Speeds of ind 2 throughout and of one ood set 2 * exact (T,), 100 images each, in one layer."""
    count = len(steps)
    mean = np.stack([np.full(count, 2.0), 2 * np.asarray(exact), np.ones(count)], axis=1)[:, None]  # (T, 1, 3)
    drawn = np.ones((2, 1, count, 1, 3))
    drawn[..., 1] = 1.0 if control is None else np.asarray(control)[:, None]
    zero = np.zeros(count)
    return Speed(
        tuple(steps), ("fc",), (("a", "ind"), ("b", "ood"), ("noise", "noise")), (100, 100, 100), "a", 10, zero, zero,
        mean, sd * mean, mean, sd * mean, mean, mean, zero[:, None], ("whole", "by tensor"), drawn, drawn,
    )  # fmt: skip


def told(made: Speed, about: str = "b") -> tuple[str, str]:
    return next((s.verdict, s.text) for s in statements(made, "fc") if s.about == about)


def test_intervals_are_the_delta_methods():
    found = ratios(by_hand(np.array([0.5, 1, 1, 2])))
    width = 1.959963985 * np.sqrt(2 * 0.1**2 / 100)
    assert found.ratio[:, 0, 1] == pytest.approx([0.5, 1, 1, 2])
    assert found.low[:, 0, 1] == pytest.approx(np.array([0.5, 1, 1, 2]) * np.exp(-width))
    assert found.high[:, 0, 1] == pytest.approx(np.array([0.5, 1, 1, 2]) * np.exp(width))
    assert (found.low[:, 0, 0] == 1).all()


@pytest.mark.parametrize(
    ("exact", "verdict", "words"),
    [
        ([0.5, 0.6, 0.5, 0.4], "holds", "ind moves faster than b at all 4 checkpoints: b has 0.50 (0.40 to 0.60)"),
        ([1.5, 1.2, 0.5, 0.3], "holds", "from step 100 on: b has 0.40 (0.30 to 0.50) of ind's speed. Before that it is "
         "slower than ind at 0 and faster at 2 of 2"),
        ([1.5, 1.2, 0.5, 1.4], "fails", "b moves faster than ind at 3 of 4 checkpoints, with 1.30 (0.50 to 1.50)"),
        ([0.5, 1.5, 0.5, 1.5], "mixed", "no lasting order: slower than ind at 2 of 4 checkpoints, faster at 2"),
        ([0.5, 0.5, 0.5, 1.0], "holds", "at 3 of 4 checkpoints and never slower"),
        ([1.0, 1.0, 1.0, 1.0], "mixed", "within the error at 4"),
        ([0.5, 0.5, np.nan, 0.5], "mixed", "ind does not move at step 100"),
    ],
)  # fmt: skip
def test_the_sentence_follows_the_numbers(exact, verdict, words):
    found, text = told(by_hand(np.array(exact)))
    assert (found, words in text) == (verdict, True), text


def test_a_wide_spread_of_images_makes_no_claim():
    assert told(by_hand(np.array([0.9] * 4), sd=0.1))[0] == "holds"
    assert told(by_hand(np.array([0.9] * 4), sd=2.0))[0] == "mixed"


def test_the_first_steps_are_told_apart():
    assert told(by_hand(np.array([0.5, 0.5, 2, 2])), "start")[0] == "holds"
    verdict, text = told(by_hand(np.array([1.5, 0.5, 0.5, 0.5])), "start")
    assert verdict == "fails"
    assert "In the first steps (0, 5)" in text
    assert "b 1.00 (0.50 to 1.50)" in text
    late = by_hand(np.array([0.5, 0.5]), steps=(100, 200))
    assert "start" not in [s.about for s in statements(late, "fc")]


@pytest.mark.parametrize(
    ("control", "verdict", "share"),
    [
        (0.5, "fails", "all of it"),
        (0.6, "mixed", "most of it"),
        (0.75, "holds", "part of it"),
        (1.1, "holds", "nothing"),
    ],
)
def test_the_control_takes_off_what_the_jacobians_size_explains(control, verdict, share):
    found, text = told(by_hand(np.array([0.5] * 4), np.array([control] * 4)), "control")
    assert (found, share in text) == (verdict, True), text


def test_the_way_outward_is_counted():
    made = by_hand(np.array([0.5] * 4))
    outward = made.outward.copy()  # (T, 1, 3)
    outward[:, 0, :2] = [[1, 0.5], [2, 1], [-1, -3], [-1, 0]]
    verdict, text = told(dataclasses.replace(made, outward=outward), "outward")
    assert verdict == "holds"
    assert "grows at 2 of 4 checkpoints, faster than that of b at 3" in text
    outward[:, 0, 1] = 5
    assert told(dataclasses.replace(made, outward=outward), "outward")[0] == "fails"


def test_the_headline_counts():
    assert "in 1 of 1 pairs, the ood set in 0; 0 have no lasting order" in headline(by_hand(np.array([0.5] * 4)))
    assert "the ood set in 1" in headline(by_hand(np.array([1.5] * 4)))


def test_the_outcome_sets_speed_against_final_distance(study, made, store):
    series = dynamics(study, store=store)
    said = outcome(made, series)
    assert said.verdict in ("holds", "fails", "mixed")
    assert "Over 4 pairs" in said.text
    ordered, opposite = _sets(series, made, flip=False), _sets(series, made, flip=True)
    assert outcome(made, ordered).verdict == "holds"
    assert outcome(made, ordered).text.split("rho with the final distance is ")[1].startswith("1.00")
    assert outcome(made, opposite).verdict == "fails"
    assert "on different sides" in outcome(made, opposite).text
    assert len(STEPS) == len(series.steps)


def _sets(series: Dynamics, made: Speed, *, flip: bool) -> Dynamics:
    """The series with final distances that follow, or oppose, the exact speeds."""
    speeds = np.exp(np.log(ratios(made).ratio).mean(0))  # (K, G)
    mean = series.mean.copy()
    mean[-1] = series.ind_median[-1][:, None] * (1 / speeds if flip else speeds)
    return dataclasses.replace(series, mean=mean)


def test_the_kernels_sentences_follow_its_numbers():
    groups = (PointGroup("a", "ind", 0, 2, np.arange(2)), PointGroup("b", "ood", 2, 4, np.arange(2)))
    raw = np.array([[4, 0], [0, 4], [1, 1], [1, 1]], np.float32)
    made = Kernel("fc", 3, groups, np.array([0, 1, -1, -1], np.int16), "a", np.arange(2), np.array([0, 1], np.int16),
                  "trace", 0.0, raw, raw / 4, raw, raw)  # fmt: skip
    size, likeness, classes = kernel_statements(made)
    assert (size.verdict, "b 0.50; every ood set lies below ind" in size.text) == ("holds", True)
    assert (likeness.verdict, "ind 0.50: b 0.25" in likeness.text) == ("holds", True)
    assert "1.00 to training images of the same class, 0.00 to others" in classes.text
    turned = dataclasses.replace(made, raw=raw[::-1].copy(), error=0.123)
    said = kernel_statements(turned, titles={"b": "B"})
    assert (said[0].verdict, "not below ind: B" in said[0].text) == ("fails", True)
    assert "standard error is 12%" in said[-1].text
