"""Pinned settings of the cockpit: up to four, named, kept over pages, and whether the present one truly differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import streamlit as st

from app.components.cockpit import Setting, chosen_scores
from app.components.scores_packing import Block
from fssd_core.paired import paired_differences

MOST = 4
LONGEST = 60
SLOT = "_pins"
DRAWS = 300
NAMES = {"auroc": "auroc", "fpr95": "fpr95", "aupr_in": "auprIn"}


@dataclass(frozen=True)
class Pin:
    """A setting under a name."""

    name: str
    setting: Setting


def pins() -> tuple[Pin, ...]:
    """This session's pins, oldest first."""
    return tuple(st.session_state.get(SLOT, ()))


def usable(layers: tuple[str, ...], knots: Sequence[float]) -> tuple[Pin, ...]:
    """Those of these layers and within these epsilons."""
    low, high = min(knots), max(knots)
    return tuple(p for p in pins() if p.setting.weights.layers == layers and low <= p.setting.epsilon <= high)


def apply(action: Mapping[str, Any], setting: Setting, shown: Sequence[Pin]) -> None:
    """Does what the page asks: {'do': 'add'}, or 'remove' or 'rename' the pin with the number `pin` of those shown."""
    kept = list(pins())
    if action["do"] == "add":
        if len(shown) < MOST:
            kept.append(Pin(_free_name(default_name(setting), kept), setting))
    elif 0 <= int(action["pin"]) < len(shown):
        place = kept.index(shown[int(action["pin"])])
        name = str(action.get("name", "")).strip()[:LONGEST]
        if action["do"] == "remove":
            del kept[place]
        elif name:
            kept[place] = replace(kept[place], name=_free_name(name, [*kept[:place], *kept[place + 1 :]]))
    st.session_state[SLOT] = tuple(kept)


def default_name(setting: Setting) -> str:
    """'logistic on mnist', or 'by hand, ε 0.02'."""
    rule = setting.preset or ("by hand" if setting.weights.rule == "manual" else setting.weights.rule)
    return f"{rule}, ε {setting.epsilon:.3g}" if setting.epsilon else rule


def _free_name(wanted: str, others: Sequence[Pin]) -> str:
    taken = {pin.name for pin in others}
    numbered = (wanted if n == 1 else f"{wanted} ({n})" for n in range(1, len(taken) + 2))
    return next(name for name in numbered if name not in taken)


def told(shown: Sequence[Pin]) -> list[dict[str, Any]]:
    """The pins as the cockpit draws them."""
    return [
        {
            "name": pin.name,
            "alpha": list(pin.setting.weights.alpha),
            "epsilon": pin.setting.epsilon,
            "threshold": pin.setting.threshold,
            "choice": asdict(pin.setting.choice),
            "preset": pin.setting.preset,
            "origin": pin.setting.origin,
        }
        for pin in shown
    ]


def differences(
    setting: Setting, shown: Sequence[Pin], blocks: tuple[Block, ...], *, seed: int
) -> list[dict[str, Any]] | None:
    """The setting minus each pin with paired 95 % intervals, against the chosen ood; None where a side is empty."""
    now = chosen_scores(blocks, setting.weights, setting.epsilon, setting.ood)
    if not all(map(len, now)):
        return None
    out = []
    for pin in shown:
        slot = (tuple(block.id for block in blocks), setting.ood, _place(setting), _place(pin.setting), seed)
        memory: dict[Any, Any] = st.session_state.setdefault("_pin_differences", {})
        if slot not in memory:
            if len(memory) > 50:
                memory.clear()
            then = chosen_scores(blocks, pin.setting.weights, pin.setting.epsilon, setting.ood)
            memory[slot] = paired_differences(
                now, then, names=list(NAMES), samples=DRAWS, generator=np.random.default_rng(seed)
            )
        found = memory[slot]
        out.append(
            {
                NAMES[name]: {"value": d.value, "low": d.low, "high": d.high, "decided": d.decided}
                for name, d in found.items()
            }
        )
    return out


def _place(setting: Setting) -> tuple[Any, ...]:
    return setting.weights.alpha, setting.epsilon
