// The film: one state - where we are, what shows - and one frame that draws it; the server hears of it when we rest.
import { h, setText } from "../cockpit_assets/dom.js";
import { readLook } from "../cockpit_assets/look.js";
import { placeWords } from "./axis.js";
import { Charts } from "./charts.js";
import { Clock } from "./clock.js";
import { listenToKeys, listenToPointer } from "./input.js";
import { Legend } from "./legend.js";
import { Widths } from "./marks.js";
import { Model } from "./model.js";
import { buildPanel, fillModes } from "./panel.js";
import { publish } from "./probe.js";
import { saveFrame } from "./save.js";
import { Saying } from "./saying.js";
import { placeOf } from "./scales.js";
import { chartsOf } from "./series.js";

const REST = 350; // ms after the last key or slider move until the server is told
const remembered = new Map(); // what survives a remount, by key: pins, hidden groups, colours, speed, the place

export class Film extends Saying {
  constructor(parent) {
    super();
    this.clock = new Clock();
    this.charts = new Charts({ scrub: (p) => this.scrub(p), release: () => this.release(), compare: (name) => this.setCompare(name) });
    this.parts = buildPanel(
      {
        toggle: () => this.toggle(),
        scrub: (p) => this.scrub(p),
        release: () => this.release(),
        speed: (s) => this.setSpeed(s),
        loop: () => this.setLoop(!this.clock.loop),
        byClass: () => this.setByClass(!this.memory.byClass),
        save: (kind) => saveFrame(this, kind),
      },
      this.charts.element,
    );
    this.legend = new Legend(this.parts.legend, { toggle: (n) => this.toggleGroup(n), isolate: (n) => this.isolate(n), showAll: () => this.showAll() });
    this.widths = new Widths();
    this.hovered = -1;
    this.stats = { frames: 0, frameMs: 0 };
    parent.append(this.parts.root);
    listenToKeys(this);
    listenToPointer(this);
    this.resizing = new ResizeObserver(() => this.resize());
    this.resizing.observe(this.parts.stage);
    this.resizing.observe(this.charts.element);
    this.onAtlas = () => this.model && this.fillPins();
    window.addEventListener("fssd-atlas", this.onAtlas);
    document.fonts?.ready.then(() => this.model && this.refresh());
  }

  destroy() {
    if (this.model) this.memory.left = { place: this.place(), playing: this.clock.playing };
    this.resizing.disconnect();
    window.removeEventListener("fssd-atlas", this.onAtlas);
    cancelAnimationFrame(this.request);
    clearTimeout(this.resting);
    this.painter?.destroy();
    this.parts.root.remove();
    delete globalThis.__fssdFilm?.[this.model?.header.key];
  }

  /** Takes what Python sent: at first, whenever it changed, and when the theme changed. */
  receive({ data, setStateValue, setTriggerValue }) {
    this.send = setStateValue;
    this.trigger = setTriggerValue;
    const next = new Model(data);
    const before = this.model;
    if (before?.header.version === next.header.version) return this.refresh();
    const step = before?.stepAt(this.clock.position);
    this.model = next;
    const { header } = next;
    if (!remembered.has(header.key)) remembered.set(header.key, { hidden: new Set(), byClass: header.colourByClass, pins: [], compare: "", speed: 1, loop: false });
    this.memory = remembered.get(header.key);
    Object.assign(this.clock, { last: next.frames - 1, speed: this.memory.speed, loop: this.memory.loop });
    if (this.startId !== header.start.id) this.#begin(header.start);
    else this.clock.seek(next.positionOf(step));
    this.pins = this.memory.pins.map((pin) => next.indexOf(pin)).filter((i) => i >= 0);
    this.hover(-1);
    this.refresh(before);
    publish(this);
    if (this.autoplay) this.play();
    this.autoplay = false;
    return undefined;
  }

