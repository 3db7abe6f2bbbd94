"""Entry script: page configuration, sidebar, navigation. Start it with `python -m app`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # so that `streamlit run app/main.py` works too

import streamlit as st

from app import lesson, login, sidebar

VIEWS = Path(__file__).with_name("views")

st.set_page_config(page_title="FSSD Explorer", page_icon="⭐", layout="wide", initial_sidebar_state="auto")
page = st.navigation(
    [
        st.Page(VIEWS / "features.py", title="Features", icon=":material/scatter_plot:", default=True),
        st.Page(VIEWS / "film.py", title="Film", icon=":material/movie:"),
        st.Page(VIEWS / "speed.py", title="Why it concentrates", icon=":material/speed:"),
        st.Page(VIEWS / "tuning.py", title="Tuning", icon=":material/tune:"),
        st.Page(VIEWS / "inspect.py", title="Inspect", icon=":material/frame_inspect:"),
        st.Page(VIEWS / "corruptions.py", title="Corruptions", icon=":material/foggy:"),
        st.Page(VIEWS / "methods.py", title="Methods", icon=":material/leaderboard:"),
        st.Page(VIEWS / "own_model.py", title="Your model", icon=":material/upload_file:"),
        st.Page(VIEWS / "train.py", title="Train", icon=":material/model_training:"),
        st.Page(VIEWS / "universality.py", title="Universality", icon=":material/grid_on:"),
        st.Page(VIEWS / "lesson.py", title="Lesson", icon=":material/school:"),
        st.Page(VIEWS / "about.py", title="About", icon=":material/menu_book:"),
    ]
)
st.html(
    "<style>.stMainBlockContainer{padding:2.6rem 2.2rem 3rem} h1{font-size:1.9rem!important}"
    "[data-stale=true]:has(.stBidiComponent){opacity:1!important;transition:none!important}</style>"
)
if login.enter():
    lesson.enter()
    sidebar.show()
    with st.sidebar:
        login.account()
    if lesson.panel():
        page.run()
