"""`python -m benchmarks.corruptions`: seconds of 19 types x 5 severities x 500 images through FSSD, and from the store.

Four layers of the demo LeNet, epsilon 0, one corrupting process a core, an empty store of its own; then once more from
that store, and once more in a fresh process. Prints JSON with the load of the machine before and after.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from fssd_core.corruption_study import CorruptionStudy, corruption_scores
from fssd_core.corruption_table import metric_table
from fssd_core.data.corruption_pool import cores
from fssd_core.store import Store
from fssd_core.study import Study


def timed(study: CorruptionStudy, root: Path) -> dict[str, Any]:
    """Seconds of one run with that store, and what it computed."""
    began = time.perf_counter()
    result = corruption_scores(study, store=Store(root))
    mean = float(metric_table(*result.detectors["fssd"].combined()).mean())
    seconds = round(time.perf_counter() - began, 2)
    return {"seconds": seconds, "computed": result.computed, "stored": result.stored, "mean_auroc": mean}


def main() -> None:
    """Prints the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--detectors", default="fssd")
    options = parser.parse_args()
    study = CorruptionStudy(Study(samples=options.images, ood=()), tuple(options.detectors.split(",")))
    before = os.getloadavg()
    with tempfile.TemporaryDirectory() as folder:
        computed = timed(study, Path(folder, "store"))
        stored = timed(study, Path(folder, "store"))
        command = [
            sys.executable, "-m", "fssd_core.cli", "corruptions", "--model", study.study.model, "--ind",
            study.study.ind, "--detectors", options.detectors, "--limit", str(options.images), "--json",
        ]  # fmt: skip
        began = time.perf_counter()
        done = subprocess.run(command, env={**os.environ, "FSSD_HOME": folder}, capture_output=True, check=True)
        whole = {"seconds": round(time.perf_counter() - began, 2), "computed": json.loads(done.stdout)["computed"]}
    report = {
        "images": options.images,
        "detectors": list(study.detectors),
        "cells": len(study.types) * len(study.severities),
        "cores": cores(),
        "load_before": before,
        "load_after": os.getloadavg(),
        "computed": computed,
        "from_store": stored,
        "whole_command_from_store": whole,
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
