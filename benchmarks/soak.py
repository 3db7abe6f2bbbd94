"""How the dashboard stands many people, kills and bad disks: `python -m benchmarks.soak`, or `make soak`.

Three parts (--part people, kills, disks; all by default); prints their figures and writes them, with the machine and
its load, to benchmarks/results/soak.json. 20 sessions for 5 minutes, 50 kills and 200 damages: about half an hour.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from benchmarks.soak_disks import disks
from benchmarks.soak_kills import computing, exporting, server, training
from benchmarks.soak_people import people

RESULTS = Path(__file__).with_name("results") / "soak.json"
SHARES = {"computing": 20, "training": 12, "exporting": 12, "serving": 6}  # of 50 kills


def kills(home: Path, *, count: int = 50, seed: int = 0) -> dict[str, Any]:
    """SIGKILL at `count` random moments, dealt out over what can be killed."""
    draw = random.Random(seed)
    dealt = {name: max(1, round(count * share / 50)) for name, share in SHARES.items()}
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "exporting": lambda: exporting(home, kills=dealt["exporting"], draw=draw),
        "training": lambda: training(kills=dealt["training"], runs=max(1, dealt["training"] // 3), draw=draw),
        "computing": lambda: computing(home, kills=dealt["computing"], draw=draw),
        "serving": lambda: server(home, kills=dealt["serving"], draw=draw),
    }
    figures = {}
    for name, part in parts.items():
        figures[name] = part()
        print(json.dumps({f"kills, {name}": figures[name]}), flush=True)  # it takes minutes: told as it goes
    return figures


def faults(figures: object) -> list[str]:
    """What went wrong, wherever it stands in the figures."""
    if not isinstance(figures, dict):
        return []
    found = [str(w) for name in ("wrong", "errors") for w in figures.get(name, [])]
    return found + [w for value in figures.values() for w in faults(value)]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the parts; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--part", choices=("people", "kills", "disks"), action="append", help="default: all three")
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument(
        "--browsers",
        type=int,
        default=os.cpu_count() or 1,
        help="of the sessions, in one Chromium on the same cores; default one a core; the rest websockets",
    )
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--damages", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, default=RESULTS)
    options = parser.parse_args(argv)
    before = json.loads(options.json.read_text()) if options.json.exists() else {}
    with tempfile.TemporaryDirectory(prefix="fssd-soak-") as folder:
        home = Path(folder)
        os.environ["FSSD_HOME"] = str(home / "home")  # where trainings go
        parts: dict[str, Callable[[], dict[str, Any]]] = {
            "people": lambda: people(
                home / "people", sessions=options.sessions, browsers=min(options.browsers, options.sessions),
                seconds=options.seconds, seed=options.seed,
            ),
            "kills": lambda: kills(home / "kills", count=options.kills, seed=options.seed),
            "disks": lambda: disks(home / "disks", damages=options.damages, seed=options.seed),
        }  # fmt: skip
        bad: list[str] = []
        for name in options.part or parts:
            load, begun = os.getloadavg()[0], time.monotonic()
            figures = parts[name]()
            took = round(time.monotonic() - begun)
            about = {"machine": machine(), "load before": round(load, 1), "load after": round(os.getloadavg()[0], 1)}
            before[name] = {**figures, "took_s": took, **about}
            print(json.dumps({name: figures}, indent=1), f"\n{name}: {took} s, load {about['load before']} before")
            options.json.parent.mkdir(parents=True, exist_ok=True)
            options.json.write_text(json.dumps(before, indent=1) + "\n")
            bad += [f"{name}: {fault}" for fault in faults(figures)]
    print(f"{len(bad)} faults", *bad, sep="\n  ")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
