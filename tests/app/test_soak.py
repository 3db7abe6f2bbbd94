"""Short versions of `make soak`: its parts run, find nothing wrong, and would find what is wrong."""

from __future__ import annotations

import random

import pytest

from benchmarks import soak, soak_disks, soak_kills, soak_people


def test_bad_disks_in_small(tmp_path):
    figures = soak_disks.disks(tmp_path / "disks", damages=12, processes=2)
    assert soak.faults(figures) == []
    assert figures["damaged entries"]["cut"] + figures["damaged entries"]["flipped"] > 0
    assert figures["two processes on one store"]["whole"] == 9
    assert figures["full disk"]["warnings"] > 0


def test_two_kills_of_a_worker_leave_whole_entries_and_only_the_rest_is_computed(tmp_path):
    figures = soak_kills.computing(tmp_path, kills=2, draw=random.Random(5))
    assert figures["wrong"] == []
    kept, again = figures["entries kept over the kills"], figures["entries computed after them"]
    assert kept + again == 2 * figures["entries a job"] == 24


def test_a_few_sessions_on_websockets(tmp_path):
    figures = soak_people.people(tmp_path, sessions=4, browsers=0, seconds=4)
    assert soak.faults(figures) == []
    assert figures["tracebacks in the server's log"] == 0
    assert figures["opening a page"]["count"] == 4
    assert figures["all sliders"]["count"] >= 4
    assert figures["memory_mib"]["most"] > figures["memory_mib"]["at start"] // 2 > 50


def test_half_an_entry_is_found(tmp_path):
    (tmp_path / "layer_scores").mkdir()
    (tmp_path / "layer_scores" / "abc.npz").write_bytes(b"PK\x03\x04half")
    with pytest.raises(UserWarning, match="cannot be read"):
        soak_kills._read(tmp_path)


def test_what_went_wrong_is_gathered_from_everywhere():
    figures = {"a": {"wrong": ["one"], "b": {"errors": ["two"]}}, "errors": ["three"], "kills": 3}
    assert soak.faults(figures) == ["three", "one", "two"]
