"""The tree of a network's layers: search, tick up to 64, choose how each is read."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from fssd_core.block_ends import MAX_LAYERS
from fssd_core.models.tree import LARGE, Node
from fssd_core.taps import READINGS, parse_tap

WORDS = {"": "all values", "cls": "class token", "tokens": "mean over tokens", "channels": "channel means"}
_BACK = {words: reading for reading, words in WORDS.items()}
MOST_CALLS = 8
assert set(WORDS) == set(READINGS)


def layer_picker(nodes: Sequence[Node], chosen: Sequence[str], *, key: str) -> tuple[str, ...]:
    """Draws the tree with these layers ticked and gives those that are ticked now, in the network's order.

    Args:
        nodes: the module tree.
        chosen: layers ticked at first.
        key: of the network; each keeps its own ticks.
    """
    slot = f"_ticks:{key}"
    ticks: dict[str, str] = st.session_state.setdefault(slot, _ticked(nodes, chosen))
    left, right, back = st.columns([3, 2, 1.2], vertical_alignment="bottom")
    wanted = left.text_input(
        "Search",
        key=f"search:{key}",
        placeholder="part of a name or kind, as layer3 or Conv2d",
        icon=":material/search:",
    ).strip()
    view = right.segmented_control(
        "Show", ["blocks", "all modules"], default="blocks", required=True, key=f"view:{key}"
    )
    if back.button("Block ends", icon=":material/restart_alt:", key=f"reset:{key}", width="stretch",
                   help="Takes back all ticks and chooses the ends of the network's blocks again."):  # fmt: skip
        st.session_state[slot] = ticks = _ticked(nodes, chosen)
        st.session_state[f"{slot}:round"] = st.session_state.get(f"{slot}:round", 0) + 1
    rows = [row for row in _rows(nodes, ticks) if _shown(row, wanted.lower(), view == "all modules", ticks)]
    if not rows:
        st.info(f"No layer's name or kind holds '{wanted}'." if wanted else "No layers.")
    else:
        _apply(ticks, rows, _edited(rows, f"{key}:{wanted}:{view}:{st.session_state.get(f'{slot}:round', 0)}"))
    order = {row["Layer"]: k for k, row in enumerate(_rows(nodes, ticks))}
    layers = sorted(ticks, key=lambda name: order.get(name, len(order)))
    if len(layers) > MAX_LAYERS:
        st.warning(f"{len(layers)} layers are ticked; the first {MAX_LAYERS} are read.", icon=":material/warning:")
    return tuple(name + (f":{ticks[name]}" if ticks[name] else "") for name in layers[:MAX_LAYERS])


def _ticked(nodes: Sequence[Node], chosen: Sequence[str]) -> dict[str, str]:
    """{layer without its reading: reading}."""
    found = {}
    for name in chosen:
        reading = parse_tap(name, [node.name for node in nodes]).reading
        found[name.removesuffix(f":{reading}") if reading else name] = reading
    return found


def _rows(nodes: Sequence[Node], ticks: dict[str, str]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for node in nodes:
        names = [node.name] if node.calls < 2 else [f"{node.name}#{k + 1}" for k in range(min(node.calls, MOST_CALLS))]
        for name in names:
            rows.append({
                "Read": name in ticks,
                "Layer": name,
                "Kind": node.kind,
                "Output": "x".join(map(str, node.shape)) if node.shape else "",
                "Read as": WORDS[ticks.get(name, "")],
                "Values": node.size,
                "Parameters": node.parameters,
                "Cost": node.share,
                "Note": node.why_not or (f"its output {node.part!r}" if node.part else ""),
                "depth": node.depth,
                "readable": not node.why_not,
            })  # fmt: skip
    known = {row["Layer"] for row in rows}
    rows += [
        {"Read": True, "Layer": name, "Kind": "", "Output": "", "Read as": WORDS[reading], "Values": 0, "Parameters": 0,
         "Cost": 0.0, "Note": "named by hand", "depth": 0, "readable": True}
        for name, reading in ticks.items() if name not in known
    ]  # fmt: skip
    return rows


def _shown(row: dict[str, object], wanted: str, everything: bool, ticks: dict[str, str]) -> bool:
    if wanted:
        return wanted in f"{row['Layer']} {row['Kind']}".lower()
    return everything or row["Layer"] in ticks or (row["depth"] == 0 and bool(row["readable"]))


def _edited(rows: list[dict[str, object]], key: str) -> pd.DataFrame:
    columns = [name for name in rows[0] if name not in ("depth", "readable")]
    if not any(row["Note"] for row in rows):
        columns.remove("Note")
    column = st.column_config
    return st.data_editor(
        pd.DataFrame(rows)[columns],
        key=f"tree:{key}",
        hide_index=True,
        width="stretch",
        height=min(460, 38 + 35 * len(rows)),
        disabled=[name for name in columns if name not in ("Read", "Read as")],
        column_config={
            "Read": column.CheckboxColumn(width=55),
            "Layer": column.TextColumn(width="medium"),
            "Output": column.TextColumn(help="Channels x height x width, or tokens x width, of one image.", width=105),
            "Read as": column.SelectboxColumn(
                options=list(_BACK), required=True, width=130,
                help="FSSD measures distances between these vectors. The paper reads all values; channel means are "
                f"chosen here where there are more than {LARGE:,}.",
            ),
            "Values": column.NumberColumn(format="localized", width=85),
            "Parameters": column.NumberColumn(format="localized", width=95),
            "Cost": column.ProgressColumn(
                format="percent", min_value=0, max_value=1, width=110,
                help="Share of the network's multiply-accumulates for one image, with all modules inside.",
            ),
        },
    )  # fmt: skip


def _apply(ticks: dict[str, str], rows: list[dict[str, object]], edited: pd.DataFrame) -> None:
    """Takes the ticks and readings of the rows that are shown; those that are filtered out keep theirs."""
    for row, (read, words) in zip(rows, zip(edited["Read"], edited["Read as"], strict=True), strict=True):
        name = str(row["Layer"])
        if read and row["readable"]:
            ticks[name] = _BACK[words]
        else:
            ticks.pop(name, None)
