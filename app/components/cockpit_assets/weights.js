// The panel of layer weights: presets, one row a layer (single-layer AUROC, alarm, slider, number, 0, sign), undo.
import { h, setAttribute, setField, setStyle, setText, share } from "./dom.js";

const DRAG_STEP = 0.001;
const KEY_STEP = 0.01;
const PAGE_STEP = 0.1;

export class WeightsPanel {
  constructor(cockpit) {
    this.cockpit = cockpit;
    this.undo = h("button", { type: "button", class: "icon", title: "Undo (Ctrl+Z)", "aria-label": "Undo", onclick: () => cockpit.undo() }, "↶");
    this.redo = h("button", { type: "button", class: "icon", title: "Redo (Ctrl+Shift+Z)", "aria-label": "Redo", onclick: () => cockpit.redo() }, "↷");
    this.presets = h("div", { class: "presets", role: "group", "aria-label": "Presets of the weights" });
    this.active = h("p", { class: "note active" });
    this.rows = h("div", { class: "layers" });
    this.alarm = h("p", { class: "note" });
    this.element = h(
      "section",
      { class: "panel", "aria-label": "Layer weights" },
      h("header", {}, h("h3", {}, "Layer weights α"), h("div", { class: "tools" }, this.undo, this.redo)),
      this.presets,
      this.active,
      this.rows,
      this.alarm,
      h("p", { class: "note" }, "α counts only up to a positive factor: doubling all of them changes no ranking."),
    );
  }

  /** Builds the rows and buttons anew for other layers or presets. */
  rebuild(config) {
    this.offered = config.presets.filter((preset) => !preset.retired);
    this.buttons = this.offered.map((preset) =>
      h(
        "button",
        { type: "button", class: "preset", "aria-pressed": "false", onclick: () => this.cockpit.applyPreset(preset) },
        h("b", {}, preset.name),
        h("span", {}, labelsInWords(preset.labels).replace("ε ", "ε\u00a0")),
      ),
    );
    this.presets.replaceChildren(...this.buttons);
    this.sizes = config.layers.map(() => 0);
    this.layers = config.layers.map((layer, k) => this.#row(layer, k));
    this.rows.replaceChildren(...this.layers.map((row) => row.element));
  }

  #row(layer, k) {
    const { cockpit } = this;
    const slider = h("input", { type: "range", min: "-1", max: "1", step: String(DRAG_STEP), "aria-label": `Weight of ${layer}` });
    const number = h("input", { type: "number", min: "-1", max: "1", step: String(KEY_STEP), "aria-label": `Weight of ${layer}, as a number` });
    const move = (value) => cockpit.setAlpha(k, Math.max(-1, Math.min(1, value)));
    slider.addEventListener("input", () => move(Number(slider.value)));
    slider.addEventListener("change", () => cockpit.commit());
    slider.addEventListener("keydown", (event) => {
      const step = event.shiftKey ? PAGE_STEP : KEY_STEP;
      const by = { ArrowRight: step, ArrowUp: step, ArrowLeft: -step, ArrowDown: -step, PageUp: PAGE_STEP, PageDown: -PAGE_STEP }[event.key];
      const to = { Home: -1, End: 1 }[event.key];
      if (by === undefined && to === undefined) return;
      event.preventDefault();
      move(to ?? Math.round((cockpit.state.alpha[k] + by) * 1000) / 1000);
      cockpit.commitSoon();
    });
    number.addEventListener("input", () => number.value !== "" && Number.isFinite(Number(number.value)) && move(Number(number.value)));
    number.addEventListener("change", () => {
      number.value = cockpit.state.alpha[k].toFixed(3);
      cockpit.commit();
    });
    const act = (value) => () => {
      move(value());
      cockpit.commit();
    };
    const zero = h("button", { type: "button", class: "icon", title: `Set ${layer} to 0`, "aria-label": `Set the weight of ${layer} to 0`, onclick: act(() => 0) }, "0");
    const flip = h("button", { type: "button", class: "icon", title: `Flip the sign of ${layer}`, "aria-label": `Flip the sign of the weight of ${layer}`, onclick: act(() => -cockpit.state.alpha[k]) }, "±");
    const mend = (word, value, title) =>
      h("button", { type: "button", class: "mend", title, "aria-label": title, "aria-pressed": "false", hidden: true, onclick: act(value) }, word);
    const away = mend("flip", () => -this.#size(k), `Flip ${layer}: give it a negative weight`);
    const drop = mend("drop", () => 0, `Drop ${layer}: give it the weight 0`);
    const badge = h("span", { class: "badge" });
    const bar = h("i", {});
    const auroc = h("span", { class: "number" });
    const meter = h("span", { class: "meter", title: "AUROC of this layer's distance alone; the middle is chance, 0.5" }, bar);
    const element = h(
      "div",
      { class: "layer", role: "group", "aria-label": layer },
      h("div", { class: "head" }, h("span", { class: "name", title: layer }, layer), badge, away, drop, meter, auroc),
      h("div", { class: "set" }, slider, number, zero, flip),
    );
    return { element, slider, number, badge, bar, auroc, meter, away, drop };
  }

  /** How much weight a layer has or, once dropped, had; never nothing. */
  #size(k) {
    return Math.abs(this.cockpit.state.alpha[k]) || this.sizes[k] || 1;
  }

