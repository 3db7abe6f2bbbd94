"""The measured tables as Markdown: development and the choice by its criterion, then the report on other networks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.ood_free.candidates import CANDIDATES
from benchmarks.ood_free.sets import SEEN

Table = Mapping[str, Mapping[str, float]]  # {score: {set: AUROC}}
OURS = "fssd-ood-free"
NONE: Mapping[str, Any] = {"auroc": {}}
NEAR = 0.002  # candidates this near to the best are as good; the simplest of them is chosen


def criterion(tables: Sequence[Table], name: str) -> float:
    """The rule of the choice: (mean + worst) / 2 over the sets, averaged over the networks."""
    return float(np.mean([(np.mean(row) + np.min(row)) / 2 for row in (list(t[name].values()) for t in tables)]))


def choice(tables: Sequence[Table]) -> str:
    """Of the candidates within NEAR of the largest criterion the one of fewest families, then the first listed."""
    order = {c.name: (len(c.families), number) for number, c in enumerate(CANDIDATES)}
    values = {name: criterion(tables, name) for name in tables[0]}
    best = max(values.values())
    return min(
        (name for name, value in values.items() if best - value <= NEAR), key=lambda name: order.get(name, (0, -1))
    )


def rounded(value: Any) -> Any:
    """The same with every number to 5 decimals, so that what is printed is what is kept."""
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    return round(value, 5) if isinstance(value, float) else value


def compact(value: Any, depth: int = 1) -> str:
    """JSON, one line a score."""
    if not isinstance(value, dict) or not any(isinstance(part, dict) for part in value.values()):
        return json.dumps(value)
    lines = [" " * depth + f"{json.dumps(key)}: {compact(part, depth + 1)}" for key, part in value.items()]
    return "{\n" + ",\n".join(lines) + "\n" + " " * (depth - 1) + "}"


def text(told: Mapping[str, dict]) -> str:
    """Everything that was measured."""
    lines: list[str] = []
    if told["development"]:
        chosen = choice(list(told["development"].values()))
        lines += ["## Development", "", *development(told["development"]), "", f"Chosen: {chosen}", ""]
    for arch in ("lenet", "mlp"):
        nets = [net for net in told["report"] if net.startswith(arch)]
        whole = [
            net for net in nets if net in told["detectors"]
        ]  # while a study is unfinished: these, if there are any
        tables = [{**told["report"][net], **told["detectors"].get(net, NONE)["auroc"]} for net in whole or nets]
        if tables:
            lines += [f"## Report, {arch}, {len(tables)} networks", "", *summary(tables), ""]
            lines += [f"### {arch}, set by set: mean (worst) of the networks", "", *by_set(tables), ""]
    for net, found in told["cifar"].items():
        tables = [{**found["report"], **found["detectors"]["auroc"]}]
        lines += [f"## CIFAR-10, {net}", "", *by_set(tables, every=True), ""]
    skipped = {n: why for net in told["detectors"].values() for n, why in net["skipped"].items()}
    lines += [f"not run: {name} ({why})" for name, why in skipped.items()]
    return "\n".join(lines)


def development(nets: Mapping[str, Table]) -> list[str]:
    """Candidates by the criterion, best first: criterion, mean and worst, each network's criterion, set by set."""
    tables = list(nets.values())
    sets = list(next(iter(tables[0].values())))
    ranked = sorted(tables[0], key=lambda name: -criterion(tables, name))
    lines = [
        f"| candidate | criterion | mean | worst | {' | '.join(nets)} | {' | '.join(sets)} |",
        "|" + "---|" * (4 + len(nets) + len(sets)),
    ]
    for name in ranked:
        rows = np.array([list(t[name].values()) for t in tables])  # (networks, sets)
        numbers = [criterion(tables, name), rows.mean(), rows.min(1).mean()]
        numbers += [criterion([t], name) for t in tables] + list(rows.mean(0))
        lines.append(f"| {_label(name)} | {numbers[0]:.4f} | {' | '.join(f'{n:.3f}' for n in numbers[1:])} |")
    return lines


def summary(tables: Sequence[Table]) -> list[str]:
    """Mean and worst over all sets and networks, and the same over the held-out sets and those seen in development."""
    lines = [
        "| score | mean | worst | held-out mean | held-out worst | seen mean | seen worst |",
        "|---|---|---|---|---|---|---|",
    ]
    sets = list(next(iter(tables[0].values())))
    groups = [sets, [s for s in sets if s not in SEEN], [s for s in sets if s in SEEN]]
    values: dict[str, list[float]] = {}
    for name in tables[0]:
        if any(name not in t for t in tables):
            continue
        values[name] = []
        for group in groups:
            cells = np.array([[t[name][s] for s in group] for t in tables])
            values[name] += [float(cells.mean()), float(cells.min())]
    ranked = sorted(values, key=lambda name: -(values[name][0] + values[name][1]))
    return lines + [f"| {_label(name)} | {' | '.join(f'{v:.3f}' for v in values[name])} |" for name in ranked]


def by_set(tables: Sequence[Table], *, every: bool = False) -> list[str]:
    """AUROC by ood set, the mean of the networks and, where there are several, the worst of them."""
    sets = list(next(iter(tables[0].values())))
    lines = [f"| score | {' | '.join(sets)} |", "|" + "---|" * (1 + len(sets))]
    names = [name for name in tables[0] if all(name in t for t in tables)]
    names.sort(key=lambda name: -np.mean([[t[name][s] for s in sets] for t in tables]))
    for name in names if every else names[:40]:
        cells = np.array([[t[name][s] for s in sets] for t in tables])
        shown = [
            f"{m:.3f}" if len(tables) == 1 else f"{m:.3f} ({w:.3f})"
            for m, w in zip(cells.mean(0), cells.min(0), strict=True)
        ]
        lines.append(f"| {_label(name)} | {' | '.join(shown)} |")
    return lines


def _label(name: str) -> str:
    return f"**{name}**" if name == OURS else name.replace("|z|", "abs z")  # a bar would end the cell
