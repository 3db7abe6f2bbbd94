"""Take it with you: the tuned detector as one file, the scores behind it, and the lines of Python that use it."""

from __future__ import annotations

import csv
import datetime
import io
import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import streamlit as st

from app import session
from app.components.cockpit import Setting
from app.components.scores_packing import columns_at, pack, scores_at
from app.names import title_of
from fssd_core.bundle import bundle_bytes, make_bundle, measure, steady_threshold
from fssd_core.study import Comparison, Study, open_data
from fssd_core.types import LayerScores

Sweep = Mapping[float, LayerScores]
_ONE_AT_A_TIME = threading.Lock()  # the study's network is shared between sessions


def export_panel(study: Study, setting: Setting, sweeps: Mapping[str, Sweep], plain: Mapping[str, Comparison]) -> None:
    """Draws the panel; files are made when their button is pressed.

    Args:
        study: what was tuned.
        setting: where the cockpit stands.
        sweeps: {data reference: {epsilon: (N, K) distances}} of ind and every ood set.
        plain: {ood reference: rows split for fitting and testing}.
    """
    if not any(setting.weights.alpha) or not np.isfinite(setting.threshold):
        st.info("With every alpha 0 there is no detector to export; move a slider first.")
        return
    root = session.data_root()
    left, right = st.columns(2, gap="large")
    left.markdown(
        "**The detector**: layers, F\\*, alpha, epsilon, gradient rule, threshold and how it was chosen, the network's "
        "hash, the measured numbers. Without the network's own weights; another network is refused."
    )
    left.download_button(
        "Download detector.fssd",
        data=lambda: _bundle(study, setting, sweeps, plain),
        file_name="detector.fssd",
        mime="application/octet-stream",
        icon=":material/download:",
        type="primary",
        on_click="ignore",
    )
    right.markdown("**The scores**: one row an image: data set, row, distance in each layer, score, verdict.")
    right.download_button(
        "Download scores.csv",
        data=lambda: _csv(study, setting, sweeps, root),
        file_name="scores.csv",
        mime="text/csv",
        icon=":material/table:",
        on_click="ignore",
    )
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


def name_of(study: Study) -> str:
    """'demo/lenet@900', or a weight file's name without the server's folders."""
    if Path(study.model).exists():
        return Path(study.model).name
    return study.model if study.step is None else f"{study.model}@{study.step}"


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


def _csv(study: Study, setting: Setting, sweeps: Mapping[str, Sweep], root: Path | None) -> bytes:
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(["data", "row", *(f"fssd_{layer}" for layer in setting.weights.layers), "score", "accepted"])
    for ref, sweep in sweeps.items():
        distances = columns_at(pack(ref, sweep), setting.epsilon)
        scores = _scores(sweep, setting, slice(None))
        for row, values, score in zip(open_data(study, ref, root=root).rows, distances, scores, strict=True):
            table.writerow([title_of(ref), row, *values.tolist(), float(score), bool(score >= setting.threshold)])
    return text.getvalue().encode()
