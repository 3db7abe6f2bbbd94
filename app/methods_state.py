"""What the Methods page compares: the asked comparison of the current study, its stored outcomes, its table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from app import session
from fssd_core.bench_open import Asked, open_bench
from fssd_core.bench_run import Bench, Outcome, stored_outcome
from fssd_core.benchmarks import BENCHMARKS, Cell
from fssd_core.detectors import DETECTORS
from fssd_core.errors import InputError, ModelError
from fssd_core.memory import kept
from fssd_core.study import Study

DEMO = "fmnist-mnist"
PAPER = ("fssd", "msp", "odin", "mahalanobis", "deep-ensemble", "mc-dropout", "outlier-exposure")


def is_demo(study: Study) -> bool:
    """Whether this is the benchmark's own network on its own ind set."""
    row = BENCHMARKS[DEMO]
    return study.model == row.model and study.ind == row.ind


def asked(study: Study, ood: str, protocol: str, train: str | None) -> Asked:
    """The comparison of the study's network and sets with one ood set.

    The sidebar always names a checkpoint; the last one is the network itself, and only with it go the helper networks.
    The benchmark's own pair is always the whole of it, as `fssd bench` runs it; else the sidebar's number of images.
    """
    if is_demo(study):
        last = study.step is None or study.step == _last_step(study.model)
        own = ood == BENCHMARKS[DEMO].ood
        return Asked(
            DEMO, protocol, step=None if last else study.step, ood=None if own else ood,
            limit=None if own and last else study.samples, seed=study.seed,
        )  # fmt: skip
    return Asked(
        "own", protocol, model=study.model, arch=study.arch, step=study.step, train=train, ind=study.ind, ood=ood,
        limit=study.samples, seed=study.seed,
    )  # fmt: skip


@kept
def _opened(wanted: Asked, root: str | None, stamp: str) -> Bench:
    return open_bench(wanted, root=session.data_root())


def bench(wanted: Asked) -> Bench:
    """The comparison's networks and images, kept in memory."""
    root = session.data_root()
    return _opened(wanted, str(root) if root else None, _stamp(wanted))


def outcomes(opened: Bench, names: Iterable[str] = DETECTORS) -> tuple[dict[str, Outcome], dict[str, str]]:
    """({detector: outcome} of those that the store has, {detector: why} of those that lack a network)."""
    found: dict[str, Outcome] = {}
    lacking: dict[str, str] = {}
    for name in names:
        try:
            outcome = stored_outcome(opened, name, store=session.store())
        except (InputError, ModelError) as error:
            lacking[name] = str(error).split("; give --")[0]
            continue
        if outcome is not None:
            found[name] = outcome
    return found, lacking


def compute_args(wanted: Asked, names: list[str]) -> dict[str, object]:
    """The worker's arguments that compute these detectors."""
    return {"asked": asdict(wanted), "detectors": names}


def table(found: Mapping[str, Outcome], published: bool) -> list[dict[str, Any]]:
    """One row a detector, best AUROC first; the paper's percent as shares, where they were published."""
    row = BENCHMARKS[DEMO]
    printed = (("slides", row.slides), ("README", {**row.slides, **row.readme}))
    rows = []
    for name, outcome in sorted(found.items(), key=lambda item: -item[1].facts["auroc"]):
        facts = outcome.facts
        line: dict[str, Any] = {
            "detector": name,
            "AUROC": facts["auroc"],
            "low": facts["auroc_ci"][0],
            "high": facts["auroc_ci"][1],
        }
        if published:
            line |= {f"paper AUROC ({source})": _share(cells.get(name), 0) for source, cells in printed}
        line["FPR80"] = facts["fpr80"]
        if published:
            line |= {f"paper FPR80 ({source})": _share(cells.get(name), 2) for source, cells in printed}
        line |= {
            "FPR95": facts["fpr95"],
            "AUPR-IN": facts["aupr_in"],
            "AUPR-OUT": facts["aupr_out"],
            "ms": facts["ms_per_image"],
            "forward": facts["forwards"],
            "backward": facts["backwards"],
            "labels used": facts["labels_used"],
            "parameters": ", ".join(f"{k} {v}" for k, v in facts["values"].items() if k != "members" and v != ""),
            "method": facts["title"],
        }
        rows.append(line)
    return rows


def _share(cell: Cell | None, number: int) -> float | None:
    return None if cell is None else round(cell[number] / 100, 6)


def _last_step(model: str) -> int | None:
    from fssd_core.models import list_models

    return next((m.steps[-1] for m in list_models() if m.name == model), None)


def _stamp(wanted: Asked) -> str:
    """Changes when a file behind the references does."""
    from pathlib import Path

    from fssd_core.data.files import file_key

    marks = []
    for reference in (wanted.model, wanted.train, wanted.ind, wanted.ood):
        path = Path(reference) if reference else None
        marks.append(str(file_key(path)) if path is not None and path.exists() else "")
    return "|".join(marks)
