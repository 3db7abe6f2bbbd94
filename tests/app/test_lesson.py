"""The lesson: every step opens the real page with measured words; the right answer follows the numbers."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("streamlit")

from app.lesson import address
from app.lesson_facts import Facts, nearest
from app.lesson_steps import STEPS
from fssd_core.store import Store
from tests.app.test_views import components, errors, home, start  # noqa: F401 - home is a fixture

TITLES = {
    "features": "Features around F*",
    "tuning": "Tune the detector",
    "inspect": "Inspect",
}


@pytest.fixture(scope="module")
def facts(tmp_path_factory) -> Facts:
    from app.session import SHIPPED

    return Facts(Store(tmp_path_factory.mktemp("store"), SHIPPED))


@pytest.mark.parametrize("number", range(1, len(STEPS) + 1))
def test_a_step_covers_its_page_until_a_prediction_is_made(home, number):  # noqa: F811
    step = STEPS[number - 1]
    app = start(**address(number))
    assert errors(app) == ""
    assert [s.value for s in app.subheader] == [step.title]
    assert not app.title
    assert app.radio(key=f"lesson-choice-{number}").options == list(step.choices)
    app.button(key="lesson-show").click().run()
    assert errors(app) == ""
    assert app.title, "the page stands below"
    assert app.title[0].value.startswith(TITLES.get(step.page, ""))
    for name, value in step.state.items():
        assert app.session_state[name] == value or value == -1
    assert any(step.why in m.value for m in app.markdown)


def test_a_wrong_prediction_is_set_right_by_what_was_measured(home):  # noqa: F811
    app = start(**address(2))
    app.radio(key="lesson-choice-2").set_value("larger").run()
    assert errors(app) == ""
    said = app.warning[0].value
    assert "You predicted *larger*; measured: **smaller**." in said
    app.button(key="lesson-again").click().run()
    app.radio(key="lesson-choice-2").set_value("smaller").run()
    assert "and so it is" in app.success[0].value


def test_next_back_and_leave(home):  # noqa: F811
    app = start(**address(8))
    app.button(key="lesson-show").click().run()
    app.button(key="lesson-next").click().run()
    assert app.subheader[0].value == STEPS[8].title
    assert app.query_params["lesson"] == ["9"] or app.query_params["lesson"] == "9"
    app.button(key="lesson-back").click().run()
    assert app.subheader[0].value == STEPS[7].title
    app.button(key="lesson-leave").click().run()
    assert errors(app) == ""
    assert "lesson" not in app.query_params
    assert app.title[0].value == "Tune the detector"


@pytest.mark.parametrize("address_of", ["0", "99", "two", "-1"])
def test_an_address_without_such_a_step_is_no_lesson(home, address_of):  # noqa: F811
    app = start(lesson=address_of)
    assert errors(app) == ""
    assert app.title[0].value.startswith("Features")


def test_the_demo_answers_are_those_the_rest_of_the_app_shows(facts):
    assert facts.detector("uniform", on="mnist").auroc == pytest.approx(0.082, abs=0.02)
    assert facts.detector("logistic", on="mnist").auroc > 0.99
    assert facts.detector("logistic", on="photo-patches", fitted_on="mnist").auroc < 0.2
    assert facts.ratio("photo-patches") < 0.4 < 1 < facts.ratio("mnist")
    assert facts.distance("photo-patches") > facts.distance("photo-patches", step=0)
    assert facts.series.steps[0] < facts.settled("photo-patches") < 1000


@pytest.mark.parametrize(("ratio", "choice"), [(0.3, 0), (1.0, 1), (2.0, 2)])
def test_the_answer_follows_the_numbers(ratio, choice):
    told = SimpleNamespace(ratio=lambda name, **_: ratio, auroc=lambda name, **_: 0.5)
    assert STEPS[1].measured(told)[0] == choice


def test_nearest_counts_the_edges_below():
    assert [nearest(x, (0.5, 0.9)) for x in (0.1, 0.7, 2.0)] == [0, 1, 2]
