// A drawing context that writes SVG: the part of CanvasRenderingContext2D that this project's figures use. What a
// canvas shows in the page is drawn through it for a file, as circles, paths and text.

const TURN = 2 * Math.PI;
const FRESH = {
  ...{ matrix: [1, 0, 0, 1, 0, 0], clipping: "", dash: [], globalAlpha: 1 },
  ...{ fillStyle: "#000000", strokeStyle: "#000000", lineWidth: 1, lineCap: "butt", lineJoin: "miter" },
  ...{ font: "10px sans-serif", textAlign: "start", textBaseline: "alphabetic" },
};
/** How far below the given place a text's base line lies, in font sizes: viewers disagree about the named ones. */
const BASELINES = { top: 0.83, hanging: 0.8, middle: 0.34, alphabetic: 0, bottom: -0.2 };
const ANCHORS = { start: "start", left: "start", center: "middle", end: "end", right: "end" };

/** Text as it may stand in XML: escaped, without the characters that XML forbids. */
export function xml(text) {
  const allowed = String(text).replace(/[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu, "");
  return allowed.replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);
}

/** ' name="value"' for each pair; empty ones are left out. */
function attributes(pairs) {
  const given = Object.entries(pairs).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return given.map(([name, value]) => ` ${name}="${xml(value)}"`).join("");
}

const short = (value) => String(Math.round(value * 100) / 100);

export class SvgContext {
  constructor() {
    this.vector = true;
    this.ruler = document.createElement("canvas").getContext("2d");
    this.parts = [];
    this.clips = [];
    this.stack = [];
    this.base = [0, 0];
    this.joined = null; // the last element, while a stroke or fill of the same path may still join it
    Object.assign(this, structuredClone(FRESH));
    this.beginPath();
  }

  // ---- state ------------------------------------------------------------------------------------------------------

  save() {
    this.stack.push(Object.fromEntries(Object.keys(FRESH).map((name) => [name, this[name]])));
  }

  restore() {
    Object.assign(this, this.stack.pop());
  }

  /** Draws with (x, y) as the origin that setTransform starts from. */
  within(x, y, draw) {
    const before = this.base;
    this.save();
    this.base = [before[0] + x, before[1] + y];
    this.matrix = [1, 0, 0, 1, ...this.base];
    draw();
    this.base = before;
    this.restore();
  }

  setTransform(a, b, c, d, e, f) {
    this.matrix = [a, b, c, d, e + this.base[0], f + this.base[1]];
  }

  translate(x, y) {
    const [a, b, c, d, e, f] = this.matrix;
    this.matrix = [a, b, c, d, e + a * x + c * y, f + b * x + d * y];
  }

  rotate(angle) {
    const [a, b, c, d, e, f] = this.matrix;
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    this.matrix = [a * cos + c * sin, b * cos + d * sin, c * cos - a * sin, d * cos - b * sin, e, f];
  }

  setLineDash(dash) {
    this.dash = [...dash];
  }

