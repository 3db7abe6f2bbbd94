"""The tuning cockpit: alpha, epsilon and threshold by hand, every number and curve following in the page itself.

Scores go to the browser once (a carrier a data set, by content id); while a control is dragged nothing goes over the
wire; when it is let go, one small setting comes back and the script runs again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import streamlit as st

from app.components.examples_packing import Examples, pack_examples
from app.components.modules import SHARED, bundle, stylesheet
from app.components.scores_packing import Block, Knots, pack, scores_at
from app.theme import palette
from fssd_core.errors import InputError
from fssd_core.operating_point import Choice, choose_threshold
from fssd_core.types import LayerScores, Weights

ASSETS = Path(__file__).with_name("cockpit_assets")
BY_HAND = "manual"
LOOKED_AT = "none fitted; set by hand while looking at the ood sets"

_cockpit = st.components.v2.component(
    "fssd_cockpit",
    js=bundle(ASSETS / "main.js"),
    css=stylesheet(ASSETS / "cockpit.css", SHARED / "saving.css"),
)
_examples = st.components.v2.component("fssd_examples", js=bundle(ASSETS / "examples.js"))
_carrier = st.components.v2.component("fssd_scores", js=bundle(ASSETS / "scores.js"))


@dataclass(frozen=True)
class Setting:
    """Where the cockpit stands since a control was last let go.

    Attributes:
        weights: alpha as set, with the rule and the labels behind it.
        epsilon: in pixels; within the knots, not always one of them.
        threshold: accepted as ind where score >= threshold, in units of the alpha-weighted distance.
        choice: how the threshold was chosen, and follows alpha and epsilon; by 'hand' it stays where it is.
        ood: name of the chosen ood set; None for all together.
        by_user: whether the user has let a control go since the start was given.
        inspect: (data reference, row) of the example image that is selected.
        preset: name of the preset in force, if any.
        origin: name of the preset that alpha was started from, if any.
    """

    weights: Weights
    epsilon: float
    threshold: float
    choice: Choice
    ood: str | None
    by_user: bool = False
    inspect: tuple[str, int] | None = None
    preset: str | None = None
    origin: str | None = None

    @property
    def chosen(self) -> dict[str, Any]:
        """How the threshold was chosen, as JSON: {'by': 'fpr', 'value': 0.05}."""
        return self.choice.said(self.threshold)


def cockpit(
    ind: LayerScores | Knots,
    oods: Mapping[str, LayerScores | Knots],
    *,
    weights: Weights,
    presets: Mapping[str, Weights] | None = None,
    retired: Mapping[str, Weights] | None = None,
    epsilon: float | None = None,
    threshold: float | None = None,
    choice: Choice | None = None,
    ood: str | None = "",
    ind_name: str = "in-distribution",
    tested: str = "",
    unit: str = "images",
    margin: float = 0.05,
    examples: Mapping[str, Examples] | None = None,
    report: Callable[[Setting, tuple[Block, ...]], dict[str, Any]] | None = None,
    on_open: Callable[[str, int], None] | None = None,
    pins: Sequence[Mapping[str, Any]] = (),
    pins_left: int = 0,
    on_pins: Callable[[Mapping[str, Any], Setting], None] | None = None,
    key: str = "cockpit",
    on_change: Callable[[], None] | None = None,
) -> Setting:
    """Mounts the cockpit and gives the setting as last let go.

    `weights`, `epsilon`, `threshold`, `choice` and `ood` say where to start. They are applied again only when they
    become something else than the page's own setting, so what this function gave back can be passed in again.

    Args:
        ind: (N, K) scores of the ind images to test on, or {epsilon: scores} for a continuous epsilon.
        oods: the same for each ood set, by name, in the order of their colours.
        weights: alpha to start with; shown divided by its largest magnitude.
        presets: alpha to offer at a button's press, by name; their `labels` are shown with them.
        retired: presets no longer offered that alpha may have been started from; their labels stay with it.
        epsilon: within the knots; the smallest knot by default.
        threshold: on the score under `weights` as given; by default it follows `choice`.
        choice: the rule that the threshold follows where none is given, 95 % TPR by default; its other numbers (costs,
            prevalence ...) are what the page's fields start with.
        ood: ood set to show; the first by default, None for all together.
        ind_name: what the ind images are called.
        tested: half a sentence after 'tested on 2,000 ... images' ('none of which chose alpha').
        unit: what is scored, in the plural.
        margin: a layer within this distance of AUROC 0.5 is called uninformative, below it inverted.
        examples: images of the sets by name (ind by `ind_name`), one a score and in the scores' order; some of them
            are shown along the score axis.
        report: what the server adds beside the numbers once a control is let go ('rates', 'epsilon', 'pins'); shown as
            long as the page stands where it was computed.
        on_open: called with (data reference, row) when the user follows an example's link to its own page.
        pins: settings to lay under the present one, at most four: name, alpha, epsilon, threshold, choice, preset and
            origin of each.
        pins_left: how many more there are that do not fit these scores.
        on_pins: called with what the user asks for ({'do': 'add'}, {'do': 'remove', 'pin': 0} ...) and the setting.
        key: of the component.
        on_change: called before the rerun that a released control causes.

    Raises:
        InputError: no ood set, sets with different layers or epsilons, or a start outside what there is.
    """
    blocks = pack_all(ind, oods, ind_name=ind_name)
    ready = {name: preset.normalised() for name, preset in {**(retired or {}), **(presets or {})}.items()}
    given = start_of(blocks, weights, epsilon=epsilon, threshold=threshold, choice=choice, ood=ood)
    slot = f"_{key}:start"
    start = settled_start(given, st.session_state.get(slot), _returned(key))
    st.session_state[slot] = {"given": given, "start": start}
    setting = setting_of(blocks, start, ready, _returned(key))
    config = configuration(blocks, start, ready, key=key, ind_name=ind_name, tested=tested, unit=unit, margin=margin)
    shown = pack_examples(blocks, examples or {})
    config |= {"examples": shown.id if shown else None, "inspect": "inspect" if on_open else None}
    for preset in config["presets"]:
        preset["retired"] = preset["name"] not in (presets or {})
    config |= {"pins": [dict(pin) for pin in pins], "pinsLeft": pins_left}
    if report is not None:
        config["facts"] = {"for": place_of(setting), **report(setting, blocks)}
    with st.container(gap=None):
        result = _cockpit(
            key=key, data=config, on_setting_change=on_change or _nothing, on_inspect_change=_nothing,
            on_open_change=_nothing, on_pins_change=_nothing,
        )  # fmt: skip
        if shown is not None:
            _examples(key=f"{key}:examples", data=shown.payload)
        for number, block in enumerate(blocks):
            _carrier(key=f"{key}:scores:{number}", data=block.payload())
    if on_open is not None and (opened := result.get("open")):
        on_open(str(opened["set"]), int(opened["row"]))
    if on_pins is not None and (asked := result.get("pins")):
        on_pins(asked, setting)
    picked = result.get("inspect")
    return replace(setting, inspect=(str(picked["set"]), int(picked["row"]))) if picked else setting


def released(key: str) -> dict[str, Any] | None:
    """What the page gave back last, as plain values ('epsilon', 'preset', 'origin' ...); None before any release."""
    return _returned(key)


def place_of(setting: Setting) -> dict[str, Any]:
    """Where a setting stands, as the page compares it with its own: what the server's facts are for."""
    return {
        "alpha": list(setting.weights.alpha),
        "epsilon": setting.epsilon,
        "threshold": setting.threshold,
        "ood": setting.ood,
    }


