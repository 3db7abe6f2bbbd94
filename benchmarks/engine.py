"""`make bench`: FSSD ours, the authors' loop, MSP and the floor (the passes alone), same images, as JSON and tables.

Compared works run in turn (A B C A B C ...) on one thread; seconds are the process's own CPU time, so that other work
on the machine disturbs ratios little; wall seconds and the load stand beside them. Medians; ratios round by round.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import performance
from benchmarks.authors import AuthorsLoop
from benchmarks.fast_half import fast_half
from benchmarks.machine import machine
from fssd_core.data import load_data
from fssd_core.detectors.fssd import EPSILONS
from fssd_core.ensemble import combine, uniform
from fssd_core.extractor import FeatureExtractor
from fssd_core.metrics import auroc
from fssd_core.models import load_model
from fssd_core.models.archs import find_arch
from fssd_core.precision import in_precision
from fssd_core.runtime import generator, threads
from fssd_core.singularity import estimate_fss, fssd, fssd_sweep, uniform_noise

RESULTS = Path(__file__).with_name("results")
BATCH = 100  # the authors' own
EPSILON = 0.01
Work = Callable[[], object]


@dataclass(frozen=True)
class Case:
    """One network on some images; rounds of the one-epsilon works, and rounds and images of the sweep (0: none)."""

    name: str
    arch: str
    shape: tuple[int, int, int]
    layers: tuple[str, ...]
    images: int
    rounds: int
    sweep_images: int
    sweep_rounds: int


_STAGES = ("relu", "layer1", "layer2", "layer3", "layer4")
LENET = ("relu1", "relu2", "relu3", "fc2")
CASES = (
    Case("LeNet of the authors, 28 px", "lenet-authors", (1, 28, 28), LENET, 100, 5, 50, 3),
    Case("ResNet-34, 32 px", "resnet34", (3, 32, 32), _STAGES, 32, 3, 16, 2),
    Case("ResNet-34, 224 px", "resnet34", (3, 224, 224), _STAGES, 1, 2, 0, 0),
)
QUICK = (
    Case("LeNet of the authors, 28 px", "lenet-authors", (1, 28, 28), LENET, 40, 2, 8, 1),
    Case("ResNet-34, 32 px", "resnet34", (3, 32, 32), _STAGES, 4, 2, 2, 1),
)


class Subject:
    """A case's network, seen by ours and by the authors' loop, its images and F*."""

    def __init__(self, case: Case, device: str) -> None:
        self.case = case
        torch.manual_seed(0)
        module = find_arch(case.arch).make(10, case.shape).eval()  # time does not depend on what the weights know
        mean, std = (0.5,) * case.shape[0], (0.25,) * case.shape[0]
        noise = uniform_noise(case.shape, 8, generator=generator(1))
        self.images = uniform_noise(case.shape, case.images, generator=generator(2))
        self.loop = AuthorsLoop(copy.deepcopy(module), case.layers, mean, std, device=device)
        self.their_fss = self.loop.fss(noise)
        self.extractor = FeatureExtractor(module, case.layers, mean=mean, std=std, device=device)
        self.fss = estimate_fss(self.extractor, noise)
        self.reduced = in_precision(self.extractor, "bfloat16")

    def floor(self, images: Tensor, epsilons: int) -> None:
        """The passes alone: F, the K backward passes B_k and the truncated forward passes F_k of every epsilon."""
        layers = self.case.layers
        for batch in images.split(BATCH):
            x = batch.to(self.extractor.device).requires_grad_(True)
            with torch.enable_grad():
                taps = self.extractor.taps(x)
                seeds = {k: torch.ones_like(v) for k, v in taps.items()}
            for layer in reversed(layers):
                torch.autograd.grad(taps[layer], x, seeds[layer], retain_graph=layer != layers[0])
            del taps
            with torch.no_grad():
                for _ in range(epsilons):
                    for layer in layers:
                        self.extractor.taps(x, [layer])

    def msp(self) -> Tensor:
        """Maximum softmax probability, (N,): one forward pass."""
        parts = []
        with torch.no_grad():
            for batch in self.images.split(BATCH):
                parts.append(self.plain(batch).softmax(1).amax(1))
        return torch.cat(parts).cpu()

    def plain(self, batch: Tensor) -> Tensor:
        """The network's logits, called as anyone would, nothing watched."""
        extractor = self.extractor
        x = batch.to(extractor.device)
        logits: Tensor = extractor.module((x - extractor.mean) / extractor.std)
        return logits

    def ours(
        self, images: Tensor, epsilons: Sequence[float], *, extractor: FeatureExtractor | None = None, **rest: Any
    ) -> Any:
        """`fssd_sweep` under the authors' rule."""
        return fssd_sweep(
            extractor or self.extractor, images, self.fss, epsilons=epsilons, gradient="standardised",
            batch_size=BATCH, **rest,
        )  # fmt: skip


