"""Tuning: alpha, epsilon and the threshold by hand; curves and numbers follow in the page while the hand moves."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import streamlit as st

from app import pins, session, tuning_exact, tuning_facts, tuning_presets, tuning_state
from app.charts import chart
from app.components.cockpit import Setting, cockpit
from app.components.examples_packing import Examples
from app.components.scores_packing import Block, pack, scores_at
from app.export_panel import export_panel
from app.figures.transfer import transfer_matrix
from app.names import title_of
from fssd_core.demo import KNOTS
from fssd_core.errors import InputError
from fssd_core.metrics import intervals, metrics
from fssd_core.study import Comparison, Study, compare, layer_scores, open_data, stored_sweep
from fssd_core.transfer import in_words, transfer
from fssd_core.types import LayerScores

Sweep = dict[float, LayerScores]
KEY = "tuning-cockpit"


def show() -> None:
    """Draws the page."""
    study = session.current_study()
    st.title("Tune the detector")
    if not study.ood:
        st.info(
            "Choose at least one ood set in the sidebar: tuning weighs accepted ood images against rejected ind ones."
        )
        return
    with session.guard():
        session.show_notes(study)
        sweeps = _sweeps(study)
        if sweeps is None:
            return
        knots = sorted(set.intersection(*(set(s) for s in sweeps.values())))
        sweeps = {ref: {e: sweep[e] for e in knots} for ref, sweep in sweeps.items()}
        plain = {ref: compare(study, ref, sweeps[study.ind][0.0], sweeps[ref][0.0]) for ref in study.ood}
        setting = _cockpit(study, sweeps, plain)
    tuning_state.remember(setting)
    tuning_exact.compute(study, setting, knots)
    with st.expander("All ood sets under this setting, with 95 % confidence intervals", icon=":material/table:"):
        _intervals(study, sweeps, plain, setting)
    with st.expander("Take the detector with you", icon=":material/download:"):
        export_panel(study, setting, sweeps, plain)
    with st.expander("Do weights fitted on one ood set hold on another?", icon=":material/grid_on:"):
        _transfer(plain, study.seed)
    if len(knots) < len(KNOTS):
        _offer_sweep(study)


def _sweeps(study: Study) -> dict[str, Sweep] | None:
    """{data: {epsilon: scores}} of what the store has, at least epsilon 0; None while that is being computed."""
    refs = [study.ind, *study.ood]
    found = {ref: stored_sweep(study, ref, KNOTS, store=session.store(), root=session.data_root()) for ref in refs}
    missing = [ref for ref in refs if 0.0 not in found[ref]]
    if not missing:
        return found
    job = session.run_job("Scores", "layer_scores", study, {"data": missing, "epsilons": [0.0]})
    if job.state != "done":
        return None
    return {
        ref: found[ref] or layer_scores(study, ref, epsilons=[0.0], store=session.store(), root=session.data_root())
        for ref in refs
    }


def _cockpit(study: Study, sweeps: dict[str, Sweep], plain: dict[str, Comparison]) -> Setting:
    epsilon, origins = tuning_state.standing(KEY, sorted(sweeps[study.ind]))
    presets = tuning_presets.presets(study, sweeps, plain, epsilon)
    start = tuning_state.start(study, presets)
    shown = pins.usable(start["weights"].layers, sorted(sweeps[study.ind]))

    def change_pins(action: Mapping[str, object], setting: Setting) -> None:
        pins.apply(action, setting, shown)
        st.rerun()

    def report(setting: Setting, blocks: tuple[Block, ...]) -> dict[str, object]:
        return {
            "epsilon": tuning_exact.facts(study, setting, blocks, plain),
            "rates": tuning_facts.rates(setting, blocks, seed=study.seed),
            "pins": pins.differences(setting, shown, blocks, seed=study.seed),
        }

    rows = next(iter(plain.values())).split.test_ind
    fitted = len(next(iter(plain.values())).split.fit_ind)
    return cockpit(
        {e: s.take(rows) for e, s in sweeps[study.ind].items()},
        {
            title_of(ref): {e: s.take(comparison.split.test_ood) for e, s in sweeps[ref].items()}
            for ref, comparison in plain.items()
        },
        presets=presets,
        retired=tuning_presets.retired(study, sweeps, epsilon, origins),
        ind_name=title_of(study.ind),
        tested=f"none of which is among the {fitted} a set that alpha may be fitted on",
        examples=_examples(study, plain),
        report=report,
        pins=pins.told(shown),
        pins_left=len(pins.pins()) - len(shown),
        on_pins=change_pins,
        on_open=_open,
        key=KEY,
        **start,
    )


def _examples(study: Study, plain: dict[str, Comparison]) -> dict[str, Examples]:
    """The tested images of every set, by the name that the cockpit knows it by."""
    tested = {study.ind: next(iter(plain.values())).split.test_ind}
    tested |= {ref: comparison.split.test_ood for ref, comparison in plain.items()}
    sets = {ref: open_data(study, ref, root=session.data_root()).take(rows) for ref, rows in tested.items()}
    return {title_of(ref): Examples(ref, images.images, images.rows) for ref, images in sets.items()}


def _open(ref: str, row: int) -> None:
    st.switch_page("views/inspect.py", query_params={"set": ref, "row": str(row)})


def _intervals(study: Study, sweeps: dict[str, Sweep], plain: dict[str, Comparison], setting: Setting) -> None:
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


def _transfer(plain: dict[str, Comparison], seed: int) -> None:
    try:
        result = transfer({title_of(ref): comparison for ref, comparison in plain.items()}, seed=seed)
    except InputError as error:
        st.warning(str(error))
        return
    st.markdown(f"**{in_words(result)}** Measured at epsilon 0, on images that no alpha was fitted on.")
    chart(
        transfer_matrix(result, mode=session.mode()),
        key="transfer",
        alt="AUROC of every rule for alpha on every ood set",
        name="the matrix",
    )


def _offer_sweep(study: Study) -> None:
    st.caption(
        "Only epsilon 0 is there for these sets. The sweep computes the distances at "
        f"{len(KNOTS)} epsilons from {KNOTS[0]} to {KNOTS[-1]} pixels; the slider then appears above."
    )
    if st.session_state.get("_sweep_for") == study or st.button(
        "Compute the epsilon sweep", icon=":material/timeline:"
    ):
        st.session_state["_sweep_for"] = study
        refs = [study.ind, *study.ood]
        job = session.run_job("Epsilon sweep", "layer_scores", study, {"data": refs, "epsilons": list(KNOTS)})
        if job.over:
            del st.session_state["_sweep_for"]
        if job.state == "done":
            st.rerun()


show()