def _nothing() -> None:
    """Streamlit keeps a component's state only where something listens to it."""


def _returned(key: str) -> dict[str, Any] | None:
    state = st.session_state.get(key)
    setting = state.get("setting") if state else None
    return dict(setting) if setting else None


def pack_all(ind: LayerScores | Knots, oods: Mapping[str, LayerScores | Knots], *, ind_name: str) -> tuple[Block, ...]:
    """Blocks of ind and every ood set, ind first; layers and epsilons must agree.

    Raises:
        InputError: no ood set, or sets that do not fit together.
    """
    if not oods:
        raise InputError("no ood set was given to tune against; choose at least one")
    blocks = (pack(ind_name, ind), *(pack(name, scores) for name, scores in oods.items()))
    for block in blocks[1:]:
        for what, of in (("layers", "layers"), ("epsilons", "knots")):
            mine, theirs = getattr(block, of), getattr(blocks[0], of)
            if mine != theirs:
                raise InputError(f"{block.name} has the {what} {mine}, {ind_name} has {theirs}; they must be equal")
    return blocks


def start_of(
    blocks: tuple[Block, ...],
    weights: Weights,
    *,
    epsilon: float | None = None,
    threshold: float | None = None,
    choice: Choice | None = None,
    ood: str | None = "",
) -> dict[str, Any]:
    """Where the page starts, as JSON, with an id over its content.

    Raises:
        InputError: weights of other layers, or epsilon or ood outside what there is.
    """
    layers, knots, names = blocks[0].layers, blocks[0].knots, [block.name for block in blocks[1:]]
    if weights.layers != layers:
        raise InputError(f"the weights are of layers {weights.layers}, the scores of {layers}; they must be equal")
    epsilon = knots[0] if epsilon is None else epsilon
    if not knots[0] <= epsilon <= knots[-1]:
        raise InputError(f"epsilon {epsilon:g} is outside {knots[0]:g} to {knots[-1]:g}; choose one within")
    chosen = names[0] if ood == "" else ood
    if chosen is not None and chosen not in names:
        raise InputError(f"ood set {chosen!r} is not among {', '.join(names)}; choose one of them, or None for all")
    normal = weights.normalised()
    choice = choice or Choice()
    if threshold is None and choice.by == "hand":
        choice = replace(choice, by="tpr")  # by hand, but where to is not said
    if threshold is not None:
        choice = replace(choice, by="hand")
        threshold /= max(map(abs, weights.alpha), default=0.0) or 1.0  # the score is scaled as alpha is
    start = {
        "alpha": list(normal.alpha),
        "name": normal.rule,
        "labels": normal.labels,
        "epsilon": epsilon,
        "threshold": threshold,
        "choice": asdict(choice),
        "ood": chosen,
    }
    identity = json.dumps([start, layers], sort_keys=True)
    return {**start, "id": hashlib.sha256(identity.encode()).hexdigest()[:16]}


