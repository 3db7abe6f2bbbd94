"""fssd-ood-free: the score against a plain NumPy oracle, its parts, and the laws that its steps obey."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fssd_core.detectors import DETECTORS, make_detector, ood_free
from fssd_core.detectors.ood_free import FROM_FSS, PARTS, RADIUS, References, directions, nearest, reduced, scales
from fssd_core.errors import InputError
from fssd_core.extractor import FeatureExtractor
from fssd_core.runtime import generator, threads
from tests import reference


@pytest.fixture(autouse=True)
def one_thread():
    with threads(1):
        yield


def extractor() -> FeatureExtractor:
    return FeatureExtractor(
        reference.tiny_lenet(), reference.LAYERS, mean=reference.MEAN, std=reference.STD, device="cpu"
    )


def labels() -> torch.Tensor:
    return torch.from_numpy(reference.vectors()["ind_label"])


def fitted(**values):
    return make_detector("fssd-ood-free", **values).fit(
        extractor(), reference.pixels("ind"), labels(), noise=reference.noise("uniform")
    )


def plane() -> FeatureExtractor:
    """Two numbers an image; both are the features and the logits."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False))
    with torch.no_grad():
        module[1].weight.copy_(torch.eye(2))
    return FeatureExtractor(module, ["1"], device="cpu")


def points(*rows) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float32).view(-1, 2, 1, 1)


