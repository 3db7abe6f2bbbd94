"""The universality table in words: what holds in how many cells, computed from the numbers, and where it fails."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fssd_core.assets import assets_root
from fssd_core.atomic import write_bytes
from fssd_core.errors import DataError
from fssd_core.summary import INVERTED, UNINFORMATIVE
from fssd_core.universality import IND, OOD, TRAINED_ON, VERSION, Budget, CellResult

BY_CONSTRUCTION = "uniform-noise"  # F* is the mean feature of such noise
SHIPPED = "universality.json"
COMMAND = "fssd universality --results assets/universality.json --markdown docs/universality.md"


@dataclass(frozen=True)
class Claim:
    """How often an ood set lies nearer to F* in the deepest layer that was trained, over some cells.

    Attributes:
        about: what the cells have in common ('all', 'mnist', 'loss triplet', 'tanh' ...).
        total: comparisons, one a cell and ood set.
        near: with an AUROC above 0.55: nearer to F* than ind.
        inverted: with an AUROC below 0.45: farther from F* than ind.
        moved: nearer to F*, against ind, than in the untrained network: the ratio of mean distances fell.
    """

    about: str
    total: int
    near: int
    inverted: int
    moved: int

    @property
    def words(self) -> str:
        """The claim as a sentence's end."""
        return (
            f"nearer to F* than ind in {self.near} of {self.total}, farther in {self.inverted}; training brought it "
            f"nearer in {self.moved} of {self.total}"
        )


def claims(results: Sequence[CellResult]) -> list[Claim]:
    """One claim over everything, then by ood set, loss, architecture and activation; uniform noise by itself only.

    Uniform noise lies near F* by construction, so it is left out of every claim but its own.
    """
    whole = [r for r in results if not r.error]
    counted = [name for name in OOD if name != BY_CONSTRUCTION]
    out = [_claim("all", whole, counted)]
    out += [_claim(name, whole, [name]) for name in OOD]
    parts: list[tuple[str, Callable[[CellResult], str]]] = [
        ("loss", lambda r: r.cell.loss),
        ("arch", lambda r: r.cell.arch),
        ("activation", lambda r: r.cell.activation),
    ]
    for what, of in parts:
        for value in dict.fromkeys(of(r) for r in whole):
            out.append(_claim(f"{what} {value}", [r for r in whole if of(r) == value], counted))
    return out


def failures(results: Sequence[CellResult]) -> list[tuple[CellResult, str]]:
    """(cell, ood set) where ood does not lie nearer to F* than ind in the deepest layer: AUROC at most 0.55."""
    return [(r, name) for r in results if not r.error for name in OOD if r.auroc[name][-1] <= UNINFORMATIVE]


def write_results(path: Path, results: Sequence[CellResult], budget: Budget) -> None:
    """Writes the results as JSON, whole or not at all."""
    write_bytes(path, (to_text(results, budget) + "\n").encode())


def to_text(results: Sequence[CellResult], budget: Budget) -> str:
    """The results as one JSON object, one network a line."""
    head = {
        "version": VERSION,
        "trained_on": TRAINED_ON,
        "ind": IND,
        "ood": list(OOD),
        "budget": dataclasses.asdict(budget),
        "torch": str(torch.__version__),
        "claims": [dataclasses.asdict(c) for c in claims(rounded(results))],
    }
    lines = ["{", *(f" {json.dumps(name)}: {json.dumps(value)}," for name, value in head.items()), ' "cells": [']
    cells = ",\n".join(f"  {json.dumps(r.to_json())}" for r in rounded(results))
    return "\n".join([*lines, cells, " ]", "}"])


def rounded(results: Sequence[CellResult]) -> list[CellResult]:
    """The results with the four digits that files keep, so that every report says the same."""
    return [CellResult.from_json(_rounded(r.to_json())) for r in results]


def read_results(path: Path) -> tuple[list[CellResult], Budget]:
    """(results, budget) of `write_results`.

    Raises:
        DataError: no such file, or another content.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["version"] != VERSION:
            raise ValueError(f"version {content['version']}, this program reads {VERSION}")
        return [CellResult.from_json(c) for c in content["cells"]], Budget(**content["budget"])
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} holds no results of `fssd universality` ({error})") from error


def shipped_results() -> tuple[list[CellResult], Budget]:
    """Our own measured table."""
    return read_results(assets_root() / SHIPPED)


def table_text(results: Sequence[CellResult], budget: Budget) -> str:
    """A table for a terminal: AUROC of the deepest trained layer, the untrained network's in brackets."""
    width = max((len(r.cell.title) for r in results), default=0)
    lines = [f"AUROC of ||F - F*|| in the deepest trained layer (untrained in brackets); {budget_words(budget)}", ""]
    lines.append(f"{'':<{width}}  accuracy  " + "  ".join(f"{name:>15}" for name in OOD))
    for r in results:
        if r.error:
            lines.append(f"{r.cell.title:<{width}}  {r.error}")
            continue
        cells = (f"{r.auroc[n][-1]:.3f} ({r.auroc_untrained[n][-1]:.3f})" for n in OOD)
        lines.append(f"{r.cell.title:<{width}}  {r.accuracy:8.3f}  " + "  ".join(f"{c:>15}" for c in cells))
    lines += ["", *(f"{c.about:<22} {c.words}" for c in claims(results))]
    return "\n".join(lines)


