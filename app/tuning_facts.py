"""What the server adds to the cockpit once a control is let go: intervals of the achieved rates."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from app.components.cockpit import Setting, chosen_scores
from app.components.scores_packing import Block
from fssd_core.operating_point import rate_intervals

LEVEL = 0.95
DRAWS = 500


def rates(setting: Setting, blocks: tuple[Block, ...], *, seed: int) -> dict[str, Any] | None:
    """Bootstrap intervals of TPR and FPR at the threshold, as the page shows them; None where a side is empty."""
    ind, ood = chosen_scores(blocks, setting.weights, setting.epsilon, setting.ood)
    if not len(ind) or not len(ood):
        return None
    found = rate_intervals(
        ind,
        ood,
        setting.threshold,
        setting.choice,
        samples=DRAWS,
        level=LEVEL,
        generator=np.random.default_rng(seed),
    )
    spread = asdict(found)
    return {"level": LEVEL, "fixed": spread["fixed"], "rechosen": spread["rechosen"]}
