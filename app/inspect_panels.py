"""What the Inspect page shows of one image: verdict, layers, perturbation, nearest ind images."""

from __future__ import annotations

from html import escape

import numpy as np
import streamlit as st

from app import inspection, session, theme
from app.charts import chart
from app.figures.inspect import MOST, contributions, layer_positions, score_position
from app.names import class_names, inert, title_of
from app.pictures import Picture, direction_pixels, gallery, to_pixels
from app.samples import Sample
from fssd_core.data import load_data
from fssd_core.inspect_verdict import Inspection
from fssd_core.inspect_words import deciding_words, percent, plain_words
from fssd_core.study import Study, open_model
from fssd_core.types import LayerScores


def show_verdict(
    study: Study, sample: Sample, found: Inspection, scored: dict[str, inspection.Scored], said: str
) -> None:
    """The sentence, the image, its score among those of ind and ood, and what they rest on."""
    colour = (theme.ACCEPT if found.accepted else theme.REJECT)[session.mode()]
    style = (
        f"border-left:6px solid {colour};background:color-mix(in srgb,{colour} 9%,transparent);border-radius:4px;"
        "padding:.6rem 1rem;font-size:1.15rem"
    )
    st.html(f'<div class="fssd-verdict" role="status" style="{style}">{escape(plain_words(found))}</div>')
    if notes := [f"{note.rstrip('.')}." for note in (*_mistake(study, sample, found), *sample.notes, *found.notes)]:
        st.caption(f":material/info: {inert(' '.join(notes))}")
    picture, figure = st.columns([1, 2.2], gap="medium")
    names = class_names(load_data(study.ind, root=session.data_root()))
    classes = open_model(study).classes
    guess = names[found.predicted] if len(names) == classes else f"class {found.predicted}"
    words = f"The network says {guess}, {percent(found.probability)}"
    if sample.truth:
        words += f"; labelled {sample.truth}"
    picture.html(gallery([Picture((sample.pixels,), (f"Image: {sample.title}",), sample.title, words)], wide=120))
    weights = found.weights
    with figure:
        chart(
            score_position(
                found,
                inspection.scores_of(scored[study.ind].held_out, weights),
                {
                    title_of(ref): inspection.scores_of(scored[ref].held_out, weights)
                    for ref in study.ood
                    if ref in scored
                },
                mode=session.mode(),
            ),
            key="inspect-score",
            alt=f"Densities of the scores. {plain_words(found)}",
            name="the scores",
            title=f"Score of {sample.title}",
        )
    st.caption(f":material/tune: {said}. Compared with {found.counted:,} held-out images of {title_of(study.ind)}.")


def _mistake(study: Study, sample: Sample, found: Inspection) -> tuple[str, ...]:
    """What the verdict means where the image's side is known."""
    if sample.ref in study.ood and found.accepted:
        return (f"A miss: {title_of(sample.ref)} is chosen as out-of-distribution",)
    if sample.ref == study.ind and not found.accepted:
        return (f"A false alarm: {title_of(sample.ref)} is chosen as in-distribution",)
    return ()


def show_layers(found: Inspection, ind: LayerScores) -> None:
    """Its distance in every layer beside those of ind, and what each adds to the score."""
    left, right = st.columns(2, gap="large")
    some = f" The {MOST} of {len(found.layers)} layers that move the score most." if len(found.layers) > MOST else ""
    with left:
        st.subheader("Distance to F* in every layer")
        st.caption(f"Blue: ind images. Diamond: this image, its distance and P, the percentile among ind.{some}")
        chart(
            layer_positions(found, ind, mode=session.mode()),
            key="inspect-layers",
            name="the distances",
            title="Distance to F* in every layer",
            alt="; ".join(
                f"{f.layer}: distance {f.distance:.3g}, {percent(f.below)} of ind nearer" for f in found.layers
            ),
        )
    with right:
        st.subheader("Which layers decide")
        st.caption(deciding_words(found))
        chart(
            contributions(found, mode=session.mode()),
            key="inspect-shares",
            alt=deciding_words(found),
            name="the layers' shares",
            title="Which layers decide",
        )


def show_perturbation(found: Inspection) -> None:
    """Step and perturbed image of every layer."""
    epsilon, measured = found.measurement.epsilon, found.measurement
    st.subheader("Perturbation")
    side = "away from" if epsilon > 0 else "toward"
    moved = f"Right: the image moved by {abs(epsilon):.4g} (pixels in 0..1) {side} F*, for each layer on its own."
    if epsilon == 0:
        moved = "At ε = 0 nothing is perturbed: on the right is the image itself."
    st.caption(f"Left: where a step away from F* makes the image brighter (white) or darker (black). {moved}")
    shown = []
    for layer, step, image, finding in zip(
        measured.layers, measured.directions, measured.perturbed, found.layers, strict=True
    ):
        outside = float(np.mean((image < 0) | (image > 1)))
        words = f"{finding.plain:.4g} → {finding.distance:.4g} from F*" if epsilon else f"{finding.plain:.4g} from F*"
        if outside:
            words += f"; {percent(outside)} of pixels outside 0..1, shown clipped"
        images = (direction_pixels(step), to_pixels(image))
        shown.append(Picture(images, (f"Direction in {layer}", f"Perturbed for {layer}"), layer, words))
    st.html(gallery(shown, wide=230))


def show_neighbours(study: Study, found: Inspection) -> None:
    """The ind images whose features lie nearest."""
    near = found.measurement.neighbours
    images = load_data(study.ind, shape=open_model(study).input_shape, root=session.data_root())
    names = class_names(images)
    st.subheader(f"Nearest in-distribution images in {near.layer}")
    st.caption(
        f"Of {near.searched:,} images of {title_of(study.ind)}, compared one by one; Euclidean distance between "
        f"features. The layer is the sidebar's. The image itself lies {found.finding(near.layer).plain:.4g} from F*."
    )
    place = {int(row): at for at, row in enumerate(images.rows)}
    shown = []
    for row, distance, label in zip(near.rows, near.distances, near.labels, strict=True):
        pixels = images.take(np.array([place[int(row)]])).images[0]
        name = names[label] if 0 <= label < len(names) else "no class"
        shown.append(Picture((pixels,), (f"{name}, row {row}",), name, f"{distance:.4g} away, row {row}"))
    st.html(gallery(shown, wide=112))
