"""Presenter mode: large type for a room, on every page; in the address as `present=true`."""

from __future__ import annotations

import streamlit as st

SCALE = 1.3
"""By which all type grows; the components read it as the custom property --fssd-type."""


def toggle() -> None:
    """The sidebar's switch, and the style while it is on."""
    on = st.toggle(
        "Presenter mode", key="present", bind="query-params", help="Larger type on every page, for a projector."
    )
    if on:
        st.html(f"<style>html{{font-size:{16 * SCALE:.0f}px!important}} :root{{--fssd-type:{SCALE}}}</style>")


def large() -> bool:
    """Whether it is on."""
    return bool(st.session_state.get("present", st.query_params.get("present") == "true"))
