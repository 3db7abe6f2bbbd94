"""A pad to draw a grey picture on, in the size a network takes; drawn in the page, sent when the hand lets go."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import streamlit as st

from app.components.modules import bundle
from fssd_core.errors import InputError

ASSETS = Path(__file__).with_name("pad_assets")
Grey = npt.NDArray[np.uint8]

_pad = st.components.v2.component(
    "fssd_pad",
    js=bundle(ASSETS / "main.js"),
    css=(ASSETS / "pad.css").read_text(encoding="utf-8"),
)


def pad(*, width: int = 28, height: int = 28, start: Grey | None = None, key: str = "pad") -> Grey | None:
    """Mounts the pad and gives the picture as last let go.

    Args:
        width: of the picture in pixels.
        height: of the picture in pixels.
        start: (height, width) picture to begin with where the pad comes onto the page; black by default. It is not
            looked at again while the pad stays there.
        key: of the component.

    Returns:
        (height, width) uint8, or None while nothing is drawn (all pixels equal).

    Raises:
        InputError: a size below 1, or a start of another size.
    """
    if width < 1 or height < 1:
        raise InputError(f"a pad of {width}x{height} pixels was asked for; each side is at least 1")
    if start is not None and start.shape != (height, width):
        raise InputError(f"the start has the shape {start.shape}; the pad has {(height, width)}")
    text = "" if start is None else base64.b64encode(np.ascontiguousarray(start, dtype=np.uint8).tobytes()).decode()
    result = _pad(key=key, data={"width": width, "height": height, "start": text}, on_picture_change=_nothing)
    drawn = picture_of(result.get("picture"), width, height)
    return start if drawn is None and not result.get("picture") else drawn


def picture_of(told: Mapping[str, Any] | None, width: int, height: int) -> Grey | None:
    """The picture in what the page told; None where it is blank, missing, or of another size."""
    if not told or (told.get("width"), told.get("height")) != (width, height):
        return None
    try:
        flat = np.frombuffer(base64.b64decode(told["pixels"], validate=True), dtype=np.uint8)
    except (KeyError, TypeError, binascii.Error):
        return None
    if flat.size != width * height or np.ptp(flat) == 0:
        return None
    return flat.reshape(height, width)


def _nothing() -> None:
    """Streamlit keeps a component's state only where something listens to it."""
