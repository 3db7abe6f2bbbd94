// Charts: the column of small charts beside the film. Their lines are drawn once; a cursor moves over them in step.
import { count, draggable, h, setText } from "../cockpit_assets/dom.js";
import { labelled } from "./axis.js";
import { areaOf, drawChart, drawCursor, drawSteps, mapping } from "./plot.js";

const HEIGHTS = { distance: 138, auroc: 120, norm: 88, small: 56 };
const AXIS = 36; // room for the step numbers below the last chart

/** Sizes of text and margins; `narrow` for a phone. */
export function sizes(width, large) {
  const size = large ? 14 : 11;
  const narrow = width < 430;
  return { size, left: large ? 46 : 36, right: large ? 132 : narrow ? 96 : 108, room: (large ? 132 : narrow ? 96 : 108) - 15 };
}

export class Charts {
  /** `actions`: scrub(position), release(), compare(name). */
  constructor(actions) {
    this.actions = actions;
    this.panels = new Map();
    this.element = h("div", { class: "charts" });
    this.ratio = 1;
  }

  /** Takes new lines; the panels stay where their names stay. */
  show(charts, { frames, steps, look, large, options, compare }) {
    Object.assign(this, { charts, frames, steps, look, large });
    const names = charts.map((c) => c.name).join();
    if (names !== this.names) {
      this.names = names;
      this.panels = new Map(charts.map((chart) => [chart.name, this.#panel(chart)]));
      this.element.replaceChildren(...[...this.panels.values()].map((p) => p.element));
    }
    for (const chart of charts) {
      const panel = this.panels.get(chart.name);
      setText(panel.title, chart.title);
      setText(panel.unit, chart.unit);
      panel.words.textContent = chart.words ?? "";
      if (panel.choose) fillChoice(panel.choose, options, compare);
      const lines = chart.series.map((one) => `${one.label} from ${text(one.values[0])} to ${text(one.values[frames - 1])}`);
      panel.element.setAttribute("aria-label", `${chart.title}${chart.unit ? `, ${chart.unit}` : ""}, over training: ${lines.join("; ")}.`);
    }
    this.measure();
  }

  #panel(chart) {
    const title = h("span", { class: "chart-title" });
    const unit = h("span", { class: "chart-unit" });
    const words = h("span", { class: "chart-words" });
    const choose = chart.choice ? h("select", { class: "choose", "aria-label": "Compare AUROC", onchange: (e) => this.actions.compare(e.target.value) }) : null;
    const still = h("canvas", { "aria-hidden": "true" });
    const cursor = h("canvas", { class: "cursor", "aria-hidden": "true" });
    const plot = h("div", { class: "plot" }, still, cursor);
    const element = h("figure", { class: "chart", "data-chart": chart.name }, h("figcaption", {}, title, unit, words, choose), plot);
    draggable(plot, {
      move: (event) => this.actions.scrub(this.#positionAt(event, plot)),
      end: () => this.actions.release(),
    });
    return { element, title, unit, words, choose, plot, still, cursor, contexts: [still, cursor].map((c) => c.getContext("2d")) };
  }

  #positionAt(event, plot) {
    const box = plot.getBoundingClientRect();
    const { x, w } = areaOf(box.width, box.height, this.margins(false));
    return ((event.clientX - box.left - x) / w) * (this.frames - 1);
  }

  margins(last) {
    const { left, right, size } = sizes(this.width ?? 440, this.large);
    return { left, right, bottom: last ? AXIS + (size - 11) * 2 : 6 };
  }

  /** Fits the canvases to the page and draws the lines anew. Reads the layout: not for every frame. */
  measure() {
    if (!this.charts?.length) return;
    const width = this.element.clientWidth;
    if (!width) return;
    this.width = width;
    this.ratio = Math.min(globalThis.devicePixelRatio || 1, 3);
    const grow = this.large ? 1.25 : 1;
    this.charts.forEach((chart, n) => {
      const panel = this.panels.get(chart.name);
      const margins = this.margins(n === this.charts.length - 1);
      const height = Math.round((chart.small ? HEIGHTS.small : HEIGHTS[chart.name]) * grow) + margins.bottom - 6;
      Object.assign(panel, { height, area: areaOf(width, height, margins) });
      panel.plot.style.height = `${height}px`;
      for (const canvas of [panel.still, panel.cursor]) {
        canvas.width = Math.round(width * this.ratio);
        canvas.height = Math.round(height * this.ratio);
      }
    });
    this.draw();
  }

  draw() {
    this.charts.forEach((chart, n) => {
      const panel = this.panels.get(chart.name);
      const [ctx] = panel.contexts;
      ctx.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
      ctx.clearRect(0, 0, this.width, panel.height);
      this.drawOne(ctx, chart, panel.area, n === this.charts.length - 1);
    });
  }

  /** One chart into any context; the last one carries the step numbers. */
  drawOne(ctx, chart, area, last) {
    const { size, room } = sizes(this.width, this.large);
    const font = `${size}px ${this.look.font}`;
    const look = { ...this.look, size, room, widthOf: (words) => this.look.widths.of(words, font) };
    drawChart(ctx, area, this.frames, chart, look);
    if (!last) return;
    const { x } = mapping(area, this.frames, { low: 0, high: 1 });
    drawSteps(ctx, area, labelled(this.steps, x, look.widthOf), this.steps, look, count);
  }

  /** The cursor at a place in the film. */
  moveTo(position) {
    if (!this.charts) return;
    for (const chart of this.charts) {
      const panel = this.panels.get(chart.name);
      if (!panel.area) continue;
      const ctx = panel.contexts[1];
      ctx.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
      ctx.clearRect(0, 0, this.width, panel.height);
      drawCursor(ctx, panel.area, this.frames, chart, this.look, position);
    }
  }
}

const text = (value) => (Number.isFinite(value) ? String(Number(value.toPrecision(3))) : "unknown");

function fillChoice(select, options, chosen) {
  const wanted = JSON.stringify(options);
  if (select.dataset.options !== wanted) {
    select.replaceChildren(...options.map(({ value, label }) => h("option", { value }, label)));
    select.dataset.options = wanted;
  }
  select.value = chosen;
  if (select.selectedIndex < 0) select.value = "";
}
