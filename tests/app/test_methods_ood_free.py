"""The Methods page's card on FSSD without ood labels: the shipped outcome, and the preset's AUROC beside it."""

from __future__ import annotations

import pytest

pytest.importorskip("streamlit")
from streamlit.testing.v1 import AppTest

from fssd_core import ensemble
from fssd_core.assets import assets_root
from fssd_core.bench_open import Asked, open_bench
from fssd_core.bench_run import stored_outcome
from fssd_core.metrics import auroc
from fssd_core.store import Store
from fssd_core.study import Study, compare, layer_scores
from fssd_core.study_pseudo import pseudo_scores
from tests.app.test_views import errors, home, start

__all__ = ["home"]
OURS = "fssd-ood-free"


def shown(app: AppTest) -> dict[str, str]:
    return {m.label: m.value for m in app.metric}


@pytest.mark.parametrize("protocol", ["no-ood-labels", "paper"])
def test_the_card_shows_the_shipped_outcome_beside_the_presets_number(home, protocol):
    app = start("methods", protocol=protocol)
    assert errors(app) == ""
    store, study = Store(assets_root() / "store"), Study()
    asked = Asked("fmnist-mnist", protocol, seed=study.seed)
    outcome = stored_outcome(open_bench(asked), OURS, store=store)
    assert outcome is not None, "python -m fssd_core.assets build --only store --missing"
    assert outcome.facts["labels_used"] == "none"
    found = shown(app)
    assert found[OURS] == f"{outcome.facts['auroc']:.4f}"

    ind, ood = (layer_scores(study, ref, store=store)[0.0] for ref in (study.ind, "mnist"))
    both = compare(study, "mnist", ind, ood)
    weights = ensemble.pseudo_ood(both.fit_ind, pseudo_scores(study, store=store)[0.0])
    expected = auroc(ensemble.combine(both.test_ind, weights), ensemble.combine(both.test_ood, weights))
    assert found["preset pseudo-ood"] == f"{expected:.4f}"


def test_no_card_where_the_detector_was_not_computed(home):
    app = start("methods", against="mnist", step="900")
    assert errors(app) == ""
    assert OURS not in shown(app)
