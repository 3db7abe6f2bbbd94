"""The kernel of the page 'Why it concentrates': which training images pull at which images."""

from __future__ import annotations

import streamlit as st

from app import session
from app.charts import chart
from app.figures.dynamics import MEASURES, kernel_block
from app.names import class_names, title_of
from fssd_core.kernel import kernel, stored_kernel
from fssd_core.kernel_words import kernel_statements
from fssd_core.speed import training_images
from fssd_core.speed_words import Statement
from fssd_core.study import Study

BADGES = {"holds": "green", "mixed": "orange", "fails": "red"}


@st.fragment
def show(study: Study, layer: str) -> None:
    """Draws the block of one layer at the study's checkpoint."""
    st.subheader("The kernel: which training images pull at which images")
    st.caption(
        "A block of the empirical neural tangent kernel at the sidebar's checkpoint and layer. It is large where a "
        "step that helps a training image moves the other image's feature as well."
    )
    store, root = session.store(), session.data_root()
    with session.guard():
        block = stored_kernel(study, layer, store=store, root=root)
        if block is None:
            job = session.run_job(f"Kernel of {layer}", "kernel", study, {"layer": layer})
            if job.state != "done":
                return
            block = kernel(study, layer, store=store, root=root)
        names = class_names(training_images(study, count=len(block.train_rows), root=root))
    measure = st.segmented_control(
        "Measure", list(MEASURES), format_func=MEASURES.__getitem__, default="cosine", required=True,
        wrap=True, key="kernel_measure",
    )  # fmt: skip
    titles = {g.name: title_of(g.name) for g in block.groups}
    picture, beside = st.columns([2.2, 1], gap="large")
    with picture:
        chart(
            kernel_block(block, str(measure), titles=titles, class_names=names, mode=session.mode()),
            key="kernel-block",
            alt=f"Heatmap: {MEASURES[str(measure)]}, between images and training images",
            name="the kernel block",
        )
    with beside:
        say(kernel_statements(block, titles=titles))
        st.caption(
            f"K is {block.reduction} of dF(x)/dθ · dF(xₘ)/dθᵀ; training images are drawn from {title_of(block.train)}."
        )


def say(said: list[Statement]) -> None:
    """Writes the statements, each with its verdict."""
    st.markdown(
        "\n".join(f"- :{BADGES[s.verdict]}-badge[{s.verdict}] {s.text.replace('*', chr(92) + '*')}" for s in said)
    )
