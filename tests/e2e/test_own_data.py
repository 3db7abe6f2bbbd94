"""People's own pictures in the real page: a .zip becomes an ood set, what is broken or harmful is said and no more."""

from __future__ import annotations

import io
import re
import zipfile
from typing import Any

import pytest
from PIL import Image

from fssd_core.data import load_data
from tests.e2e.conftest import open_page
from tests.e2e.test_app import DEMO_POINTS, choose_ood, drawn, upload

pytestmark = pytest.mark.e2e


def pack(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def pictures(count: int) -> dict[str, bytes]:
    """A folder a class of FashionMNIST images turned by 90 degrees, as 40x40 RGB PNG."""
    files = {}
    for row, image in enumerate(load_data("fmnist-rotated").images[:count]):
        buffer = io.BytesIO()
        Image.fromarray(image).resize((40, 40)).convert("RGB").save(buffer, "PNG")
        files[f"mine/{'ab'[row % 2]}/{row}.png"] = buffer.getvalue()
    return files


def notes(page: Any) -> str:
    return " ".join(page.locator("[data-testid=stMain] [data-testid=stAlert]").all_inner_texts())


def test_a_zip_of_pictures_is_drawn_and_its_broken_file_named_inert(browser, dashboard):
    asked: list[str] = []
    with open_page(browser, dashboard) as page:
        page.on("request", lambda request: asked.append(request.url))
        drawn(page)
        hostile = "mine/a/![x](http:/evil.example/y.png)<img src=x onerror=alert(1)>\x1b.png"
        upload(page, "Images", "mine.zip", pack(pictures(320) | {hostile: b"no picture"}))
        page.get_by_text("Now offered under ind and ood").wait_for(timeout=60_000)
        choose_ood(page, "mine.zip")
        drawn(page, DEMO_POINTS + 300)
        said = notes(page)
        assert "320 of 320 pictures were resized to 28x28 pixels" in said
        assert "1 of 321 files could not be read" in said
        assert "<img src=x onerror=alert(1)>" in said  # as text, not as a tag
        assert page.locator("[data-testid=stMain] [data-testid=stAlert] :is(img, a[href])").count() == 0
        assert not [url for url in asked if "evil" in url]
        assert page.locator("[data-testid=stException]").count() == 0


def test_a_zip_that_leads_outside_is_refused_beside_the_button(browser, dashboard):
    with open_page(browser, dashboard) as page:
        drawn(page)
        upload(page, "Images", "evil.zip", pack({"good.png": b"", "../../evil.png": b""}))
        message = page.locator("[data-testid=stSidebar] [data-testid=stAlert]")
        message.wait_for(timeout=30_000)
        assert re.search(r"evil\.zip: the \.zip holds an entry named .*leads outside it", message.inner_text())
        drawn(page)


def test_other_sites_may_neither_send_files_nor_listen(dashboard):
    """Without the page's own token no upload is taken; a socket asked for by another site's page is refused."""
    import http.client

    host = dashboard.removeprefix("http://")

    def status(method: str, path: str, headers: dict[str, str]) -> int:
        link = http.client.HTTPConnection(host, timeout=20)
        link.request(method, path, body=b"x" if method == "PUT" else None, headers=headers)
        try:
            return link.getresponse().status
        finally:
            link.close()

    socket = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    assert status("PUT", "/_stcore/upload_file/a/b", {"Content-Type": "multipart/form-data; boundary=x"}) == 403
    assert status("GET", "/_stcore/stream", socket | {"Origin": "http://evil.example"}) == 403
    assert status("GET", "/_stcore/stream", socket | {"Origin": dashboard}) == 101
    assert status("GET", "/../../../../etc/passwd", {}) in (400, 403, 404)
