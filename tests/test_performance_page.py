"""docs/performance.md says what the kept JSON says."""

from __future__ import annotations

import json

from benchmarks.engine import CASES, QUICK, Subject
from benchmarks.performance import PAGE, RESULTS, page, reports


def test_the_page_is_made_from_the_json():
    found = reports()
    assert found
    assert page(PAGE.read_text(), found) == PAGE.read_text()


def test_a_changed_figure_would_be_seen():
    found = json.loads((RESULTS / "engine-cpu.json").read_text())
    found["cases"][0]["ratios"]["authors over ours, 1 epsilon"] += 1
    assert page(PAGE.read_text(), [found]) != PAGE.read_text()


def test_every_case_can_be_built():
    for case in (*CASES, *QUICK):
        assert Subject(case, "cpu").images.shape == (case.images, *case.shape)


def test_the_json_says_on_what_it_was_measured():
    for report in reports():
        assert {"cpu", "torch", "numpy", "python", "commit", "date"} <= report["machine"].keys()
        assert report["load before"] >= 0
        for case in report["cases"]:
            assert case["largest relative difference"] < 2e-2
