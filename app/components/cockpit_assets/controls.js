// Epsilon, and the table in which an ood set is chosen.
import { count, h, percent, setAttribute, setField, setStyle, setText, share, short } from "./dom.js";

/** A slider through the epsilon knots, evenly spaced on it and continuous between them. */
export class EpsilonPanel {
  constructor(cockpit) {
    this.cockpit = cockpit;
    this.slider = h("input", { type: "range", min: "0", step: "0.001", "aria-label": "Epsilon, the size of the perturbation in pixels" });
    this.number = h("input", { type: "number", step: "any", "aria-label": "Epsilon, as a number" });
    this.marks = h("div", { class: "marks", "aria-hidden": "true" });
    this.note = h("p", { class: "note" });
    this.slider.addEventListener("input", () => cockpit.setEpsilon(this.#epsilonAt(Number(this.slider.value))));
    this.slider.addEventListener("change", () => cockpit.commit());
    this.slider.addEventListener("keydown", (event) => this.#key(event));
    this.number.addEventListener("input", () => this.number.value !== "" && cockpit.setEpsilon(this.#clamped(Number(this.number.value))));
    this.number.addEventListener("change", () => {
      this.number.value = short(cockpit.state.epsilon, 6);
      cockpit.commit();
    });
    this.element = h(
      "section",
      { class: "panel epsilon", "aria-label": "Epsilon" },
      h("header", {}, h("h3", {}, "Perturbation ε"), h("label", { class: "field" }, this.number, "px")),
      this.slider,
      this.marks,
      this.note,
    );
  }

  rebuild(config) {
    this.knots = config.knots;
    this.element.hidden = this.knots.length === 1;
    const last = this.knots.length - 1;
    setAttribute(this.slider, "max", Math.max(1, last));
    this.marks.replaceChildren(
      ...this.knots.map((knot, i) => h("span", { style: `left:${last ? (100 * i) / last : 0}%` }, short(knot).replace(/^(-?)0\./, "$1."))),
    );
  }

  #epsilonAt(place) {
    const i = Math.min(Math.floor(place), this.knots.length - 2);
    const part = place - i;
    if (part < 1e-9) return this.knots[i];
    if (part > 1 - 1e-9) return this.knots[i + 1];
    return this.knots[i] + part * (this.knots[i + 1] - this.knots[i]);
  }

  #placeOf(epsilon) {
    const { knots } = this;
    let i = 0;
    while (i < knots.length - 2 && epsilon >= knots[i + 1]) i++;
    return knots.length === 1 ? 0 : i + (epsilon - knots[i]) / (knots[i + 1] - knots[i]);
  }

  #clamped(epsilon) {
    if (!Number.isFinite(epsilon)) return this.cockpit.state.epsilon;
    return Math.max(this.knots[0], Math.min(this.knots[this.knots.length - 1], epsilon));
  }

  /** Arrows move by a twentieth of a piece (with Shift by a fifth), Page keys to the next knot. */
  #key(event) {
    const place = this.#placeOf(this.cockpit.state.epsilon);
    const last = this.knots.length - 1;
    const step = event.shiftKey ? 0.2 : 0.05;
    const next = {
      ArrowRight: place + step,
      ArrowUp: place + step,
      ArrowLeft: place - step,
      ArrowDown: place - step,
      PageUp: Math.floor(place + 1e-9) + 1,
      PageDown: Math.ceil(place - 1e-9) - 1,
      Home: 0,
      End: last,
    }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    this.cockpit.setEpsilon(this.#epsilonAt(Math.max(0, Math.min(last, Math.round(next * 1e6) / 1e6))));
    this.cockpit.commitSoon();
  }

  update({ state, facts, oodName }) {
    const place = this.#placeOf(state.epsilon);
    if (Math.abs(Number(this.slider.value) - place) > 0.0006) this.slider.value = place;
    const last = Math.max(1, this.knots.length - 1);
    const zero = this.#placeOf(this.#clamped(0)); // filled from no perturbation on, either way
    setStyle(this.slider, "--low", String(Math.min(zero, place) / last));
    setStyle(this.slider, "--high", String(Math.max(zero, place) / last));
    setField(this.number, short(state.epsilon, 4));
    setAttribute(this.slider, "aria-valuetext", `${short(state.epsilon, 4)} pixels`);
    const computed = this.knots.includes(state.epsilon);
    const between = "Between computed values: interpolated for each image and layer (monotone cubic).";
    setText(this.note, computed ? "Computed at this value." : facts?.epsilon ? `${between} ${exactInWords(facts.epsilon, oodName)}` : between);
  }
}

/** The exact value that the server computed at this epsilon, and how far the interpolation is from it. */
function exactInWords(found, oodName) {
  if (found.pending) return "The exact value follows below.";
  const small = (value) => `${short(100 * value, 2)} %`;
  return (
    `Computed exactly at this ε: AUROC ${share(found.auroc)}, FPR95 ${percent(found.fpr95)} against ${oodName}. Interpolated distances err by ` +
    `${small(found.median)} (median), at most ${small(found.worst)} (${found.layer}), over ${count(found.images)} images.`
  );
}

/** Every ood set under the current weights; its radio buttons choose what the charts show. */
export class SetsPanel {
  constructor(cockpit) {
    this.cockpit = cockpit;
    this.body = h("tbody", {});
    this.note = h("p", { class: "note" });
    this.element = h(
      "section",
      { class: "panel", "aria-label": "Out-of-distribution sets" },
      h("header", {}, h("h3", {}, "Tested against")),
      h(
        "table",
        { class: "sets" },
        h("thead", {}, h("tr", {}, ...["ood set", "images", "AUROC", "FPR95"].map((name, i) => h("th", { scope: "col", class: i ? "right" : null }, name)))),
        this.body,
      ),
      this.note,
    );
  }

  rebuild(config) {
    const name = `ood-${Math.random().toString(36).slice(2)}`;
    const names = config.ood.map((set) => set.name);
    const choices = names.length > 1 ? [...names, null] : names;
    this.rows = choices.map((choice, i) => {
      const radio = h("input", { type: "radio", name, "aria-label": choice ?? "all together", onchange: () => this.cockpit.choose(choice) });
      const [images, auroc, fpr95] = [0, 1, 2].map(() => h("td", { class: "right number" }));
      const swatch = h("i", { class: "swatch" });
      const used = h("small", {});
      const label = h("label", {}, radio, swatch, h("span", {}, choice ?? "all together", used));
      return { choice, index: choice === null ? -1 : i, element: h("tr", {}, h("td", {}, label), images, auroc, fpr95), radio, images, auroc, fpr95, swatch, used };
    });
    this.body.replaceChildren(...this.rows.map((row) => row.element));
    setText(this.note, names.length > 1 ? "All under the weights above: weights that suit one set may fail on another." : "");
  }

  update({ state, config, table }, look) {
    const pooled = table && pool(table);
    for (const row of this.rows) {
      row.radio.checked = state.ood === row.choice;
      row.element.classList.toggle("chosen", state.ood === row.choice);
      setStyle(row.swatch, "--swatch", look.oodAt(row.index));
      setText(row.used, row.choice !== null && labelled(row.choice, state, config) ? "its labels chose α" : "");
      if (!table) continue;
      const entry = row.choice === null ? pooled : table[row.index];
      setText(row.images, count(entry.count));
      setText(row.auroc, share(entry.auroc, 3));
      setText(row.fpr95, percent(entry.fpr95));
      row.auroc.classList.toggle("alarm", entry.auroc < 0.5);
    }
  }
}

/** All sets as one: AUROC and FPR are shares over ood images, so they add up by the sets' sizes. */
function pool(table) {
  const rows = table.filter((row) => row.count);
  const total = rows.reduce((sum, row) => sum + row.count, 0);
  const mean = (value) => rows.reduce((sum, row) => sum + row.count * row[value], 0) / total;
  return { count: total, auroc: mean("auroc"), fpr95: mean("fpr95") };
}

/** Whether the weights' labels name this set. */
function labelled(name, state, config) {
  const origin = state.preset ?? state.origin;
  const labels = (config.presets.find((preset) => preset.name === origin) ?? config.start).labels;
  return origin !== null && !labels.startsWith("none") && labels.split(/[\s,;+()]+/).includes(name);
}
