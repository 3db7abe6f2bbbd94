// Lasso: points chosen by a drawn polygon, or by a rectangle moved with the keys; kept as ids (group name, row), sent
// to Python as one bit a point.

const FIRST_SIDE = 120; // px, of the rectangle
const LEAST_SIDE = 8;

/** Winding number of the closed polygon [x0, y0, x1, y1 ...] about a point; 0 outside. */
function winding(path, x, y) {
  let turns = 0;
  for (let i = 0, j = path.length - 2; i < path.length; j = i, i += 2) {
    const [x0, y0, x1, y1] = [path[j], path[j + 1], path[i], path[i + 1]];
    if (y0 <= y === y1 <= y) continue;
    const side = (x1 - x0) * (y - y0) - (x - x0) * (y1 - y0);
    if (y1 > y0 && side > 0) turns++;
    else if (y1 < y0 && side < 0) turns--;
  }
  return turns;
}

/** One bit a flag, lowest bit first, as base64. */
function bitsOf(flags) {
  const bytes = new Uint8Array(Math.ceil(flags.length / 8));
  for (let i = 0; i < flags.length; i++) if (flags[i]) bytes[i >> 3] |= 1 << (i & 7);
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

/** How a selection changes the one before: Shift adds, Alt takes away. */
const waysOf = (event) => (event.shiftKey ? "add" : event.altKey ? "remove" : "new");

class ChartLasso extends ChartView {
  get lassoing() {
    return this.memory?.tool === "lasso";
  }

  /** Switches between moving the view and drawing a lasso. */
  setTool(tool, byKey = false) {
    this.memory.tool = tool;
    this.path = null;
    this.setHovered(-1);
    this.showTool();
    this.parts.live.textContent = this.lassoing
      ? "Lasso: draw around points, or move the selection rectangle with the arrow keys."
      : "Moving the view.";
    if (byKey && this.lassoing) this.parts.region.focus(); // which tells what lies inside
  }

  showTool() {
    const { stage, tools, region } = this.parts;
    for (const button of tools.children) button.setAttribute("aria-pressed", String(button.dataset.tool === this.memory.tool));
    stage.classList.toggle("lassoing", this.lassoing);
    region.hidden = !this.lassoing;
  }

  /** Flags of the points that are chosen, from the ids; called for new data and after every change. */
  flagChosen() {
    const { groups } = this.header;
    const flags = new Uint8Array(this.model.distance.length);
    let count = 0;
    for (const group of groups) {
      const rows = this.memory.chosen.get(group.name);
      if (!rows) continue;
      for (let i = group.start; i < group.stop; i++) count += flags[i] = rows.has(this.model.row[i]) ? 1 : 0;
    }
    this.chosen = count ? flags : null;
    this.chosenCount = count;
  }

  /** The visible points inside a polygon of the stage's pixels. */
  pointsWithin(path) {
    const [xs, ys] = [path.filter((_, k) => k % 2 === 0), path.filter((_, k) => k % 2)];
    const { rect } = this;
    const box = {
      ...{ x0: Math.max(rect.x, Math.min(...xs)), x1: Math.min(rect.x + rect.w, Math.max(...xs)) },
      ...{ y0: Math.max(rect.y, Math.min(...ys)), y1: Math.min(rect.y + rect.h, Math.max(...ys)) },
    };
    const t = viewTransform(this.box, rect);
    const found = [];
    for (let i = 0; i < this.visible.length; i++) {
      if (!this.visible[i]) continue;
      const [x, y] = [t.x(this.position[2 * i]), t.y(this.position[2 * i + 1])];
      if (x < box.x0 || x > box.x1 || y < box.y0 || y > box.y1) continue;
      if (winding(path, x, y)) found.push(i);
    }
    return found;
  }

  /** Chooses those inside the polygon, adds them, or takes them away. */
  choose(path, how) {
    if (!this.position || this.moving) return;
    const found = this.pointsWithin(path);
    if (how === "new") this.memory.chosen = new Map();
    const { chosen } = this.memory;
    for (const i of found) {
      const { name } = this.header.groups[this.model.groupOf[i]];
      if (!chosen.has(name)) chosen.set(name, new Set());
      if (how === "remove") chosen.get(name).delete(this.model.row[i]);
      else chosen.get(name).add(this.model.row[i]);
    }
    this.chosenChanged(found.length ? "" : "No visible point lies inside. ");
  }

  clearChosen() {
    if (!this.chosenCount) return;
    this.memory.chosen = new Map();
    this.chosenChanged("Selection cleared. ");
    if (this.root.getRootNode().activeElement === this.parts.clear) this.parts.stage.focus();
  }

  chosenChanged(words) {
    const drawn = new Set(this.header.groups.map((group) => group.name));
    for (const name of this.memory.chosen.keys()) if (!drawn.has(name)) this.memory.chosen.delete(name); // as Python will
    this.flagChosen();
    this.showChosen();
    this.requestDraw();
    this.parts.live.textContent = words + (this.chosenCount ? `${this.countsInWords(this.chosen)} selected.` : "Nothing is selected.");
    this.tellChosen();
  }

  tellChosen() {
    const flags = this.chosen ?? new Uint8Array(this.model.distance.length);
    this.setStateValue("lasso", { of: this.header.identity, count: this.chosenCount, bits: bitsOf(flags) });
  }

  /** The button that clears says how many are chosen, and how many of them do not show. */
  showChosen() {
    const { clear } = this.parts;
    clear.hidden = !this.chosenCount;
    if (!this.chosenCount) return;
    const unseen = this.chosen.reduce((sum, flag, i) => sum + (flag && !this.visible[i] ? 1 : 0), 0);
    const words = `${formatCount(this.chosenCount)} selected${unseen ? `, ${formatCount(unseen)} hidden` : ""}`;
    clear.lastChild.textContent = words;
    clear.setAttribute("aria-label", `Clear the selection: ${words}`);
  }

  /** '34 points: 20 fmnist:test, 14 mnist' of flags or indices. */
  countsInWords(of) {
    const counts = new Map();
    const add = (i) => counts.set(this.model.groupOf[i], (counts.get(this.model.groupOf[i]) ?? 0) + 1);
    if (Array.isArray(of)) of.forEach(add);
    else of?.forEach((flag, i) => flag && add(i));
    const total = [...counts.values()].reduce((a, b) => a + b, 0);
    const parts = [...counts].sort(([a], [b]) => a - b).map(([g, n]) => `${formatCount(n)} ${this.header.groups[g].label}`);
    return `${formatCount(total)} point${total === 1 ? "" : "s"}${parts.length ? `: ${parts.join(", ")}` : ""}`;
  }

  // ---- by mouse, pen or finger ------------------------------------------------------------------------------------

  startPath({ x, y }) {
    this.path = [x, y];
    this.setHovered(-1);
  }

  extendPath({ x, y }) {
    const { path } = this;
    if (Math.hypot(x - path[path.length - 2], y - path[path.length - 1]) < 3) return;
    path.push(x, y);
    cancelAnimationFrame(this.pathFrame);
    this.pathFrame = requestAnimationFrame(() => this.drawOverlay());
  }

  /** Whether a lasso was drawn (else it was a click). */
  endPath(event) {
    const { path } = this;
    this.path = null;
    this.drawOverlay();
    if (!path || path.length < 6 || event.type === "pointercancel") return false;
    this.choose(path, waysOf(event));
    return true;
  }

  drawPath(ctx) {
    const { path, colours } = this;
    if (!path) return;
    ctx.beginPath();
    for (let k = 0; k < path.length; k += 2) ctx[k ? "lineTo" : "moveTo"](path[k], path[k + 1]);
    ctx.closePath();
    ctx.globalAlpha = 0.12;
    ctx.fillStyle = colours.text;
    ctx.fill();
    ctx.globalAlpha = 1;
    ctx.lineJoin = "round";
    for (const [colour, width, dash] of [
      [colours.background, 3.5, []],
      [colours.text, 1.6, [6, 4]],
    ]) {
      ctx.strokeStyle = colour;
      ctx.lineWidth = width;
      ctx.setLineDash(dash);
      ctx.stroke();
    }
    ctx.setLineDash([]);
  }

  // ---- by keyboard --------------------------------------------------------------------------------------------------

  /** The rectangle's corner and sides, inside the plot; in the middle at first. */
  get frameNow() {
    const { rect } = this;
    const now = this.memory.frame ?? { x: rect.x + (rect.w - FIRST_SIDE) / 2, y: rect.y + (rect.h - FIRST_SIDE) / 2, w: FIRST_SIDE, h: FIRST_SIDE };
    const [w, h] = [clamp(now.w, LEAST_SIDE, rect.w), clamp(now.h, LEAST_SIDE, rect.h)];
    return { x: clamp(now.x, rect.x, rect.x + rect.w - w), y: clamp(now.y, rect.y, rect.y + rect.h - h), w, h };
  }

  get framePath() {
    const { x, y, w, h } = this.frameNow;
    return [x, y, x + w, y, x + w, y + h, x, y + h];
  }

  /** Places the rectangle and says what lies inside. */
  showFrame(announce) {
    const { region, live } = this.parts;
    const { x, y, w, h } = this.frameNow;
    Object.assign(region.style, { left: `${x}px`, top: `${y}px`, width: `${w}px`, height: `${h}px` });
    if (!this.position || this.moving) return;
    const inside = this.pointsWithin(this.framePath);
    region.firstChild.textContent = `${formatCount(inside.length)} inside · Enter selects`;
    region.firstChild.classList.toggle("below", y < 24);
    const { rect } = this;
    const place = [(x + w / 2 - rect.x) / rect.w, (y + h / 2 - rect.y) / rect.h].map((share) => `${Math.round(100 * share)} %`);
    const words = `${this.countsInWords(inside)} inside; ${Math.round(w)} by ${Math.round(h)} pixels, its middle ${place[0]} from the left, ${place[1]} from the top.`;
    if (announce) live.textContent = words;
  }

  frameKey(event) {
    const step = event.ctrlKey ? 1 : 10;
    const arrows = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    const by = arrows[event.key];
    if (by && !event.altKey && !event.metaKey) {
      const now = this.frameNow;
      const [dx, dy] = by;
      this.memory.frame = event.shiftKey
        ? { x: now.x - dx / 2, y: now.y + dy / 2, w: Math.max(LEAST_SIDE, now.w + dx), h: Math.max(LEAST_SIDE, now.h - dy) } // about its middle
        : { ...now, x: now.x + dx, y: now.y + dy };
      this.showFrame(true);
    } else if (event.key === "Enter" || event.key === " ") this.choose(this.framePath, waysOf(event));
    else if (event.key === "Escape") this.escape();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** The nearest thing to leave: the lasso being drawn, the named point, the selection, the lasso tool. */
  escape() {
    if (this.path) {
      this.path = null;
      this.pressed = { ...this.pressed, moved: true, dropped: true };
      this.drawOverlay();
    } else if (this.hovered >= 0) this.setHovered(-1);
    else if (this.chosenCount) this.clearChosen();
    else if (this.lassoing) {
      this.setTool("pan");
      this.parts.stage.focus();
    }
  }
}
