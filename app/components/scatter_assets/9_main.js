// Main: what changes a chart (Streamlit, the theme, its buttons, pointer, keys), and the function Streamlit calls.

const HOVER_PIXELS = 12;
const charts = new WeakMap();

class Scatter extends ChartLasso {
  constructor(parent) {
    super();
    this.host = parent.host ?? parent;
    this.root = parent.querySelector(".fssd-scatter") ?? parent.appendChild(make("div", { class: "fssd-scatter" }));
    this.hovered = -1;
    this.pinned = false;
    this.ratio = window.devicePixelRatio || 1;
    this.pointers = new Map();
    this.stats = { frameMs: 0, hoverMs: 0, frames: 0, drawn: 0, outside: 0 };
    this.parts = buildPanel(this.root, {
      name: () => `${this.header.title || this.header.view} ${this.header.layer}`,
      save: (format) => savedAs[format](this),
      tool: (name, byKey) => this.setTool(name, byKey),
      clear: () => this.clearChosen(),
      zoomIn: () => this.zoom(1.4),
      zoomOut: () => this.zoom(1 / 1.4),
      reset: () => this.resetView(),
    });
    this.context = this.parts.scene.getContext("2d", { alpha: false });
    this.overlay = this.parts.overlay.getContext("2d");
    this.listen();
    document.fonts?.ready.then(() => this.requestDraw());
    this.resizes = new ResizeObserver(() => this.resize());
    this.resizes.observe(this.parts.stage);
    this.onAtlas = () => this.hovered >= 0 && this.showTooltip();
    window.addEventListener("fssd-atlas", this.onAtlas);
  }

  destroy() {
    this.resizes.disconnect();
    window.removeEventListener("fssd-atlas", this.onAtlas);
    cancelAnimationFrame(this.frame);
    cancelAnimationFrame(this.moving);
    clearTimeout(this.sending);
    if (window.__fssdScatter?.[this.header?.key] === this.probe) delete window.__fssdScatter[this.header.key];
  }

  /** Called by Streamlit on mount, on changed data and on a changed theme, always with the same parent. */
  update({ data, setStateValue }) {
    this.setStateValue = setStateValue;
    const next = decodePayload(data);
    const first = !this.model;
    const changed = first || next.header.version !== this.header.version;
    const before = this.model;
    if (changed) this.take(next);
    this.applyTheme();
    this.restyle();
    if (changed) {
      this.fillTexts();
      this.resize();
      this.arrange(before);
    }
    fillLegend(this.parts.legend, this);
    refreshLegend(this.parts.legend, this);
    this.showTool();
    this.showChosen();
    if (first && this.chosenCount) this.tellChosen(); // back on the page: Python may have forgotten
    this.publish();
  }

  applyTheme() {
    const style = getComputedStyle(this.host);
    const read = (name) => style.getPropertyValue(name).trim();
    const background = toHex(read("--st-background-color"));
    this.theme = this.header.theme ?? (background && brightness(background) < 0.5 ? "dark" : "light");
    const palette = this.header.palette[this.theme];
    const own = { background, text: toHex(read("--st-text-color")), surface: toHex(read("--st-secondary-background-color")) };
    const given = this.header.theme ? {} : own;
    this.colours = { ...palette, ...Object.fromEntries(Object.entries(given).filter(([, value]) => value)) };
    this.fontFamily = read("--st-font") || "system-ui, sans-serif";
    for (const name of ["background", "surface", "text", "muted", "grid", "ind"]) {
      this.root.style.setProperty(`--${name}`, this.colours[name]);
    }
    this.root.style.setProperty("--font", this.fontFamily);
    this.root.dataset.theme = this.theme;
    this.root.style.setProperty("--height", `${this.header.height}px`);
  }