def paired(works: dict[str, Work], rounds: int, *, warm: bool = False) -> dict[str, dict[str, list[float]]]:
    """{'cpu' and 'wall': seconds of each work}, in turn; one round first that is not counted, unless it is warm."""
    seconds: dict[str, dict[str, list[float]]] = {kind: {name: [] for name in works} for kind in ("cpu", "wall")}
    for number in range(int(warm), rounds + 1):
        for name, work in works.items():
            cpu, wall = time.process_time(), time.perf_counter()
            work()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if number:
                seconds["cpu"][name].append(time.process_time() - cpu)
                seconds["wall"][name].append(time.perf_counter() - wall)
    return seconds


def ratio(seconds: dict[str, list[float]], above: str, below: str) -> float:
    """Median over the rounds of one work's seconds over another's."""
    return statistics.median(a / b for a, b in zip(seconds[above], seconds[below], strict=True))


def measure(case: Case, device: str) -> dict[str, Any]:
    """Seconds and ratios of one case, the largest difference to the authors' distances."""
    subject = Subject(case, device)
    images, clock = subject.images, "wall" if device == "cuda" else "cpu"
    with torch.no_grad():
        subject.plain(images[:1])
    one = paired(
        {
            "msp": subject.msp,
            "ours, epsilon 0": lambda: subject.ours(images, [0.0]),
            "floor, 1 epsilon": lambda: subject.floor(images, 1),
            "ours, 1 epsilon": lambda: subject.ours(images, [EPSILON]),
            "authors, 1 epsilon": lambda: subject.loop.scores(images, subject.their_fss, EPSILON, BATCH),
            "shared, 1 epsilon": lambda: subject.ours(images, [EPSILON], shared=True),
        },
        case.rounds,
    )
    native = _native(device)
    few = images if native else images[:2]  # slow where the processor lacks bfloat16
    reduced = paired(
        {
            "float32": lambda: subject.ours(few, [EPSILON]),
            "bfloat16": lambda: subject.ours(few, [EPSILON], extractor=subject.reduced),
        },
        case.rounds if native else 1,
        warm=not native,
    )
    ours = subject.ours(images, [EPSILON])[EPSILON].values
    theirs = subject.loop.scores(images, subject.their_fss, EPSILON, BATCH).detach().cpu().numpy()
    pairs = [
        ("authors over ours, 1 epsilon", "authors, 1 epsilon", "ours, 1 epsilon"),
        ("ours over floor, 1 epsilon", "ours, 1 epsilon", "floor, 1 epsilon"),
        ("epsilon 0 over msp", "ours, epsilon 0", "msp"),
        ("authors over shared, 1 epsilon", "authors, 1 epsilon", "shared, 1 epsilon"),
    ]
    row: dict[str, Any] = {
        "name": case.name, "images": case.images, "layers": len(case.layers), "rounds": case.rounds,
        "seconds": {k: statistics.median(v) for k, v in one[clock].items()},
        "wall": {k: statistics.median(v) for k, v in one["wall"].items()},
        "ratios": {name: ratio(one[clock], a, b) for name, a, b in pairs},
        "bfloat16": {
            "float32 over bfloat16": ratio(reduced[clock], "float32", "bfloat16"),
            "authors over bfloat16": ratio(one[clock], "authors, 1 epsilon", "ours, 1 epsilon")
            * ratio(reduced[clock], "float32", "bfloat16"),
            "largest difference by layer": differences(subject, few),
        },
        "largest relative difference": float((np.abs(ours - theirs) / theirs).max()),
    }  # fmt: skip
    if case.sweep_rounds:
        row["sweep"] = sweep(subject, clock, native=native)
    return row


def _native(device: str) -> bool:
    """Whether the device has bfloat16, where torch need not emulate it."""
    return device == "cuda" or bool(machine()["bfloat16 in the processor"])


def sweep(subject: Subject, clock: str, *, native: bool) -> dict[str, Any]:
    """The authors' 22 epsilons, one of which is 0 and needs no pass of its own; bfloat16 where the device has it."""
    case, some = subject.case, subject.images[: subject.case.sweep_images]
    works: dict[str, Work] = {
        "floor": lambda: subject.floor(some, len(EPSILONS) - 1),
        "ours": lambda: subject.ours(some, EPSILONS),
        "authors": lambda: [subject.loop.scores(some, subject.their_fss, e, BATCH) for e in EPSILONS],
        "shared": lambda: subject.ours(some, EPSILONS, shared=True),
    }
    if native:
        works["bfloat16"] = lambda: subject.ours(some, EPSILONS, extractor=subject.reduced)
        works["bfloat16, shared"] = lambda: subject.ours(some, EPSILONS, extractor=subject.reduced, shared=True)
    seconds = paired(works, case.sweep_rounds, warm=True)[clock]
    return {
        "images": len(some), "epsilons": len(EPSILONS), "rounds": case.sweep_rounds,
        "seconds": {k: statistics.median(v) for k, v in seconds.items()},
        "authors over ours": ratio(seconds, "authors", "ours"),
        "ours over floor": ratio(seconds, "ours", "floor"),
        **{f"authors over {w}": ratio(seconds, "authors", w) for w in works if w.startswith(("shared", "bfloat16"))},
    }  # fmt: skip


