"""One run on the page: what its folder holds, read again only when it changed, drawn with its buttons."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import streamlit as st

from app import session
from app.components.packing import Atlas, pack_atlas
from app.components.scatter import scatter
from app.figures.training import auroc_curves, distance_curves, loss_and_accuracy
from app.names import inert, title_of
from fssd_core.errors import FssdError, InputError
from fssd_core.run_frame import PROGRESS, ProbeFile, load_frame, load_probe, read_progress
from fssd_core.runs import RunInfo, command_run, continue_run

VIEWS = Path(__file__).with_name("views")
BADGES = {
    "starting": ("gray", "starting"),
    "running": ("green", "training"),
    "paused": ("orange", "paused"),
    "done": ("blue", "done"),
    "stopped": ("gray", "stopped"),
    "interrupted": ("red", "interrupted"),
    "failed": ("red", "failed"),
    "damaged": ("red", "damaged"),
}
WORDS = "Distance from the star is the true distance to F*; the angle leans to the class most alike."


def lines_of(folder: Path) -> list[dict[str, Any]]:
    """The run's lines of numbers."""
    return _lines(folder, _stamp(folder / PROGRESS))


def probe_of(folder: Path) -> ProbeFile | None:
    """The run's probe, None before it is there."""
    return _probe(folder, _stamp(folder / "probe.npz"))


def badge(info: RunInfo) -> str:
    """Its state as a coloured word."""
    colour, word = BADGES.get(info.state, ("gray", info.state))
    return f":{colour}-badge[{word}]"


def layers_of(runs: list[RunInfo]) -> list[str]:
    """Names of all layers that the runs watch, in their order."""
    names: dict[str, None] = {}
    for info in runs:
        for line in lines_of(info.folder)[-1:]:
            names |= dict.fromkeys(line["layers"])
    return list(names)


def run_panel(info: RunInfo, *, layer: str | None, ood: str | None, wide: bool, hide: Callable[[str], None]) -> None:
    """Status, buttons, the centred view and the charts of one run.

    Args:
        info: the run as it is now.
        layer: whose features; the run's deepest if it has no such layer.
        ood: which set the AUROC chart is about; the run's first if it does not watch it.
        wide: whether the run has the page to itself.
        hide: takes the run off the page.
    """
    _status(info)
    _buttons(info, hide)
    lines = lines_of(info.folder)
    if not lines or info.spec is None:
        if info.active:
            st.caption("Loading images and measuring the untrained network ...")
        return
    layers = list(lines[-1]["layers"])
    layer = layer if layer in layers else layers[-1]
    _said(info, lines, layer)
    if wide:
        left, right = st.columns([1.2, 1], gap="medium")
        with left:
            _picture(info, layer, height=560)
        with right:
            _charts(info, lines, layer, ood)
    else:
        _picture(info, layer, height=420)
        _charts(info, lines, layer, ood)


def _status(info: RunInfo) -> None:
    st.markdown(f"**{info.spec.title if info.spec else info.id}** {badge(info)}")
    if info.total:
        epoch = info.step / info.total * (info.spec.epochs if info.spec else 1)
        words = f"step {info.step:,} of {info.total:,} · epoch {epoch:.1f} · {info.seconds:.0f} s"
        st.progress(min(1.0, info.step / info.total), text=words)
    whole = info.checkpoints()
    if info.state == "interrupted":
        why = f" ({info.message})" if info.message else ""
        st.warning(
            f"Interrupted at step {info.step:,} of {info.total:,}: {whole} whole checkpoints are kept{why}. "
            "Continue goes on exactly from the last saved state.",
            icon=":material/power_off:",
        )
    elif info.state in ("failed", "damaged"):
        st.error(inert(info.message), icon=":material/error:")


def _buttons(info: RunInfo, hide: Callable[[str], None]) -> None:
    with st.container(horizontal=True, gap="small"):
        if info.state == "running":
            _button("Pause", "pause", info, command_run, info.id, "pause")
        if info.state == "paused":
            _button("Resume", "play_arrow", info, command_run, info.id, "resume")
        if info.active:
            _button("Stop run", "stop", info, command_run, info.id, "stop")
        else:
            if info.can_continue:
                _button("Continue", "play_arrow", info, continue_run, info.id)
            _button("Hide", "visibility_off", info, hide, info.id)
        if info.checkpoints():
            open_links(info, key="panel")


