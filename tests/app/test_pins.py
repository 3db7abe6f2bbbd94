"""Pins in the session: adding, naming, removing, which fit, and that they outlive a page."""

from __future__ import annotations

import pytest

pytest.importorskip("streamlit")
import streamlit as st

from app import pins
from app.components.cockpit import Setting
from fssd_core.operating_point import Choice
from fssd_core.types import Weights

LAYERS = ("conv", "logits")


@pytest.fixture(autouse=True)
def session(monkeypatch) -> dict:
    state: dict = {}
    monkeypatch.setattr(st, "session_state", state)
    return state


def setting(alpha=(1.0, 1.0), *, epsilon=0.0, layers=LAYERS, preset=None) -> Setting:
    return Setting(Weights(alpha, layers, "uniform"), epsilon, 1.0, Choice(), "mnist", preset=preset)


def add(*settings: Setting) -> None:
    for one in settings:
        pins.apply({"do": "add"}, one, pins.pins())


def test_pins_get_names_of_their_own_and_there_are_four_at_most() -> None:
    add(setting(), setting(), setting(epsilon=0.02), setting(preset="logistic on mnist"), setting())
    assert [p.name for p in pins.pins()] == ["uniform", "uniform (2)", "uniform, ε 0.02", "logistic on mnist"]


def test_renaming_keeps_names_apart_and_an_empty_one_changes_nothing() -> None:
    add(setting(), setting(epsilon=0.02))
    pins.apply({"do": "rename", "pin": 1, "name": " uniform "}, setting(), pins.pins())
    assert pins.pins()[1].name == "uniform (2)"
    pins.apply({"do": "rename", "pin": 1, "name": "  "}, setting(), pins.pins())
    assert pins.pins()[1].name == "uniform (2)"
    pins.apply({"do": "rename", "pin": 0, "name": "x" * 200}, setting(), pins.pins())
    assert len(pins.pins()[0].name) == 60
    pins.apply({"do": "rename", "pin": 7, "name": "none"}, setting(), pins.pins())
    assert len(pins.pins()) == 2


def test_the_number_counts_among_those_shown() -> None:
    add(setting((1.0,), layers=("other",)), setting(), setting(epsilon=0.5), setting((0.0, 1.0)))
    shown = pins.usable(LAYERS, (0.0, 0.2))
    assert [p.name for p in shown] == ["uniform (2)", "uniform (3)"]
    pins.apply({"do": "remove", "pin": 0}, setting(), shown)
    assert [p.name for p in pins.pins()] == ["uniform", "uniform, ε 0.5", "uniform (3)"]
    pins.apply({"do": "add"}, setting(), pins.usable(LAYERS, (0.0, 0.2)))
    assert len(pins.pins()) == 4
    assert pins.told(shown)[0]["alpha"] == [1.0, 1.0]
