// The operating point's controls: the rule that chooses the threshold, its numbers, the prevalence, and what stays.
import { count, h, percent, scoreText, setAttribute, setField, setStyle, setText, short } from "./dom.js";
import { outlook, spareOf } from "./operating_point.js";

const log = (low, high) => ({ to: (v) => Math.log(Math.max(low, v) / low) / Math.log(high / low), from: (p) => low * (high / low) ** p });
const linear = (low, high) => ({ to: (v) => (v - low) / (high - low), from: (p) => low + (high - low) * p });

/** One number of a rule: a slider for the hand and a field for the value, in the unit that people say. */
const NUMBERS = {
  tpr: { label: "TPR", aria: "True positive rate in percent", unit: "%", scale: 100, digits: 1, min: 0, max: 100, slide: linear(50, 100), step: 0.1 },
  fpr: { label: "FPR at most", aria: "False positive rate in percent", unit: "%", scale: 100, digits: 3, min: 0, max: 100, slide: log(0.05, 100), step: 0.1 },
  miss: { label: "a miss costs", aria: "Cost of a miss: an ood image accepted", unit: "", scale: 1, digits: 4, min: 0, max: 1e9, slide: log(0.01, 1000), step: 1 },
  alarm: { label: "a false alarm costs", aria: "Cost of a false alarm: an in-distribution image rejected", unit: "", scale: 1, digits: 4, min: 0, max: 1e9, step: 1 },
  alarms: { label: "false alarms a day, at most", aria: "False alarms a day at most", unit: "", scale: 1, digits: 1, min: 0, max: 1e12, slide: log(1, 10000), step: 1 },
  images: { label: "of", aria: "Images a day", unit: "images a day", scale: 1, digits: 0, min: 1e-6, max: 1e12, step: 100 },
  prevalence: { label: "ood expected", aria: "Expected share of ood in percent", unit: "%", scale: 100, digits: 4, min: 1e-7, max: 100 - 1e-7, step: 0.5 },
};
const RULES = {
  tpr: { name: "TPR", title: "Accept at least this share of in-distribution images", numbers: ["tpr"] },
  fpr: { name: "FPR", title: "Accept at most this share of ood images", numbers: ["fpr"] },
  cost: { name: "costs", title: "Least expected cost of misses and false alarms", numbers: ["miss", "alarm"] },
  alarms: { name: "alarms a day", title: "At most so many in-distribution images rejected a day", numbers: ["alarms", "images"] },
};
const QUICK = [0.8, 0.95];

