"""The Methods page's card on FSSD without ood labels: its AUROC, and that of the cockpit's preset without them."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from app import session, tuning_pseudo
from fssd_core import ensemble
from fssd_core.bench_run import Outcome
from fssd_core.metrics import auroc
from fssd_core.study import Study, compare, stored_sweep

OURS = "fssd-ood-free"


def card(study: Study, ood: str, found: Mapping[str, Outcome]) -> None:
    """Draws the card; nothing where the detector has no outcome."""
    if OURS not in found:
        return
    facts = found[OURS].facts
    place = 1 + sum(outcome.facts["auroc"] > facts["auroc"] for outcome in found.values())
    low, high = facts["auroc_ci"]
    with session.guard():
        preset = preset_auroc(study, ood)
    with st.container(border=True):
        st.markdown("**One number without any ood label**")
        left, middle, right = st.columns([1, 1, 2.4], gap="medium")
        left.metric(
            OURS, f"{facts['auroc']:.4f}", f"place {place} of {len(found)}", delta_color="off", delta_arrow="off",
            help=f"AUROC here, 95 % interval {low:.4f} to {high:.4f}; {facts['ms_per_image']:.2f} ms an image.",
        )  # fmt: skip
        middle.metric(
            "preset pseudo-ood", "–" if preset is None else f"{preset:.4f}",
            "linear in the distances", delta_color="off", delta_arrow="off",
            help="AUROC of the Tuning page's first preset at ε 0, on that page's test images. Open that page once if "
            "there is no number yet.",
        )  # fmt: skip
        right.markdown(
            "Both are fitted on ind images alone. `fssd-ood-free` takes polar coordinates about F\\*: how far an image "
            "lies from it (too far and too near both count), and in which direction, compared with ind images of the "
            "predicted class. No weights of the K distances can say that, so the cockpit cannot show it, and starts "
            "from the preset. It is weakest where familiar images are merely turned or mixed."
        )


def preset_auroc(study: Study, ood: str) -> float | None:
    """AUROC of the preset 'pseudo-ood' at epsilon 0; None where the store lacks a part of it. Computes no scores."""
    pseudo = tuning_pseudo.stored(study, (0.0,))
    store, root = session.store(), session.data_root()
    sides = [stored_sweep(study, ref, (0.0,), store=store, root=root) for ref in (study.ind, ood)]
    if not pseudo or not all(sides):
        return None
    comparison = compare(study, ood, *(side[0.0] for side in sides))
    weights = ensemble.pseudo_ood(comparison.fit_ind, pseudo[0.0])
    return auroc(ensemble.combine(comparison.test_ind, weights), ensemble.combine(comparison.test_ood, weights))
