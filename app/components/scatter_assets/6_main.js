// Main: the chart's state, what changes it (data, theme, pointer, keys), and the function Streamlit calls.

const HOVER_PIXELS = 12;
const MOVE_MS = 300;
const remembered = new Map(); // what survives when Streamlit takes the element away and mounts it again, by key
const charts = new WeakMap();

class Scatter {
  constructor(parent) {
    this.host = parent.host ?? parent;
    this.root = parent.querySelector(".fssd-scatter") ?? parent.appendChild(make("div", { class: "fssd-scatter" }));
    this.hovered = -1;
    this.pinned = false;
    this.pointers = new Map();
    this.stats = { frameMs: 0, hoverMs: 0, frames: 0, drawn: 0, outside: 0 };
    this.parts = buildPanel(this.root, {
      save: () => this.save(),
      zoomIn: () => this.zoom(1.4),
      zoomOut: () => this.zoom(1 / 1.4),
      reset: () => this.resetView(),
    });
    this.context = this.parts.scene.getContext("2d", { alpha: false });
    this.overlay = this.parts.overlay.getContext("2d");
    this.listen();
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

  // ---- data -------------------------------------------------------------------------------------------------------

  /** Called by Streamlit on mount, on changed data and on a changed theme, always with the same parent. */
  update({ data, setStateValue }) {
    this.setStateValue = setStateValue;
    const next = decodePayload(data);
    const first = !this.model;
    const changed = first || next.header.version !== this.header.version;
    const before = this.model;
    if (changed) this.take(next);
    this.applyTheme();
    if (changed) {
      this.fillTexts();
      this.resize();
      this.arrange(before);
    }
    fillLegend(this.parts.legend, this);
    refreshLegend(this.parts.legend, this);
    this.restyle();
    this.publish();
  }

  take(next) {
    const previous = this.header;
    const { header } = next;
    this.model = next;
    this.header = header;
    if (!remembered.has(header.key)) {
      const fresh = { boxes: new Map(), hidden: new Set(header.hidden), mode: header.radiusMode, byClass: header.colourByClass };
      remembered.set(header.key, { ...fresh, selected: null });
    }
    this.memory = remembered.get(header.key);
    if (previous && previous.radiusMode !== header.radiusMode) this.memory.mode = header.radiusMode;
    const count = next.distance.length;
    next.groupOf = new Uint8Array(count);
    header.groups.forEach((group, g) => next.groupOf.fill(g, group.start, group.stop));
    const ind = header.groups[0];
    this.sortedInd = next.distance.slice(ind.start, ind.stop).sort();
    this.classCounts = new Uint32Array(header.classNames.length);
    for (let i = ind.start; i < ind.stop; i++) if (next.label[i] >= 0) this.classCounts[next.label[i]]++;
    this.order = this.drawingOrder();
    this.steps = null;
    this.setHovered(-1);
  }

  /** Noise beneath, then ind, then all ood shuffled among each other. */
  drawingOrder() {
    const parts = { noise: [], ind: [], ood: [] };
    for (const group of this.header.groups) for (let i = group.start; i < group.stop; i++) parts[group.kind].push(i);
    return Uint32Array.from([...parts.noise, ...stableShuffle(parts.ind), ...stableShuffle(parts.ood)]);
  }

  get hidden() {
    return this.memory.hidden;
  }

  get mode() {
    return this.header.centred ? this.memory.mode : "median";
  }

  get byClass() {
    return this.memory.byClass && this.header.classNames.length > 0;
  }

  isVisible(name) {
    return !this.memory.hidden.has(name);
  }

  classColour(index) {
    const colours = this.header.palette[this.theme].classes;
    return colours[index % colours.length];
  }

  chipColour(index) {
    return this.byClass ? this.classColour(index) : this.header.groups[0].colours[this.theme];
  }

  pointColour(index) {
    const group = this.header.groups[this.model.groupOf[index]];
    const label = this.model.label[index];
    return group.kind === "ind" && this.byClass && label >= 0 ? this.classColour(label) : group.colours[this.theme];
  }

  /** Where every point belongs in world units (radius mode applied). */
  targets() {
    const { xy, distance } = this.model;
    const { centred, median } = this.header;
    if (!centred) return Float32Array.from(xy);
    const of = RADIUS_MODES[this.mode].of;
    const out = new Float32Array(xy.length);
    for (let i = 0; i < distance.length; i++) {
      const length = Math.hypot(xy[2 * i], xy[2 * i + 1]) || 1;
      const radius = of(distance[i], median) / length;
      out[2 * i] = xy[2 * i] * radius;
      out[2 * i + 1] = xy[2 * i + 1] * radius;
    }
    return out;
  }

  /** For each point its index in the model before, by group name and row, or -1. */
  matches(before) {
    const found = new Int32Array(this.model.distance.length).fill(-1);
    const old = new Map(before.header.groups.map((group) => [group.name, group]));
    for (const group of this.header.groups) {
      const was = old.get(group.name);
      if (!was) continue;
      const index = new Map();
      for (let i = was.start; i < was.stop; i++) index.set(before.row[i], i);
      for (let i = group.start; i < group.stop; i++) found[i] = index.get(this.model.row[i]) ?? -1;
    }
    return found;
  }

  /** New positions: points known from before move there, the others appear in place. */
  arrange(before) {
    const target = this.targets();
    this.fit = this.header.centred ? this.rimRadius() : 0;
    this.ringAngle = this.freeAngle();
    const auto = this.autoBox(target);
    const wanted = this.memory.boxes.get(this.units()) ?? auto;
    const same = before && before.header.centred === this.header.centred && this.position;
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (!same || still) {
      cancelAnimationFrame(this.moving);
      this.moving = 0;
      return this.settle(target, wanted);
    }
    const from = Float32Array.from(target);
    const origin = this.matches(before);
    let known = 0;
    for (let i = 0; i < origin.length; i++) {
      if (origin[i] < 0) continue;
      known++;
      from[2 * i] = this.position[2 * origin[i]];
      from[2 * i + 1] = this.position[2 * origin[i] + 1];
    }
    if (!known) return this.settle(target, wanted);
    return this.move(from, target, wanted);
  }

  /** Eased motion; around F* along radius and angle, so that no point seems to pass through F*. */
  move(from, to, box) {
    cancelAnimationFrame(this.moving);
    const boxFrom = { ...this.box };
    const count = to.length / 2;
    const polar = this.header.centred ? new Float32Array(4 * count) : null;
    for (let i = 0; polar && i < count; i++) {
      const a = Math.atan2(from[2 * i + 1], from[2 * i]);
      const b = Math.atan2(to[2 * i + 1], to[2 * i]);
      polar[4 * i] = Math.hypot(from[2 * i], from[2 * i + 1]);
      polar[4 * i + 1] = Math.hypot(to[2 * i], to[2 * i + 1]) - polar[4 * i];
      polar[4 * i + 2] = a;
      polar[4 * i + 3] = Math.atan2(Math.sin(b - a), Math.cos(b - a));
    }
    this.position = from.slice();
    this.grid = null;
    const start = performance.now();
    const step = (now) => {
      const part = clamp((now - start) / MOVE_MS, 0, 1);
      const eased = part < 0.5 ? 4 * part ** 3 : 1 - (2 - 2 * part) ** 3 / 2;
      for (let i = 0; i < count; i++) {
        if (polar) {
          const radius = polar[4 * i] + polar[4 * i + 1] * eased;
          const angle = polar[4 * i + 2] + polar[4 * i + 3] * eased;
          this.position[2 * i] = radius * Math.cos(angle);
          this.position[2 * i + 1] = radius * Math.sin(angle);
        } else {
          this.position[2 * i] = from[2 * i] + (to[2 * i] - from[2 * i]) * eased;
          this.position[2 * i + 1] = from[2 * i + 1] + (to[2 * i + 1] - from[2 * i + 1]) * eased;
        }
      }
      for (const side of ["cx", "cy", "half"]) this.box[side] = boxFrom[side] + (box[side] - boxFrom[side]) * eased;
      if (part >= 1) {
        this.moving = 0;
        return this.settle(to, box);
      }
      this.draw();
      this.moving = requestAnimationFrame(step);
      return undefined;
    };
    this.moving = requestAnimationFrame(step);
  }

  settle(position, box) {
    this.position = position;
    this.box = { ...box };
    this.grid = null;
    this.draw();
  }

  // ---- look -------------------------------------------------------------------------------------------------------

  applyTheme() {
    const style = getComputedStyle(this.host);
    const read = (name) => style.getPropertyValue(name).trim();
    const background = toHex(read("--st-background-color"));
    this.theme = this.header.theme ?? (background && brightness(background) < 0.5 ? "dark" : "light");
    const palette = this.header.palette[this.theme];
    const given = this.header.theme ? {} : { background, text: toHex(read("--st-text-color")) };
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
    const keys = "Keys: plus, minus and zero zoom, arrows pan, N and P step through the points from F* outward.";
    this.parts.stage.setAttribute("aria-label", `${title || "Scatter plot"}. F* is the gold star. ${counts.join("; ")}. ${keys}`);
  }

  /** Which points show, in which style; called when groups, colours or sizes change. */
  restyle() {
    const { groups, classNames } = this.header;
    const { groupOf, label } = this.model;
    const styles = groups.map((g) => ({ marker: g.marker, colour: g.colours[this.theme], alpha: g.kind === "noise" ? 0.7 : 0.85, scale: 1 }));
    const classStart = styles.length;
    classNames.forEach((_, k) => styles.push({ marker: "circle", colour: this.classColour(k), alpha: 0.85, scale: 1 }));
    this.styles = styles;
    this.styleOf = new Uint16Array(groupOf.length);
    this.visible = new Uint8Array(groupOf.length);
    const shown = groups.map((g) => this.isVisible(g.name));
    const classShown = classNames.map((_, k) => this.isVisible(`class:${k}`));
    let count = 0;
    for (let i = 0; i < groupOf.length; i++) {
      const ind = groups[groupOf[i]].kind === "ind";
      const known = ind && label[i] >= 0 && label[i] < classNames.length;
      this.styleOf[i] = known && this.byClass ? classStart + label[i] : groupOf[i];
      this.visible[i] = shown[groupOf[i]] && (!known || classShown[label[i]]) ? 1 : 0;
      count += this.visible[i];
    }
    this.shownCount = count;
    this.grid = null;
    this.steps = null;
    this.sprites = null;
    if (this.hovered >= 0 && !this.visible[this.hovered]) this.setHovered(-1);
    this.requestDraw();
  }

  /** Marker radius in CSS pixels: smaller with more points and less room, larger when zoomed in. */
  markerRadius() {
    const room = Math.sqrt((this.rect.w * this.rect.h) / 400000);
    const crowd = clamp(4.4 - 0.62 * Math.log2(Math.max(1, this.model.distance.length) / 500), 2, 4.4);
    const auto = this.autoBox(this.position ?? this.model.xy);
    const zoom = clamp((auto.half / this.box.half) ** 0.4, 0.8, 2.2);
    return clamp(Math.round(crowd * clamp(room, 0.75, 1.1) * zoom * 4) / 4, 1.5, 9);
  }

  sprite(ratio) {
    const radius = this.markerRadius();
    const name = `${radius}|${ratio}|${this.theme}`;
    if (!this.sprites || this.sprites.name !== name) {
      this.sprites = new SpriteSheet(this.styles, radius, ratio, this.colours.background);
      this.sprites.name = name;
    }
    return this.sprites;
  }

  // ---- view box ---------------------------------------------------------------------------------------------------

  units() {
    return this.header.centred ? `centred ${this.mode}` : this.header.view;
  }

  /** The rim: holds nearly all points; few far outliers do not shrink the rest (they are counted in the corner). */
  rimRadius() {
    const { median, extent } = this.header;
    const of = RADIUS_MODES[this.mode].of;
    if (extent) return of(extent, median);
    const sorted = this.model.distance.slice().sort();
    const [most, nearlyAll] = [sorted[sorted.length - 1], sorted[Math.floor((sorted.length - 1) * 0.99)]];
    return of(Math.max(1.5 * median, Math.min(most * 1.02, nearlyAll * 1.1)), median);
  }

  /** The box that shows everything. */
  autoBox(position) {
    const { w, h } = this.rect;
    if (this.header.centred) {
      const side = Math.min(w, h);
      const margin = this.header.spokes.length ? 24 : 12;
      return { cx: 0, cy: 0, half: (this.fit * (side / 2)) / Math.max(20, side / 2 - margin) };
    }
    const { fss } = this.header;
    let [x0, x1, y0, y1] = [fss[0], fss[0], fss[1], fss[1]];
    for (let i = 0; i < position.length; i += 2) {
      if (position[i] < x0) x0 = position[i];
      if (position[i] > x1) x1 = position[i];
      if (position[i + 1] < y0) y0 = position[i + 1];
      if (position[i + 1] > y1) y1 = position[i + 1];
    }
    const scale = Math.min(w / Math.max(x1 - x0, 1e-9), h / Math.max(y1 - y0, 1e-9)) * 0.93;
    return { cx: (x0 + x1) / 2, cy: (y0 + y1) / 2, half: Math.min(w, h) / (2 * scale) };
  }

  /** Direction for the ring numbers: the middle of the gap between spokes nearest to straight up. */
  freeAngle() {
    const angles = this.header.spokes.map((s) => s.angle).sort((a, b) => a - b);
    if (angles.length < 2) return Math.PI / 2;
    const middles = angles.map((a, k) => {
      const next = k + 1 < angles.length ? angles[k + 1] : angles[0] + TAU;
      return { angle: (a + next) / 2, gap: next - a };
    });
    const widest = Math.max(...middles.map((m) => m.gap));
    const away = (angle) => Math.abs(Math.atan2(Math.sin(angle - Math.PI / 2), Math.cos(angle - Math.PI / 2)));
    return middles.filter((m) => m.gap > 0.6 * widest).sort((a, b) => away(a.angle) - away(b.angle))[0].angle;
  }

  setBox(box) {
    const auto = this.autoBox(this.position);
    const limit = Math.hypot(this.rect.w, this.rect.h) / Math.min(this.rect.w, this.rect.h);
    box.half = clamp(box.half, auto.half / 400, auto.half * 3);
    const roam = auto.half * limit * 2;
    box.cx = clamp(box.cx, auto.cx - roam, auto.cx + roam);
    box.cy = clamp(box.cy, auto.cy - roam, auto.cy + roam);
    this.box = box;
    this.memory.boxes.set(this.units(), { ...box });
    this.parts.stage.classList.add("zoomed");
    this.requestDraw();
  }

  resetView() {
    this.memory.boxes.delete(this.units());
    this.box = this.autoBox(this.position);
    this.parts.stage.classList.remove("zoomed");
    this.requestDraw();
  }

  /** Zooms by `factor` about a point of the stage (its centre by default). */
  zoom(factor, px = this.rect.x + this.rect.w / 2, py = this.rect.y + this.rect.h / 2) {
    const t = viewTransform(this.box, this.rect);
    const [wx, wy] = [t.worldX(px), t.worldY(py)];
    const half = this.box.half / factor;
    const ratio = half / this.box.half;
    this.setBox({ cx: wx + (this.box.cx - wx) * ratio, cy: wy + (this.box.cy - wy) * ratio, half });
  }

  pan(dx, dy) {
    const { scale } = viewTransform(this.box, this.rect);
    this.setBox({ ...this.box, cx: this.box.cx - dx / scale, cy: this.box.cy + dy / scale });
  }

  resize() {
    const { stage, scene, overlay } = this.parts;
    const [width, height] = [stage.clientWidth, stage.clientHeight];
    if (!width || !height || !this.header) return;
    this.ratio = Math.min(window.devicePixelRatio || 1, 3);
    const same = this.width === width && this.height === height && scene.width === Math.round(width * this.ratio);
    this.width = width;
    this.height = height;
    this.rect = plotRect(width, height, this.header.centred);
    if (same) return;
    for (const canvas of [scene, overlay]) {
      canvas.width = Math.round(width * this.ratio);
      canvas.height = Math.round(height * this.ratio);
    }
    this.sprites = null;
    if (!this.position || this.moving) return;
    if (!this.memory.boxes.has(this.units())) this.box = this.autoBox(this.position);
    this.draw();
  }

  // ---- choices ----------------------------------------------------------------------------------------------------

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

  selectedIndex() {
    const { selected } = this.memory;
    const group = selected && this.header.groups.find((g) => g.name === selected.group);
    if (!group) return -1;
    const place = this.model.row.subarray(group.start, group.stop).indexOf(selected.row);
    return place < 0 ? -1 : group.start + place;
  }

  // ---- drawing ----------------------------------------------------------------------------------------------------

  requestDraw() {
    if (this.moving || !this.position) return;
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.draw());
  }

