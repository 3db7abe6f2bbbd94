// SVG: a context that writes what it is asked to draw as SVG, so that one drawing serves the page, PNG and SVG alike.

const NAMES = { alphabetic: "auto", middle: "central", top: "hanging", bottom: "text-after-edge" };
const ANCHORS = { left: "start", center: "middle", right: "end", start: "start", end: "end" };

/** The part of CanvasRenderingContext2D that the film's drawings use. */
export class SvgContext {
  constructor(width, height) {
    Object.assign(this, { width, height, out: [], stack: [], clips: 0 });
    Object.assign(this, { fillStyle: "#000", strokeStyle: "#000", lineWidth: 1, globalAlpha: 1, font: "12px sans-serif" });
    Object.assign(this, { textAlign: "left", textBaseline: "alphabetic", lineCap: "butt", lineJoin: "miter", dash: [] });
    this.offset = [0, 0];
    this.clipped = "";
    this.path = [];
  }

  save() {
    const { fillStyle, strokeStyle, lineWidth, globalAlpha, font, textAlign, textBaseline, lineCap, lineJoin, dash, offset, clipped } = this;
    this.stack.push({ fillStyle, strokeStyle, lineWidth, globalAlpha, font, textAlign, textBaseline, lineCap, lineJoin, dash, offset, clipped });
  }

  restore() {
    Object.assign(this, this.stack.pop());
  }

  translate(x, y) {
    this.offset = [this.offset[0] + x, this.offset[1] + y];
  }

  setLineDash(dash) {
    this.dash = [...dash];
  }

  beginPath() {
    this.path = [];
  }

  moveTo(x, y) {
    this.path.push(`M${this.#at(x, y)}`);
  }

  lineTo(x, y) {
    this.path.push(`${this.path.length ? "L" : "M"}${this.#at(x, y)}`);
  }

  closePath() {
    this.path.push("Z");
  }

  /** Whole circles only: all that the drawings need. */
  arc(x, y, r) {
    const [left, right, size] = [this.#at(x - r, y), this.#at(x + r, y), short(r)];
    this.path.push(`M${left}A${size} ${size} 0 1 0 ${right}A${size} ${size} 0 1 0 ${left}Z`);
  }

  rect(x, y, w, h) {
    this.path.push(`M${this.#at(x, y)}h${short(w)}v${short(h)}h${short(-w)}Z`);
  }

  clip() {
    const name = `clip${++this.clips}`;
    this.out.push(`<clipPath id="${name}"><path d="${this.path.join("")}"/></clipPath>`);
    this.clipped = ` clip-path="url(#${name})"`;
  }

  fill() {
    this.out.push(`<path d="${this.path.join("")}" fill="${this.fillStyle}"${this.#faint()}${this.clipped}/>`);
  }

  stroke() {
    const dash = this.dash.length ? ` stroke-dasharray="${this.dash.join(" ")}"` : "";
    const joins = `${this.lineCap === "butt" ? "" : ` stroke-linecap="${this.lineCap}"`}${this.lineJoin === "miter" ? "" : ` stroke-linejoin="${this.lineJoin}"`}`;
    this.out.push(`<path d="${this.path.join("")}" fill="none" stroke="${this.strokeStyle}" stroke-width="${short(this.lineWidth)}"${dash}${joins}${this.#faint()}${this.clipped}/>`);
  }

  fillRect(x, y, w, h) {
    const [px, py] = [x + this.offset[0], y + this.offset[1]].map(short);
    this.out.push(`<rect x="${px}" y="${py}" width="${short(w)}" height="${short(h)}" fill="${this.fillStyle}"${this.#faint()}${this.clipped}/>`);
  }

  fillText(text, x, y) {
    this.#text(text, x, y, `fill="${this.fillStyle}"`);
  }

  strokeText(text, x, y) {
    this.#text(text, x, y, `fill="none" stroke="${this.strokeStyle}" stroke-width="${short(this.lineWidth)}" stroke-linejoin="round"`);
  }

  #text(text, x, y, paint) {
    const [, weight, size, family] = this.font.match(/^(?:(\d+|bold) )?([\d.]+)px (.*)$/) ?? [null, "", "12", "sans-serif"];
    const [px, py] = [x + this.offset[0], y + this.offset[1]].map(short);
    const style = `font-family="${escaped(family)}" font-size="${size}"${weight ? ` font-weight="${weight}"` : ""}`;
    this.out.push(`<text x="${px}" y="${py}" ${style} text-anchor="${ANCHORS[this.textAlign]}" dominant-baseline="${NAMES[this.textBaseline]}" ${paint}${this.#faint()}>${escaped(text)}</text>`);
  }

  #faint() {
    return this.globalAlpha < 1 ? ` opacity="${short(this.globalAlpha)}"` : "";
  }

  #at(x, y) {
    return `${short(x + this.offset[0])} ${short(y + this.offset[1])}`;
  }

  text(title) {
    const size = `width="${this.width}" height="${this.height}" viewBox="0 0 ${this.width} ${this.height}"`;
    return `<svg xmlns="http://www.w3.org/2000/svg" ${size} role="img"><title>${escaped(title)}</title>\n${this.out.join("\n")}\n</svg>\n`;
  }
}

const short = (value) => String(Math.round(value * 100) / 100);
const escaped = (text) => String(text).replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);