export class OperatingControls {
  constructor(cockpit) {
    this.cockpit = cockpit;
    this.rule = "tpr";
    this.threshold = h("input", { type: "number", step: "any", class: "long", "aria-label": "Threshold on the score, as a number" });
    this.threshold.addEventListener("change", () => {
      const value = Number(this.threshold.value);
      if (this.threshold.value === "" || !Number.isFinite(value)) return;
      cockpit.setHold(false);
      cockpit.setThreshold(value);
      cockpit.commit();
    });
    this.rules = Object.entries(RULES).map(([by, { name, title }]) =>
      h("button", { type: "button", class: "small", title, "aria-pressed": "false", onclick: () => this.#choose({ by }) }, name),
    );
    this.numbers = Object.fromEntries(Object.keys(NUMBERS).map((name) => [name, this.#number(name)]));
    const quick = (tpr) => h("button", { type: "button", class: "small", onclick: () => this.#choose({ by: "tpr", tpr }) }, `TPR ${tpr * 100} %`);
    this.quick = QUICK.map(quick);
    this.sets = Object.entries(RULES).map(([by, { numbers }]) =>
      h("div", { class: "fields rule", "data-rule": by }, ...numbers.map((name) => this.numbers[name].element), ...(by === "tpr" ? this.quick : [])),
    );
    const name = `hold-${Math.random().toString(36).slice(2)}`;
    this.holds = [true, false].map((keep) => h("input", { type: "radio", name, onchange: () => this.#hold(keep) }));
    this.note = h("p", { class: "note", "data-note": "rule" });
    this.element = h(
      "div",
      { class: "operating" },
      h(
        "div",
        { class: "choosing" },
        h("span", { class: "hint" }, "Threshold by"),
        h("div", { class: "segmented", role: "group", "aria-label": "Rule that chooses the threshold" }, ...this.rules),
        h("label", { class: "field" }, "Threshold", this.threshold),
        this.numbers.prevalence.element,
      ),
      ...this.sets,
      this.note,
      h(
        "div",
        { class: "hold", role: "radiogroup", "aria-label": "When the weights change, keep" },
        h("span", {}, "When α or ε changes, keep"),
        h("label", {}, this.holds[0], (this.kept = h("span", {}, "the TPR"))),
        h("label", {}, this.holds[1], "the threshold"),
      ),
    );
  }

  /** The field (and slider) of one number; both act while they move. */
  #number(name) {
    const { label, aria, unit, scale, min, max, step, slide } = NUMBERS[name];
    const field = h("input", { type: "number", min, max, step, class: name === "images" ? "long" : null, "aria-label": aria });
    const set = (value) => {
      if (!Number.isFinite(value)) return;
      const by = name === "prevalence" ? {} : { by: this.rule };
      this.cockpit.setChoice({ ...by, [name]: Math.max(min, Math.min(max, value)) / scale });
    };
    field.addEventListener("input", () => field.value !== "" && set(Number(field.value)));
    field.addEventListener("change", () => {
      if (field.value !== "") set(Number(field.value));
      this.cockpit.commit();
      field.value = shown(name, this.cockpit.state.choice[name]);
    });
    const parts = [h("label", { class: "field" }, label, field, unit || null)];
    let slider = null;
    if (slide) {
      slider = h("input", { type: "range", min: 0, max: 1, step: 0.001, class: "brief", "aria-label": `${aria}, as a slider` });
      slider.addEventListener("input", () => set(tidy(slide.from(Number(slider.value)))));
      slider.addEventListener("change", () => this.cockpit.commit());
      parts.push(slider);
    }
    return { field, slider, element: h("div", { class: "number-pair" }, ...parts) };
  }

  #choose(choice) {
    this.cockpit.setChoice(choice);
    this.cockpit.commit();
  }

  #hold(keep) {
    this.cockpit.setHold(keep, this.rule);
    this.cockpit.commit();
  }

  update(model) {
    const { state, range, achieved } = model;
    const { choice } = state;
    if (choice.by !== "hand") this.rule = choice.by;
    setField(this.threshold, scoreText(state.threshold, range.high - range.low).replace("–", ""));
    Object.keys(RULES).forEach((by, i) => {
      setAttribute(this.rules[i], "aria-pressed", String(choice.by === by));
      this.sets[i].hidden = this.rule !== by;
    });
    for (const [name, { field, slider }] of Object.entries(this.numbers)) {
      const value = name === "tpr" && Number.isFinite(achieved.tpr) ? achieved.tpr : choice[name];
      setField(field, shown(name, value));
      if (!slider) continue;
      const place = Math.max(0, Math.min(1, NUMBERS[name].slide.to(choice[name] * NUMBERS[name].scale)));
      if (Math.abs(Number(slider.value) - place) > 0.0006) slider.value = place;
      setStyle(slider, "--low", "0");
      setStyle(slider, "--high", String(place));
      setAttribute(slider, "aria-valuetext", `${shown(name, choice[name])} ${NUMBERS[name].unit}`.trim());
    }
    this.holds.forEach((radio, i) => (radio.checked = (choice.by === "hand") === (i === 1)));
    setText(this.kept, choice.by === "tpr" ? `the TPR (at least ${percent(choice.tpr)})` : KEPT[this.rule]);
    this.quick.forEach((button, i) => setAttribute(button, "aria-pressed", String(choice.by === "tpr" && choice.tpr === QUICK[i])));
    setText(this.note, this.#words(model));
  }

  /** What the rule did, whose labels it saw, and where the test set is too small for it. */
  #words({ state, achieved, metrics, oodName, unit }) {
    const { choice } = state;
    if (choice.by === "hand") return "Set by hand; no rule holds it.";
    if (choice.by === "tpr") return "Chosen on in-distribution images alone: no ood label.";
    if (choice.by === "fpr") return `Chosen on the labels of the ${count(metrics.oodCount)} ${oodName} test ${unit}; on another ood set the FPR will differ.`;
    if (choice.by === "cost") {
      return `Least expected cost, ${short(outlook(achieved, choice).cost, 4)} an image. Chosen on the labels of the ${oodName} test ${unit}; costs count only by their ratio.`;
    }
    const daily = (1 - choice.prevalence) * choice.images;
    const expected = `${short(daily * (1 - achieved.tpr), 3)} false alarms a day expected among ${count(Math.round(daily))} in-distribution ${unit}. No ood label used.`;
    if (spareOf(metrics.indCount, choice) > 0) return expected;
    return `${expected} ${count(metrics.indCount)} test ${unit} are too few for this budget: one of them stands for ${short(daily / metrics.indCount, 2)} a day.`;
  }
}

const KEPT = { tpr: "the TPR", fpr: "the FPR", cost: "the least cost", alarms: "the alarm budget" };

function shown(name, value) {
  const { scale, digits } = NUMBERS[name];
  const text = name === "tpr" || name === "alarms" || name === "images" ? (value * scale).toFixed(digits) : short(value * scale, digits);
  return name === "tpr" ? text : String(Number(text));
}

/** Two digits that count: what a slider can mean. */
function tidy(value) {
  return Number(value.toPrecision(value >= 50 && value <= 100 ? 3 : 2));
}
