"""Long work beside the page: a few worker processes shared by all sessions, in fair turns, with progress and cancel."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.fair import FairQueue
from app.seat import Ended, Seat
from fssd_core.study import Study

WAITING, RUNNING, DONE, FAILED, CANCELLED = "waiting", "running", "done", "failed", "cancelled"
GRACE = 10.0  # seconds that a closed tab may take to come back before its work is cancelled
LOOK = 1.0  # seconds between looks for closed tabs


@dataclass(eq=False)
class Task:
    """One call of a study step, done once for all the sessions that want it; its result lands in the Store."""

    request: dict[str, Any]
    state: str = WAITING
    done: int = 0
    total: int = 0
    what: str = ""
    error: str = ""
    bug: bool = False
    warnings: list[str] = field(default_factory=list)
    wanted: list[Job] = field(default_factory=list)


class Job:
    """One session's share in a task.

    Attributes:
        name: what it does, for people.
        task: the work itself.
        session: who wants it.
    """

    def __init__(self, name: str, task: Task, session: str) -> None:
        self.name, self.task, self.session = name, task, session
        self.cancelled = False

    @property
    def state(self) -> str:
        """'waiting', 'running', 'done', 'failed' or 'cancelled'; cancelled as soon as this session cancels it."""
        return CANCELLED if self.cancelled else self.task.state

    @property
    def over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in (DONE, FAILED, CANCELLED)

    @property
    def share(self) -> float:
        """Finished share, 0..1."""
        return min(1.0, self.task.done / self.task.total) if self.task.total else 0.0

    @property
    def request(self) -> dict[str, Any]:
        """The worker's request."""
        return self.task.request

    @property
    def done(self) -> int:
        """Units finished, of `total` units of `what`."""
        return self.task.done

    @property
    def total(self) -> int:
        """Units there are."""
        return self.task.total

    @property
    def what(self) -> str:
        """The unit, in words."""
        return self.task.what

    @property
    def error(self) -> str:
        """What went wrong, in one line."""
        return self.task.error

    @property
    def bug(self) -> bool:
        """Whether the error is ours rather than the input's."""
        return self.task.bug

    @property
    def warnings(self) -> list[str]:
        """Notes that the step gave."""
        return self.task.warnings


