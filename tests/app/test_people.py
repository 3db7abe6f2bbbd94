"""Many people at once: whose uploads are whose, when they go, and how much the operator allows."""

from __future__ import annotations

import dataclasses
import os
import time
from types import SimpleNamespace

import pytest

from app import people
from fssd_core.errors import InputError
from fssd_core.run_spec import RunSpec


def folder(root, name: str, age: float = 0.0):
    made = root / name
    made.mkdir(parents=True)
    (made / "images.npz").write_bytes(b"x")
    os.utime(made, (time.time() - age,) * 2)
    return made


@pytest.fixture
def tabs(monkeypatch):
    open_tabs = {"a", "b"}
    monkeypatch.setattr(people, "present", open_tabs.__contains__)
    monkeypatch.setattr(people, "list_runs", list)
    return open_tabs


def test_uploads_go_with_the_tab_and_those_of_others_stay(tmp_path, tabs):
    caretaker = people.Caretaker(tmp_path, kept=1.0, every=3600)
    mine, other = folder(tmp_path, "one"), folder(tmp_path, "two")
    caretaker.watch(mine, "a")
    caretaker.watch(other, "b")
    time.sleep(1.1)
    assert caretaker.look() == []
    tabs.discard("a")
    assert caretaker.look() == []
    assert mine.exists(), "a tab that has just gone may come back"
    time.sleep(1.1)
    caretaker.look()
    assert not mine.exists()
    assert (other / "images.npz").exists()


def test_uploads_of_an_ended_server_go_after_a_day(tmp_path, tabs):
    old, new = folder(tmp_path, "old", 2 * people.LEFT_BEHIND), folder(tmp_path, "new", 60)
    gone = people.Caretaker(tmp_path, every=3600).look()
    assert not old.exists()
    assert new.exists()
    assert set(gone) <= {old}


def test_uploads_that_a_run_trains_on_stay(tmp_path, tabs, monkeypatch):
    old = folder(tmp_path, "old", 2 * people.LEFT_BEHIND)
    spec = dataclasses.replace(RunSpec(), data=str(old / "images.npz"))
    monkeypatch.setattr(people, "list_runs", lambda: [SimpleNamespace(active=True, spec=spec)])
    assert people.Caretaker(tmp_path, every=3600).look() == []
    assert old.exists()


def test_the_operators_limits_are_checked(monkeypatch):
    monkeypatch.setenv("FSSD_WORKERS", "3")
    monkeypatch.setenv("FSSD_WORKER_MEMORY", "700")
    assert (people.seats(), people.memory()) == (3, 700 * 2**20)
    for text in ("0", "many", "65", "-1"):
        monkeypatch.setenv("FSSD_WORKERS", text)
        with pytest.raises(InputError, match="FSSD_WORKERS"):
            people.seats()
    monkeypatch.delenv("FSSD_WORKERS")
    assert 1 <= people.seats() <= people.MOST_SEATS
