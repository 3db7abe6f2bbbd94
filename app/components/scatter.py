"""The big picture: ind, ood, noise and F* in the plane, drawn, zoomed, hovered and toggled in the page itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import streamlit as st

from app.components.modules import SHARED, bundle, stylesheet
from app.components.packing import ATLAS_BUDGET, Atlas, Images, pack_atlas, pack_points
from app.components.selecting import Selection, identity, resolve
from app.theme import Mode
from fssd_core.types import PointGroup, Projection

ASSETS = Path(__file__).with_name("scatter_assets")
DRAWN_KEPT = 4  # sets of points whose selection may still be on its way


# Given as text, read at import: works from a checkout, an editable install and a wheel alike, where Streamlit's own
# asset_dir needs a pyproject.toml inside the installed package.
_scatter = st.components.v2.component(
    "fssd_scatter",
    html='<div class="fssd-scatter"></div>',
    css=stylesheet(ASSETS / "scatter.css", SHARED / "saving.css"),
    js=bundle(ASSETS),
)
_atlas = st.components.v2.component("fssd_atlas", js=bundle(ASSETS / "atlas"))


@dataclass(frozen=True)
class ScatterState:
    """What the user did in the picture.

    Attributes:
        hidden: names of hidden groups, and 'class:3' for hidden ind classes.
        selected: (group name, row in its data set) of the clicked point.
        chosen: the images chosen with the lasso that are among the drawn ones.
    """

    hidden: tuple[str, ...] = ()
    selected: tuple[str, int] | None = None
    chosen: Selection = field(default_factory=Selection)


def scatter(
    projection: Projection,
    *,
    images: Images | Atlas | None = None,
    titles: Mapping[str, str] | None = None,
    class_names: Sequence[str] = (),
    title: str = "",
    subtitle: str = "",
    radius_mode: str = "median",
    colour_by_class: bool = True,
    hidden: Collection[str] = (),
    extent: float | None = None,
    height: int = 640,
    mode: Mode | None = None,
    key: str = "scatter",
) -> ScatterState:
    """Draws the projection; what the user changes in it (zoom, hidden groups, radius mode) survives new data.

    Args:
        projection: any view of one layer; ind first.
        images: group name -> uint8 images, one a point, or a function of the group's rows; or a ready Atlas.
        titles: group name -> what the legend says.
        class_names: of the ind classes.
        title: the figure's heading.
        subtitle: one line below it.
        radius_mode: where the centred views begin: 'median', 'absolute' or 'log'. A changed value is taken over.
        colour_by_class: whether ind begins coloured class by class.
        hidden: groups hidden at first.
        extent: true distance at the rim of the centred views, for one scale over several checkpoints; by default the
            data's own.
        height: of the picture in pixels; narrow pages make it square.
        mode: 'light' or 'dark'; by default the page's own, also when it changes.
        key: of the component; zoom and hidden groups are remembered by it.

    Returns:
        Hidden groups, the selected point and the chosen images; each comes with a rerun of the surrounding fragment.
        The choice outlives the component and a change of layer, view or checkpoint.

    Raises:
        InputError: images that do not fit, an unknown radius mode, no ind point.
    """
    atlas = images if images is None or isinstance(images, Atlas) else pack_atlas(projection.groups, images)
    options: dict[str, Any] = {
        "key": key,
        "titles": titles or {},
        "class_names": class_names,
        "title": title,
        "subtitle": subtitle,
        "radius_mode": radius_mode,
        "colour_by_class": colour_by_class,
        "hidden": hidden,
        "extent": extent,
        "height": height,
        "theme": mode,
    }
    points = pack_points(projection, options=options, atlas=atlas)
    with st.container(gap=None):
        result = _scatter(
            key=key,
            data=points,
            on_hidden_change=_nothing,
            on_selected_change=_nothing,
            on_lasso_change=_nothing,
        )
        if atlas is not None:
            _atlas(key=f"{key}-atlas", data=atlas.payload)
    chosen = _chosen(f"_{key}:chosen", result.get("lasso"), projection.groups)
    picked = result.get("selected")
    selected = (str(picked["group"]), int(picked["row"])) if picked else None
    return ScatterState(tuple(result.get("hidden") or ()), selected, chosen)


def _chosen(slot: str, said: Mapping[str, Any] | None, groups: Sequence[PointGroup]) -> Selection:
    """The chosen ids, kept over pages; what the page said last, of the points it then showed, replaces them.

    A state that is none says nothing: the component has only just come onto the page. An empty choice is said.
    """
    memory: dict[str, Any] = st.session_state.setdefault(slot, {"said": None, "chosen": Selection(), "drawn": {}})
    drawn: dict[str, Sequence[PointGroup]] = memory["drawn"]
    now = identity(groups)
    drawn.pop(now, None)
    drawn[now] = groups
    while len(drawn) > DRAWN_KEPT:
        del drawn[next(iter(drawn))]
    if said is not None and said != memory["said"] and said["of"] in drawn:
        memory["said"], memory["chosen"] = dict(said), resolve(said, drawn[said["of"]])
    chosen: Selection = memory["chosen"]
    return chosen.within(groups)


def _nothing() -> None:
    """Streamlit hands over a state only where a callback is given."""


__all__ = ["ATLAS_BUDGET", "Atlas", "ScatterState", "Selection", "scatter"]
