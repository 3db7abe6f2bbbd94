"""`fssd bench`: protocols that never show the test images before the test, stored outcomes, reports, errors."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from fssd_core import bench_report, bench_run, cli_common
from fssd_core.bench_open import Asked, open_bench
from fssd_core.bench_run import bench_call, outcome_key, run_all, run_detector, stored_outcome
from fssd_core.benchmarks import find_benchmark
from fssd_core.cli import main
from fssd_core.data import load_data
from fssd_core.detectors import DETECTORS
from fssd_core.detectors.base import Detector
from fssd_core.errors import CancelledError, InputError
from fssd_core.metrics import metrics, pr
from fssd_core.runtime import threads
from fssd_core.store import Store

if importlib.util.find_spec("pytorch_ood") is None:
    pytest.skip("pytorch-ood is not installed", allow_module_level=True)

SMALL = {"limit": 80, "train_limit": 60, "fit": 10, "noise_samples": 10}
FEW = ("fssd", "mahalanobis", "msp", "mahalanobis-plain")


@pytest.fixture(autouse=True)
def one_thread():
    with threads(1):
        yield


@pytest.fixture(scope="module")
def benches():
    return {protocol: open_bench(Asked("fmnist-mnist", protocol, **SMALL)) for protocol in ("paper", "no-ood-labels")}


@pytest.fixture(scope="module")
def kept(tmp_path_factory, benches):
    """The outcomes of a few detectors under both protocols, and the store that holds them."""
    store = Store(tmp_path_factory.mktemp("store"))
    with threads(1):
        outcomes = {p: dict(run_all(bench, FEW, store=store)) for p, bench in benches.items()}
    return store, outcomes


def digests(images: torch.Tensor) -> set[str]:
    pixels = (images * 255).round().to(torch.uint8).numpy()
    return {hashlib.sha256(image.tobytes()).hexdigest() for image in pixels}


@pytest.mark.parametrize("protocol", ["paper", "no-ood-labels"])
def test_no_test_image_and_without_labels_no_ood_image_is_seen_before_the_test(
    protocol, benches, tmp_path, monkeypatch
):
    bench = benches[protocol]
    seen: set[str] = set()
    finished = False
    fit, scores, choose = Detector.fit, Detector.scores, bench_run.choose

    def watched_fit(self, extractor, ind=None, labels=None, **rest):
        seen.update(digests(ind) if ind is not None else ())
        return fit(self, extractor, ind, labels, **rest)

    def watched_scores(self, images, **rest):
        if not finished:
            seen.update(digests(images))
        return scores(self, images, **rest)

    def watched_choose(*args, **rest):
        nonlocal finished
        choice = choose(*args, **rest)
        finished = True
        return choice

    monkeypatch.setattr(Detector, "fit", watched_fit)
    monkeypatch.setattr(Detector, "scores", watched_scores)
    monkeypatch.setattr(bench_run, "choose", watched_choose)
    for name in ("mahalanobis", "msp", "mahalanobis-plain"):
        finished = False
        run_detector(bench, name, store=Store(tmp_path))
    test = digests(bench.deal.test.ind.tensor()) | digests(bench.deal.test.ood.tensor())
    assert seen
    assert not seen & test
    every_ood = digests(load_data("mnist").tensor())
    assert bool(seen & every_ood) is (protocol == "paper")


def test_facts_name_the_protocols_labels_and_the_cost(kept):
    _, outcomes = kept
    facts = {p: {name: o.facts for name, o in found.items()} for p, found in outcomes.items()}
    assert facts["paper"]["fssd"]["labels_used"] == (
        "10 ind + 10 ood to fit alpha; 10 ind + 10 ood to choose parameters"
    )
    assert facts["paper"]["fssd"]["tried"] == 22
    assert facts["paper"]["mahalanobis-plain"]["labels_used"] == "none"
    assert (facts["paper"]["msp"]["tried"], facts["paper"]["msp"]["values"]) == (1, {"temperature": 1.0})
    assert all(found["labels_used"] == "none" and found["tried"] == 1 for found in facts["no-ood-labels"].values())
    assert facts["no-ood-labels"]["mahalanobis"]["values"] == {"epsilon": 0.0}
    assert facts["no-ood-labels"]["fssd"]["forwards"] == 1
    for found in facts["paper"].values():
        moved = found["values"].get("epsilon", 0) != 0
        assert (found["forwards"], found["backwards"]) == ((5, 4) if moved else (1, 0))
        assert found["ms_per_image"] > 0
        assert found["auroc_ci"][0] <= found["auroc"] <= found["auroc_ci"][1]
        assert (found["n_ind"], found["n_ood"]) == (60, 60)
    for name in ("fssd", "mahalanobis"):
        assert len(facts["paper"][name]["alpha"]) == 4
        assert np.abs(facts["paper"][name]["say"]).sum() == pytest.approx(1)
        assert np.allclose(facts["no-ood-labels"][name]["say"], 0.25), "without labels every layer has the same say"


def test_the_numbers_are_those_of_the_detector_called_by_hand(kept, benches):
    bench = benches["no-ood-labels"]
    train, deal = bench.deal.train, bench.deal
    detector = DETECTORS["mahalanobis-plain"].make()
    detector.fit(bench.model.extractor(device="cpu"), train.tensor(), torch.tensor(train.labels))
    ind, ood = (detector.scores(side.tensor()).values[:, 0] for side in (deal.test.ind, deal.test.ood))
    found = kept[1]["no-ood-labels"]["mahalanobis-plain"]
    expected = metrics(ind, ood)
    assert found.facts["auroc"] == pytest.approx(expected.auroc, abs=1e-9)
    assert found.facts["fpr80"] == expected.fpr80
    area = np.trapezoid(found.roc[:, 1], found.roc[:, 0])
    assert area == pytest.approx(expected.auroc, abs=0.01)
    curve = pr(ind, ood)
    for recall, precision in found.pr[1:]:
        gaps = np.abs(curve.x - recall) + np.abs(curve.y - precision)
        assert gaps.min() < 1e-6, "every drawn point lies on scikit-learn's curve"
    assert found.pr[0].tolist() == [0, 1]
    assert found.pr[-1, 0] == 1


def test_stored_outcomes_are_used_again_and_change_with_what_they_depend_on(kept, benches, monkeypatch):
    store, outcomes = kept
    bench = benches["paper"]

    def fail(*_args, **_rest):
        raise AssertionError("computed again")

    monkeypatch.setattr(Detector, "fit", fail)
    again = run_detector(bench, "fssd", store=store)
    assert again.facts == outcomes["paper"]["fssd"].facts
    assert np.array_equal(again.roc, outcomes["paper"]["fssd"].roc)
    keys = {
        outcome_key(bench, "fssd"),
        outcome_key(bench, "msp"),
        outcome_key(benches["no-ood-labels"], "fssd"),
        outcome_key(replace(bench, seed=1), "fssd"),
        outcome_key(replace(bench, noise_samples=11), "fssd"),
        outcome_key(open_bench(Asked("fmnist-mnist", model="demo/lenet", step=900, **SMALL)), "fssd"),
    }
    assert len(keys) == 6
    newer = replace(DETECTORS["fssd"], version=2)
    monkeypatch.setitem(DETECTORS, "fssd", newer)
    assert outcome_key(bench, "fssd") not in keys
    assert stored_outcome(bench, "fssd", store=store) is None


def test_stopping_keeps_what_was_finished(benches, tmp_path):
    store = Store(tmp_path)
    bench = benches["paper"]
    told: list[str] = []

    def stop(done: int, total: int, what: str) -> None:
        told.append(what)
        if "mahalanobis" in what and done:
            raise CancelledError("stopped")

    with pytest.raises(CancelledError):
        bench_call(bench, ["msp", "mahalanobis"], store=store, progress=stop)
    assert stored_outcome(bench, "msp", store=store) is not None
    assert stored_outcome(bench, "mahalanobis", store=store) is None
    assert "detectors (msp)" in told


def test_detectors_without_their_network_are_left_out_and_say_why(benches, tmp_path):
    bare = replace(benches["paper"], others={})
    with pytest.warns(UserWarning, match="mc-dropout cannot run here: needs a network with dropout layers"):
        missing = bench_call(bare, ["mc-dropout"], store=Store(tmp_path))
    assert missing == {"mc-dropout": "needs a network with dropout layers; give --dropout-model"}
    own = open_bench(Asked("own", model="demo/lenet", train="fmnist:train", ind="fmnist:test", ood="mnist", **SMALL))
    assert own.others == {}
    step = open_bench(Asked("fmnist-mnist", step=900, **SMALL))
    assert step.others == {}, "helper networks belong to the final network"
    with pytest.raises(InputError, match="limit 0 was given"):
        Asked("own", limit=0)
    with pytest.raises(InputError, match=r"benchmark 'cifar10-svhn' has no bundled network \(the paper: ResNet-34\)"):
        open_bench(Asked("cifar10-svhn"))


def test_reports_hold_the_papers_numbers_beside_ours(kept, benches):
    _, outcomes = kept
    told = bench_report.report(
        benches["paper"], [o.facts for o in outcomes["paper"].values()], {"gram": "needs images"}
    )
    rows = {row["detector"]: row for row in told["rows"]}
    assert rows["fssd"]["published"] == {"slides": [99.6, 99.7, 0.0]}
    assert rows["msp"]["published"] == {"slides": [77.3, 79.2, 43.5], "readme": [77.3, 79.2, 42.5]}
    assert rows["mahalanobis-plain"]["published"] == {}
    assert json.loads(json.dumps(told)) == told
    text = bench_report.text(told)
    assert "protocol paper: parameters and alpha chosen on labelled images of the tested ood set" in text
    assert "gram              not run: needs images" in text
    assert "77.3/79.2/43.5; 77.3/79.2/42.5" in text
    page = bench_report.markdown(told)
    lines = [line for line in page.splitlines() if line.startswith("| ")]
    assert len(lines) == 1 + len(FEW)
    aurocs = [float(line.split("|")[2].split()[0]) for line in lines[1:]]
    assert aurocs == sorted(aurocs, reverse=True)
    columns = bench_report.columns(told)
    assert len({len(column) for column in columns.values()}) == 1
    facts = [o.facts for o in outcomes["paper"].values()]
    other = replace(benches["paper"], ood="fmnist-inverted")
    assert bench_report.report(other, facts, {})["rows"][0]["published"] == {}


def test_files_in_place_of_data_that_is_not_bundled_keep_the_papers_numbers_with_a_caveat(kept, benches):
    facts = [o.facts for o in kept[1]["paper"].values()]
    row = find_benchmark("cifar10-svhn")
    for ood, slides, more in (("svhn:test", True, 0), ("few.npz", True, 1), ("stl10:test", False, 0)):
        told = bench_report.report(replace(benches["paper"], row=row, ood=ood), facts, {})
        assert ("slides" in told["rows"][0]["published"]) is slides
        assert len(told["caveats"]) == len(row.caveats) + more
        assert ("in place of svhn:test" in " ".join(told["caveats"])) is bool(more)


BENCH = ["bench", "fmnist-mnist", "--limit", "80", "--train-limit", "60", "--fit", "10", "--noise-samples", "10"]


def test_the_command_prints_json_and_writes_files(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FSSD_HOME", str(tmp_path / "home"))
    out = tmp_path / "told.json"
    names = ["--detectors", "fssd,msp", "--json", "--protocol", "no-ood-labels"]
    assert main([*BENCH, *names, "--out", str(out)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads(out.read_text())
    assert (told["benchmark"], told["protocol"]) == ("fmnist-mnist", "no-ood-labels")
    wanted = "detector auroc auroc_ci aupr_in aupr_out fpr80 fpr95 ms_per_image forwards backwards"
    assert set(wanted.split()) <= set(told["rows"][0])
    assert [row["detector"] for row in told["rows"]] == ["fssd", "msp"]
    for kind, start in ((".csv", "benchmark,protocol,detector"), (".md", "### FashionMNIST against MNIST")):
        path = tmp_path / f"told{kind}"
        assert main([*BENCH, *names, "--out", str(path)]) == 0
        assert path.read_text().startswith(start)
    capsys.readouterr()
    monkeypatch.setattr(bench_run, "_milliseconds", lambda *_: 12345.0)
    once = [*BENCH, "--detectors", "fssd", "--protocol", "no-ood-labels"]
    assert main(once) == 0
    told = capsys.readouterr()
    assert "AUROC [95 %]" in told.out
    assert "12345.00" not in told.out, "taken from the store"
    assert "(measured before; --anew measures again)" in told.err
    assert main([*once, "--anew"]) == 0
    told = capsys.readouterr()
    assert "12345.00" in told.out
    assert "measured before" not in told.err
    assert main(["list", "benchmarks"]) == 0
    assert "cifar10-svhn" in capsys.readouterr().out


def test_off_a_terminal_it_says_which_detector_is_how_far(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FSSD_HOME", str(tmp_path))
    monkeypatch.setattr(cli_common, "EVERY", 0.0)
    assert main([*BENCH, "--detectors", "vim", "--json"]) == 0
    told = capsys.readouterr()
    assert "fssd: vim, settings: 3 of 5" in told.err.splitlines()
    assert json.loads(told.out)["rows"][0]["tried"] == 5
    assert main([*BENCH, "--detectors", "fssd", "--json"]) == 0
    assert "fssd: fssd, images: 0 of 10" in capsys.readouterr().err.splitlines(), "during the sweep over epsilon too"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["bench", "fmnist-mnst"], "no benchmark 'fmnist-mnst'; did you mean 'fmnist-mnist'"),
        ([*BENCH, "--detectors", "odim"], "no detector 'odim'; did you mean 'odin'"),
        ([*BENCH, "--detectors", ","], "--detectors is empty"),
        ([*BENCH, "--protocol", "papers"], "no protocol 'papers'; did you mean 'paper'"),
        ([*BENCH, "--seed", "-1"], "--seed -1 was given"),
        ([*BENCH, "--ood", " "], "--ood is empty"),
        ([*BENCH, "--out", "x.txt"], "its ending must be one of .json, .csv, .md"),
        ([*BENCH, "--detectors", "mc-dropout", "--dropout-model", "demo/lenet"], "dropout layers"),
        (["bench", "cifar10-svhn"], "has no bundled network"),
        (["bench", "own", "--model", "demo/lenet"], "has no train images of its own; give --train"),
        (["bench", "fmnist-mnist", "--limit", "4", "--detectors", "msp"], "4 different images are too few"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_exit_code_2(flags, said, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FSSD_HOME", str(tmp_path))
    assert main(flags) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert told[-1].startswith("fssd: ")
    assert said in told[-1]
