"""Measured rows of Table 2 whose data may not ship: reports of `fssd bench --out FILE.json`, shortened, as one asset.

`python -m fssd_core.table2 REPORT.json ...` writes assets/table2.json; `python -m fssd_core.assets hashes` comes next.
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the asset from reports."""
    parser = argparse.ArgumentParser(prog="python -m fssd_core.table2", description=__doc__)
    parser.add_argument("reports", nargs="+", type=Path, metavar="REPORT.json")
    try:
        tables = [read_report(path) for path in parser.parse_args(arguments).reports]
    except FssdError as error:
        print(error, file=sys.stderr)
        return 2
    lines = ",\n".join(json.dumps(table, separators=(",", ":")) for table in tables)
    write_bytes(assets_root() / SHIPPED, f"[{lines}]\n".encode())
    return 0


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DIGITS)
    return [_rounded(v) for v in value] if isinstance(value, list) else value


if __name__ == "__main__":
    raise SystemExit(main())
