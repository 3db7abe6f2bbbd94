// One canvas with axes: sizes, scales, ticks. What is drawn in it stands in histogram.js and curves.js.
import { ticks } from "./dom.js";

export class Plot {
  constructor(canvas, margins) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.margins = margins;
    this.domain = { x0: 0, x1: 1, y0: 0, y1: 1 };
    this.width = this.height = 0;
    this.area = { x: 0, y: 0, w: 1, h: 1 };
  }

  /** Fits the canvas to its place on the page, in device pixels. Reads the layout: not for every frame. */
  measure() {
    const { clientWidth, clientHeight } = this.canvas;
    const ratio = globalThis.devicePixelRatio || 1;
    if (clientWidth === this.width && clientHeight === this.height && ratio === this.ratio) return;
    Object.assign(this, { width: clientWidth, height: clientHeight, ratio, font: null }); // a resized canvas forgets it
    this.canvas.width = Math.round(clientWidth * ratio);
    this.canvas.height = Math.round(clientHeight * ratio);
    const { left, right, top, bottom } = this.margins;
    this.area = { x: left, y: top, w: Math.max(1, this.width - left - right), h: Math.max(1, this.height - top - bottom) };
  }

  x(value) {
    const { x, w } = this.area;
    return x + ((value - this.domain.x0) / (this.domain.x1 - this.domain.x0)) * w;
  }

  y(value) {
    const { y, h } = this.area;
    return y + h - ((value - this.domain.y0) / (this.domain.y1 - this.domain.y0)) * h;
  }

  /** Where a pointer event lies, in data units and in the canvas' own pixels. */
  locate(event) {
    const box = this.canvas.getBoundingClientRect();
    const [px, py] = [event.clientX - box.left, event.clientY - box.top];
    const { x, y, w, h } = this.area;
    const { x0, x1, y0, y1 } = this.domain;
    return { px, py, x: x0 + ((px - x) / w) * (x1 - x0), y: y0 + ((y + h - py) / h) * (y1 - y0) };
  }

  begin(look) {
    const { context: c } = this;
    c.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    c.clearRect(0, 0, this.width, this.height);
    if (this.font !== look.font) c.font = `${Math.round(12 * (look.type ?? 1))}px ${look.font}`; // once: it costs more than all the lines of a frame
    if (this.font !== look.font) this.widths = new Map();
    this.font = look.font;
    c.lineJoin = "round";
    c.setLineDash([]);
    c.globalAlpha = 1;
  }

  /** Width of a text, measured once: measuring makes the browser lay out the page. */
  wide(text) {
    if (!this.widths.has(text)) {
      if (this.widths.size > 2000) this.widths.clear();
      this.widths.set(text, this.context.measureText(text).width);
    }
    return this.widths.get(text);
  }

  /** The first of several wordings that fits the width, else the last (the shortest). */
  fitting(labels, width) {
    const wordings = Array.isArray(labels) ? labels : [labels];
    return wordings.find((text) => this.wide(text) <= width) ?? wordings[wordings.length - 1];
  }

  /** Runs `draw` with everything outside the axes cut off. */
  clipped(draw) {
    const { context: c, area } = this;
    c.save();
    c.beginPath();
    c.rect(area.x, area.y - 1, area.w + 1, area.h + 2);
    c.clip();
    draw(c);
    c.restore();
  }

  /** Grid, ticks, axis names. `format` turns a tick into text. */
  axes(look, { xLabel, yLabel, xTicks, yTicks, xFormat, yFormat }) {
    const { context: c, area, domain } = this;
    const across = ticks(domain.x0, domain.x1, xTicks ?? Math.max(4, Math.floor(area.w / 80)));
    const up = ticks(domain.y0, domain.y1, yTicks ?? 5);
    c.strokeStyle = look.grid;
    c.lineWidth = 1;
    c.globalAlpha = 0.6;
    c.beginPath();
    for (const v of up.values) line(c, area.x, Math.round(this.y(v)) + 0.5, area.x + area.w, Math.round(this.y(v)) + 0.5);
    for (const v of across.values) line(c, Math.round(this.x(v)) + 0.5, area.y + area.h, Math.round(this.x(v)) + 0.5, area.y + area.h + 4);
    c.stroke();
    c.globalAlpha = 1;
    c.fillStyle = look.muted;
    c.textBaseline = "top";
    c.textAlign = "center";
    for (const v of across.values) {
      const text = xFormat ? xFormat(v) : v.toFixed(across.digits);
      const half = this.wide(text) / 2;
      c.fillText(text, Math.max(half, Math.min(this.width - half, this.x(v))), area.y + area.h + 7);
    }
    c.textAlign = "right";
    c.textBaseline = "middle";
    for (const v of up.values) c.fillText(yFormat ? yFormat(v) : v.toFixed(up.digits), area.x - 7, this.y(v));
    c.strokeStyle = look.muted;
    c.beginPath();
    line(c, area.x, area.y + area.h + 0.5, area.x + area.w, area.y + area.h + 0.5);
    c.stroke();
    this.#names(look, xLabel, yLabel);
  }

  #names(look, xLabel, yLabel) {
    const { context: c, area } = this;
    c.fillStyle = look.muted;
    c.textAlign = "center";
    c.textBaseline = "bottom";
    const name = this.fitting(xLabel, this.width - 8);
    const half = this.wide(name) / 2 + 4;
    c.fillText(name, Math.max(half, Math.min(this.width - half, area.x + area.w / 2)), this.height - 1);
    c.save();
    c.translate(11, area.y + area.h / 2);
    c.rotate(-Math.PI / 2);
    c.textBaseline = "middle";
    c.fillText(this.fitting(yLabel, this.height), 0, 0);
    c.restore();
  }
}

export function line(c, x0, y0, x1, y1) {
  c.moveTo(x0, y0);
  c.lineTo(x1, y1);
}