  sceneState(ratio, sprites) {
    const { header, colours, theme, fontFamily, width, height, rect, box, fit, order, visible, styleOf, position } = this;
    return {
      ...{ colours, theme, fontFamily, width, height, rect, box, fit, order, visible, styleOf, position },
      ...{ centred: header.centred, groups: header.groups, spokes: header.spokes, axes: header.axes, fss: header.fss },
      ...{ median: header.median, mode: this.mode, byClass: this.byClass, ringAngle: this.ringAngle, sprites, ratio },
      isVisible: (name) => this.isVisible(name),
      classColour: (index) => this.classColour(index),
    };
  }

  draw() {
    if (!this.width || !this.position || !this.styleOf) return;
    const start = performance.now();
    const counts = drawScene(this.context, this.sceneState(this.ratio, this.sprite(this.ratio)), this.ratio);
    this.stats.frameMs = performance.now() - start;
    this.stats.frames++;
    Object.assign(this.stats, counts);
    this.drawOverlay();
    if (this.hovered >= 0 && !this.moving) this.showTooltip();
  }

  drawOverlay() {
    const ctx = this.overlay;
    ctx.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    ctx.clearRect(0, 0, this.width, this.height);
    if (this.moving) return;
    const t = viewTransform(this.box, this.rect);
    const radius = this.markerRadius();
    for (const [index, size] of [
      [this.selectedIndex(), 6],
      [this.hovered, 5],
    ]) {
      if (index < 0 || !this.visible[index]) continue;
      const [x, y] = [t.x(this.position[2 * index]), t.y(this.position[2 * index + 1])];
      const style = this.styles[this.styleOf[index]];
      drawMarker(ctx, style.marker, x, y, radius * 1.35 * style.scale, style.colour, this.colours.background);
      ctx.beginPath();
      ctx.arc(x, y, radius + size, 0, TAU);
      ctx.lineWidth = 3.5;
      ctx.strokeStyle = this.colours.background;
      ctx.stroke();
      ctx.lineWidth = 1.8;
      ctx.strokeStyle = this.colours.text;
      ctx.stroke();
    }
  }

