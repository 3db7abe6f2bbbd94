"""Thumbnails as buttons: each image with its score and verdict, a press opens it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import streamlit as st

from app import theme
from app.components.modules import bundle
from app.pictures import data_uri

ASSETS = Path(__file__).with_name("thumbs_assets")

_thumbs = st.components.v2.component(
    "fssd_thumbs",
    js=bundle(ASSETS / "main.js"),
    css=(ASSETS / "thumbs.css").read_text(encoding="utf-8"),
)


@dataclass(frozen=True, eq=False)
class Thumb:
    """One image.

    Attributes:
        pixels: (H, W) or (H, W, 3) uint8.
        title: of its group.
        row: in its data set.
        ref: of its data set; None where it cannot be opened.
        score: as text; None while there is none.
        accepted: the verdict; None without a score.
    """

    pixels: npt.NDArray[np.uint8]
    title: str
    row: int
    ref: str | None
    score: str | None = None
    accepted: bool | None = None

    @property
    def label(self) -> str:
        """What a screen reader says."""
        verdict = "" if self.score is None else f": score {self.score}, {'accepted' if self.accepted else 'rejected'}"
        return f"{self.title}, row {self.row}{verdict}"


def thumbs(items: Sequence[Thumb], *, label: str, mode: theme.Mode, key: str) -> tuple[str, int] | None:
    """Draws the thumbnails; gives (data reference, row) of one that was just pressed.

    Args:
        items: in the order to show.
        label: what they are, for screen readers.
        mode: 'light' or 'dark'.
        key: of the component.
    """
    told: list[dict[str, Any]] = [
        {
            "src": data_uri(item.pixels),
            "title": item.title,
            "row": item.row,
            "ref": item.ref,
            "score": item.score,
            "accepted": item.accepted,
            "label": item.label,
        }
        for item in items
    ]
    colours = {"accept": theme.ACCEPT[mode], "reject": theme.REJECT[mode], "muted": theme.MUTED[mode]}
    result = _thumbs(key=key, data={"label": label, "colours": colours, "items": told}, on_open_change=_nothing)
    opened = result.get("open")
    return (str(opened["set"]), int(opened["row"])) if opened else None


def _nothing() -> None:
    """Streamlit hands over a trigger only where a callback is given."""
