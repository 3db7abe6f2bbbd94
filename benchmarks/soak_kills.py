"""Kills: SIGKILL at random moments of computing, training, exporting and serving; then what is there must be whole.

Computing: a second worker does the job on the same store; it may compute only what was missing. Training: the run goes
on to its end, its checkpoints equal an undisturbed run's to the byte. Exporting: bundle, report and verdicts open.
Serving: the server dies in the midst of a session's job, its worker ends too, and the next server shows the picture.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.serving import Serving, family, serving
from benchmarks.socket_session import SocketSession
from fssd_core.atomic import ENDING
from fssd_core.bundle_file import read_bundle
from fssd_core.checkpoint_file import read_tensors
from fssd_core.run_spec import RunSpec
from fssd_core.runs import INTERRUPTED, RUNNING, born, continue_run, find_run, start_run
from fssd_core.store import Store
from fssd_core.study import Study

STUDY = Study(samples=400, points=60, ood=("mnist", "photo-patches"))
ARGS = {"data": ["fmnist:test", "mnist", "photo-patches"], "epsilons": [0.0, 0.01, 0.02, 0.05]}
SPEC = RunSpec(images=1200, epochs=2, ood=("mnist",), batch_size=32)


class _Asked:
    """A worker process that is ready, and its answers."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "fssd_core.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.ask({"id": 0, "call": "are you there", "study": {}, "store": "."})  # its error: the imports are over
        self.answer()

    def ask(self, request: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event: dict[str, Any] = json.loads(line)
            if "done" not in event:
                return event
        raise RuntimeError("the worker ended")

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


def _request(store: Path, number: int = 1) -> dict[str, Any]:
    return {"id": number, "call": "layer_scores", "study": STUDY.to_json(), "args": ARGS, "store": str(store)}


def _read(root: Path) -> dict[str, Any]:
    """{key: (entry, time of writing)} of a store; a half-written entry raises."""
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for path in root.glob("*/*.npz"):
            name = str(path.relative_to(root).with_suffix(""))
            found[name] = (Store(root).get(name), path.stat().st_mtime_ns)
    return found


def computing(home: Path, *, kills: int, draw: random.Random) -> dict[str, Any]:
    """Kills a worker at random moments of a job of twelve entries."""
    worker = _Asked()
    begun = time.monotonic()
    worker.ask(_request(home / "whole"))
    worker.answer()
    whole, lasts = _read(home / "whole"), time.monotonic() - begun
    kept, again, left, wrong, moments = 0, 0, 0, [], 0
    for number in range(kills):
        root = home / f"kill-{number}"
        worker.ask(_request(root))
        time.sleep(draw.uniform(0, lasts))
        moments += worker.process.poll() is None
        worker.end()
        before = _read(root)
        left += len(list(root.rglob(f"*{ENDING}")))
        worker = _Asked()
        worker.ask(_request(root))
        answer = worker.answer()
        after = _read(root)
        kept += len(before)
        again += sum(1 for k, (_, written) in after.items() if k not in before or before[k][1] != written)
        if not answer.get("ok") or set(after) != set(whole):
            wrong.append(f"kill {number}: {answer}")
        for name, (entry, _) in after.items():
            if not np.array_equal(entry.arrays["values"], whole[name][0].arrays["values"]):
                wrong.append(f"kill {number}: {name} differs")
        if kept + again != (number + 1) * len(whole):
            wrong.append(f"kill {number}: something that was there was computed again")
    worker.end()
    return {
        "kills": kills,
        "while it lived": moments,
        "entries a job": len(whole),
        "entries kept over the kills": kept,
        "entries computed after them": again,
        "temporary files left for the sweep": left,
        "wrong": wrong,
    }


def training(*, kills: int, runs: int, draw: random.Random) -> dict[str, Any]:
    """Kills runs, continues them to their end, compares with an undisturbed one."""
    reference = start_run(SPEC).id
    _until(reference, RUNNING)
    begun = time.monotonic()
    _finish(reference)
    lasts = time.monotonic() - begun  # reading the data and measuring the probe, too
    wanted = {p.name: p.read_bytes() for p in find_run(reference).folder.glob("step-*.safetensors")}
    done, wrong, checkpoints = 0, [], 0
    for number in range(runs):
        name = start_run(SPEC).id
        for _ in range(kills // runs + (number < kills % runs)):
            _until(name, RUNNING)
            time.sleep(draw.uniform(0, lasts * runs / kills))
            state = json.loads((find_run(name).folder / "run.json").read_text())
            if state["state"] != RUNNING:
                break  # it was faster: nothing left to kill
            subprocess.run(["kill", "-9", str(state["pid"])], check=True)
            done += 1
            _until(name, INTERRUPTED)
            for path in find_run(name).folder.glob("*.safetensors"):
                read_tensors(path)  # raises on half a file
                checkpoints += 1
            continue_run(name)
        _finish(name)
        got = {p.name: p.read_bytes() for p in find_run(name).folder.glob("step-*.safetensors")}
        if set(got) != set(wanted):
            wrong.append(f"{name}: checkpoints {sorted(set(got) ^ set(wanted))}")
        wrong += [f"{name}: {key} differs" for key in wanted if got.get(key) != wanted[key]]
    return {
        "kills": done,
        "runs continued to their end": runs,
        "whole checkpoints read after kills": checkpoints,
        "checkpoints equal to the undisturbed run's to the byte": len(wanted) * runs - len(wrong),
        "wrong": wrong,
    }


def _until(name: str, state: str, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while (info := find_run(name)).state not in (state, "done", "failed"):
        if time.monotonic() > end:
            raise TimeoutError(f"{name} is {info.state}, not {state}, after {seconds} s")
        time.sleep(0.02)


def _finish(name: str) -> str:
    _until(name, "done")
    if (info := find_run(name)).state != "done":
        raise RuntimeError(f"{name} {info.state}: {info.message}")
    return name


def exporting(home: Path, *, kills: int, draw: random.Random) -> dict[str, Any]:
    """Kills a process that exports again and again."""
    opened, wrong, left = {"bundle": 0, "report": 0, "verdicts": 0}, [], 0
    folder = home / "exports"
    for number in range(kills):
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.soak_kills", str(folder)], stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()  # it has written everything once
        time.sleep(draw.uniform(0, 3))
        process.kill()
        process.wait()
        process.stdout.close()
        try:
            read_bundle(folder / "detector.fssd")
            opened["bundle"] += 1
            report = (folder / "report.html").read_text(encoding="utf-8")
            opened["report"] += report.rstrip().endswith("</html>")
            rows = (folder / "verdicts.csv").read_text(encoding="utf-8").splitlines()
            opened["verdicts"] += len(rows) == 301 and len({row.count(",") for row in rows}) == 1
        except (OSError, ValueError) as error:
            wrong.append(f"kill {number}: {error}")
        left += len(list(folder.glob(f"*{ENDING}")))
    wrong += [f"{name}: {count} of {kills} whole" for name, count in opened.items() if count != kills]
    return {"kills": kills, "whole files after them": opened, "temporary files left": left, "wrong": wrong}


def server(home: Path, *, kills: int, draw: random.Random) -> dict[str, Any]:
    """Kills a whole server while a session's job is computed; the next one on the same home must show the result."""
    wrong, orphans, shown = [], 0, 0
    query = "ood=digits8x8&layer=conv2&view=PCA"
    for number in range(kills):
        place = home / f"server-{number}"
        with serving(place) as first:
            asyncio.run(_ask_and_leave(first, query, draw.uniform(0, 6)))
            children = [pid for pid in family(first.process.pid)[1:] if born(pid) is not None]
            first.process.kill()
            first.process.wait()
            end = time.monotonic() + 30
            while time.monotonic() < end and any(born(pid) is not None for pid in children):
                time.sleep(0.1)
            orphans += sum(born(pid) is not None for pid in children)
        _read(place / "store")  # raises on half an entry
        with serving(place) as second:
            errors = asyncio.run(_look(second, query))
            shown += not errors
            wrong += [f"kill {number}: {error}" for error in errors]
    wrong += [f"{orphans} computing processes outlived their server by 30 s"] * bool(orphans)
    return {"kills": kills, "pictures shown by the next server": shown, "wrong": wrong}


async def _ask_and_leave(running: Serving, query: str, seconds: float) -> None:
    async with SocketSession(running.url, query=query) as session:
        await session.idle(seconds)
        running.process.kill()  # with the tab open


async def _look(running: Serving, query: str) -> list[str]:
    async with SocketSession(running.url, query=query) as session:
        await session.until(lambda: not session.polls, seconds=240)
        lines = [w for w in session.words if "AUROC" in w]
        return session.errors or ([] if lines else [f"no picture; the page says {session.words}"])


def _export_for_ever(folder: Path) -> None:
    """What `exporting` kills: writes three files over and over; says when it has done so once."""
    from fssd_core.cli import main

    folder.mkdir(parents=True, exist_ok=True)
    study = ["--model", "demo/lenet", "--ind", "fmnist:test", "--ood", "mnist", "--limit", "600"]
    bundle = str(folder / "detector.fssd")
    said = sys.stdout
    while True:
        with open("/dev/null", "w") as sys.stdout:
            main(["export", *study, "--tpr", "0.95", "--out", bundle])
            main(
                [
                    "apply",
                    "--bundle",
                    bundle,
                    "--data",
                    "mnist",
                    "--limit",
                    "300",
                    "--out",
                    str(folder / "verdicts.csv"),
                ]
            )
            main(["report", *study, "--out", str(folder / "report.html")])
        print("written", file=said, flush=True)


if __name__ == "__main__":
    _export_for_ever(Path(sys.argv[1]))
