"""A benchmark's outcomes as one JSON-able report, as a table for a terminal, and as Markdown for the documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fssd_core.bench_run import Bench
from fssd_core.data import DATA
from fssd_core.protocol import PROTOCOLS

Row = Mapping[str, Any]


def report(bench: Bench, rows: Sequence[Row], skipped: Mapping[str, str]) -> dict[str, Any]:
    """The report: what was compared, on which images, the rows, and the detectors that could not run and why.

    A row's `published` holds the paper's percent for the same cell, 'slides' and, where it differs, 'readme'. They are
    left out where another ood set than the benchmark's own was asked for, but not where files stand in for data that is
    not bundled; a caveat says then whose numbers they are.
    """
    row, deal, caveats = bench.row, bench.deal, list(bench.row.caveats)
    own = bench.ood == row.ood
    if not own and row.get and bench.ood not in DATA:
        own = True
        caveats.append(
            f"the ood inputs are those of {deal.test.ood.name}, in place of {row.ood or 'the whole ood set'}, "
            "which the paper's numbers belong to"
        )
    out = []
    for facts in rows:
        name = facts["detector"]
        published = {
            source: list(cells[name])
            for source, cells in (("slides", row.slides), ("readme", row.readme))
            if own and name in cells
        }
        out.append({**facts, "published": published})
    return {
        "benchmark": row.name,
        "title": row.title,
        "protocol": deal.protocol,
        "protocol_means": PROTOCOLS[deal.protocol],
        "model": bench.model.ref,
        "arch": bench.model.arch,
        "paper_network": row.network,
        "train": None if deal.train is None else deal.train.name,
        "ind": deal.test.ind.name,
        "ood": deal.test.ood.name,
        "n_train": 0 if deal.train is None else len(deal.train),
        "n_ind": len(deal.test.ind),
        "n_ood": len(deal.test.ood),
        "seed": bench.seed,
        "noise_samples": bench.noise_samples,
        "notes": list(deal.notes),
        "caveats": caveats,
        "rows": out,
        "skipped": [{"detector": name, "why": why} for name, why in skipped.items()],
    }


def columns(told: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The rows as equally long columns, for a .csv."""
    plain = [
        *("detector", "auroc", "aupr_in", "aupr_out", "fpr80", "fpr95", "ms_per_image", "forwards", "backwards"),
        *("labels_used", "model", "n_ind", "n_ood"),
    ]
    rows = told["rows"]
    out: dict[str, list[Any]] = {
        "benchmark": [told["benchmark"]] * len(rows),
        "protocol": [told["protocol"]] * len(rows),
        **{name: [row[name] for row in rows] for name in plain},
    }
    for name in ("auroc", "fpr80", "fpr95"):
        out[f"{name}_low"] = [row[f"{name}_ci"][0] for row in rows]
        out[f"{name}_high"] = [row[f"{name}_ci"][1] for row in rows]
    out["values"] = [_values(row) for row in rows]
    return out


def text(told: Mapping[str, Any]) -> str:
    """The report for a terminal."""
    lines = [
        f"{told['title']} ({told['benchmark']}), protocol {told['protocol']}: {told['protocol_means']}",
        f"{told['model']}; {told['ind']} ({told['n_ind']} tested) against {told['ood']} ({told['n_ood']}); "
        f"{told['n_train']} training images of {told['train']}; seed {told['seed']}",
        "",
        f"{'detector':<18}{'AUROC [95 %]':<26}{'AUPR-IN':>8}{'AUPR-OUT':>9}{'FPR80':>8}{'FPR95':>8}"
        f"{'ms':>8}{'passes':>8}  paper, %",
    ]
    for row in _ranked(told["rows"]):
        low, high = row["auroc_ci"]
        lines.append(
            f"{row['detector']:<18}{row['auroc']:.4f} [{low:.4f}, {high:.4f}]  {row['aupr_in']:>8.4f}"
            f"{row['aupr_out']:>9.4f}{row['fpr80']:>8.4f}{row['fpr95']:>8.4f}{row['ms_per_image']:>8.2f}"
            f"{row['forwards']:>5}+{row['backwards']:<2}  {_paper(row)}"
        )
    for entry in told["skipped"]:
        lines.append(f"{entry['detector']:<18}not run: {entry['why']}")
    lines += ["", *(f"note: {note}" for note in told["notes"]), *(f"caveat: {note}" for note in told["caveats"])]
    return "\n".join(lines).rstrip()


def markdown(told: Mapping[str, Any]) -> str:
    """The report as a Markdown section for docs/benchmarks.md."""
    lines = [
        f"### {told['title']}, protocol `{told['protocol']}`",
        "",
        f"`{told['model']}` ({told['arch']}; the paper: {told['paper_network']}), {told['n_ind']:,} images of "
        f"`{told['ind']}` against {told['n_ood']:,} of `{told['ood']}`, {told['n_train']:,} training images of "
        f"`{told['train']}`, seed {told['seed']}. Brackets: 95 % bootstrap interval.",
        "",
        "| detector | AUROC | AUPR-IN | AUPR-OUT | FPR80 | FPR95 | passes | ms an image | parameters "
        "| paper (slides; README), % |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in _ranked(told["rows"]):
        low, high = row["auroc_ci"]
        lines.append(
            f"| {row['detector']} | {row['auroc']:.4f} [{low:.4f}, {high:.4f}] | {row['aupr_in']:.4f} | "
            f"{row['aupr_out']:.4f} | {row['fpr80']:.4f} | {row['fpr95']:.4f} | "
            f"{row['forwards']} + {row['backwards']} | {row['ms_per_image']:.2f} | {_values(row) or 'nothing'} | "
            f"{_paper(row)} |"
        )
    lines.append("")
    lines += [f"Not run: {entry['detector']} ({entry['why']})." for entry in told["skipped"]]
    for name, notes in (("Notes", told["notes"]), ("Caveats", told["caveats"])):
        if notes:
            lines.append(f"{name}: {'; '.join(notes)}.")
    return "\n".join(lines).rstrip() + "\n"


def _ranked(rows: Sequence[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: -row["auroc"])


def _values(row: Row) -> str:
    return ", ".join(f"{name} {value}" for name, value in row["values"].items() if name != "members" and value != "")


def _paper(row: Row) -> str:
    published = row["published"]
    cells = [
        "/".join(f"{number:.1f}" for number in published[source])
        for source in ("slides", "readme")
        if source in published
    ]
    return "; ".join(cells)
