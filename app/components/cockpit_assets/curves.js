// ROC and precision-recall with the operating point as a handle: the same threshold, seen from two more sides.
import { count, draggable, h, percent, setAttribute, setStyle, setText, share, short } from "./dom.js";
import { figureMenu } from "./figure_file.js";
import { needed } from "./metrics.js";
import { Plot, line } from "./plot.js";

const MARGINS = { left: 50, right: 14, top: 10, bottom: 42 };
const LABELS = {
  roc: { x: ["false positive rate: ood accepted", "ood accepted (FPR)"], y: ["true positive rate: ind accepted", "ind accepted (TPR)"] },
  ind: { x: ["recall: share of ind accepted", "recall (ind accepted)"], y: ["precision: ind among the accepted", "precision"] },
  ood: { x: ["recall: share of ood rejected", "recall (ood rejected)"], y: ["precision: ood among the rejected", "precision"] },
};

/** x and y at given counts, by kind: 'roc', 'ind' (PR with ind positive) or 'ood'. Two functions, so a walk makes no garbage. */
const AT = {
  roc: { x: (tp, fp, n, m) => fp / m, y: (tp, fp, n) => tp / n },
  ind: { x: (tp, fp, n) => tp / n, y: (tp, fp) => (tp + fp ? tp / (tp + fp) : 1) },
  ood: { x: (tp, fp, n, m) => (m - fp) / m, y: (tp, fp, n, m) => (m - fp + n - tp ? (m - fp) / (m - fp + n - tp) : 1) },
};

/** The same with ood as rare as expected: counts weighed so that ind : ood is (1 - prevalence) : prevalence. */
function atPrevalence(kind, prevalence) {
  const precision = (right, wrong) => (right + wrong ? right / (right + wrong) : 1);
  return {
    ind: { x: AT.ind.x, y: (tp, fp, n, m) => precision(((1 - prevalence) * tp) / n, (prevalence * fp) / m) },
    ood: { x: AT.ood.x, y: (tp, fp, n, m) => precision((prevalence * (m - fp)) / m, ((1 - prevalence) * (n - tp)) / n) },
  }[kind];
}

class CurvePanel {
  constructor(cockpit, name) {
    this.cockpit = cockpit;
    this.canvas = h("canvas", { class: "plot square", role: "img" });
    this.handle = h(
      "div",
      { class: "handle point", role: "slider", tabindex: "0", "aria-label": `Operating point on the ${name}`, "aria-valuemin": "0", "aria-valuemax": "100" },
      h("span", { class: "knob", "aria-hidden": "true" }),
    );
    this.title = h("h3", {});
    this.note = h("p", { class: "note" });
    this.tools = h("div", { class: "tools" });
    this.plot = new Plot(this.canvas, MARGINS);
    const drag = { move: (event) => this.#drag(event), end: () => cockpit.commit() };
    draggable(this.handle, drag);
    draggable(this.canvas, drag);
    this.handle.addEventListener("keydown", (event) => this.#key(event));
    this.element = h(
      "section",
      { class: "panel", "aria-label": name },
      h("header", {}, this.title, h("div", { class: "tools" }, this.tools, figureMenu(this, `the ${name}`))),
      h("div", { class: "stage" }, this.canvas, this.handle),
      this.note,
    );
  }

  /** Moves to the step of the curve nearest to the pointer. */
  #drag(event) {
    const { curve, metrics } = this.cockpit.model;
    const { px, py } = this.plot.locate(event);
    const at = this.at(this.cockpit.model);
    let best = Infinity;
    let step = 0;
    for (let s = 0; s < curve.length; s++) {
      const dx = this.plot.x(at.x(curve.tp[s], curve.fp[s], metrics.indCount, metrics.oodCount)) - px;
      const dy = this.plot.y(at.y(curve.tp[s], curve.fp[s], metrics.indCount, metrics.oodCount)) - py;
      const distance = dx * dx + dy * dy;
      if (distance < best) {
        best = distance;
        step = s;
      }
    }
    this.cockpit.setThreshold(curve.thresholds[step]);
  }

  #key(event) {
    const { achieved, metrics } = this.cockpit.model;
    const step = event.shiftKey ? 0.05 : 0.005;
    const by = { ArrowRight: step, ArrowUp: step, ArrowLeft: -step, ArrowDown: -step, PageUp: 0.1, PageDown: -0.1, Home: -1, End: 1 }[event.key];
    if (by === undefined || !metrics.indCount) return;
    event.preventDefault();
    let tpr = Math.max(0, Math.min(1, achieved.tpr + by));
    const now = Math.round(achieved.tpr * metrics.indCount);
    if (needed(metrics.indCount, tpr) === now) tpr = Math.max(0, Math.min(1, (now + Math.sign(by)) / metrics.indCount));
    this.cockpit.setThreshold(this.cockpit.engine.thresholdAtTpr(tpr));
    this.cockpit.commitSoon();
  }

