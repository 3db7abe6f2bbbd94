"""Take it with you: the tuned detector, a report, the scores behind it, and the lines of Python that use it."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import session
from app.components.cockpit import Setting
from app.components.scores_packing import pack, scores_at
from app.names import title_of
from app.tuning_report import name_of, report_bytes
from app.tuning_scores import score_columns
from fssd_core.bundle import bundle_bytes, make_bundle, measure, steady_threshold
from fssd_core.study import Comparison, Study
from fssd_core.tables import table_bytes
from fssd_core.types import LayerScores, Weights

Sweep = Mapping[float, LayerScores]
_ONE_AT_A_TIME = threading.Lock()  # the study's network is shared between sessions


def export_panel(
    study: Study,
    setting: Setting,
    sweeps: Mapping[str, Sweep],
    plain: Mapping[str, Comparison],
    *,
    also: Mapping[str, Weights],
) -> None:
    """Draws the panel; files are made when their button is pressed.

    Args:
        study: what was tuned.
        setting: where the cockpit stands.
        sweeps: {data reference: {epsilon: (N, K) distances}} of ind and every ood set.
        plain: {ood reference: rows split for fitting and testing}.
        also: further weights for the report's matrix of transferred weights.
    """
    if not any(setting.weights.alpha) or not np.isfinite(setting.threshold):
        st.info("With every alpha 0 there is no detector to export; move a slider first.")
        return
    root, store = session.data_root(), session.store()
    detector, report, scores = st.columns(3, gap="large")
    detector.markdown(
        "**The detector**: layers, F\\*, alpha, epsilon, gradient rule, threshold and how it was chosen, the network's "
        "hash, the measured numbers. Without the network's own weights; another network is refused."
    )
    _button(
        detector,
        "detector.fssd",
        "application/octet-stream",
        lambda: _bundle(study, setting, sweeps, plain),
        "download",
        "primary",
    )
    report.markdown(
        "**A report** on one page, to print or to pass on: setting, labels used, results with intervals, curves, "
        "layers, images at the threshold. One file that asks nothing of the network."
    )
    _button(
        report,
        "report.html",
        "text/html",
        lambda: report_bytes(study, setting, sweeps, also=also, store=store, root=root),
        "summarize",
    )
    scores.markdown("**The scores**: one row an image: data set, row, distance in each layer, score, verdict.")
    for kind, mime in ((".csv", "text/csv"), (".parquet", "application/vnd.apache.parquet")):
        _button(scores, f"scores{kind}", mime, partial(_table, kind, study, setting, sweeps, root), "table")
    st.code(
        f"""from fssd_core import load_detector
from fssd_core.data import load_data

detector = load_detector("detector.fssd", "{name_of(study)}")   # or your own nn.Module
images = load_data("mnist").tensor()                  # (N, C, H, W) float in [0, 1]
scores = detector.scores(images)                      # larger = more in-distribution
accepted = detector.verdicts(images)                  # score >= {setting.threshold:.6g}
print(f"{{accepted.mean():.1%}} accepted as in-distribution")""",
        language="python",
    )
    st.caption("Headless: `fssd apply --bundle detector.fssd --data DATA --out verdicts.csv`")


def _button(
    place: DeltaGenerator, name: str, mime: str, make: Callable[[], bytes], icon: str, kind: str = "secondary"
) -> None:
    place.download_button(
        f"Download {name}",
        data=make,
        file_name=name,
        mime=mime,
        icon=f":material/{icon}:",
        type=kind,
        on_click="ignore",
        width="stretch",
    )


def _table(kind: str, study: Study, setting: Setting, sweeps: Mapping[str, Sweep], root: Path | None) -> bytes:
    return table_bytes(kind, score_columns(study, setting, sweeps, root))


def _scores(sweep: Sweep, setting: Setting, rows: npt.NDArray[np.int64] | slice) -> npt.NDArray[np.float64]:
    """(n,) scores under the setting, as the page has them."""
    return scores_at(pack("", {e: s.take(rows) for e, s in sweep.items()}), setting.weights, setting.epsilon)


def _bundle(study: Study, setting: Setting, sweeps: Mapping[str, Sweep], plain: Mapping[str, Comparison]) -> bytes:
    every = [_scores(sweep, setting, slice(None)) for sweep in sweeps.values()]
    threshold = steady_threshold(setting.threshold, *every)  # no verdict changes, and no rounding elsewhere turns one
    measured = []
    for ref, comparison in plain.items():
        ind = _scores(sweeps[study.ind], setting, comparison.split.test_ind)
        ood = _scores(sweeps[ref], setting, comparison.split.test_ood)
        measured.append(measure(ind, ood, threshold, name=title_of(ref)))
    with _ONE_AT_A_TIME:
        bundle = make_bundle(
            study,
            setting.weights,
            epsilon=setting.epsilon,
            threshold=threshold,
            chosen={**setting.chosen, "on": f"held-out images of {title_of(study.ind)}"},
            date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            metrics=measured,
            reference=name_of(study),
            epsilon_labels="none" if setting.epsilon == 0 else "set by hand while looking at the ood sets",
        )
    return bundle_bytes(bundle)
