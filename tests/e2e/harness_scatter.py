"""A page with the scatter alone, on real digits: `streamlit run tests/e2e/harness_scatter.py -- [points a group]`.

ind: scikit-learn's digits; ood: the same digits inverted, turned and shuffled. The features are those of an untrained
one-layer net whose weights the 'checkpoint' slider scales, so that the points move as they do in training.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import streamlit as st
from sklearn.datasets import load_digits

from app.components.scatter import scatter
from fssd_core.types import Faithfulness, PointGroup, Projection

COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 400
NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
TITLES = {
    "digits": "digits (test)",
    "inverted": "digits inverted",
    "turned": "digits turned 90°",
    "shuffled": "digits shuffled",
}


@st.cache_resource
def groups(count: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Images uint8 (count, 8, 8) by group name, and the ind labels."""
    digits = load_digits()
    rows = np.arange(count) % len(digits.images)
    images = np.minimum(digits.images[rows] * 16, 255).astype(np.uint8)
    flat = images.reshape(count, -1)
    shuffled = np.random.default_rng(0).permuted(flat, axis=1).reshape(images.shape)
    return {
        "digits": images,
        "inverted": 255 - images,
        "turned": np.rot90(images, axes=(1, 2)).copy(),
        "shuffled": shuffled,
        "noise": np.random.default_rng(1).integers(0, 256, (100, 8, 8), dtype=np.uint8),
    }, digits.target[rows]


@st.cache_resource
def project(count: int, step: int, view: str) -> Projection:
    """Class spokes around the mean noise feature, or the first two principal directions from it."""
    images, target = groups(count)
    stacked = np.concatenate([a.reshape(len(a), -1) for a in images.values()]) / 255.0
    ind = stacked[:count]
    means = np.stack([ind[target == k].mean(0) for k in range(10)])
    share = step / 10
    features = np.maximum((stacked - ind.mean(0)) @ (means - means.mean(0)).T * (0.4 + 2 * share) - share, 0)
    features = features + 0.3 * stacked[:, :10] * (1 - share)
    fss = features[-100:].mean(0)
    away = features - fss
    distance = np.linalg.norm(away, axis=1).astype(np.float32)
    notes: dict[str, object] = {}
    if view == "pca":
        _, _, turn = np.linalg.svd(away[: 4 * count], full_matrices=False)
        xy = away @ turn[:2].T
    else:
        angles = np.linspace(-np.pi, np.pi, 10, endpoint=False) + 0.2
        unit = away / np.maximum(distance[:, None], 1e-9)
        weight = np.exp((unit @ np.eye(10)) / 0.15)
        direction = weight @ np.stack([np.cos(angles), np.sin(angles)], 1)
        angle = np.arctan2(direction[:, 1], direction[:, 0])
        radius = distance / np.median(distance[:count])
        xy = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
        notes = {"spokes": {k: float(a) for k, a in enumerate(angles)}}
    starts = np.cumsum([0, *(len(a) for a in images.values())])
    kinds = ["ind", "ood", "ood", "ood", "noise"]
    members = tuple(
        PointGroup(name, kind, int(a), int(b), np.arange(b - a))
        for name, kind, a, b in zip(images, kinds, starts[:-1], starts[1:], strict=True)
    )
    labels = np.full(len(stacked), -1, np.int16)
    labels[:count] = target
    return Projection(
        view,
        "fc1",
        xy.astype(np.float32),
        np.zeros(2, np.float32),
        distance,
        members,
        labels,
        Faithfulness(1, 1, 0.9),
        notes,
    )


st.set_page_config(layout="wide")
left, right = st.columns(2)
view = left.segmented_control("view", ["centred-spokes", "pca"], default="centred-spokes", key="view")
step = right.slider("checkpoint", 0, 10, 8, key="step")
state = scatter(
    project(COUNT, int(step), str(view)),
    images=groups(COUNT)[0],
    titles=TITLES,
    class_names=NAMES,
    title=f"Around F*, by class · layer fc1 · step {step}",
    subtitle="Distance from the star is the true distance to F*; the angle leans to the most similar ind class.",
    key="demo",
)
st.caption(f"hidden: {', '.join(state.hidden) or 'nothing'}; selected: {state.selected}")
st.code(json.dumps({name: list(rows) for name, rows in state.chosen.rows.items()}), wrap_lines=True)
