"""The film: a layer's points around F* over training, played in the page, with the numbers beside it in step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from app.components.film_packing import pack_film, start_of
from app.components.modules import bundle
from app.components.packing import Atlas, Images, pack_atlas
from app.components.scatter import ASSETS as SCATTER_ASSETS
from fssd_core.dynamics import Dynamics
from fssd_core.film import Film

ASSETS = Path(__file__).with_name("film_assets")

_film = st.components.v2.component(
    "fssd_film",
    js=bundle(ASSETS / "main.js"),
    css=(ASSETS / "film.css").read_text(encoding="utf-8"),
)
_atlas = st.components.v2.component("fssd_film_atlas", js=bundle(SCATTER_ASSETS / "atlas"))


@dataclass(frozen=True)
class FilmPlace:
    """Where the film rests.

    Attributes:
        step: training step; between two checkpoints it grows evenly from one to the other.
        radius: 'median', 'absolute' or 'log'.
        by_user: whether the page said so, not the start.
    """

    step: float
    radius: str
    by_user: bool = False


def film_player(
    film: Film,
    *,
    dynamics: Dynamics | None = None,
    images: Images | Atlas | None = None,
    titles: Mapping[str, str] | None = None,
    class_names: Sequence[str] = (),
    epochs: Mapping[int, float] | None = None,
    title: str = "",
    start: Mapping[str, Any] | None = None,
    colour_by_class: bool = False,
    height: int = 560,
    large: bool = False,
    renderer: str = "auto",
    on_open: Callable[[str, int], None] | None = None,
    key: str = "film",
) -> FilmPlace:
    """Mounts the film and gives the place where it rests.

    What the user changes in it (hidden groups, pinned points, speed) survives new data; so does the place, unless
    `start` has changed.

    Args:
        film: of any view; ind first.
        dynamics: numbers over training at the same checkpoints, drawn beside; None leaves the charts out.
        images: group name -> uint8 images, one a point, or a function of the group's rows; or a ready Atlas.
        titles: group name -> what the legend says.
        class_names: of the ind classes.
        epochs: step -> passes over the training data.
        title: the figure's heading where it is saved.
        start: 'step', 'radius', 'autoplay' and, to go to the same place again, another 'nonce'; the last step if None.
        colour_by_class: whether ind begins coloured class by class.
        height: of the picture in pixels; narrow pages make it square.
        large: larger type and marks, for a lecture hall.
        renderer: 'auto' draws by WebGL where there is a graphics card and by stamped pixels elsewhere; 'webgl' and
            'canvas' insist.
        on_open: called with (group, row) when the user asks to inspect a pinned point.
        key: of the component.

    Returns:
        The place as last let go; it comes with a rerun of the surrounding fragment.

    Raises:
        InputError: what does not fit, see `pack_film`.
    """
    atlas = images if images is None or isinstance(images, Atlas) else pack_atlas(film.groups, images)
    begin = {"step": film.steps[-1], "radius": "median", "autoplay": False, **(start or {})}
    options: dict[str, Any] = {
        "key": key,
        "title": title or f"Layer {film.layer} around F*",
        "titles": titles or {},
        "class_names": class_names,
        "epochs": epochs or {},
        "start": begin,
        "colour_by_class": colour_by_class,
        "height": height,
        "large": large,
        "renderer": renderer,
        "inspect": on_open is not None,
    }
    payload = pack_film(film, options=options, dynamics=dynamics, atlas=atlas)
    with st.container(gap=None):
        result = _film(key=key, data=payload, on_place_change=_nothing, on_open_change=_nothing)
        if atlas is not None:
            _atlas(key=f"{key}-atlas", data=atlas.payload)
    if on_open is not None and (opened := result.get("open")):
        on_open(str(opened["group"]), int(opened["row"]))
    told = result.get("place")
    if told and told["start"] == start_of(begin)["id"]:
        return FilmPlace(float(told["step"]), str(told["radius"]), by_user=True)
    return FilmPlace(float(begin["step"]), str(begin["radius"]))


def _nothing() -> None:
    """Streamlit keeps a component's state only where something listens to it."""


__all__ = ["FilmPlace", "film_player"]
