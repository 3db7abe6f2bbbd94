"""Parts that share no image: by construction, whatever the sets, the seed and repeated images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fssd_core.data import ImageSet
from fssd_core.errors import InputError
from fssd_core.protocol import Deal, FitPart, TestPart, deal


def images(count: int, *, start: int = 0, name: str = "x") -> ImageSet:
    """`count` different 1x4 pictures; the number of each is written in its pixels."""
    numbers = np.arange(start, start + count)
    pixels = np.stack([numbers >> 24, numbers >> 16, numbers >> 8, numbers], 1).astype(np.uint8)
    return ImageSet(name, pixels[:, None, :], labels=numbers % 7)


def numbers(part: ImageSet | None) -> set[int]:
    if part is None:
        return set()
    return {int.from_bytes(bytes(image.ravel()), "big") for image in part.images}


def parts(dealt: Deal) -> list[set[int]]:
    tune = (None, None) if dealt.tune is None else (dealt.tune.ind, dealt.tune.ood)
    every = (dealt.train, dealt.fit.ind, dealt.fit.ood, *tune, dealt.test.ind, dealt.test.ood)
    return [numbers(p) for p in every]


@given(
    ind=st.integers(8, 60), ood=st.integers(8, 60), overlap=st.integers(0, 20), fit=st.integers(2, 30),
    seed=st.integers(0, 5),
)  # fmt: skip
def test_no_image_is_in_two_parts(ind, ood, overlap, fit, seed):
    train = images(30)
    a = images(ind, start=30, name="a")
    b = images(ood + overlap, start=30 + ind - overlap, name="b")  # the first of b are the last of a
    dealt = deal(train, a, b, fit=fit, seed=seed)
    found = parts(dealt)
    assert sum(len(p) for p in found) == len(set.union(*found))
    assert len(found[1]) == len(found[3]) == min(fit, ind // 4)
    assert set.union(*found) == set(range(30 + ind + ood))
    blind = deal(train, a, b, protocol="no-ood-labels", fit=fit, seed=seed)
    assert blind.fit.ood is None
    assert blind.tune is None
    assert numbers(blind.test.ind) == numbers(dealt.test.ind)
    assert numbers(blind.test.ood) == numbers(dealt.test.ood)
    assert numbers(blind.fit.ind) == numbers(dealt.fit.ind)


def test_repeated_and_shared_images_are_used_once_and_said():
    ind = images(40, name="ind")
    twice = ImageSet("ood", np.concatenate([images(20, start=100).images] * 2))
    dealt = deal(images(10), ind, twice, fit=2, seed=0)
    assert len(dealt.test.ood) == 20 - 4
    assert len(dealt.test.ind) == 30 - 4, "ten of ind are training images"
    assert any("10 of 40 images of ind occur twice or in an earlier set" in note for note in dealt.notes)
    assert any("20 of 40 images of ood" in note for note in dealt.notes)


def test_small_sets_give_a_quarter_to_each_stage_and_say_so():
    dealt = deal(None, images(40, name="ind"), images(200, start=500, name="ood"), fit=500, seed=0)
    assert [len(p) for p in parts(dealt)] == [0, 10, 50, 10, 50, 20, 100]
    assert "ind has 40 images, so 10 instead of 500 go to each fitting stage" in dealt.notes


def test_the_seed_decides_and_each_side_has_its_own_stream():
    ind, ood, other = images(100), images(100, start=500), images(90, start=900)
    first, again, second = (deal(None, ind, ood, fit=20, seed=seed) for seed in (0, 0, 1))
    assert first.fingerprint() == again.fingerprint() != second.fingerprint()
    assert numbers(first.test.ind) == numbers(deal(None, ind, other, fit=20, seed=0).test.ind)
    assert first.fingerprint() != deal(None, ind, ood, fit=20, protocol="no-ood-labels", seed=0).fingerprint()


def test_labels_and_rows_travel_with_their_images():
    dealt = deal(None, images(50), images(50, start=500), fit=5, seed=3)
    for part in (dealt.fit.ind, dealt.tune.ind, dealt.test.ind):
        assert [n % 7 for n in (int.from_bytes(bytes(i.ravel()), "big") for i in part.images)] == part.labels.tolist()
        assert part.rows.tolist() == [int.from_bytes(bytes(i.ravel()), "big") for i in part.images]


def test_only_deal_makes_parts():
    dealt = deal(None, images(50), images(50, start=500), fit=5, seed=0)
    leaky = TestPart(dealt.fit.ind, dealt.test.ood)
    with pytest.raises(TypeError, match="dealt by"):
        Deal("paper", 0, None, dealt.fit, dealt.tune, leaky)
    with pytest.raises(TypeError, match="dealt by"):
        replace(dealt, test=leaky)
    assert FitPart.__dataclass_params__.frozen


def test_bad_input_says_what_is_allowed():
    with pytest.raises(InputError, match="no protocol 'papr'; did you mean 'paper'"):
        deal(None, images(50), images(50, start=500), protocol="papr")
    with pytest.raises(InputError, match="b: 7 different images are too few"):
        deal(None, images(50), ImageSet("b", np.concatenate([images(7, start=500).images] * 3)))
    with pytest.raises(InputError, match="fit is at least 2, a seed at least 0"):
        deal(None, images(50), images(50, start=500), fit=1)
