"""Long work beside the page: a worker process shared by all sessions, one job at a time, with progress and cancel."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fssd_core.study import Study

WAITING, RUNNING, DONE, FAILED, CANCELLED = "waiting", "running", "done", "failed", "cancelled"


@dataclass(eq=False)
class Job:
    """One call of a study step; its result lands in the Store.

    Attributes:
        name: what it does, for people.
        request: the worker's request.
        state: 'waiting', 'running', 'done', 'failed' or 'cancelled'.
        done: units finished, of `total` units of `what`.
        error: what went wrong, in one line.
        bug: whether the error is ours rather than the input's.
        warnings: notes the step gave.
    """

    name: str
    request: dict[str, Any]
    state: str = WAITING
    done: int = 0
    total: int = 0
    what: str = ""
    error: str = ""
    bug: bool = False
    warnings: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    @property
    def over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in (DONE, FAILED, CANCELLED)

    @property
    def share(self) -> float:
        """Finished share, 0..1."""
        return min(1.0, self.done / self.total) if self.total else 0.0


class Worker:
    """Runs jobs in a process of their own, in the order they came; equal jobs that are not over are one job.

    Args:
        store: the writable store's folder.
        shipped: read-only store folders.
        root: data root, or None.
    """

    def __init__(self, store: Path, shipped: tuple[Path, ...], root: Path | None) -> None:
        self._base = {"store": str(store), "shipped": [str(p) for p in shipped], "root": str(root) if root else None}
        self._ids = itertools.count(1)
        self._jobs: deque[Job] = deque()
        self._current: Job | None = None
        self._process: subprocess.Popen[str] | None = None
        self._wake = threading.Condition()
        self._closed = False
        threading.Thread(target=self._loop, daemon=True, name="fssd-jobs").start()

    def submit(self, name: str, call: str, study: Study, args: dict[str, Any]) -> Job:
        """The job doing this, a new one unless an equal one is waiting or running."""
        request = {**self._base, "call": call, "study": study.to_json(), "args": args}
        with self._wake:
            for job in [*self._jobs, *([self._current] if self._current else [])]:
                if job.request == request and not job.over:
                    return job
            job = Job(name, request)
            self._jobs.append(job)
            self._wake.notify()
        return job

    def cancel(self, job: Job) -> None:
        """Stops the job now; what it had finished stays in the store."""
        with self._wake:
            if job.over:
                return
            job.state = CANCELLED
            if job is self._current and self._process is not None:
                self._process.kill()
                self._process = None  # the next job starts a fresh one

    def warm_up(self) -> None:
        """Starts the process, so that the first job does not wait for its imports."""
        with self._wake:
            self._ensure_process()

    def close(self) -> None:
        """Ends the process; waiting jobs are cancelled."""
        with self._wake:
            self._closed = True
            for job in self._jobs:
                job.state = CANCELLED
            if self._process is not None:
                self._process.kill()
            self._wake.notify()

    def _ensure_process(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "fssd_core.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        return self._process

    def _loop(self) -> None:
        while True:
            with self._wake:
                while not self._jobs and not self._closed:
                    self._wake.wait()
                if self._closed:
                    return
                job = self._jobs.popleft()
                if job.over:
                    continue
                self._current = job
                job.state = RUNNING
                process = self._ensure_process()
            self._run(job, process)
            with self._wake:
                self._current = None

    def _run(self, job: Job, process: subprocess.Popen[str]) -> None:
        number = next(self._ids)
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the worker has no pipes")
        try:
            process.stdin.write(json.dumps({"id": number, **job.request}) + "\n")
            process.stdin.flush()
            for line in process.stdout:
                event = json.loads(line)
                if event["id"] == number and self._apply(job, event):
                    return
        except (OSError, ValueError):
            pass  # the pipe broke: the process has ended, said below
        process.wait()
        if not job.over:
            job.error = (
                f"the computing process ended with code {process.returncode} (out of memory?); try fewer samples"
            )
            job.state = FAILED

    @staticmethod
    def _apply(job: Job, event: dict[str, Any]) -> bool:
        """Takes one event over; whether it was the job's last."""
        if "done" in event:
            job.done, job.total, job.what = event["done"], event["total"], event["what"]
            return False
        if job.over:
            return True
        job.warnings = event.get("warnings", [])
        job.error, job.bug = event.get("error", ""), bool(event.get("bug"))
        job.state = FAILED if job.error else DONE
        return True