def open_links(info: RunInfo, *, key: str) -> None:
    """Buttons to the pages that show a series of checkpoints, with this run chosen."""
    for page, icon in (("features", "scatter_plot"), ("film", "movie")):
        if not (VIEWS / f"{page}.py").exists():
            continue
        name = f"open:{key}:{page}:{info.id}"
        st.button(page.capitalize(), key=name, icon=f":material/{icon}:", on_click=_choose, args=(info.model,))
        if st.session_state.get(name):
            st.switch_page(str(VIEWS / f"{page}.py"), query_params={})


def _choose(model: str) -> None:
    """Makes the run the sidebar's model, at its last checkpoint; called before the sidebar is drawn."""
    st.session_state["model"] = model
    for name in ("step", "layer", "film_step"):
        st.session_state.pop(name, None)


def _button(label: str, icon: str, info: RunInfo, action: Callable[..., object], *args: str) -> None:
    if st.button(label, key=f"{label}:{info.id}", icon=f":material/{icon}:"):
        try:
            action(*args)
        except FssdError as error:
            st.session_state["_run_error"] = str(error)  # told by the page, where the next frame does not wipe it out
        st.rerun()


def _said(info: RunInfo, lines: list[dict[str, Any]], layer: str) -> None:
    """What the numbers say of each ood set, first and now."""
    first, now = lines[0]["layers"].get(layer, {}), lines[-1]["layers"][layer]
    rows = []
    for name in info.spec.ood if info.spec else ():
        if name in first and name in now:
            a, b = first[name], now[name]
            away = " · :red[farther than ind]" if b["auroc"] < 0.5 else ""
            rows.append(
                f"- **{title_of(name)}** {a['ratio']:.2f} → **{b['ratio']:.2f}** · AUROC {a['auroc']:.2f} → "
                f"**{b['auroc']:.2f}**{away}"
            )
    if rows:
        st.markdown(
            f"Mean distance to F\\* in **{layer}**, ind = 1, from step {lines[0]['step']:,} to "
            f"{lines[-1]['step']:,}\n" + "\n".join(rows)
        )


def _picture(info: RunInfo, layer: str, *, height: int) -> None:
    probe, frame = probe_of(info.folder), load_frame(info.folder)
    if probe is None or frame is None:
        return
    try:
        projection = frame.projection(probe, layer)
    except InputError as error:
        st.info(inert(str(error)))
        return
    scatter(
        projection,
        images=_atlas(info.folder, _stamp(info.folder / "probe.npz")),
        titles={g.name: title_of(g.name) for g in probe.groups},
        class_names=probe.class_names,
        title=f"Around F* · {layer} · step {frame.step:,}",
        subtitle=WORDS,
        height=height,
        key=f"live-{info.id}",
    )


def _charts(info: RunInfo, lines: list[dict[str, Any]], layer: str, ood: str | None) -> None:
    probe, mode = probe_of(info.folder), session.mode()
    if probe is None:
        return
    groups = [(g.name, title_of(g.name), g.kind) for g in probe.groups]
    st.plotly_chart(
        distance_curves(lines, layer, groups, mode=mode),
        key=f"distances:{info.id}",
        config={"displayModeBar": False},
        alt=f"Mean distance to F* in {layer} over the ind mean, one curve a group, over the training step",
    )
    oods = [name for name, _, kind in groups if kind == "ood"]
    if oods:
        chosen = ood if ood in oods else oods[0]
        st.plotly_chart(
            auroc_curves(lines, chosen, title_of(chosen), index=oods.index(chosen), mode=mode),
            key=f"auroc:{info.id}",
            config={"displayModeBar": False},
            alt=f"AUROC of each layer against {chosen} over the training step",
        )
    st.plotly_chart(
        loss_and_accuracy(lines, mode=mode),
        key=f"loss:{info.id}",
        config={"displayModeBar": False},
        alt="Training loss and accuracy over the training step",
    )


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=64)
def _lines(folder: Path, stamp: tuple[int, int]) -> list[dict[str, Any]]:
    return read_progress(folder)


@lru_cache(maxsize=8)
def _probe(folder: Path, stamp: tuple[int, int]) -> ProbeFile | None:
    return load_probe(folder)


@lru_cache(maxsize=4)
def _atlas(folder: Path, stamp: tuple[int, int]) -> Atlas | None:
    probe = load_probe(folder)
    return None if probe is None else pack_atlas(probe.groups, probe.pictures())
