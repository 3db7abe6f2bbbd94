"""Tuning: alpha, epsilon and the threshold by hand; curves and numbers follow in the page while the hand moves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import streamlit as st

from app import (
    pins,
    session,
    tuning_checks,
    tuning_exact,
    tuning_facts,
    tuning_presets,
    tuning_pseudo,
    tuning_state,
)
from app.components.address import replace_in_address
from app.components.cockpit import Setting, cockpit
from app.components.examples_packing import Examples
from app.components.scores_packing import Block
from app.export_panel import export_panel
from app.names import title_of
from app.tuning_tables import intervals_table, transfer_table
from fssd_core.demo import KNOTS
from fssd_core.study import Comparison, Study, compare, layer_scores, open_data, stored_sweep
from fssd_core.types import LayerScores, Weights

Sweep = dict[float, LayerScores]
KEY = "tuning-cockpit"


def show() -> None:
    """Draws the page."""
    study = session.current_study()
    st.title("Tune the detector")
    replace_in_address(tuning_state.ADDRESS)
    if not study.ood:
        st.info(
            "Choose at least one ood set in the sidebar: tuning weighs accepted ood images against rejected ind ones."
        )
        return
    with session.guard():
        session.show_small_leaks(study, session.show_notes(study))
        sweeps = _sweeps(study)
        if sweeps is None:
            return
        kept, told = tuning_checks.usable(study, {ref: len(sweep[0.0]) for ref, sweep in sweeps.items()})
        for words in told:
            st.warning(words, icon=":material/warning:")
        if not kept:
            st.info("No ood set is left to test on. Choose another one in the sidebar.")
            return
        study = replace(study, ood=kept)
        refs = (study.ind, *kept)
        knots = sorted(set.intersection(*(set(sweeps[ref]) for ref in refs)))
        sweeps = {ref: {e: sweeps[ref][e] for e in knots} for ref in refs}
        plain = {ref: compare(study, ref, sweeps[study.ind][0.0], sweeps[ref][0.0]) for ref in study.ood}
        rows = {ref: open_data(study, ref, root=session.data_root()).rows for ref in refs}
        for words in tuning_checks.notes(study, sweeps, rows, plain):
            st.warning(words, icon=":material/warning:")
        pseudo = tuning_pseudo.stored(study, knots)
        setting, presets = _cockpit(study, sweeps, plain, pseudo)
    tuning_state.remember(setting, presets)
    tuning_exact.compute(study, setting, knots)
    also = {name: weights for name, weights in presets.items() if weights.rule == tuning_presets.PSEUDO}
    with st.expander("All ood sets under this setting, with 95 % confidence intervals", icon=":material/table:"):
        intervals_table(study, sweeps, plain, setting)
    with st.expander("Take the detector with you", icon=":material/download:"):
        export_panel(study, setting, sweeps, plain, also=also)
    with st.expander("Do weights fitted on one ood set hold on another?", icon=":material/grid_on:"):
        transfer_table(study, plain, pseudo.get(0.0))
    tuning_pseudo.compute(study, knots, pseudo)
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


def _cockpit(
    study: Study, sweeps: dict[str, Sweep], plain: dict[str, Comparison], pseudo: Sweep
) -> tuple[Setting, dict[str, Weights]]:
    epsilon, origins = tuning_state.standing(KEY, sorted(sweeps[study.ind]))
    presets = tuning_presets.presets(study, sweeps, plain, epsilon, pseudo=pseudo)
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
    setting = cockpit(
        {e: s.take(rows) for e, s in sweeps[study.ind].items()},
        {
            title_of(ref): {e: s.take(comparison.split.test_ood) for e, s in sweeps[ref].items()}
            for ref, comparison in plain.items()
        },
        presets=presets,
        retired=tuning_presets.retired(presets, origins),
        ind_name=title_of(study.ind),
        tested=tuning_checks.split_words(study, plain),
        examples=_examples(study, plain),
        report=report,
        pins=pins.told(shown),
        pins_left=len(pins.pins()) - len(shown),
        on_pins=change_pins,
        on_open=_open,
        key=KEY,
        **start,
    )
    return setting, presets


def _examples(study: Study, plain: dict[str, Comparison]) -> dict[str, Examples]:
    """The tested images of every set, by the name that the cockpit knows it by."""
    tested = {study.ind: next(iter(plain.values())).split.test_ind}
    tested |= {ref: comparison.split.test_ood for ref, comparison in plain.items()}
    sets = {ref: open_data(study, ref, root=session.data_root()).take(rows) for ref, rows in tested.items()}
    return {title_of(ref): Examples(ref, images.images, images.rows) for ref, images in sets.items()}


def _open(ref: str, row: int) -> None:
    st.switch_page("views/inspect.py", query_params={"set": ref, "row": str(row)})


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
