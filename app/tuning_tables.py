"""Below the cockpit: every ood set under the setting, and whether fitted weights hold on other sets."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import streamlit as st

from app import session, tuning_presets
from app.charts import chart
from app.components.cockpit import Setting
from app.components.scores_packing import pack, scores_at
from app.figures.transfer import transfer_matrix
from app.names import inert, title_of
from app.tuning_scores import Sweep
from fssd_core import ensemble
from fssd_core.errors import InputError
from fssd_core.metrics import intervals, metrics
from fssd_core.study import Comparison, Study
from fssd_core.transfer import in_words, transfer
from fssd_core.types import LayerScores


def intervals_table(
    study: Study, sweeps: Mapping[str, Sweep], plain: Mapping[str, Comparison], setting: Setting
) -> None:
    """Every ood set's numbers under the setting, with their intervals and the labels behind alpha."""
    rows = []
    for ref, comparison in plain.items():
        sides = {study.ind: comparison.split.test_ind, ref: comparison.split.test_ood}
        blocks = [pack(name, {e: s.take(test) for e, s in sweeps[name].items()}) for name, test in sides.items()]
        ind, ood = (scores_at(block, setting.weights, setting.epsilon) for block in blocks)
        numbers = metrics(ind, ood)
        spread = intervals(ind, ood, names=["auroc", "fpr95"], samples=300, generator=np.random.default_rng(study.seed))
        rows.append(
            {
                "ood": title_of(ref),
                "ind : ood": f"{numbers.n_ind:,} : {numbers.n_ood:,}",
                "AUROC": f"{numbers.auroc:.4f}  [{spread['auroc'][0]:.4f}, {spread['auroc'][1]:.4f}]",
                "FPR95": f"{numbers.fpr95:.4f}  [{spread['fpr95'][0]:.4f}, {spread['fpr95'][1]:.4f}]",
                "FPR80": f"{numbers.fpr80:.4f}",
                "AUPR-IN": f"{numbers.aupr_in:.4f}",
                "AUPR-OUT": f"{numbers.aupr_out:.4f}",
                "labels used for alpha": setting.weights.labels,
            }
        )
    st.dataframe(rows, hide_index=True)
    st.caption("Percentile bootstrap, 300 draws of ind and ood apart. AUPR depends on the ratio ind : ood.")


def transfer_table(study: Study, plain: Mapping[str, Comparison], pseudo: LayerScores | None) -> None:
    """The matrix of weights fitted on one set and tested on another, and what it says in a sentence."""
    comparisons = {title_of(ref): comparison for ref, comparison in plain.items()}
    try:
        also = {}
        if pseudo is not None:
            also[tuning_presets.PSEUDO] = ensemble.pseudo_ood(next(iter(plain.values())).fit_ind, pseudo)
        result = transfer(comparisons, seed=study.seed, also=also)
    except InputError as error:
        st.warning(inert(str(error)))
        return
    st.markdown(f"**{in_words(result)}** Measured at epsilon 0, on images that no alpha was fitted on.")
    chart(
        transfer_matrix(result, mode=session.mode()),
        key="transfer",
        alt="AUROC of every rule for alpha on every ood set",
        name="the matrix",
    )
