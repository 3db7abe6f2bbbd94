"""The shared computing processes: results in the store, fair turns, shared work, cancelling, closed tabs, crashes."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import session
from app.fair import FairQueue
from app.jobs import CANCELLED, DONE, FAILED, RUNNING, WAITING, Workers
from fssd_core.store import Store
from fssd_core.study import Study, layer_scores, stored_scores

STUDY = Study(samples=50, points=40, ood=("mnist",))
LONG = dataclasses.replace(STUDY, samples=10_000)
MANY = {"data": ["fmnist:test"], "epsilons": [i / 1000 for i in range(30)]}


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    made = Workers(tmp_path_factory.mktemp("store"), (), None)
    yield made
    made.close()


def until(holds, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.02)
    assert holds(), f"not so after {seconds} s"


def wait(job) -> None:
    until(lambda: job.over)


def store_of(workers) -> Store:
    return Store(Path(workers._base["store"]))


def scores(workers, data: str, person: str = "", **changes):
    study = dataclasses.replace(STUDY, **changes)
    return workers.submit("scores", "layer_scores", study, {"data": [data]}, session=person)


def long(workers, person: str = "", seed: int = 0):
    return workers.submit("long", "layer_scores", dataclasses.replace(LONG, seed=seed), MANY, session=person)


def test_a_jobs_result_is_in_the_store_and_equals_the_direct_one(workers, tmp_path):
    job = workers.submit("scores", "layer_scores", STUDY, {"data": ["mnist", "fmnist:test"], "epsilons": [0.0]})
    wait(job)
    assert (job.state, job.error) == (DONE, "")
    assert job.done == job.total > 0
    found = stored_scores(STUDY, "mnist", store=store_of(workers))
    direct = layer_scores(STUDY, "mnist", store=Store(tmp_path))[0.0]
    np.testing.assert_allclose(found.values, direct.values, rtol=1e-5)
    assert workers.seats[0].held > 50 * 2**20, "the process tells how much it holds"


def test_bad_input_comes_back_as_one_clear_line(workers):
    job = scores(workers, "mnits")
    wait(job)
    assert (job.state, job.bug) == (FAILED, False)
    assert "mnits" in job.error
    assert "mnist" in job.error


def test_an_unknown_call_is_refused(workers):
    job = workers.submit("x", "layer_score", STUDY, {})
    wait(job)
    assert "did you mean 'layer_scores'" in job.error


def test_equal_jobs_are_one_task_that_goes_on_until_nobody_wants_it(workers):
    first, again, other = long(workers, "a", 7), long(workers, "a", 7), long(workers, "b", 7)
    assert again is first
    assert other is not first
    assert other.task is first.task
    until(lambda: other.done > 0)
    workers.cancel(first)
    assert (first.state, other.state) == (CANCELLED, RUNNING)
    reached = other.done
    until(lambda: other.done > reached)
    workers.cancel(other)
    assert other.state == CANCELLED


def test_cancelling_ends_the_work_and_the_next_job_still_runs(workers):
    job = long(workers, seed=8)
    until(lambda: job.done > 0)
    assert job.done < job.total
    workers.cancel(job)
    assert job.state == CANCELLED
    following = scores(workers, "photo-patches")
    wait(following)
    assert following.state == DONE
    assert job.state == CANCELLED
    assert stored_scores(dataclasses.replace(LONG, seed=8), "fmnist:test", store=store_of(workers)) is None


def test_a_killed_process_is_told_and_replaced(workers):
    job = long(workers, seed=9)
    until(lambda: job.done > 0)
    workers.seats[0].process.kill()
    wait(job)
    assert job.state == FAILED
    assert "ended with code -9" in job.error
    assert "replaced" in job.error
    following = scores(workers, "digits8x8")
    wait(following)
    assert following.state == DONE


def test_sessions_take_turns_and_see_their_place(workers):
    blocking = long(workers, "greedy", 10)
    until(lambda: blocking.state == RUNNING)
    greedy = [scores(workers, "mnist", "greedy", seed=s) for s in (1, 2, 3)]
    modest = scores(workers, "mnist", "modest", seed=4)
    assert [workers.place(j) for j in (greedy[0], modest, greedy[1], greedy[2])] == [(1, 1), (2, 1), (3, 1), (4, 1)]
    assert workers.place(blocking) == (0, 1)
    workers.cancel(greedy[0])
    assert [workers.place(j) for j in (greedy[1], modest, greedy[2])] == [(1, 1), (2, 1), (3, 1)]
    assert greedy[2].state == WAITING
    workers.cancel(blocking)
    wait(modest)
    assert not greedy[2].over, "the modest one came before the third of the greedy one"
    wait(greedy[2])
    assert [j.state for j in (greedy[1], modest, greedy[2])] == [DONE, DONE, DONE]


def test_the_work_of_a_closed_tab_is_cancelled_and_that_of_others_is_not(tmp_path):
    open_tabs = {"stays", "goes"}
    workers = Workers(tmp_path, (), None, present=open_tabs.__contains__, grace=0.3)
    try:
        alone, waits = long(workers, "goes", 11), long(workers, "goes", 12)
        shared, of_other = scores(workers, "mnist", "goes"), scores(workers, "mnist", "stays")
        until(lambda: alone.done > 0)
        open_tabs.discard("goes")
        until(lambda: alone.state == CANCELLED)
        assert (waits.state, shared.state) == (CANCELLED, CANCELLED)
        wait(of_other)
        assert of_other.state == DONE
        assert workers.counts()["waiting"] == workers.counts()["running"] == 0
    finally:
        workers.close()


def test_a_process_that_holds_too_much_is_replaced_between_jobs(tmp_path):
    workers = Workers(tmp_path, (), None, memory=2**20)
    try:
        for seed in (1, 2):
            job = scores(workers, "digits8x8", seed=seed)
            wait(job)
            assert job.state == DONE
            until(lambda seed=seed: workers.seats[0].replaced == seed)
            assert not workers.seats[0].warm
    finally:
        workers.close()


def test_a_second_process_is_started_only_when_the_first_is_busy(tmp_path):
    workers = Workers(tmp_path, (), None, seats=2)
    try:
        for seed in (1, 2):
            wait(scores(workers, "digits8x8", seed=seed))
        assert workers.counts()["processes"] == 1
        one, two = long(workers, "a", 13), long(workers, "b", 14)
        until(lambda: one.state == two.state == RUNNING)
        assert workers.counts()["processes"] == 2
    finally:
        workers.close()
    assert (one.state, two.state) == (CANCELLED, CANCELLED)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 9)), max_size=30))
def test_no_session_is_served_twice_while_another_waits(asked):
    queue: FairQueue[tuple[str, int]] = FairQueue()
    for who, what in asked:
        queue.add((who, what), who)
    expected = queue.order()
    taken = []
    while (item := queue.take()) is not None:
        taken.append(item)
    assert taken == expected
    assert sorted(set(asked)) == sorted(taken)
    for who in "abcd":
        mine = [item for item in taken if item[0] == who]
        assert mine == list(dict.fromkeys(item for item in asked if item[0] == who)), "each one's own order holds"
    for at, (who, _) in enumerate(taken):
        between = taken[at + 1 :]
        others = {w for w, _ in between} - {who}
        again = next((i for i, (w, _) in enumerate(between) if w == who), None)
        if again is not None:
            assert others <= {w for w, _ in between[:again]}, "all others that wait come before its next turn"


def test_a_shared_item_is_taken_once_and_dropped_only_by_the_last():
    queue: FairQueue[str] = FairQueue()
    queue.add("x", "a")
    queue.add("y", "b")
    queue.add("x", "b")
    queue.drop("x", "a")
    assert queue.order() == ["y", "x"]
    queue.add("x", "a")
    assert [queue.take(), queue.take(), queue.take()] == ["y", "x", None]
    assert len(queue) == 0


def test_places_are_said_as_people_say_them():
    numbers = (1, 2, 3, 4, 11, 12, 13, 21, 102, 111)
    said = ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "102nd", "111th"]
    assert [session.ordinal(n) for n in numbers] == said