def settled_start(
    given: dict[str, Any], last: dict[str, Any] | None, returned: dict[str, Any] | None
) -> dict[str, Any]:
    """The start to send: the last one again where the caller changed nothing or handed the page's own setting back.

    So a caller may pass the returned setting in again, and nothing is sent for it.
    """
    if last is None or returned is None:  # nothing on the page yet that could be kept
        return given
    start: dict[str, Any] = last["start"]
    if given["id"] == last["given"]["id"]:
        return start
    if returned is None or returned["start"] != start["id"] or len(returned["alpha"]) != len(given["alpha"]):
        return given
    top = max(map(abs, returned["alpha"]), default=0.0) or 1.0
    page = {
        **{name: returned[name] for name in ("epsilon", "choice", "ood")},
        "alpha": [a / top for a in returned["alpha"]],
        "threshold": returned["threshold"] / top,
    }
    if given["threshold"] is None and returned["choice"]["by"] != "hand":
        page["threshold"] = None  # the caller says the same: the threshold follows the rule
    echoed = all(given[name] == last["given"][name] or _equal(given[name], page[name]) for name in page)
    return start if echoed else given


def _equal(given: Any, page: Any) -> bool:
    if isinstance(given, list):
        return all(abs(a - b) < 1e-9 for a, b in zip(given, page, strict=True))
    close = isinstance(given, float) and isinstance(page, float) and abs(given - page) <= 1e-9 * abs(page)
    return bool(given == page or close)


