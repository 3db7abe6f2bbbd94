// View: where points lie (radius mode, view box, motion between two data sets) and drawing them.

const MOVE_MS = 300;

class ChartView extends ChartState {
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
    if (!this.header) return;
    this.rect ??= plotRect(640, 640, this.header.centred); // until the element shows: it may mount in a closed tab
    if (!width || !height) return;
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
    this.stamps = null;
    if (!this.position || this.moving) return;
    if (!this.memory.boxes.has(this.units())) this.box = this.autoBox(this.position);
    this.draw();
  }

  /** Marker radius in CSS pixels: smaller with more points and less room, larger when zoomed in. */
  markerRadius() {
    const room = Math.sqrt((this.rect.w * this.rect.h) / 400000);
    const crowd = clamp(4 - 0.6 * Math.log2(Math.max(1, this.model.distance.length) / 500), 1.9, 4);
    const auto = this.autoBox(this.position ?? this.model.xy);
    const zoom = clamp((auto.half / this.box.half) ** 0.4, 0.8, 2.2);
    return clamp(Math.round(crowd * clamp(room, 0.75, 1.1) * zoom * 4) / 4, 1.5, 9);
  }

  stampsNow() {
    const radius = this.markerRadius();
    if (!this.stamps || this.stamps.radius !== radius || this.stamps.ratio !== this.ratio) {
      this.stamps = new Stamps(this.styles, radius, this.ratio, this.colours);
      Object.assign(this.stamps, { radius, ratio: this.ratio });
    }
    return this.stamps;
  }

  requestDraw() {
    if (this.moving || !this.position) return;
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.draw());
  }

  sceneState(stamps) {
    const { header, colours, theme, fontFamily, width, height, rect, box, fit, order, visible, styles, styleOf, position, chosen } = this;
    return {
      ...{ colours, theme, fontFamily, width, height, rect, box, fit, order, visible, styles, styleOf, position, chosen },
      ...{ centred: header.centred, groups: header.groups, spokes: header.spokes, axes: header.axes, fss: header.fss },
      ...{ median: header.median, mode: this.mode, byClass: this.byClass, ringAngle: this.ringAngle, stamps },
      isVisible: (name) => this.isVisible(name),
      classColour: (index) => this.classColour(index),
    };
  }

  draw() {
    if (!this.width || !this.position || !this.styleOf) return;
    const start = performance.now();
    const scene = this.sceneState(this.stampsNow());
    const counts = drawScene(this.context, scene, this.ratio);
    this.stats.frameMs = performance.now() - start;
    this.stats.frames++;
    Object.assign(this.stats, counts);
    sceneNotes(scene, counts.outside).forEach((text, k) => {
      const line = this.parts.note.children[k];
      if (line.textContent !== text) line.textContent = text;
    });
    this.drawOverlay();
    if (this.hovered >= 0 && !this.moving) this.showTooltip();
    if (this.lassoing) this.showFrame(false);
  }

  drawOverlay() {
    const ctx = this.overlay;
    ctx.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    ctx.clearRect(0, 0, this.width, this.height);
    if (this.moving) return;
    this.drawPath(ctx);
    const t = viewTransform(this.box, this.rect);
    const radius = this.markerRadius();
    for (const [index, size] of [
      [this.selectedIndex(), 6],
      [this.hovered, 5],
    ]) {
      if (index < 0 || !this.visible[index]) continue;
      const [x, y] = [t.x(this.position[2 * index]), t.y(this.position[2 * index + 1])];
      const style = this.styles[this.styleOf[index]];
      drawMarker(ctx, style.marker, x, y, radius * 1.35, style.colour, this.colours.background);
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

  get atlas() {
    return (this.header.atlas && window.__fssdAtlas?.get(this.header.atlas)) || null;
  }

  /** Number of the point's image in the atlas, -1 where its group has none. */
  cellOf(index) {
    const group = this.header.groups[this.model.groupOf[index]];
    return group.cell < 0 ? -1 : group.cell + index - group.start;
  }

  /** The point's image as a canvas, or null where its group has none or the atlas has not come yet. */
  thumbnail(index) {
    const { atlas } = this;
    const cell = this.cellOf(index);
    if (!atlas || cell < 0) return null;
    const { width, height, channels, pixels } = atlas;
    const start = cell * width * height * channels;
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
}
