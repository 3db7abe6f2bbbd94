"""What the Corruptions page shows: everything below the controls is one fragment that follows alpha."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import streamlit as st

from app import session
from app.charts import chart
from app.corruption_alpha import alpha_controls
from app.corruption_state import IMAGE, Page, Pictures, Tuned, names_of
from app.corruption_strip import strip_html, strip_style
from app.figures import corruptions as figures
from app.inspection import Operating
from app.names import name_of, title_of
from app.samples import open_sample
from fssd_core.corruption_claim import HOLDS, Claim, in_words
from fssd_core.corruption_table import Floats, accepted_accuracy, rejected_table, spread
from fssd_core.data.corruptions import group_of_type, title_of_type
from fssd_core.study import Study
from fssd_core.types import Weights

METRICS = {
    "auroc": "AUROC",
    "fpr95": "FPR95",
    "fpr80": "FPR80",
    "aupr_in": "AUPR-IN",
    "aupr_out": "AUPR-OUT",
    "detection_error": "Detection error",
}
CAPITALS = ("fssd", "msp", "odin", "gen", "ash", "nac", "she", "rmd")
MIXED = {"knn": "kNN", "vim": "ViM", "react": "ReAct", "fdbd": "fDBD", "mc-dropout": "MC dropout"}


def short(label: str) -> str:
    """'MSP' for 'msp': a detector's name as people write it, with the values that were given."""
    name, *values = label.split(":")
    plain = name.upper() if name in CAPITALS else MIXED.get(name, name.replace("-", " ").capitalize())
    return f"{plain} ({', '.join(values)})" if values else plain


def say_notes(page: Page) -> None:
    """What must be known of the images and the types."""
    result = page.result
    words = (
        f"{len(result.rows):,} clean images of {title_of(page.spec.study.ind)}, the positive class, each against its "
        f"own corruptions: {len(result.types)} types, {len(result.severities)} severities."
    )
    if page.left_out:
        words += f" {page.left_out} drawn images are left out, because alpha may be fitted on them."
    if page.others:
        words += f" {', '.join(map(short, page.others))}: the layers are standardised on clean images and added."
    for note in result.notes:
        words += f" {note[:1].upper()}{note[1:]}."
    st.caption(words)


@st.fragment
def live(study: Study, page: Page, tuned: Tuned, pictures: Pictures | None) -> None:
    """Everything that alpha moves."""
    controls, lines = st.columns([1, 1.7], gap="large")
    with controls:
        weights, operating = alpha_controls(study, page, tuned)
        metric = str(
            st.selectbox("Metric", list(METRICS), format_func=METRICS.get, key="corruption-metric", bind="query-params")
        )
    tables = {short(label): page.table(label, weights, metric) for label in page.labels}
    severities, types = page.result.severities, [title_of_type(t) for t in page.result.types]
    name, mode = METRICS[metric], session.mode()
    with lines:
        st.subheader(f"{name} against severity")
        spreads = {label: spread(table) for label, table in tables.items()}
        figure = figures.severity_lines(severities, spreads, metric=name, types=len(types), mode=mode)
        said = "; ".join(f"{label} {s.mean[0]:.3f} to {s.mean[-1]:.3f}" for label, s in spreads.items())
        chart(
            figure,
            key="corruption-lines",
            alt=f"Mean {name} by severity: {said}",
            name="the lines over severity",
            title=f"{name} against severity",
        )
    _claim(page.claim(weights))
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Spread over the types")
        figure = figures.severity_boxes(severities, types, tables, metric=name, mode=mode)
        chart(
            figure,
            key="corruption-boxes",
            alt=f"Boxes of {name} over types by severity",
            name="the boxes",
            title=f"{name} over the corruption types",
        )
    with right:
        _accuracy(page, weights, operating)
    _heatmaps(page, tables, types, metric)
    _strip(study, page, weights, operating, pictures)
    _cell(page, weights)


def _claim(found: list[Claim]) -> None:
    if not found:
        return
    st.markdown(
        "**The slides' claim, measured on this model: FSSD has a higher mean and a smaller variance over the "
        f"corruptions.** {in_words(found)}"
    )
    with st.expander("Every comparison, with intervals", icon=":material/fact_check:"):
        st.dataframe([_claim_row(c) for c in found], hide_index=True, key="corruption-claim")
        st.caption(
            "AUROC. 95 % percentile intervals over 500 bootstrap draws of types and images together (the images' part "
            "linearised). Each comparison stands for itself: of twenty without a true difference, one is decided by "
            "chance."
        )


def _claim_row(c: Claim) -> dict[str, str | int]:
    (low, high), (small, large) = c.difference_interval, c.ratio_interval
    verdicts = (f"✓ {v}" if v == HOLDS else v for v in (c.higher_mean, c.smaller_variance, c.verdict))
    higher, smaller, both = verdicts
    return {
        "severity": c.severity,
        "against": short(c.rival),
        "FSSD, mean ± sd": f"{c.mean:.3f} ± {c.sd:.3f}",
        "method, mean ± sd": f"{c.rival_mean:.3f} ± {c.rival_sd:.3f}",
        "difference of means": f"{c.difference:+.3f}  [{low:+.3f}, {high:+.3f}]",
        "higher mean": higher,
        "ratio of variances": f"{c.ratio:.2f}  [{small:.2f}, {large:.2f}]",
        "smaller variance": smaller,
        "both": both,
    }


