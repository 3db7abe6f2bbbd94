"""The 'Save' menu beside a plotly chart: PNG and SVG made in the page of what it shows, HTML made here on demand."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from app.components.modules import SHARED, bundle, stylesheet
from app.theme import BACKGROUND, TEXT, Mode

ASSETS = Path(__file__).with_name("save_assets")

_save = st.components.v2.component(
    "fssd_save",
    js=bundle(ASSETS / "main.js"),
    css=stylesheet(ASSETS / "save.css", SHARED / "saving.css"),
)
_file = st.components.v2.component("fssd_file", js=bundle(ASSETS / "file.js"))


def save_menu(frame: str, *, figure: str, title: str, description: str, mode: Mode, html: Callable[[], str]) -> None:
    """Draws the menu. Call it inside the keyed container that holds the chart.

    Args:
        frame: key of that container; letters, digits and '-' alone, as they stand in its CSS class.
        figure: what is saved, for the button's name ('the ROC curve').
        title: of the figure; the files are named after it.
        description: what the figure shows, for those who do not see it.
        mode: 'light' or 'dark', of the page.
        html: makes the page of its own; called only when it is asked for.
    """
    told: dict[str, Any] = {"frame": frame, "figure": figure, "title": title}
    result = _save(
        key=f"{frame}-save",
        data={**told, "description": description, "look": {"background": BACKGROUND[mode], "text": TEXT[mode]}},
        on_html_change=_nothing,
    )
    if result.get("html"):
        words = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:80]
        name = f"fssd-{words or 'figure'}.html"
        _file(
            key=f"{frame}-file",
            data={"id": secrets.token_hex(8), "name": name, "type": "text/html", "text": html()},
        )


def _nothing() -> None:
    """Streamlit hands over a trigger only where a callback is given."""
