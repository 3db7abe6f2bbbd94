"""What leaves the page runs the same: the exported detector's verdicts are the page's, image by image."""

from __future__ import annotations

import csv
import re
from typing import Any

import pytest

from fssd_core.bundle import load_detector, read_bundle
from fssd_core.study import Study, open_data
from tests.e2e.conftest import open_page

pytestmark = pytest.mark.e2e
PROBE = "window.__fssdCockpit?.['tuning-cockpit']"


@pytest.fixture(scope="module")
def url(dashboard: str) -> str:
    return dashboard


def save(page: Any, name: str, folder: Any) -> Any:
    with page.expect_download(timeout=60_000) as download:
        page.get_by_role("button", name=f"Download {name}").click()
    path = folder / name
    download.value.save_as(path)
    return path


def test_the_exported_detector_gives_the_pages_verdicts(browser, url, tmp_path):
    with open_page(browser, f"{url}/tuning", accept_downloads=True) as page:
        page.wait_for_function(f"{PROBE}?.metrics?.auroc > 0", timeout=60_000)
        page.get_by_role("button", name=re.compile("^logistic on mnist")).click()
        page.wait_for_function("location.search.includes('alpha=')")
        page.wait_for_timeout(1500)
        page.get_by_text("Take the detector with you").click()
        table = save(page, "scores.csv", tmp_path)
        path = save(page, "detector.fssd", tmp_path)
    bundle = read_bundle(path)
    assert bundle.weights.rule == "logistic"
    assert "mnist" in bundle.weights.labels
    assert {m.ood for m in bundle.measured} == {"photo-patches", "fmnist-inverted", "mnist"}
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    study, detector = Study(), load_detector(path)
    for ref in (study.ind, *study.ood):
        images = open_data(study, ref)
        mine = [r for r in rows if r["data"] == ref]
        assert [int(r["row"]) for r in mine] == images.rows.tolist()
        assert [r["accepted"] == "True" for r in mine] == detector.verdicts(images.tensor()).tolist()
        scores = detector.scores(images.tensor())
        assert scores == pytest.approx([float(r["score"]) for r in mine], rel=1e-4, abs=1e-4)