  save() {
    const scale = Math.max(2, this.ratio);
    const sceneAt = (ratio) => {
      const sprites = new SpriteSheet(this.styles, this.markerRadius(), ratio, this.colours.background);
      return this.sceneState(ratio, sprites);
    };
    const words = `${this.header.title || this.header.view} ${this.header.layer}`.toLowerCase().replace(/[^a-z0-9]+/g, "-");
    download(paintFigure(this, sceneAt, scale), `fssd-${words.replace(/^-|-$/g, "")}.png`);
  }

  /** The point's image as a canvas, or null where its group has none or the atlas has not come yet. */
  thumbnail(index) {
    const group = this.header.groups[this.model.groupOf[index]];
    const atlas = this.header.atlas && window.__fssdAtlas?.get(this.header.atlas);
    if (!atlas || group.cell < 0) return null;
    const { width, height, channels, pixels } = atlas;
    const start = (group.cell + index - group.start) * width * height * channels;
    const image = new ImageData(width, height);
    for (let k = 0; k < width * height; k++) {
      for (let c = 0; c < 3; c++) image.data[4 * k + c] = pixels[start + k * channels + (channels === 3 ? c : 0)];
      image.data[4 * k + 3] = 255;
    }
    const canvas = make("canvas", { class: "tip-image", role: "img", "aria-label": "image of this point" });
    canvas.width = width;
    canvas.height = height;
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  }

