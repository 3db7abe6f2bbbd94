"""`python -m benchmarks.performance`: writes the tables of docs/performance.md from benchmarks/results/engine-*.json.

Everything between the page's two marks is made here; a test compares the page with the JSON.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "performance.md"
RESULTS = ROOT / "benchmarks" / "results"
BEGIN, END = "<!-- tables: made by python -m benchmarks.performance -->", "<!-- end of the tables -->"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def tables(report: dict[str, Any]) -> str:
    """All tables of one report of `benchmarks.engine`."""
    parts = [_machine(report), _one(report), _sweep(report), _approximate(report), _agreement(report), _rest(report)]
    return "\n\n".join(part for part in parts if part)


def page(text: str, reports: Sequence[dict[str, Any]]) -> str:
    """The page with the tables of these reports between its marks."""
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    return before + BEGIN + "\n\n" + "\n\n".join(tables(r) for r in reports) + "\n\n" + END + after


def reports() -> list[dict[str, Any]]:
    """The kept reports, by file name."""
    return [json.loads(path.read_text()) for path in sorted(RESULTS.glob("engine-*.json"))]


def _seconds(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _machine(report: dict[str, Any]) -> str:
    m = report["machine"]
    where = m["gpu"] or f"{m['cpu']}, {m['cores']} cores, one thread used"
    bfloat16 = bool(m["bfloat16 in the processor"] or m["gpu"])
    return (
        f"### {where}, {'with' if bfloat16 else 'without'} bfloat16\n\n"
        f"Python {m['python']}, torch {m['torch']}, NumPy {m['numpy']}; {m['date']}, commit `{m['commit'][:10]}`"
        f"{' (with changes)' if m['tree changed'] else ''}; load {report['load before']:.1f} before and "
        f"{report['load after']:.1f} after; {report['seconds in all']:.0f} s in all."
    )


def _one(report: dict[str, Any]) -> str:
    rows = []
    for case in report["cases"]:
        s, r = case["seconds"], case["ratios"]
        rows.append(
            [
                case["name"], case["images"], _seconds(s["msp"]), _seconds(s["ours, epsilon 0"]),
                f"{r['epsilon 0 over msp']:.2f}", _seconds(s["floor, 1 epsilon"]), _seconds(s["ours, 1 epsilon"]),
                f"{r['ours over floor, 1 epsilon']:.2f}", _seconds(s["authors, 1 epsilon"]),
                f"**{r['authors over ours, 1 epsilon']:.2f}**", f"{case['largest relative difference']:.0e}",
            ]
        )  # fmt: skip
    head = [
        "one epsilon", "images", "MSP, s", "epsilon 0, s", "epsilon 0 / MSP", "floor, s", "ours, s", "ours / floor",
        "authors, s", "authors / ours", "largest difference",
    ]  # fmt: skip
    return table(head, rows)


def _sweep(report: dict[str, Any]) -> str:
    rows = []
    for case in report["cases"]:
        if (sweep := case.get("sweep")) is not None:
            s = sweep["seconds"]
            rows.append(
                [
                    case["name"], sweep["images"], _seconds(s["floor"]), _seconds(s["ours"]),
                    f"{sweep['ours over floor']:.2f}", _seconds(s["authors"]), f"**{sweep['authors over ours']:.2f}**",
                ]
            )  # fmt: skip
    return table(["22 epsilons", "images", "floor, s", "ours, s", "ours / floor", "authors, s", "authors / ours"], rows)


def _approximate(report: dict[str, Any]) -> str:
    rows = []
    for case in report["cases"]:
        fast, sweep = case["bfloat16"], case.get("sweep") or {}
        worst = fast["largest difference by layer"]
        rows.append(
            [
                case["name"], f"{case['ratios']['authors over shared, 1 epsilon']:.2f}",
                _times(sweep, "authors over shared"),
                f"{fast['float32 over bfloat16']:.2f}", f"{fast['authors over bfloat16']:.2f}",
                _times(sweep, "authors over bfloat16"),
                ", ".join(f"{layer} {100 * value:.2f} %" for layer, value in worst.items()),
            ]
        )  # fmt: skip
    head = [
        "approximations", "authors / shared perturbation", "the same, 22 epsilons", "float32 / bfloat16",
        "authors / bfloat16", "the same, 22 epsilons", "bfloat16: largest difference of a distance",
    ]  # fmt: skip
    return table(head, rows)


def _times(sweep: dict[str, Any], name: str) -> str:
    return f"{sweep[name]:.1f}" if name in sweep else ""


def _agreement(report: dict[str, Any]) -> str:
    rows = []
    for name, modes in report["agreement"]["auroc"].items():
        for mode, values in modes.items():
            rows.append([name, mode, *(f"{value:.4f}" for value in values.values())])
    columns = list(next(iter(report["agreement"]["auroc"].values()))["exact"])
    return table([f"AUROC, {report['agreement']['images']} + {report['agreement']['images']}", "mode", *columns], rows)


def _rest(report: dict[str, Any]) -> str:
    fast = table(["fast half", "milliseconds"], [[k, f"{v:.2f}"] for k, v in report["fast half"].items()])
    head = ["images scored (first case)", "MiB added to the peak", "peak of the process, MiB"]
    rows = [[row["images"], row["added MiB"], row["peak MiB"]] for row in report["memory"]]
    return f"{fast}\n\n{table(head, rows)}"


def main() -> None:
    """Rewrites the page."""
    PAGE.write_text(page(PAGE.read_text(), reports()))
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
