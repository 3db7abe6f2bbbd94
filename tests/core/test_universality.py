"""The universality lab: measured right, kept, claims counted by hand, and the shipped table is what the code gives."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from fssd_core import universality
from fssd_core.data import load_data
from fssd_core.errors import DataError, InputError, ModelError
from fssd_core.runtime import generator
from fssd_core.singularity import uniform_noise
from fssd_core.store import Store
from fssd_core.training import build
from fssd_core.universality import ARCH_NAMES, OOD, Budget, Cell, CellResult, all_cells, measure_cell, measure_cells
from fssd_core.universality_report import (
    claims,
    failures,
    markdown,
    read_results,
    shipped_results,
    table_text,
    write_results,
)

TINY = Budget(images=160, epochs=1, batch_size=16, measured=40, noise=10)
DOCS = Path(__file__).parents[2] / "docs" / "universality.md"


def sets() -> dict:
    return {ref: load_data(ref) for ref in (universality.TRAINED_ON, universality.IND, *OOD)}


def test_the_untrained_numbers_are_those_of_the_network_itself():
    result = measure_cell(Cell("mlp", "tanh", "l2", seed=3), TINY, sets(), device="cpu")
    module = build("mlp", classes=10, input_shape=(1, 28, 28), generator=generator(3), activation="tanh").eval()
    noise = uniform_noise((1, 28, 28), 10, generator=generator(3))
    with torch.no_grad():
        fss = module.fc1(noise.flatten(1)).double().mean(0)
        distance = {
            ref: np.linalg.norm(
                module.fc1(load_data(ref).sample(40, seed=3).tensor().flatten(1)).double().numpy() - fss.numpy(), axis=1
            )
            for ref in ("fmnist:test", "mnist")
        }
    assert result.layers == ("fc1", "fc2", "logits")
    assert result.ratio_untrained["mnist"][0] == pytest.approx(
        distance["mnist"].mean() / distance["fmnist:test"].mean(), rel=1e-5
    )
    both = np.r_[distance["fmnist:test"], distance["mnist"]]
    assert result.auroc_untrained["mnist"][0] == pytest.approx(roc_auc_score([1] * 40 + [0] * 40, both), abs=1e-9)
    assert result.auroc["mnist"] != result.auroc_untrained["mnist"]
    assert result.accuracy_by == "logits"
    assert list(result.auroc) == list(OOD)


@pytest.mark.parametrize("loss", ["triplet", "instance"])
def test_a_loss_that_does_not_train_the_logits_leaves_them_out(loss):
    result = measure_cell(Cell("mlp", "relu", loss), TINY, sets(), device="cpu")
    assert result.layers == ("fc1", "fc2")
    assert result.accuracy_by == "class means"
    assert 0.2 < result.accuracy <= 1


def test_results_are_kept_and_a_failed_network_is_a_hole(tmp_path, monkeypatch):
    made: list[Cell] = []
    whole = measure_cell

    def counted(cell: Cell, *args: object, **options: object) -> CellResult:
        made.append(cell)
        if cell.activation == "tanh":
            raise ModelError("the training loss is not finite at step 3")
        return whole(cell, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(universality, "measure_cell", counted)
    cells = [Cell("mlp", "relu", "l2"), Cell("mlp", "tanh", "l2"), Cell("mlp", "relu", "triplet")]
    store = Store(tmp_path)
    first = list(measure_cells(cells, TINY, store=store, device="cpu"))
    assert [r.error for r in first] == ["", "the training loss is not finite at step 3", ""]
    again = list(measure_cells(cells, TINY, store=store, device="cpu"))
    assert made == [*cells, cells[1]], "whole results come from the store, the hole is tried again"
    assert [r.to_json() for r in again] == [r.to_json() for r in first]
    assert len(list(measure_cells(cells, Budget(images=80, epochs=1, measured=20), store=store))) == 3
    assert len(made) == 7, "another budget is another result"
    write_results(tmp_path / "out.json", first, TINY)
    read, budget = read_results(tmp_path / "out.json")
    assert budget == TINY
    assert [r.cell for r in read] == cells
    assert read[0].auroc["mnist"] == pytest.approx(first[0].auroc["mnist"], abs=5e-5)
    for text in (table_text(read, budget), markdown(read, budget)):
        assert "not finite at step 3" in text


def made(auroc: float, before: float, ratio: float, ratio_before: float, **cell: str) -> CellResult:
    numbers = [{name: [0.5, value] for name in OOD} for value in (auroc, ratio, before, ratio_before)]
    return CellResult(Cell(**{"arch": "mlp", "activation": "relu", "loss": "l2"} | cell), ("a", "b"), *numbers)  # type: ignore[arg-type]


def test_claims_are_counted_over_the_deepest_layer():
    results = [
        made(0.9, 0.4, 0.3, 1.1),
        made(0.56, 0.9, 0.9, 0.8, activation="tanh"),
        made(0.5, 0.4, 0.95, 1.1, loss="triplet"),
        made(0.2, 0.4, 1.4, 1.1, loss="triplet", arch="lenet"),
        CellResult(Cell("lenet", "tanh", "l2"), error="diverged"),
    ]
    said = {c.about: (c.total, c.near, c.inverted, c.moved) for c in claims(results)}
    assert said["all"] == (16, 8, 4, 8)  # 4 networks, 4 sets: uniform noise is not counted
    assert said["mnist"] == said["uniform-noise"] == (4, 2, 1, 2)
    assert said["loss triplet"] == (8, 0, 4, 4)
    assert said["arch lenet"] == (4, 0, 4, 0)
    assert said["activation tanh"] == (4, 4, 0, 0)
    assert [(r.cell.arch, name) for r, name in failures(results)] == [(a, n) for a in ("mlp", "lenet") for n in OOD]
    assert "nearer to F* than ind in 8 of 16, farther in 4; training brought it nearer in 8 of 16" in table_text(
        results, TINY
    )


def test_files_that_are_no_results(tmp_path):
    for content in ("", "[]", '{"version": 99}', '{"version": 1, "cells": [{}], "budget": {}}'):
        (tmp_path / "x.json").write_text(content)
        with pytest.raises(DataError, match="holds no results"):
            read_results(tmp_path / "x.json")
    with pytest.raises(DataError, match="cannot be read"):
        read_results(tmp_path / "none.json")


def test_cells_that_cannot_be():
    for names, message in (
        (("mpl", "relu", "l2"), "did you mean 'mlp'"),
        (("mlp", "gelu", "l2"), "activation"),
        (("mlp", "relu", "l1"), "no loss 'l1'"),
    ):
        with pytest.raises(InputError, match=message):
            Cell(*names)


# --- what ships


def test_the_shipped_table_is_whole_and_says_what_fails():
    results, budget = shipped_results()
    archs = [name for name in ARCH_NAMES if name in {r.cell.arch for r in results}]
    assert [r.cell for r in results] == all_cells(archs)
    assert len(results) >= 32
    assert budget == Budget()
    for r in results:
        assert r.error or (set(r.auroc) == set(OOD) and all(len(v) == len(r.layers) for v in r.auroc.values()))
    stated = json.loads((universality_file()).read_text())["claims"]
    assert [c["near"] for c in stated] == [c.near for c in claims(results)]


def universality_file() -> Path:
    from fssd_core.assets import assets_root

    return assets_root() / "universality.json"


def test_the_document_is_what_the_command_writes_from_the_shipped_table():
    assert DOCS.read_text(encoding="utf-8") == markdown(*shipped_results())


def test_a_shipped_network_can_be_reproduced():
    results, budget = shipped_results()
    shipped = next(r for r in results if r.cell == Cell("mlp", "relu", "cross-entropy"))
    again = measure_cell(shipped.cell, budget, sets(), device="cpu")
    for name in OOD:
        assert again.auroc_untrained[name] == pytest.approx(shipped.auroc_untrained[name], abs=0.001)
        assert again.auroc[name] == pytest.approx(shipped.auroc[name], abs=0.05), (
            "another CPU may train another last digit"
        )
    assert again.accuracy == pytest.approx(shipped.accuracy, abs=0.02)
