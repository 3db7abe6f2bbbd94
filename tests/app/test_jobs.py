"""The worker process: results land in the store, progress comes back, cancelling is quick, crashes are told."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest

from app.jobs import CANCELLED, DONE, FAILED, Worker
from fssd_core.store import Store
from fssd_core.study import Study, layer_scores, stored_scores

STUDY = Study(samples=50, points=40, ood=("mnist",))


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    made = Worker(tmp_path_factory.mktemp("store"), (), None)
    yield made
    made.close()


def wait(job, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not job.over and time.monotonic() < end:
        time.sleep(0.02)
    assert job.over, f"still {job.state} after {seconds} s"


def store_of(worker) -> Store:
    from pathlib import Path

    return Store(Path(worker._base["store"]))


def test_a_jobs_result_is_in_the_store_and_equals_the_direct_one(worker, tmp_path):
    job = worker.submit("scores", "layer_scores", STUDY, {"data": ["mnist", "fmnist:test"], "epsilons": [0.0]})
    wait(job)
    assert (job.state, job.error) == (DONE, "")
    assert job.done == job.total > 0
    found = stored_scores(STUDY, "mnist", store=store_of(worker))
    direct = layer_scores(STUDY, "mnist", store=Store(tmp_path))[0.0]
    np.testing.assert_allclose(found.values, direct.values, rtol=1e-5)


def test_bad_input_comes_back_as_one_clear_line(worker):
    job = worker.submit("scores", "layer_scores", STUDY, {"data": ["mnits"]})
    wait(job)
    assert (job.state, job.bug) == (FAILED, False)
    assert "mnits" in job.error
    assert "mnist" in job.error


def test_an_unknown_call_is_refused(worker):
    job = worker.submit("x", "layer_score", STUDY, {})
    wait(job)
    assert "did you mean 'layer_scores'" in job.error


def test_equal_jobs_are_one_job(worker):
    slow = dataclasses.replace(STUDY, samples=3000, seed=7)
    args = {"data": ["fmnist:test"], "epsilons": [0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06]}
    first = worker.submit("a", "layer_scores", slow, args)
    assert worker.submit("b", "layer_scores", slow, args) is first
    worker.cancel(first)


def test_cancelling_ends_the_work_and_the_next_job_still_runs(worker):
    slow = dataclasses.replace(STUDY, samples=10_000, seed=8)
    epsilons = [i / 1000 for i in range(30)]
    job = worker.submit("slow", "layer_scores", slow, {"data": ["fmnist:test"], "epsilons": epsilons})
    end = time.monotonic() + 120
    while job.done == 0 and time.monotonic() < end:
        time.sleep(0.02)
    assert 0 < job.done < job.total
    worker.cancel(job)
    assert job.state == CANCELLED
    following = worker.submit("next", "layer_scores", STUDY, {"data": ["photo-patches"]})
    wait(following)
    assert following.state == DONE
    assert job.state == CANCELLED
    assert stored_scores(slow, "fmnist:test", store=store_of(worker)) is None


def test_a_killed_process_is_told_and_replaced(worker):
    slow = dataclasses.replace(STUDY, samples=10_000, seed=9)
    job = worker.submit(
        "slow", "layer_scores", slow, {"data": ["fmnist:test"], "epsilons": [i / 500 for i in range(30)]}
    )
    end = time.monotonic() + 120
    while job.done == 0 and time.monotonic() < end:
        time.sleep(0.02)
    worker._process.kill()
    wait(job)
    assert job.state == FAILED
    assert "ended with code -9" in job.error
    following = worker.submit("next", "layer_scores", STUDY, {"data": ["digits8x8"]})
    wait(following)
    assert following.state == DONE