  /** x and y at given counts. */
  at() {
    return AT[this.kind];
  }

  draw(model, look) {
    const { plot } = this;
    plot.domain = this.domain();
    plot.begin(look);
    const labels = LABELS[this.kind];
    plot.axes(look, { xLabel: labels.x, yLabel: labels.y, xTicks: 5, yTicks: 6 });
    plot.clipped((c) => {
      this.chance(c, model, look);
      if (!model.defined) return;
      for (const pin of model.pins) this.#curve(c, model, pin, { colour: look.text, width: 1.5, dashes: pin.dashes });
      this.#curve(c, model, model, { colour: look.oodAt(model.colourIndex), width: 2.25, dashes: [] });
    });
    this.#point(model, look);
    this.words(model);
  }

  #curve(c, model, { curve, metrics }, { colour, width, dashes }) {
    const { plot } = this;
    const at = this.at(model);
    const steps = this.kind !== "roc"; // average precision is a sum of steps, AUROC of trapezia
    const backward = this.kind === "ood";
    c.beginPath();
    let lastX = NaN;
    let lastY = NaN;
    const { tp, fp, length } = curve;
    const { indCount: n, oodCount: m } = metrics;
    const [left, bottom] = [plot.x(0), plot.y(0)]; // the scales, taken out of a walk over all distinct scores
    const [right, up] = [plot.x(1) - left, plot.y(1) - bottom];
    for (let i = 0; i < length; i++) {
      const s = backward ? length - 1 - i : i;
      const x = left + right * at.x(tp[s], fp[s], n, m);
      const y = bottom + up * at.y(tp[s], fp[s], n, m);
      if (i === 0) c.moveTo(x, y);
      else if (Math.abs(x - lastX) + Math.abs(y - lastY) < 0.5 && i < length - 1) continue;
      else {
        if (steps) c.lineTo(lastX, y);
        c.lineTo(x, y);
      }
      lastX = x;
      lastY = y;
    }
    c.strokeStyle = colour;
    c.lineWidth = width;
    c.setLineDash(dashes);
    c.stroke();
    c.setLineDash([]);
  }

  #point(model, look) {
    const { plot, handle } = this;
    handle.hidden = !model.defined;
    if (!model.defined) return;
    const { tp, fp } = model.confusion;
    const { indCount, oodCount } = model.metrics;
    const { area, context: c } = plot;
    const at = this.at(model);
    const px = plot.x(at.x(tp, fp, indCount, oodCount));
    const py = plot.y(at.y(tp, fp, indCount, oodCount));
    const x = Math.max(area.x, Math.min(area.x + area.w, px));
    const y = Math.max(area.y, Math.min(area.y + area.h, py));
    handle.classList.toggle("outside", Math.abs(x - px) + Math.abs(y - py) > 0.5);
    c.strokeStyle = look.muted;
    c.lineWidth = 1;
    c.setLineDash([3, 3]);
    c.beginPath();
    line(c, x, y, x, area.y + area.h);
    line(c, x, y, area.x, y);
    c.stroke();
    c.setLineDash([]);
    setStyle(handle, "transform", `translate(${x}px, ${y}px)`);
    setAttribute(handle, "aria-valuenow", (model.achieved.tpr * 100).toFixed(2));
    setAttribute(handle, "aria-valuetext", model.rates);
    setAttribute(this.canvas, "aria-label", `${this.title.textContent}; operating point: ${model.rates}`);
  }
}

export class RocPanel extends CurvePanel {
  constructor(cockpit) {
    super(cockpit, "ROC curve");
    this.kind = "roc";
    this.side = 1; // of the corner that is drawn: chosen when the button is pressed, kept through every update
    this.zoom = h("button", { type: "button", class: "small", "aria-pressed": "false", onclick: () => this.#toggle() }, "Zoom to corner");
    this.tools.append(this.zoom);
  }

  #toggle() {
    this.side = this.side < 1 ? 1 : this.#fitting();
    setAttribute(this.zoom, "aria-pressed", String(this.side < 1));
    this.cockpit.redraw();
  }

  /** The smallest round corner that holds the bend of the curve, where FPR = 1 - TPR. */
  #fitting() {
    const { curve, metrics } = this.cockpit.model;
    let step = 0;
    while (step < curve.length - 1 && curve.fp[step] / metrics.oodCount < 1 - curve.tp[step] / metrics.indCount) step++;
    const bend = Math.max(curve.fp[step] / metrics.oodCount, 1 - curve.tp[step] / metrics.indCount);
    return [0.02, 0.05, 0.1, 0.2].find((side) => bend <= side / 2) ?? 0.5;
  }

