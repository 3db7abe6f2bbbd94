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


def read_the_report(browser: Any, path: Any, seen: dict[str, Any]) -> None:
    """In a browser without a network: the cockpit's numbers, readable on a screen and on one sheet of paper."""
    with open_page(browser, "about:blank", color_scheme="dark", offline=True) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        text = page.locator("body").inner_text()
        row = next(r.inner_text() for r in page.locator("tr").all() if r.inner_text().startswith(seen["state"]["ood"]))
        assert f"{seen['metrics']['auroc']:.4f}" in row
        counts = [cell for cell in text.splitlines() if cell.startswith(seen["state"]["ood"])]
        assert any(f"{seen['confusion']['fp']:,}" in line and f"{seen['confusion']['tn']:,}" in line for line in counts)
        assert "500 ind + 500 ood images of mnist" in text
        assert [a for a in asked if not a.startswith(("file:", "data:"))] == []
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(23, 22, 20)"
        assert page.evaluate("[...document.images].every((i) => i.naturalWidth === 28)")
        for width in (1440, 390):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.emulate_media(media="print")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        sheets = len(re.findall(rb"/Type\s*/Page\b", page.pdf(prefer_css_page_size=True)))
        assert sheets == 1


def test_the_exported_detector_gives_the_pages_verdicts(browser, url, tmp_path):
    with open_page(browser, f"{url}/tuning", accept_downloads=True) as page:
        page.wait_for_function(f"{PROBE}?.metrics?.auroc > 0", timeout=60_000)
        page.get_by_role("button", name=re.compile("^logistic on mnist")).click()
        page.wait_for_function("location.search.includes('alpha=')")
        page.wait_for_timeout(1500)
        page.get_by_text("Take the detector with you").click()
        table = save(page, "scores.csv", tmp_path)
        parquet = save(page, "scores.parquet", tmp_path)
        path = save(page, "detector.fssd", tmp_path)
        report = save(page, "report.html", tmp_path)
        seen = {name: page.evaluate(f"{PROBE}.{name}") for name in ("metrics", "confusion", "state")}
    bundle = read_bundle(path)
    assert bundle.weights.rule == "logistic"
    assert "mnist" in bundle.weights.labels
    assert {m.ood for m in bundle.measured} == {"photo-patches", "fmnist-inverted", "mnist"}
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    columns = pytest.importorskip("pyarrow.parquet").read_table(parquet).to_pylist()
    assert [str(row["score"]) for row in columns] == [row["score"] for row in rows]
    read_the_report(browser, report, seen)
    study, detector = Study(), load_detector(path)
    for ref in (study.ind, *study.ood):
        images = open_data(study, ref)
        mine = [r for r in rows if r["data"] == ref]
        assert [int(r["row"]) for r in mine] == images.rows.tolist()
        assert [r["accepted"] == "True" for r in mine] == detector.verdicts(images.tensor()).tolist()
        scores = detector.scores(images.tensor())
        assert scores == pytest.approx([float(r["score"]) for r in mine], rel=1e-4, abs=1e-4)