def differences(subject: Subject, images: Tensor) -> dict[str, float]:
    """{layer: largest |bfloat16 - float32| / float32 of the unperturbed distances}."""
    exact, fast = (subject.ours(images, [0.0], extractor=e)[0.0] for e in (subject.extractor, subject.reduced))
    error = np.abs(fast.values - exact.values) / exact.values
    return {layer: float(worst) for layer, worst in zip(exact.layers, error.max(0), strict=True)}


def agreement(count: int) -> dict[str, Any]:
    """AUROC on the demo's LeNet, sum and layers: exact, bfloat16 and the shared perturbation, rule 'sign'."""
    model = load_model("demo/lenet")
    extractor = model.extractor(device="cpu")
    fss = estimate_fss(extractor, uniform_noise(model.input_shape, 100, generator=generator(0)))
    modes: dict[str, tuple[FeatureExtractor, bool]] = {
        "exact": (extractor, False),
        "bfloat16": (in_precision(extractor, "bfloat16"), False),
        "shared": (extractor, True),
    }
    table: dict[str, Any] = {}
    for epsilon in (0.01, 0.05):
        for ood in ("fmnist-inverted", "mnist"):
            sets = [load_data(ref).sample(count, seed=0).tensor() for ref in ("fmnist:test", ood)]
            for mode, (chosen, shared) in modes.items():
                if mode == "bfloat16" and epsilon != 0.01:
                    continue
                a, b = (fssd(chosen, x, fss, epsilon=epsilon, shared=shared, batch_size=BATCH) for x in sets)
                entry = table.setdefault(f"{ood}, epsilon {epsilon:g}", {})
                entry[mode] = {"sum": auroc(*(combine(s, uniform(s.layers)) for s in (a, b)))}
                entry[mode].update({layer: auroc(a.column(layer), b.column(layer)) for layer in a.layers})
    return {"images": count, "auroc": table}


_PEAK = """
import dataclasses, sys, torch
from pathlib import Path
from benchmarks.engine import CASES, Subject

def kib(name):
    return int(Path("/proc/self/status").read_text().split(name + ":")[1].split()[0])

torch.set_num_threads(1)
subject = Subject(dataclasses.replace(CASES[0], images=int(sys.argv[1])), "cpu")
subject.ours(subject.images[:2], [0.01])
Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
before = kib("VmRSS")
subject.ours(subject.images, [0.01])
print(before, kib("VmHWM"))
"""


def memory(counts: Sequence[int]) -> list[dict[str, float]]:
    """MiB that scoring adds to the process, by the number of images: it follows the batch. On Linux alone."""
    rows: list[dict[str, float]] = []
    if not Path("/proc/self/clear_refs").exists():
        return rows
    for count in counts:
        done = subprocess.run(
            [sys.executable, "-c", _PEAK, str(count)], capture_output=True, text=True, check=True,
            cwd=RESULTS.parents[1],
        )  # fmt: skip
        before, after = (int(part) / 1024 for part in done.stdout.split())
        rows.append({"images": count, "added MiB": round(after - before, 1), "peak MiB": round(after, 1)})
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    """Measures everything, prints the tables, writes benchmarks/results/engine-<name>.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute's worth; kept only where --name is given")
    parser.add_argument("--name", help="of the results' file; default cpu, cpu-bfloat16 where it has that, or cuda")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    options = parser.parse_args(argv)
    started = time.perf_counter()
    with threads(1):
        report: dict[str, Any] = {"machine": machine(), "load before": os.getloadavg()[0]}
        report["cases"] = [measure(case, options.device) for case in (QUICK if options.quick else CASES)]
        report["agreement"] = agreement(60 if options.quick else 300)
        report["fast half"] = fast_half(20 if options.quick else 50)
        report["memory"] = memory((100, 300) if options.quick else (100, 400, 800))
    report["load after"] = os.getloadavg()[0]
    report["seconds in all"] = round(time.perf_counter() - started, 1)
    report["peak MiB of this process"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    print(performance.tables(report))
    if options.name or not options.quick:
        RESULTS.mkdir(exist_ok=True)
        kind = "cpu-bfloat16" if options.device == "cpu" and _native("cpu") else options.device
        path = RESULTS / f"engine-{options.name or kind}.json"
        path.write_text(json.dumps(report, indent=1) + "\n")
        print(f"\nwrote {path}; `python -m benchmarks.performance` puts it into docs/performance.md")


if __name__ == "__main__":
    main()
