// Stage: where the points lie, in which style, and drawing them with what moves above; a mode's change is a morph.
import { clamp } from "../scatter_assets/1_numbers.js";
import { CanvasPoints } from "./points_canvas.js";
import { GlPoints, hasGraphicsCard } from "./points_gl.js";
import { Scale, placeOf } from "./scales.js";
import { drawGround, drawMoment, freeAngle, namesAtRim, viewOf } from "./scene.js";

const MORPH = 450; // ms from one radius mode or view to the next

export class Stage {
  /** Positions for the present mode; points known from `before` (the model shown until now) move there. */
  arrange(before) {
    const old = before && this.track && this.scene && before.samePoints(this.model) ? { track: this.track, reach: this.reach, position: this.clock.position } : null;
    this.scale = new Scale(this.mode, this.model);
    const positions = this.scale.positions();
    this.reach = this.scale.reach(positions);
    this.track = { positions, frames: this.model.frames, count: this.model.count };
    this.centroids = this.model.header.spokes.length ? null : this.classMeans();
    this.fit(true);
    this.painter?.load(this.track);
    this.morph = null;
    if (old && !matchMedia("(prefers-reduced-motion: reduce)").matches) this.#morphFrom(old);
  }

  #morphFrom({ track, reach, position }) {
    const { count } = this.model;
    const positions = new Float32Array(4 * count);
    const zoom = this.reach / reach;
    for (let i = 0; i < count; i++) {
      const [x, y] = placeOf(track, position, i);
      [positions[2 * i], positions[2 * i + 1]] = [x * zoom, y * zoom];
      [positions[2 * (count + i)], positions[2 * (count + i) + 1]] = placeOf(this.track, this.clock.position, i);
    }
    this.morph = { track: { positions, frames: 2, count }, began: performance.now() };
    this.painter?.load(this.morph.track);
    this.clock.before = null;
    this.schedule();
  }

  /** Canvases, view and painter for the present size; `anew` where the ground changes besides. */
  fit(anew = false) {
    const { stage, under, points, over } = this.parts;
    const [width, height] = [stage.clientWidth, stage.clientHeight];
    if (!width || !height || !this.track) return;
    const ratio = Math.min(globalThis.devicePixelRatio || 1, 3);
    if (!anew && this.scene && this.scene.width === width && this.scene.height === height && this.ratio === ratio) return;
    this.ratio = ratio;
    for (const canvas of [under, over]) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    this.scene = this.#sceneOf(width, height);
    const ground = under.getContext("2d", { willReadFrequently: true });
    ground.setTransform(ratio, 0, 0, ratio, 0, 0);
    drawGround(ground, this.scene);
    this.painter ??= this.#choosePainter(points);
    this.painter.setBase(ground.getImageData(0, 0, under.width, under.height));
    this.painter.load(this.morph?.track ?? this.track);
    this.restyle();
  }

  #sceneOf(width, height) {
    const { look, model, reach } = this;
    const { header } = model;
    const view = viewOf(width, height, reach, header.large);
    const font = `600 ${header.large ? 15 : 12}px ${look.font}`;
    const scene = {
      ...{ width, height, view, reach, colours: look, font: look.font, large: header.large },
      ...{ rings: this.scale.rings(reach), spokes: header.spokes, axes: header.axes },
      widthOf: (text) => this.widths.of(text, font),
      ringAngle: freeAngle(header.axes.length ? [0, Math.PI / 2, Math.PI, -Math.PI / 2] : header.spokes.map((s) => s.angle)),
    };
    scene.rim = namesAtRim(scene, header.axes.length ? axisSpokes(header.axes) : header.spokes);
    return scene;
  }

  #choosePainter(canvas) {
    const { renderer } = this.model.header;
    if (renderer === "canvas" || (renderer === "auto" && !hasGraphicsCard())) return new CanvasPoints(canvas);
    try {
      return new GlPoints(canvas, () => this.#fallBack());
    } catch {
      return this.#fallBack();
    }
  }

  /** Without WebGL the points go onto a canvas of their own: one that had WebGL gives no other context. */
  #fallBack() {
    const fresh = this.parts.points.cloneNode();
    this.parts.points.replaceWith(fresh);
    this.parts.points = fresh;
    const replaced = Boolean(this.painter);
    this.painter = new CanvasPoints(fresh);
    if (replaced) {
      this.fit(true);
      this.draw();
    }
    return this.painter;
  }

  // ---- styles ---------------------------------------------------------------------------------------------------

  /** Which points show, in which style. */
  restyle() {
    const { header, groupOf, label, order } = this.model;
    const classes = header.classNames.map((_, k) => ({ marker: "circle", colour: this.classColour(k) }));
    this.styles = [...header.groups.map((g) => ({ marker: g.marker, colour: g.colours[this.theme] })), ...classes];
    this.styleOf = new Uint16Array(groupOf.length);
    for (let i = 0; i < groupOf.length; i++) {
      const known = this.byClass && header.groups[groupOf[i]].kind === "ind" && label[i] >= 0 && label[i] < classes.length;
      this.styleOf[i] = known ? header.groups.length + label[i] : groupOf[i];
    }
    const shown = header.groups.map((g) => !this.hidden.has(g.name));
    this.shownOrder = order.filter((i) => shown[groupOf[i]]);
    if (this.hovered >= 0 && !shown[groupOf[this.hovered]]) this.hover(-1);
    if (!this.scene || !this.painter) return;
    this.radius = this.markerRadius();
    this.painter.setStyles(this.styles, this.radius, this.ratio, this.look.background);
    this.painter.setPoints(this.shownOrder, this.styleOf);
  }

  classColour(index) {
    const { classes } = this.look;
    return classes[index % classes.length];
  }

  colourOf(index) {
    return this.styles[this.styleOf[index]].colour;
  }

  /** Marker radius in CSS pixels: smaller with more points and less room. */
  markerRadius() {
    const room = Math.sqrt((this.scene.width * this.scene.height) / 400000);
    const crowd = clamp(3.8 - 0.6 * Math.log2(Math.max(1, this.model.count) / 500), 1.8, 3.8);
    return clamp(Math.round(crowd * clamp(room, 0.75, 1.15) * (this.model.header.large ? 1.3 : 1) * 4) / 4, 1.5, 6);
  }

  // ---- a moment -------------------------------------------------------------------------------------------------

  /** Draws points and overlay at the clock's place, or within a morph. */
  paint() {
    const { scene, painter, parts, clock } = this;
    let eased = 1;
    if (this.morph) {
      const part = clamp((performance.now() - this.morph.began) / MORPH, 0, 1);
      eased = part < 0.5 ? 4 * part ** 3 : 1 - (2 - 2 * part) ** 3 / 2;
      if (part >= 1) {
        this.morph = null;
        painter.load(this.track);
      }
    }
    painter.draw(this.morph ? eased : clock.position, scene.view);
    const ctx = parts.over.getContext("2d");
    ctx.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    ctx.clearRect(0, 0, scene.width, scene.height);
    drawMoment(ctx, scene, this.moment(this.morph ? 0 : 1));
  }

  /** What moves above the points: means, trails, names, marked points. `settled` is 0 within a morph. */
  moment(settled = 1) {
    const { model, clock, look } = this;
    const { header } = model;
    const circles = header.centred && settled ? this.#circles() : [];
    const trails = settled ? this.pins.filter((i) => this.isShown(i)).map((i) => ({ places: this.trailOf(i), colour: this.colourOf(i) })) : [];
    const marks = [];
    const mark = (i, number) => {
      const [x, y] = this.pointPlace(i);
      marks.push({ x, y, style: this.styles[this.styleOf[i]], radius: this.radius, number });
    };
    if (settled) this.pins.forEach((i, n) => this.isShown(i) && mark(i, n + 1));
    if (this.hovered >= 0 && settled && !this.pins.includes(this.hovered)) mark(this.hovered, 0);
    const names = this.scene.rim.map((name) => ({ ...name, colour: this.byClass && name.index >= 0 ? this.classColour(name.index) : look.muted }));
    if (this.centroids && this.byClass && settled && !this.hidden.has(header.groups[0].name)) {
      header.classNames.forEach((text, k) => {
        const [x, y] = placeOf(this.centroids, clock.position, k);
        if (Number.isFinite(x)) names.push({ text, x, y, colour: this.classColour(k) });
      });
    }
    return { circles, trails, marks, names: this.hidden.has(header.groups[0].name) && !header.axes.length ? [] : names };
  }

  #circles() {
    const { model, clock } = this;
    const k = Math.min(Math.floor(clock.position), model.frames - 1);
    const next = Math.min(k + 1, model.frames - 1);
    const mix = clock.position - k;
    return model.header.groups
      .map((group, g) => {
        const [a, b] = [this.scale.of(model.means[g][k], k), this.scale.of(model.means[g][next], next)];
        return { radius: a + (b - a) * mix, colour: group.colours[this.theme], dash: group.kind === "noise" ? [2, 4] : [7, 5], name: group.name };
      })
      .filter((circle) => !this.hidden.has(circle.name) && Number.isFinite(circle.radius));
  }

  isShown(i) {
    return !this.hidden.has(this.model.header.groups[this.model.groupOf[i]].name);
  }

  /** Place of a point now, in world units. */
  pointPlace(i) {
    return placeOf(this.track, this.clock.position, i);
  }

  pixelOf(i) {
    const [x, y] = this.pointPlace(i);
    const { view } = this.scene;
    return [view.cx + x * view.scale, view.cy - y * view.scale];
  }

  /** A point's places at all checkpoints so far, and now. */
  trailOf(i) {
    const past = Math.ceil(this.clock.position - 1e-6);
    const places = Array.from({ length: past }, (_, t) => placeOf(this.track, t, i));
    return [...places, this.pointPlace(i)];
  }

  /** The visible point nearest to a pixel, within `near`, or -1. */
  pointAt(px, py, near) {
    if (!this.scene || this.morph) return -1;
    const { view } = this.scene;
    const [wx, wy] = [(px - view.cx) / view.scale, (view.cy - py) / view.scale];
    let [best, least] = [-1, (near / view.scale) ** 2];
    for (const i of this.shownOrder) {
      const [x, y] = this.pointPlace(i);
      const square = (x - wx) ** 2 + (y - wy) ** 2;
      if (square <= least) [best, least] = [i, square];
    }
    return best;
  }

  /** How many visible points lie outside the stage now. */
  outside() {
    if (!this.scene) return 0;
    const { width, height } = this.scene;
    let lost = 0;
    for (const i of this.shownOrder) {
      const [x, y] = this.pixelOf(i);
      if (x < 0 || y < 0 || x > width || y > height) lost++;
    }
    return lost;
  }

  /** Mean place of each ind class at every checkpoint, as a track. */
  classMeans() {
    const { frames, count, label, header } = this.model;
    const { start, stop } = header.groups[0];
    const classes = header.classNames.length;
    const positions = new Float32Array(2 * frames * classes).fill(NaN);
    for (let t = 0; t < frames; t++) {
      const sums = Array.from({ length: classes }, () => [0, 0, 0]);
      for (let i = start; i < stop; i++) {
        const sum = sums[label[i]];
        if (!sum) continue;
        sum[0] += this.track.positions[2 * (t * count + i)];
        sum[1] += this.track.positions[2 * (t * count + i) + 1];
        sum[2]++;
      }
      sums.forEach(([x, y, n], k) => n && positions.set([x / n, y / n], 2 * (t * classes + k)));
    }
    return { positions, frames, count: classes };
  }
}

function axisSpokes(axes) {
  return axes.map((name, k) => ({ name, angle: (k * Math.PI) / 2, index: -1 }));
}
