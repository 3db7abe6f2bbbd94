// Example images along the score axis (the paper's Fig. 1): which are accepted, which rejected, and the borderline.
import { h, scoreText, setAttribute, setStyle, setText } from "./dom.js";
import { galleryOf } from "./gallery.js";
import { countBelow } from "./metrics.js";
import { Plot, line } from "./plot.js";

const MARGINS = { left: 6, right: 6, top: 2, bottom: 2 };
const GAP = 8;
const LEADER = 30; // px between the images and the density
const DENSITY = 64;

export class StripPanel {
  constructor(cockpit) {
    this.cockpit = cockpit;
    this.canvas = h("canvas", { class: "plot strip", role: "img" });
    this.plot = new Plot(this.canvas, MARGINS);
    this.rows = ["ind", "ood"].map((kind) => ({ kind, items: [], element: h("div", { class: `thumbs ${kind}`, role: "group" }) }));
    this.keep = h("input", { type: "checkbox", onchange: () => this.#keepChanged() });
    this.link = h("a", { class: "inspect", hidden: true }, "Inspect this image →");
    this.link.addEventListener("click", (event) => this.#open(event));
    this.detail = h("p", { class: "words", "aria-live": "polite" });
    this.element = h(
      "section",
      { class: "panel", "aria-label": "Example images", hidden: true },
      h("header", {}, h("h3", {}, "What happens to these images"), h("label", { class: "field" }, this.keep, "keep these when I let go")),
      h("div", { class: "strip-stage" }, this.rows[0].element, this.canvas, this.rows[1].element),
      h("div", { class: "picked" }, this.detail, this.link),
    );
    this.canvas.addEventListener("pointerdown", (event) => this.#aim(event));
  }

  #keepChanged() {
    if (!this.keep.checked) this.due = true;
    this.cockpit.redraw();
  }

  /** The next frame chooses anew which images are shown. */
  chooseAnew() {
    this.due ||= !this.keep.checked;
  }

  /** A press on the density selects the nearest shown image. */
  #aim(event) {
    const { px } = this.plot.locate(event);
    const shown = this.rows.flatMap((row) => row.items);
    const nearest = shown.reduce((best, item) => (!best || Math.abs(item.x - px) < Math.abs(best.x - px) ? item : best), null);
    if (nearest) this.#select(nearest);
  }

  #select({ example }) {
    this.selected = example;
    this.cockpit.send("inspect", { set: example.ref, row: example.row });
    this.cockpit.redraw();
  }

  #open(event) {
    if (event.ctrlKey || event.metaKey || event.shiftKey || !this.selected) return;
    event.preventDefault();
    this.cockpit.trigger("open", { set: this.selected.ref, row: this.selected.row });
  }

  draw(model, look) {
    const gallery = model.config.examples && galleryOf(model.config.examples);
    this.element.hidden = !gallery?.url || !model.defined;
    if (this.element.hidden) return;
    if (!this.plot.width) this.plot.measure();
    const size = this.plot.width < 560 ? 40 : 52;
    const sides = this.rows.map((row) => this.#pool(gallery, row.kind, model));
    const shape = `${gallery.id}|${model.state.ood}|${this.plot.width}`;
    if (this.due || shape !== this.shape) {
      this.rows.forEach((row, i) => this.#choose(row, sides[i], model, size, gallery));
      this.shape = shape;
      this.due = false;
    }
    const { plot } = this;
    plot.domain = { x0: model.range.low, x1: model.range.high, y0: 0, y1: 1 };
    plot.begin(look);
    this.#density(model, look);
    for (const row of this.rows) this.#place(row, model, look, size);
    this.#words(model);
  }

  /** All examples of a side with their present scores. */
  #pool(gallery, kind, { state, config }) {
    const { engine } = this.cockpit;
    const sets = kind === "ind" ? [engine.ind] : state.ood === null ? engine.oods : [engine.chosen(state.ood)];
    return sets.flatMap((set) => (gallery.sets.get(set.name) ?? []).map((example) => ({ example, set, score: set.values[example.at] })));
  }

  /** Borderline images on both sides of the threshold first, then images spread evenly over the rest of the side. */
  #choose(row, pool, { state }, size, gallery) {
    pool.sort((a, b) => a.score - b.score);
    const room = Math.min(pool.length, Math.max(4, Math.floor(this.plot.width / (size + GAP))));
    const at = pool.findIndex(({ score }) => score >= state.threshold);
    const first = at < 0 ? pool.length : at;
    const wanted = Math.min(room, 2 * Math.ceil(room / 4));
    const low = Math.max(0, Math.min(first - wanted / 2, pool.length - wanted));
    const border = pool.slice(low, low + wanted);
    const rest = [...pool.slice(0, low), ...pool.slice(low + wanted)];
    const free = room - border.length;
    const spread = Array.from({ length: free }, (_, i) => rest[Math.floor(((i + 0.5) * rest.length) / free)]);
    const chosen = [...border, ...spread].sort((a, b) => a.score - b.score);
    row.items = chosen.map(({ example, set }, i) => {
      const button = row.items[i]?.button ?? this.#button(row);
      const item = { example, set, button, x: 0 };
      button.item = item;
      const [column, lineAt] = [example.cell % gallery.columns, Math.floor(example.cell / gallery.columns)];
      const image = button.firstChild.style;
      image.backgroundImage = `url(${gallery.url})`;
      image.backgroundSize = `${gallery.columns * size}px ${gallery.lines * size}px`;
      image.backgroundPosition = `${-column * size}px ${-lineAt * size}px`;
      return item;
    });
    row.element.replaceChildren(...row.items.map((item) => item.button));
    row.element.style.height = `${size + 4}px`;
    row.element.style.setProperty("--size", `${size}px`);
    setAttribute(row.element, "aria-label", row.kind === "ind" ? "In-distribution examples, by score" : "Ood examples, by score");
  }