  fillTexts() {
    const { title, subtitle, centred } = this.header;
    this.parts.title.textContent = title;
    this.parts.subtitle.textContent = subtitle;
    this.parts.title.hidden = !title;
    this.parts.subtitle.hidden = !subtitle;
    this.parts.modes.hidden = !centred;
    fillModes(this.parts.modes, this.mode, (mode) => this.setMode(mode));
    const counts = this.header.groups.map(
      (g) => `${g.label} ${formatCount(g.stop - g.start)} points at ${formatNumber(g.mean / this.header.median)} of the ind median distance`,
    );
    const keys = "Keys: plus, minus and zero zoom, arrows pan, N and P step through the points from F* outward, L selects points.";
    this.parts.stage.setAttribute("aria-label", `${title || "Scatter plot"}. F* is the gold star. ${counts.join("; ")}. ${keys}`);
  }

  setMode(mode) {
    if (mode === this.mode) return;
    this.memory.mode = mode;
    fillModes(this.parts.modes, mode, (next) => this.setMode(next));
    this.parts.modes.querySelector(`[data-mode="${mode}"]`).focus();
    this.setHovered(-1);
    // The drawn box changes its unit with the mode: scale the positions so that the picture starts where it stands.
    const before = this.box.half;
    const target = this.targets();
    this.fit = this.rimRadius();
    const auto = this.autoBox(target);
    const factor = auto.half / before;
    this.position = this.position.map((v) => v * factor);
    this.box = { cx: this.box.cx * factor, cy: this.box.cy * factor, half: before * factor };
    this.arrange({ header: this.header, row: this.model.row });
  }

  setByClass(on) {
    this.memory.byClass = on;
    this.restyle();
    refreshLegend(this.parts.legend, this);
  }

  toggle(name) {
    if (this.hidden.has(name)) this.hidden.delete(name);
    else this.hidden.add(name);
    this.hiddenChanged();
  }

  /** Shows one group (or one ind class) alone; once more shows all again. */
  isolate(name) {
    const isClass = name.startsWith("class:");
    const all = isClass ? this.header.classNames.map((_, k) => `class:${k}`) : this.header.groups.map((g) => g.name);
    const others = all.filter((other) => other !== name);
    const alone = others.every((other) => this.hidden.has(other));
    for (const other of others) {
      if (alone) this.hidden.delete(other);
      else this.hidden.add(other);
    }
    this.hidden.delete(name);
    if (isClass) this.hidden.delete(this.header.groups[0].name);
    this.hiddenChanged();
  }

  showAll() {
    this.hidden.clear();
    this.hiddenChanged();
    this.parts.legend.querySelector("button").focus();
  }

  hiddenChanged() {
    this.restyle();
    this.showChosen();
    refreshLegend(this.parts.legend, this);
    clearTimeout(this.sending);
    this.sending = setTimeout(() => this.setStateValue("hidden", [...this.hidden].sort()), 250);
  }

  select(index) {
    const { header, model } = this;
    const selected = index < 0 ? null : { group: header.groups[model.groupOf[index]].name, row: model.row[index] };
    if (JSON.stringify(selected) === JSON.stringify(this.memory.selected)) return;
    this.memory.selected = selected;
    this.setStateValue("selected", selected);
    this.drawOverlay();
  }

  pointAt(px, py, reach = HOVER_PIXELS) {
    if (this.moving || !this.position) return -1;
    const start = performance.now();
    this.grid ??= new PointGrid(this.position, this.visible);
    const t = viewTransform(this.box, this.rect);
    const index = this.grid.nearest(t.worldX(px), t.worldY(py), reach / t.scale);
    this.stats.hoverMs = performance.now() - start;
    return index;
  }

  setHovered(index, announce = false) {
    if (index === this.hovered && !announce) return;
    this.hovered = index;
    this.parts.stage.classList.toggle("over-point", index >= 0);
    if (index < 0) {
      this.parts.tooltip.hidden = true;
      this.pinned = false;
    } else this.parts.live.textContent = announce ? describePoint(this, index).sentence : "";
    if (index >= 0) this.showTooltip();
    if (this.width && this.position) this.drawOverlay();
  }