class Workers:
    """Runs jobs in `seats` processes, sessions taking turns; equal jobs that are not over are one task.

    Args:
        store: the writable store's folder.
        shipped: read-only store folders.
        root: data root, or None.
        seats: processes at most; each is started when it is first needed.
        memory: bytes above which an idle process is replaced by a fresh one; None for no limit.
        present: whether a session's tab is still open; work of one that has been gone for `grace` seconds is cancelled.
        grace: seconds.
    """

    def __init__(
        self,
        store: Path,
        shipped: tuple[Path, ...],
        root: Path | None,
        *,
        seats: int = 1,
        memory: int | None = None,
        present: Callable[[str], bool] | None = None,
        grace: float = GRACE,
    ) -> None:
        self._base = {"store": str(store), "shipped": [str(p) for p in shipped], "root": str(root) if root else None}
        self._ids = itertools.count(1)
        self._queue: FairQueue[Task] = FairQueue()
        self._tasks: list[Task] = []  # those that are not over
        self._wake = threading.Condition()
        self._closed = False
        self._present, self._grace = present, grace
        self._last_seen: dict[str, float] = {}
        self.seats = [Seat(memory=memory, share=seats) for _ in range(seats)]
        for seat in self.seats:
            threading.Thread(target=self._serve, args=(seat,), daemon=True, name="fssd-jobs").start()
        if present is not None:
            threading.Thread(target=self._look, daemon=True, name="fssd-jobs-look").start()

    def submit(self, name: str, call: str, study: Study, args: dict[str, Any], *, session: str = "") -> Job:
        """The session's job doing this; work that another session asked for already is shared with it."""
        request = {**self._base, "call": call, "study": study.to_json(), "args": args}
        with self._wake:
            task = next((t for t in self._tasks if t.request == request), None)
            if task is None:
                task = Task(request)
                self._tasks.append(task)
            for job in task.wanted:
                if job.session == session:
                    return job
            job = Job(name, task, session)
            task.wanted.append(job)
            if task.state == WAITING:
                self._queue.add(task, session)
                self._wake.notify_all()
        return job

    def cancel(self, job: Job) -> None:
        """Ends this session's wait now; the work itself stops unless others want it. What was finished is kept."""
        with self._wake:
            if not job.over:
                self._cancel(job)

    def _cancel(self, job: Job) -> None:
        job.cancelled = True
        task = job.task
        task.wanted.remove(job)
        self._queue.drop(task, job.session)
        if task.wanted:
            return
        self._over(task, CANCELLED)
        for seat in self.seats:
            if seat.task is task:
                seat.kill()

    def _over(self, task: Task, state: str) -> None:
        task.state = state
        if task in self._tasks:
            self._tasks.remove(task)

    def place(self, job: Job) -> tuple[int, int]:
        """(place in the line, from 1; 0 if it does not wait, jobs that are running now)."""
        with self._wake:
            running = sum(t.state == RUNNING for t in self._tasks)
            order = self._queue.order() if job.state == WAITING else []
            return (order.index(job.task) + 1 if job.task in order else 0), running

    def counts(self) -> dict[str, int]:
        """{'waiting', 'running', 'processes'} at this moment."""
        with self._wake:
            states = [t.state for t in self._tasks]
            return {
                "waiting": states.count(WAITING),
                "running": states.count(RUNNING),
                "processes": sum(seat.warm for seat in self.seats),
            }

    def warm_up(self) -> None:
        """Starts the first process, so that the first job does not wait for its imports."""
        with self._wake:
            if not any(seat.warm for seat in self.seats):
                self.seats[0].start()

    def close(self) -> None:
        """Ends the processes; what is not over is cancelled."""
        with self._wake:
            self._closed = True
            for job in [job for task in self._tasks for job in task.wanted]:
                self._cancel(job)
            for seat in self.seats:
                seat.kill()
            self._wake.notify_all()

    def _serve(self, seat: Seat) -> None:
        """One seat's thread: takes the next task whenever it is free."""
        while True:
            with self._wake:
                while not self._closed and not (self._may_take(seat) and (task := self._queue.take())):
                    self._wake.wait()
                if self._closed:
                    return
                task.state = RUNNING
                seat.task = task
                self._wake.notify_all()  # a cold seat may have left this one to a warm one
                try:
                    seat.start()
                except OSError as error:
                    task.error = f"no computing process could be started ({error}); try again in a while"
            if not task.error:
                self._run(seat, task)
            with self._wake:
                seat.task = None
                if task.state == RUNNING:
                    self._over(task, FAILED if task.error else DONE)
                seat.tidy()
                self._wake.notify_all()

    def _may_take(self, seat: Seat) -> bool:
        """A process that is started already goes first; a cold seat waits for it to be busy."""
        return seat.warm or not any(s.warm and s.task is None for s in self.seats)

    def _run(self, seat: Seat, task: Task) -> None:
        try:
            for event in seat.ask({"id": next(self._ids), **task.request}):
                if "done" in event:
                    task.done, task.total, task.what = event["done"], event["total"], event["what"]
                else:
                    task.warnings = event.get("warnings", [])
                    task.error, task.bug = event.get("error", ""), bool(event.get("bug"))
        except Ended as end:
            if task.state == RUNNING:
                task.error = (
                    f"the computing process ended with code {end.code} (out of memory?) and is replaced; what it had "
                    "finished is kept. Try again, with fewer samples if it happens again"
                )

    def _look(self) -> None:
        """Cancels the work of closed tabs."""
        assert self._present is not None
        while not self._closed:
            time.sleep(min(LOOK, self._grace / 2 or LOOK))
            with self._wake:
                jobs = [job for task in self._tasks for job in task.wanted]
                now = time.monotonic()
                names = {job.session for job in jobs}
                self._last_seen = {name: self._last_seen.get(name, now) for name in names}
                self._last_seen |= {name: now for name in names if self._present(name)}
                for job in jobs:
                    if now - self._last_seen[job.session] > self._grace:
                        self._cancel(job)