def numpy_reduced(maps: np.ndarray) -> np.ndarray:
    if maps.ndim == 2:
        return maps
    count, channels, height, width = maps.shape
    edges = [[(i * n // 4, -((-(i + 1) * n) // 4)) for i in range(4)] for n in (height, width)]
    fields = [maps[:, :, a:b, c:d].mean((2, 3)) for a, b in edges[0] for c, d in edges[1]]
    return np.stack(fields, 2).reshape(count, channels * 16)


def oracle(neighbours: int = 10, scale: str = "class") -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The score of the reference's ood images, written out image by image."""
    net = extractor()
    seen = {}
    for name, images in (
        ("noise", reference.noise("uniform")), ("ind", reference.pixels("ind")), ("ood", reference.pixels("ood")),
    ):  # fmt: skip
        with torch.no_grad():
            maps, logits = net.maps_and_logits(images)
        seen[name] = ({k: v.double().numpy() for k, v in maps.items()}, logits.numpy().argmax(1))
    order = torch.randperm(96, generator=generator(0)).numpy()
    held, kept = order[:29], order[29:]  # 30 % of 96
    y = labels().numpy()
    columns = {}
    for layer in net.layers:
        star = seen["noise"][0][layer].mean(0)
        pole = numpy_reduced(star[None])[0]

        def radius(name, layer=layer, star=star):
            return np.log(np.linalg.norm((seen[name][0][layer] - star).reshape(96, -1), axis=1))

        def direction(name, around, layer=layer):
            views = {
                n: (lambda v: v / np.linalg.norm(v, axis=1, keepdims=True))(numpy_reduced(seen[n][0][layer]) - around)
                for n in (name, "ind")
            }
            out = []
            for row, c in enumerate(seen[name][1]):
                among = [i for i in kept if y[i] == c] or list(kept)
                d = sorted(np.linalg.norm(views[name][row] - views["ind"][i]) for i in among)
                out.append(np.log(d[min(neighbours, len(d)) - 1]))
            return np.array(out)

        for part, values in (
            ("radius", radius),
            ("direction from F*", lambda name, d=direction, p=pole: d(name, p)),
            ("direction from 0", lambda name, d=direction: d(name, 0.0)),
        ):
            known = values("ind")[held]
            alike, asked = seen["ind"][1][held], seen["ood"][1]
            z = (values("ood") - known.mean()) / known.std()
            for c in range(10 if scale == "class" else 0):
                if (own := known[alike == c]).size >= ood_free.ENOUGH:
                    z[asked == c] = ((values("ood") - own.mean()) / own.std())[asked == c]
            columns[f"{layer}: {part}"] = np.abs(z) if part == "radius" else z
    return -sum(columns.values()), columns


@pytest.mark.parametrize(("neighbours", "scale"), [(10, "class"), (2, "class"), (10, "all")])
def test_the_score_is_the_oracles(neighbours, scale, monkeypatch):
    monkeypatch.setattr(ood_free, "ENOUGH", 4)  # of 29 held-back images in 10 classes
    expected, _ = oracle(neighbours, scale)
    assert np.abs(expected - oracle(neighbours, "all" if scale == "class" else "class")[0]).max() > 0.1
    found = fitted(neighbours=neighbours, scale=scale).scores(reference.pixels("ood"))
    np.testing.assert_allclose(found.values[:, 0], expected, rtol=1e-3, atol=2e-3)


def test_parts_by_layer_add_up_and_each_choice_of_parts_is_its_own_sum():
    images = reference.pixels("ood")
    _, columns = oracle()
    detector = fitted()
    layers = detector.parts(images)
    assert layers.layers == extractor().layers
    np.testing.assert_allclose(layers.values.sum(1), detector.scores(images).values[:, 0], rtol=1e-4, atol=1e-4)
    for choice, parts in PARTS.items():
        expected = -sum(v for k, v in columns.items() if k.partition(": ")[2] in parts)
        found = fitted(parts=choice).scores(images).values[:, 0]
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=2e-3)


def test_the_radius_is_judged_on_both_sides():
    draws = torch.randn(40, 1, generator=generator(1)).exp()
    ind = torch.cat([1 + draws, torch.zeros(40, 1)], 1).view(-1, 2, 1, 1)  # F* at 0, radii around 2 to 3
    detector = make_detector("fssd-ood-free", parts="radius", scale="all").fit(
        plane(), ind, torch.zeros(40, dtype=torch.int64), noise=points((0.5, -0.5), (-0.5, 0.5))
    )
    middle = float(detector.known.centre[0].exp())
    near, far, usual = detector.scores(points((middle / 3, 0), (middle * 3, 0), (middle, 0))).values[:, 0]
    assert usual == pytest.approx(0, abs=1e-5)
    assert near == pytest.approx(far, rel=1e-5)
    assert near == pytest.approx(-np.log(3) / float(detector.known.spread[0]), rel=1e-5)


def test_only_kept_images_are_references_and_held_back_ones_set_the_scale():
    order = torch.randperm(96, generator=generator(0))
    held = order[:29]
    ind, classes = reference.pixels("ind"), labels()
    changed = classes.clone()
    changed[held] = (changed[held] + 1) % 10
    noise = reference.noise("uniform")
    plain = make_detector("fssd-ood-free", scale="all").fit(extractor(), ind, classes, noise=noise)
    other = make_detector("fssd-ood-free", scale="all").fit(extractor(), ind, changed, noise=noise)
    images = reference.pixels("ood")
    assert np.array_equal(plain.scores(images).values, other.scores(images).values)
    kept = [sum(len(points) for points, _ in r.by_class.values()) for r in plain.known.references.values()]
    assert kept == [67] * 8
    z = plain._standard(plain.extractor, ind[held])
    radius = torch.tensor([name.endswith(RADIUS) for name in plain.known.names])
    torch.testing.assert_close(z[:, ~radius].mean(0), torch.zeros(8, dtype=torch.float64), atol=1e-4, rtol=0)
    torch.testing.assert_close(z.square().mean(0), torch.ones(12, dtype=torch.float64), atol=1e-4, rtol=0)


def test_scales_are_of_images_predicted_alike_where_there_are_enough():
    values = torch.randn(43, 2, generator=generator(4)).double()
    predicted = torch.tensor([0] * 20 + [2] * 9 + [3] * 14)
    values[29:, 1] = 5.0  # class 3: no spread
    centre, spread = scales(values, predicted, 5, by_class=True)
    own, every = values[:20], values
    torch.testing.assert_close(centre[0], own.mean(0))
    torch.testing.assert_close(spread[0], own.std(0, correction=0))
    for name in (1, 2, 3, 4):
        torch.testing.assert_close(centre[name], every.mean(0))
        torch.testing.assert_close(spread[name], every.std(0, correction=0))
    centre, spread = scales(values, predicted, 5, by_class=False)
    torch.testing.assert_close(spread, every.std(0, correction=0).repeat(5, 1))
    torch.testing.assert_close(centre, every.mean(0).repeat(5, 1))


def test_nearest_looks_within_the_predicted_class():
    references = References.of(
        torch.tensor([[0.0, 0.0], [3.0, 4.0], [10.0, 0.0], [10.0, 1.0]]), torch.tensor([0, 0, 1, 1])
    )
    asked = torch.tensor([[0.0, 0.0], [0.0, 0.0], [10.0, 0.0], [10.0, 0.0]]).double()
    predicted = torch.tensor([0, 1, 1, 7])  # 7 has no reference: all count
    assert nearest(asked, predicted, references, 1).tolist() == [0, 10, 0, 0]
    assert nearest(asked, predicted, references, 2).tolist() == pytest.approx([5, 101**0.5, 1, 1])
    assert nearest(asked, predicted, references, 3).tolist() == pytest.approx([5, 101**0.5, 1, 65**0.5])


def test_directions_are_unit_vectors_from_the_pole():
    found = directions(torch.tensor([[3.0, 5.0], [0.0, 1.0]]), torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(found, torch.tensor([[0.6, 0.8], [0.0, 0.0]]).double())


def test_reduced_is_one_linear_map_of_any_output():
    draws = generator(3)
    maps = torch.randn(5, 3, 8, 8, generator=draws)
    torch.testing.assert_close(reduced(maps), maps.view(5, 3, 4, 2, 4, 2).mean((3, 5)).flatten(1))
    tokens = torch.randn(5, 7, 6, generator=draws)
    assert torch.equal(reduced(tokens), tokens.mean(1))
    assert torch.equal(reduced(tokens[:, 0]), tokens[:, 0])
    wide = torch.randn(2, 40, 224 // 4, 224 // 4, generator=draws)  # 640 fields, as at 224 pixels
    assert reduced(wide).shape == (2, 512)
    assert torch.equal(reduced(wide), reduced(wide))
    torch.testing.assert_close(reduced(wide.sum(0, keepdim=True)), reduced(wide).sum(0, keepdim=True))
    vectors = torch.randn(30, 4000, generator=draws)
    true, kept = torch.pdist(vectors), torch.pdist(reduced(vectors))
    assert ((kept / true - 1).abs() < 5 / 512**0.5).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x[:10], y[:10]), "10 ind images .* at least 20 images"),
        (lambda x, y: (x, y[:50]), r"96 ind images and labels of shape \(50,\); give one label an image"),
        (lambda x, y: (x[:1].expand(96, -1, -1, -1), y), "the same for all 29 held-back ind images"),
    ],
)
def test_images_it_cannot_be_fitted_on_are_refused(change, message):
    ind, classes = change(reference.pixels("ind"), labels())
    with pytest.raises(InputError, match=message):
        make_detector("fssd-ood-free").fit(extractor(), ind, classes, noise=reference.noise("uniform"))


def test_the_table_offers_its_parts():
    spec = DETECTORS["fssd-ood-free"]
    assert {p.name for p in spec.parameters} == {"parts", "scale", "neighbours"}
    assert PARTS["polar"] == (RADIUS, FROM_FSS)
    with pytest.raises(InputError, match="no parts 'radii'; did you mean 'radius'"):
        spec.make(parts="radii")
