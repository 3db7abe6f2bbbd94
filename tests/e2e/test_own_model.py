"""A researcher's checkpoint and a zip of pictures: at the Features page in five clicks, and refusals on the way."""

from __future__ import annotations

import io
import re
import zipfile
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

from fssd_core.data import load_data
from fssd_core.models import ARCHS
from tests.e2e.conftest import open_page
from tests.e2e.test_app import PROBE, drawn

pytestmark = pytest.mark.e2e


class Trap:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def resnet20() -> bytes:
    """A training checkpoint as akamaster's code writes it, with DataParallel's prefix."""
    torch.manual_seed(0)
    module: nn.Module = ARCHS["resnet-cifar20"].build(10, (3, 32, 32))
    state = {f"module.{name}": tensor for name, tensor in module.state_dict().items()}
    buffer = io.BytesIO()
    torch.save({"state_dict": state, "best_prec1": 91.7}, buffer)
    return buffer.getvalue()


def zipped(count: int = 120) -> bytes:
    """Colour pictures of 48x40 pixels in two folders."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for row, image in enumerate(load_data("fmnist:test").images[:count]):
            picture = io.BytesIO()
            Image.fromarray(image).resize((48, 40)).convert("RGB").save(picture, "PNG")
            archive.writestr(f"{'ab'[row % 2]}/{row}.png", picture.getvalue())
    return buffer.getvalue()


def choose_file(page: Any, label: str, name: str, content: bytes) -> None:
    """One click on the uploader's button, and the file in the dialog it opens."""
    uploader = page.locator("[data-testid=stMain] [data-testid=stFileUploader]").filter(has_text=label)
    with page.expect_file_chooser() as chooser:
        uploader.locator("button", has_text="Upload").click()
    chooser.value.set_files({"name": name, "mimeType": "application/octet-stream", "buffer": content})


def test_a_resnet20_checkpoint_and_a_zip_reach_the_features_page_in_five_clicks(browser, dashboard):
    with open_page(browser, dashboard) as page:
        drawn(page)
        page.evaluate("window.__clicks = 0; addEventListener('click', e => e.isTrusted && window.__clicks++, true)")
        page.get_by_role("link", name="Your model").click()
        choose_file(page, "Checkpoint", "r20.th.pt", resnet20())
        page.get_by_text("resnet-cifar20", exact=True).first.wait_for(timeout=60_000)
        choose_file(page, "Images", "mine.zip", zipped())
        page.get_by_text(re.compile(r"On mine\.zip .*")).wait_for(timeout=60_000)
        text = page.locator("[data-testid=stMain]").inner_text()
        assert "270 k" in text
        assert "40.6 M" in text
        page.get_by_role("button", name="Open in Features with 6 layers").click()
        page.locator("h1", has_text="Features around F*").wait_for(timeout=60_000)
        assert page.evaluate("window.__clicks") <= 5
        assert re.search(r"r20\.th", page.locator("[data-testid=stSidebar]").inner_text())
        page.wait_for_function(f"{PROBE} && {PROBE}.drawn > 200 && !{PROBE}.moving", timeout=180_000)
        assert page.locator("[data-testid=stException]").count() == 0
        assert "linear" in page.locator(".title").first.inner_text()


def test_what_cannot_be_used_says_so_and_nothing_in_it_is_run(browser, dashboard, tmp_path):
    mark = tmp_path / "ran"
    buffer = io.BytesIO()
    torch.save({"state_dict": {}, "trap": Trap(str(mark))}, buffer)
    with open_page(browser, f"{dashboard}/own_model") as page:
        page.locator("h1", has_text="Your own model").wait_for(timeout=60_000)
        choose_file(page, "Checkpoint", "evil.pt", buffer.getvalue())
        alert = page.locator("[data-testid=stMain] [data-testid=stAlert]").filter(has_text="evil.pt")
        alert.wait_for(timeout=60_000)
        assert "opening it could run code, so it was refused" in alert.inner_text()
        code = page.locator("[data-testid=stMain] [data-testid=stCode]").inner_text()
        assert "torch.save(checkpoint['state_dict'], 'weights.pt')" in code
        assert "/uploads/" not in page.locator("[data-testid=stMain]").inner_text()
        assert not mark.exists()
        odd = io.BytesIO()
        torch.save({"a.weight": torch.ones(2, 2), "b.weight": torch.ones(2)}, odd)
        page.get_by_role("button", name=re.compile("Remove|Delete|Clear")).first.click()
        choose_file(page, "Checkpoint", "odd.pt", odd.getvalue())
        page.get_by_text(re.compile(r"odd\.pt.*fit none of the known")).wait_for(timeout=60_000)
        assert page.locator("[data-testid=stException]").count() == 0
