"""The report's tables: whose labels, results, layers, transferred weights, counts at the threshold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

import numpy as np

from fssd_core.report_charts import colour
from fssd_core.report_types import Report
from fssd_core.summary import INVERTED, UNINFORMATIVE
from fssd_core.transfer import in_words


def labels_table(report: Report) -> str:
    """Alpha, epsilon and threshold, each with the ood labels behind it."""
    used = {
        "alpha": report.weights.labels,
        "epsilon": report.chosen.epsilon_labels,
        "threshold": report.chosen.threshold_labels,
    }
    rows = [[_head(name), f'<td class="words">{escape(labels)}</td>'] for name, labels in used.items()]
    caption = (
        "Everything below was measured on images that alpha was not fitted on. Where labels of an ood set were used, "
        "the numbers on that set say nothing about another one."
    )
    return _table(["", "ood labels used"], rows, kind="said") + f'<p class="caption">{caption}</p>\n'


def results_table(report: Report) -> str:
    """Every ood set's numbers with their intervals."""
    rows = []
    for index, (name, found) in enumerate(report.measured.items()):
        numbers, around = found.metrics, found.intervals
        shares = [_cell(f"{getattr(numbers, m):.4f}", around.get(m), ".4f") for m in ("auroc", "aupr_in", "aupr_out")]
        if numbers.auroc < 0.5:
            shares[0] = shares[0].replace("<td>", '<td class="bad">')
        rates = {"fpr80": numbers.fpr80, "fpr95": numbers.fpr95, "fpr": found.fpr}
        ratio = f"<td>{numbers.n_ind:,} : {numbers.n_ood:,}</td>"
        cells = [_cell(percent(value), around.get(m), "%") for m, value in rates.items()]
        rows.append([_head(_key(index) + escape(name)), ratio, *shares, *cells])
    heads = ["ood", "ind : ood", "AUROC", "AUPR-IN", "AUPR-OUT", "FPR80", "FPR95", "FPR at the threshold"]
    caption = (
        "In-distribution is the positive class; FPR80 and FPR95: ood accepted where 80 or 95 % of ind is. Small: 95 % "
        f"bootstrap intervals. AUPR depends on the ratio ind : ood. TPR at the threshold {_tpr(report)}."
    )
    return _table(heads, rows) + f'<p class="caption">{caption}</p>\n'


def _tpr(report: Report) -> str:
    found = next(iter(report.measured.values()))
    low, high = found.intervals["tpr"]
    return f"{percent(found.tpr)} ({percent(low)} to {percent(high)})"


def layers_table(report: Report) -> str:
    """alpha of every layer, and what its distance alone is worth."""
    top = max(abs(a) for a in report.weights.alpha)
    rows = []
    for layer, alpha in zip(report.weights.layers, report.weights.alpha, strict=True):
        share, minus = 50 * abs(alpha) / top, ' class="minus"' if alpha < 0 else ""
        left = 50 - share if alpha < 0 else 50
        bar = f'<span class="bar"><i{minus} style="left:{left:.1f}%;width:{share:.1f}%"></i></span>'
        alone = [_layer_cell(values[layer]) for values in report.layers.values()]
        rows.append([_head(escape(layer)), f"<td>{alpha:+.5g}</td>", f"<td>{bar}</td>", *alone])
    heads = ["layer", "alpha", "", *(f"{_key(i)}{escape(name)}" for i, name in enumerate(report.layers))]
    return _table(heads, rows) + f'<p class="caption">AUROC of one layer\'s distance alone. {_odd_words(report)}</p>\n'


def _layer_cell(value: float) -> str:
    if value < INVERTED:
        return f'<td><span class="bad">{value:.3f}</span><small>inverted</small></td>'
    return f"<td>{value:.3f}" + ("<small>uninformative</small>" if value < UNINFORMATIVE else "") + "</td>"


def _odd_words(report: Report) -> str:
    told = []
    for name, layers in report.odd_layers().items():
        if inverted := [layer for layer, kind in layers.items() if kind == "inverted"]:
            told.append(f"On {escape(name)} ood lies farther from F* than ind in {listed(map(escape, inverted))}")
    if not told:
        return "No layer is inverted on these sets."
    return ". ".join(told) + ". There the theory fails: alone, such a layer helps only with a negative alpha."


