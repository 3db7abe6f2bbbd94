"""The store under damage, full disks and two writers."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fssd_core.atomic import sweep
from fssd_core.errors import StoreWarning
from fssd_core.store import Store, key

ARRAYS = {"values": np.arange(1200, dtype=np.float32).reshape(300, 4)}


def test_round_trip_is_exact_and_readable(tmp_path):
    store = Store(tmp_path)
    k = key("layer_scores", 1, {"epsilon": 0.1}, "hash")
    assert store.get(k) is None
    store.put(k, ARRAYS, {"epsilon": 0.1})
    entry = store.get(k)
    np.testing.assert_array_equal(entry.arrays["values"], ARRAYS["values"])
    assert entry.meta == {"epsilon": 0.1}
    assert json.loads((tmp_path / f"{k}.json").read_text()) == {"epsilon": 0.1}
    assert not list(tmp_path.rglob("*.tmp"))


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
parts = st.lists(scalars | st.lists(scalars, max_size=3), max_size=4)


@given(parts, parts)
def test_keys_differ_when_parts_do(a, b):
    same = repr(a) == repr(b)
    assert (key("s", 1, *a) == key("s", 1, *b)) == same


def test_keys_are_stable():
    assert key("s", 1, "a", 2, None, {"b": [1.5]}) == key("s", 1, "a", 2, None, {"b": [1.5]})
    assert key("s", 1, "ab", "c") != key("s", 1, "a", "bc")
    assert key("s", 1, "1") != key("s", 1, 1)
    assert key("s", 1) != key("s", 2)
    assert key("s", 1, {"a": 1, "b": 2}) == key("s", 1, {"b": 2, "a": 1})


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "not a zip"])
def test_a_damaged_entry_is_recomputed_with_a_warning(tmp_path, damage):
    store = Store(tmp_path)
    k = key("s", 1)
    store.put(k, ARRAYS)
    path = tmp_path / f"{k}.npz"
    raw = bytearray(path.read_bytes())
    if damage == "truncate":
        raw = raw[: len(raw) // 2]
    elif damage == "flip":
        middle = len(raw) // 3
        raw[middle : middle + 40] = bytes(b ^ 0xFF for b in raw[middle : middle + 40])
    elif damage == "empty":
        raw = bytearray()
    else:
        raw = bytearray(b"<html>proxy error</html>")
    path.write_bytes(raw)
    with pytest.warns(StoreWarning, match="cannot be read"):
        assert store.get(k) is None
    store.put(k, ARRAYS)
    np.testing.assert_array_equal(store.get(k).arrays["values"], ARRAYS["values"])


def test_shipped_results_lie_beneath_and_are_never_written(tmp_path):
    shipped, own = tmp_path / "shipped", tmp_path / "own"
    k = key("s", 1)
    Store(shipped).put(k, ARRAYS)
    before = {p: p.stat().st_mtime_ns for p in shipped.rglob("*")}
    store = Store(own, shipped=[shipped])
    assert store.has(k)
    np.testing.assert_array_equal(store.get(k).arrays["values"], ARRAYS["values"])
    store.put(k, {"values": np.zeros(1)})
    assert store.get(k).arrays["values"].shape == (1,)
    assert {p: p.stat().st_mtime_ns for p in shipped.rglob("*")} == before


def test_a_root_that_cannot_be_written_warns_and_goes_on(tmp_path):
    (tmp_path / "file").write_text("in the way")
    store = Store(tmp_path / "file")
    with pytest.warns(StoreWarning, match="not kept"):
        entry = store.put(key("s", 1), ARRAYS)
    np.testing.assert_array_equal(entry.arrays["values"], ARRAYS["values"])


def test_a_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fssd_core.atomic.os.fsync", full)
    with pytest.warns(StoreWarning, match="No space left"):
        Store(tmp_path).put(key("s", 1), ARRAYS)
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def _write_often(root: Path, value: int) -> None:
    for _ in range(25):
        Store(root).put(key("s", 1), {"values": np.full(5000, value)})


def test_two_processes_may_share_a_root(tmp_path):
    store = Store(tmp_path)
    store.put(key("s", 1), {"values": np.full(5000, 0)})
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_often, args=(tmp_path, v)) for v in (1, 2)]
    for writer in writers:
        writer.start()
    while any(w.is_alive() for w in writers):
        values = store.get(key("s", 1)).arrays["values"]
        assert len(set(values.tolist())) == 1
    assert [w.exitcode for w in writers] == [0, 0]


def test_leftovers_of_killed_writers_are_swept_and_fresh_ones_are_not(tmp_path):
    store = Store(tmp_path)
    store.put(key("s", 1), ARRAYS)
    old, fresh = tmp_path / "s" / "a.npzxyz.tmp", tmp_path / "s" / "b.npzxyz.tmp"
    for path in (old, fresh):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 3600,) * 2)
    assert sweep(tmp_path) == 1
    assert not old.exists()
    assert fresh.exists()
    assert store.get(key("s", 1)) is not None
    assert sweep(tmp_path / "not there") == 0
