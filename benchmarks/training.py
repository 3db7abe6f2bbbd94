"""How soon a live training shows concentration, and how often its picture is renewed.

`python -m benchmarks.training` trains a LeNet on the 10,000 bundled FashionMNIST images in a process of its own, as the
Train page does, and looks at its folder as the page does.
"""

from __future__ import annotations

import itertools
import os
import statistics
import tempfile
import time
from pathlib import Path

from fssd_core.run_frame import load_frame, read_progress
from fssd_core.run_spec import RunSpec
from fssd_core.runs import command_run, read_run, read_state, start_run

LAYER, OOD, WINDOW = "logits", "photo-patches", 60.0


def cpu_seconds(pid: int) -> float:
    """User and system time of a process: what it would need alone on a core, about."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Prints seconds from pressing Train, and the gaps between frames."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["FSSD_HOME"] = home
        began = time.perf_counter()
        run = start_run(RunSpec(epochs=30))
        frames: list[float] = []
        last, shown = -1, None
        while time.perf_counter() - began < WINDOW:
            time.sleep(0.05)
            frame = load_frame(run.folder)
            if frame is None or frame.step == last:
                continue
            last = frame.step
            frames.append(time.perf_counter() - began)
            lines = read_progress(run.folder)
            if lines and shown is None:
                first, now = (line["layers"][LAYER][OOD] for line in (lines[0], lines[-1]))
                if now["auroc"] > 0.9 and now["ratio"] < first["ratio"] / 2:
                    shown = frames[-1], cpu_seconds(read_state(run.folder)["pid"]), lines[-1]["step"]
        lines = read_progress(run.folder)
        command_run(run.id, "stop")
        while read_run(run.folder).active:
            time.sleep(0.1)
    if len(frames) < 3 or not lines:
        raise SystemExit(f"only {len(frames)} frames in {WINDOW:.0f} s: the machine is too busy to measure on")
    gaps = [b - a for a, b in itertools.pairwise(frames)]
    first, now = lines[0]["layers"][LAYER][OOD], lines[-1]["layers"][LAYER][OOD]
    load = " ".join(f"{v:.1f}" for v in os.getloadavg()[::-1])
    print(f"load of the machine over 15, 5 and 1 minutes: {load}, {os.cpu_count()} cores")
    print(f"first frame after {frames[0]:.1f} s; {len(frames)} frames in {WINDOW:.0f} s")
    print(f"gaps between frames: median {statistics.median(gaps):.2f} s, longest {max(gaps):.2f} s")
    if shown is None:
        print(f"{OOD} in {LAYER}: AUROC above 0.9 and half the ratio of step 0: not within {WINDOW:.0f} s")
    else:
        print(
            f"{OOD} in {LAYER}: AUROC above 0.9 and half the ratio of step 0 after {shown[0]:.1f} s "
            f"({shown[1]:.1f} s of processor time), step {shown[2]}"
        )
    print(f"step 0: ratio {first['ratio']:.3f}, AUROC {first['auroc']:.3f}")
    print(
        f"step {lines[-1]['step']} after {WINDOW:.0f} s: ratio {now['ratio']:.3f}, AUROC {now['auroc']:.3f}, "
        f"accuracy {lines[-1]['accuracy']:.3f}"
    )


if __name__ == "__main__":
    main()
