"""Tuning: alpha, epsilon and the threshold by hand; curves and numbers follow in the page while the hand moves."""

from __future__ import annotations

import streamlit as st

st.title("Tuning")
st.write("soon")