  domain() {
    return { x0: 0, x1: this.side, y0: 1 - this.side, y1: 1 };
  }

  /** Whether nothing of the curve lies in the drawn corner. */
  #isOutside({ curve, metrics }) {
    for (let s = 0; s < curve.length && curve.fp[s] <= this.side * metrics.oodCount; s++) {
      if (curve.tp[s] >= (1 - this.side) * metrics.indCount) return false;
    }
    return true;
  }

  chance(c, model, look) {
    dashed(c, look, () => line(c, this.plot.x(0), this.plot.y(0), this.plot.x(1), this.plot.y(1)));
  }

  words(model) {
    setText(this.title, `ROC · AUROC ${share(model.metrics.auroc)}`);
    const outside = this.side < 1 && model.defined && this.#isOutside(model);
    const zoomed = this.side < 1 ? "Zoomed to the upper left corner." : "Dashed diagonal: chance.";
    setText(this.note, outside ? "The curve does not pass through this corner; press the button again to see all of it." : `${zoomed} Point: ${model.rates}.`);
  }
}

export class PrPanel extends CurvePanel {
  constructor(cockpit) {
    super(cockpit, "precision-recall curve");
    this.kind = "ind";
    this.sides = ["ind", "ood"].map((kind) =>
      h(
        "button",
        { type: "button", class: "small", "aria-label": `${kind} positive`, "aria-pressed": String(kind === "ind"), onclick: () => this.#side(kind) },
        kind,
      ),
    );
    this.weighed = h("button", { type: "button", class: "small", "aria-pressed": "false", onclick: () => this.#weigh() }, "at 5 % ood");
    this.tools.append(this.weighed, h("span", { class: "hint", "aria-hidden": "true" }, "positive"), h("div", { class: "segmented", role: "group", "aria-label": "Positive class of the precision-recall curve" }, ...this.sides));
  }

  #side(kind) {
    this.kind = kind;
    this.sides.forEach((button, i) => setAttribute(button, "aria-pressed", String(["ind", "ood"][i] === kind)));
    this.cockpit.redraw();
  }

  #weigh() {
    this.atStated = !this.atStated;
    setAttribute(this.weighed, "aria-pressed", String(this.atStated));
    this.cockpit.redraw();
  }

  at({ state }) {
    return this.atStated ? atPrevalence(this.kind, state.choice.prevalence) : AT[this.kind];
  }

  domain() {
    return { x0: 0, x1: 1, y0: 0, y1: 1.02 };
  }

  #chanceOf({ metrics: { indCount, oodCount }, state }) {
    if (this.atStated) return this.kind === "ind" ? 1 - state.choice.prevalence : state.choice.prevalence;
    return (this.kind === "ind" ? indCount : oodCount) / (indCount + oodCount);
  }

  chance(c, model, look) {
    if (!model.defined) return;
    const y = this.plot.y(this.#chanceOf(model));
    dashed(c, look, () => line(c, this.plot.x(0), y, this.plot.x(1), y));
  }

  words(model) {
    const { metrics } = model;
    const isInd = this.kind === "ind";
    const stated = `${short(100 * model.state.choice.prevalence)} % ood`;
    setText(this.weighed, `at ${stated}`);
    setAttribute(this.weighed, "title", "Precision at the expected share of ood instead of the test sets' ratio");
    const area = this.atStated ? this.#area(model) : isInd ? metrics.auprIn : metrics.auprOut;
    setText(this.title, `PR · AUPR-${isInd ? "IN" : "OUT"} ${share(area)}`);
    const ratio = this.atStated ? `expected ratio, ${stated}` : `ratio ind : ood = ${count(metrics.indCount)} : ${count(metrics.oodCount)}`;
    setText(this.note, `AUPR depends on the ${ratio}; chance (dashed) is ${share(this.#chanceOf(model), 3)} here.`);
  }

  /** Average precision along the drawn curve: the sum of its steps. */
  #area(model) {
    const { curve, metrics, defined } = model;
    if (!defined) return NaN;
    const at = this.at(model);
    const { indCount: n, oodCount: m } = metrics;
    const backward = this.kind === "ood";
    let sum = 0;
    let reached = 0;
    for (let i = 0; i < curve.length; i++) {
      const s = backward ? curve.length - 1 - i : i;
      const x = at.x(curve.tp[s], curve.fp[s], n, m);
      sum += (x - reached) * at.y(curve.tp[s], curve.fp[s], n, m);
      reached = x;
    }
    return sum;
  }
}

function dashed(c, look, draw) {
  c.strokeStyle = look.muted;
  c.lineWidth = 1;
  c.setLineDash([5, 5]);
  c.beginPath();
  draw();
  c.stroke();
  c.setLineDash([]);
}
