"""What is kept in memory: within one budget, the least recently used released first, whoever asked for it."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from fssd_core import memory
from fssd_core.errors import InputError
from fssd_core.memory import Kept, size_of
from fssd_core.models import load_model
from fssd_core.study import Study, open_model, open_singularity


def block(kib: int) -> np.ndarray:
    return np.zeros(kib * 1024 - 1024, dtype=np.uint8)


def test_the_least_recently_used_goes_first_and_is_made_again():
    kept, made = Kept(lambda: 100 * 1024), []

    def get(name: str, kib: int) -> np.ndarray:
        def make() -> np.ndarray:
            made.append(name)
            return block(kib)

        return kept.get(name, make)

    get("a", 40), get("b", 40)
    assert kept.held == 80 * 1024
    get("a", 40)  # used again: now b is the oldest
    get("c", 40)
    assert kept.held == 80 * 1024
    get("a", 40), get("c", 40)
    assert made == ["a", "b", "c"]
    get("b", 40)
    assert made == ["a", "b", "c", "b"]


def test_one_value_larger_than_the_budget_is_kept_alone():
    kept = Kept(lambda: 10 * 1024)
    kept.get("small", lambda: block(5))
    large = kept.get("large", lambda: block(50))
    assert (len(kept), kept.held) == (1, 50 * 1024)
    assert kept.get("large", lambda: block(1)) is large
    kept.clear()
    assert (len(kept), kept.held) == (0, 0)


def test_an_error_is_not_kept():
    kept = Kept(lambda: 1024)
    with pytest.raises(ZeroDivisionError):
        kept.get("a", lambda: 1 // 0)
    assert kept.get("a", lambda: 1) == 1


def test_sizes_are_those_of_the_tensors_inside():
    assert size_of({"a": torch.zeros(10, 10), "b": [np.zeros(8), "words"]}) == 1024 + 400 + 64
    shared = torch.zeros(1000)
    assert size_of((shared, shared)) == 1024 + 4000
    model = load_model("demo/lenet")
    weights = sum(p.numel() * p.element_size() for p in [*model.module.parameters(), *model.module.buffers()])
    assert weights > 100_000
    assert size_of(model) == 1024 + weights


def test_models_of_many_checkpoints_stay_within_the_budget(monkeypatch):
    limit = 4 * size_of(load_model("demo/lenet"))
    kept = Kept(lambda: limit)
    monkeypatch.setattr(memory, "KEPT", kept)
    studies = [Study(step=step) for step in (0, 900, 100, 200, 400)]
    models = [open_model(study) for study in studies]
    assert kept.held <= limit
    assert len(kept) <= 4
    assert open_model(studies[-1]) is models[-1]
    _, _, fss = open_singularity(studies[-1])
    assert kept.held <= limit
    again = open_singularity(studies[-1])[2]
    assert all(torch.equal(again[layer], fss[layer]) for layer in fss)


@pytest.mark.parametrize("text", ["much", "0", "-5", "1.5"])
def test_a_budget_that_is_no_number_of_mebibytes_is_refused(monkeypatch, text):
    monkeypatch.setenv("FSSD_MEMORY", text)
    with pytest.raises(InputError, match="whole number of MiB"):
        memory.budget.__wrapped__()


def test_the_budget_follows_the_operator_and_the_machine(monkeypatch):
    monkeypatch.setenv("FSSD_MEMORY", "300")
    assert memory.budget.__wrapped__() == 300 * 2**20
    monkeypatch.delenv("FSSD_MEMORY")
    assert memory.budget.__wrapped__() == memory.installed() // 8
    assert 0 < memory.resident() < memory.installed()


def test_what_many_threads_ask_for_at_once_is_made_once():
    kept, made, start = Kept(lambda: 2**20), [], threading.Barrier(8)

    def make() -> object:
        made.append(1)
        time.sleep(0.05)
        return object()

    def ask(_: int) -> object:
        start.wait()
        return kept.get("a", make)

    with ThreadPoolExecutor(8) as threads:
        values = list(threads.map(ask, range(8)))
    assert len(made) == 1
    assert len(set(map(id, values))) == 1


def test_a_making_that_fails_lets_the_next_one_try():
    kept, tries = Kept(lambda: 2**20), []

    def make() -> int:
        tries.append(1)
        if len(tries) < 2:
            raise OSError("the first one fails")
        return 5

    with pytest.raises(OSError, match="first"):
        kept.get("a", make)
    assert kept.get("a", make) == 5