  showTooltip() {
    const t = viewTransform(this.box, this.rect);
    const index = this.hovered;
    const [x, y] = [t.x(this.position[2 * index]), t.y(this.position[2 * index + 1])];
    if (x < 0 || y < 0 || x > this.width || y > this.height) {
      this.parts.tooltip.hidden = true;
      return;
    }
    fillTooltip(this.parts.tooltip, this, index);
    placeTooltip(this.parts.tooltip, x, y, this.width, this.height);
  }

  listen() {
    const { stage, region } = this.parts;
    stage.addEventListener("pointerdown", (event) => this.pointerDown(event));
    stage.addEventListener("pointermove", (event) => this.pointerMove(event));
    for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, (event) => this.pointerUp(event));
    stage.addEventListener("pointerleave", () => !this.pinned && !this.pointers.size && this.setHovered(-1));
    stage.addEventListener("dblclick", () => this.resetView());
    stage.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    stage.addEventListener("keydown", (event) => this.key(event));
    stage.addEventListener("blur", () => this.setHovered(-1));
    region.addEventListener("keydown", (event) => this.frameKey(event));
    region.addEventListener("focus", () => this.showFrame(true));
  }

  place(event) {
    const bounds = this.parts.stage.getBoundingClientRect();
    const { clientLeft, clientTop } = this.parts.stage;
    return { x: event.clientX - bounds.left - clientLeft, y: event.clientY - bounds.top - clientTop };
  }

  pointerDown(event) {
    if (event.button !== 0 || !this.position) return;
    const place = this.place(event);
    this.parts.stage.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, place);
    if (this.pointers.size === 1) this.pressed = { ...place, moved: false };
    if (!this.lassoing) return;
    if (this.pointers.size === 1) this.startPath(place);
    else this.path = null; // two fingers zoom
  }

  pointerMove(event) {
    const place = this.place(event);
    const last = this.pointers.get(event.pointerId);
    if (!last) {
      if (event.pointerType !== "touch") {
        const index = this.pointAt(place.x, place.y);
        if (index >= 0 || !this.pinned) this.setHovered(index);
      }
      return;
    }
    if (this.pointers.size === 1) {
      if (!this.pressed.moved && Math.hypot(place.x - this.pressed.x, place.y - this.pressed.y) < 4) return;
      this.pressed.moved = true;
      if (this.path) this.extendPath(place);
      else if (!this.lassoing) {
        this.parts.stage.classList.add("dragging");
        this.pan(place.x - last.x, place.y - last.y);
      }
    } else {
      this.pressed.moved = true;
      const other = [...this.pointers].find(([id]) => id !== event.pointerId)[1];
      const [before, after] = [Math.hypot(last.x - other.x, last.y - other.y), Math.hypot(place.x - other.x, place.y - other.y)];
      this.pan((place.x - last.x) / 2, (place.y - last.y) / 2);
      if (before > 0 && after > 0) this.zoom(after / before, (place.x + other.x) / 2, (place.y + other.y) / 2);
    }
    this.pointers.set(event.pointerId, place);
  }

  pointerUp(event) {
    if (!this.pointers.delete(event.pointerId)) return;
    if (this.pointers.size) return;
    this.parts.stage.classList.remove("dragging");
    if (this.path && this.endPath(event)) return;
    if (event.type === "pointercancel" || this.pressed.moved) return;
    const touch = event.pointerType === "touch";
    const place = this.place(event);
    const index = this.pointAt(place.x, place.y, touch ? 2 * HOVER_PIXELS : HOVER_PIXELS);
    this.setHovered(index, touch && index >= 0);
    this.pinned = touch && index >= 0;
    this.select(index);
  }

  wheel(event) {
    if (!this.position || this.moving) return;
    const out = event.deltaY > 0;
    if (out && !this.memory.boxes.has(this.units())) return; // the whole picture shows already: let the page scroll
    event.preventDefault();
    const unit = event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 400 : 1;
    const { x, y } = this.place(event);
    const factor = Math.exp(-clamp(event.deltaY * unit, -240, 240) * (event.ctrlKey ? 0.01 : 0.002));
    if (out && this.box.half / factor >= this.autoBox(this.position).half) this.resetView();
    else this.zoom(factor, x, y);
    this.setHovered(this.pointAt(x, y));
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.position) return;
    const arrows = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] };
    const acts = {
      "+": () => this.zoom(1.25),
      "=": () => this.zoom(1.25),
      "-": () => this.zoom(0.8),
      "0": () => this.resetView(),
      n: () => this.step(1),
      p: () => this.step(-1),
      Home: () => this.step("first"),
      End: () => this.step("last"),
      l: () => this.setTool(this.lassoing ? "pan" : "lasso", true),
      Enter: () => this.select(this.hovered),
      Escape: () => this.escape(),
    };
    const act = arrows[event.key] ? () => this.pan(...arrows[event.key]) : acts[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  /** Goes through the visible points by their true distance to F*, nearest first, and reads each out. */
  step(where) {
    if (!this.steps) {
      const { distance } = this.model;
      this.steps = Uint32Array.from(distance.keys()).filter((i) => this.visible[i]);
      this.steps.sort((a, b) => distance[a] - distance[b] || a - b);
    }
    if (!this.steps.length) return;
    const now = this.hovered < 0 ? -1 : this.steps.indexOf(this.hovered);
    const last = this.steps.length - 1;
    const next = where === "first" ? 0 : where === "last" ? last : now < 0 ? (where > 0 ? 0 : last) : clamp(now + where, 0, last);
    const index = this.steps[next];
    const t = viewTransform(this.box, this.rect);
    const [x, y] = [t.x(this.position[2 * index]), t.y(this.position[2 * index + 1])];
    const { rect } = this;
    if (x < rect.x || y < rect.y || x > rect.x + rect.w || y > rect.y + rect.h) {
      this.setBox({ ...this.box, cx: this.position[2 * index], cy: this.position[2 * index + 1] });
    }
    this.setHovered(index, true);
    this.pinned = true;
  }

  /** What tests and benchmarks read: window.__fssdScatter[key]. */
  publish() {
    const chart = this;
    this.probe ??= {
      get frameMs() {
        return chart.stats.frameMs;
      },
      get hoverMs() {
        return chart.stats.hoverMs;
      },
      get frames() {
        return chart.stats.frames;
      },
      get drawn() {
        return chart.stats.drawn;
      },
      get outside() {
        return chart.stats.outside;
      },
      get shown() {
        return chart.shownCount;
      },
      get box() {
        return { ...chart.box };
      },
      get mode() {
        return chart.mode;
      },
      get theme() {
        return chart.theme;
      },
      get version() {
        return chart.header.version;
      },
      get moving() {
        return Boolean(chart.moving);
      },
      get hovered() {
        return chart.hovered;
      },
      /** [group name, row] of the chosen points. */
      get chosen() {
        const { groups } = chart.header;
        return [...(chart.chosen ?? []).keys()].filter((i) => chart.chosen[i]).map((i) => [groups[chart.model.groupOf[i]].name, chart.model.row[i]]);
      },
      pixelOf(index) {
        const t = viewTransform(chart.box, chart.rect);
        return [t.x(chart.position[2 * index]), t.y(chart.position[2 * index + 1])];
      },
      /** Milliseconds of `times` full redraws, rasterised (one pixel is read back), median first. */
      measure(times) {
        const spent = [];
        for (let k = 0; k < times; k++) {
          const start = performance.now();
          chart.draw();
          chart.context.getImageData(0, 0, 1, 1);
          spent.push(performance.now() - start);
        }
        return spent.sort((a, b) => a - b)[times >> 1];
      },
    };
    window.__fssdScatter ??= {};
    window.__fssdScatter[this.header.key] = this.probe;
  }
}

export default function scatter(component) {
  const { parentElement } = component;
  let chart = charts.get(parentElement);
  if (!chart) {
    chart = new Scatter(parentElement);
    charts.set(parentElement, chart);
  }
  chart.update(component);
  return () => {
    chart.destroy();
    charts.delete(parentElement);
  };
}
