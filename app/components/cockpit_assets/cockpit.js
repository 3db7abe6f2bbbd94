// The tuning cockpit: one state, one update a frame, nothing over the wire until a control is let go.
import { EpsilonPanel, SetsPanel } from "./controls.js";
import { PrPanel, RocPanel } from "./curves.js";
import { changesAfter, count, h, percent, setText, share } from "./dom.js";
import { Engine } from "./engine.js";
import { onGallery } from "./gallery.js";
import { HistogramPanel } from "./histogram.js";
import { History } from "./history.js";
import { readLook } from "./look.js";
import { OperatingControls } from "./operating.js";
import { chooseThreshold, outlook, usesOod } from "./operating_point.js";
import { DASHES, PinsPanel } from "./pins.js";
import { ConfusionPanel, Tiles, noticeFor } from "./results.js";
import { block, onBlock } from "./store.js";
import { StripPanel } from "./strip.js";
import { WeightsPanel, activeInWords } from "./weights.js";

const KEY_PAUSE = 350; // ms after the last key until the setting goes to Python
const SETTLE = 80; // ms without a change until what is too dear for every frame is computed

export class Cockpit {
  constructor(parent) {
    this.history = new History();
    this.state = null;
    this.engine = null;
    this.updates = 0;
    this.tiles = new Tiles();
    this.labels = h("p", { class: "labels" });
    this.notice = h("div", { class: "notice", role: "status", hidden: true });
    this.waiting = h("div", { class: "waiting", role: "status" }, "Receiving the scores…");
    this.announcer = h("div", { class: "unseen", "aria-live": "polite" });
    this.weights = new WeightsPanel(this);
    this.epsilon = new EpsilonPanel(this);
    this.sets = new SetsPanel(this);
    this.histogram = new HistogramPanel(this);
    this.operating = new OperatingControls(this);
    this.histogram.append(this.operating.element);
    this.strip = new StripPanel(this);
    this.roc = new RocPanel(this);
    this.pr = new PrPanel(this);
    this.confusionPanel = new ConfusionPanel();
    this.pinsPanel = new PinsPanel(this);
    this.body = h(
      "div",
      { class: "body", hidden: true },
      this.tiles.element,
      this.labels,
      this.notice,
      h(
        "div",
        { class: "columns" },
        h("div", { class: "side" }, this.weights.element, this.epsilon.element, this.sets.element),
        h("div", { class: "main" }, this.histogram.element, this.strip.element, h("div", { class: "pair" }, this.roc.element, this.pr.element), this.confusionPanel.element, this.pinsPanel.element),
      ),
    );
    this.root = h("div", { class: "cockpit" }, this.waiting, this.body, this.announcer);
    this.root.addEventListener("keydown", (event) => this.#shortcut(event));
    this.resizing = new ResizeObserver(() => {
      for (const panel of this.charts) panel.plot.measure();
      this.redraw();
    });
    this.charts = [this.histogram, this.strip, this.roc, this.pr];
    for (const panel of this.charts) this.resizing.observe(panel.canvas);
    const listening = [onBlock(() => this.#load()), onGallery(() => this.redraw())];
    this.stopListening = () => listening.forEach((end) => end());
    parent.append(this.root);
  }

  /** Takes what Python sent; called at first, whenever it changed, and when the theme changed. */
  receive({ data, setStateValue, setTriggerValue }) {
    this.config = data;
    this.send = setStateValue;
    this.trigger = setTriggerValue;
    this.#load();
  }

  destroy() {
    this.stopListening();
    this.resizing.disconnect();
    clearTimeout(this.settleTimer);
    clearTimeout(this.keyTimer);
    cancelAnimationFrame(this.frameRequest);
    this.root.remove();
    delete globalThis.__fssdCockpit?.[this.config?.key];
  }

  /** Builds engine and panels for the present config, once all its scores are in the page. */
  #load() {
    const { config } = this;
    if (!config) return;
    const sets = [config.ind, ...config.ood];
    if (sets.some((set) => !block(set.block))) return; // a carrier will tell
    this.look = readLook(this.root, config.palette);
    const content = JSON.stringify([config.layers, config.knots, sets.map((set) => [set.name, set.block])]);
    if (content !== this.content) {
      const of = (set) => ({ name: set.name, block: block(set.block) });
      this.engine = new Engine({ layers: config.layers, knots: config.knots, ind: of(config.ind), oods: config.ood.map(of) });
      this.content = content;
      this.compared = null;
    }
    const shape = JSON.stringify([config.layers, config.presets, config.knots, config.ood.map((set) => set.name)]);
    if (shape !== this.shape) {
      for (const panel of [this.weights, this.epsilon, this.sets]) panel.rebuild(config);
      this.shape = shape;
    }
    const pins = JSON.stringify([config.pins, content]);
    if (pins !== this.pinned) {
      this.pinsPanel.rebuild(config);
      this.pinned = pins;
      this.pinCurves = new Map();
    }
    this.waiting.hidden = true;
    this.body.hidden = false;
    for (const panel of this.charts) panel.plot.measure();
    if (this.startId !== config.start.id) this.#begin(config.start);
    if (this.state.ood !== null && !config.ood.some((set) => set.name === this.state.ood)) this.state.ood = config.ood[0].name;
    const { knots } = config;
    this.state.epsilon = Math.max(knots[0], Math.min(knots[knots.length - 1], this.state.epsilon));
    this.redraw();
  }

  #begin(start) {
    this.startId = start.id;
    const same = (preset) => preset.alpha.every((a, k) => Math.abs(a - start.alpha[k]) < 1e-9);
    const preset = this.config.presets.find((p) => p.name === start.name && same(p)) ?? this.config.presets.find(same);
    this.state = {
      alpha: [...start.alpha],
      epsilon: start.epsilon,
      threshold: start.threshold ?? 0,
      choice: { ...start.choice },
      ood: start.ood,
      preset: preset?.name ?? null,
      origin: preset?.name ?? (start.labels === "none" ? null : start.name),
    };
    this.thresholdAt = null;
    this.strip.chooseAnew();
    this.#flush();
    this.history.push(this.state);
  }

  // ---- what the panels call -------------------------------------------------------------------------------------

  setAlpha(k, value) {
    if (this.state.alpha[k] === value) return;
    this.state.alpha[k] = value;
    this.state.preset = null;
    this.#changed();
  }

  applyPreset(preset) {
    Object.assign(this.state, { alpha: [...preset.alpha], preset: preset.name, origin: preset.name });
    this.#changed();
    this.commit();
  }

  setEpsilon(epsilon) {
    if (epsilon === this.state.epsilon || !Number.isFinite(epsilon)) return;
    this.state.epsilon = epsilon;
    this.moving = true;
    this.#changed();
  }

  /** Moves the operating point by hand; where a rate is held, the new one is what is held. */
  setThreshold(threshold) {
    const { state, engine } = this;
    const { max, min } = this.model.range;
    state.threshold = Number.isFinite(threshold) ? threshold : max + 1e-3 * Math.max(max - min, 1e-9); // accept nothing
    const { tp, fn, fp, tn } = engine.confusion(state.ood, state.threshold);
    const { choice } = state;
    if (choice.by === "tpr" && tp + fn) choice.tpr = tp / (tp + fn);
    else if (choice.by === "fpr" && fp + tn) choice.fpr = fp / (fp + tn);
    else choice.by = "hand";
    this.#changed();
  }

  /** Another rule, or another number of it; the threshold follows at once. */
  setChoice(choice) {
    Object.assign(this.state.choice, choice);
    this.thresholdAt = null;
    this.#changed();
  }

  /** Whether `rule` or the threshold stays when alpha or epsilon changes; a rate begins at what is reached now. */
  setHold(keepRule, rule) {
    const { choice } = this.state;
    if (keepRule && choice.by === "hand") {
      if (Number.isFinite(this.model.achieved[rule])) choice[rule] = this.model.achieved[rule];
      choice.by = rule;
      if (rule === "cost" || rule === "alarms") this.thresholdAt = null;
    } else if (!keepRule) choice.by = "hand";
    this.#changed();
  }

  choose(name) {
    this.state.ood = name;
    this.#changed();
    this.commit();
  }

  /** Tells Python what to do with the pins. */
  act(action) {
    this.trigger("pins", action);
  }

  /** Takes over a pinned setting; a step of the history. */
  goTo(pin) {
    const { knots } = this.config;
    const epsilon = Math.max(knots[0], Math.min(knots[knots.length - 1], pin.epsilon));
    const { alpha, threshold, choice, preset, origin } = structuredClone(pin);
    Object.assign(this.state, { alpha, epsilon, threshold, choice, preset, origin });
    this.engine.setAlpha(alpha);
    this.engine.setEpsilon(epsilon);
    this.thresholdAt = this.#ruledBy();
    this.#changed();
    this.commit();
  }

  undo() {
    this.#travel(-1);
  }

  redo() {
    this.#travel(1);
  }

  /** Draws anew in the next frame. */
  redraw() {
    if (!this.state || this.frameRequest) return;
    this.frameRequest = requestAnimationFrame(() => this.#frame());
  }

  /** A control was let go: the setting becomes a step of the history and goes to Python. */
  commit() {
    clearTimeout(this.keyTimer);
    this.moving = false;
    this.strip.chooseAnew();
    this.#flush();
    if (this.history.push(this.state)) this.#post();
    this.redraw(); // the undo buttons, and what waited for the hand to rest
  }

  commitSoon() {
    clearTimeout(this.keyTimer);
    this.keyTimer = setTimeout(() => this.commit(), KEY_PAUSE);
  }

  // ---- the inside -----------------------------------------------------------------------------------------------

  #shortcut(event) {
    if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z") return;
    event.preventDefault();
    event.stopPropagation();
    if (event.shiftKey) this.redo();
    else this.undo();
  }

  #travel(by) {
    clearTimeout(this.keyTimer);
    if (this.history.push(this.state) && by > 0) return; // a change not yet released is a step of its own
    const entry = this.history.step(by);
    if (!entry) return;
    this.state = entry;
    if (entry.ood !== null && !this.config.ood.some((set) => set.name === entry.ood)) entry.ood = this.config.ood[0].name;
    this.engine.setAlpha(entry.alpha);
    this.engine.setEpsilon(entry.epsilon);
    this.thresholdAt = this.#ruledBy(); // the threshold of then, not a new one
    this.strip.chooseAnew();
    this.#changed();
    this.#flush();
    this.#post();
  }

