"""Corruption studies through the worker process: a request as JSON, and the call that answers it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fssd_core.corruption_strip import corruption_strip
from fssd_core.corruption_study import CorruptionStudy, Opened, corruption_scores
from fssd_core.runtime import Progress
from fssd_core.store import Store
from fssd_core.study import Study


def corruptions_call(
    study: Study, args: Mapping[str, Any], store: Store, root: Path | None, progress: Progress
) -> object:
    """The worker's call 'corruptions': arguments of `to_request`; with `row` the strip of that image, else scores."""
    spec = from_request(study, args)
    if args["row"] is not None:
        return corruption_strip(Opened(spec, root=root), args["row"], store=store, progress=progress)
    return corruption_scores(spec, store=store, root=root, progress=progress)


def to_request(spec: CorruptionStudy, *, row: int | None = None) -> dict[str, Any]:
    """JSON arguments for `corruptions_call`, the study itself left out."""
    return {
        "detectors": list(spec.detectors),
        "types": list(spec.types),
        "severities": list(spec.severities),
        "set": spec.root,
        "fit": spec.fit,
        "row": row,
    }


def from_request(study: Study, args: Mapping[str, Any]) -> CorruptionStudy:
    """The corruption study of `to_request`'s values."""
    detectors, types, severities = (tuple(args[name]) for name in ("detectors", "types", "severities"))
    return CorruptionStudy(study, detectors, types, severities, args["set"], args["fit"])
