"""Parameters of the address that are no steps of the browser's history, so that Back leads to the page before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from app.components.modules import bundle

_address = st.components.v2.component("fssd_address", js=bundle(Path(__file__).with_name("address_assets") / "main.js"))


def replace_in_address(names: Sequence[str], *, key: str = "address") -> None:
    """From now on a change of these query parameters alone replaces the present step of the history.

    Streamlit 1.67 knows only history.pushState (handlePageInfoChanged in its front end), so the page itself tells apart
    what is written. Mount it before the parameters are first written; it draws nothing.
    """
    _address(key=key, data={"names": list(names)})
