"""The shipped rows of Table 2: made from reports of `fssd bench`, with the paper's numbers and every detector said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fssd_core import table2
from fssd_core.benchmarks import BENCHMARKS
from fssd_core.cli import main as fssd
from fssd_core.detectors import DETECTORS
from fssd_core.errors import DataError


@pytest.fixture
def report(tmp_path, monkeypatch):
    monkeypatch.setenv("FSSD_HOME", str(tmp_path / "home"))
    path = tmp_path / "report.json"
    few = ["--limit", "60", "--train-limit", "60", "--fit", "8", "--noise-samples", "5"]
    assert fssd(["bench", "fmnist-mnist", "--detectors", "msp,energy", *few, "--out", str(path), "--json"]) == 0
    return path


def test_a_report_is_shortened_and_shipped(report, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FSSD_ASSETS", str(tmp_path / "assets"))
    assert table2.shipped_tables() == []
    assert table2.main([str(report)]) == 0
    (told,) = table2.shipped_tables()
    full = json.loads(report.read_text())
    assert told == table2.read_report(report)
    assert (told["n_ind"], told["protocol"], told["caveats"]) == (full["n_ind"], "paper", full["caveats"])
    numbers = {row["detector"]: row["auroc"] for row in full["rows"]}
    assert [row["auroc"] for row in told["rows"]] == sorted((round(v, 4) for v in numbers.values()), reverse=True)
    published = {row["detector"]: row["published"] for row in told["rows"]}
    assert published == {"msp": {"slides": [77.3, 79.2, 43.5], "readme": [77.3, 79.2, 42.5]}, "energy": {}}


def test_the_documents_hold_the_tables_that_ship(capsys):
    assert table2.main([]) == 0
    printed = capsys.readouterr().out
    page = (Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    tables = table2.markdown(table2.shipped_tables())
    assert len(tables) == 3
    for name, table in tables.items():
        assert table in page, f"docs/benchmarks.md: take {name} from `python -m fssd_core.table2`"
        assert table in printed
    (first,) = [t for t in table2.shipped_tables() if (t["benchmark"], t["protocol"]) == ("bacteria-genome", "paper")]
    best = first["rows"][0]
    assert f"| {best['detector']} | {best['auroc']:.3f} [" in tables["bacteria-genome"]


@pytest.mark.parametrize("content", ["", "[]", '{"rows": [{}]}', '{"rows": 1}'])
def test_another_file_is_one_clear_line(content, tmp_path, capsys):
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(DataError, match=r"holds no report of `fssd bench NAME --out FILE\.json`"):
        table2.read_report(path)
    assert table2.main([str(tmp_path / "none.json")]) == 2
    assert "none.json cannot be read (No such file or directory)" in capsys.readouterr().err


def test_what_ships_accounts_for_every_detector_under_both_protocols():
    tables = table2.shipped_tables()
    assert {(t["benchmark"], t["protocol"]) for t in tables} == {
        (name, protocol)
        for name in ("bacteria-genome", "cifar10-svhn", "cifar10-cifar100")
        for protocol in ("paper", "no-ood-labels")
    }
    for table in tables:
        ran = {row["detector"] for row in table["rows"]}
        why = {entry["detector"]: entry["why"] for entry in table["skipped"]}
        assert ran | set(why) == set(DETECTORS)
        assert not ran & set(why)
        assert all(why.values())
        for row in table["rows"]:
            assert row["auroc_ci"][0] <= row["auroc"] <= row["auroc_ci"][1]
            slides = BENCHMARKS[table["benchmark"]].slides.get(row["detector"])
            assert row["published"].get("slides") == (None if slides is None else list(slides))