  update(model) {
    const { state, config, layerAurocs } = model;
    this.offered.forEach((preset, i) => setAttribute(this.buttons[i], "aria-pressed", String(preset.name === state.preset)));
    setText(this.active, state.preset ? "" : activeInWords(state, config));
    // not `disabled`: a button that disables itself under the focus would swallow the next Ctrl+Z
    setAttribute(this.undo, "aria-disabled", String(!this.cockpit.history.canUndo));
    setAttribute(this.redo, "aria-disabled", String(!this.cockpit.history.canRedo));
    const kinds = new Set();
    this.layers.forEach((row, k) => {
      const alpha = state.alpha[k];
      this.sizes[k] = Math.abs(alpha) || this.sizes[k];
      setField(row.number, alpha.toFixed(3).replace(/^-(0\.000)$/, "$1"));
      if (Number(row.slider.value) !== alpha) row.slider.value = alpha;
      setStyle(row.slider, "--low", String(0.5 + 0.5 * Math.min(0, alpha)));
      setStyle(row.slider, "--high", String(0.5 + 0.5 * Math.max(0, alpha)));
      setAttribute(row.slider, "aria-valuetext", alpha.toFixed(3));
      if (layerAurocs) kinds.add(this.#judge(row, layerAurocs[k], alpha, config.margin));
    });
    if (layerAurocs) setText(this.alarm, alarmInWords(kinds, model.oodName));
  }

  /** Shows a layer's own AUROC and its alarm; gives the alarm's kind. */
  #judge(row, auroc, alpha, margin) {
    setText(row.auroc, share(auroc, 3));
    setStyle(row.bar, "left", `${(100 * Math.min(0.5, auroc)).toFixed(1)}%`);
    setStyle(row.bar, "width", `${(100 * Math.abs(auroc - 0.5)).toFixed(1)}%`);
    const kind = !(Math.abs(auroc - 0.5) > margin) ? "uninformative" : auroc < 0.5 ? "inverted" : "";
    const fixed = kind === "inverted" && alpha <= 0;
    setText(row.badge, Number.isNaN(auroc) ? "" : kind);
    setAttribute(row.badge, "class", `badge ${kind} ${fixed ? "fixed" : ""}`);
    setAttribute(row.meter, "class", `meter ${kind}`);
    row.away.hidden = row.drop.hidden = kind !== "inverted";
    setAttribute(row.away, "aria-pressed", String(alpha < 0));
    setAttribute(row.drop, "aria-pressed", String(alpha === 0));
    return Number.isNaN(auroc) ? "" : kind;
  }
}

function alarmInWords(kinds, oodName) {
  const parts = [];
  if (kinds.has("inverted")) {
    parts.push(
      `Inverted: in this layer ${oodName} lies farther from F* than ind. Flip gives it a negative weight, drop gives it none; ` +
        `either uses the labels of ${oodName}, and another ood set may lie the other way round.`,
    );
  }
  if (kinds.has("uninformative")) parts.push("Uninformative: this layer alone is near chance (0.5).");
  return parts.join(" ");
}

/** 'no ood labels', or whose labels were used. */
export function labelsInWords(labels) {
  if (labels === "none") return "no labels";
  if (labels.startsWith("none")) return labels.replace(/^none\s*/, "no ood labels ");
  return `labels: ${labels}`;
}

/** What the weights are now and whose labels stand behind them. */
export function activeInWords(state, config) {
  const find = (name) => config.presets.find((preset) => preset.name === name) ?? (config.start.name === name ? config.start : null);
  if (state.preset) {
    const preset = find(state.preset);
    return `α: ${state.preset}, ${labelsInWords(preset?.labels ?? "none")}.`;
  }
  const origin = state.origin ? find(state.origin) : null;
  if (!origin) return "α: by hand.";
  if (origin === config.start && origin.labels.startsWith("by hand")) return `α: ${origin.labels}.`; // as told before
  if (origin.name === "manual") return `α: by hand (${labelsInWords(origin.labels)}).`;
  return `α: by hand, starting from ${origin.name} (${labelsInWords(origin.labels)}).`;
}
