"""Measured rows of Table 2 whose data may not ship: reports of `fssd bench --out FILE.json`, shortened, as one asset.

`python -m fssd_core.table2 REPORT.json ...` writes assets/table2.json; `python -m fssd_core.assets hashes` comes next.
Without a report it prints the tables of docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fssd_core.assets import assets_root
from fssd_core.atomic import write_bytes
from fssd_core.errors import DataError, FssdError

SHIPPED = "table2.json"
SAID = (
    *("benchmark", "title", "protocol", "model", "arch", "paper_network", "n_train", "n_ind", "n_ood", "seed"),
    *("notes", "caveats", "skipped"),
)
NUMBERS = ("detector", "auroc", "auroc_ci", "aupr_in", "aupr_out", "fpr80", "fpr95", "published")
DIGITS = 4


def shortened(told: Mapping[str, Any]) -> dict[str, Any]:
    """A report (`bench_report.report`) with what a table shows, to four digits, best AUROC first."""
    rows = sorted(told["rows"], key=lambda row: -row["auroc"])
    return {
        **{name: told[name] for name in SAID},
        "rows": [{name: _rounded(row[name]) for name in NUMBERS} for row in rows],
    }


def read_report(path: Path) -> dict[str, Any]:
    """The report that `fssd bench --out FILE.json` wrote.

    Raises:
        DataError: no such file, or another content.
    """
    try:
        return shortened(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} holds no report of `fssd bench NAME --out FILE.json` ({error})") from error


def shipped_tables() -> list[dict[str, Any]]:
    """The measured tables, in the order in which they were given; none where the asset is missing."""
    path = assets_root() / SHIPPED
    tables: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return tables


def markdown(tables: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """{benchmark: its table}, the protocols side by side, best AUROC of the first protocol at the top."""
    out = {}
    for name in dict.fromkeys(table["benchmark"] for table in tables):
        both = {table["protocol"]: table for table in tables if table["benchmark"] == name}
        head = [f"{protocol}: AUROC | FPR80 | FPR95" for protocol in both]
        lines = [f"| detector | {' | '.join(head)} | paper (slides), % |", "|" + "---|" * (2 + 3 * len(both))]
        found = {protocol: {row["detector"]: row for row in table["rows"]} for protocol, table in both.items()}
        for detector in dict.fromkeys(key for rows in found.values() for key in rows):
            cells = [_cells(rows.get(detector)) for rows in found.values()]
            row = next(rows[detector] for rows in found.values() if detector in rows)
            slides = "/".join(f"{number:.1f}" for number in row["published"].get("slides", ()))
            lines.append(f"| {detector} | {' | '.join(cells)} | {slides} |")
        out[name] = "\n".join(lines)
    return out


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the asset from reports, or prints it."""
    parser = argparse.ArgumentParser(prog="python -m fssd_core.table2", description=__doc__)
    parser.add_argument("reports", nargs="*", type=Path, metavar="REPORT.json")
    try:
        tables = [read_report(path) for path in parser.parse_args(arguments).reports]
    except FssdError as error:
        print(error, file=sys.stderr)
        return 2
    if not tables:
        print("\n\n".join(f"{name}\n\n{table}" for name, table in markdown(shipped_tables()).items()))
        return 0
    lines = ",\n".join(json.dumps(table, separators=(",", ":")) for table in tables)
    write_bytes(assets_root() / SHIPPED, f"[{lines}]\n".encode())
    return 0


def _cells(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "not run | | "
    low, high = row["auroc_ci"]
    return f"{row['auroc']:.3f} [{low:.3f}, {high:.3f}] | {row['fpr80']:.3f} | {row['fpr95']:.3f}"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DIGITS)
    return [_rounded(v) for v in value] if isinstance(value, list) else value


if __name__ == "__main__":
    raise SystemExit(main())