  #place(x, y) {
    const [a, b, c, d, e, f] = this.matrix;
    return [a * x + c * y + e, b * x + d * y + f];
  }

  get #zoom() {
    return Math.hypot(this.matrix[0], this.matrix[1]);
  }

  // ---- paths, kept in the figure's own coordinates --------------------------------------------------------------------

  beginPath() {
    this.path = [];
    this.circle = null;
    this.joined = null;
  }

  moveTo(x, y) {
    this.#step("M", x, y);
  }

  lineTo(x, y) {
    this.#step(this.path.length ? "L" : "M", x, y);
  }

  #step(letter, x, y) {
    this.path.push(letter + this.#place(x, y).map(short).join(" "));
    this.circle = null;
  }

  closePath() {
    this.path.push("Z");
  }

  rect(x, y, w, h) {
    this.moveTo(x, y);
    this.lineTo(x + w, y);
    this.lineTo(x + w, y + h);
    this.lineTo(x, y + h);
    this.closePath();
  }

  arc(x, y, r, from, to) {
    const on = (angle) => [x + r * Math.cos(angle), y + r * Math.sin(angle)];
    const radius = short(r * this.#zoom);
    const bow = (large, angle) => this.path.push(`A${radius} ${radius} 0 ${large} ${to > from ? 1 : 0} ${this.#place(...on(angle)).map(short).join(" ")}`);
    if (Math.abs(to - from) < TURN - 1e-6) {
      this.lineTo(...on(from));
      bow(Math.abs(to - from) > Math.PI ? 1 : 0, to);
      return;
    }
    const alone = !this.path.length;
    this.moveTo(...on(from));
    bow(1, from + Math.PI);
    bow(1, from);
    const [cx, cy] = this.#place(x, y);
    if (alone) this.circle = { cx: short(cx), cy: short(cy), r: radius };
  }

  clip() {
    const id = `clip${this.clips.length}`;
    this.clips.push(`<clipPath id="${id}"${attributes({ "clip-path": this.clipping })}><path d="${this.path.join("")}"/></clipPath>`);
    this.clipping = `url(#${id})`;
  }

  // ---- marks --------------------------------------------------------------------------------------------------------

  fill() {
    this.#mark({ fill: this.fillStyle, "fill-opacity": this.#opacity });
  }

  stroke() {
    const { lineCap, lineJoin, dash } = this;
    this.#mark({
      ...{ stroke: this.strokeStyle, "stroke-opacity": this.#opacity, "stroke-width": short(this.lineWidth * this.#zoom) },
      "stroke-linecap": lineCap === "butt" ? "" : lineCap,
      "stroke-linejoin": lineJoin === "miter" ? "" : lineJoin,
      "stroke-dasharray": dash.map((d) => short(d * this.#zoom)).join(" "),
    });
  }

  get #opacity() {
    return this.globalAlpha < 1 ? short(this.globalAlpha) : "";
  }

  /** A fill and a stroke of one path become one element, painted in the order in which they came. */
  #mark(paint) {
    if (!this.path.length) return;
    const side = paint.fill ? "fill" : "stroke";
    if (this.joined && !this.joined.sides.includes(side)) {
      if (side === "fill") paint["paint-order"] = "stroke";
      Object.assign(this.joined.paint, paint);
      this.joined.sides.push(side);
    } else {
      this.joined = { sides: [side], paint: { ...paint }, shape: this.circle ?? { d: this.path.join("") }, clip: this.clipping };
      this.parts.push(this.joined);
    }
  }

  fillRect(x, y, w, h) {
    this.#rectangle(() => this.fill(), x, y, w, h);
  }

  strokeRect(x, y, w, h) {
    this.#rectangle(() => this.stroke(), x, y, w, h);
  }

  #rectangle(mark, x, y, w, h) {
    const { path, circle } = this;
    this.beginPath();
    this.rect(x, y, w, h);
    mark();
    this.beginPath();
    Object.assign(this, { path, circle });
  }

  clearRect() {}

  /** The wider of the page's font and a plain one: who opens the file may have only that. */
  measureText(text) {
    const wide = [this.font, this.font.replace(/px .*/, "px sans-serif")].map((font) => {
      this.ruler.font = font;
      return this.ruler.measureText(text).width;
    });
    return { width: Math.max(...wide) };
  }

  fillText(text, x, y, most = Infinity) {
    const last = this.parts[this.parts.length - 1];
    const place = JSON.stringify([text, x, y]);
    const paint = { fill: this.fillStyle, "fill-opacity": this.#opacity };
    if (last?.place === place && !last.paint.fill) Object.assign(last.paint, paint, { "paint-order": "stroke" });
    else this.#text(text, x, y, paint, most);
  }

  /** Beneath the same text filled, as a rim that keeps it readable. */
  strokeText(text, x, y) {
    const rim = { fill: "", stroke: this.strokeStyle, "stroke-width": short(this.lineWidth * this.#zoom), "stroke-linejoin": "round" };
    this.#text(text, x, y, rim, Infinity);
  }

  #text(text, x, y, paint, most) {
    const [, style, , size, family] = this.font.match(/^((?:\w+ )*)((\d*\.?\d+)px) (.*)$/) ?? [null, "", "", "10", "sans-serif"];
    const [px, py] = this.#place(x, y);
    const turn = Math.round((Math.atan2(this.matrix[1], this.matrix[0]) * 180) / Math.PI);
    const place = turn ? { transform: `translate(${short(px)} ${short(py)}) rotate(${turn})` } : { x: short(px), y: short(py) };
    const wide = this.measureText(text).width;
    this.parts.push({
      place: JSON.stringify([text, x, y]),
      text,
      clip: this.clipping,
      paint: { ...paint },
      shape: {
        ...place,
        dy: short((BASELINES[this.textBaseline] ?? 0) * Number(size)),
        "text-anchor": ANCHORS[this.textAlign],
        "font-size": size,
        "font-weight": style.match(/\d+|bold/)?.[0] ?? "",
        "font-family": `${family.replace(/"/g, "'")}, sans-serif`,
        textLength: wide > most ? short(most) : "",
        lengthAdjust: wide > most ? "spacingAndGlyphs" : "",
      },
    });
    this.joined = null;
  }

  /** Puts what `draw` draws into one group with a name that viewers show as a tooltip. */
  group(kind, title, draw) {
    this.parts.push({ raw: `<g class="${xml(kind)}">${title ? `<title>${xml(title)}</title>` : ""}` });
    draw();
    this.parts.push({ raw: "</g>" });
    this.joined = null;
  }

  // ---- the file -----------------------------------------------------------------------------------------------------

  /** The drawing as a whole SVG document. */
  markup(width, height, { title, description = "" }) {
    const [w, h] = [short(width), short(height)];
    return (
      `<svg xmlns="http://www.w3.org/2000/svg" width="${w}" height="${h}" viewBox="0 0 ${w} ${h}" role="img">` +
      `<title>${xml(title)}</title>${description ? `<desc>${xml(description)}</desc>` : ""}` +
      `${this.clips.length ? `<defs>${this.clips.join("")}</defs>` : ""}${this.parts.map(element).join("\n")}</svg>\n`
    );
  }
}

function element({ raw, text, clip, paint, shape }) {
  if (raw) return raw;
  const looks = attributes({ ...shape, ...paint, fill: paint.fill || "none", "clip-path": clip });
  if (text !== undefined) return `<text${looks}>${xml(text)}</text>`;
  return shape.d === undefined ? `<circle${looks}/>` : `<path${looks}/>`;
}