  // ---- pointer and keys -------------------------------------------------------------------------------------------

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
    const { stage } = this.parts;
    stage.addEventListener("pointerdown", (event) => this.pointerDown(event));
    stage.addEventListener("pointermove", (event) => this.pointerMove(event));
    for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, (event) => this.pointerUp(event));
    stage.addEventListener("pointerleave", () => !this.pinned && !this.pointers.size && this.setHovered(-1));
    stage.addEventListener("dblclick", () => this.resetView());
    stage.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    stage.addEventListener("keydown", (event) => this.key(event));
    stage.addEventListener("blur", () => this.setHovered(-1));
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
      this.parts.stage.classList.add("dragging");
      this.pan(place.x - last.x, place.y - last.y);
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
      Enter: () => this.select(this.hovered),
      Escape: () => this.setHovered(-1),
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

/** '#rrggbb' of any CSS colour, or '' where it is none. */
function toHex(colour) {
  if (!colour || !CSS.supports("color", colour)) return "";
  const ctx = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  ctx.fillStyle = colour;
  ctx.fillRect(0, 0, 1, 1);
  return `#${[...ctx.getImageData(0, 0, 1, 1).data.slice(0, 3)].map((v) => v.toString(16).padStart(2, "0")).join("")}`;
}

function brightness(hex) {
  const [r, g, b] = [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16) / 255);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
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