  /** To the place asked for; where Streamlit took the element away and mounts it again, on from where it was. */
  #begin(start) {
    const left = this.startId === undefined && this.memory.left?.place.start === start.id ? this.memory.left : null;
    const { step, radius } = left?.place ?? start;
    this.startId = start.id;
    this.mode = radius;
    this.clock.pause();
    this.clock.seek(this.model.positionOf(step));
    if (left) {
      this.autoplay = left.playing;
      this.told = ""; // Python may have missed it, or forgotten it with the element
      this.tellSoon();
      return;
    }
    this.autoplay = start.autoplay && !matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.told = this.autoplay ? "" : JSON.stringify(this.place());
    if (this.autoplay) this.clock.seek(0);
  }

  get hidden() {
    return this.memory.hidden;
  }

  /** Theme, sizes and everything that follows; `before` is the model shown until now. */
  refresh(before = null) {
    const { header } = this.model;
    const { root, stage, slider, marks, modes } = this.parts;
    this.look = { ...readLook(root, header.palette), widths: this.widths };
    this.theme = root.dataset.mode;
    for (const name of ["text", "background"]) root.style.setProperty(`--${name}`, this.look[name]);
    root.classList.toggle("large", header.large);
    root.style.setProperty("--height", `${header.height}px`);
    fillModes(modes, this.mode, (mode) => this.setMode(mode));
    this.parts.byClass.setAttribute("aria-checked", String(this.byClass));
    this.parts.byClass.hidden = header.classNames.length === 0;
    slider.max = String(this.clock.last);
    if (marks.childElementCount !== this.model.frames) marks.replaceChildren(...header.steps.map(() => h("i")));
    stage.setAttribute("aria-label", `${header.title}. F* is the gold star in the middle. Space plays, the arrows go from checkpoint to checkpoint, N and P step through the points from F* outward, Enter follows one.`);
    this.legend.build(this.model, { theme: this.theme, colours: this.look, ratio: Math.min(devicePixelRatio || 1, 3) });
    this.arrange(before);
    this.restyle();
    this.fillPins();
    this.showCharts();
    this.controls();
    this.shown = null;
    this.draw();
  }

  get byClass() {
    return this.memory.byClass && this.model.header.classNames.length > 0;
  }

  showCharts() {
    const { model, mode, theme, look, hidden } = this;
    const palette = { text: look.text };
    const comparable = model.header.groups.filter((g) => g.kind !== "ind");
    const options = [{ value: "", label: "every set, this layer" }, ...comparable.map((g) => ({ value: g.name, label: `${g.label}, every layer` }))];
    const charts = chartsOf(model, { mode, theme, palette, hidden, compare: this.memory.compare });
    this.charts.element.hidden = charts.length === 0;
    this.charts.show(charts, { frames: model.frames, steps: model.header.steps, look, large: model.header.large, options, compare: this.memory.compare });
  }

  resize() {
    if (!this.model) return;
    this.fit();
    this.charts.measure();
    this.draw();
  }

  // ---- what the controls call -----------------------------------------------------------------------------------

  toggle() {
    if (this.clock.playing) this.pause();
    else this.play();
  }

  play() {
    clearTimeout(this.resting);
    this.clock.play();
    this.controls();
    this.schedule();
  }

  pause() {
    this.clock.pause();
    this.controls();
    this.draw();
    this.tell();
  }

  /** Any place, by slider or chart: the film holds while a hand is on it. */
  scrub(position) {
    if (!Number.isFinite(position)) return;
    if (this.clock.playing) {
      this.clock.pause();
      this.controls();
    }
    this.clock.seek(position);
    this.schedule();
    this.tellSoon();
  }

  release() {
    this.tell();
  }

  /** A checkpoint, by key. */
  go(position) {
    this.scrub(position);
  }

  setSpeed(speed) {
    this.clock.speed = this.memory.speed = speed;
    this.controls();
  }

  setLoop(on) {
    this.clock.loop = this.memory.loop = on;
    this.controls();
  }

  setByClass(on) {
    this.memory.byClass = on;
    this.parts.byClass.setAttribute("aria-checked", String(this.byClass));
    this.restyle();
    this.fillPins();
    this.draw();
  }

  setMode(mode) {
    if (mode === this.mode) return;
    this.mode = mode;
    fillModes(this.parts.modes, mode);
    this.arrange(this.model);
    this.restyle();
    this.showCharts();
    this.draw();
    this.tell();
  }

  setCompare(name) {
    this.memory.compare = name;
    this.showCharts();
    this.draw();
  }

  toggleGroup(name) {
    if (this.hidden.has(name)) this.hidden.delete(name);
    else this.hidden.add(name);
    this.groupsChanged();
  }

  /** Shows one group alone; once more shows all again. */
  isolate(name) {
    const others = this.model.header.groups.map((g) => g.name).filter((other) => other !== name);
    const alone = others.every((other) => this.hidden.has(other));
    this.hidden.clear();
    if (!alone) others.forEach((other) => this.hidden.add(other));
    this.groupsChanged();
  }

  showAll() {
    this.hidden.clear();
    this.groupsChanged();
  }

  groupsChanged() {
    this.restyle();
    this.showCharts();
    this.shown = null;
    this.draw();
  }

  // ---- the frame ------------------------------------------------------------------------------------------------

  schedule() {
    this.request ||= requestAnimationFrame((now) => this.frame(now));
  }

  frame(now) {
    this.request = 0;
    if (!this.model || !this.scene) return;
    const begun = performance.now();
    const ended = this.clock.playing && this.clock.advance(now);
    this.draw();
    this.stats.frameMs = performance.now() - begun;
    if (this.clock.playing || this.morph) this.schedule();
    if (ended) this.pause();
  }

  draw() {
    if (!this.scene) return;
    const { clock, charts } = this;
    this.paint();
    charts.moveTo(clock.position);
    this.stats.frames++;
    this.texts(); // after the canvases: text on them would make the browser bring changed styles up to date first
  }

  // ---- what the server hears ------------------------------------------------------------------------------------

  place() {
    return { start: this.startId, step: Number(this.model.stepAt(this.clock.position).toFixed(3)), radius: this.mode };
  }

  tellSoon() {
    clearTimeout(this.resting);
    this.resting = setTimeout(() => this.tell(), REST);
  }

  /** Step and radius go to Python once nothing moves, and are read out. */
  tell() {
    clearTimeout(this.resting);
    const place = this.place();
    const said = JSON.stringify(place);
    if (said === this.told || this.clock.playing) return;
    this.told = said;
    this.send("place", place);
    setText(this.parts.live, placeWords(this.model.header, this.model.dynamics, this.clock.nearest));
  }

  placeOf(track, position, i) {
    return placeOf(track, position, i);
  }
}