def budget_words(budget: Budget) -> str:
    """'10,000 images x 4 epochs, batch 64, adamw, lr 0.001 x 0.7 an epoch'."""
    return (
        f"{budget.images:,} images x {budget.epochs} epochs, batch {budget.batch_size}, {budget.optimiser}, "
        f"lr {budget.lr:g} x {budget.gamma:g} an epoch"
    )


def markdown(results: Sequence[CellResult], budget: Budget) -> str:
    """The report of docs/universality.md."""
    return "\n".join(_markdown(results, budget)) + "\n"


def _markdown(results: Sequence[CellResult], budget: Budget) -> Iterator[str]:
    said = {c.about: c for c in claims(results)}
    whole_words = said["all"].words.replace("F*", "F\\*")
    seeds = ", ".join(str(s) for s in sorted({r.cell.seed for r in results}))
    yield "# Universality: does ood concentrate whatever is trained?"
    yield ""
    yield f"Written by `{COMMAND}`;"
    yield "the numbers were measured by `fssd universality --out assets/universality.json` (it keeps every network's"
    yield "numbers, so it can be stopped and goes on). Change nothing here by hand."
    yield ""
    yield f"{len(results)} networks, seed {seeds}. Each had the same budget: {budget_words(budget)},"
    yield "no augmentation except the two views of instance discrimination, plain pixels, no dropout, one CPU thread."
    yield f"Trained on `{TRAINED_ON}`, measured on {budget.measured:,} images each of `{IND}` and the ood sets,"
    yield f"F\\* from {budget.noise} noise images, epsilon 0. *Deepest layer*: the logits, or the last hidden layer for"
    yield "triplet and instance discrimination, which do not train the logits."
    yield ""
    yield "## What holds"
    yield ""
    yield f"Over `{'`, `'.join(n for n in OOD if n != BY_CONSTRUCTION)}` (uniform noise lies near F\\* by"
    yield f"construction and is not counted): ood is **{whole_words}** comparisons."
    yield ""
    yield "| | comparisons | nearer than ind (AUROC > 0.55) | farther (AUROC < 0.45) | nearer than untrained |"
    yield "|---|---|---|---|---|"
    for claim in claims(results):
        yield f"| {claim.about} | {claim.total} | {claim.near} | {claim.inverted} | {claim.moved} |"
    yield ""
    yield "## AUROC in the deepest trained layer"
    yield ""
    yield "The untrained network's in brackets; **✗**: ood does not lie nearer (AUROC at most 0.55)."
    yield ""
    yield from _grid(results, lambda r, n: f"{_mark(r, n)}{r.auroc[n][-1]:.2f} ({r.auroc_untrained[n][-1]:.2f})")
    yield ""
    yield "## Mean distance over the ind mean in the deepest trained layer"
    yield ""
    yield "Untrained → trained; below 1: nearer to F\\* than ind."
    yield ""
    yield from _grid(results, lambda r, n: f"{r.ratio_untrained[n][-1]:.2f} → {r.ratio[n][-1]:.2f}")
    yield ""
    yield "## All layers"
    yield ""
    yield "AUROC layer by layer, from the input to the deepest trained layer."
    yield ""
    yield from _grid(results, lambda r, n: " ".join(f"{a:.2f}".lstrip("0") for a in r.auroc[n]), accuracy=False)


def _grid(
    results: Sequence[CellResult], cell: Callable[[CellResult, str], str], *, accuracy: bool = True
) -> Iterator[str]:
    head = ["architecture", "activation", "loss", *(["accuracy"] if accuracy else []), *OOD]
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for r in results:
        start = [r.cell.arch, r.cell.activation, r.cell.loss + (f", seed {r.cell.seed}" if r.cell.seed else "")]
        if r.error:
            yield f"| {' | '.join(start)} | failed: {r.error} |" + " |" * (len(head) - 4)
            continue
        middle = [f"{r.accuracy:.3f}" + ("" if r.accuracy_by == "logits" else " (class means)")] if accuracy else []
        yield f"| {' | '.join([*start, *middle, *(cell(r, n) for n in OOD)])} |"


def _mark(result: CellResult, name: str) -> str:
    return "**✗** " if result.auroc[name][-1] <= UNINFORMATIVE else ""


def _claim(about: str, results: Sequence[CellResult], names: Sequence[str]) -> Claim:
    pairs = [(r, n) for r in results for n in names]
    return Claim(
        about,
        len(pairs),
        sum(r.auroc[n][-1] > UNINFORMATIVE for r, n in pairs),
        sum(r.auroc[n][-1] < INVERTED for r, n in pairs),
        sum(r.ratio[n][-1] < r.ratio_untrained[n][-1] for r, n in pairs),
    )


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    return value