def configuration(
    blocks: tuple[Block, ...],
    start: dict[str, Any],
    presets: Mapping[str, Weights],
    *,
    key: str,
    ind_name: str = "in-distribution",
    tested: str = "",
    unit: str = "images",
    margin: float = 0.05,
) -> dict[str, Any]:
    """What the page is told besides the scores: small, and the same from run to run while nothing changes."""
    sets = [{"name": block.name, "block": block.id, "count": len(block)} for block in blocks]
    notes = [
        f"{block.dropped:,} of {len(block) + block.dropped:,} {block.name} {unit} have a score that is not a finite "
        "number and are left out of everything on this page."
        for block in blocks
        if block.dropped
    ]
    return {
        "key": key,
        "start": start,
        "layers": list(blocks[0].layers),
        "knots": list(blocks[0].knots),
        "ind": {**sets[0], "name": ind_name},
        "ood": sets[1:],
        "notes": notes,
        "presets": [{"name": n, "alpha": list(w.alpha), "labels": w.labels} for n, w in presets.items()],
        "tested": tested,
        "unit": unit,
        "margin": margin,
        "palette": palette(),
    }


def setting_of(
    blocks: tuple[Block, ...],
    start: dict[str, Any],
    presets: Mapping[str, Weights],
    returned: dict[str, Any] | None,
) -> Setting:
    """The page's setting where it belongs to this start and these layers, else the start itself.

    The start's threshold, where none was given, is the one the page will find by the start's rule.
    """
    layers = blocks[0].layers
    names = [block.name for block in blocks[1:]]
    if returned and returned["start"] == start["id"] and tuple(returned["layers"]) == layers:
        return Setting(
            weights=_weights(returned, start, presets, layers),
            epsilon=min(max(returned["epsilon"], blocks[0].knots[0]), blocks[0].knots[-1]),
            threshold=returned["threshold"],
            choice=Choice(**returned["choice"]),
            ood=returned["ood"] if returned["ood"] in [*names, None] else names[0],
            by_user=True,
            preset=returned["preset"],
            origin=returned["origin"],
        )
    weights = Weights(tuple(start["alpha"]), layers, start["name"], start["labels"])
    choice = Choice(**start["choice"])
    threshold = start["threshold"]
    if threshold is None:
        threshold = _ruled(blocks, weights, start["epsilon"], start["ood"], choice)
    return Setting(weights, start["epsilon"], threshold, choice, start["ood"])


def chosen_scores(
    blocks: tuple[Block, ...], weights: Weights, epsilon: float, ood: str | None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(ind, ood) scores of the chosen ood set, of all together where it is None."""
    shown = [block for block in blocks[1:] if ood in (block.name, None)]
    return scores_at(blocks[0], weights, epsilon), np.concatenate([scores_at(b, weights, epsilon) for b in shown])


def _ruled(blocks: tuple[Block, ...], weights: Weights, epsilon: float, ood: str | None, choice: Choice) -> float:
    """The threshold that the page will find by the rule; to accept nothing it stands just above every score."""
    sides = chosen_scores(blocks, weights, epsilon, ood)
    if not len(sides[0]) or (choice.uses_ood and not len(sides[1])):
        return 0.0
    threshold = choose_threshold(*sides, choice)
    if np.isfinite(threshold):
        return threshold
    both = np.concatenate(sides)
    top, bottom = float(both.max()), float(both.min())
    return top + 1e-3 * max(top - bottom, 1e-9)


def _weights(
    returned: dict[str, Any], start: dict[str, Any], presets: Mapping[str, Weights], layers: tuple[str, ...]
) -> Weights:
    """The page's alpha with its rule; what was set by hand keeps the labels of the preset it was started from."""
    alpha = tuple(returned["alpha"])
    origin = returned["preset"] or returned["origin"]
    labels = "none"
    if origin in presets:
        labels = presets[origin].labels
    elif origin == start["name"]:
        labels = start["labels"]
    if returned["preset"] in presets:
        return Weights(alpha, layers, presets[returned["preset"]].rule, labels)
    return Weights(alpha, layers, BY_HAND, LOOKED_AT if labels.startswith("none") else _once(labels, origin))


def _once(labels: str, origin: str) -> str:
    began = f"by hand, starting from {origin}: "
    return labels if labels.startswith("by hand") else began + labels
