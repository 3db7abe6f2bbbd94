"""What the Features page shows of chosen images: how many of each, the images, their curves and numbers, a CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import streamlit as st

from app import session
from app.charts import chart
from app.components.selecting import Selection
from app.components.thumbs import Thumb, thumbs
from app.figures.curves import Line, pr_curves, roc_curves
from app.names import title_of
from app.samples import open_sample
from app.selection_scores import Verdicts, verdicts
from fssd_core import subset
from fssd_core.metrics import pr, roc
from fssd_core.study import Study, study_layers
from fssd_core.subset import Judged, Numbers
from fssd_core.types import PointGroup, Projection

MOST = 24
ORDER_NAMES = {
    "borderline": "Borderline first",
    "wrong": "Wrong verdicts first",
    "lowest": "Lowest score",
    "highest": "Highest score",
}
Images = Mapping[str, npt.NDArray[np.uint8]]


def selection_panel(study: Study, shown: Projection, chosen: Selection, images: Images) -> None:
    """Draws the panel; without a selection, how to make one.

    Args:
        study: of the picture.
        shown: the projection in the picture.
        chosen: some of its images.
        images: group name -> uint8 images, one a drawn point.
    """
    if not len(chosen):
        st.caption(
            ":material/lasso_select: Press the lasso above the picture (or L) and draw around points, or move its "
            "rectangle with the arrow keys: the images, their scores and their curves then stand here."
        )
        return
    touched = [group for group in shown.groups if group.name in chosen.rows]
    scored = [group for group in touched if group.kind != "noise"]
    parts = [f"{len(chosen.rows[group.name]):,} {title_of(group.name)}" for group in touched]
    st.subheader(f"Selection: {len(chosen):,} image{'' if len(chosen) == 1 else 's'}")
    st.markdown(" · ".join(parts))
    with session.guard():
        found = verdicts(study, scored) if scored else None
    if found is not None:
        _said(found, chosen, with_noise=len(scored) < len(touched))
    elif not scored:
        st.caption("Noise is what F\\* is the mean of; it has no score and no verdict.")
    picked = [group.take(chosen.of(g)) for group, g in zip(found.groups, scored, strict=True)] if found else []
    left, right = st.columns([1.35, 1], gap="large")
    with left:
        _images(touched, chosen, images, found, picked)
    if found is None:
        return
    with right:
        ours, whole = _numbers(study, found, picked)
    _curves(found, picked, ours, whole)
    st.download_button(
        "Download selection.csv",
        data=lambda: table(study, touched, chosen, picked),
        file_name="selection.csv",
        mime="text/csv",
        icon=":material/table:",
        on_click="ignore",
        help="One row an image: group, row, distance in each layer, score, verdict.",
    )


def _said(found: Verdicts, chosen: Selection, *, with_noise: bool) -> None:
    words = f"Scored at ε {found.epsilon:.4g} with {found.said}; threshold {found.threshold:.4g}."
    if with_noise:
        words += " Noise, which F\\* is the mean of, is not scored."
    fitted = sum(int(np.isin(group.rows[group.fitted], chosen.rows[group.name]).sum()) for group in found.groups)
    if found.tuned and fitted:
        words += f" {fitted:,} of the selected images are among those that alpha may have been fitted on."
    st.caption(f":material/tune: {words}")


def _images(
    touched: Sequence[PointGroup],
    chosen: Selection,
    images: Images,
    found: Verdicts | None,
    picked: Sequence[Judged],
) -> None:
    order = st.segmented_control(
        f"Images, at most {MOST}",
        list(ORDER_NAMES),
        format_func=ORDER_NAMES.__getitem__,
        default="borderline",
        required=True,
        wrap=True,
        key="selection-order",
        disabled=found is None,
    )
    items = _scored_thumbs(touched, images, found, picked, str(order)) if found else []
    if len(items) < MOST:
        unscored = [g for g in touched if found is None or g.kind == "noise"]
        items += [thumb for group in unscored for thumb in _plain_thumbs(group, chosen, images)][: MOST - len(items)]
    pressed = thumbs(items, label="Selected images", mode=session.mode(), key="selection-images")
    if len(chosen) > len(items):
        st.caption(f"{len(items)} of {len(chosen):,} images. Press one to inspect it.")
    else:
        st.caption("Press an image to inspect it.")
    if pressed is not None:
        open_sample(*pressed)


def _scored_thumbs(
    touched: Sequence[PointGroup], images: Images, found: Verdicts, picked: Sequence[Judged], order: str
) -> list[Thumb]:
    groups = {group.name: group for group in touched}
    spread = max((float(np.ptp(g.scores[np.isfinite(g.scores)])) for g in found.groups if len(g)), default=0.0)
    digits = int(np.clip(2 - np.floor(np.log10(spread)), 0, 6)) if spread > 0 else 2
    out = []
    for g, i in subset.first(picked, found.threshold, order=order, count=MOST):
        one, row = picked[g], int(picked[g].rows[i])
        at = int(np.flatnonzero(groups[one.name].rows == row)[0])
        score, accepted = f"{one.scores[i]:.{digits}f}", bool(one.accepted[i])
        out.append(Thumb(images[one.name][at], title_of(one.name), row, one.name, score, accepted))
    return out


def _plain_thumbs(group: PointGroup, chosen: Selection, images: Images) -> list[Thumb]:
    ref = None if group.kind == "noise" else group.name
    places = np.flatnonzero(chosen.of(group))[:MOST]
    return [Thumb(images[group.name][i], title_of(group.name), int(group.rows[i]), ref) for i in places]


def _numbers(study: Study, found: Verdicts, picked: Sequence[Judged]) -> tuple[Numbers, Numbers]:
    ours, whole = (
        subset.numbers(groups, found.threshold, generator=np.random.default_rng(study.seed))
        for groups in (picked, found.groups)
    )
    st.dataframe(
        [
            {
                "group": title_of(one.name),
                "selected": f"{len(one):,} of {len(group):,}",
                "accepted": _share(float(one.accepted.mean())),
                "of all": _share(float(group.accepted.mean())),
            }
            for one, group in zip(picked, found.groups, strict=True)
        ],
        hide_index=True,
        column_config={
            "accepted": st.column_config.TextColumn(help="Share of the selected images accepted as in-distribution"),
            "of all": st.column_config.TextColumn(help="The same of all drawn images of the group"),
        },
    )
    st.dataframe(_measures(ours, whole), hide_index=True)
    notes = [
        "All drawn: the images in the picture of the same groups. A selection made by eye in a picture of distances is "
        "no random sample: its numbers describe it and predict nothing.",
        subset.caution(ours),
        f"{whole.dropped:,} drawn images have a score that is not a finite number; they count nowhere."
        if whole.dropped
        else "",
    ]
    st.caption(" ".join(filter(None, notes)))
    return ours, whole


def _measures(ours: Numbers, whole: Numbers) -> list[dict[str, str]]:
    def row(name: str, say: Any) -> dict[str, str]:
        return {"": name, "selected": say(ours), "all drawn": say(whole)}

    def metric(name: str, field: str) -> dict[str, str]:
        return row(name, lambda n: "–" if n.metrics is None else f"{getattr(n.metrics, field):.4f}")

    return [
        row("ind : ood", lambda n: f"{n.n_ind:,} : {n.n_ood:,}"),
        row("AUROC", lambda n: "–" if n.metrics is None else f"{n.metrics.auroc:.4f}"),
        row("95 % interval", lambda n: "–" if n.auroc is None else f"{n.auroc[0]:.3f} to {n.auroc[1]:.3f}"),
        metric("AUPR-IN", "aupr_in"),
        metric("AUPR-OUT", "aupr_out"),
        metric("FPR95", "fpr95"),
        row("ind accepted", lambda n: _share(n.tpr)),
        row("ood accepted", lambda n: _share(n.fpr)),
    ]


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _curves(found: Verdicts, picked: Sequence[Judged], ours: Numbers, whole: Numbers) -> None:
    if why := subset.why_no_curve(ours):
        st.info(why, icon=":material/show_chart:")
        return
    sets = [("selected", subset.sides(picked), ours), ("all drawn", subset.sides(found.groups), whole)]
    mode, known = session.mode(), [(name, scores, n.metrics) for name, scores, n in sets if n.metrics is not None]
    left, right = st.columns(2, gap="medium")
    with left:
        chart(
            roc_curves([Line(name, roc(*scores), m.auroc) for name, scores, m in known], mode=mode),
            key="selection-roc",
            alt="ROC: " + "; ".join(f"AUROC of {name} {m.auroc:.3f}" for name, _, m in known),
            name="the ROC curve",
            title="ROC of the selection",
        )
    with right:
        chance = ours.n_ind / (ours.n_ind + ours.n_ood)
        chart(
            pr_curves([Line(name, pr(*scores), m.aupr_in) for name, scores, m in known], chance=chance, mode=mode),
            key="selection-pr",
            alt="Precision-recall: " + "; ".join(f"AUPR-IN of {name} {m.aupr_in:.3f}" for name, _, m in known),
            name="the precision-recall curve",
            title="Precision-recall of the selection",
        )


def table(study: Study, touched: Sequence[PointGroup], chosen: Selection, picked: Sequence[Judged]) -> bytes:
    """CSV of the selection: group, row, distance in each layer, score, verdict; noise has its row alone."""
    text = io.StringIO()
    out = csv.writer(text)
    layers = study_layers(study)
    out.writerow(["group", "row", *(f"fssd_{layer}" for layer in layers), "score", "accepted"])
    judged = {group.name: group for group in picked}
    for group in touched:
        if (one := judged.get(group.name)) is None:
            out.writerows([title_of(group.name), row, *[""] * (len(layers) + 2)] for row in chosen.rows[group.name])
            continue
        columns = [one.distances.column(layer).tolist() for layer in layers]
        for row, *values, score, accepted in zip(one.rows, *columns, one.scores, one.accepted, strict=True):
            out.writerow([title_of(group.name), int(row), *values, float(score), bool(accepted)])
    return text.getvalue().encode()
