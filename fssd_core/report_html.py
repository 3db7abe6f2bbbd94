"""The report as one HTML file: no script, no request to anywhere, light and dark, made to be printed on paper too."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape

from PIL import Image

from fssd_core.data.images import Pixels
from fssd_core.report_charts import densities, legend, pr_chart, roc_chart
from fssd_core.report_style import STYLE
from fssd_core.report_tables import (
    confusion_table,
    labels_table,
    layers_table,
    listed,
    matrix_table,
    percent,
    results_table,
)
from fssd_core.report_types import Example, Report

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
THUMBNAIL = 64  # pixels of the longer side at most


def report_html(report: Report) -> str:
    """The whole page."""
    title = f"FSSD detector report: {report.model_name}, {report.ind_name}"
    sections = (
        _section("Setting", _setting(report), "half"),
        _section("Whose labels were used", labels_table(report), "half"),
        _section("Result on held-out images", results_table(report)),
        legend(list(report.ood_scores), ind=report.ind_name),
        _section("Scores", _scores(report), "wide"),
        _section("ROC", _figure(roc_chart, report), "thin"),
        _section("Precision and recall", _figure(pr_chart, report), "thin"),
        _section("Layers", layers_table(report), "half"),
        _section("Weights fitted on one set, tested on another", matrix_table(report), "half")
        if report.transfer
        else "",
        _section("At the threshold", confusion_table(report)),
        _section("Images nearest to the threshold, which stands in the middle", _examples(report)),
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<header>
<h1>{escape(report.model_name)}: is it {escape(report.ind_name)}?</h1>
<p class="lead">Out-of-distribution detection by Feature Space Singularity Distance (FSSD) · {escape(report.date)}</p>
<p class="verdict">{_verdict(report)}</p>
{_notes(report.notes)}</header>
<main>
{"".join(sections)}</main>
{_footer(report)}
</body>
</html>
"""


def _section(heading: str, inside: str, kind: str = "") -> str:
    where = f' class="{kind}"' if kind else ""
    return f"<section{where}>\n<h2>{heading}</h2>\n{inside}</section>\n"


def _verdict(report: Report) -> str:
    tpr = next(iter(report.counts.values())).tpr
    oods = [f"<b>{percent(c.fpr)}</b> of {escape(name)}" for name, c in report.counts.items()]
    return (
        f"At the threshold {report.threshold:.6g} the detector accepts <b>{percent(tpr)}</b> of "
        f"{len(report.ind_scores):,} held-out {escape(report.ind_name)} images, and, of ood, {listed(oods)}."
    )


def _notes(notes: Sequence[str]) -> str:
    return f'<ul class="notes">{"".join(f"<li>{escape(note)}</li>" for note in notes)}</ul>\n' if notes else ""


def _setting(report: Report) -> str:
    study = report.study
    step = "" if report.step is None else f", step {report.step}"
    facts = {
        "model": f"{escape(report.model_name)} ({escape(report.arch)}{step})",
        "weight file": f"SHA-256 <code>{report.file_hash[:16]}…</code> (in full below)",
        "layers": escape(", ".join(report.weights.layers)),
        "F*": f"mean feature of {study.noise_samples} images of uniform noise, seed {study.seed}",
        "epsilon": f"{report.epsilon:.6g} pixels"
        + ("" if report.epsilon == 0 else f", gradient rule '{escape(study.gradient)}'"),
        "alpha": f"rule '{escape(report.weights.rule)}' (signed, see Layers)",
        "threshold": f"{report.threshold!r}: {escape(report.threshold_words)}",
    }
    return "<dl>" + "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts.items()) + "</dl>\n"


def _scores(report: Report) -> str:
    drawn = densities(report.ind_scores, report.ood_scores, report.threshold, ind_name=report.ind_name)
    return f"<figure>{drawn}</figure>\n"


def _figure(chart: object, report: Report) -> str:
    assert callable(chart)
    return f"<figure>{chart(report.ind_scores, report.ood_scores, report.threshold)}</figure>\n"


def _examples(report: Report) -> str:
    parts = []
    for kind, (rejected, accepted) in report.examples.items():
        name = report.ind_name if kind == "ind" else "ood"
        left, right = ("false alarms", "rightly accepted") if kind == "ind" else ("rightly rejected", "misses")
        parts.append(
            f'<div class="strip"><h3>{escape(name)}</h3>'
            f'<div class="side left">{_images(rejected, "rejected", left)}</div><i></i>'
            f'<div class="side">{_images(accepted, "accepted", right)}</div></div>'
        )
    return f'<div class="strips">{"".join(parts)}</div>\n'


def _images(examples: Sequence[Example], what: str, meaning: str) -> str:
    if not examples:
        return f"<p>No image is {what}.</p>"
    arrow = f"← {what}: {meaning}" if what == "rejected" else f"{what}: {meaning} →"
    return f"<p>{arrow}</p>" + "".join(
        f'<figure><img src="{data_uri(e.image)}" alt="{escape(e.name)}, row {e.row}, {what}">'
        f"<figcaption>{e.score:.5g}<br>{escape(e.name)} {e.row}</figcaption></figure>"
        for e in examples
    )


def _footer(report: Report) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    command = f"<pre><code>{escape(report.command)}</code></pre>\n" if report.command else ""
    said = "<p>Reproduce, where the model and the images lie:</p>\n" if command else ""
    return (
        f"<footer>\n{said}{command}<p>Weight file SHA-256 <code>{report.file_hash}</code>, digest of the weights "
        f"<code>{report.digest}</code></p>\n<p>{escape(versions)} · written {escape(report.date)}</p>\n</footer>"
    )


def data_uri(pixels: Pixels) -> str:
    """The image, at most 64 pixels long, as a PNG inside an address."""
    image = Image.fromarray(pixels)
    if max(image.size) > THUMBNAIL:
        image.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
