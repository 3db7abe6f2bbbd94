"""The dashboard as its own process for a benchmark: started on a free port with a home of its own, watched, ended."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from app.__main__ import answers

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Serving:
    """A running server."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def held(self) -> int:
        """Bytes of main memory of the server and its children."""
        return sum(_resident(pid) for pid in family(self.process.pid))

    def worked(self) -> float:
        """Seconds of processor time that the server itself has used, its computing processes left out."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def tracebacks(self) -> int:
        """Tracebacks in its log."""
        return self.log.read_text(encoding="utf-8", errors="replace").count("Traceback (most recent")


def free_port() -> int:
    """A port of the loopback that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def chromium() -> str | None:
    """The system's Chromium, None where there is none: Playwright then takes its own."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextmanager
def serving(home: Path, *arguments: str, port: int | None = None, **environment: str) -> Iterator[Serving]:
    """Starts `python -m app` with these arguments and waits until it answers; ends it and its children at the end."""
    port = port or free_port()
    url, log = f"http://127.0.0.1:{port}", home / "server.log"
    home.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "app", "--no-browser", "--port", str(port), *arguments],
            cwd=ROOT,
            env={**os.environ, "FSSD_HOME": str(home), **environment},
            stdout=out,
            stderr=out,
        )
    try:
        deadline = time.monotonic() + 90
        while not answers(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start:\n{log.read_text()}")
            time.sleep(0.1)
        yield Serving(url, process, log)
    finally:
        children = family(process.pid)[1:]
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for child in children:
            _end(child)


def family(pid: int) -> list[int]:
    """The process and its descendants."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found, at = [pid], 0
    while at < len(found):
        found += parents.get(found[at], [])
        at += 1
    return found


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def _end(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