def _accuracy(page: Page, weights: Weights, operating: Operating) -> None:
    st.subheader("Accuracy falls, detection rises")
    clean, cells = page.scored(page.ours, weights)
    accepted = clean >= operating.threshold
    rejected = spread(rejected_table(cells, operating.threshold))
    shares: dict[str, tuple[float, Floats, Floats]] = {}
    accuracy, kept = page.result.accuracy(), accepted_accuracy(page.result, cells, operating.threshold)
    if accuracy is not None:
        right = spread(accuracy[1])
        shares["classified right"] = (accuracy[0], right.mean, right.sd)
    shares["rejected by FSSD"] = (float(np.mean(~accepted)), rejected.mean, rejected.sd)
    if accuracy is not None and kept is not None:
        own = (page.result.predicted == page.result.labels)[accepted]
        shares["right among the accepted"] = (
            float(own.mean()) if len(own) else float("nan"),
            kept,
            np.zeros(len(kept)),
        )
    figure = figures.threshold_lines(page.result.severities, shares, mode=session.mode())
    said = "; ".join(f"{what}: clean {c:.0%}, highest severity {m[-1]:.0%}" for what, (c, m, _) in shares.items())
    chart(figure, key="corruption-accuracy", alt=said, name="the shares", title="Accuracy falls, detection rises")
    if accuracy is None:
        st.caption("No accuracy: the images have no labels, or not the classes of this network.")


def _heatmaps(page: Page, tables: Mapping[str, Floats], types: list[str], metric: str) -> None:
    left, right = st.columns(2, gap="large")
    severities, mode, name = page.result.severities, session.mode(), METRICS[metric]
    names = list(tables)
    with left:
        chosen = str(st.selectbox(f"{name} by type and severity", names, key="corruption-shown"))
        low = metric in figures.GOOD_IS_LOW
        figure = figures.cell_heatmap(tables[chosen], types, severities, metric=name, low_is_good=low, mode=mode)
        title = f"{name} of {chosen} by type and severity"
        chart(figure, key="corruption-heat", alt=title, name="the heatmap", title=title)
    with right:
        first, second = st.columns(2)
        one = str(first.selectbox(f"{name} of", names, key="corruption-first"))
        two = str(second.selectbox("minus that of", names, index=min(1, len(names) - 1), key="corruption-second"))
        difference = tables[one] - tables[two]
        figure = figures.difference_heatmap(difference, types, severities, first=one, second=two, mode=mode)
        title = f"{name} of {one} minus {two}"
        said = f"{title}: mean {difference.mean():+.3f}"
        chart(figure, key="corruption-difference", alt=said, name="the differences", title=title)


def _strip(study: Study, page: Page, weights: Weights, operating: Operating, pictures: Pictures | None) -> None:
    """One image through all types and severities, its score and verdict under each."""
    if pictures is None:
        return
    st.subheader("One image through all of it")
    names, rows, result = names_of(study), page.result.rows.tolist(), page.result
    labels: dict[int, int] = {}
    if result.labels is not None:
        labels = dict(zip(rows, result.labels.tolist(), strict=True))

    def told(row: int) -> str:
        return f"{name_of(names, labels[row])} · row {row}" if row in labels else f"row {row}"

    left, right = st.columns([2, 1], vertical_alignment="bottom")
    order = sorted(rows, key=lambda row: (labels.get(row, 0), row))
    row = left.selectbox("Image", order, index=order.index(pictures.row), key=IMAGE, format_func=told)
    if row != pictures.row:
        st.rerun()  # its pictures are fetched, or made, by a whole run
    if right.button("Inspect this image", icon=":material/frame_inspect:", width="stretch"):
        open_sample(study.ind, int(row))
    if pictures.strip is None:
        st.caption("Its pictures are not there yet: see above.")
        return
    at = rows.index(row)
    clean, cells = page.scored(page.ours, weights)
    said = np.array([[name_of(names, int(c)) for c in line] for line in result.cell_predicted[:, :, at]])
    st.html(strip_style(pictures.clean, pictures.strip, mode=session.mode()))
    st.html(
        strip_html(
            [(title_of_type(t), group_of_type(t)) for t in result.types],
            result.severities,
            cells[:, :, at],
            said,
            threshold=operating.threshold,
            clean=(float(clean[at]), name_of(names, int(result.predicted[at]))),
        )
    )
    truth = f" It is labelled {name_of(names, labels[row])}." if row in labels else ""
    st.caption(
        f"Severity 1 to {result.severities[-1]} from left to right. FSSD's score, ✓ accepted at "
        f"{operating.threshold:.4g} or more, ✗ rejected; below it what the network takes the image for.{truth}"
    )


def _cell(page: Page, weights: Weights) -> None:
    st.subheader("Curves of one cell")
    left, right = st.columns(2, gap="large")
    kind = left.selectbox("Type", page.result.types, format_func=title_of_type, key="corruption-type")
    level = right.select_slider("Severity", page.result.severities, key="corruption-severity")
    place = page.result.types.index(kind), page.result.severities.index(level)
    for column, what, title in ((left, "roc", "ROC"), (right, "pr", "PR, clean images positive")):
        number = "auroc" if what == "roc" else "aupr_in"
        curves: dict[str, Any] = {
            f"{short(label)} {page.table(label, weights, number)[place]:.3f}": page.curve(label, weights, place, what)
            for label in page.labels
        }
        figure = figures.cell_curves(curves, kind=what, mode=session.mode())
        with column:
            st.markdown(f"**{title}**")
            said = f"{title} of {title_of_type(kind)}, severity {level}"
            alt = f"{said}: {', '.join(curves)}"
            chart(figure, key=f"corruption-{what}", alt=alt, name=f"the {what.upper()} curves", title=said)
