"""A page with nothing but the cockpit, on scores drawn from a seed; `?case=...` in the address says which.

Cases: 'plain' (one ood set), 'sets' (three sets, seven epsilons), 'large' (10,000 + 10,000 images, 5 layers), 'ties'
(few distinct scores), 'odd' (NaN scores, an empty set, a constant layer).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import streamlit as st

from app import pins, tuning_facts
from app.components.cockpit import Setting, cockpit
from app.components.examples_packing import Examples
from fssd_core.types import LayerScores, Weights

LAYERS = ("conv1", "conv2", "fc1", "logits")
KNOTS = (0.0, 0.002, 0.006, 0.02, 0.04, 0.1, 0.2)
IND_LEVEL = (3.0, 4.2, 5.0, 6.0)
OOD_LEVELS = {
    "mnist": (4.1, 5.6, 4.8, 5.2),
    "photo-patches": (2.5, 3.0, 3.1, 4.0),
    "fmnist-inverted": (3.0, 3.6, 4.2, 4.6),
}


def drawn(level: tuple[float, ...], count: int, *, seed: int, layers: tuple[str, ...] = LAYERS) -> LayerScores:
    """(count, K) distances: a common part a sample and a part of its own in each layer."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(count, 1))
    own = rng.normal(size=(count, len(layers)))
    return LayerScores((np.array(level) * np.exp(0.12 * common + 0.16 * own)).astype(np.float32), layers)


def swept(scores: LayerScores, *, seed: int) -> dict[float, LayerScores]:
    """The same samples at every knot: distances grow with epsilon, each at a pace of its own, some turning back."""
    pace = np.random.default_rng(seed).normal(1.0, 0.6, size=scores.values.shape)
    return {
        knot: LayerScores((scores.values + pace * np.sqrt(knot) - 6 * knot**2).astype(np.float32), scores.layers)
        for knot in KNOTS
    }


def case(name: str) -> tuple[object, dict[str, object], tuple[str, ...]]:
    """(ind, oods, layers) of a case."""
    if name == "large":
        layers = ("conv1", "conv2", "fc1", "fc2", "logits")
        ind = drawn((3.0, 4.2, 5.0, 5.5, 6.0), 10_000, seed=1, layers=layers)
        return ind, {"mnist": drawn((4.1, 5.6, 4.8, 5.0, 5.2), 10_000, seed=2, layers=layers)}, layers
    ind = drawn(IND_LEVEL, 2000, seed=1)
    oods = {n: drawn(level, 1500 - 300 * i, seed=2 + i) for i, (n, level) in enumerate(OOD_LEVELS.items())}
    if name == "sets":
        return swept(ind, seed=11), {n: swept(s, seed=12 + i) for i, (n, s) in enumerate(oods.items())}, LAYERS
    if name == "ties":
        coarse = {n: LayerScores(np.round(s.values * 2) / 2, LAYERS) for n, s in oods.items()}
        return LayerScores(np.round(ind.values * 2) / 2, LAYERS), coarse, LAYERS
    if name == "odd":
        broken = oods["mnist"].values.copy()
        broken[:3, 1] = [np.nan, np.inf, -np.inf]
        broken[:, 3] = 6.0
        flat = ind.values.copy()
        flat[:, 3] = 6.0
        return (
            LayerScores(flat, LAYERS),
            {"mnist": LayerScores(broken, LAYERS), "empty": oods["mnist"].take(np.arange(0))},
            LAYERS,
        )
    return ind, {"mnist": oods["mnist"]}, LAYERS


def images(name: str, scores: object) -> Examples:
    """Grey pictures whose brightness is their row, and rows that are not 0, 1, 2 ..."""
    count = len(scores if isinstance(scores, LayerScores) else next(iter(scores.values())))
    shade = (np.arange(count) % 256).astype(np.uint8)
    return Examples(f"data/{name}", np.tile(shade[:, None, None], (1, 28, 28)), 7 * np.arange(count) + 3)


def presets(layers: tuple[str, ...]) -> dict[str, Weights]:
    """Three presets with the labels they used."""
    alpha = np.linspace(-0.9, 1.2, len(layers))
    return {
        "uniform": Weights((1.0,) * len(layers), layers, "uniform", "none"),
        "standardised": Weights(
            tuple(1 / (1 + np.arange(len(layers)))), layers, "standardised", "none (ind images only, for the spread)"
        ),
        "logistic": Weights(tuple(alpha), layers, "logistic", "500 ind + 500 ood images of mnist"),
    }


def main() -> None:
    st.set_page_config(layout="wide")
    ind, oods, layers = case(st.query_params.get("case", "plain"))
    shown = pins.pins()

    def change_pins(action: dict[str, object], setting: Setting) -> None:
        pins.apply(action, setting, shown)
        st.rerun()

    names = {"fmnist:test": ind, **oods}
    setting = cockpit(
        ind,
        oods,
        weights=presets(layers)["logistic"],
        presets=presets(layers),
        ind_name="fmnist:test",
        tested="none of which chose α",
        examples={name: images(name, scores) for name, scores in names.items()},
        report=lambda setting, blocks: {
            "rates": tuning_facts.rates(setting, blocks, seed=0),
            "pins": pins.differences(setting, shown, blocks, seed=0),
        },
        pins=pins.told(shown),
        on_pins=change_pins,
        on_open=lambda ref, row: st.session_state.update(opened=[ref, row]),
        key="harness",
    )
    runs = st.session_state["runs"] = st.session_state.get("runs", 0) + 1
    told = {
        "alpha": setting.weights.alpha,
        "rule": setting.weights.rule,
        "labels": setting.weights.labels,
        "epsilon": setting.epsilon,
        "threshold": setting.threshold,
        "chosen": setting.chosen,
        "prevalence": setting.choice.prevalence,
        "ood": setting.ood,
        "inspect": setting.inspect,
        "opened": st.session_state.get("opened"),
        "runs": runs,
    }
    st.code(json.dumps(told))


main()
