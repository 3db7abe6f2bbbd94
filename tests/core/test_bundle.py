"""Bundles: bit-equal verdicts after a round trip, the format against an independent writer, all kinds of damage."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import math
import pickle
import re
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors
from safetensors.torch import save_file
from torch import nn

import fssd_core
from fssd_core import ensemble
from fssd_core.bundle import (
    Bundle,
    Measured,
    bundle_bytes,
    bundle_digest,
    load_detector,
    make_bundle,
    measure,
    read_bundle,
    save_bundle,
    steady_threshold,
    weights_digest,
)
from fssd_core.data import load_data
from fssd_core.errors import InputError, MemoryShortError, ModelError
from fssd_core.models import load_model
from fssd_core.models.nets import AuthorsLeNet, CifarResNet
from fssd_core.operating_point import Choice, choose_threshold
from fssd_core.store import Store
from fssd_core.study import Study, compare, layer_scores, open_data, weights_by_rule
from fssd_core.types import Metrics, Weights

DATE = "2026-01-31T12:00:00+00:00"
STUDY = Study(samples=150, ood=("mnist",))
UNIFORM = ensemble.uniform(("conv1", "conv2", "fc1", "logits"))
HERE = Path(__file__).resolve()


def made(study: Study = STUDY, weights: Weights = UNIFORM, **rest) -> Bundle:
    given = {"epsilon": 0.0, "threshold": 40.0, "chosen": Choice("hand"), "date": DATE, **rest}
    return make_bundle(study, weights, **given)


@pytest.fixture(scope="module")
def plain() -> Bundle:
    return made()


@pytest.fixture(scope="module")
def small() -> Bundle:
    """Of one layer of 10 numbers, so that every single byte can be tried."""
    return made(dataclasses.replace(STUDY, layers=("logits",)), ensemble.uniform(("logits",)), threshold=8.0)


@pytest.fixture(scope="module")
def small_bytes(small) -> bytes:
    return bundle_bytes(small)


# --- an independent writer of the format, from docs/bundle.md and the standard library alone


def written(facts: dict, tensors: bytes, *, sign: bool = True, extra=(), method=zipfile.ZIP_STORED) -> bytes:
    facts = json.loads(json.dumps(facts))
    if sign:
        facts.pop("digest", None)
        facts["fss"]["sha256"] = hashlib.sha256(tensors).hexdigest()
        facts["digest"] = hashlib.sha256(text_of(facts)).hexdigest()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in (("bundle.json", text_of(facts)), ("fss.safetensors", tensors), *extra):
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr, info.compress_type = 3, 0o644 << 16, method
            archive.writestr(info, content)
    return file.getvalue()


def text_of(facts: dict) -> bytes:
    return (json.dumps(facts, indent=1, sort_keys=True) + "\n").encode()


def parts(content: bytes) -> tuple[dict, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        return json.loads(archive.read("bundle.json")), archive.read("fss.safetensors")


def edited(content: bytes, *path: str, value: object, sign: bool = True) -> bytes:
    """The bundle with one fact changed, and (as a forger would) the digest made anew."""
    facts, tensors = parts(content)
    place = facts
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return written(facts, tensors, sign=sign)


# --- round trips


SETTINGS = [
    (0.0, "sign", "uniform"),
    (0.02, "sign", "logistic"),
    (-0.006, "sign", "-0.25,1.5,-3,0.125"),
    (0.01, "standardised", "standardised"),
]


@pytest.mark.parametrize(("epsilon", "gradient", "rule"), SETTINGS)
def test_a_round_trip_gives_bit_equal_scores_and_verdicts(tmp_path, epsilon, gradient, rule):
    study = dataclasses.replace(STUDY, samples=260, gradient=gradient, epsilon=epsilon)
    store = Store(tmp_path)
    tables = {ref: layer_scores(study, ref, store=store)[epsilon] for ref in (study.ind, "mnist")}
    comparison = compare(study, "mnist", tables[study.ind], tables["mnist"])
    weights = weights_by_rule(rule, comparison, seed=study.seed)
    scores = {ref: ensemble.combine(table, weights) for ref, table in tables.items()}
    choice = Choice("tpr", tpr=0.9)
    threshold = choose_threshold(scores[study.ind], scores["mnist"], choice)
    assert threshold in scores[study.ind]  # so that one image stands exactly on it
    path = tmp_path / "detector.fssd"
    save_bundle(path, made(study, weights, epsilon=epsilon, threshold=threshold, chosen=choice))
    detector = load_detector(path)
    for ref, table in tables.items():
        images = open_data(study, ref).tensor()
        np.testing.assert_array_equal(detector.layer_scores(images).values, table.values)
        np.testing.assert_array_equal(detector.scores(images), scores[ref])
        np.testing.assert_array_equal(detector.verdicts(images), scores[ref] >= threshold)
    accepted = detector.verdicts(open_data(study, study.ind).tensor())
    assert accepted.dtype == bool
    assert accepted.sum() == 234


def test_every_fact_comes_back(tmp_path, plain):
    measured = measure(
        np.arange(20.0), np.arange(10.0) - 5, 4.0, name="mnist", samples=50, generator=np.random.default_rng(0)
    )
    bundle = dataclasses.replace(
        plain, measured=(measured,), epsilon=-0.01, epsilon_labels="500 ind + 500 mnist", step=None, mean=None, std=None
    )
    save_bundle(tmp_path / "a.fssd", bundle)
    again = read_bundle(tmp_path / "a.fssd")
    for f in dataclasses.fields(Bundle):
        if f.name != "fss":
            assert getattr(again, f.name) == getattr(bundle, f.name), f.name
    assert list(again.fss) == list(bundle.fss) == list(again.layers)
    for layer in bundle.fss:
        np.testing.assert_array_equal(again.fss[layer], bundle.fss[layer])
        assert not again.fss[layer].flags.writeable
    assert bundle_bytes(again) == bundle_bytes(bundle)


def test_what_the_study_knows_is_written_down():
    study = dataclasses.replace(STUDY, model="demo/lenet@900", noise_samples=20, seed=7)
    bundle = made(study, ensemble.manual(("logits", "fc1", "conv2", "conv1"), (1, 2, 3, -4)))
    model = load_model("demo/lenet@900")
    assert bundle.layers == ("conv1", "conv2", "fc1", "logits")
    assert bundle.weights.alpha == (-4, 3, 2, 1)  # by name, not by place
    assert (bundle.reference, bundle.arch, bundle.step) == ("demo/lenet@900", "lenet", 900)
    assert (bundle.input_shape, bundle.mean, bundle.std) == (model.input_shape, model.mean, model.std)
    assert (bundle.noise_samples, bundle.seed, bundle.ind, bundle.ood) == (20, 7, "fmnist:test", ("mnist",))
    assert bundle.weights_sha256 == weights_digest(model.module)
    assert bundle.versions == {
        "fssd-explorer": fssd_core.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
    }
    assert [len(v) for v in bundle.fss.values()] == [16 * 24 * 24, 32 * 8 * 8, 128, 10]
    assert load_detector(bundle).verdicts(load_data("mnist").tensor()[:3]).shape == (3,)


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        (Choice("tpr", tpr=0.8), {"by": "tpr", "value": 0.8, "words": "at least 80 % of ind accepted"}),
        ({"by": "fpr", "value": 0.05}, {"by": "fpr", "value": 0.05, "words": "at most 5 % of ood accepted"}),
        ({"by": "fpr", "value": 1, "words": "mine"}, {"by": "fpr", "value": 1.0, "words": "mine"}),
        ({"by": "hand", "value": 7.0}, {"by": "hand", "value": 40.0, "words": "set by hand to 40"}),
        (
            {"by": "tpr", "value": 0.95, "on": "500 ind"},
            {"by": "tpr", "value": 0.95, "words": "at least 95 % of ind accepted", "on": "500 ind"},
        ),
        (
            {"by": "cost", "miss": 3, "alarm": 1, "prevalence": np.float64(0.1)},
            {
                "by": "cost",
                "miss": 3.0,
                "alarm": 1.0,
                "prevalence": 0.1,
                "words": "least expected cost: a miss costs 3, a false alarm 1, 10 % ood expected",
            },
        ),
    ],
)
def test_how_the_threshold_was_chosen(chosen, told):
    bundle = made(chosen=chosen)
    assert bundle.chosen == told
    assert read_bundle(bundle_bytes(bundle)).chosen == told


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threshold": math.inf}, "would accept nothing"),
        ({"threshold": -math.inf}, "would accept everything"),
        ({"threshold": math.nan}, "the threshold is nan"),
        ({"epsilon": math.nan}, "epsilon are NaN"),
        ({"epsilon": 2.0}, "in pixels, -1 to 1"),
        ({"date": "yesterday"}, "ISO 8601"),
        ({"chosen": {"by": "trp", "value": 0.9}}, "did you mean 'tpr'"),
        ({"chosen": {"value": 0.9}}, "no rule for the threshold"),
        ({"chosen": {"by": "tpr"}}, "needs the numbers value"),
        ({"chosen": {"by": "tpr", "value": "high"}}, "needs the numbers value"),
        ({"chosen": {"by": "tpr", "value": 95}}, "a share, 0 to 1"),
        ({"weights": ensemble.uniform(("conv1", "fc1"))}, "the study conv1, conv2, fc1, logits; give the same"),
        ({"weights": ensemble.manual(UNIFORM.layers, (0, 0, 0, 0))}, "alpha is 0 in every layer"),
    ],
)
def test_no_bundle_is_made_of_bad_input(change, message):
    with pytest.raises(InputError, match=message):
        made(**change)


def test_measured_numbers_are_finite():
    with pytest.raises(InputError, match="1 of 13 values of measured numbers against mnist are NaN"):
        Measured("mnist", Metrics(1, 1, 1, 0, 0, 0, 3, 4), 1.0, 0.0, {"auroc": (0.0, math.nan)})


def test_measured_numbers_are_those_of_the_scores():
    ind, ood = np.array([3.0, 4, 5, 6]), np.array([1.0, 2, 4.5, 0])
    got = measure(ind, ood, 4.0, name="x", samples=200, generator=np.random.default_rng(1))
    assert (got.tpr, got.fpr) == (0.75, 0.25)
    assert got.metrics.auroc == 14 / 16
    assert (got.metrics.n_ind, got.metrics.n_ood) == (4, 4)
    assert {"auroc", "fpr95", "tpr", "fpr"} <= set(got.intervals)
    assert all(low <= high for low, high in got.intervals.values())
    assert measure(ind, ood, 4.0, name="x").intervals == {}
    with pytest.raises(InputError, match="without a generator"):
        measure(ind, ood, 4.0, name="x", samples=5)


def test_files_are_named_fssd_and_lie_in_a_folder(tmp_path, small):
    with pytest.raises(InputError, match=r"ends in \.fssd"):
        save_bundle(tmp_path / "detector.zip", small)
    with pytest.raises(InputError, match="there is no folder"):
        save_bundle(tmp_path / "no" / "detector.fssd", small)
    assert not list(tmp_path.iterdir())


def test_a_failed_write_keeps_what_was_there(tmp_path, small, monkeypatch):
    path = tmp_path / "a.fssd"
    path.write_bytes(b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space"):
        save_bundle(path, small)
    assert [p.name for p in tmp_path.iterdir()] == ["a.fssd"]
    assert path.read_bytes() == b"old"


# --- the format


def test_the_file_is_a_plain_zip_of_two_and_its_bytes_are_the_documented_ones(small, small_bytes):
    facts, tensors = parts(small_bytes)
    assert written(facts, tensors) == small_bytes
    assert facts["digest"] == bundle_digest(small) == bundle_digest(read_bundle(small_bytes))
    np.testing.assert_array_equal(load_tensors(tensors)["logits"], small.fss["logits"])
    with zipfile.ZipFile(io.BytesIO(small_bytes)) as archive:
        assert archive.namelist() == ["bundle.json", "fss.safetensors"]
        assert all(i.compress_type == zipfile.ZIP_STORED for i in archive.infolist())
    with pytest.raises((pickle.UnpicklingError, ValueError)):
        pickle.loads(tensors)


def test_the_same_content_has_the_same_bytes_whenever_it_is_made(small, small_bytes, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 2e9)
    again = made(dataclasses.replace(STUDY, layers=("logits",)), ensemble.uniform(("logits",)), threshold=8.0)
    assert bundle_bytes(again) == small_bytes
    assert bundle_bytes(dataclasses.replace(small, threshold=math.nextafter(8.0, 9))) != small_bytes


def test_the_bytes_do_not_depend_on_the_machine():
    bundle = Bundle(
        weights=Weights((1.5, -0.25), ("b", "a"), "manual", "none"),
        fss={"b": np.array([1, 2, 3], np.float32), "a": np.array([-0.5], np.float32)},
        epsilon=0.01,
        gradient="standardised",
        batch_size=256,
        threshold=1 / 3,
        chosen={"by": "hand", "value": 1 / 3, "words": "set by hand"},
        epsilon_labels="none",
        reference="näme",
        arch="lenet",
        step=3,
        weights_sha256="0" * 64,
        input_shape=(1, 28, 28),
        mean=(0.5,),
        std=(0.25,),
        noise_samples=100,
        seed=0,
        probe=(1.0, 2.0),
        ind="i",
        ood=("o",),
        measured=(Measured("o", Metrics(0.9, 0.8, 0.7, 0.1, 0.2, 0.3, 5, 6), 0.5, 0.25, {"auroc": (0.8, 0.95)}),),
        versions={"numpy": "2", "torch": "2", "fssd-explorer": "0"},
        date="2026-01-31",
    )
    assert hashlib.sha256(bundle_bytes(bundle)).hexdigest() == GOLDEN
    assert bundle.depends_on_batch


GOLDEN = "7d2d4aa709a00aedb30c7f8a49ce7971bb584e04dc2298fc5b34cc5f5f3edba1"

finite = st.floats(allow_nan=False, allow_infinity=False)
finite32 = st.floats(allow_nan=False, allow_infinity=False, width=32)
some = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@some
@given(
    alpha=finite.filter(bool),
    threshold=finite,
    epsilon=st.floats(-1, 1),
    fss=st.lists(finite32, min_size=10, max_size=10),
    mean=finite,
    std=st.floats(min_value=0, exclude_min=True, allow_infinity=False),
    seed=st.integers(0, 2**63 - 1),
    words=st.text(max_size=20),
)
def test_every_number_and_text_survives(small, alpha, threshold, epsilon, fss, mean, std, seed, words):
    bundle = dataclasses.replace(
        small,
        weights=Weights((alpha,), ("logits",), "manual", words),
        threshold=threshold,
        epsilon=epsilon,
        fss={"logits": np.array(fss, np.float32)},
        mean=(mean,),
        std=(std,),
        seed=seed,
        reference=words,
        chosen={"by": "hand", "value": threshold, "words": words},
    )
    again = read_bundle(bundle_bytes(bundle))
    for name in ("weights", "threshold", "epsilon", "mean", "std", "seed", "reference", "chosen"):
        assert getattr(again, name) == getattr(bundle, name)
    assert math.copysign(1, again.threshold) == math.copysign(1, threshold)
    assert again.fss["logits"].tobytes() == bundle.fss["logits"].tobytes()


@some
@given(ind=st.lists(finite, min_size=1, max_size=12), ood=st.lists(finite, min_size=1, max_size=12), data=st.data())
def test_a_steadier_threshold_turns_no_verdict(ind, ood, data):
    threshold = data.draw(st.sampled_from([*ind, *ood]) | finite)
    steady = steady_threshold(threshold, ind, ood)
    for side in (np.array(ind), np.array(ood)):
        np.testing.assert_array_equal(side >= steady, side >= threshold)
    assert steady <= threshold


def test_a_steadier_threshold_lies_in_the_middle():
    assert steady_threshold(4.0, [1.0, 4.0, 9.0], [2.0, 3.0]) == 3.5
    assert steady_threshold(1.0, [1.0, 4.0]) == 1.0
    assert steady_threshold(math.inf, [1.0]) == math.inf


# --- damage


def refused(content: bytes) -> str:
    with pytest.raises(ModelError) as caught:
        read_bundle(content)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_no_byte_can_be_changed(small_bytes):
    for place in range(len(small_bytes)):
        damaged = bytearray(small_bytes)
        damaged[place] ^= 1 << (place % 8)
        refused(bytes(damaged))


def test_no_byte_can_be_cut_off_or_added(small_bytes):
    for length in range(len(small_bytes)):
        refused(small_bytes[:length])
    assert "cut off" in refused(small_bytes[: len(small_bytes) // 2])
    for more in (b"\0", b"PK", small_bytes):
        refused(small_bytes + more)
        refused(more + small_bytes)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_mixture_of_damage_gets_past(small_bytes, data):
    damaged = bytearray(small_bytes)
    for _ in range(data.draw(st.integers(1, 6))):
        start = data.draw(st.integers(0, len(damaged)))
        stop = data.draw(st.integers(start, min(len(damaged), start + 12)))
        damaged[start:stop] = data.draw(st.binary(max_size=12))
    if bytes(damaged) != small_bytes:
        refused(bytes(damaged))


def test_a_damaged_file_is_named(tmp_path, small_bytes):
    path = tmp_path / "x.fssd"
    path.write_bytes(small_bytes[:-100])
    for read in (read_bundle, load_detector):
        with pytest.raises(ModelError, match=re.escape(f"{path} is cut off or damaged")):
            read(path)
    with pytest.raises(ModelError, match=r"no file .*none\.fssd.*fssd export"):
        read_bundle(tmp_path / "none.fssd")
    with pytest.raises(ModelError, match="no file"):
        read_bundle(tmp_path)


def test_an_edited_fact_is_refused_even_in_a_valid_zip(small_bytes):
    content = edited(small_bytes, "detector", "threshold", value=0.0, sign=False)
    parts(content)  # a whole zip
    assert "was edited or damaged: its digest does not agree" in refused(content)
    facts, _ = parts(small_bytes)
    other = save_tensors({"logits": np.ones(10, np.float32)})
    assert "digest does not agree" in refused(written(facts, other, sign=False))


def test_rezipped_and_foreign_zips_are_refused(tmp_path, small_bytes):
    facts, tensors = parts(small_bytes)
    assert "'../evil'" in refused(written(facts, tensors, extra=[("../evil", b"x")]))
    assert "'/etc/passwd'" in refused(written(facts, tensors, extra=[("/etc/passwd", b"x")]))
    assert "'model.pkl'" in refused(written(facts, tensors, extra=[("model.pkl", pickle.dumps(1))]))
    assert "is packed or claims" in refused(written(facts, tensors, method=zipfile.ZIP_DEFLATED))
    with pytest.warns(UserWarning, match="Duplicate name"):
        doubled = written(facts, tensors, extra=[("bundle.json", text_of(facts))])
    refused(doubled)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert "without bundle.json" in refused(file.getvalue())
    assert "no zip file" in refused(b"")
    assert "no zip file" in refused(pickle.dumps({"a": 1}))
    timed = bytearray(small_bytes)
    timed[timed.index(b"PK\x01\x02") + 12] ^= 1  # a time in the directory: no content, and yet not our bytes
    assert "outside its two files" in refused(bytes(timed))


def test_bombs_are_refused_before_anything_is_unpacked(small_bytes):
    facts, tensors = parts(small_bytes)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("bundle.json", "w", force_zip64=True) as member:
            for _ in range(64):
                member.write(b" " * 2**20)
        archive.writestr("fss.safetensors", tensors)
    assert len(file.getvalue()) < 200_000
    assert "is packed or claims 67108864 bytes" in refused(file.getvalue())
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("bundle.json", text_of(facts))
        archive.writestr(
            zipfile.ZipInfo("fss.safetensors"), b"\0" * 2**26, compress_type=zipfile.ZIP_DEFLATED, compresslevel=9
        )
    assert "fss.safetensors is packed" in refused(file.getvalue())
    lying = bytearray(small_bytes)  # says that the facts are deflated, with sizes that agree
    lying[8] = lying[lying.index(b"PK\x01\x02") + 10] = zipfile.ZIP_DEFLATED
    assert "bundle.json is packed" in refused(bytes(lying))
    many = io.BytesIO()
    with zipfile.ZipFile(many, "w") as archive:
        for i in range(2000):
            archive.writestr(f"{i}", b"")
    assert "lists too many files" in refused(many.getvalue())
    end = small_bytes[-22:]
    lied = small_bytes[:-22] + end[:12] + struct.pack("<I", 2**32 - 1) + end[16:]
    assert "lists too many files" in refused(lied)
    assert "is packed or claims" in refused(written({**facts, "date": "x" * 2**20}, tensors))
    deep = b'{"format": "fssd-bundle", "fss": {}, "x": ' + b"[" * 500_000
    hidden = io.BytesIO()
    with zipfile.ZipFile(hidden, "w") as archive:
        archive.writestr("bundle.json", deep)
    assert "cannot be read" in refused(hidden.getvalue())


def test_huge_files_are_not_read(tmp_path):
    path = tmp_path / "huge.fssd"
    with path.open("wb") as file:
        file.truncate(2**29 + 1)  # sparse
    with pytest.raises(ModelError, match="has 536870913 bytes; a bundle has at most 536870912"):
        read_bundle(path)


def test_a_newer_version_is_refused_as_such(small_bytes):
    message = refused(edited(small_bytes, "version", value=2))
    assert "has format version 2, written by fssd-explorer '0.1.0'; this program reads up to 1. Update" in message
    facts, tensors = parts(small_bytes)
    newer = written({**facts, "version": 3, "new": {"more": 1}}, tensors, extra=[("more.bin", b"1")])
    assert "has format version 3" in refused(newer)
    for wrong in (0, -1, True, "1", None, 1.0, [1]):
        assert "states version" in refused(edited(small_bytes, "version", value=wrong))
    assert "does not say format" in refused(edited(small_bytes, "format", value="zip"))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("detector", "threshold"), "8", "threshold is '8', expected a number"),
        (("detector", "threshold"), True, "expected a number"),
        (("detector", "threshold"), 8, "written in another way"),
        (("detector", "threshold"), 10**400, "too large"),
        (("detector", "alpha"), [1.0, 2.0], "give one value a layer"),
        (("detector", "alpha"), [None], "expected numbers"),
        (("detector", "alpha"), 1.0, "expected a list"),
        (("detector", "alpha_labels"), None, "expected a text"),
        (("detector", "layers"), ["conv1"], "F\\* has layers logits, the facts say conv1"),
        (("detector", "layers"), [["logits"]], "expected texts"),
        (("detector", "gradient"), "sgn", "did you mean 'sign'"),
        (("detector", "epsilon"), 1.5, "in pixels"),
        (("detector", "batch_size"), 0, "a batch has 1 to"),
        (("detector", "batch_size"), 2.0, "expected a whole number"),
        (("detector", "depends_on_batch"), True, "written in another way"),
        (("detector", "threshold_chosen"), {"by": "magic", "words": ""}, "it needs `by`"),
        (("detector", "threshold_chosen"), {"by": "tpr", "words": "", "x": []}, "more than words and numbers"),
        (("detector", "more"), 1, "unknown"),
        (("detector",), [], "detector is no object"),
        (("model", "input_shape"), [1, 28], "expected 3 whole numbers"),
        (("model", "input_shape"), [1, 28, 28.0], "expected 3 whole numbers"),
        (("model", "input_shape"), [1, 28, -28], "channels, height, width"),
        (("model", "mean"), [0.0, 0.0], "one value a channel"),
        (("model", "std"), [0.0], "std above 0"),
        (("model", "std"), None, "mean and std must be given together"),
        (("model", "weights_sha256"), "abc", "no SHA-256"),
        (("model", "step"), "last", "expected a whole number"),
        (("fss", "sizes"), [11], "written in another way"),
        (("fss", "probe"), [], "0 probe distances"),
        (("fss", "seed"), -1, "a seed is 0 to"),
        (("measured",), [1], "is no object"),
        (("measured",), {}, "measured is .*expected a list"),
        (("date",), "soon", "ISO 8601"),
        (("extra",), 1, "unknown"),
    ],
)
def test_forged_facts_are_refused_whatever_their_digest(small_bytes, path, value, message):
    assert re.search(message, refused(edited(small_bytes, *path, value=value)))


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_not_finite_are_refused(small_bytes, word):
    content = edited(small_bytes, "detector", "threshold", value=-12345.5)
    facts, tensors = parts(content)
    text = text_of(facts).replace(b"-12345.5", word.encode())
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("bundle.json", text)
        archive.writestr("fss.safetensors", tensors)
    refused(file.getvalue())


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"logits": np.full(10, np.nan, np.float32)}, "10 of 10 values of F\\* of logits are NaN"),
        ({"logits": np.zeros(10)}, "must be float32"),
        ({"logits": np.zeros((2, 5), np.float32)}, "must be float32"),
        ({"logits": np.zeros(10, np.float32), "fc1": np.zeros(2, np.float32)}, "F\\* has layers fc1, logits"),
        ({}, "F\\* has layers"),
        (b"", "holds what no bundle holds"),
        (b"\xff" * 100, "holds what no bundle holds"),
    ],
)
def test_forged_tensors_are_refused(small_bytes, tensors, message):
    facts, _ = parts(small_bytes)
    content = tensors if isinstance(tensors, bytes) else save_tensors(tensors)
    assert re.search(message, refused(written(facts, content)))


# --- the model


def test_a_bundle_of_another_checkpoint_is_refused():
    bundle = made(dataclasses.replace(STUDY, model="demo/lenet@900"))
    assert load_detector(bundle).bundle.step == 900
    for other in ("demo/lenet", load_model("demo/lenet"), load_model("demo/lenet").module):
        with pytest.raises(ModelError, match=r"made for 'demo/lenet@900' at step 900.* has other weights"):
            load_detector(bundle, other)


def test_every_way_of_giving_the_model_gives_the_same_scores(tmp_path, plain):
    images = load_data("mnist").tensor()[:20]
    expected = load_detector(plain).scores(images)
    module = load_model("demo/lenet").module
    torch.save(module.state_dict(), tmp_path / "weights.pt")
    save_file(module.state_dict(), tmp_path / "weights.safetensors")
    ways = ["demo/lenet", "demo/lenet@13132", load_model("demo/lenet"), module, nn.DataParallel(module)]
    ways += [tmp_path / "weights.pt", str(tmp_path / "weights.safetensors"), torch.compile(module)]
    for way in ways:
        np.testing.assert_array_equal(load_detector(bundle_bytes(plain), way).scores(images), expected)


def test_the_own_reference_is_found_also_beside_the_bundle(tmp_path, monkeypatch):
    module = load_model("demo/lenet").module
    folder = tmp_path / "there"
    folder.mkdir()
    torch.save(module.state_dict(), folder / "mine.pt")
    study = dataclasses.replace(STUDY, model=str(folder / "mine.pt"), arch="lenet")
    bundle = made(study)
    assert load_detector(bundle).bundle.reference == str(folder / "mine.pt")
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    save_bundle(moved / "d.fssd", bundle)
    (folder / "mine.pt").rename(moved / "mine.pt")
    assert load_detector(moved / "d.fssd").bundle.arch == "lenet"
    with pytest.raises(ModelError, match=r"cannot be loaded here .*mine\.pt.*give the model"):
        load_detector(bundle)
    named = made(dataclasses.replace(study, model=str(moved / "mine.pt")), reference="mine.pt")
    assert str(tmp_path) not in bundle_bytes(named).decode("latin1")
    save_bundle(moved / "named.fssd", named)
    load_detector(moved / "named.fssd")


def test_a_model_with_one_other_weight_is_refused(plain):
    module = load_model("demo/lenet").module
    with torch.no_grad():
        weight = module.logits.bias
        weight[0] = torch.nextafter(weight[0], torch.tensor(9.0))
    with pytest.raises(ModelError, match="the given LeNet has other weights"):
        load_detector(plain, module)
    with pytest.raises(ModelError, match=r"some of them are float16, a bundle is made with float32"):
        load_detector(plain, load_model("demo/lenet").module.half())
    with pytest.raises(InputError, match="model is a int"):
        load_detector(plain, 5)


def test_a_loaded_model_of_another_architecture_is_refused(plain):
    model = dataclasses.replace(load_model("demo/lenet"), arch="mlp")
    with pytest.raises(ModelError, match="has architecture 'mlp'"):
        load_detector(plain, model)


def test_the_same_weights_in_another_forward_pass_are_refused(plain):
    class Normalising(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.conv1, self.conv2, self.fc1, self.logits = inner.conv1, inner.conv2, inner.fc1, inner.logits
            self.dropout, self.run = inner.dropout, type(inner).forward

        def forward(self, x):
            return self.run(self, (x - 0.5) / 0.5)

    module = load_model("demo/lenet").module
    assert weights_digest(Normalising(module)) == plain.weights_sha256
    with pytest.raises(ModelError, match=r"computes something else.*layer conv1 .*normalisation of its own"):
        load_detector(plain, Normalising(module))
    module.conv2[1] = nn.GELU()
    with pytest.raises(ModelError, match=r"computes something else.*layer conv2"):
        load_detector(plain, module)


def test_a_model_without_the_bundles_layers_is_refused(tmp_path):
    torch.manual_seed(0)
    module = AuthorsLeNet(10, (1, 28, 28))
    torch.save(module.state_dict(), tmp_path / "authors.pt")
    study = dataclasses.replace(STUDY, model=str(tmp_path / "authors.pt"), arch="lenet-authors")
    bundle = made(study, ensemble.uniform(("relu1", "relu2", "relu3", "fc2")))

    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            for name in ("conv1", "conv2", "fc1", "fc2"):
                setattr(self, name, getattr(module, name))

    load_detector(bundle, module)
    with pytest.raises(ModelError, match="the model has no layer 'relu1'"):
        load_detector(bundle, Functional())


def test_the_weights_digest_is_of_content_alone():
    state = {
        "b": torch.tensor([[1.0, 2.0]]),
        "a": torch.tensor(3, dtype=torch.int64),
        "bn.num_batches_tracked": torch.tensor(7),
    }
    digest = hashlib.sha256()
    for head, body in (
        (b"a\0torch.int64\0()\0", struct.pack("<q", 3)),
        (b"b\0torch.float32\0(1, 2)\0", struct.pack("<ff", 1, 2)),
    ):
        digest.update(struct.pack("<Q", len(head)) + head + body)
    assert weights_digest(state) == digest.hexdigest()
    columns = torch.tensor([[1.0, 9.0], [2.0, 9.0]]).t()[:1]  # the same values, strided
    assert not columns.is_contiguous()
    assert weights_digest({**state, "b": columns}) == digest.hexdigest()
    for other in (
        {"b": torch.tensor([[1.0, 2.5]])},
        {"b": torch.tensor([1.0, 2.0])},
        {"b": torch.tensor([[1.0, 2.0]], dtype=torch.float64)},
        {"c": torch.tensor(0.0)},
        {"a": torch.tensor(3, dtype=torch.int32)},
    ):
        assert weights_digest({**state, **other}) != digest.hexdigest()
    with pytest.raises(ModelError, match="no tensor"):
        weights_digest({"x": b"extra"})


def test_batch_norms_counter_does_not_count_but_its_statistics_do():
    torch.manual_seed(0)
    module = CifarResNet(10, (3, 32, 32), depth=20)
    before = weights_digest(module)
    module.bn1.num_batches_tracked += 5
    assert weights_digest(module) == before
    module.bn1.running_mean[0] += 1
    assert weights_digest(module) != before


def test_loading_leaves_the_module_as_it_was(plain):
    module = load_model("demo/lenet").module.train()
    before = weights_digest(module)
    load_detector(plain, module).scores(torch.rand(3, 1, 28, 28))
    assert module.training
    assert all(m.training for m in module.modules())
    assert all(p.requires_grad for p in module.parameters())
    assert not any(m._forward_hooks for m in module.modules())
    assert weights_digest(module) == before


# --- images


@pytest.mark.parametrize(
    ("images", "kind", "message"),
    [
        (torch.zeros(2, 3, 28, 28), InputError, r"3x28x28 .* this bundle takes 1x28x28"),
        (torch.zeros(2, 1, 32, 32), InputError, "this bundle takes 1x28x28"),
        (torch.zeros(0, 1, 28, 28), InputError, "0 images"),
        (torch.full((2, 1, 28, 28), 255.0), InputError, "pixels from 255 to 255 were given.*divide bytes by 255"),
        (torch.full((2, 1, 28, 28), -1.0), InputError, "must lie in 0 to 1"),
        (
            torch.tensor([0.5, math.nan, math.inf]).view(3, 1, 1, 1).expand(3, 1, 28, 28),
            InputError,
            "2 of 3 images",
        ),
        (torch.zeros(2, 1, 28, 28, dtype=torch.uint8), ModelError, r"give float \(N, C, H, W\)"),
        (torch.zeros(1, 28, 28), ModelError, r"give float \(N, C, H, W\)"),
    ],
)
def test_images_that_do_not_fit_are_refused(plain, images, kind, message):
    with pytest.raises(kind, match=message):
        load_detector(plain).verdicts(images)


def test_doubles_and_halves_are_images_too(plain):
    images = load_data("mnist").tensor()[:4]
    detector = load_detector(plain)
    np.testing.assert_array_equal(detector.scores(images.double()), detector.scores(images))
    np.testing.assert_allclose(detector.scores(images.half()), detector.scores(images), rtol=1e-3)


def test_the_threshold_itself_is_accepted(plain):
    images = load_data("mnist").tensor()[:10]
    scores = load_detector(plain).scores(images)
    value = float(np.sort(scores)[4])
    for threshold, count in ((value, 6), (math.nextafter(value, math.inf), 5)):
        bundle = dataclasses.replace(plain, threshold=threshold)
        assert load_detector(bundle).verdicts(images).sum() == count


def test_standardised_bundles_keep_their_batch_size():
    study = dataclasses.replace(STUDY, gradient="standardised")
    images = load_data("mnist").tensor()[:300]
    bound, free = load_detector(made(study, epsilon=0.02)), load_detector(made(study, epsilon=0.0))
    assert bound.bundle.depends_on_batch
    assert not free.bundle.depends_on_batch
    with pytest.raises(InputError, match="scores depend on the batch, and this bundle was made with 256"):
        bound.scores(images, batch_size=64)
    whole = bound.scores(images)
    np.testing.assert_array_equal(bound.scores(images, batch_size=256), whole)
    np.testing.assert_array_equal(bound.scores(images[:256]), whole[:256])
    assert (bound.scores(images[:64]) != whole[:64]).any()  # why the size is fixed
    np.testing.assert_allclose(free.scores(images, batch_size=64), free.scores(images), rtol=1e-6)


def test_short_memory_halves_the_batch_only_where_that_changes_nothing():
    def short(_module, inputs):
        if len(inputs[0]) > 100:
            raise torch.OutOfMemoryError("out of memory")

    images = load_data("mnist").tensor()[:300]
    for gradient in ("sign", "standardised"):
        bundle = made(dataclasses.replace(STUDY, gradient=gradient), epsilon=0.01)
        expected = load_detector(bundle).scores(images)
        detector = load_detector(bundle)
        handle = detector.extractor.module.register_forward_pre_hook(short)
        if gradient == "sign":
            np.testing.assert_allclose(detector.scores(images), expected, rtol=1e-6)
        else:
            with pytest.raises(MemoryShortError, match="a batch of 256 images does not fit"):
                detector.scores(images)
        handle.remove()


def test_progress_is_told_and_can_cancel(plain):
    seen = []
    load_detector(plain).scores(torch.rand(600, 1, 28, 28), progress=lambda *told: seen.append(told))
    assert [done for done, _, _ in seen] == [0, 256, 512, 600]


def test_load_detector_is_public():
    assert fssd_core.load_detector is load_detector
    with pytest.raises(AttributeError, match="no attribute 'load_detectors'"):
        _ = fssd_core.load_detectors


def test_the_ten_lines_of_the_document_run(tmp_path, monkeypatch, capsys):
    document = (HERE.parents[2] / "docs" / "bundle.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", document, re.DOTALL)
    use = next(b for b in blocks if "load_detector" in b)
    assert len([line for line in use.splitlines() if line.strip()]) <= 10
    images = load_data("fmnist:test").images
    np.savez(tmp_path / "images.npz", images=images[:200])
    study = dataclasses.replace(STUDY, samples=None)
    tables = layer_scores(study, study.ind, store=Store(tmp_path / "store"))[0.0]
    scores = ensemble.combine(tables, UNIFORM)
    save_bundle(tmp_path / "detector.fssd", made(threshold=float(np.quantile(scores, 0.05))))
    monkeypatch.chdir(tmp_path)
    space: dict = {}
    exec(compile(use, "docs/bundle.md", "exec"), space)
    np.testing.assert_array_equal(space["scores"], scores[:200])
    np.testing.assert_array_equal(space["accepted"], scores[:200] >= np.quantile(scores, 0.05))
    assert f"{space['accepted'].sum()} of 200" in capsys.readouterr().out


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")
def test_a_gpu_gives_nearly_the_same_scores():
    images = load_data("mnist").tensor()[:500]
    for epsilon in (0.0, 0.01):
        bundle = made(epsilon=epsilon)
        cpu, gpu = (load_detector(bundle, device=name) for name in ("cpu", "cuda"))
        np.testing.assert_allclose(gpu.scores(images), cpu.scores(images), rtol=5e-3)
        repeat = load_detector(bundle, load_model("demo/lenet").module.cuda())
        assert repeat.extractor.device.type == "cuda"
        np.testing.assert_array_equal(repeat.verdicts(images), gpu.verdicts(images))
