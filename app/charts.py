"""Plotly charts as the pages show them: bare, with words for those who do not see them, and a menu that saves them."""

from __future__ import annotations

from html import escape

import plotly.graph_objects as go
import streamlit as st

from app import session, theme
from app.components.save import save_menu

BARE = {"displayModeBar": False}


@st.fragment
def chart(figure: go.Figure, *, key: str, alt: str, name: str, title: str = "") -> None:
    """Shows the figure with its 'Save' menu (PNG, SVG, HTML).

    Args:
        figure: of app/figures.
        key: of the chart; letters, digits and '-'.
        alt: what it shows, in words.
        name: what it is, for the menu ('the ROC curve').
        title: for the files; the figure's own title by default.
    """
    mode = session.mode()
    frame = f"{key}-figure"
    own = figure.layout.title.text or name.removeprefix("the ")
    with st.container(key=frame, gap=None):
        save_menu(
            frame,
            figure=name,
            title=title or own,
            description=alt,
            mode=mode,
            html=lambda: page_of(figure, title=title or own, mode=mode),
        )
        st.plotly_chart(figure, key=key, config=BARE, alt=alt)


def page_of(figure: go.Figure, *, title: str, mode: theme.Mode) -> str:
    """The figure as one HTML page that needs no network: plotly's own code is inside (4.8 MB).

    Args:
        figure: with colours of `mode`.
        title: of the page, and of the figure where it has none.
        mode: 'light' or 'dark'.
    """
    whole = go.Figure(figure)
    whole.update_layout(
        template="plotly_dark" if mode == "dark" else "plotly_white",
        paper_bgcolor=theme.BACKGROUND[mode],
        plot_bgcolor=theme.BACKGROUND[mode],
        font={"color": theme.TEXT[mode], "family": "Source Sans, Arial, Helvetica, sans-serif"},
    )
    if not whole.layout.title.text:
        top = (whole.layout.margin.t or 20) + 30
        whole.update_layout(title={"text": title, "x": 0.01, "y": 1, "yanchor": "top", "font": {"size": 16}})
        whole.update_layout(title_pad={"t": 12})
        whole.update_layout(margin={"t": top}, height=(whole.layout.height or 420) + 30)
    page = whole.to_html(include_plotlyjs=True, config={"displaylogo": False, "responsive": True})
    head = f'<title>{escape(title)}</title><link rel="icon" href="data:,">'
    style = f"<style>body{{margin:0;background:{theme.BACKGROUND[mode]}}}</style>"
    return page.replace("<head>", f"<head>{head}{style}", 1)
