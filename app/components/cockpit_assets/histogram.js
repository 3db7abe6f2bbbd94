// The histogram of ind against ood with the threshold as a line that can be dragged.
import { count, draggable, h, scoreText, setAttribute, setStyle, setText } from "./dom.js";
import { figureMenu } from "./figure_file.js";
import { Plot, line } from "./plot.js";

const MARGINS = { left: 54, right: 14, top: 26, bottom: 42 };

export class HistogramPanel {
  constructor(cockpit) {
    this.cockpit = cockpit;
    this.canvas = h("canvas", { class: "plot wide", role: "img" });
    this.handle = h(
      "div",
      { class: "handle line", role: "slider", tabindex: "0", "aria-label": "Threshold on the score", "aria-orientation": "horizontal" },
      h("span", { class: "knob", "aria-hidden": "true" }),
    );
    this.legend = h("div", { class: "legend" });
    this.outside = h("p", { class: "note" });
    this.plot = new Plot(this.canvas, MARGINS);
    const drag = { move: (event) => this.#drag(event), end: () => cockpit.commit() };
    draggable(this.handle, drag);
    draggable(this.canvas, drag);
    this.handle.addEventListener("keydown", (event) => this.#key(event));
    this.element = h(
      "section",
      { class: "panel", "aria-label": "Scores" },
      h("header", {}, h("h3", {}, "Scores"), h("div", { class: "tools" }, this.legend, figureMenu(this, "the histogram"))),
      h("div", { class: "stage" }, this.canvas, this.handle),
      this.outside,
    );
  }

  /** Below the chart: the controls of the threshold. */
  append(element) {
    this.element.append(element);
  }

  #drag(event) {
    const { range } = this.cockpit.model;
    const { x } = this.plot.locate(event);
    this.cockpit.setThreshold(Math.max(range.low, Math.min(range.high, x)));
  }

  #key(event) {
    const { range, state } = this.cockpit.model;
    const step = ((range.high - range.low) / 200) * (event.shiftKey ? 10 : 1);
    const by = { ArrowLeft: -step, ArrowDown: -step, ArrowRight: step, ArrowUp: step, PageDown: -20 * step, PageUp: 20 * step };
    let next = state.threshold + by[event.key];
    if (event.key === "Home") next = range.low;
    if (event.key === "End") next = range.high;
    if (!Number.isFinite(next)) return;
    event.preventDefault();
    this.cockpit.setThreshold(Math.max(range.min, Math.min(range.max, next)));
    this.cockpit.commitSoon();
  }

  draw(model, look) {
    const { plot } = this;
    const fewest = Math.min(model.metrics.indCount || 1e9, model.metrics.oodCount || 1e9);
    const bins = Math.round(Math.max(24, Math.min(96, plot.area.w / 8, 4 * Math.cbrt(fewest))));
    const { ind, oods } = model.histograms(bins);
    const sides = [ind, ...oods];
    const top = Math.max(1e-9, ...sides.map((side) => side.shares.reduce((a, b) => Math.max(a, b), 0)));
    plot.domain = { x0: model.range.low, x1: model.range.high, y0: 0, y1: top * 1.12 };
    plot.begin(look);
    this.#regions(model, look);
    const span = model.range.high - model.range.low;
    plot.axes(look, {
      xLabel: ["score (α-weighted distance to F*), larger = more in-distribution", "score, larger = more in-distribution", "score"],
      yLabel: ["share of each set", "share"],
      yTicks: 4,
      xFormat: span > 1e5 || span < 1e-4 ? (v) => v.toExponential(1) : null,
      yFormat: (v) => `${Number((v * 100).toPrecision(3))} %`,
    });
    plot.clipped((c) => {
      oods.forEach((side) => this.#bars(c, side, look.oodAt(model.oodIndex(side.name)), oods.length === 1 ? 0.3 : 0.1));
      this.#bars(c, ind, look.ind, 0.3);
    });
    this.#threshold(model, look);
    this.#words(model, ind, oods, look);
  }

  #regions(model, look) {
    const { plot } = this;
    const { area, context: c } = plot;
    const at = Math.max(area.x, Math.min(area.x + area.w, plot.x(model.state.threshold)));
    c.globalAlpha = 0.07;
    c.fillStyle = look.reject;
    c.fillRect(area.x, area.y, at - area.x, area.h);
    c.fillStyle = look.accept;
    c.fillRect(at, area.y, area.x + area.w - at, area.h);
    c.globalAlpha = 1;
  }