  #changed() {
    clearTimeout(this.settleTimer);
    this.settleTimer = setTimeout(() => {
      this.moving = false;
      this.settled = true;
      this.redraw();
    }, SETTLE);
    this.settled = false;
    this.redraw();
  }

  #flush() {
    cancelAnimationFrame(this.frameRequest);
    this.#frame();
  }

  #post() {
    this.send("setting", structuredClone({ start: this.startId, layers: this.config.layers, ...this.state }));
    const { metrics, rates } = this.model;
    setText(this.announcer, `AUROC ${share(metrics.auroc)}, FPR at 95 % TPR ${percent(metrics.fpr95)}. At the threshold: ${rates}.`);
  }

  #frame() {
    this.frameRequest = 0;
    const begun = performance.now();
    this.#compute();
    const computed = performance.now();
    this.#draw();
    const done = performance.now();
    this.updates++;
    globalThis.__fssdCockpit ??= {};
    const { metrics, confusion, curve, layerAurocs, table } = this.model;
    Object.assign((globalThis.__fssdCockpit[this.config.key] ??= {}), {
      ...{ computeMs: computed - begun, drawMs: done - computed, updates: this.updates, state: this.state },
      ...{ metrics, confusion, curve, layerAurocs, table, outlook: this.model.outlook, pins: this.model.pins.map((pin) => pin.metrics), engine: this.engine },
    });
  }

  #compute() {
    const { state, engine, config } = this;
    engine.setAlpha(state.alpha);
    engine.setEpsilon(state.epsilon);
    const version = `${engine.scoresVersion}|${state.ood}`;
    if (this.compared?.version !== version) this.compared = { version, ...engine.compare(state.ood) };
    const { ind, ood, curve, metrics, range } = this.compared;
    const { choice } = state;
    if (choice.by !== "hand" && this.thresholdAt !== this.#ruledBy() && ind.length && (ood.length || !usesOod(choice))) {
      const threshold = chooseThreshold(ind, curve, ood.length, choice);
      state.threshold = Number.isFinite(threshold) ? threshold : range.max + 1e-3 * Math.max(range.max - range.min, 1e-9);
    }
    this.thresholdAt = this.#ruledBy();
    const confusion = engine.confusion(state.ood, state.threshold);
    const achieved = { tpr: confusion.tp / ind.length, fpr: confusion.fp / ood.length };
    if (engine.tableIsCheap || this.settled || !this.table) this.table = engine.table();
    if (!this.moving) this.layerAurocs = engine.layerAurocs(state.ood);
    this.model = {
      ...{ state, config, metrics, curve, range, confusion, achieved, unit: config.unit },
      table: this.table,
      layerAurocs: this.layerAurocs,
      defined: ind.length > 0 && ood.length > 0,
      indName: config.ind.name,
      oodName: state.ood ?? "ood",
      oodIndex: (name) => config.ood.findIndex((set) => set.name === name),
      colourIndex: config.ood.findIndex((set) => set.name === state.ood),
      outlook: outlook(achieved, choice),
      rates: `TPR ${percent(achieved.tpr)}, FPR ${percent(achieved.fpr)}`,
      facts: this.#facts(),
      pins: this.#pinCurves(),
      histograms: (bins) => engine.histograms(state.ood, range, bins),
    };
  }

  /** Curves and numbers of the pins against the chosen ood, kept until either changes. */
  #pinCurves() {
    const { ood } = this.state;
    if (!this.pinCurves.has(ood)) {
      const of = (pin, i) => ({ dashes: DASHES[i], ...this.engine.compareAt(ood, pin.alpha, pin.epsilon) });
      this.pinCurves.set(ood, this.config.pins.map(of));
    }
    return this.pinCurves.get(ood);
  }

  /** What the server computed, as long as the page stands where it was computed for. */
  #facts() {
    const { facts } = this.config;
    const { alpha, epsilon, threshold, ood } = this.state;
    const place = facts?.for;
    const same = place && place.epsilon === epsilon && place.threshold === threshold && place.ood === ood && alpha.every((a, k) => a === place.alpha[k]);
    return same ? facts : null;
  }

  /** What the rule's threshold was chosen on; while it stays, the threshold does too. */
  #ruledBy() {
    const { choice, ood } = this.state;
    return usesOod(choice) ? `${this.engine.scoresVersion}|${ood}` : this.engine.scoresVersion;
  }

  #draw() {
    const { model, look } = this;
    changesAfter(() => {
      for (const panel of this.charts) panel.draw(model, look);
    });
    this.tiles.update(model);
    this.weights.update(model);
    this.epsilon.update(model);
    this.operating.update(model);
    this.sets.update(model, look);
    this.confusionPanel.update(model);
    this.pinsPanel.update(model);
    const { config, metrics, unit } = model;
    const tested = `Tested on ${count(metrics.indCount)} ${config.ind.name} and ${count(metrics.oodCount)} ${model.oodName} ${unit}`;
    setText(this.labels, `${activeInWords(model.state, config)} ${tested}${config.tested ? `, ${config.tested}` : ""}.`);
    const notice = noticeFor(model);
    setText(this.notice, notice);
    this.notice.hidden = !notice;
  }
}
