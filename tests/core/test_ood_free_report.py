"""The ood-free study's rule of choice, the committed results, and that the shipped detector is what they chose."""

from __future__ import annotations

import json

import pytest

from benchmarks.ood_free import __main__ as study
from benchmarks.ood_free import report
from benchmarks.ood_free.candidates import CANDIDATES
from benchmarks.ood_free.nets import DEVELOPMENT, is_development
from fssd_core.detectors import DETECTORS


@pytest.fixture(scope="module")
def told() -> dict:
    return json.loads(study.RESULTS.read_text())


def flat(**values: tuple[float, float]) -> dict[str, dict[str, float]]:
    names = {"one": "radius: sum of |z|", "two": "radius + N0", "two_later": "radius + N*", "three": "radius + N0 + N*"}
    return {names[key]: {"a": first, "b": second} for key, (first, second) in values.items()}


def test_the_criterion_is_half_the_mean_and_half_the_worst_of_each_network():
    tables = [flat(one=(1.0, 0.8)), flat(one=(0.9, 0.5))]
    assert report.criterion(tables, "radius: sum of |z|") == pytest.approx(((0.9 + 0.8) / 2 + (0.7 + 0.5) / 2) / 2)


@pytest.mark.parametrize(
    ("values", "chosen"),
    [
        ({"one": (0.9, 0.9), "three": (0.95, 0.95)}, "radius + N0 + N*"),
        ({"one": (0.948, 0.949), "three": (0.95, 0.95)}, "radius: sum of |z|"),  # 0.00175 below, and simpler
        ({"one": (0.9, 0.9), "two_later": (0.95, 0.95), "two": (0.949, 0.949)}, "radius + N0"),  # the first listed
    ],
)
def test_of_those_within_0_002_the_simplest_is_chosen(values, chosen):
    assert report.choice([flat(**values)]) == chosen


def test_development_chose_what_ships(told):
    assert set(told["development"]) == set(DEVELOPMENT)
    assert not any(is_development(name) for name in told["report"])
    chosen = report.choice(list(told["development"].values()))
    assert chosen == "radius + N0 + N*, by class"
    values = DETECTORS["fssd-ood-free"].check({})
    assert values == {"parts": "all", "scale": "class", "neighbours": 10}
    for name in told["detectors"]:  # the detector is the candidate
        ours = told["detectors"][name]["auroc"]["fssd-ood-free"]
        assert ours == pytest.approx(told["report"][name][chosen], abs=2e-4)


def test_every_candidate_was_judged_on_every_set(told):
    for table in [*told["development"].values(), *told["report"].values()]:
        assert {c.name for c in CANDIDATES} <= set(table)
        assert len({tuple(row) for row in table.values()}) == 1


def test_the_committed_results_are_printed_and_what_is_unknown_is_refused(capsys, told):
    assert study.main(["--show"]) == 0
    said = capsys.readouterr().out
    assert "Chosen: radius + N0 + N*, by class" in said
    row = next(line for line in said.splitlines() if line.startswith("| **fssd-ood-free**"))
    nets = [name for name in told["report"] if name.startswith("lenet") and name in told["detectors"]]
    cells = [v for name in nets for v in told["detectors"][name]["auroc"]["fssd-ood-free"].values()]
    assert row.split(" | ")[1] == f"{sum(cells) / len(cells):.3f}"
    assert row.split(" | ")[2] == f"{min(cells):.3f}"
    assert study.main(["--networks", "lenet-7"]) == 2
    assert "no network 'lenet-7'; there are lenet-100" in capsys.readouterr().err
    assert study.main(["--outside", "notMNIST"]) == 2
    assert "write NAME=FILE.npz" in capsys.readouterr().err


def test_compact_json_is_one_line_a_score_and_reads_back():
    value = {"report": {"net": {"score": {"a": 0.5, "b": 1.0}}}, "outside": ["x"]}
    written = report.compact(value)
    assert json.loads(written) == value
    assert '   "score": {"a": 0.5, "b": 1.0}\n' in written
    assert report.rounded({"a": {"b": 0.123456789}, "n": 3, "t": "x"}) == {"a": {"b": 0.12346}, "n": 3, "t": "x"}
