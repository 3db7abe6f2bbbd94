"""`make bench`: times the engine on this machine and writes the figures with machine, versions and commit as JSON.

Compared runs alternate (A B A B ...), medians are quoted, ratios are taken pair by pair.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.authors import AuthorsLoop
from fssd_core.data import load_data
from fssd_core.metrics import metrics
from fssd_core.models import load_model
from fssd_core.runtime import generator
from fssd_core.singularity import estimate_fss, fssd, fssd_sweep, uniform_noise
from fssd_core.store import Store, key

RESULTS = Path(__file__).with_name("results")
AUTHORS_EPSILONS = (
    0.2, 0.18, 0.16, 0.14, 0.12, 0.1, 0.08, 0.06, 0.04, 0.02, 0.01,
    0.008, 0.006, 0.004, 0.002, 0.001, 0.0008, 0.0006, 0.0004, 0.0002, 0.0001, 0.0,
)  # fmt: skip


def paired(works: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each work, one warm-up round first, then the works in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            if number:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        names = [
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ]
        model = names[0] if names else model
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "torch threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "commit": commit,
        "date": time.strftime("%Y-%m-%d"),
    }


def engine(count: int, rounds: int) -> dict[str, object]:
    """FSSD on the demo's LeNet: ours, the authors' loop, a plain forward pass; one epsilon and their 22."""
    model = load_model("demo/lenet")
    images = load_data("fmnist:test").tensor(np.arange(count))
    noise = uniform_noise(model.input_shape, 100, generator=generator(0))
    extractor = model.extractor(device="cpu")
    fss = estimate_fss(extractor, noise)
    loop = AuthorsLoop(load_model("demo/lenet").module, model.taps, model.mean or (0.0,), model.std or (1.0,))
    their_fss = loop.fss(noise)
    seconds = paired(
        {
            "plain forward": lambda: extractor.logits(images, batch_size=100),
            "ours, epsilon 0": lambda: fssd(extractor, images, fss, batch_size=100),
            "ours, epsilon 0.01": lambda: fssd(
                extractor, images, fss, epsilon=0.01, gradient="standardised", batch_size=100
            ),
            "authors' loop, epsilon 0.01": lambda: loop.scores(images, their_fss, 0.01),
        },
        rounds,
    )
    sweep = paired(
        {
            "ours, 22 epsilons": lambda: fssd_sweep(
                extractor, images, fss, epsilons=AUTHORS_EPSILONS, gradient="standardised", batch_size=100
            ),
            "authors' loop, 22 epsilons": lambda: [loop.scores(images, their_fss, e) for e in AUTHORS_EPSILONS],
        },
        max(1, rounds // 2),
    )
    ours = fssd(extractor, images, fss, epsilon=0.01, gradient="standardised", batch_size=100).values
    theirs = loop.scores(images, their_fss, 0.01).detach().numpy()
    ratio = lambda a, b: statistics.median(x / y for x, y in zip(a, b, strict=True))  # noqa: E731
    return {
        "images": count,
        "seconds": {k: statistics.median(v) for k, v in {**seconds, **sweep}.items()},
        "authors over ours, one epsilon": ratio(seconds["authors' loop, epsilon 0.01"], seconds["ours, epsilon 0.01"]),
        "authors over ours, 22 epsilons": ratio(sweep["authors' loop, 22 epsilons"], sweep["ours, 22 epsilons"]),
        "ours over plain forward, epsilon 0.01": ratio(seconds["ours, epsilon 0.01"], seconds["plain forward"]),
        "largest relative difference of the distances": float(np.abs(ours - theirs).max() / np.abs(theirs).min()),
    }


def fast_half(rounds: int) -> dict[str, object]:
    """Milliseconds of all metrics at 10,000 + 10,000 scores, and of a store read."""
    draw = np.random.default_rng(0)
    ind, ood = draw.normal(1, 1, 10_000), draw.normal(0, 1, 10_000)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        entry = key("layer_scores", 1, "bench")
        store.put(entry, {"values": draw.random((10_000, 5), dtype=np.float32)})
        seconds = paired(
            {
                "metrics, 10,000 + 10,000 scores": lambda: metrics(ind, ood),
                "store read, 10,000 x 5": lambda: store.get(entry),
            },
            rounds * 5,
        )
    return {name: round(1000 * statistics.median(v), 3) for name, v in seconds.items()}


def main(argv: Sequence[str] | None = None) -> None:
    """Runs everything, prints it and writes benchmarks/results/<machine>.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--name", default="cpu", help="file name of the results")
    options = parser.parse_args(argv)
    report = {
        "machine": machine(),
        "engine": engine(options.images, options.rounds),
        "milliseconds": fast_half(options.rounds),
    }
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(report, indent=1)
    (RESULTS / f"{options.name}.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
