// The numbers: tiles, the confusion table in words, and what must be explained in place.
import { count, h, percent, setStyle, setText, share, short } from "./dom.js";

const TILES = [
  ["auroc", "AUROC", share],
  ["auprIn", "AUPR-IN", share],
  ["auprOut", "AUPR-OUT", share],
  ["fpr80", "FPR80", percent],
  ["fpr95", "FPR95", percent],
  ["detectionError", "Detection error", percent],
];

export class Tiles {
  constructor() {
    this.tiles = TILES.map(([key, name, format]) => {
      const value = h("b", { "data-metric": key });
      const note = h("span", {});
      return { key, format, value, note, element: h("div", { class: "tile" }, h("em", {}, name), value, note) };
    });
    this.element = h("div", { class: "tiles", role: "group", "aria-label": "Metrics" }, ...this.tiles.map((tile) => tile.element));
  }

  update({ metrics }) {
    const { indCount: n, oodCount: m } = metrics;
    const notes = {
      auroc: metrics.auroc < 0.5 ? "inverted: below chance" : "chance is 0.5",
      auprIn: `chance ${share(n / (n + m), 3)} at this ratio`,
      auprOut: `chance ${share(m / (n + m), 3)} at this ratio`,
      fpr80: "ood accepted at TPR 80 %",
      fpr95: "ood accepted at TPR 95 %",
      detectionError: "least (1 − TPR + FPR) / 2",
    };
    for (const tile of this.tiles) {
      setText(tile.value, tile.format(metrics[tile.key]));
      setText(tile.note, notes[tile.key]);
    }
    this.tiles[0].element.classList.toggle("alarm", metrics.auroc < 0.5);
  }
}

export class ConfusionPanel {
  constructor() {
    const cell = (what, kind) => {
      const parts = { bar: h("i", { class: kind }), rate: h("b", {}), counted: h("span", {}) };
      return { ...parts, element: h("td", { "data-cell": what }, parts.bar, parts.rate, parts.counted) };
    };
    this.cells = { tp: cell("tp", "good"), fn: cell("fn", "bad"), fp: cell("fp", "bad"), tn: cell("tn", "good") };
    this.heads = { ind: h("th", { scope: "row" }), ood: h("th", { scope: "row" }) };
    this.words = h("p", { class: "words" });
    this.stream = h("p", { class: "words", "data-words": "prevalence" });
    this.known = h("p", { class: "words", "data-words": "intervals" });
    const { tp, fn, fp, tn } = this.cells;
    this.element = h(
      "section",
      { class: "panel", "aria-label": "Confusion at the threshold" },
      h("header", {}, h("h3", {}, "At this threshold")),
      h(
        "table",
        { class: "confusion" },
        h("thead", {}, h("tr", {}, h("td", {}), h("th", { scope: "col" }, "accepted as in-distribution"), h("th", { scope: "col" }, "rejected as ood"))),
        h("tbody", {}, h("tr", {}, this.heads.ind, tp.element, fn.element), h("tr", {}, this.heads.ood, fp.element, tn.element)),
      ),
      this.stream,
      this.words,
      this.known,
    );
  }

  update({ confusion, metrics, unit, oodName, state, outlook, facts }) {
    const { tp, fn, fp, tn } = confusion;
    const { indCount: n, oodCount: m } = metrics;
    setText(this.heads.ind, `${count(n)} in-distribution`);
    setText(this.heads.ood, `${count(m)} ${oodName}`);
    const tell = (cell, value, total, name) => {
      setStyle(cell.bar, "width", total ? `${((100 * value) / total).toFixed(2)}%` : "0px");
      setText(cell.rate, percent(value / total));
      setText(cell.counted, `${count(value)} ${name}`);
    };
    tell(this.cells.tp, tp, n, "kept");
    tell(this.cells.fn, fn, n, "false rejects");
    tell(this.cells.fp, fp, m, "false accepts");
    tell(this.cells.tn, tn, m, "caught");
    setText(this.stream, n && m ? streamInWords(outlook, state.choice, unit) : "");
    setText(this.known, facts?.rates ? intervalsInWords(facts.rates) : "");
    setText(
      this.words,
      `Of ${count(n)} in-distribution ${unit}, ${percent(tp / n)} are accepted and ${count(fn)} wrongly rejected. ` +
        `Of ${count(m)} ${oodName} ${unit}, ${percent(fp / m)} are accepted (${count(fp)} false accepts).`,
    );
  }
}

/** What the rates mean where ood is as rare as expected: among a thousand accepted, and in a day. */
function streamInWords(seen, choice, unit) {
  const among = (share) => (Number.isFinite(share) ? short(1000 * share, share < 0.01 ? 2 : 3) : "none");
  const parts = [];
  if (seen.accepted > 0) parts.push(`of 1,000 accepted ${unit} ${among(seen.oodAmongAccepted)} are ood`);
  else parts.push(`no ${unit} are accepted`);
  if (seen.rejected > 0) parts.push(`of 1,000 rejected ${among(seen.indAmongRejected)} are in-distribution`);
  const daily = (share) => short(choice.images * share, 3);
  return (
    `At a prevalence of ${short(100 * choice.prevalence)} % ood, ${parts.join(", ")}. ` +
    `Of ${count(choice.images)} ${unit} a day: ${daily(seen.falseAlarms)} false alarms, ${daily(seen.missed)} ood missed.`
  );
}

/** The server's bootstrap intervals of both rates. */
function intervalsInWords({ fixed, rechosen, level }) {
  const range = ([low, high]) => `${percent(low).replace(" %", "")} to ${percent(high)}`;
  const both = (rates) => `TPR ${range(rates.tpr)}, FPR ${range(rates.fpr)}`;
  const again = rechosen ? ` With the threshold chosen anew by the same rule on each draw: ${both(rechosen)}.` : "";
  return `${Math.round(100 * level)} % bootstrap intervals at this threshold: ${both(fixed)}.${again}`;
}

/** What the page must say before anyone reads a number: nothing to rank, nothing to test, images left out. */
export function noticeFor({ state, metrics, range, config, unit, oodName }) {
  const notes = [...config.notes];
  const empty = [!metrics.indCount && "in-distribution", !metrics.oodCount && oodName].filter(Boolean);
  if (empty.length) notes.push(`There are no ${empty.join(" and no ")} ${unit} to test on, so no metric is defined. Choose another set or more ${unit}.`);
  else if (state.alpha.every((a) => a === 0)) {
    notes.push(`All weights are 0: every image scores 0 and nothing can be told apart (AUROC 0.5). Move a slider or choose a preset.`);
  } else if (range.constant) {
    notes.push(`Every image has the same score under these weights, so nothing can be told apart (AUROC 0.5). Give weight to another layer.`);
  }
  return notes.join(" ");
}