def matrix_table(report: Report) -> str:
    """AUROC of every rule for alpha on every ood set."""
    found = report.transfer
    assert found is not None
    rows, own_class = [], ' class="own"'
    for rule, values, own in zip(found.rules, found.auroc, found.own, strict=True):
        cells = []
        for value, mine in zip(values, own, strict=True):
            ink, share = ("var(--high)", value - 0.5) if value >= 0.5 else ("var(--low)", 0.5 - value)
            style = f"background:rgba({ink},{0.1 + 0.9 * share:.2f})"
            cells.append(f'<td{own_class if mine else ""} style="{style}">{value:.3f}</td>')
        rows.append([_head(escape(rule)), *cells])
    heads = ["alpha", *(escape(name) for name in found.tested)]
    caption = f"AUROC; framed: alpha saw labels of that very set. {escape(in_words(found))}"
    return _table(heads, rows, kind="matrix") + f'<p class="caption">{caption}</p>\n'


def confusion_table(report: Report) -> str:
    """Counts at the threshold, and what they mean at the stated prevalence."""
    choice = report.chosen.choice
    first = next(iter(report.counts.values()))
    rows = [
        [
            _head(_key(-1) + escape(report.ind_name)),
            f"<td>{first.tp + first.fn:,}</td>",
            *(_counted(first.tp, first.tpr), _counted(first.fn, first.fnr)),
            '<td colspan="4"></td>',
        ]
    ]
    for index, (name, counts) in enumerate(report.counts.items()):
        seen = report.outlooks[name]
        rows.append(
            [
                _head(_key(index) + escape(name)),
                f"<td>{counts.fp + counts.tn:,}</td>",
                *(_counted(counts.fp, counts.fpr), _counted(counts.tn, counts.tnr)),
                *(f"<td>{_number(choice.images * share)}</td>" for share in (seen.missed, seen.false_alarms)),
                *(f"<td>{_number(1000 * share)}</td>" for share in (seen.ood_among_accepted, seen.ind_among_rejected)),
            ]
        )
    heads = [
        "set", "images", "accepted as ind", "rejected as ood", "ood missed a day", "false alarms a day",
        "ood in 1,000 accepted", "ind in 1,000 rejected",
    ]  # fmt: skip
    caption = (
        f"The four columns on the right: expected among {choice.images:,.6g} images a day of which "
        f"{percent(choice.prevalence)} are ood of that kind (the stated prevalence, not the test ratio)."
    )
    return _table(heads, rows, kind="counts") + f'<p class="caption">{caption}</p>\n'


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, kind: str = "") -> str:
    top = "".join(f'<th scope="col">{head}</th>' for head in heads)
    body = "".join(f"<tr>{''.join(row)}</tr>\n" for row in rows)
    where = f' class="{kind}"' if kind else ""
    return f'<div class="scroll"><table{where}>\n<thead><tr>{top}</tr></thead>\n<tbody>{body}</tbody></table></div>\n'


def _head(inside: str) -> str:
    return f'<th scope="row">{inside}</th>'


def _cell(value: str, interval: tuple[float, float] | None, form: str) -> str:
    if interval is None:
        return f"<td>{value}</td>"
    low, high = (percent(v).removesuffix(" %") if form == "%" else format(v, form) for v in interval)
    return f"<td>{value}<small>{low} to {high}</small></td>"


def _counted(count: int, share: float) -> str:
    return f"<td>{count:,}<small>{percent(share)}</small></td>"


def _key(index: int) -> str:
    return f'<span class="key" style="color:{colour(index)}"></span>'


def listed(parts: Iterable[str]) -> str:
    """'a, b and c'; at least one part."""
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def _number(value: float) -> str:
    """Three digits that count, never as a power of ten; 'none' where undefined."""
    if np.isnan(value):
        return "none"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def percent(share: float) -> str:
    """12.3 %; two decimals near 0 and 100, where they matter."""
    near = min(abs(share), abs(1 - share))
    return f"{100 * share:.{2 if 0 < near < 0.01 else 1}f} %"
