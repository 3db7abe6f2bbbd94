"""Lesson: what it is, its steps with an address each, and where one stands."""

from __future__ import annotations

import streamlit as st

from app import lesson
from app.lesson_steps import STEPS

st.title("Lesson: what a network makes of the unknown")
st.markdown(
    f"{len(STEPS)} steps of about two minutes. Each asks a question, waits for **your prediction**, then opens the real page on the "
    "real demo network and says what was measured, and why. Everything on the page works: drag, hover, change layers. Each step has "
    "an address of its own, so a class can be sent straight to it."
)
done: dict[int, int] = st.session_state.get("_lesson_said", {})
left, right = st.columns([1, 3], vertical_alignment="center")
first = next((n for n in range(1, len(STEPS) + 1) if n not in done), 1)
left.button(
    "Start" if not done else f"Go on with step {first}",
    on_click=lesson.go,
    args=(first,),
    type="primary",
    icon=":material/school:",
    width="stretch",
)
right.caption("In front of a class, switch on *Presenter mode* in the sidebar: larger type on every page.")
for number, step in enumerate(STEPS, start=1):
    st.page_link(
        str(lesson.VIEWS / f"{step.page}.py"),
        label=f"**{number}** · {step.title}",
        icon=":material/check_circle:" if number in done else ":material/radio_button_unchecked:",
        query_params=lesson.address(number),
    )
