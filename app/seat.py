"""One worker process: started when it is needed, asked one thing at a time, replaced when it ends or grows large."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any


class Ended(Exception):
    """The process ended before it had answered."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Seat:
    """A place for one worker process.

    Args:
        memory: bytes that a process may hold after a job; one that holds more is ended, and a fresh one follows.
        share: seats that share the processor's cores.

    Attributes:
        task: what it works at, None while it is free.
        replaced: how often a process was ended for its memory.
        held: bytes that the process held after its last job.
    """

    def __init__(self, *, memory: int | None = None, share: int = 1) -> None:
        self.task: Any = None
        self.process: subprocess.Popen[str] | None = None
        self.replaced = 0
        self.held = 0
        self._memory, self._share = memory, share

    @property
    def warm(self) -> bool:
        """Whether its process is there."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Starts the process unless it is there.

        Raises:
            OSError: the system gives no process.
        """
        if self.warm:
            return
        environment = dict(os.environ)
        if self._share > 1:
            environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // self._share)))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "fssd_core.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def ask(self, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The request's events, the last one included.

        Raises:
            Ended: the process ended first.
        """
        process = self.process
        if process is None or process.stdin is None or process.stdout is None:
            raise Ended(-1)
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            for line in process.stdout:
                event = json.loads(line)
                if event["id"] != request["id"]:
                    continue
                self.held = event.get("memory", self.held)
                yield event
                if "done" not in event:
                    return
        except (OSError, ValueError):
            pass  # the pipe broke: the process has ended, said below
        process.kill()  # if it still lives it has lost its pipe
        raise Ended(process.wait())

    def tidy(self) -> None:
        """After a job: ends a process that holds too much; the next job starts a fresh one."""
        if self._memory is not None and self.held > self._memory:
            self.replaced += 1
            self.kill()

    def kill(self) -> None:
        """Ends the process now."""
        if self.process is not None:
            self.process.kill()
            self.process = None
        self.held = 0
