"""`python -m benchmarks.alpha_rules`: AUROC of every rule for alpha on the demo's seven ood sets, epsilon 0.

Held out: 500 ind and 500 images of each ood set are for fitting, the numbers are measured on the others. `--model`
takes any weight file; `--json` prints the same numbers as JSON.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace

import numpy as np

from fssd_core import ensemble
from fssd_core.metrics import auroc
from fssd_core.store import Store
from fssd_core.study import RULES, Comparison, Study, compare, layer_scores, study_layers, weights_by_rule
from fssd_core.study_pseudo import pseudo_scores
from fssd_core.types import LayerScores

SEVEN = (
    "photo-patches", "uniform-noise", "fmnist-shuffled", "fmnist-inverted", "fmnist-rotated", "mnist", "digits8x8",
)  # fmt: skip


def auroc_by_rule(comparison: Comparison, pseudo: LayerScores, *, seed: int) -> dict[str, float]:
    """{rule: AUROC on the testing rows}; 'last layer' is the last layer's distance alone."""
    layers = comparison.test_ind.layers
    weights = {rule: weights_by_rule(rule, comparison, seed=seed, pseudo=lambda: pseudo) for rule in RULES}
    weights["last layer"] = ensemble.manual(layers, [0.0] * (len(layers) - 1) + [1.0])
    return {
        rule: auroc(ensemble.combine(comparison.test_ind, w), ensemble.combine(comparison.test_ood, w))
        for rule, w in weights.items()
    }


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="demo/lenet")
    parser.add_argument("--ind", default="fmnist:test")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, default=2000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    study = Study(model=options.model, ind=options.ind, ood=SEVEN, samples=options.limit, seed=options.seed)
    store = Store()
    ind = layer_scores(study, study.ind, store=store)[0.0]
    pseudo = pseudo_scores(study, store=store)[0.0]
    found = {}
    for ref in study.ood:
        comparison = compare(replace(study, ood=(ref,)), ref, ind, layer_scores(study, ref, store=store)[0.0])
        found[ref] = auroc_by_rule(comparison, pseudo, seed=study.seed)
    if options.json:
        print(json.dumps({"model": study.model, "layers": study_layers(study), "auroc": found}, indent=1))
        return
    rules = list(found[SEVEN[0]])
    print(f"{study.model}, ind {study.ind}, at most {study.samples} images a set, seed {study.seed}: AUROC\n")
    print(f"{'':<17}" + "".join(f"{rule:>14}" for rule in rules))
    for ref, numbers in found.items():
        print(f"{ref:<17}" + "".join(f"{numbers[rule]:>14.4f}" for rule in rules))
    for name, summary in (("mean", np.mean), ("worst", np.min)):
        print(f"{name:<17}" + "".join(f"{summary([n[rule] for n in found.values()]):>14.4f}" for rule in rules))


if __name__ == "__main__":
    main()