  #button() {
    const button = h("button", { type: "button", class: "thumb" }, h("i", {}));
    button.addEventListener("click", () => this.#select(button.item));
    return button;
  }

  /** Puts a side's images in the order of their scores, each tied to its place on the axis, framed by its verdict. */
  #place(row, { state, range }, look, size) {
    const { plot } = this;
    const { area, context: c } = plot;
    const top = row.kind === "ind";
    const ordered = row.items.map((item) => ({ item, score: item.set.values[item.example.at] })).sort((a, b) => a.score - b.score);
    const slot = plot.width / Math.max(1, ordered.length);
    const middle = plot.height / 2;
    ordered.forEach(({ item, score }, i) => {
      const accepted = score >= state.threshold;
      const from = slot * (i + 0.5);
      const to = Math.max(area.x, Math.min(area.x + area.w, plot.x(score)));
      item.x = from;
      c.strokeStyle = accepted ? look.accept : look.reject;
      c.globalAlpha = 0.75;
      c.lineWidth = 1.25;
      c.beginPath();
      const [begin, knee, end] = top ? [0, LEADER - 4, middle] : [plot.height, plot.height - LEADER + 4, middle];
      line(c, from, begin, to, knee);
      c.lineTo(to, end + (top ? -3 : 3));
      c.stroke();
      c.globalAlpha = 1;
      c.fillStyle = c.strokeStyle;
      c.beginPath();
      c.arc(to, end + (top ? -3 : 3), 2.5, 0, 7);
      c.fill();
      setStyle(item.button, "transform", `translateX(${(from - size / 2 - 2).toFixed(1)}px)`);
      const chosen = item.example === this.selected;
      setAttribute(item.button, "class", `thumb ${accepted ? "accepted" : "rejected"}${chosen ? " chosen" : ""}`);
      setAttribute(item.button, "aria-pressed", String(chosen));
      const text = `${item.example.name}, row ${item.example.row}: score ${scoreText(score, range.high - range.low)}, ${accepted ? "accepted" : "rejected"}`;
      setAttribute(item.button, "aria-label", text);
      setAttribute(item.button, "title", text);
    });
  }

  /** ind above the middle line, ood below it, on the axis of the histogram. */
  #density(model, look) {
    const { plot } = this;
    const { area, context: c } = plot;
    const { ind, oods } = model.histograms(Math.round(Math.max(30, Math.min(80, area.w / 10))));
    const middle = plot.height / 2;
    const at = Math.max(area.x, Math.min(area.x + area.w, plot.x(model.state.threshold)));
    c.globalAlpha = 0.08;
    c.fillStyle = look.reject;
    c.fillRect(area.x, middle - DENSITY / 2, at - area.x, DENSITY);
    c.fillStyle = look.accept;
    c.fillRect(at, middle - DENSITY / 2, area.x + area.w - at, DENSITY);
    c.globalAlpha = 1;
    const hill = ({ shares }, colour, up) => {
      const high = shares.reduce((a, b) => Math.max(a, b), 1e-9);
      const step = area.w / shares.length;
      c.beginPath();
      c.moveTo(area.x, middle);
      shares.forEach((share, b) => c.lineTo(area.x + step * (b + 0.5), middle + (up ? -1 : 1) * (share / high) * (DENSITY / 2 - 2)));
      c.lineTo(area.x + area.w, middle);
      c.globalAlpha = 0.4;
      c.fillStyle = colour;
      c.fill();
      c.globalAlpha = 1;
    };
    hill(ind, look.ind, true);
    oods.forEach((side) => hill(side, look.oodAt(model.oodIndex(side.name)), false));
    c.strokeStyle = look.text;
    c.lineWidth = 2;
    c.beginPath();
    line(c, at, LEADER - 10, at, plot.height - LEADER + 10);
    c.stroke();
  }

  #words({ state, config, range, metrics }) {
    const { engine } = this.cockpit;
    const example = this.selected;
    const set = example && [engine.ind, ...engine.oods].find((one) => one.name === example.name);
    if (!set) {
      setText(this.detail, "In-distribution above, ood below; half of each row lies nearest to the threshold. Press an image for its score.");
      this.link.hidden = true;
      return;
    }
    const score = set.values[example.at];
    const below = countBelow(engine.sorted(engine.ind), score) / Math.max(1, metrics.indCount);
    const verdict = score >= state.threshold ? "accepted as in-distribution" : "rejected as ood";
    const place = `above ${Math.round(100 * below)} % of the in-distribution ${config.unit}`;
    setText(this.detail, `${example.name}, row ${example.row}: score ${scoreText(score, range.high - range.low)}, ${place}; ${verdict}.`);
    this.link.hidden = !config.inspect;
    const search = new URLSearchParams({ set: example.ref, row: String(example.row) });
    if (config.inspect) setAttribute(this.link, "href", `${config.inspect}?${search}`);
  }
}
