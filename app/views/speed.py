"""Why it concentrates: moving speed of ind, ood and noise, exact, at random and as trained, and its kernel."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import streamlit as st

from app import kernel_panel, session, speed_lines
from app.charts import chart
from app.figures.dynamics import common_limits, speed_curves
from app.names import inert, title_of
from fssd_core.dynamics import Dynamics, stored_dynamics
from fssd_core.errors import InputError
from fssd_core.series import series_steps
from fssd_core.speed import Speed, stored_speed
from fssd_core.speed_words import headline, outcome, statements
from fssd_core.study import Study

EQUATION = (
    r"\begin{aligned} \frac{dF(x)}{dt} &= -\sum_m K(x, x_m)\, \frac{dL_m}{dF(x_m)} \\[4pt] "
    r"&= \frac{dF(x)}{d\theta}\, v, \quad v = -\frac{dL}{d\theta}, \\[4pt] "
    r"K(x, x_m) &= \frac{dF(x)}{d\theta}\, \frac{dF(x_m)}{d\theta}^{\!\top} \end{aligned}"
)
FRAMES = {"fixed": "in feature space", "relative": "as F* sees it"}


def show() -> None:
    """Draws the page."""
    layer = session.current_layer()
    study = dataclasses.replace(session.current_study(), step=None)  # all checkpoints are read
    st.title("Why it concentrates")
    st.caption(
        "The paper's slides explain concentration by moving speed: training moves the features of familiar (ind) "
        "images faster than those of unfamiliar (ood) ones, which stay behind near F\\*. Here it is measured, "
        "with its rivals."
    )
    st.latex(EQUATION)
    st.caption(
        "Each training image xₘ pulls at x as strongly as their gradients agree. The second line is one forward "
        "derivative (jvp) an image, the exact speed under gradient descent."
    )
    _over_checkpoints(study, layer)
    st.divider()
    kernel_panel.show(session.current_study(), layer)


def _over_checkpoints(study: Study, layer: str) -> None:
    """The speeds at every checkpoint; a lone checkpoint has none and is told so."""
    try:
        series_steps(study)
    except InputError as error:
        st.info(inert(str(error)), icon=":material/info:")
        return
    with session.guard():
        speeds, moves = _measured(study)
    if speeds is not None and moves is not None:
        _speeds(speeds, moves, layer)
        _all_layers(speeds, moves)


def _measured(study: Study) -> tuple[Speed | None, Dynamics | None]:
    """Both results if the store has them, else a button that has them computed."""
    store, root = session.store(), session.data_root()
    readers: dict[str, tuple[str, Callable[[], Speed | Dynamics | None]]] = {
        "dynamics": ("Distances over the checkpoints", lambda: stored_dynamics(study, store=store, root=root)),
        "speed": ("Moving speed", lambda: stored_speed(study, store=store, root=root)),
    }
    found = {call: read() for call, (_, read) in readers.items()}
    if None in found.values():
        steps = len(series_steps(study))
        asked = st.session_state.get("_speed_asked") == study or st.button(
            f"Measure the speed at {steps} checkpoints (some minutes)", icon=":material/speed:", type="primary"
        )
        if not asked:
            st.info("For this model and these sets the moving speed has not been measured yet.")
            return None, None
        st.session_state["_speed_asked"] = study
        for call, (name, read) in readers.items():
            if found[call] is None and session.run_job(name, call, study, {}).state == "done":
                found[call] = read()
            if found[call] is None:
                return None, None
    speeds, moves = found["speed"], found["dynamics"]
    return (speeds if isinstance(speeds, Speed) else None), (moves if isinstance(moves, Dynamics) else None)


@st.fragment
def _speeds(speeds: Speed, moves: Dynamics, layer: str) -> None:
    st.subheader(f"Speed over ind’s speed, layer {layer}")
    frame = st.segmented_control(
        "Motion", list(FRAMES), format_func=FRAMES.__getitem__, default="fixed", required=True, key="speed_frame",
        help="F* moves too. 'As F* sees it' takes its motion off that of every image.",
    )  # fmt: skip
    relative, mode = frame == "relative", session.mode()
    titles = {name: title_of(name) for name, _ in speeds.groups}
    st.markdown(f"**{headline(speeds, relative=relative)}**")
    panels = speed_lines.panels(speeds, moves, layer, relative=relative)
    limits = common_limits([line for panel in panels for line in panel.lines])
    st.html(speed_lines.legend(speeds.groups, mode))
    for place, panel in zip(st.columns(3, gap="medium"), panels, strict=True):
        with place:
            chart(
                speed_curves(
                    panel.steps, panel.lines, title=panel.title, subtitle=panel.subtitle, whens=panel.whens,
                    limits=limits, mode=mode,
                ),
                key=f"speed-{panel.key}",
                alt=f"{panel.title}: speed over ind's at each checkpoint, one curve a group",
                name=f"the curves: {panel.title}",
            )  # fmt: skip
    kernel_panel.say(
        [*statements(speeds, layer, titles=titles, relative=relative), outcome(speeds, moves, titles=titles)]
    )
    st.caption(
        f"v is the gradient of the mean cross-entropy over {speeds.train_images:,} images of {title_of(speeds.train)}, "
        "network in eval mode. Real training takes small batches and its own optimiser, so the third panel need not "
        "follow the first. Random directions have the gradient's length in every weight tensor; bands are 95 % "
        "intervals."
    )


def _all_layers(speeds: Speed, moves: Dynamics) -> None:
    with st.expander("All layers", icon=":material/layers:"):
        st.dataframe(
            speed_lines.table(speeds, moves),
            hide_index=True,
            height="content",
            column_config={
                "gradient": st.column_config.NumberColumn(format="%.2f", help="Exact speed over ind's, median"),
                "random": st.column_config.NumberColumn(format="%.2f", help="The same under random directions"),
                "as trained": st.column_config.NumberColumn(format="%.2f", help="Path between checkpoints over ind's"),
                "end distance": st.column_config.NumberColumn(
                    format="%.2f", help="Mean distance to F* at the last checkpoint over the ind median"
                ),
            },
        )
        mode = session.mode()
        every = [speed_lines.panels(speeds, moves, layer)[0] for layer in speeds.layers]
        limits = common_limits([line for panel in every for line in panel.lines])
        places = st.columns(2, gap="medium")
        for number, (layer, panel) in enumerate(zip(speeds.layers, every, strict=True)):
            with places[number % 2]:
                chart(
                    speed_curves(
                        panel.steps,
                        panel.lines,
                        title=layer,
                        subtitle="exact speed by the gradient",
                        limits=limits,
                        mode=mode,
                    ),
                    key=f"layer-{layer}",
                    alt=f"Exact speed over ind's in {layer}",
                    name=f"the curves of {layer}",
                )


show()
