"""The guided lesson: a panel above the real pages. Predict first, then look, then why; every step has an address."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from app import presenter, session
from app.lesson_facts import Facts
from app.lesson_steps import LAST, STEPS, Step
from fssd_core.models import list_models

VIEWS = Path(__file__).with_name("views")
PARAMETER = "lesson"
_AT, _SAID = "_lesson_at", "_lesson_said"


def address(number: int) -> dict[str, str]:
    """Query parameters of a step, 1 the first: `/?lesson=3` leads there from any page."""
    return {PARAMETER: str(number)}


def asked() -> int | None:
    """The step that the address names, None outside the lesson."""
    said = str(st.query_params.get(PARAMETER, ""))
    return int(said) if said.isdigit() and 1 <= int(said) <= len(STEPS) else None


def enter() -> None:
    """Brings the app into the state of the step that the address names, once; call it before any widget is made."""
    number = asked()
    if number is None:
        return
    st.session_state["_lesson_last"] = number
    if st.session_state.get(_AT) == (number, "there"):
        return
    if st.session_state.get(_AT) != (number, "set"):
        apply(STEPS[number - 1])
        st.session_state[_AT] = (number, "set")
        st.switch_page(str(VIEWS / f"{STEPS[number - 1].page}.py"), query_params=_parameters(number))
    st.session_state[_AT] = (number, "there")


def _parameters(number: int) -> dict[str, str | list[str]]:
    step = STEPS[number - 1]
    return {**address(number), **step.query}


def apply(step: Step) -> None:
    """Puts the widgets' values of a step into the session, over a fresh tuning."""
    from app.tuning_state import KEPT, STARTED

    for name in (KEPT, STARTED, "tuning-cockpit"):
        st.session_state.pop(name, None)
    st.session_state["present"] = presenter.large()  # set anew, so that it outlives the change of page and address
    last = next(m for m in list_models() if m.name == DEFAULTS["model"]).steps[-1]
    for name, value in {**DEFAULTS, **step.state}.items():
        st.session_state[name] = last if (name, value) == ("step", LAST) else value


DEFAULTS: Mapping[str, Any] = {
    "model": "demo/lenet",
    "ind": "fmnist:test",
    "ood": ["photo-patches", "fmnist-inverted", "mnist"],
    "n": 2000,
    "layer": "logits",
    "step": LAST,
}


def go(number: int | None) -> None:
    """To a step, or out of the lesson where it is None; runs in a button's callback."""
    st.session_state.pop(_AT, None)
    if number is None:
        st.session_state.pop("_lesson_last", None)
        if PARAMETER in st.query_params:
            del st.query_params[PARAMETER]
    else:
        st.query_params[PARAMETER] = str(number)


def panel() -> bool:
    """Draws the step above the page; False while a prediction is still awaited, so that the page stays covered."""
    number = asked()
    if number is None:
        return True
    step = STEPS[number - 1]
    said: dict[int, int] = st.session_state.setdefault(_SAID, {})
    looked = number in said
    st.html("<style>.st-key-lesson-panel{margin-top:1.2rem}</style>")
    with st.container(border=True, key="lesson-panel"):
        st.caption(f":material/school: Lesson · step {number} of {len(STEPS)}")
        st.subheader(step.title, anchor=False)
        st.markdown(step.question)
        if looked:
            with session.guard():
                _reveal(step, said[number])
        else:
            _predict(step, number, said)
        _buttons(number, looked, said)
    if not looked:
        st.info("Make your prediction; the page then opens below.", icon=":material/visibility_off:")
    return looked


def _predict(step: Step, number: int, said: dict[int, int]) -> None:
    choice = st.radio("Your prediction", step.choices, index=None, key=f"lesson-choice-{number}", horizontal=True)
    if choice is not None:
        said[number] = step.choices.index(choice)
        st.rerun()


def _reveal(step: Step, guess: int) -> None:
    right, words = step.measured(facts())
    predicted = f"You predicted *{step.choices[guess]}*" if guess >= 0 else ""
    if right is None:
        st.info(f"{predicted}. {words}" if predicted else words, icon=":material/straighten:")
    elif guess == right:
        st.success(f"{predicted}, and so it is. {words}", icon=":material/check_circle:")
    elif guess < 0:
        st.success(f"**{step.choices[right]}.** {words}", icon=":material/straighten:")
    else:
        st.warning(f"{predicted}; measured: **{step.choices[right]}**. {words}", icon=":material/straighten:")
    why, formula = st.columns([2, 1], vertical_alignment="center") if step.latex else (st.container(), None)
    why.markdown(f"**Why.** {step.why}\n\n:material/arrow_downward: **Look.** {step.look}")
    if formula is not None:
        formula.latex(step.latex)


def _buttons(number: int, looked: bool, said: dict[int, int]) -> None:
    first, last = number == 1, number == len(STEPS)
    with st.container(horizontal=True):
        st.button(
            "Back", key="lesson-back", icon=":material/arrow_back:", disabled=first, on_click=go, args=(number - 1,)
        )
        if looked and not last:
            st.button(
                "Next",
                key="lesson-next",
                icon=":material/arrow_forward:",
                type="primary",
                on_click=go,
                args=(number + 1,),
            )
        if not looked:
            st.button("Just show me", key="lesson-show", on_click=said.update, args=({number: -1},))
        else:
            st.button("Predict again", key="lesson-again", on_click=_forget, args=(number,))
        st.button("Leave the lesson", key="lesson-leave", type="tertiary", on_click=go, args=(None,))


def _forget(number: int) -> None:
    st.session_state.get(_SAID, {}).pop(number, None)
    st.session_state.pop(f"lesson-choice-{number}", None)


@st.cache_resource(show_spinner=False)
def facts() -> Facts:
    """The demo's measured numbers, read from the store once."""
    return Facts(session.store())


def resume() -> None:
    """In the sidebar, once a page was opened beside the lesson: the way back."""
    last = st.session_state.get("_lesson_last")
    if last is not None and asked() is None:
        st.button(
            f"Back to the lesson, step {last}", on_click=go, args=(last,), icon=":material/school:", width="stretch"
        )