  #bars(c, { shares }, colour, fill) {
    const { plot } = this;
    const { x0, x1 } = plot.domain;
    const edge = (b) => plot.x(x0 + ((x1 - x0) * b) / shares.length);
    c.beginPath();
    c.moveTo(edge(0), plot.y(0));
    shares.forEach((value, b) => {
      c.lineTo(edge(b), plot.y(value));
      c.lineTo(edge(b + 1), plot.y(value));
    });
    c.lineTo(edge(shares.length), plot.y(0));
    c.fillStyle = c.strokeStyle = colour;
    c.globalAlpha = fill;
    c.fill();
    c.globalAlpha = 1;
    c.lineWidth = 1.75;
    c.stroke();
  }

  #threshold(model, look) {
    const { plot } = this;
    const { area, context: c } = plot;
    const { threshold } = model.state;
    const at = plot.x(threshold);
    const shown = Math.max(area.x, Math.min(area.x + area.w, at));
    c.strokeStyle = look.text;
    c.lineWidth = 2;
    c.setLineDash(shown === at ? [] : [3, 4]);
    c.beginPath();
    line(c, shown, area.y - 4, shown, area.y + area.h);
    c.stroke();
    c.setLineDash([]);
    c.textBaseline = "middle";
    const sides = [
      ["right", "◀ rejected as ood", "◀ reject", look.reject, -14, shown - area.x],
      ["left", "accepted as in-distribution ▶", "accept ▶", look.accept, 14, area.x + area.w - shown],
    ];
    for (const [align, long, brief, colour, dx, room] of sides) {
      const text = [long, brief].find((wording) => plot.wide(wording) + 18 < room);
      c.textAlign = align;
      c.fillStyle = colour;
      if (text) c.fillText(text, shown + dx, area.y - 12);
    }
    setStyle(this.handle, "transform", `translate(${shown}px, ${area.y - 22}px)`);
    setStyle(this.handle, "height", `${area.h + 24}px`);
    this.handle.hidden = model.range.constant;
  }

  #words(model, ind, oods, look) {
    const { range, state, rates } = model;
    const span = range.high - range.low;
    const text = scoreText(state.threshold, span);
    setAttribute(this.handle, "aria-valuemin", scoreText(range.min, span));
    setAttribute(this.handle, "aria-valuemax", scoreText(range.max, span));
    setAttribute(this.handle, "aria-valuenow", text);
    setAttribute(this.handle, "aria-valuetext", `threshold ${text}: ${rates}`);
    setAttribute(this.canvas, "aria-label", `Histogram of scores, in-distribution against ood, threshold ${text}: ${rates}`);
    const key = [ind, ...oods].map((side) => side.name).join("|") + look.ind;
    if (this.legend.dataset.key !== key) {
      this.legend.dataset.key = key;
      const entry = (name, kind, colour) =>
        h("span", { class: "entry" }, h("i", { style: `background:${colour}` }), `${name} (${kind})`);
      this.legend.replaceChildren(
        entry(model.indName, "in-distribution", look.ind),
        ...oods.map((side) => entry(side.name, "ood", look.oodAt(model.oodIndex(side.name)))),
      );
    }
    const out = [ind, ...oods].reduce((sum, side) => sum + side.under + side.over, 0);
    setText(this.outside, out ? `${count(out)} outermost images lie beyond the drawn axis; every number counts them.` : "");
  }
}
