"""Reading what the 'Save' menus give: one look each at a PNG, an SVG and a page of its own."""

from __future__ import annotations

import struct
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SVG = "{http://www.w3.org/2000/svg}"


def saved(page: Any, figure: str, kind: str, folder: Path) -> Path:
    """The file that the figure's 'Save' menu gives as 'PNG', 'SVG' or 'HTML'."""
    page.get_by_role("button", name=f"Save {figure}").click()
    with page.expect_download(timeout=60_000) as waiting:
        page.get_by_role("menuitem", name=kind).click()
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    assert path.suffix == f".{kind.lower()}"
    return path


def png_size(path: Path) -> tuple[int, int]:
    """(width, height) in pixels."""
    raw = path.read_bytes()
    assert raw[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", raw[16:24])


def svg_of(path: Path) -> ElementTree.Element:
    """The root of a file that is whole XML, names itself and asks nothing of a network."""
    root = ElementTree.parse(path).getroot()
    assert root.tag == f"{SVG}svg"
    assert root.find(f"{SVG}title").text
    links = [value for node in root.iter() for name, value in node.attrib.items() if name.endswith("href")]
    assert all(link.startswith(("data:", "#")) for link in links)
    return root


@contextmanager
def opened_offline(browser: Any, path: Path) -> Iterator[Any]:
    """The saved page without a network; fails where it asks for anything or says an error on its console."""
    context = browser.new_context(offline=True, viewport={"width": 1000, "height": 800})
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda told: wrong.append(told.text) if told.type in ("error", "warning") else None)
    page.on("request", lambda asked: wrong.append(asked.url) if asked.url.startswith(("http", "ws")) else None)
    try:
        page.goto(path.as_uri())
        yield page
        assert wrong == []
    finally:
        context.close()
