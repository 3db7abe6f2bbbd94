"""Train: a network learns in front of you, in a process of its own; any page can open its checkpoints."""

from __future__ import annotations

from datetime import datetime

import streamlit as st

from app import session
from app.live import badge, layers_of, lines_of, open_links, run_panel
from app.names import inert, title_of
from app.train_form import train_form
from fssd_core.errors import FssdError
from fssd_core.runs import MAX_RUNS, RunInfo, delete_run, list_runs

FEW = 8
STEADY = "<style>.st-key-live [data-stale=true]{opacity:1!important;transition:none!important}</style>"


def show() -> None:
    """Draws the page."""
    st.html(STEADY)  # what is drawn anew every second must not fade meanwhile
    st.title("Train a network and watch")
    st.caption(
        "The network trains in a process of its own, so this page and others stay free; reload or come back, it is "
        "found again. Each run is a series of checkpoints that every page can open."
    )
    try:
        started = train_form()
    except FssdError as error:
        st.error(inert(str(error)), icon=":material/error:")  # what is shown below stays
    else:
        if started is not None:
            _remember([started.id])
            st.rerun()
    if told := st.session_state.pop("_run_error", None):
        st.error(told, icon=":material/error:")
    runs = list_runs()
    shown = _shown(runs)
    if shown:
        _controls(shown)
        active = [r.id for r in runs if r.active]
        with st.container(key="live"):
            st.fragment(_live, run_every=1.0 if active else None)([r.id for r in shown], active)
    _past(runs, shown)


def _shown(runs: list[RunInfo]) -> list[RunInfo]:
    """At most two: the active ones, then those that the address or the user chose."""
    known = {r.id: r for r in runs}
    wanted = st.session_state.get("_shown_runs")
    if wanted is None:
        wanted = [name for name in st.query_params.get("runs", "").split(",") if name]
    active = [r.id for r in reversed(runs) if r.active]
    names = list(dict.fromkeys([*active, *(w for w in wanted if w in known)]))[:MAX_RUNS]
    _remember(names, only=True)
    return [known[name] for name in names]


def _remember(names: list[str], *, only: bool = False) -> None:
    """Keeps which runs are shown, in the session and in the address."""
    before = [] if only else [n for n in st.session_state.get("_shown_runs") or [] if n not in names]
    st.session_state["_shown_runs"] = [*names, *before][:MAX_RUNS]
    if st.session_state["_shown_runs"]:
        st.query_params["runs"] = ",".join(st.session_state["_shown_runs"])
    elif "runs" in st.query_params:
        del st.query_params["runs"]


def _hide(name: str) -> None:
    st.session_state["_shown_runs"] = [n for n in st.session_state["_shown_runs"] if n != name]


def _controls(shown: list[RunInfo]) -> None:
    layers = layers_of(shown)
    oods = list(dict.fromkeys(name for r in shown if r.spec for name in r.spec.ood))
    left, right, _ = st.columns([1, 1, 2])
    if layers:
        left.selectbox("Layer", layers, index=len(layers) - 1, key="t_layer", help="Of the picture and its distances.")
    if oods:
        right.selectbox("AUROC against", oods, key="t_against", format_func=title_of)


def _live(names: list[str], active: list[str]) -> None:
    """The shown runs as they are now; the whole page follows once a run begins, begins to speak, or ends."""
    known = {r.id: r for r in list_runs()}
    shown = [known[name] for name in names if name in known]
    if len(shown) < len(names) or [r.id for r in known.values() if r.active] != active:
        st.rerun()
    if "t_layer" not in st.session_state and layers_of(shown):
        st.rerun()
    columns = st.columns(len(shown), gap="large") if len(shown) > 1 else [st.container()]
    for column, info in zip(columns, shown, strict=True):
        with column:
            run_panel(
                info,
                layer=st.session_state.get("t_layer"),
                ood=st.session_state.get("t_against"),
                wide=len(shown) == 1,
                hide=_hide,
            )


def _past(runs: list[RunInfo], shown: list[RunInfo]) -> None:
    st.subheader("Runs")
    if not runs:
        st.caption("None yet. Choose above and press Train.")
        return
    every = len(runs) <= FEW or st.toggle(f"Show all {len(runs)} runs", key="t_all")
    for info in runs if every else runs[:FEW]:
        with st.container(border=True, horizontal=True, vertical_alignment="center", gap="small"):
            _row(info, any(info.id == s.id for s in shown))


def _row(info: RunInfo, on_page: bool) -> None:
    facts = []
    if not info.active:  # an active one is shown above, as it is now
        lines, whole = lines_of(info.folder), info.checkpoints()
        accuracy = lines[-1].get("accuracy") if lines else None
        facts += [f"step {info.step:,} of {info.total:,}"] if info.total else []
        facts += [f"{whole} checkpoint{'s' * (whole != 1)}"]
        facts += [f"accuracy {accuracy:.1%}"] if accuracy is not None else []
    facts += [datetime.fromtimestamp(info.started).strftime("%d %b %H:%M")] if info.started else []
    words = " · ".join(facts)
    st.markdown(f"**{info.spec.title if info.spec else info.id}** {badge(info)}  \n:small[{words} · `{info.model}`]")
    st.space("stretch")
    if not on_page and not info.active and st.button("Show", key=f"show:{info.id}", icon=":material/visibility:"):
        _remember([info.id])
        st.rerun()
    if info.checkpoints():
        open_links(info, key="list")
    if not info.active:
        with st.popover("Delete", icon=":material/delete:", key=f"ask:{info.id}"):
            st.write(f"Delete {info.id} and its {info.checkpoints()} checkpoints? This cannot be undone.")
            if st.button("Delete for good", key=f"delete:{info.id}", type="primary"):
                with session.guard():
                    delete_run(info.id)
                st.rerun()


show()
